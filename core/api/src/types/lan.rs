//! LANs.

use async_graphql::{Enum, SimpleObject};
use patronus_model::view::{LanState, LanView};

/// How the interface of a LAN is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum LanStatus {
    /// Nothing is known of it yet.
    Unknown,
    /// Up, with a carrier.
    Up,
    /// Switched off, or without a carrier.
    Down,
    /// There is no such interface.
    Missing,
}

impl From<LanState> for LanStatus {
    fn from(state: LanState) -> Self {
        match state {
            LanState::Unknown => Self::Unknown,
            LanState::Up => Self::Up,
            LanState::Down => Self::Down,
            LanState::Missing => Self::Missing,
        }
    }
}

/// A network behind the router.
#[derive(SimpleObject)]
pub(crate) struct Lan {
    /// Its interface.
    interface: String,
    /// How that is.
    status: LanStatus,
    /// The prefixes that the site announces.
    prefixes: Vec<String>,
    /// The router's addresses on it with their prefix lengths.
    addresses: Vec<String>,
}

impl From<&LanView> for Lan {
    fn from(lan: &LanView) -> Self {
        let text = |item: &dyn ToString| item.to_string();
        Self {
            interface: lan.interface.to_string(),
            status: lan.state.into(),
            prefixes: lan.prefixes.iter().map(|prefix| text(prefix)).collect(),
            addresses: lan.addresses.iter().map(|address| text(address)).collect(),
        }
    }
}
