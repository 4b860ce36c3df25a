//! The router's dealings with FRR.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use patronus_engine::Input;
use patronus_frr::{Alteration, Daemon, Desired, Frr, FrrEvent, FrrHandle, FrrPaths};
use patronus_model::bgp::BgpInstance;
use patronus_model::event::Event;
use patronus_model::router::RouterConfig;
use tokio::sync::watch;
use tracing::{debug, info};

use crate::clock;
use crate::kernel::Job;
use crate::router::Router;

/// When, after zebra came, it is told of the overlay's addresses again; see
/// [`patronus_linux::Kernel::announce_overlay`]. Late enough for a zebra that is just starting, on
/// a machine that is just booting.
const ANNOUNCE_AFTER: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
];

/// Starts to drive FRR.
///
/// # Errors
/// FRR is not installed, or its pathspace cannot be prepared.
pub(crate) fn start(desired: watch::Receiver<Option<Arc<Desired>>>) -> anyhow::Result<FrrHandle> {
    let paths = FrrPaths::debian().context("/etc/frr: is the package frr installed?")?;
    let written = patronus_frr::bootstrap::install(&paths).context("preparing FRR's pathspace")?;
    if !written.is_empty() {
        info!(?written, "FRR's pathspace prepared");
    }
    Ok(Frr::spawn(paths, desired, std::future::pending()))
}

/// How many alterations an event names.
const NAMED: usize = 3;

/// What somebody else altered of FRR's configuration.
fn drift(altered: &[Alteration]) -> Event {
    let words = |it: &Alteration| format!("{}: {}", it.daemon, it.words);
    Event::Drift {
        changes: altered.len(),
        altered: altered.len(),
        named: altered.iter().take(NAMED).map(words).collect(),
    }
}

impl Router {
    /// Tells FRR what it should be.
    pub(crate) fn publish(&self, bgp: BgpInstance) {
        let watched = bgp.neighbors.iter().any(|neighbor| neighbor.bfd.is_some());
        self.bfdd.want(watched);
        let overlay = patronus_frr::Overlay {
            subnet_v4: Some(self.config.overlay.ipv4.trunc()),
            subnet_v6: self.config.overlay.ipv6.map(|net| net.trunc()),
            learned_table: Some(self.config.layout.learned_table()),
        };
        self.bgp
            .send_replace(Some(Arc::new(Desired { bgp, overlay })));
    }

    /// FRR says something.
    pub(crate) fn routing(&mut self, event: FrrEvent) {
        let neighbor = |address: IpAddr, established, reason| Event::BgpNeighbor {
            neighbor: self.neighbor_name(address),
            established,
            reason,
        };
        match event {
            FrrEvent::DaemonLost { daemon, reason } => {
                debug!(%daemon, reason, "lost");
                self.routing_daemon(daemon, false);
            }
            FrrEvent::DaemonBack { daemon, version } => {
                debug!(%daemon, %version, "connected");
                self.routing_daemon(daemon, true);
            }
            FrrEvent::Applied(applied) => {
                info!(commands = applied.commands.len(), "FRR is configured")
            }
            FrrEvent::Altered(altered) => self.journal.record(drift(&altered)),
            FrrEvent::ApplyFailed(reason) => {
                self.journal.record(Event::RoutingRefused { reason });
            }
            FrrEvent::NeighborUp(address) => {
                self.journal.record(neighbor(address, true, None));
            }
            FrrEvent::NeighborDown { address, reason } => {
                self.journal.record(neighbor(address, false, reason));
            }
        }
    }

    /// Tells zebra of the overlay's addresses again, if it is time.
    pub(crate) fn announce(&mut self) {
        let now = clock::now();
        if self.announcements.front().is_some_and(|due| *due <= now) {
            self.announcements.pop_front();
            drop(self.jobs.send(Job::Announce));
        }
    }

    fn routing_daemon(&mut self, daemon: Daemon, up: bool) {
        if daemon == Daemon::Zebra && up {
            self.announcements = ANNOUNCE_AFTER.map(|after| clock::now() + after).into();
        }
        let name = daemon.to_string();
        if matches!(daemon, Daemon::Zebra | Daemon::Bgpd) {
            // Routes come and go with these two only; the engine reports it.
            self.handle(Input::RoutingDaemon(name, up));
        } else {
            let event = Event::RoutingDaemon { daemon: name, up };
            self.journal.record(event);
        }
    }

    /// What a neighbour is called; its address if it is nothing.
    fn neighbor_name(&self, address: IpAddr) -> String {
        let mut configs = [Some(&self.config), self.before.as_ref()].into_iter();
        let name = configs.find_map(|config| name_of(config?, address));
        name.map_or_else(|| address.to_string(), |name| format!("{name} ({address})"))
    }
}

/// The site or the description of a neighbour.
fn name_of(config: &RouterConfig, address: IpAddr) -> Option<String> {
    let mut sites = config.remotes.iter();
    let site = sites.find(|site| site.addresses().any(|it| it == address));
    let mut neighbors = config.bgp.neighbors.iter();
    let named = neighbors.find(|neighbor| neighbor.address == address);
    site.map(|site| site.id.to_string())
        .or(named.map(|neighbor| neighbor.description.clone()))
}
