//! Gateways, compared with the addresses that their interfaces have at present.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagnostic::Sink;
use crate::file::File;
use crate::place::Place;
use crate::shape::all;
use crate::values::GatewayWord;
use crate::{Addresses, Outside};

/// Warns of gateways that cannot be reached by their interface. Its addresses may be put right
/// without this file, so it is no error.
pub(super) fn check(file: &File, outside: &Outside<'_>, sink: &mut Sink) {
    for at in file.uplinks.items() {
        let Some(interface) = at.value.interface.value() else {
            continue;
        };
        let mut addresses: Option<Addresses> = None;
        for gateway in at.value.gateway.items() {
            let GatewayWord::Address(address) = gateway.value else {
                continue;
            };
            let known = addresses.get_or_insert_with(|| (outside.addresses)(interface));
            compare(address, interface.as_str(), known, &gateway.place, sink);
        }
    }
}

fn compare(gateway: IpAddr, interface: &str, known: &Addresses, place: &Place, sink: &mut Sink) {
    if known.own.contains(&gateway) {
        let problem = format!("{gateway} is the address of this router on {interface}");
        let help = "use that of the router at the other end of the link, or dhcp";
        return sink.warning(place, problem, help);
    }
    let networks = known.networks.iter();
    let same_family = networks.filter(|net| net.addr().is_ipv4() == gateway.is_ipv4());
    let same_family: Vec<&IpNet> = same_family.collect();
    // Routers on the link are spoken to by link-local addresses, whatever else there is.
    let on_link = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if same_family.is_empty() || on_link || same_family.iter().any(|net| net.contains(&gateway)) {
        return;
    }
    let networks: Vec<String> = same_family
        .iter()
        .map(|net| net.trunc().to_string())
        .collect();
    let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
    let problem = format!("{gateway} is not in {} of {interface}", all(&networks));
    let help = "use a gateway inside that network, or dhcp; or give the interface an address in the \
                network of the gateway, or a route to it alone";
    sink.warning(place, problem, help);
}
