//! The configuration of one router: what a file says in this version, and what a controller will
//! say later. It is valid by construction: `patronus-config` checks what types cannot.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::bgp::{Asn, BfdTimers, BgpNeighbor, BgpTimers};
use crate::ids::{ClassId, IfName, SiteId, SiteNumber, Slot, UnderlayName, UplinkName};
use crate::layout::{HubIndex, KernelLayout, TunnelId};
use crate::policy::{Policy, TrafficClass};
use crate::secret::Secret;
use crate::wireguard::PublicKey;

/// Everything that a router is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    /// This site.
    pub site: Site,
    /// Its place in the overlay.
    pub overlay: Overlay,
    /// Its number among the hubs, if it is one.
    pub hub: Option<HubIndex>,
    /// Its uplinks, sorted by slot.
    pub uplinks: Vec<Uplink>,
    /// Its LANs.
    pub lans: Vec<Lan>,
    /// The other sites, sorted by number.
    pub remotes: Vec<RemoteSite>,
    /// BGP.
    pub bgp: Bgp,
    /// Traffic classes, sorted by id.
    pub classes: Vec<TrafficClass>,
    /// The class of traffic that no policy matches.
    pub default_class: ClassId,
    /// Policies, sorted by priority.
    pub policies: Vec<Policy>,
    /// How paths are watched.
    pub health: HealthParams,
    /// Where our objects live in the kernel.
    pub layout: KernelLayout,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// For ever.
    pub id: SiteId,
    /// For people.
    pub name: String,
    /// For people.
    pub location: Option<String>,
    /// For selectors.
    pub labels: BTreeMap<String, String>,
}

/// Our overlay addresses, with the prefix lengths of the overlay's networks, and what else belongs
/// to the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Our address in the IPv4 overlay network.
    pub ipv4: Ipv4Net,
    /// Our address in the IPv6 overlay network.
    pub ipv6: Option<Ipv6Net>,
    /// Prefixes that must never leave by an uplink in the clear, whether a route to them is known
    /// or not.
    pub prefixes: Vec<IpNet>,
}

impl Overlay {
    /// Our address of one family.
    #[must_use]
    pub fn address(&self, of: IpAddr) -> Option<IpAddr> {
        match of {
            IpAddr::V4(_) => Some(self.ipv4.addr().into()),
            IpAddr::V6(_) => self.ipv6.map(|net| net.addr().into()),
        }
    }

    /// The overlay's networks.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> + '_ {
        let v6 = self.ipv6.map(|net| IpNet::V6(net.trunc()));
        std::iter::once(IpNet::V4(self.ipv4.trunc())).chain(v6)
    }
}

/// How an uplink finds its gateway in one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// This family is not used.
    None,
    /// From the default route that a DHCP client or router advertisements put on the interface.
    Dynamic,
    /// A fixed address.
    Static(IpAddr),
}

/// One attachment to an underlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Its name.
    pub name: UplinkName,
    /// Its number, as the other sites know it.
    pub slot: Slot,
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
    /// Relative cost; lower is preferred where nothing else decides.
    pub cost: u32,
    /// Whether bytes cost money.
    pub metered: bool,
    /// The first of [`TunnelId::PORTS_PER_UPLINK`] UDP ports on which its tunnels listen.
    pub listen_port: u16,
    /// The public half of its key.
    pub public_key: PublicKey,
}

/// A network behind the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lan {
    /// Its interface.
    pub interface: IfName,
    /// Its prefixes, which this site originates.
    pub prefixes: Vec<IpNet>,
}

/// Another site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSite {
    /// Its id.
    pub id: SiteId,
    /// Its name for people.
    pub name: String,
    /// Its number.
    pub number: SiteNumber,
    /// Its IPv4 overlay address.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 overlay address.
    pub ipv6: Option<std::net::Ipv6Addr>,
    /// Its number among the hubs, if it is one.
    pub hub: Option<HubIndex>,
    /// Its AS.
    pub asn: Asn,
    /// TCP-MD5 password of the BGP session with it.
    pub bgp_password: Option<Secret>,
    /// Prefixes that it is known to originate, whether BGP says so or not.
    pub prefixes: Vec<IpNet>,
    /// Its uplinks, sorted by slot.
    pub uplinks: Vec<RemoteUplink>,
}

impl RemoteSite {
    /// Its overlay addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        std::iter::once(IpAddr::V4(self.ipv4)).chain(self.ipv6.map(IpAddr::V6))
    }

    /// Its overlay addresses and the prefixes that it is known to originate.
    pub fn prefixes_and_addresses(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.addresses()
            .map(IpNet::from)
            .chain(self.prefixes.iter().copied())
    }
}

/// An uplink of another site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUplink {
    /// Its name.
    pub name: UplinkName,
    /// Its number.
    pub slot: Slot,
    /// The underlay it belongs to.
    pub underlay: UnderlayName,
    /// Its key.
    pub public_key: PublicKey,
    /// Its address and first listen port; `None` where the address changes or is behind NAT, so
    /// that the other side must speak first.
    pub endpoint: Option<SocketAddr>,
}

impl RemoteUplink {
    /// Where one of its tunnels listens: the one that it has for our slot, given our own number
    /// among the hubs.
    #[must_use]
    pub fn tunnel_endpoint(&self, our_hub: Option<HubIndex>, our_slot: Slot) -> Option<SocketAddr> {
        let first = self.endpoint?;
        let port = first
            .port()
            .checked_add(TunnelId::port_offset(our_hub, our_slot))?;
        Some(SocketAddr::new(first.ip(), port))
    }
}

/// BGP as configured: the overlay's sessions follow from the remote sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bgp {
    /// Our AS.
    pub asn: Asn,
    /// Our router id.
    pub router_id: Ipv4Addr,
    /// Timers of the overlay's sessions.
    pub timers: BgpTimers,
    /// How long our routes survive the death of our BGP daemon.
    pub graceful_restart: Option<Duration>,
    /// How many prefixes are taken from each site.
    pub maximum_prefixes: u32,
    /// Neighbours outside the overlay.
    pub neighbors: Vec<BgpNeighbor>,
    /// A hub only: announce a default route to its spokes.
    pub originate_default: bool,
}

/// How paths are watched, and when they count as bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthParams {
    /// BFD on every path.
    pub bfd: BfdTimers,
    /// A path whose smoothed round-trip time is above this is degraded.
    pub degraded_latency: Option<Duration>,
    /// A path that loses more than this is degraded, in parts per thousand.
    pub degraded_loss_permille: Option<u16>,
    /// Dampening of paths that flap.
    pub dampening: Dampening,
    /// How long after start a path may take to come up before it counts as down.
    pub start_grace: Duration,
    /// How long a path is taken to be as it was after its far end was stopped on purpose.
    pub stop_grace: Duration,
}

impl Default for HealthParams {
    fn default() -> Self {
        Self {
            bfd: BfdTimers::default(),
            degraded_latency: Some(Duration::from_millis(300)),
            degraded_loss_permille: Some(100),
            dampening: Dampening::default(),
            start_grace: Duration::from_secs(5),
            // A daemon that is restarted or upgraded is back within seconds; a machine that boots
            // within a minute or two.
            stop_grace: Duration::from_secs(60),
        }
    }
}

/// Route-flap dampening (after RFC 2439) for paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dampening {
    /// Added each time the path goes down.
    pub penalty: u32,
    /// Above this nobody moves to the path unless there is no other.
    pub suppress: u32,
    /// Below this it is a candidate again.
    pub reuse: u32,
    /// The time in which a penalty halves.
    pub half_life: Duration,
    /// The most that a penalty can reach, which bounds how long a path stays suppressed.
    pub ceiling: u32,
}

impl Default for Dampening {
    /// Three flaps within a minute suppress a path for some two minutes.
    fn default() -> Self {
        Self {
            penalty: 1000,
            suppress: 2500,
            reuse: 750,
            half_life: Duration::from_secs(60),
            ceiling: 6000,
        }
    }
}
