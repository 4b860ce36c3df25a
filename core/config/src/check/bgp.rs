//! Routing.

use std::net::IpAddr;

use patronus_model::bgp::{Accept, Asn, BfdTimers, BgpNeighbor, BgpTimers};
use patronus_model::router::{Bgp, Overlay, RemoteSite};

use super::remotes::default_asn;
use super::{Unique, as_numbers, overlay, password};
use crate::Outside;
use crate::diagnostic::Sink;
use crate::file::{self, File};
use crate::place::Place;
use crate::read::{At, Field};
use crate::values::{Line, Switch};

/// Routing.
pub(super) fn bgp(
    file: &File,
    ours: Option<&Overlay>,
    remotes: Option<&[RemoteSite]>,
    outside: &Outside<'_>,
    sink: &mut Sink,
) -> Option<Bgp> {
    let bgp = file.bgp.value()?;
    let timers = timers(&bgp.timers, sink);
    let neighbors = neighbors(bgp.neighbors.items(), bgp.asn.value(), ours, outside, sink);
    originate_default(file, bgp, sink);
    let number = || ours.and_then(|o| overlay::number(o.ipv4, o.ipv4.addr()));
    let asn = bgp.asn.or(|| default_asn(number()?));
    if let Some(asn) = asn {
        as_numbers::check(file, asn, remotes.unwrap_or_default(), sink);
        if let Some(before) = outside.before {
            as_numbers::renumbered(file, asn, before, sink);
        }
    }
    Some(Bgp {
        asn: asn?,
        router_id: bgp.router_id.or(|| ours.map(|o| o.ipv4.addr()))?,
        timers: timers?,
        graceful_restart: bgp
            .graceful_restart
            .value()?
            .clone()
            .into_option()
            .map(|span| span.0),
        maximum_prefixes: bgp.maximum_prefixes.value()?.0,
        neighbors: neighbors?,
        originate_default: *bgp.originate_default.value()?,
    })
}

fn originate_default(file: &File, bgp: &file::Bgp, sink: &mut Sink) {
    let hub = file.site.value().is_none_or(|site| site.hub.is_present());
    if let Some(at) = bgp.originate_default.given().filter(|at| at.value && !hub) {
        let problem = "only a hub can announce a default route to the other sites";
        sink.error(&at.place, problem, "give site.hub, or remove this");
    }
}

pub(super) fn timers(field: &Field<file::BgpTimers>, sink: &mut Sink) -> Option<BgpTimers> {
    let timers = field.value()?;
    let (keepalive, hold) = (timers.keepalive.value()?, timers.hold.value()?);
    if keepalive.0 >= hold.0 {
        // At least one of them was given, since the defaults are good.
        let at = timers.hold.given().map(|at| &at.place);
        let place = timers.keepalive.given().map(|at| &at.place).or(at)?;
        let (keepalive, hold) = (keepalive.seconds(), hold.seconds());
        let problem = format!("keepalive {keepalive}s is not less than hold {hold}s");
        sink.error(
            place,
            problem,
            "use a third of hold, so that two may be lost",
        );
        return None;
    }
    Some(BgpTimers {
        keepalive: keepalive.seconds(),
        hold: hold.seconds(),
        connect_retry: timers.connect_retry.value()?.seconds(),
    })
}

/// Neighbours outside the overlay, of a site whose own AS is `asn`, if that is known.
pub(super) fn neighbors(
    items: &[At<file::Neighbor>],
    asn: Option<&Asn>,
    ours: Option<&Overlay>,
    outside: &Outside<'_>,
    sink: &mut Sink,
) -> Option<Vec<BgpNeighbor>> {
    let mut addresses = Unique::new("address", "describe each neighbour once");
    let mut all = Vec::new();
    for at in items {
        addresses.claim_field(&at.value.address, sink);
        if let Some(ours) = ours {
            outside_overlay(&at.value.address, ours, sink);
        }
        hops(at, asn, sink);
        all.push(neighbor(at, outside, sink));
    }
    let mut all: Vec<BgpNeighbor> = all.into_iter().collect::<Option<_>>()?;
    all.sort_by_key(|neighbor| neighbor.address);
    Some(all)
}

fn outside_overlay(address: &Field<IpAddr>, ours: &Overlay, sink: &mut Sink) {
    let Some(at) = address.given() else { return };
    if let Some(net) = ours.networks().find(|net| net.contains(&at.value)) {
        let problem = format!("{} is inside the overlay network {net}", at.value);
        let help =
            "sessions with sites follow from sites; list only neighbours outside of Patronus";
        sink.error(&at.place, problem, help);
    }
}

fn hops(at: &At<file::Neighbor>, ours: Option<&Asn>, sink: &mut Sink) {
    let same = at.value.asn.value().is_some_and(|asn| Some(asn) == ours);
    if let Some(multihop) = at.value.multihop.given().filter(|_| same) {
        let problem = "multihop is for eBGP, but this neighbour has our own ASN";
        sink.error(
            &multihop.place,
            problem,
            "remove it; iBGP neighbours may be any distance away",
        );
    }
}

fn neighbor(
    at: &At<file::Neighbor>,
    outside: &Outside<'_>,
    sink: &mut Sink,
) -> Option<BgpNeighbor> {
    let file = &at.value;
    let timers = timers(&file.timers, sink);
    let password = password(&file.password, &file.password_file, outside, sink);
    let bfd = match file.bfd.value()? {
        Switch::Off => Some(None),
        Switch::On(section) => bfd(section, &at.place, sink).map(Some),
    };
    let address = *file.address.value()?;
    if let Some(source) = file.update_source.given() {
        same_family(source, address, sink);
    }
    let accept = match file.accept_default.value()? {
        true => Accept::All,
        false => Accept::AllButDefault,
    };
    let multihop = file.multihop.optional()?;
    Some(BgpNeighbor {
        address,
        description: file.description.or(|| Some(Line(address.to_string())))?.0,
        remote_asn: *file.asn.value()?,
        password: password?,
        update_source: file.update_source.optional()?,
        ebgp_multihop: multihop.and_then(|hops| u8::try_from(hops.0).ok()),
        next_hop_self: *file.next_hop_self.value()?,
        advertise: file.advertise.value()?.advertise(),
        accept,
        maximum_prefixes: None,
        timers: timers?,
        bfd: bfd?,
    })
}

fn same_family(source: &At<IpAddr>, address: IpAddr, sink: &mut Sink) {
    if source.value.is_ipv4() != address.is_ipv4() {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let problem = format!("{} cannot speak to {address}", source.value);
        sink.error(
            &source.place,
            problem,
            format!("use an {family} address of this router"),
        );
    }
}

/// Timers of BFD.
pub(super) fn bfd(section: &file::Bfd, or: &Place, sink: &mut Sink) -> Option<BfdTimers> {
    let interval = section.interval.value()?.0;
    let detect_mult = u8::try_from(section.multiplier.value()?.0).ok()?;
    if detect_mult == 1 {
        let problem = "with a multiplier of 1 a single lost packet takes a path down";
        sink.warning(section.multiplier.place(or), problem, "use 3 or more");
    }
    Some(BfdTimers {
        desired_min_tx: interval,
        required_min_rx: interval,
        detect_mult,
    })
}
