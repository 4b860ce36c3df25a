//! What the kernel does not have yet.

use std::collections::BTreeMap;

use crate::kernel::{Change, Plan};

/// What is being done, or tried again, so that the kernel is as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// How many things of each kind are to be put, altered or removed; none while it is being looked
    /// at how the kernel is, and where only some of them failed, until those are tried again.
    pub kinds: BTreeMap<Kind, usize>,
    /// How many of them failed when it was last tried.
    pub failed: usize,
    /// Why, in words; only the first of several reasons.
    pub reason: Option<String>,
}

impl Pending {
    /// What a plan will do.
    #[must_use]
    pub fn kinds_of(plan: &Plan) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        for change in &plan.0 {
            *kinds.entry(Kind::of(change)).or_default() += 1;
        }
        kinds
    }
}

/// A kind of thing in the kernel, in the order in which people look for what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A tunnel.
    Tunnel,
    /// A peer of a tunnel.
    Peer,
    /// The overlay interface.
    Overlay,
    /// A rule.
    Rule,
    /// A route.
    Route,
    /// A nexthop object.
    Nexthop,
    /// Our nftables table.
    Firewall,
    /// A kernel parameter.
    Parameter,
}

impl Kind {
    const fn of(change: &Change) -> Self {
        match change {
            Change::PutSysctl(..) | Change::RestoreSysctl(_) => Self::Parameter,
            Change::PutOverlay(_) | Change::DeleteOverlay(_) => Self::Overlay,
            Change::PutTunnel(..) | Change::DeleteTunnel(_) => Self::Tunnel,
            Change::PutPeer(..) | Change::DeletePeer(..) => Self::Peer,
            Change::PutNexthop(..) | Change::DeleteNexthop(_) => Self::Nexthop,
            Change::PutRoute(..) | Change::DeleteRoute(_) => Self::Route,
            Change::PutRule(_) | Change::DeleteRule(_) => Self::Rule,
            Change::PutFirewall(_) | Change::DeleteFirewall => Self::Firewall,
        }
    }

    /// One of them, and several.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Tunnel => ("tunnel", "tunnels"),
            Self::Peer => ("peer of a tunnel", "peers of tunnels"),
            Self::Overlay => ("overlay interface", "overlay interfaces"),
            Self::Rule => ("rule", "rules"),
            Self::Route => ("route", "routes"),
            Self::Nexthop => ("nexthop object", "nexthop objects"),
            Self::Firewall => ("nftables table", "nftables tables"),
            Self::Parameter => ("kernel parameter", "kernel parameters"),
        }
    }
}
