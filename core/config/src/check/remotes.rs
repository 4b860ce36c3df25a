//! The other sites.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use patronus_model::bgp::Asn;
use patronus_model::ids::{SiteNumber, UnderlayName};
use patronus_model::layout::TunnelId;
use patronus_model::router::{Gateway, Overlay, RemoteSite, RemoteUplink, Uplink};

use super::uplinks::slot;
use super::{Unique, overlay, password};
use crate::Outside;
use crate::diagnostic::Sink;
use crate::file::{self, File};
use crate::place::Place;
use crate::read::At;
use crate::shape::{all, did_you_mean};
use crate::values::Line;

/// What a remote site is compared with.
struct Ours<'a> {
    overlay: Option<&'a Overlay>,
    uplinks: Option<&'a [Uplink]>,
}

/// The other sites, by number.
pub(super) fn remotes(
    file: &File,
    overlay: Option<&Overlay>,
    uplinks: Option<&[Uplink]>,
    outside: &Outside<'_>,
    sink: &mut Sink,
) -> Option<Vec<RemoteSite>> {
    let items = file.sites.items();
    unique_sites(file, sink);
    unique_keys(file, uplinks, sink);
    endpoints(items, sink);
    if let Some(uplinks) = uplinks {
        somebody_speaks_first(file, uplinks, sink);
    }
    let ours = Ours { overlay, uplinks };
    let all: Vec<_> = items
        .iter()
        .map(|at| remote(at, &ours, outside, sink))
        .collect();
    let mut all: Vec<RemoteSite> = all.into_iter().collect::<Option<_>>()?;
    all.sort_by_key(|site| site.number);
    Some(all)
}

fn unique_sites(file: &File, sink: &mut Sink) {
    let mut ids = Unique::new(
        "id",
        "each site has an id of its own; leave this site out of sites",
    );
    let mut hubs = Unique::new(
        "hub number",
        "number the hubs of the network 1 to 7, each once",
    );
    let mut addresses = Unique::new("overlay address", "give each site an address of its own");
    if let Some(site) = file.site.value() {
        ids.claim_field(&site.id, sink);
        if let Some(at) = site.hub.given() {
            hubs.claim(at.value.get(), &at.place, sink);
        }
    }
    if let Some(overlay) = file.overlay.value() {
        if let Some(at) = overlay.ipv4.given() {
            addresses.claim(IpAddr::V4(at.value.addr()), &at.place, sink);
        }
        if let Some(at) = overlay.ipv6.given() {
            addresses.claim(IpAddr::V6(at.value.addr()), &at.place, sink);
        }
    }
    for site in file.sites.items().iter().map(|at| &at.value) {
        ids.claim_field(&site.id, sink);
        if let Some(at) = site.hub.given() {
            hubs.claim(at.value.get(), &at.place, sink);
        }
        let Some(overlay) = site.overlay.value() else {
            continue;
        };
        if let Some(at) = overlay.ipv4.given() {
            addresses.claim(IpAddr::V4(at.value), &at.place, sink);
        }
        if let Some(at) = overlay.ipv6.given() {
            addresses.claim(IpAddr::V6(at.value), &at.place, sink);
        }
    }
}

/// No two uplinks have the same key, or WireGuard would mix them up.
fn unique_keys(file: &File, ours: Option<&[Uplink]>, sink: &mut Sink) {
    let mut keys = Unique::new(
        "public key",
        "each uplink of each site has a key of its own",
    );
    for site in file.sites.items() {
        for uplink in site.value.uplinks.items() {
            let field = &uplink.value.public_key;
            let own = |u: &&Uplink| Some(&u.public_key) == field.value();
            let own = ours.unwrap_or_default().iter().find(own);
            match (own, field.given()) {
                (Some(own), Some(at)) => {
                    let problem = format!("this is the key of our own uplink {}", own.name);
                    sink.error(&at.place, problem, "use the key that the other site prints");
                }
                _ => keys.claim_field(field, sink),
            }
        }
    }
}

/// No two uplinks listen on the same ports of the same address.
fn endpoints(sites: &[At<file::RemoteSite>], sink: &mut Sink) {
    let mut by_address: HashMap<IpAddr, Vec<&At<SocketAddr>>> = HashMap::new();
    let uplinks = sites.iter().flat_map(|site| site.value.uplinks.items());
    for at in uplinks.filter_map(|uplink| uplink.value.endpoint.given()) {
        let last = at.value.port().checked_add(TunnelId::PORTS_PER_UPLINK - 1);
        if last.is_none() {
            let problem = format!("64 ports from {} on do not exist", at.value.port());
            sink.error(&at.place, problem, "use a port of at most 65472");
        }
        by_address.entry(at.value.ip()).or_default().push(at);
    }
    for mut group in by_address.into_values() {
        group.sort_by_key(|at| (at.value.port(), at.place.position));
        for pair in group.windows(2) {
            let [first, second] = pair else { continue };
            if second.value.port() - first.value.port() < TunnelId::PORTS_PER_UPLINK {
                let problem = format!(
                    "the 64 ports from {} on overlap with those of {}",
                    second.value,
                    first.place.other()
                );
                let help = "behind one address each uplink needs 64 ports of its own";
                sink.error(&second.place, problem, help);
            }
        }
    }
}

/// Of two ends of a tunnel, at least one knows where the other is. What the files of other sites
/// say of our addresses is not known here; one that a DHCP server gives is seldom in them.
fn somebody_speaks_first(file: &File, ours: &[Uplink], sink: &mut Sink) {
    let by_dhcp = |u: &Uplink| {
        let gateways = [u.gateway4, u.gateway6];
        let fixed = |gateway: &Gateway| matches!(gateway, Gateway::Static(_));
        gateways.contains(&Gateway::Dynamic) && !gateways.iter().any(fixed)
    };
    let is_lost = |uplink: &file::RemoteUplink| {
        let Some(underlay) = uplink.underlay.value() else {
            return false;
        };
        let mut near = ours.iter().filter(|u| u.underlay == *underlay).peekable();
        !uplink.endpoint.is_present() && near.peek().is_some() && near.all(by_dhcp)
    };
    let mut lost = Vec::new();
    let mut first = None;
    for site in file.sites.items() {
        for at in site
            .value
            .uplinks
            .items()
            .iter()
            .filter(|at| is_lost(&at.value))
        {
            if let (Some(id), Some(name)) = (site.value.id.value(), at.value.name.value()) {
                lost.push(format!("{name} of {id}"));
                first = first.or(Some(&at.place));
            }
        }
    }
    let Some(place) = first else { return };
    let more = lost.len().saturating_sub(NAMED);
    lost.truncate(NAMED);
    if more > 0 {
        lost.push(format!("{more} more"));
    }
    let names: Vec<&str> = lost.iter().map(String::as_str).collect();
    let problem = format!(
        "no tunnel to {} may ever come up: we do not know where to send, and our own uplinks get \
         their addresses by DHCP",
        all(&names)
    );
    let help = "give an endpoint, or have the endpoints of our uplinks in the files of those sites";
    sink.warning(place, problem, help);
}

/// Uplinks that a message names; the rest is counted.
const NAMED: usize = 3;

fn remote(
    at: &At<file::RemoteSite>,
    ours: &Ours<'_>,
    outside: &Outside<'_>,
    sink: &mut Sink,
) -> Option<RemoteSite> {
    let site = &at.value;
    let number = ours.overlay.and_then(|overlay| number(site, overlay, sink));
    let uplinks = uplinks(at, ours, sink);
    let password = password(&site.bgp_password, &site.bgp_password_file, outside, sink);
    let number = number?;
    let overlay = site.overlay.value()?;
    let id = site.id.value()?.clone();
    Some(RemoteSite {
        name: site.name.or(|| Some(Line(id.to_string())))?.0,
        id,
        number,
        ipv4: *overlay.ipv4.value()?,
        ipv6: overlay.ipv6.optional()?,
        hub: site.hub.optional()?,
        asn: site.asn.or(|| default_asn(number))?,
        bgp_password: password?,
        prefixes: site.prefixes.values().iter().map(|p| p.0).collect(),
        uplinks: uplinks?,
    })
}

/// The AS of a site that names none: a private one (RFC 6996) that all sites agree on, because it
/// follows from the overlay address.
pub(super) fn default_asn(number: SiteNumber) -> Option<Asn> {
    Asn::new(4_200_000_000 + u32::from(number.get())).ok()
}

/// The site's number, and whether its addresses are in the overlay's networks.
fn number(site: &file::RemoteSite, ours: &Overlay, sink: &mut Sink) -> Option<SiteNumber> {
    let addresses = site.overlay.value()?;
    ipv6(site, ours, sink);
    let at = addresses.ipv4.given()?;
    let number = overlay::number(ours.ipv4, at.value);
    if number.is_none() {
        let problem = format!("{} is not an address of a site", at.value);
        let help = format!("use one inside our overlay network {}", ours.ipv4.trunc());
        sink.error(&at.place, problem, help);
    }
    number
}

fn ipv6(site: &file::RemoteSite, ours: &Overlay, sink: &mut Sink) {
    let Some(addresses) = site.overlay.value() else {
        return;
    };
    let given = addresses.ipv6.given();
    match (given, ours.ipv6) {
        (Some(at), Some(net)) if !net.contains(&at.value) || at.value == net.network() => {
            let problem = format!("{} is not an address of a site", at.value);
            let help = format!("use one inside our overlay network {}", net.trunc());
            sink.error(&at.place, problem, help);
        }
        (Some(at), None) => {
            let problem = "our own site has no IPv6 overlay address";
            sink.error(&at.place, problem, "give overlay.ipv6, or remove this one");
        }
        (None, Some(_)) if !addresses.ipv6.is_present() => {
            let is_v6 = |at: &&At<_>| {
                matches!(
                    at,
                    At {
                        value: crate::values::Network(IpNet::V6(_)),
                        ..
                    }
                )
            };
            if let Some(prefix) = site.prefixes.items().iter().find(is_v6) {
                let problem = "an IPv6 prefix of a site without an IPv6 overlay address";
                sink.warning(&prefix.place, problem, "give overlay.ipv6 of that site");
            }
        }
        _ => {}
    }
}

fn uplinks(
    at: &At<file::RemoteSite>,
    ours: &Ours<'_>,
    sink: &mut Sink,
) -> Option<Vec<RemoteUplink>> {
    let items = at.value.uplinks.items();
    let mut names = Unique::new("name", "give each uplink of a site a name of its own");
    let mut slots = Unique::new("slot", "use the slots that the site's own file has");
    for at in items {
        names.claim_field(&at.value.name, sink);
        match slot(&at.value.slot, &at.place) {
            Some(slot) => slots.claim(slot, at.value.slot.place(&at.place), sink),
            None if !at.value.slot.is_present() => {
                sink.error(
                    &at.place,
                    "this is the ninth uplink or a later one",
                    "a site has 1 to 8",
                );
            }
            None => {}
        }
        if let Some(ours) = ours.uplinks {
            family(&at.value, ours, sink);
        }
    }
    if let Some(ours) = ours.uplinks {
        reachable(at, ours, sink);
    }
    let all: Vec<_> = items.iter().map(uplink).collect();
    let mut all: Vec<RemoteUplink> = all.into_iter().collect::<Option<_>>()?;
    all.sort_by_key(|uplink| uplink.slot);
    at.value.uplinks.value().map(|_| all)
}

fn uplink(at: &At<file::RemoteUplink>) -> Option<RemoteUplink> {
    let file = &at.value;
    Some(RemoteUplink {
        name: file.name.value()?.clone(),
        slot: slot(&file.slot, &at.place)?,
        underlay: file.underlay.value()?.clone(),
        public_key: *file.public_key.value()?,
        endpoint: file.endpoint.optional()?,
    })
}

/// An endpoint is of a family that one of our uplinks of that underlay uses, or only the other side
/// can speak first.
fn family(uplink: &file::RemoteUplink, ours: &[Uplink], sink: &mut Sink) {
    let (Some(endpoint), Some(underlay)) = (uplink.endpoint.given(), uplink.underlay.value())
    else {
        return;
    };
    let (family, other) = match endpoint.value {
        SocketAddr::V4(_) => ("IPv4", "IPv6"),
        SocketAddr::V6(_) => ("IPv6", "IPv4"),
    };
    let has = |u: &&Uplink| match endpoint.value {
        SocketAddr::V4(_) => u.gateway4 != Gateway::None,
        SocketAddr::V6(_) => u.gateway6 != Gateway::None,
    };
    let mut same = ours.iter().filter(|u| u.underlay == *underlay).peekable();
    if same.peek().is_some() && !same.any(|u| has(&u)) {
        let problem = format!(
            "{} is an {family} endpoint, but none of our uplinks on {underlay} has an {family} \
             gateway",
            endpoint.value
        );
        let help = format!("give an {other} endpoint, or one of our uplinks an {family} gateway");
        sink.warning(&endpoint.place, problem, help);
    }
}

/// At least one path leads to the site.
fn reachable(at: &At<file::RemoteSite>, ours: &[Uplink], sink: &mut Sink) {
    let theirs: Vec<(&UnderlayName, &Place)> = at
        .value
        .uplinks
        .items()
        .iter()
        .filter_map(|u| Some((u.value.underlay.value()?, u.value.underlay.place(&u.place))))
        .collect();
    if theirs
        .iter()
        .any(|(name, _)| ours.iter().any(|u| u.underlay == **name))
    {
        return;
    }
    let mut own: Vec<&str> = ours.iter().map(|u| u.underlay.as_str()).collect();
    own.sort_unstable();
    own.dedup();
    let Some((name, place)) = theirs.first() else {
        if let Some(place) = at.value.uplinks.empty() {
            let help = "give its uplinks, or remove the site";
            sink.warning(
                place,
                "the site has no uplink, so no path leads there",
                help,
            );
        }
        return;
    };
    let near = did_you_mean(name.as_str(), own.iter().copied());
    let help = format!("{near}our uplinks are on {}", all(&own));
    sink.warning(
        place,
        "no uplink of ours is on an underlay of this site",
        help,
    );
}
