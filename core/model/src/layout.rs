//! Where our objects live in the kernel's number spaces, so that nothing of ours collides with
//! anything of others and everything of ours is recognised after a restart.

use std::fmt;

use crate::ids::{ClassId, IfName, InvalidName, PathId, SiteNumber, Slot};

/// Which bits of a packet mark are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Marks {
    /// The class; seven adjacent bits.
    pub class: u32,
    /// Set on a connection that has been classified; one bit.
    pub classified: u32,
    /// By which generation of the classification rules; eight adjacent bits.
    pub epoch: u32,
    /// The uplink of a tunnel's outer packets; at least four adjacent bits.
    pub uplink: u32,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            class: 0x0000_007f,
            classified: 0x0000_0080,
            epoch: 0x0000_ff00,
            uplink: 0x00ff_0000,
        }
    }
}

impl Marks {
    /// The mark of a class.
    #[must_use]
    pub const fn of_class(&self, class: ClassId) -> u32 {
        (class.get() as u32) << self.class.trailing_zeros()
    }

    /// The mark of an uplink.
    #[must_use]
    pub const fn of_uplink(&self, slot: Slot) -> u32 {
        (slot.get() as u32) << self.uplink.trailing_zeros()
    }

    /// The mark of a generation of classification rules.
    #[must_use]
    pub const fn of_epoch(&self, epoch: u8) -> u32 {
        (epoch as u32) << self.epoch.trailing_zeros()
    }
}

/// The number of a nexthop object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NexthopId(pub u32);

impl NexthopId {
    /// All of ours have this in their upper byte: above the ids that FRR's zebra counts up from 1
    /// and above the blocks of 250,000,000 that it hands to its protocols (zclient.h), so that it
    /// never takes one of ours for its own.
    const BASE: u32 = 0xf000_0000;

    /// The nexthop object which all routes of a class to a site use.
    #[must_use]
    pub const fn new(site: SiteNumber, class: ClassId) -> Self {
        Self(Self::BASE | (site.get() as u32) << 8 | class.get() as u32)
    }

    /// The site and class that it stands for; `None` for ids that are not ours.
    #[must_use]
    pub fn parts(self) -> Option<(SiteNumber, ClassId)> {
        let site = SiteNumber::new((self.0 >> 8 & 0xffff) as u16).ok()?;
        let class = ClassId::new((self.0 & 0xff) as u8).ok()?;
        (self.0 >> 24 == Self::BASE >> 24).then_some((site, class))
    }
}

impl fmt::Display for NexthopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which hub a hub tunnel leads to: its number among the hubs of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubIndex(u8);

impl HubIndex {
    /// Parses 1 to 7.
    ///
    /// # Errors
    /// [`crate::ids::OutOfRange`].
    pub const fn new(value: u8) -> Result<Self, crate::ids::OutOfRange> {
        match value {
            1..=7 => Ok(Self(value)),
            _ => Err(crate::ids::OutOfRange {
                what: "hub number",
                value: value as u64,
                min: 1,
                max: 7,
            }),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// A tunnel: a WireGuard interface for one pair of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId {
    /// `None`: shared by all ordinary peers. Otherwise it has one peer, this hub, which may speak
    /// for prefixes that are not its own.
    pub hub: Option<HubIndex>,
    /// Our uplink.
    pub local: Slot,
    /// Their uplink.
    pub remote: Slot,
}

impl TunnelId {
    /// Ports that an uplink needs from its first listen port on.
    pub const PORTS_PER_UPLINK: u16 = 64;

    /// How many tunnels can exist.
    pub const COUNT: u32 = 512;

    /// Its number, `0..COUNT`.
    #[must_use]
    pub const fn index(self) -> u32 {
        let hub = match self.hub {
            Some(hub) => hub.get() as u32,
            None => 0,
        };
        hub * 64 + (self.local.get() as u32 - 1) * 8 + (self.remote.get() as u32 - 1)
    }

    /// The offset of its listen port from the first listen port of its uplink. Both ends compute
    /// the other's from this.
    #[must_use]
    pub const fn port_offset(hub: Option<HubIndex>, remote: Slot) -> u16 {
        let hub = match hub {
            Some(hub) => hub.get() as u16,
            None => 0,
        };
        hub * 8 + (remote.get() as u16 - 1)
    }
}

/// The numbers and names that mark an object as ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLayout {
    /// `rtm_protocol` of our routes, rules and nexthop objects; also the link group of our tunnels.
    pub protocol: u8,
    /// The first of the 1,000 routing tables that are ours.
    pub table_base: u32,
    /// The first of the 1,000 rule priorities that are ours.
    pub rule_base: u32,
    /// What the names of our interfaces begin with: `pat` gives `pat0`, `pat-1-2`, `pat-1-2-3`.
    pub interface_prefix: InterfacePrefix,
    /// Our bits of packet marks.
    pub marks: Marks,
}

/// One to four lower-case letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfacePrefix(Box<str>);

impl InterfacePrefix {
    /// Parses a prefix.
    ///
    /// # Errors
    /// [`InvalidName::Interface`] for anything but one to four lower-case letters.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let good = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase());
        if good {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::Interface(text.into()))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KernelLayout {
    fn default() -> Self {
        Self {
            protocol: 80,
            table_base: 7000,
            rule_base: 1000,
            interface_prefix: InterfacePrefix("pat".into()),
            marks: Marks::default(),
        }
    }
}

impl KernelLayout {
    /// How many tables and rule priorities, from their bases on, are ours.
    pub const SPAN: u32 = 1000;

    /// The metric of our ordinary routes: what IPv6 gives to routes without one.
    pub const METRIC: u32 = 1024;

    /// The metric of routes that take over when an ordinary one is gone.
    pub const FALLBACK_METRIC: u32 = 2048;

    /// The metric of the routes that catch what would otherwise leak.
    pub const GUARD_METRIC: u32 = 9999;

    /// The routing table of a class.
    #[must_use]
    pub const fn class_table(&self, class: ClassId) -> u32 {
        self.table_base + class.get() as u32
    }

    /// The routing table that catches overlay traffic for which no class has a route.
    #[must_use]
    pub const fn guard_table(&self) -> u32 {
        self.table_base + 128
    }

    /// The routing table into which FRR installs what it learns from other sites. No rule leads
    /// there: it is only followed, so that what is learned never competes with the machine's own
    /// routes.
    #[must_use]
    pub const fn learned_table(&self) -> u32 {
        self.table_base + 129
    }

    /// The routing table of an uplink's outer packets.
    #[must_use]
    pub const fn uplink_table(&self, slot: Slot) -> u32 {
        self.table_base + 200 + slot.get() as u32
    }

    /// The routing table of sockets bound to a tunnel.
    #[must_use]
    pub const fn tunnel_table(&self, tunnel: TunnelId) -> u32 {
        self.table_base + 300 + tunnel.index()
    }

    /// The priority of the rule for packets of the default class, which are the most: the kernel
    /// compares a packet with one rule after the other.
    #[must_use]
    pub const fn marked_default_rule(&self) -> u32 {
        self.rule_base
    }

    /// The priority of an uplink's rule.
    #[must_use]
    pub const fn uplink_rule(&self, slot: Slot) -> u32 {
        self.rule_base + slot.get() as u32
    }

    /// The priority of the rule of a class that is not the default.
    #[must_use]
    pub const fn class_rule(&self, class: ClassId) -> u32 {
        self.rule_base + 200 + class.get() as u32
    }

    /// The priority of the rules of tunnels, which are for sockets bound to them.
    #[must_use]
    pub const fn tunnel_rule(&self) -> u32 {
        self.rule_base + 350
    }

    /// The priority of the rule of whatever carries no class.
    #[must_use]
    pub const fn default_class_rule(&self) -> u32 {
        self.rule_base + 400
    }

    /// The priority of the guard's rule.
    #[must_use]
    pub const fn guard_rule(&self) -> u32 {
        self.rule_base + 500
    }

    /// The interface that holds the overlay addresses and that FRR sees as the overlay.
    #[must_use]
    pub fn overlay_interface(&self) -> IfName {
        self.name("0")
    }

    /// The link group of all tunnels, by which nftables knows them: one number costs it less than
    /// a pattern of names.
    #[must_use]
    pub const fn tunnel_group(&self) -> u32 {
        self.protocol as u32
    }

    /// The name of a tunnel's interface.
    #[must_use]
    pub fn tunnel_interface(&self, tunnel: TunnelId) -> IfName {
        let TunnelId { hub, local, remote } = tunnel;
        match hub {
            None => self.name(&format!("-{local}-{remote}")),
            Some(hub) => self.name(&format!("-{local}-{remote}-{}", hub.get())),
        }
    }

    /// Whether an interface of this name is ours.
    #[must_use]
    pub fn owns_interface(&self, name: &str) -> bool {
        name.strip_prefix(self.interface_prefix.as_str())
            .is_some_and(|rest| rest == "0" || is_tunnel_suffix(rest))
    }

    fn name(&self, suffix: &str) -> IfName {
        let text = format!("{}{suffix}", self.interface_prefix.as_str());
        #[expect(
            clippy::expect_used,
            reason = "4 letters and at most 6 more characters fit IFNAMSIZ"
        )]
        text.parse().expect("a short name without blanks")
    }
}

fn is_tunnel_suffix(rest: &str) -> bool {
    let mut parts = rest.split('-');
    let digit = |part: &str| matches!(part.as_bytes(), [b'1'..=b'8']);
    parts.next() == Some("")
        && parts.next().is_some_and(digit)
        && parts.next().is_some_and(digit)
        && parts.next().is_none_or(digit)
        && parts.next().is_none()
}

impl PathId {
    /// The tunnel that the path uses, given whether the far site is a hub.
    #[must_use]
    pub const fn tunnel(self, hub: Option<HubIndex>) -> TunnelId {
        TunnelId {
            hub,
            local: self.local,
            remote: self.remote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nexthop_ids_say_whose_they_are() {
        let (site, class) = (SiteNumber::new(65_534).unwrap(), ClassId::new(127).unwrap());
        assert_eq!(NexthopId::new(site, class).parts(), Some((site, class)));
        for foreign in [
            0,
            1,
            216,
            0x0000_0101,
            0xf000_0000,
            0xf000_0100,
            0xf000_0080,
        ] {
            assert_eq!(NexthopId(foreign).parts(), None, "{foreign:#x}");
        }
    }

    #[test]
    fn our_interfaces_are_recognised_and_others_are_not() {
        let layout = KernelLayout::default();
        let slot = |n| Slot::new(n).unwrap();
        for hub in [None, Some(HubIndex::new(7).unwrap())] {
            let tunnel = TunnelId {
                hub,
                local: slot(1),
                remote: slot(8),
            };
            assert!(layout.owns_interface(layout.tunnel_interface(tunnel).as_str()));
        }
        assert!(layout.owns_interface("pat0"));
        for foreign in [
            "pat",
            "pat1",
            "pat-",
            "pat-1",
            "pat-1-9",
            "pat-1-2-3-4",
            "patch0",
            "wg-1-2",
            "pat-a-b",
        ] {
            assert!(!layout.owns_interface(foreign), "{foreign}");
        }
    }

    #[test]
    fn tables_do_not_collide() {
        let layout = KernelLayout::default();
        let slots = || (1..=8).map(|n| Slot::new(n).unwrap());
        let mut tables: Vec<u32> = (1..=127)
            .map(|c| layout.class_table(ClassId::new(c).unwrap()))
            .collect();
        tables.extend([layout.guard_table(), layout.learned_table()]);
        tables.extend(slots().map(|s| layout.uplink_table(s)));
        for hub in (0..=7).map(|h| HubIndex::new(h).ok()) {
            for local in slots() {
                tables.extend(
                    slots().map(|remote| layout.tunnel_table(TunnelId { hub, local, remote })),
                );
            }
        }
        let count = tables.len();
        tables.sort_unstable();
        tables.dedup();
        assert_eq!(tables.len(), count);
        assert!(tables.iter().all(|t| (7000..8000).contains(t)));
    }
}
