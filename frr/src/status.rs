//! What the supervisor publishes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::apply::{Applied, ApplyError};
use crate::daemon::Daemon;
use crate::drift::Alteration;
use crate::state::{BfdPeer, PeerSummary, SessionState, Version};

/// How FRR is doing. Always the latest; see [`FrrEvent`] for what happened on the way.
#[derive(Clone, Debug, Default)]
pub struct FrrStatus {
    /// The daemons that are connected, or should be.
    pub daemons: BTreeMap<Daemon, DaemonStatus>,
    /// The last attempt to apply a configuration; `None` before the first.
    pub last_apply: Option<ApplyStatus>,
    /// BGP neighbours by address, refreshed about every second; empty while bgpd is away.
    pub neighbors: BTreeMap<IpAddr, NeighborStatus>,
    /// The sessions of FRR's own BFD daemon, refreshed with the neighbours; empty while it is away.
    pub bfd: Vec<BfdPeer>,
}

impl FrrStatus {
    /// Whether all daemons that should be there are, and the last configuration is in force.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let applied = self
            .last_apply
            .as_ref()
            .is_some_and(|apply| apply.outcome.is_ok());
        self.daemons.values().all(DaemonStatus::is_up) && applied
    }
}

/// How a daemon is doing.
#[derive(Clone, Debug)]
pub struct DaemonStatus {
    /// Its version while it answers.
    pub version: Option<Version>,
    /// Since when it does, or does not.
    pub since: Instant,
    /// Since when it owes an answer, if that is unusually long: it is busy, or hangs.
    pub late: Option<Instant>,
}

impl DaemonStatus {
    /// Whether it answers.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.version.is_some()
    }
}

/// How an attempt to apply ended.
#[derive(Clone, Debug)]
pub struct ApplyStatus {
    /// When.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// What it did.
    pub outcome: Result<Applied, Arc<ApplyError>>,
}

/// How a neighbour is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborStatus {
    /// Its AS.
    pub remote_asn: u32,
    /// The state of the session.
    pub state: SessionState,
    /// How long it has been up, or down; `None` when it has never been up.
    pub changed: Option<Duration>,
    /// Prefixes received.
    pub received: u64,
    /// Prefixes sent.
    pub sent: u64,
    /// How often the session came up, since bgpd started or the neighbour was configured.
    pub established: u64,
    /// Why it is down, or was down the last time; see
    /// [`NeighborDetail::why_down`](crate::state::NeighborDetail::why_down).
    pub last_error: Option<String>,
}

impl From<&PeerSummary> for NeighborStatus {
    fn from(peer: &PeerSummary) -> Self {
        let changed = Duration::from_millis(peer.peer_uptime_msec);
        Self {
            remote_asn: peer.remote_as,
            state: peer.state.clone(),
            changed: (!changed.is_zero()).then_some(changed),
            received: peer.pfx_rcd,
            sent: peer.pfx_snt,
            established: peer.connections_established,
            last_error: None,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrrEvent {
    /// A daemon is gone; reported within milliseconds of its death.
    DaemonLost {
        /// Which.
        daemon: Daemon,
        /// What was noticed of it.
        reason: String,
    },
    /// A daemon answers, for the first time or again.
    DaemonBack {
        /// Which.
        daemon: Daemon,
        /// What it is.
        version: Version,
    },
    /// A configuration is in force, and something had to be changed for it.
    Applied(Applied),
    /// Somebody else had changed what was in force. It is put back, as the event before says.
    Altered(Vec<Alteration>),
    /// A configuration is not in force; in words, without passwords.
    ApplyFailed(String),
    /// A session came up.
    NeighborUp(IpAddr),
    /// A session went down, or its neighbour is no longer configured.
    NeighborDown {
        /// With whom.
        address: IpAddr,
        /// Why, in FRR's words, where it says.
        reason: Option<String>,
    },
}
