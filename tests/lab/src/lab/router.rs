//! What tests hold of a site.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::frr;
use crate::node::Node;
use crate::plan::{HostPlan, SitePlan};
use crate::process::Process;
use crate::traffic::Endpoint;

/// The router of a site.
#[derive(Debug, Clone)]
pub struct Router {
    pub(super) node: Node,
    pub(super) plan: SitePlan,
}

/// A host behind a router.
#[derive(Debug, Clone)]
pub struct Host {
    pub(super) node: Node,
    pub(super) plan: HostPlan,
}

impl Router {
    /// Its node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The names and addresses of its site.
    #[must_use]
    pub fn plan(&self) -> &SitePlan {
        &self.plan
    }

    /// An end of a flow at one of the router's own addresses.
    #[must_use]
    pub fn endpoint(&self, address: impl Into<IpAddr>, port: u16) -> Endpoint {
        Endpoint::new(&self.node, address, port)
    }

    /// Writes a file, for example `/etc/patronus/config.yaml`, and makes the directories above it.
    ///
    /// # Errors
    /// When the path cannot be written.
    pub fn write_file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
        self.node.write_file(path, content)
    }

    /// Starts a daemon in the background.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_daemon<I, S>(&self, argv: I) -> Result<Process>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut argv = argv.into_iter();
        let mut command = Command::new(argv.next().context("no daemon is named")?);
        command.args(argv);
        self.node.spawn(&command)
    }

    /// Starts FRR in the pathspace `patronus`, under watchfrr as in production, and waits until
    /// its daemons answer. Files below `/etc/frr/patronus` which exist already are used.
    ///
    /// # Errors
    /// When FRR is not installed or does not start.
    pub fn start_frr(&self) -> Result<()> {
        frr::start(&self.node)
    }

    /// Runs a command of `vtysh` in the pathspace `patronus` and returns its output.
    ///
    /// # Errors
    /// When FRR does not run or refuses the command.
    pub fn vtysh(&self, command: &str) -> Result<String> {
        self.node
            .run(["vtysh", "-N", frr::PATHSPACE, "-c", command])
    }
}

impl Host {
    /// Its node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Its name and addresses.
    #[must_use]
    pub fn plan(&self) -> &HostPlan {
        &self.plan
    }

    /// An end of a flow at its IPv4 address.
    ///
    /// # Errors
    /// When it has none.
    pub fn ipv4(&self, port: u16) -> Result<Endpoint> {
        let address = self.plan.ipv4().context("the host has no IPv4 address")?;
        Ok(Endpoint::new(&self.node, address, port))
    }

    /// An end of a flow at its IPv6 address.
    ///
    /// # Errors
    /// When it has none.
    pub fn ipv6(&self, port: u16) -> Result<Endpoint> {
        let address = self.plan.ipv6().context("the host has no IPv6 address")?;
        Ok(Endpoint::new(&self.node, address, port))
    }
}
