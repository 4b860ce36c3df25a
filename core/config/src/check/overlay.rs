//! The overlay's networks, and our place in them.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use patronus_model::ids::SiteNumber;
use patronus_model::router::{Overlay, RouterConfig};

use crate::diagnostic::Sink;
use crate::file::File;
use crate::read::At;

/// What becomes of prefixes with a next hop that nobody knows.
const UNUSED: &str = "until then they do not use the IPv6 prefixes of this site";

/// Our place in the overlay.
pub(super) fn overlay(file: &File, sink: &mut Sink) -> Option<Overlay> {
    let overlay = file.overlay.value()?;
    let ipv4 = overlay.ipv4.given().is_some_and(|at| good_ipv4(at, sink));
    let ipv6 = overlay.ipv6.given().is_none_or(|at| good_ipv6(at, sink));
    (ipv4 && ipv6).then_some(())?;
    Some(Overlay {
        ipv4: *overlay.ipv4.value()?,
        ipv6: overlay.ipv6.optional()?,
        prefixes: overlay.prefixes.values().iter().map(|p| p.0).collect(),
    })
}

/// Warns of an address at which the other sites do not look for this one: they are not told by
/// anybody but people.
pub(super) fn renumbered(file: &File, ours: &Overlay, before: &RouterConfig, sink: &mut Sink) {
    let Some(given) = file.overlay.given() else {
        return;
    };
    if before.remotes.is_empty() {
        return;
    }
    let (id, old) = (&before.site.id, &before.overlay);
    let (was, is) = (old.ipv4.addr(), ours.ipv4.addr());
    if was != is {
        let problem = format!(
            "this site had the overlay address {was} until now: the other sites look for it there"
        );
        let help = format!(
            "give {id} overlay.ipv4: {is} in the files of all other sites, or {was} here; until \
             then all paths between them and this site are down"
        );
        sink.warning(given.value.ipv4.place(&given.place), problem, help);
    }
    let (was, is) = (
        old.ipv6.map(|net| net.addr()),
        ours.ipv6.map(|net| net.addr()),
    );
    if was == is {
        return;
    }
    let (problem, help) = match (was, is) {
        (Some(was), Some(is)) => (
            format!("this site had the overlay address {was} until now"),
            format!(
                "give {id} overlay.ipv6: {is} in the files of all other sites, or {was} here; {UNUSED}"
            ),
        ),
        (Some(was), None) => (
            format!("this site had the overlay address {was} until now, and has none for IPv6"),
            format!(
                "take {id} overlay.ipv6 out of the files of all other sites, or give {was} here"
            ),
        ),
        (None, Some(is)) => (
            format!("this site had no IPv6 overlay address until now, and has {is}"),
            format!("give {id} overlay.ipv6: {is} in the files of all other sites; {UNUSED}"),
        ),
        (None, None) => return,
    };
    sink.warning(given.value.ipv6.place(&given.place), problem, help);
}

fn good_ipv4(at: &At<Ipv4Net>, sink: &mut Sink) -> bool {
    let net = at.value;
    // The host part numbers the site, and kernel objects have 16 bits for that number.
    if !(16..=30).contains(&net.prefix_len()) {
        let problem = format!("{net} has a prefix length of {}", net.prefix_len());
        let help = "use 16 to 30, the same at all sites";
        sink.error(&at.place, problem, help);
        return false;
    }
    if number(net, net.addr()).is_none() {
        let problem = format!("{net} is the overlay network itself, or its broadcast address");
        let first = Ipv4Addr::from_bits(net.network().to_bits().saturating_add(1));
        let help = format!(
            "use an address inside it, for example {first}/{}",
            net.prefix_len()
        );
        sink.error(&at.place, problem, help);
        return false;
    }
    true
}

fn good_ipv6(at: &At<Ipv6Net>, sink: &mut Sink) -> bool {
    let net = at.value;
    if !(64..=126).contains(&net.prefix_len()) {
        let problem = format!("{net} has a prefix length of {}", net.prefix_len());
        sink.error(&at.place, problem, "use 64 to 126, the same at all sites");
        return false;
    }
    if net.addr() == net.network() {
        let problem = format!("{net} is the overlay network itself");
        let help = format!(
            "use an address inside it, for example {}1/{}",
            net.network(),
            net.prefix_len()
        );
        sink.error(&at.place, problem, help);
        return false;
    }
    true
}

/// The number of the site that has this address, if a site can have it.
pub(super) fn number(net: Ipv4Net, address: Ipv4Addr) -> Option<SiteNumber> {
    if !net.contains(&address) || address == net.network() || address == net.broadcast() {
        return None;
    }
    let host = address.to_bits() & net.hostmask().to_bits();
    SiteNumber::new(u16::try_from(host).ok()?).ok()
}
