//! BFD sessions.

use async_graphql::{Enum, ID, SimpleObject};
use patronus_model::view::{BfdState, BfdView};

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

/// The BFD session that watches a path.
#[derive(SimpleObject)]
pub(crate) struct BfdSession {
    /// The path.
    path: PathRef,
    /// The site at the far end.
    dest_site_id: ID,
    /// The interface that its packets leave and arrive by.
    interface: String,
    /// Our address.
    local_address: String,
    /// The peer's address.
    remote_address: String,
    /// Our state.
    status: BfdStatus,
    /// The state in the peer's last packet.
    remote_status: BfdStatus,
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
    /// Packets sent.
    tx_packets: BigInt,
    /// Packets taken.
    rx_packets: BigInt,
    /// How often it went down.
    downs: BigInt,
    /// For how long it has been in its state.
    since_ms: BigInt,
    /// What keeps it from sending; `null` when nothing does.
    problem: Option<String>,
}

impl BfdSession {
    pub(crate) fn new(from: &Snapshot, session: &BfdView) -> Self {
        Self {
            path: PathRef::named(
                from,
                session.path,
                session.local_uplink.to_string(),
                session.remote_uplink.to_string(),
            ),
            dest_site_id: session.site.as_str().into(),
            interface: session.interface.to_string(),
            local_address: session.local.to_string(),
            remote_address: session.remote.to_string(),
            status: session.state.into(),
            remote_status: session.remote_state.into(),
            diagnostic: session.diagnostic.clone(),
            remote_diagnostic: session.remote_diagnostic.clone(),
            transmit_interval_ms: session.transmit.map(ms),
            detection_time_ms: session.detection.map(ms),
            rtt_ms: session.rtt.map(ms),
            tx_packets: BigInt(session.sent),
            rx_packets: BigInt(session.received),
            downs: BigInt(session.downs),
            since_ms: whole_ms(session.since),
            problem: session.problem.clone(),
        }
    }
}
