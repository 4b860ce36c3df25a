//! Who has which prefix, and who must not.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagnostic::Sink;
use crate::file::File;
use crate::place::Place;
use crate::read::At;
use crate::values::Network;

/// Whose prefix it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Overlay,
    Ours,
    /// A remote site, by its place in the list.
    Site(usize),
    /// A remote site that is a hub.
    Hub(usize),
}

struct Claim<'a> {
    net: IpNet,
    owner: Owner,
    place: &'a Place,
}

/// Reports prefixes that nobody can have, and prefixes that more than one has.
pub(super) fn check(file: &File, sink: &mut Sink) {
    if let Some(overlay) = file.overlay.value() {
        guarded(overlay.prefixes.items(), sink);
    }
    let mut claims = overlay(file);
    for lan in file.lans.items() {
        claim(lan.value.prefixes.items(), Owner::Ours, &mut claims, sink);
    }
    let without_ipv6 = file.overlay.value().is_some_and(|o| !o.ipv6.is_present());
    let is_v6 =
        |claim: &&Claim<'_>| claim.owner == Owner::Ours && matches!(claim.net, IpNet::V6(_));
    if let Some(claim) = claims.iter().find(is_v6).filter(|_| without_ipv6) {
        let problem = "an IPv6 prefix, but this site has no IPv6 overlay address";
        sink.warning(
            claim.place,
            problem,
            "give overlay.ipv6, or no other site reaches it",
        );
    }
    for (index, site) in file.sites.items().iter().enumerate() {
        let owner = if site.value.hub.is_present() {
            Owner::Hub(index)
        } else {
            Owner::Site(index)
        };
        claim(site.value.prefixes.items(), owner, &mut claims, sink);
    }
    gateways(file, &claims, sink);
    overlaps(claims, sink);
}

fn overlay(file: &File) -> Vec<Claim<'_>> {
    let Some(overlay) = file.overlay.value() else {
        return Vec::new();
    };
    let v4 = overlay
        .ipv4
        .given()
        .map(|at| (IpNet::V4(at.value.trunc()), &at.place));
    let v6 = overlay
        .ipv6
        .given()
        .map(|at| (IpNet::V6(at.value.trunc()), &at.place));
    let both = v4.into_iter().chain(v6);
    both.map(|(net, place)| Claim {
        net,
        owner: Owner::Overlay,
        place,
    })
    .collect()
}

fn claim<'a>(items: &'a [At<Network>], owner: Owner, claims: &mut Vec<Claim<'a>>, sink: &mut Sink) {
    for At { value, place } in items {
        match extraordinary(value.0) {
            Some(_) if value.0.prefix_len() == 0 && matches!(owner, Owner::Hub(_)) => {}
            Some(problem) => {
                let help = if value.0.prefix_len() == 0 {
                    "only a hub can have it"
                } else {
                    "use a prefix of hosts that others can reach"
                };
                sink.error(place, format!("{} {problem}", value.0), help);
            }
            None => claims.push(Claim {
                net: value.0,
                owner,
                place,
            }),
        }
    }
}

/// What must never leave in the clear may be wide, but not so wide that nothing leaves at all, nor
/// what an uplink and its neighbours say to each other. That leaves no two halves that are everything.
pub(super) fn guarded(items: &[At<Network>], sink: &mut Sink) {
    let on_link = ["169.254.0.0/16", "224.0.0.0/4", "fe80::/10", "ff00::/8"];
    let on_link = on_link.map(str::parse::<IpNet>);
    for At { value, place } in items {
        let net = value.0;
        let overlaps = |it: &&IpNet| it.contains(&net) || net.contains(*it);
        let problem = match on_link.iter().flatten().find(overlaps) {
            _ if net.prefix_len() == 0 => format!(
                "{net} is every address: what this router itself sends, to name servers for example, \
                 would not leave it either"
            ),
            Some(link) => {
                format!("{net} overlaps with {link}, by which an uplink speaks with its neighbours")
            }
            None => continue,
        };
        let help = "name what sites have or may have, for example 10.0.0.0/8 or fc00::/7";
        sink.error(place, problem, help);
    }
}

/// Why no site can have a prefix.
fn extraordinary(net: IpNet) -> Option<&'static str> {
    let first = net.network();
    match first {
        _ if net.prefix_len() == 0 => Some("is the default route"),
        a if a.is_multicast() => Some("is multicast"),
        a if a.is_loopback() => Some("is loopback"),
        IpAddr::V4(a) if a.is_link_local() => Some("is link-local"),
        IpAddr::V6(a) if a.is_unicast_link_local() => Some("is link-local"),
        IpAddr::V4(a) if a.octets().first() == Some(&0) => Some("is reserved (RFC 1122)"),
        IpAddr::V4(a) if a.octets().first() >= Some(&240) => Some("is reserved (RFC 1112)"),
        _ => None,
    }
}

/// A gateway or endpoint inside the overlay would send tunnels through themselves.
fn gateways(file: &File, claims: &[Claim<'_>], sink: &mut Sink) {
    let gateways = file
        .uplinks
        .items()
        .iter()
        .flat_map(|at| at.value.gateway.items());
    let gateways = gateways.filter_map(|at| match at.value {
        crate::values::GatewayWord::Address(address) => Some((address, &at.place)),
        crate::values::GatewayWord::Dhcp => None,
    });
    let remote = file
        .sites
        .items()
        .iter()
        .flat_map(|at| at.value.uplinks.items());
    let endpoints = remote.filter_map(|at| at.value.endpoint.given());
    let endpoints = endpoints.map(|at| (at.value.ip(), &at.place));
    let own = |c: &&Claim<'_>| matches!(c.owner, Owner::Overlay | Owner::Ours);
    let own: Vec<&Claim<'_>> = claims.iter().filter(own).collect();
    for (address, place) in gateways.chain(endpoints) {
        if let Some(claim) = own.iter().find(|claim| claim.net.contains(&address)) {
            let problem = format!(
                "{address} is inside {}, of {}",
                claim.net,
                claim.place.other()
            );
            sink.error(place, problem, "use an address of the underlay");
        }
    }
}

/// Compares each prefix with those that contain it: sorted by address and then by length, these
/// are on a stack.
fn overlaps(mut claims: Vec<Claim<'_>>, sink: &mut Sink) {
    let key = |c: &Claim<'_>| {
        (
            c.net.network(),
            c.net.prefix_len(),
            Reverse(rank(c.owner)),
            c.place.position,
        )
    };
    claims.sort_by_key(key);
    let mut stack: Vec<&Claim<'_>> = Vec::new();
    for claim in &claims {
        while stack
            .last()
            .is_some_and(|outer| !outer.net.contains(&claim.net))
        {
            stack.pop();
        }
        // The nearest conflict is enough: whoever solves it learns of the next.
        for outer in stack.iter().rev() {
            if report(outer, claim, sink) {
                break;
            }
        }
        stack.push(claim);
    }
}

/// Hubs last, so that of two equal prefixes the hub's is the outer one.
fn rank(owner: Owner) -> u8 {
    match owner {
        Owner::Overlay => 0,
        Owner::Ours => 1,
        Owner::Site(_) => 2,
        Owner::Hub(_) => 3,
    }
}

/// Reports whether one may lie inside the other; `true` if there was something to report.
fn report(outer: &Claim<'_>, inner: &Claim<'_>, sink: &mut Sink) -> bool {
    let equal = outer.net == inner.net;
    match (outer.owner, inner.owner) {
        // A hub announces aggregates of what it forwards, and may stand in for a site; a hub
        // which has a part of another hub's aggregate is the better way to it.
        (Owner::Hub(_), Owner::Site(_) | Owner::Hub(_)) => false,
        (Owner::Hub(_), Owner::Overlay | Owner::Ours) if !equal => false,
        // One site may name a prefix and a part of it.
        (Owner::Site(a), Owner::Site(b)) if a == b && !equal => false,
        (Owner::Site(a), Owner::Site(b)) if a != b && equal => {
            let (place, other) = order(outer, inner);
            let problem = format!("{} is also a prefix of {}", inner.net, other.other());
            let help = "BGP decides who has it; if this is meant, declare one of the sites a hub";
            sink.warning(place, problem, help);
            true
        }
        _ => {
            let (place, other) = order(outer, inner);
            let (net, others) = if std::ptr::eq(place, inner.place) {
                (inner.net, outer.net)
            } else {
                (outer.net, inner.net)
            };
            let problem = if equal {
                format!("{net} is also in {}", other.other())
            } else {
                format!("{net} overlaps with {others} in {}", other.other())
            };
            sink.error(place, problem, help(outer.owner, inner.owner));
            true
        }
    }
}

fn help(outer: Owner, inner: Owner) -> &'static str {
    match (outer, inner) {
        (Owner::Overlay, _) | (_, Owner::Overlay) => {
            "nothing but sites' own addresses is in the overlay's network"
        }
        (Owner::Ours, Owner::Ours) => "each address belongs to one LAN",
        (Owner::Ours, _) | (_, Owner::Ours) => {
            "each address belongs to one site; only a hub may have a larger prefix around ours"
        }
        _ => "each address belongs to one site; if one forwards for the other, declare it a hub",
    }
}

/// The one that stands later in the file is reported, and the other referred to.
fn order<'a>(a: &Claim<'a>, b: &Claim<'a>) -> (&'a Place, &'a Place) {
    if a.place.position > b.place.position {
        (a.place, b.place)
    } else {
        (b.place, a.place)
    }
}
