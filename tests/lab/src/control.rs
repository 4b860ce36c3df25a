//! The client side of a lab's control socket.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::registry;
use crate::wire::{self, Reply, Request};

/// A supervisor that takes longer than this for one request hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to reach the supervisor of one lab.
#[derive(Debug)]
pub(crate) struct Control {
    name: String,
    next_log: AtomicU64,
}

impl Control {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            next_log: AtomicU64::new(0),
        }
    }

    pub(crate) fn lab(&self) -> &str {
        &self.name
    }

    /// Sends a request; returns the connection, the answer and the descriptors that came with it.
    pub(crate) fn request(
        &self,
        request: &Request,
        fds: &[std::os::fd::BorrowedFd<'_>],
    ) -> Result<(OwnedFd, Reply, Vec<OwnedFd>)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let connection = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        let address = UnixAddr::new(&registry::control_socket(&self.name))?;
        connect(std::os::fd::AsRawFd::as_raw_fd(&connection), &address)
            .with_context(|| format!("lab {} is not up", self.name))?;
        wire::send(connection.as_fd(), request, fds)?;
        if !wire::wait_readable(connection.as_fd(), Some(PATIENCE))? {
            bail!("the supervisor of lab {} does not answer", self.name);
        }
        let answer = wire::receive(connection.as_fd())?;
        let (reply, fds) = answer.with_context(|| format!("lab {} has ended", self.name))?;
        if let Reply::Failed(reason) = reply {
            bail!("{reason}");
        }
        Ok((connection, reply, fds))
    }

    /// A new file name for the output of a program.
    pub(crate) fn log_stem(&self, node: &str, program: &str) -> PathBuf {
        let number = self.next_log.fetch_add(1, Ordering::Relaxed);
        let program = program.rsplit('/').next().unwrap_or(program);
        // The pid keeps several clients of one lab apart.
        let stem = format!("{node}.{program}.{}-{number}", std::process::id());
        registry::logs(&self.name).join(stem)
    }
}
