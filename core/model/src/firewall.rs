//! What our nftables table does, before it is written down in nftables' language.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::ids::{ClassId, Dscp, IfName};
use crate::layout::Marks;
use crate::policy::Policy;

/// Classification, the carrying of classes in DSCP, MSS clamping, and the last guard against
/// overlay packets in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// Interfaces towards underlays: what comes by them is not classified.
    pub uplinks: BTreeSet<IfName>,
    /// The link group of the tunnels.
    pub tunnels: u32,
    /// Policies, by priority.
    pub policies: Vec<Policy>,
    /// The class of whatever no policy matches.
    pub default_class: ClassId,
    /// By which code point each class travels.
    pub dscp: BTreeMap<ClassId, Dscp>,
    /// Prefixes which never leave by an uplink unless WireGuard has wrapped them.
    pub guarded: BTreeSet<IpNet>,
    /// Which bits of the mark are whose.
    pub marks: Marks,
}

impl Firewall {
    /// A small number that changes with whatever decides about classes, so that connections
    /// classified by older rules are classified again. Never 0, which stands for "not yet".
    ///
    /// FNV-1a over the debug form: stable within one build, and a wrong guess costs one more
    /// classification of each connection, nothing else.
    #[must_use]
    pub fn epoch(&self) -> u8 {
        let text = format!("{:?}{:?}{:?}", self.policies, self.default_class, self.dscp);
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let epoch = (hash % 255) as u8;
        epoch + 1
    }
}
