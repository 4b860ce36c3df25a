//! Who is told and believed what: prefix-lists and route-maps.
//!
//! Where a route came from is kept in its *tag*, which stays within bgpd: no peer can set it and
//! none sees it, unlike a community. Every route passes one of three doors, each of which sets it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use patronus_model::bgp::{Accept, Advertise, BgpNeighbor};

use super::{Desired, covering};
use crate::tree::Node;

/// The door of what this site originates.
pub(crate) const OWN: &str = "patronus-own";

/// Tag of what this site originates.
const TAG_OWN: u8 = 1;
/// Tag of what neighbours outside the overlay announce.
const TAG_EXTERNAL: u8 = 2;
/// Tag of what other sites announce.
const TAG_SITE: u8 = 3;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// IPv4 unicast.
    V4,
    /// IPv6 unicast.
    V6,
}

impl Family {
    pub(crate) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(crate) fn holds(self, address: IpAddr) -> bool {
        Self::of(address) == self
    }

    /// `ip` or `ipv6`, as policy commands begin.
    const fn ip(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ipv6",
        }
    }

    /// How names of ours end.
    const fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }

    const fn default_route(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        })
    }
}

/// The name of the route-map for what a neighbour announces.
pub(crate) fn inbound(site: bool, accept: Accept, family: Family) -> String {
    let who = if site { "site" } else { "external" };
    let what = match accept {
        Accept::AllButDefault => "",
        Accept::All => "-all",
    };
    format!("patronus-from-{who}{what}-{}", family.suffix())
}

/// The name of the route-map for what a neighbour is told.
pub(crate) fn outbound(desired: &Desired, neighbor: &BgpNeighbor) -> String {
    let family = Family::of(neighbor.address);
    let to = if own_next_hop(desired, neighbor).is_some() {
        "-site"
    } else {
        ""
    };
    let what = match neighbor.advertise {
        Advertise::OwnNetworks => "own",
        Advertise::OwnAndExternal => "external",
        Advertise::Everything | Advertise::EverythingAndDefault => "all",
    };
    format!("patronus-tell{to}-{what}-{}", family.suffix())
}

/// The IPv6 next hop that sites are told by the route-map rather than by bgpd itself, which says its
/// IPv4 address mapped into IPv6, and goes on to, once the address was away while the session lived
/// (FRR issue 18318). No kernel takes such a gateway.
fn own_next_hop(desired: &Desired, neighbor: &BgpNeighbor) -> Option<Ipv6Addr> {
    let site = desired.overlay.contains(neighbor.address);
    match neighbor.update_source {
        Some(IpAddr::V6(own)) if site && neighbor.next_hop_self => Some(own),
        Some(_) | None => None,
    }
}

/// The families that sessions or networks exist for.
fn families(desired: &Desired) -> BTreeSet<Family> {
    let neighbors = desired
        .bgp
        .neighbors
        .iter()
        .map(|neighbor| neighbor.address);
    let networks = desired.bgp.networks.iter().map(IpNet::addr);
    neighbors.chain(networks).map(Family::of).collect()
}

fn subnet(desired: &Desired, family: Family) -> Option<IpNet> {
    match family {
        Family::V4 => desired.overlay.subnet_v4.map(IpNet::V4),
        Family::V6 => desired.overlay.subnet_v6.map(IpNet::V6),
    }
}

pub(super) fn prefix_lists(desired: &Desired) -> Vec<Node> {
    let mut lines = Vec::new();
    for family in families(desired) {
        let (ip, suffix) = (family.ip(), family.suffix());
        if let Some(subnet) = subnet(desired, family) {
            lines.push(Node::leaf(&format!(
                "{ip} prefix-list patronus-overlay-{suffix} seq 5 permit {}",
                covering(subnet)
            )));
        }
        lines.push(Node::leaf(&format!(
            "{ip} prefix-list patronus-default-{suffix} seq 5 permit {}",
            family.default_route()
        )));
    }
    lines
}

/// The route-maps that are referred to, each once.
pub(super) fn route_maps(desired: &Desired) -> Vec<Node> {
    let mut nodes = Vec::new();
    if !desired.bgp.networks.is_empty() {
        let own = vec![Node::leaf(&format!("set tag {TAG_OWN}"))];
        nodes.push(Node::context(&format!("route-map {OWN} permit 10"), own));
    }
    let mut seen = BTreeSet::new();
    for neighbor in &desired.bgp.neighbors {
        let family = Family::of(neighbor.address);
        let site = desired.overlay.contains(neighbor.address);
        if seen.insert(inbound(site, neighbor.accept, family)) {
            nodes.extend(inbound_map(desired, site, neighbor.accept, family));
        }
        if seen.insert(outbound(desired, neighbor)) {
            nodes.extend(outbound_map(desired, neighbor, family));
        }
    }
    nodes
}

fn inbound_map(desired: &Desired, site: bool, accept: Accept, family: Family) -> Vec<Node> {
    let name = inbound(site, accept, family);
    let mut nodes = Vec::new();
    nodes.extend(deny_overlay(desired, &name, family));
    // By its next hop it is told to whom a route leads, so nobody may name another side's.
    let in_overlay = subnet(desired, family).map(|_| next_hop_in_overlay(family));
    if let Some(condition) = in_overlay.clone().filter(|_| !site) {
        let line = vec![Node::leaf(&condition)];
        nodes.push(Node::context(&format!("route-map {name} deny 15"), line));
    }
    if accept == Accept::AllButDefault {
        nodes.push(deny(&name, 20, "default", family));
    }
    let condition = in_overlay.filter(|_| site);
    let mut lines: Vec<Node> = condition.iter().map(|it| Node::leaf(it)).collect();
    if site && family == Family::V6 {
        // Peers on one link send a link-local next hop beside the global one. Only the global
        // one says which site a route belongs to.
        lines.push(Node::leaf("set ipv6 next-hop prefer-global"));
    }
    let tag = if site { TAG_SITE } else { TAG_EXTERNAL };
    lines.push(Node::leaf(&format!("set tag {tag}")));
    if let Some(table) = desired.overlay.learned_table {
        lines.push(Node::leaf(&format!("set table {table}")));
    }
    nodes.push(Node::context(&format!("route-map {name} permit 30"), lines));
    nodes
}

fn outbound_map(desired: &Desired, neighbor: &BgpNeighbor, family: Family) -> Vec<Node> {
    let name = outbound(desired, neighbor);
    let next_hop = own_next_hop(desired, neighbor);
    let tags: &[Option<u8>] = match neighbor.advertise {
        Advertise::OwnNetworks => &[Some(TAG_OWN)],
        Advertise::OwnAndExternal => &[Some(TAG_OWN), Some(TAG_EXTERNAL)],
        Advertise::Everything | Advertise::EverythingAndDefault => &[None],
    };
    let mut nodes: Vec<Node> = deny_overlay(desired, &name, family).into_iter().collect();
    for (tag, seq) in tags.iter().zip([20, 30]) {
        let conditions = tag.iter().map(|tag| format!("match tag {tag}"));
        let changes = next_hop.map(|own| format!("set ipv6 next-hop global {own}"));
        let lines = conditions.chain(changes).map(|line| Node::leaf(&line));
        let lines = lines.collect();
        nodes.push(Node::context(
            &format!("route-map {name} permit {seq}"),
            lines,
        ));
    }
    nodes
}

fn next_hop_in_overlay(family: Family) -> String {
    let (ip, suffix) = (family.ip(), family.suffix());
    format!("match {ip} next-hop prefix-list patronus-overlay-{suffix}")
}

fn deny_overlay(desired: &Desired, name: &str, family: Family) -> Option<Node> {
    subnet(desired, family).map(|_| deny(name, 10, "overlay", family))
}

fn deny(name: &str, seq: u8, list: &str, family: Family) -> Node {
    let (ip, suffix) = (family.ip(), family.suffix());
    let lines = vec![Node::leaf(&format!(
        "match {ip} address prefix-list patronus-{list}-{suffix}"
    ))];
    Node::context(&format!("route-map {name} deny {seq}"), lines)
}
