//! BGP and the routing daemons.

use async_graphql::{ID, SimpleObject};
use patronus_model::view::{BgpView, NeighborView, RoutingDaemonView};

use super::{BigInt, whole_ms};
use crate::words;

/// BGP and the routing daemons that speak it.
#[derive(SimpleObject)]
pub(crate) struct Bgp {
    /// Our AS.
    asn: Option<BigInt>,
    /// Our router id.
    router_id: Option<String>,
    /// The routing daemons.
    daemons: Vec<RoutingDaemon>,
    /// The neighbours.
    neighbors: Vec<BgpNeighbor>,
    /// Why what was configured is not in force; `null` when it is.
    problem: Option<String>,
}

impl From<&BgpView> for Bgp {
    fn from(bgp: &BgpView) -> Self {
        Self {
            asn: bgp.local.map(|(asn, _)| BigInt(asn.get().into())),
            router_id: bgp.local.map(|(_, id)| id.to_string()),
            daemons: bgp.daemons.iter().map(RoutingDaemon::from).collect(),
            neighbors: bgp.neighbors.iter().map(BgpNeighbor::from).collect(),
            problem: bgp.problem.clone(),
        }
    }
}

/// A routing daemon.
#[derive(SimpleObject)]
pub(crate) struct RoutingDaemon {
    /// Its name, like `bgpd`.
    name: String,
    /// Whether it answers.
    up: bool,
    /// Its version, while it answers.
    version: Option<String>,
    /// For how long it has answered, or not.
    since_ms: BigInt,
    /// For how long it has owed an answer, if that is unusually long: it is busy, or hangs.
    late_ms: Option<BigInt>,
}

impl From<&RoutingDaemonView> for RoutingDaemon {
    fn from(daemon: &RoutingDaemonView) -> Self {
        Self {
            name: daemon.name.clone(),
            up: daemon.version.is_some(),
            version: daemon.version.clone(),
            since_ms: whole_ms(daemon.since),
            late_ms: daemon.late.map(whole_ms),
        }
    }
}

/// A BGP neighbour.
#[derive(SimpleObject)]
pub(crate) struct BgpNeighbor {
    /// Its address.
    address: String,
    /// What the configuration calls it.
    description: String,
    /// The site that it is; `null` outside of the overlay.
    site_id: Option<ID>,
    /// Its AS.
    remote_asn: BigInt,
    /// The state of the session, exactly as the daemon calls it.
    state: String,
    /// Whether routes are exchanged.
    established: bool,
    /// For how long it has been up, or down; `null` when it has never been up.
    since_ms: Option<BigInt>,
    /// Prefixes received.
    prefixes_received: BigInt,
    /// Prefixes sent.
    prefixes_sent: BigInt,
    /// Why the session last ended, in the daemon's words, also when it is established again.
    last_error: Option<String>,
    /// What it means that it is not established, and what to look at; `null` where it is.
    meaning: Option<String>,
}

impl From<&NeighborView> for BgpNeighbor {
    fn from(neighbor: &NeighborView) -> Self {
        Self {
            address: neighbor.address.to_string(),
            description: neighbor.description.clone(),
            site_id: neighbor.site.as_ref().map(|site| site.as_str().into()),
            remote_asn: BigInt(neighbor.remote_asn.into()),
            state: neighbor.state.clone(),
            established: neighbor.established,
            since_ms: neighbor.since.map(whole_ms),
            prefixes_received: BigInt(neighbor.received),
            prefixes_sent: BigInt(neighbor.sent),
            last_error: neighbor.last_error.clone(),
            meaning: words::bgp::meaning(neighbor),
        }
    }
}
