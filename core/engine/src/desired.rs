//! What should be in the kernel: a pure function of configuration, surroundings, ownership of
//! prefixes, and decisions.

mod guards;
mod remembered;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use patronus_model::firewall::Firewall;
use patronus_model::ids::{ClassId, IfName, PathId, SiteNumber, Slot};
use patronus_model::kernel::{
    Environment, Family, Foreign, KernelState, OverlayInterface, RouteKey, RouteTarget, Rule,
    Selector,
};
use patronus_model::layout::{KernelLayout, NexthopId, TunnelId};
use patronus_model::router::{Gateway, RouterConfig, Uplink};
use patronus_model::wireguard::{Peer, PublicKey, Tunnel};

use crate::learned::Learned;
use crate::ownership::Ownership;
use crate::topology::{Topology, listen_offset, pairs};

pub(crate) use guards::local_networks;
use guards::{Guards, guarded_by_firewall};
pub(crate) use remembered::Remembered;

/// Bytes that WireGuard and UDP add to an inner packet: 32 and 8.
const WIREGUARD_UDP: u32 = 40;
/// Bytes of the outer IP header.
const IPV4_HEADER: u32 = 20;
/// Bytes of the outer IP header.
const IPV6_HEADER: u32 = 40;
/// What an uplink is taken to carry while its interface does not exist (RFC 894).
const ETHERNET_MTU: u32 = 1500;
/// The least that IPv6 needs of a link (RFC 8200 section 5).
const IPV6_MINIMUM_MTU: u32 = 1280;
/// Seconds between keepalives: what holds the UDP binding of every common NAT (wg(8)).
const KEEPALIVE: u16 = 25;

/// Where everything comes from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// What the router is told.
    pub config: &'a RouterConfig,
    /// Its tunnels and paths.
    pub topology: &'a Topology,
    /// What is around it.
    pub environment: &'a Environment,
    /// What BGP has learned.
    pub learned: &'a Learned,
    /// Whose each prefix is.
    pub ownership: &'a Ownership,
    /// Where each class goes at each site.
    pub choices: &'a BTreeMap<(SiteNumber, ClassId), PathId>,
    /// Where each peer was last heard. Peers roam, so the configured address is only where to
    /// speak first.
    pub endpoints: &'a BTreeMap<(IfName, PublicKey), SocketAddr>,
}

/// Everything that should be there.
#[must_use]
pub fn desired(sources: Sources<'_>) -> KernelState {
    with_routes(sources, all_routes(sources, &Guards::new(sources)))
}

/// Everything that should be there, given the routes.
pub(crate) fn with_routes(sources: Sources<'_>, routes: Routes) -> KernelState {
    KernelState {
        overlay: Some(overlay(sources)),
        tunnels: tunnels(sources),
        peers: peers(sources),
        nexthops: nexthops(sources),
        rules: rules(sources),
        firewall: Some(firewall(sources)),
        sysctls: sysctls(sources),
        routes,
    }
}

/// The routes of each table. There are as many as prefixes times classes, so they are made in the
/// order in which a map holds them, which is several times as fast as any other.
fn all_routes(sources: Sources<'_>, guards: &Guards) -> Routes {
    let mut others = Routes::new();
    uplink_routes(sources, &mut others);
    tunnel_routes(sources, &mut others);
    let classes = sources.config.classes.iter();
    // Of two with the same key, a map keeps the last: what must stay local comes after what is
    // carried.
    classes
        .flat_map(|class| class_routes(sources, class.id, guards))
        .chain(guards.routes(sources.config.layout.guard_table()))
        .chain(others)
        .collect()
}

fn overlay(Sources { config, .. }: Sources<'_>) -> OverlayInterface {
    let v6 = config.overlay.ipv6;
    let addresses = [
        Some(IpNet::V4(config.overlay.ipv4)),
        v6.map(IpNet::V6),
        v6.map(link_local),
    ];
    OverlayInterface {
        name: config.layout.overlay_interface(),
        addresses: addresses.into_iter().flatten().collect(),
        mtu: IPV6_MINIMUM_MTU,
    }
}

/// bgpd refuses IPv6 sessions on an interface without a link-local address, and the kernel makes
/// none on an interface of this kind. Nothing is ever sent to it.
fn link_local(address: ipnet::Ipv6Net) -> IpNet {
    let host = u64::try_from(u128::from(address.addr()) & u128::from(u64::MAX)).unwrap_or(1);
    let link_local = (0xfe80_u128 << 112) | u128::from(host);
    let net = ipnet::Ipv6Net::new(link_local.into(), 64).unwrap_or(address);
    IpNet::V6(net)
}

fn uplink(config: &RouterConfig, slot: Slot) -> Option<&Uplink> {
    config.uplinks.iter().find(|uplink| uplink.slot == slot)
}

fn tunnels(sources: Sources<'_>) -> BTreeMap<IfName, Tunnel> {
    let Sources {
        config, topology, ..
    } = sources;
    let tunnel = |id: &TunnelId| {
        let uplink = uplink(config, id.local)?;
        let tunnel = Tunnel {
            public_key: uplink.public_key,
            listen_port: uplink.listen_port.checked_add(listen_offset(id.hub, *id))?,
            fwmark: config.layout.marks.of_uplink(uplink.slot),
            mtu: mtu(sources, *id, uplink),
        };
        Some((config.layout.tunnel_interface(*id), tunnel))
    };
    topology.tunnels.iter().filter_map(tunnel).collect()
}

/// The outer packet must fit the uplink; a tunnel that may speak IPv6 to one of its peers leaves
/// room for the longer header.
fn mtu(sources: Sources<'_>, id: TunnelId, uplink: &Uplink) -> u32 {
    let link = sources
        .environment
        .uplinks
        .get(&id.local)
        .map_or(ETHERNET_MTU, |state| state.mtu);
    let may_be_v6 = |endpoint: Option<SocketAddr>| match endpoint {
        Some(endpoint) => endpoint.is_ipv6(),
        None => uplink.gateway6 != Gateway::None,
    };
    let peers = sources
        .config
        .remotes
        .iter()
        .filter(|site| site.hub == id.hub);
    let v6 = peers
        .flat_map(|site| &site.uplinks)
        .filter(|remote| remote.slot == id.remote)
        .any(|remote| may_be_v6(remote.endpoint));
    let header = if v6 { IPV6_HEADER } else { IPV4_HEADER };
    link.saturating_sub(header + WIREGUARD_UDP)
        .max(IPV6_MINIMUM_MTU)
}

fn peers(sources: Sources<'_>) -> BTreeMap<(IfName, PublicKey), Peer> {
    let Sources {
        config,
        ownership,
        endpoints,
        ..
    } = sources;
    let mut peers = BTreeMap::new();
    for site in &config.remotes {
        let allowed_ips = if site.hub.is_some() {
            Family::ALL.map(Family::default_prefix).into()
        } else {
            ownership.allowed(site)
        };
        for (local, remote) in pairs(config, site) {
            let id = TunnelId {
                hub: site.hub,
                local: local.slot,
                remote: remote.slot,
            };
            let key = (config.layout.tunnel_interface(id), remote.public_key);
            let configured = remote.tunnel_endpoint(config.hub, local.slot);
            let peer = Peer {
                endpoint: endpoints.get(&key).copied().or(configured),
                allowed_ips: allowed_ips.clone(),
                keepalive: remote.endpoint.map(|_| KEEPALIVE),
            };
            peers.insert(key, peer);
        }
    }
    peers
}

fn nexthops(sources: Sources<'_>) -> BTreeMap<NexthopId, IfName> {
    let nexthop = |((site, class), path): (&(SiteNumber, ClassId), &PathId)| {
        let spec = sources.topology.paths.get(path)?;
        Some((NexthopId::new(*site, *class), spec.interface.clone()))
    };
    sources.choices.iter().filter_map(nexthop).collect()
}

pub(crate) type Routes = BTreeMap<RouteKey, RouteTarget>;

fn ordinary(table: u32, prefix: IpNet) -> RouteKey {
    RouteKey {
        table,
        prefix,
        metric: KernelLayout::METRIC,
    }
}

fn guard(table: u32, prefix: IpNet) -> RouteKey {
    RouteKey {
        table,
        prefix,
        metric: KernelLayout::GUARD_METRIC,
    }
}

/// Outer packets leave by their own uplink or not at all.
fn uplink_routes(
    Sources {
        config,
        environment,
        ..
    }: Sources<'_>,
    routes: &mut Routes,
) {
    for uplink in &config.uplinks {
        let table = config.layout.uplink_table(uplink.slot);
        for family in Family::ALL {
            routes.insert(
                guard(table, family.default_prefix()),
                RouteTarget::Unreachable,
            );
        }
        let Some(state) = environment
            .uplinks
            .get(&uplink.slot)
            .filter(|state| state.carrier)
        else {
            continue;
        };
        let device = |gateway, source| RouteTarget::Device {
            interface: uplink.interface.clone(),
            gateway,
            source,
        };
        for address in &state.addresses {
            routes.insert(
                ordinary(table, address.trunc()),
                device(None, Some(address.addr())),
            );
        }
        for (family, configured, found) in [
            (Family::V4, uplink.gateway4, state.gateway4),
            (Family::V6, uplink.gateway6, state.gateway6),
        ] {
            if let Some(gateway) = effective(configured, found) {
                let source = source_towards(&state.addresses, gateway);
                let key = ordinary(table, family.default_prefix());
                routes.insert(key, device(Some(gateway), source));
            }
        }
    }
}

/// The gateway that is in force.
#[must_use]
pub fn effective(configured: Gateway, found: Option<IpAddr>) -> Option<IpAddr> {
    match configured {
        Gateway::None => None,
        Gateway::Dynamic => found,
        Gateway::Static(address) => Some(address),
    }
}

/// Our address in the gateway's network; a link-local gateway is in none, so the kernel chooses.
fn source_towards(addresses: &BTreeSet<IpNet>, gateway: IpAddr) -> Option<IpAddr> {
    addresses
        .iter()
        .find(|net| net.contains(&gateway))
        .map(IpNet::addr)
}

/// A socket bound to a tunnel reaches every peer by it.
fn tunnel_routes(
    Sources {
        config, topology, ..
    }: Sources<'_>,
    routes: &mut Routes,
) {
    for id in &topology.tunnels {
        for family in Family::ALL {
            let target = RouteTarget::Device {
                interface: config.layout.tunnel_interface(*id),
                gateway: None,
                source: None,
            };
            let table = config.layout.tunnel_table(*id);
            routes.insert(ordinary(table, family.default_prefix()), target);
        }
    }
}

fn class_routes<'a>(
    sources: Sources<'a>,
    class: ClassId,
    guards: &'a Guards,
) -> impl Iterator<Item = (RouteKey, RouteTarget)> + 'a {
    let Sources {
        config,
        ownership,
        choices,
        ..
    } = sources;
    let table = config.layout.class_table(class);
    // As a rule there are none, which is found out faster than that a site is among the others.
    let sites = ownership.sites();
    let undecided: BTreeSet<_> = sites
        .filter(|site| !choices.contains_key(&(*site, class)))
        .collect();
    let owners = ownership.owners.iter();
    let decided = owners.filter(move |(_, site)| !undecided.contains(site));
    let carried = decided.map(move |(prefix, site)| {
        let target = learned_route(config, prefix, *site, class);
        (ordinary(table, *prefix), target)
    });
    let local = guards.local.iter();
    carried.chain(local.flat_map(move |prefix| local_routes(ownership, table, *prefix)))
}

/// What keeps a network local. One that is connected is found here, without a look into four tables
/// for each packet; the kernel takes that away together with the interface.
fn local_routes(
    ownership: &Ownership,
    table: u32,
    prefix: IpNet,
) -> impl Iterator<Item = (RouteKey, RouteTarget)> {
    let mut key = ordinary(table, prefix);
    let connected = ownership.served.get(&prefix);
    let connected = connected.and_then(Foreign::connected);
    let connected = connected.map(|via| (key, RouteTarget::from(via.clone())));
    if connected.is_some() {
        key.metric = KernelLayout::FALLBACK_METRIC;
    }
    connected.into_iter().chain([(key, RouteTarget::Throw)])
}

fn learned_route(
    config: &RouterConfig,
    prefix: &IpNet,
    site: SiteNumber,
    class: ClassId,
) -> RouteTarget {
    RouteTarget::Nexthop {
        id: NexthopId::new(site, class),
        source: config.overlay.address(prefix.addr()),
    }
}

fn rules(
    Sources {
        config, topology, ..
    }: Sources<'_>,
) -> BTreeSet<Rule> {
    let layout = &config.layout;
    let mut rules = BTreeSet::new();
    for family in Family::ALL {
        let mut add = |priority, selector, table| {
            rules.insert(Rule {
                priority,
                family,
                selector,
                table,
            });
        };
        for uplink in &config.uplinks {
            let (value, mask) = (layout.marks.of_uplink(uplink.slot), layout.marks.uplink);
            let selector = Selector::Mark { value, mask };
            add(
                layout.uplink_rule(uplink.slot),
                selector,
                layout.uplink_table(uplink.slot),
            );
        }
        for class in &config.classes {
            let (value, mask) = (layout.marks.of_class(class.id), layout.marks.class);
            let priority = if class.id == config.default_class {
                layout.marked_default_rule()
            } else {
                layout.class_rule(class.id)
            };
            let selector = Selector::Mark { value, mask };
            add(priority, selector, layout.class_table(class.id));
        }
        for tunnel in &topology.tunnels {
            let selector = Selector::OutInterface(layout.tunnel_interface(*tunnel));
            add(layout.tunnel_rule(), selector, layout.tunnel_table(*tunnel));
        }
        let default = layout.class_table(config.default_class);
        add(layout.default_class_rule(), Selector::All, default);
        add(layout.guard_rule(), Selector::All, layout.guard_table());
    }
    rules
}

fn firewall(sources: Sources<'_>) -> Firewall {
    let Sources { config, .. } = sources;
    Firewall {
        uplinks: config
            .uplinks
            .iter()
            .map(|uplink| uplink.interface.clone())
            .collect(),
        tunnels: config.layout.tunnel_group(),
        policies: config.policies.clone(),
        default_class: config.default_class,
        dscp: config
            .classes
            .iter()
            .map(|class| (class.id, class.dscp))
            .collect(),
        guarded: guarded_by_firewall(sources),
        marks: config.layout.marks,
    }
}

fn sysctls(
    Sources {
        config,
        topology,
        environment,
        ownership,
        ..
    }: Sources<'_>,
) -> BTreeMap<String, String> {
    let mut sysctls = BTreeMap::new();
    let mut set = |path: String, value: &str| {
        sysctls.insert(path, value.to_owned());
    };
    set("net/ipv4/ip_forward".into(), "1");
    set("net/ipv6/conf/all/forwarding".into(), "1");
    // With the compatible mode on, moving a nexthop costs time in proportion to its routes.
    set("net/ipv4/nexthop_compat_mode".into(), "0");
    // WireGuard in the kernel switches it off whenever one of its interfaces comes up. Doing so
    // ourselves before lets us put it back in the end.
    set("net/ipv4/conf/all/send_redirects".into(), "0");
    let mut ours = environment.addresses.iter();
    let is_told_apart = !ours.any(|ours| ownership.is_allowed_to_mesh(config, *ours));
    for tunnel in &topology.tunnels {
        // Paths are asymmetric by design; WireGuard's allowed addresses guard the sources.
        let name = config.layout.tunnel_interface(*tunnel);
        set(format!("net/ipv4/conf/{name}/rp_filter"), "0");
        if tunnel.hub.is_none() && is_told_apart {
            // The source of every packet would be looked up all the same, to see that it is not
            // an address of this machine, which WireGuard has seen to.
            set(format!("net/ipv4/conf/{name}/accept_local"), "1");
        }
    }
    for uplink in config
        .uplinks
        .iter()
        .filter(|u| environment.uplinks.contains_key(&u.slot))
    {
        set(format!("net/ipv4/conf/{}/rp_filter", uplink.interface), "2");
        if uplink.gateway6 == Gateway::Dynamic {
            // A host that forwards ignores router advertisements otherwise.
            set(format!("net/ipv6/conf/{}/accept_ra", uplink.interface), "2");
        }
    }
    sysctls
}
