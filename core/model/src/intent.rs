//! What people want of their whole network, before it is worked out what each router does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::bgp::{Asn, BgpNeighbor, BgpTimers};
use crate::ids::{ClassName, IfName, PolicyName, SiteId, Slot, UnderlayName, UplinkName};
use crate::layout::{HubIndex, KernelLayout};
use crate::policy::{Match, TrafficClass};
use crate::router::{Gateway, HealthParams, Lan};
use crate::wireguard::PublicKey;

/// The intent: everything that people have said about their network.
///
/// Objects are shared, so that two versions which differ in one of a thousand sites differ in one
/// pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// What holds for all.
    pub network: Arc<Network>,
    /// The sites.
    pub sites: BTreeMap<SiteId, Arc<Site>>,
    /// Traffic classes; none means the ones that a router has when it is told of none. A preference
    /// may name uplinks which only some sites have.
    pub classes: BTreeMap<ClassName, Arc<TrafficClass>>,
    /// Policies.
    pub policies: BTreeMap<PolicyName, Arc<Policy>>,
}

impl Intent {
    /// The object with this id.
    #[must_use]
    pub fn object(&self, id: &ObjectId) -> Option<Object> {
        let name = &id.name;
        match id.kind {
            Kind::Network => Some(Object::Network(Arc::clone(&self.network))),
            Kind::Site => {
                let site = self.sites.get(&name.parse().ok()?)?;
                Some(Object::Site(Arc::clone(site)))
            }
            Kind::Class => {
                let class = self.classes.get(&name.parse().ok()?)?;
                Some(Object::Class(Arc::clone(class)))
            }
            Kind::Policy => {
                let policy = self.policies.get(&name.parse().ok()?)?;
                Some(Object::Policy(Arc::clone(policy)))
            }
        }
    }

    /// Puts an object into its place; whatever was there is replaced.
    pub fn put(&mut self, object: Object) {
        match object {
            Object::Network(network) => self.network = network,
            Object::Site(site) => {
                self.sites.insert(site.id.clone(), site);
            }
            Object::Class(class) => {
                self.classes.insert(class.name.clone(), class);
            }
            Object::Policy(policy) => {
                self.policies.insert(policy.name.clone(), policy);
            }
        }
    }

    /// Removes an object; says whether it was there. The network always is, and stays.
    pub fn remove(&mut self, id: &ObjectId) -> bool {
        let name = &id.name;
        match id.kind {
            Kind::Network => false,
            Kind::Site => name
                .parse()
                .is_ok_and(|id| self.sites.remove(&id).is_some()),
            Kind::Class => name
                .parse()
                .is_ok_and(|id| self.classes.remove(&id).is_some()),
            Kind::Policy => name
                .parse()
                .is_ok_and(|id| self.policies.remove(&id).is_some()),
        }
    }
}

/// What kind of object something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Network`]; there is one.
    Network,
    /// [`Site`].
    Site,
    /// [`TrafficClass`].
    Class,
    /// [`Policy`].
    Policy,
}

impl Kind {
    /// All of them, in the order in which people read them.
    pub const ALL: [Self; 4] = [Self::Network, Self::Site, Self::Class, Self::Policy];

    /// As in `kind: site`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Site => "site",
            Self::Class => "class",
            Self::Policy => "policy",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which object something is about: `site/berlin`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its id or name; that of the network is always `network`.
    pub name: Box<str>,
}

impl ObjectId {
    /// The network.
    #[must_use]
    pub fn network() -> Self {
        Self::new(Kind::Network, Kind::Network.as_str())
    }

    /// An object by its name.
    #[must_use]
    pub fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Network => f.write_str(Kind::Network.as_str()),
            kind => write!(f, "{kind}/{}", self.name),
        }
    }
}

/// One object, by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// The network.
    Network(Arc<Network>),
    /// A site.
    Site(Arc<Site>),
    /// A class.
    Class(Arc<TrafficClass>),
    /// A policy.
    Policy(Arc<Policy>),
}

impl Object {
    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        match self {
            Self::Network(_) => ObjectId::network(),
            Self::Site(site) => ObjectId::new(Kind::Site, site.id.as_str()),
            Self::Class(class) => ObjectId::new(Kind::Class, class.name.as_str()),
            Self::Policy(policy) => ObjectId::new(Kind::Policy, policy.name.as_str()),
        }
    }
}

/// What holds for the whole network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The IPv4 network from which each site gets an address.
    pub overlay4: Ipv4Net,
    /// The IPv6 network from which each site gets an address.
    pub overlay6: Option<Ipv6Net>,
    /// Prefixes that must never leave by an uplink in the clear.
    pub guarded: Vec<IpNet>,
    /// Which sites have paths to each other.
    pub topology: Topology,
    /// Timers of the overlay's BGP sessions.
    pub bgp_timers: BgpTimers,
    /// How long routes survive the death of a site's BGP daemon.
    pub graceful_restart: Option<Duration>,
    /// How many prefixes are taken from each site.
    pub maximum_prefixes: u32,
    /// How paths are watched.
    pub health: HealthParams,
    /// The class of traffic that no policy matches; `None`: the first of QoS class Standard.
    pub default_class: Option<ClassName>,
}

/// Which sites have paths to each other.
///
/// Hubs always have paths to each other. Sites of which neither is a hub reach each other by a
/// hub where they have no paths of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Which pairs of ordinary sites have paths.
    pub mesh: Extent,
    /// To which hubs an ordinary site has paths.
    pub hubs: Extent,
}

/// Which of all pairs are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All.
    All,
    /// None.
    None,
    /// Those in which both have the same value of this label.
    Within(String),
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// For ever.
    pub id: SiteId,
    /// For people.
    pub name: String,
    /// For people.
    pub location: Option<String>,
    /// For selectors and the topology.
    pub labels: BTreeMap<String, String>,
    /// Whether it forwards between other sites.
    pub hub: bool,
    /// Its uplinks, in the order in which they were written.
    pub uplinks: Vec<Uplink>,
    /// Its LANs.
    pub lans: Vec<Lan>,
    /// Its AS, if it is not to have one of the network's.
    pub asn: Option<Asn>,
    /// Its router id, if that is not to be its overlay address.
    pub router_id: Option<Ipv4Addr>,
    /// Its neighbours outside the overlay.
    pub neighbors: Vec<Neighbor>,
    /// A hub only: announce a default route to its spokes.
    pub originate_default: bool,
    /// Where its router's objects live in the kernel.
    pub layout: KernelLayout,
}

/// A BGP neighbour outside the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// All that the controller knows of it.
    pub session: BgpNeighbor,
    /// The file on the router which holds its password.
    pub password_file: Option<String>,
}

/// One attachment of a site to an underlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Its name.
    pub name: UplinkName,
    /// Its number, if it is not to be given one.
    pub slot: Option<Slot>,
    /// Its interface.
    pub interface: IfName,
    /// The underlay it belongs to.
    pub underlay: UnderlayName,
    /// The IPv4 gateway.
    pub gateway4: Gateway,
    /// The IPv6 gateway.
    pub gateway6: Gateway,
    /// Bits per second towards the underlay.
    pub bandwidth_up: Option<u64>,
    /// Bits per second from the underlay.
    pub bandwidth_down: Option<u64>,
    /// Relative cost.
    pub cost: u32,
    /// Whether bytes cost money.
    pub metered: bool,
    /// The first port of its tunnels, if that does not follow from its slot.
    pub listen_port: Option<u16>,
    /// How other sites reach it.
    pub endpoint: Endpoint,
}

/// How other sites reach an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At the address that its router has there, if that is one which others can reach.
    Auto,
    /// They cannot: it speaks first.
    None,
    /// At this address. Port 0 stands for the port on which it listens.
    At(SocketAddr),
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Name.
    pub name: PolicyName,
    /// Lower is looked at earlier; unique in the network.
    pub priority: u32,
    /// At which sites it holds.
    pub sites: Selector,
    /// Which flows.
    pub matches: Match,
    /// What becomes of them.
    pub action: Action,
}

/// What becomes of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It travels in this class.
    Route(ClassName),
    /// It is dropped.
    Drop,
}

/// Which sites something is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All.
    All,
    /// These.
    Named(BTreeSet<SiteId>),
    /// Those that have all of these labels.
    Labelled(BTreeMap<String, String>),
}

impl Selector {
    /// Whether a site is meant.
    #[must_use]
    pub fn selects(&self, site: &Site) -> bool {
        match self {
            Self::All => true,
            Self::Named(ids) => ids.contains(&site.id),
            Self::Labelled(labels) => labels
                .iter()
                .all(|(key, value)| site.labels.get(key) == Some(value)),
        }
    }
}

impl Topology {
    /// Whether two different sites have paths to each other.
    #[must_use]
    pub fn joins(&self, one: &Site, other: &Site) -> bool {
        match (one.hub, other.hub) {
            (true, true) => true,
            (false, false) => self.mesh.joins(one, other),
            (true, false) | (false, true) => self.hubs.joins(one, other),
        }
    }
}

impl Extent {
    fn joins(&self, one: &Site, other: &Site) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Within(label) => {
                let value = one.labels.get(label);
                value.is_some() && value == other.labels.get(label)
            }
        }
    }
}

/// What the routers of a network have said of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// By site and uplink.
    pub uplinks: BTreeMap<(SiteId, UplinkName), UplinkFacts>,
}

/// What a router has said of an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UplinkFacts {
    /// The public half of its key.
    pub public_key: PublicKey,
    /// Where others might reach it: the address of its interface and its first listen port.
    pub address: Option<SocketAddr>,
}

/// The numbers that were given to sites and uplinks. They are for ever: what is removed and comes
/// back gets its own again, and nobody else does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Host parts of overlay addresses.
    pub numbers: BTreeMap<SiteId, u16>,
    /// Numbers of hubs.
    pub hubs: BTreeMap<SiteId, HubIndex>,
    /// Slots of uplinks.
    pub slots: BTreeMap<(SiteId, UplinkName), Slot>,
}
