//! BFD sessions.

use async_graphql::{Enum, ID, SimpleObject};
use patronus_model::view::{BfdCounters, BfdState, BfdView, BfdWatched};

use super::path::PathRef;
use super::{BigInt, ms, whole_ms};
use crate::snapshot::Snapshot;

/// The state of a BFD session (RFC 5880).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum BfdStatus {
    /// Held down by an operator.
    AdminDown,
    /// Nothing is heard.
    Down,
    /// The peer is heard; whether it hears us is not known yet.
    Init,
    /// Both hear each other.
    Up,
}

impl From<BfdState> for BfdStatus {
    fn from(state: BfdState) -> Self {
        match state {
            BfdState::AdminDown => Self::AdminDown,
            BfdState::Down => Self::Down,
            BfdState::Init => Self::Init,
            BfdState::Up => Self::Up,
        }
    }
}

/// Who runs a BFD session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum BfdEngine {
    /// Patronus: the sessions of paths.
    Patronus,
    /// FRR's bfdd: those of BGP neighbours outside of the overlay.
    Frr,
}

/// A BFD session: of a path, or of a BGP neighbour outside of the overlay.
#[derive(SimpleObject)]
pub(crate) struct BfdSession {
    /// Who runs it.
    watched_by: BfdEngine,
    /// The path that it watches; `null` for a neighbour.
    path: Option<PathRef>,
    /// The site at the far end of the path; `null` for a neighbour.
    dest_site_id: Option<ID>,
    /// What the configuration calls the neighbour; `null` for a path.
    neighbor: Option<String>,
    /// The interface that its packets leave and arrive by; `null` where it is bound to none.
    interface: Option<String>,
    /// Our address; `null` where the kernel picks one.
    local_address: Option<String>,
    /// The peer's address.
    remote_address: String,
    /// Our state.
    status: BfdStatus,
    /// The state in the peer's last packet; FRR does not tell.
    remote_status: Option<BfdStatus>,
    /// Why our state last changed; `null` for no reason.
    diagnostic: Option<String>,
    /// The reason in the peer's last packet; `null` for no reason.
    remote_diagnostic: Option<String>,
    /// How often we send; `null` when the peer wants no packets.
    transmit_interval_ms: Option<f64>,
    /// How long the peer may be silent; `null` while nothing is known of it.
    detection_time_ms: Option<f64>,
    /// The last round trip.
    rtt_ms: Option<f64>,
    /// Packets sent; `null` where FRR counts them.
    tx_packets: Option<BigInt>,
    /// Packets taken; `null` where FRR counts them.
    rx_packets: Option<BigInt>,
    /// How often it went down; `null` where FRR counts that.
    downs: Option<BigInt>,
    /// For how long it has been in its state, where that is known.
    since_ms: Option<BigInt>,
    /// What keeps it from sending; `null` when nothing does.
    problem: Option<String>,
}

impl BfdSession {
    pub(crate) fn new(from: &Snapshot, session: &BfdView) -> Self {
        let (watched_by, path, dest_site_id, neighbor) = match &session.watched {
            BfdWatched::Path {
                path,
                site,
                local_uplink,
                remote_uplink,
            } => {
                let (local, remote) = (local_uplink.to_string(), remote_uplink.to_string());
                let path = PathRef::named(&from.names, *path, local, remote);
                let site = ID::from(site.as_str());
                (BfdEngine::Patronus, Some(path), Some(site), None)
            }
            BfdWatched::Neighbor { description } => {
                (BfdEngine::Frr, None, None, Some(description.clone()))
            }
        };
        let counted = |number: fn(&BfdCounters) -> u64| {
            let counted = session.counted.as_ref();
            counted.map(|counters| BigInt(number(counters)))
        };
        Self {
            watched_by,
            path,
            dest_site_id,
            neighbor,
            interface: session.interface.clone(),
            local_address: session.local.map(|local| local.to_string()),
            remote_address: session.remote.to_string(),
            status: session.state.into(),
            remote_status: session.remote_state.map(BfdStatus::from),
            diagnostic: session.diagnostic.clone(),
            remote_diagnostic: session.remote_diagnostic.clone(),
            transmit_interval_ms: session.transmit.map(ms),
            detection_time_ms: session.detection.map(ms),
            rtt_ms: session.rtt.map(ms),
            tx_packets: counted(|counters| counters.sent),
            rx_packets: counted(|counters| counters.received),
            downs: counted(|counters| counters.downs),
            since_ms: session.since.map(whole_ms),
            problem: session.problem.clone(),
        }
    }
}
