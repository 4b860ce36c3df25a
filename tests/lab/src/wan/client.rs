//! Talks to the relay of a lab.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Cut, LinkState, Reply, Request, SOCKET};
use crate::node::Node;
use crate::plan::Impairment;

/// A connection to the relay.
pub(crate) struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the relay in the node `wan`.
    pub(crate) fn connect(wan: &Node) -> Result<Self> {
        let path = wan.outside_path(SOCKET);
        let stream = UnixStream::connect(&path).context("the WAN emulator is not running")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream })
    }

    pub(crate) fn status(&mut self) -> Result<Vec<LinkState>> {
        self.request(&Request::Status)
    }

    pub(crate) fn cut(&mut self, link: &str, cut: Cut) -> Result<()> {
        self.request(&Request::Cut {
            link: link.to_owned(),
            cut,
        })
        .map(drop)
    }

    pub(crate) fn heal(&mut self, link: &str) -> Result<()> {
        self.request(&Request::Heal {
            link: link.to_owned(),
        })
        .map(drop)
    }

    pub(crate) fn degrade(
        &mut self,
        link: &str,
        up: Option<Impairment>,
        down: Option<Impairment>,
    ) -> Result<()> {
        self.request(&Request::Degrade {
            link: link.to_owned(),
            up,
            down,
        })
        .map(drop)
    }

    fn request(&mut self, request: &Request) -> Result<Vec<LinkState>> {
        writeln!(self.stream, "{}", serde_json::to_string(request)?)?;
        let mut line = String::new();
        BufReader::new(&self.stream).read_line(&mut line)?;
        match serde_json::from_str(&line).context("the WAN emulator gave no answer")? {
            Reply::Links(links) => Ok(links),
            Reply::Failed(reason) => bail!("{reason}"),
        }
    }
}
