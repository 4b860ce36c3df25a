//! The overlay's networks, and our place in them.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use patronus_model::ids::SiteNumber;
use patronus_model::router::Overlay;

use crate::diagnostic::Sink;
use crate::file::File;
use crate::read::At;

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
