//! The kernel objects that are ours: what should be there, what is there, and the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::firewall::Firewall;
use crate::ids::{IfName, Slot};
use crate::layout::NexthopId;
use crate::wireguard::{Peer, PublicKey, Tunnel};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of a prefix.
    #[must_use]
    pub const fn of(prefix: &IpNet) -> Self {
        match prefix {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }

    /// The prefix that contains every address.
    #[must_use]
    pub fn default_prefix(self) -> IpNet {
        match self {
            Self::V4 => IpNet::V4(ipnet::Ipv4Net::default()),
            Self::V6 => IpNet::V6(ipnet::Ipv6Net::default()),
        }
    }
}

/// What makes a route one route in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Routing table.
    pub table: u32,
    /// Destination.
    pub prefix: IpNet,
    /// Lower is preferred.
    pub metric: u32,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteTarget {
    /// Nowhere here: the next rule decides.
    Throw,
    /// Nowhere at all; the sender is told.
    Unreachable,
    /// Out of an interface, perhaps through a gateway.
    Device {
        /// The interface.
        interface: IfName,
        /// The gateway.
        gateway: Option<IpAddr>,
        /// The source that local packets prefer.
        source: Option<IpAddr>,
    },
    /// Wherever a nexthop object leads.
    Nexthop {
        /// The object.
        id: NexthopId,
        /// The source that local packets prefer.
        source: Option<IpAddr>,
    },
}

impl From<Via> for RouteTarget {
    fn from(via: Via) -> Self {
        Self::Device {
            interface: via.interface,
            gateway: via.gateway,
            source: via.source,
        }
    }
}

/// Which packets a policy-routing rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// All.
    All,
    /// Those whose mark has this value under this mask.
    Mark {
        /// The value.
        value: u32,
        /// The mask.
        mask: u32,
    },
    /// Those of sockets bound to this interface.
    OutInterface(IfName),
}

/// A policy-routing rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Lower is looked at earlier.
    pub priority: u32,
    /// The family.
    pub family: Family,
    /// Which packets.
    pub selector: Selector,
    /// The table that they use.
    pub table: u32,
}

/// All that is ours in the kernel. Desired and observed state have this same shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelState {
    /// Kernel parameters by their path below `/proc/sys`.
    pub sysctls: BTreeMap<String, String>,
    /// The interface that holds the overlay addresses, with these addresses.
    pub overlay: Option<OverlayInterface>,
    /// WireGuard interfaces.
    pub tunnels: BTreeMap<IfName, Tunnel>,
    /// Their peers.
    pub peers: BTreeMap<(IfName, PublicKey), Peer>,
    /// Nexthop objects and the interface each leads to.
    pub nexthops: BTreeMap<NexthopId, IfName>,
    /// Routes.
    pub routes: BTreeMap<RouteKey, RouteTarget>,
    /// Rules.
    pub rules: BTreeSet<Rule>,
    /// The nftables table.
    pub firewall: Option<Firewall>,
}

/// The interface that FRR sees as the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayInterface {
    /// Its name.
    pub name: IfName,
    /// Its addresses, with the lengths of the overlay's networks.
    pub addresses: BTreeSet<IpNet>,
    /// The largest packet that all tunnels carry.
    pub mtu: u32,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Set a kernel parameter.
    PutSysctl(String, String),
    /// Create or alter the overlay interface.
    PutOverlay(OverlayInterface),
    /// Create or alter a tunnel.
    PutTunnel(IfName, Tunnel),
    /// Create or alter a peer of a tunnel.
    PutPeer(IfName, PublicKey, Peer),
    /// Create or re-point a nexthop object.
    PutNexthop(NexthopId, IfName),
    /// Create or replace a route.
    PutRoute(RouteKey, RouteTarget),
    /// Create a rule.
    PutRule(Rule),
    /// Replace our nftables table.
    PutFirewall(Firewall),
    /// Delete our nftables table.
    DeleteFirewall,
    /// Delete a rule.
    DeleteRule(Rule),
    /// Delete a route.
    DeleteRoute(RouteKey),
    /// Delete a nexthop object.
    DeleteNexthop(NexthopId),
    /// Delete a peer of a tunnel.
    DeletePeer(IfName, PublicKey),
    /// Delete a tunnel.
    DeleteTunnel(IfName),
    /// Delete the overlay interface.
    DeleteOverlay(IfName),
    /// Give a kernel parameter back the value it had before us.
    RestoreSysctl(String),
}

impl fmt::Display for Change {
    /// What the step does, like `putting route 10.2.0.0/16 into table 7001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutSysctl(path, value) => write!(f, "setting {path} to {value}"),
            Self::RestoreSysctl(path) => write!(f, "putting {path} back"),
            Self::PutOverlay(overlay) => write!(f, "putting interface {}", overlay.name),
            Self::DeleteOverlay(name) => write!(f, "deleting interface {name}"),
            Self::PutTunnel(name, _) => write!(f, "putting tunnel {name}"),
            Self::DeleteTunnel(name) => write!(f, "deleting tunnel {name}"),
            Self::PutPeer(name, key, _) => write!(f, "putting peer {key} of tunnel {name}"),
            Self::DeletePeer(name, key) => write!(f, "deleting peer {key} of tunnel {name}"),
            Self::PutNexthop(id, name) => write!(f, "pointing nexthop {id} at {name}"),
            Self::DeleteNexthop(id) => write!(f, "deleting nexthop {id}"),
            Self::PutRoute(key, _) => {
                write!(f, "putting route {} into table {}", key.prefix, key.table)
            }
            Self::DeleteRoute(key) => {
                write!(f, "deleting route {} from table {}", key.prefix, key.table)
            }
            Self::PutRule(rule) => write!(f, "putting rule {}", rule.priority),
            Self::DeleteRule(rule) => write!(f, "deleting rule {}", rule.priority),
            Self::PutFirewall(_) => f.write_str("replacing the nftables table"),
            Self::DeleteFirewall => f.write_str("deleting the nftables table"),
        }
    }
}

/// Steps in the order in which they are to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan(pub Vec<Change>);

/// What a router has around it that is not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The interfaces that were looked for: those of uplinks and LANs. What is not among them may
    /// be there all the same.
    pub looked_for: BTreeSet<IfName>,
    /// The uplinks whose interfaces exist.
    pub uplinks: BTreeMap<Slot, UplinkState>,
    /// The LAN interfaces that exist.
    pub lans: BTreeMap<IfName, LanInterface>,
    /// Prefixes that are routed elsewhere than into the overlay; default routes of the main table
    /// are not among them.
    pub foreign: BTreeMap<IpNet, Foreign>,
    /// Addresses of the machine, on whatever interface.
    pub addresses: BTreeSet<IpAddr>,
}

/// Who routes a prefix elsewhere than into the overlay, and by which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// The main table; `None` where that is by several ways, or nowhere.
    Main(Option<Via>),
    /// A BGP neighbour outside the overlay: of what BGP knows, its way is the best. The main table
    /// has nothing of exactly this prefix. Of equal ways this is one.
    Neighbor(Via),
}

impl Foreign {
    /// The way, if there is one.
    #[must_use]
    pub const fn via(&self) -> Option<&Via> {
        match self {
            Self::Main(via) => via.as_ref(),
            Self::Neighbor(via) => Some(via),
        }
    }

    /// The way of a network that an interface of the machine is in itself.
    #[must_use]
    pub fn connected(&self) -> Option<&Via> {
        match self {
            Self::Main(via) => via.as_ref().filter(|via| via.gateway.is_none()),
            Self::Neighbor(_) => None,
        }
    }
}

/// Out of an interface, perhaps through a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// The interface.
    pub interface: IfName,
    /// The gateway.
    pub gateway: Option<IpAddr>,
    /// The source that local packets prefer.
    pub source: Option<IpAddr>,
}

impl fmt::Display for Via {
    /// The way in words, like `10.1.0.7 on lan0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gateway {
            Some(gateway) => write!(f, "{gateway} on {}", self.interface),
            None => write!(f, "{}", self.interface),
        }
    }
}

/// A LAN's interface as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LanInterface {
    /// Whether it is up and has carrier.
    pub carrier: bool,
    /// Its addresses of global scope.
    pub addresses: BTreeSet<IpNet>,
}

/// An uplink's interface as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UplinkState {
    /// Whether it is up and has carrier.
    pub carrier: bool,
    /// Bytes of a packet.
    pub mtu: u32,
    /// Its addresses of global scope.
    pub addresses: BTreeSet<IpNet>,
    /// The gateway of the IPv4 default route on it in the main table.
    pub gateway4: Option<IpAddr>,
    /// The gateway of the IPv6 default route on it in the main table.
    pub gateway6: Option<IpAddr>,
}

/// What routing has learned: each prefix with its BGP next hop, which is the overlay address of the
/// site that it leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedDelta {
    /// Whether `set` is everything there is, so that whatever else was known is gone.
    pub full: bool,
    /// Prefixes that are new or have another next hop.
    pub set: BTreeMap<IpNet, IpAddr>,
    /// Prefixes that are gone.
    pub removed: BTreeSet<IpNet>,
}

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// Steps that were made.
    pub done: usize,
    /// Steps that failed, in words, with what failed. The others were made all the same.
    pub failed: Vec<String>,
    /// How long it took.
    pub took: std::time::Duration,
}
