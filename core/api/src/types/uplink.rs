//! Uplinks.

use async_graphql::{Enum, ID, SimpleObject};
use patronus_model::event;
use patronus_model::view::UplinkView;

use super::BigInt;
use crate::snapshot::Snapshot;

/// Whether an uplink can carry packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum UplinkStatus {
    /// It has a carrier, an address and a gateway.
    Up,
    /// It lacks one of them.
    Down,
}

/// What keeps an uplink from carrying packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum UplinkFault {
    /// Nothing is known of it yet.
    Unknown,
    /// There is no such interface.
    Missing,
    /// The interface is switched off, or has no carrier.
    Down,
    /// The interface has no address of global scope.
    NoAddress,
    /// No gateway is configured, and none was learned.
    NoGateway,
}

impl From<event::UplinkFault> for UplinkFault {
    fn from(fault: event::UplinkFault) -> Self {
        match fault {
            event::UplinkFault::Unknown => Self::Unknown,
            event::UplinkFault::Missing => Self::Missing,
            event::UplinkFault::Down => Self::Down,
            event::UplinkFault::NoAddress => Self::NoAddress,
            event::UplinkFault::NoGateway => Self::NoGateway,
        }
    }
}

/// One attachment of the router to an underlay.
#[derive(SimpleObject)]
pub(crate) struct Uplink {
    /// Unique in the network, like `berlin.fibre`.
    id: ID,
    /// Its name at its site.
    name: String,
    /// Its number at its site, 1 to 8.
    slot: u8,
    /// Its interface.
    interface: String,
    /// Whether it can carry packets.
    status: UplinkStatus,
    /// What keeps it from carrying packets; `null` when nothing does.
    fault: Option<UplinkFault>,
    /// The same in words.
    because: Option<String>,
    /// Its addresses with their prefix lengths.
    addresses: Vec<String>,
    /// Its gateways.
    gateways: Vec<String>,
    /// Bandwidth towards the underlay, as configured.
    bandwidth_up_bps: Option<BigInt>,
    /// Bandwidth from the underlay, as configured.
    bandwidth_down_bps: Option<BigInt>,
    /// Its cost, as configured; the lower is preferred where nothing else decides.
    cost: u32,
    /// Whether bytes cost money.
    metered: bool,
    /// How its paths are doing.
    paths: super::path::PathTally,
}

impl Uplink {
    pub(crate) fn new(from: &Snapshot, uplink: &UplinkView) -> Self {
        let text = |item: &dyn ToString| item.to_string();
        let (up, down) = uplink.bandwidth;
        let ours = from
            .view
            .paths
            .iter()
            .filter(|path| path.id.local == uplink.slot);
        Self {
            id: format!("{}.{}", from.view.site, uplink.name).into(),
            name: uplink.name.to_string(),
            slot: uplink.slot.get(),
            interface: uplink.interface.to_string(),
            status: match uplink.fault {
                None => UplinkStatus::Up,
                Some(_) => UplinkStatus::Down,
            },
            fault: uplink.fault.map(UplinkFault::from),
            because: uplink.fault.map(|fault| fault.to_string()),
            addresses: uplink.addresses.iter().map(|a| text(a)).collect(),
            gateways: uplink.gateways.iter().map(|g| text(g)).collect(),
            bandwidth_up_bps: up.map(BigInt),
            bandwidth_down_bps: down.map(BigInt),
            cost: uplink.cost,
            metered: uplink.metered,
            paths: super::path::PathTally::of(ours),
        }
    }
}
