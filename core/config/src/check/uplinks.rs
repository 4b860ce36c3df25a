//! Our own uplinks and LANs.

use std::net::IpAddr;

use patronus_model::ids::{IfName, Slot, UplinkName};
use patronus_model::layout::{KernelLayout, TunnelId};
use patronus_model::router::{Gateway, Lan, RouterConfig, Uplink};

use super::Unique;
use crate::diagnostic::Sink;
use crate::file::{self, File, Gateways};
use crate::place::Place;
use crate::read::{At, Field};
use crate::values::GatewayWord;
use crate::{KeyDoubt, NoKey, Outside, OwnKey};

/// The port of the first uplink that names none: WireGuard's usual one.
const FIRST_PORT: u16 = 51_820;

/// What to do about a key that is none. Nothing less than this may cost anybody a key: without the
/// old one a site is cut off from all others.
const INVALID_KEY: &str = "put back into it what `wg genkey` had printed, with owner root and mode \
    0600; or remove the file, and `patronusd keys` makes a new key and prints its public half, which \
    all other sites need then";

/// Our uplinks, by slot.
pub(super) fn uplinks(file: &File, outside: &Outside<'_>, sink: &mut Sink) -> Option<Vec<Uplink>> {
    let items = file.uplinks.items();
    if let Some(place) = file.uplinks.empty() {
        sink.error(place, "there is no uplink", "give at least one uplink");
    }
    unique(items, sink);
    interfaces(file, sink);
    ports(items, sink);
    let all: Vec<_> = items.iter().map(|at| uplink(at, outside, sink)).collect();
    if let Some(before) = outside.before {
        let known = all.iter().zip(items);
        known
            .filter_map(|(uplink, at)| Some((uplink.as_ref()?, at)))
            .for_each(|(uplink, at)| renumbered(uplink, at, before, sink));
    }
    let mut all: Vec<Uplink> = all.into_iter().collect::<Option<_>>()?;
    all.sort_by_key(|uplink| uplink.slot);
    file.uplinks.value().map(|_| all)
}

/// Warns of an uplink that the other sites know by another number, or at another port, than it is
/// going to have: they are not told by anybody but people.
fn renumbered(new: &Uplink, at: &At<file::Uplink>, before: &RouterConfig, sink: &mut Sink) {
    let mut uplinks = before.uplinks.iter();
    let Some(old) = uplinks.find(|old| old.name == new.name) else {
        let mut uplinks = before.uplinks.iter();
        let predecessor = uplinks.find(|old| old.slot == new.slot);
        return renamed(new, at, predecessor, sink);
    };
    rekeyed(new, at, old, sink);
    let port = match old.listen_port == new.listen_port {
        true => String::new(),
        false => format!(
            " and the port {} in place of {}",
            new.listen_port, old.listen_port
        ),
    };
    let (name, was, slot) = (&new.name, old.slot, new.slot);
    if was != slot {
        let problem = format!(
            "uplink {name} had slot {was} until now: its tunnels are made anew, and the other \
             sites look for them where they were"
        );
        let help = format!(
            "give {name} slot {slot}{port} in the files of all other sites, or slot {was} here; \
             until then its paths are down, or come up only where the other end speaks first"
        );
        sink.warning(at.value.slot.place(&at.place), problem, help);
    } else if !port.is_empty() {
        let (port, was) = (new.listen_port, old.listen_port);
        let problem = format!("uplink {name} listened from port {was} on until now");
        let help = format!(
            "give {name} port {port} in its endpoint in the files of all other sites; until then \
             its paths are down, or come up only where this end speaks first"
        );
        sink.warning(at.value.listen_port.place(&at.place), problem, help);
    }
}

/// Warns of an uplink whose key is not what it was: the other sites have the old one.
fn rekeyed(new: &Uplink, at: &At<file::Uplink>, old: &Uplink, sink: &mut Sink) {
    if old.public_key == new.public_key {
        return;
    }
    let name = &new.name;
    let problem = format!(
        "uplink {name} has another key than until now: its file was replaced, or was missing, so \
         that a new one is made"
    );
    let help = format!(
        "give the key that `patronusd keys` prints for {name} to all other sites; until then its \
         paths are down. Or put the old file back and reload"
    );
    sink.warning(at.value.name.place(&at.place), problem, help);
}

/// Warns of an uplink in the place of another one, which has another key because keys are kept by
/// names.
fn renamed(new: &Uplink, at: &At<file::Uplink>, old: Option<&Uplink>, sink: &mut Sink) {
    let Some(old) = old.filter(|old| old.public_key != new.public_key) else {
        return;
    };
    let (name, slot) = (&new.name, new.slot);
    let problem = format!(
        "uplink {name} has slot {slot} in place of {}, and another key",
        old.name
    );
    let help = format!(
        "give the key that `patronusd keys` prints for {name} to all other sites; if it is only a \
         new name, rename the key file of {} first",
        old.name
    );
    sink.warning(at.value.name.place(&at.place), problem, help);
}

fn unique(items: &[At<file::Uplink>], sink: &mut Sink) {
    let mut names = Unique::new("name", "give each uplink a name of its own");
    let mut slots = Unique::new("slot", "give each uplink a slot of its own, 1 to 8");
    for at in items {
        names.claim_field(&at.value.name, sink);
        match slot(&at.value.slot, &at.place) {
            Some(slot) => slots.claim(slot, at.value.slot.place(&at.place), sink),
            None if !at.value.slot.is_present() => {
                let help = "remove one, or merge sites of one underlay";
                sink.error(&at.place, "this is the ninth uplink or a later one", help);
            }
            None => {}
        }
        check_costs(at, sink);
    }
}

fn check_costs(at: &At<file::Uplink>, sink: &mut Sink) {
    let metered = at.value.metered.value() == Some(&true);
    if metered && !at.value.bandwidth.is_present() {
        let help = "give bandwidth: {up: ..., down: ...}, so that bulk traffic can be held back";
        let place = at.value.metered.place(&at.place);
        sink.warning(place, "a metered uplink without a bandwidth", help);
    }
}

/// The slot of an uplink: as given, or its place in the list.
pub(super) fn slot(field: &Field<Slot>, place: &Place) -> Option<Slot> {
    field.or(|| Slot::new(u8::try_from(place.path.last_index()? + 1).ok()?).ok())
}

/// The first port on which an uplink's tunnels listen.
fn port(uplink: &file::Uplink, place: &Place) -> Option<u16> {
    if let Some(port) = uplink.listen_port.value() {
        return u16::try_from(port.0).ok();
    }
    if uplink.listen_port.is_present() {
        return None;
    }
    let slot = u16::from(slot(&uplink.slot, place)?.get());
    Some(FIRST_PORT + TunnelId::PORTS_PER_UPLINK * (slot - 1))
}

fn ports(items: &[At<file::Uplink>], sink: &mut Sink) {
    let mut ranges: Vec<(u16, &Place, bool)> = items
        .iter()
        .filter_map(|at| {
            let field = &at.value.listen_port;
            Some((
                port(&at.value, &at.place)?,
                field.place(&at.place),
                field.is_present(),
            ))
        })
        .collect();
    // Of two, the one that was given on purpose stays where it is, and the other is reported.
    ranges.sort_by_key(|(port, place, given)| (*port, !given, place.position));
    for pair in ranges.windows(2) {
        let [(first, other, one_given), (second, place, given)] = pair else {
            continue;
        };
        // Default ports only collide where slots do, which is said already.
        if !one_given && !given {
            continue;
        }
        let end = u32::from(*first) + u32::from(TunnelId::PORTS_PER_UPLINK);
        if u32::from(*second) < end {
            let problem = format!(
                "its ports {second} to {} overlap with those of {}, {first} to {}",
                second + (TunnelId::PORTS_PER_UPLINK - 1),
                other.other(),
                end - 1
            );
            let help = format!("each uplink needs 64 ports of its own: use listen_port: {end}");
            sink.error(place, problem, help);
        }
    }
}

/// Each interface has one task, and is not one of ours.
fn interfaces(file: &File, sink: &mut Sink) {
    let mut taken = Unique::new(
        "interface",
        "use each interface once; put all prefixes of a LAN into one entry",
    );
    let prefix = file.kernel.value().and_then(|k| k.interface_prefix.value());
    let mut layout = KernelLayout::default();
    if let Some(prefix) = prefix {
        layout.interface_prefix = prefix.clone();
    }
    let uplinks = file.uplinks.items().iter().map(|at| &at.value.interface);
    let lans = file.lans.items().iter().map(|at| &at.value.interface);
    for field in uplinks.chain(lans) {
        taken.claim_field(field, sink);
        if let Some(at) = field
            .given()
            .filter(|at| layout.owns_interface(at.value.as_str()))
        {
            let problem = format!(
                "{} is the name of an interface that Patronus makes",
                at.value
            );
            let help = "name the interface towards the underlay or the LAN";
            sink.error(&at.place, problem, help);
        }
    }
}

fn uplink(at: &At<file::Uplink>, outside: &Outside<'_>, sink: &mut Sink) -> Option<Uplink> {
    let file = &at.value;
    let gateways = gateways(&file.gateway, sink);
    let name = file.name.value()?;
    let public_key = match (outside.public_key)(name) {
        Ok(OwnKey { public, doubt }) => {
            if let Some(doubt) = doubt {
                doubtful(&doubt, name, file.name.place(&at.place), sink);
            }
            Some(public)
        }
        Err(no_key) => {
            let (reason, help) = match no_key {
                NoKey::Invalid(reason) => (reason, INVALID_KEY),
                NoKey::Unreadable(reason) => (reason, "make it a file that patronusd may read"),
            };
            let problem = format!("uplink {name} has no key: {reason}");
            sink.error(file.name.place(&at.place), problem, help);
            None
        }
    };
    let (gateway4, gateway6) = gateways?;
    let bandwidth = file.bandwidth.value()?;
    Some(Uplink {
        name: name.clone(),
        slot: slot(&file.slot, &at.place)?,
        interface: file.interface.value()?.clone(),
        underlay: file.underlay.value()?.clone(),
        gateway4,
        gateway6,
        bandwidth_up: bandwidth.up.optional()?.map(|b| b.0),
        bandwidth_down: bandwidth.down.optional()?.map(|b| b.0),
        cost: file.cost.value()?.0,
        metered: *file.metered.value()?,
        listen_port: port(file, &at.place)?,
        public_key: public_key?,
    })
}

/// Warns of a key with which the configuration can be used all the same.
fn doubtful(doubt: &KeyDoubt, name: &UplinkName, place: &Place, sink: &mut Sink) {
    let (problem, help) = match doubt {
        KeyDoubt::Exposed(reason) => (
            format!("the key of uplink {name} is not for root alone: {reason}"),
            "give the file to root with mode 0600. Whoever has read it can pose as this site: if that \
             may be, remove it, and `patronusd keys` makes a new key and prints its public half, \
             which all other sites need then",
        ),
        KeyDoubt::Missing(reason) => (
            format!("uplink {name} has no key: {reason}"),
            "`patronusd keys` makes one and prints its public half, which all other sites need; if \
             there was one, put it back",
        ),
        KeyDoubt::Unseen(reason) => (
            format!("the key of uplink {name} cannot be looked at: {reason}"),
            "use sudo to have it looked at: the router refuses the configuration if it is no key",
        ),
    };
    sink.warning(place, problem, help);
}

/// The IPv4 and the IPv6 gateway.
fn gateways(field: &Field<Gateways>, sink: &mut Sink) -> Option<(Gateway, Gateway)> {
    let items = field.items();
    let (mut v4, mut v6, mut dhcp) = (Gateway::None, Gateway::None, None);
    let mut good = true;
    for at in items {
        let (given, family) = match at.value {
            GatewayWord::Dhcp => {
                dhcp = Some(&at.place);
                continue;
            }
            GatewayWord::Address(IpAddr::V4(_)) => (&mut v4, "IPv4"),
            GatewayWord::Address(IpAddr::V6(_)) => (&mut v6, "IPv6"),
        };
        if let (GatewayWord::Address(address), Gateway::None) = (at.value, *given) {
            *given = Gateway::Static(address);
        } else {
            let problem = format!("{} is a second {family} gateway", at.place.shown());
            sink.error(&at.place, problem, "use at most one address per family");
            good = false;
        }
    }
    if let Some(place) = dhcp {
        let free = [&mut v4, &mut v6]
            .into_iter()
            .filter(|g| **g == Gateway::None);
        let filled = free.map(|gateway| *gateway = Gateway::Dynamic).count();
        let many = items
            .iter()
            .filter(|at| at.value == GatewayWord::Dhcp)
            .count();
        if filled == 0 || many > 1 {
            let problem = "dhcp is left without a family of its own";
            sink.error(
                place,
                problem,
                "use dhcp alone, or with one address of the other family",
            );
            good = false;
        }
    }
    if let Some(place) = field.empty() {
        let help = "use dhcp, an address, or one address per family";
        sink.error(place, "there is no gateway", help);
        good = false;
    }
    (good && field.value().is_some() && !field.is_partial()).then_some((v4, v6))
}

/// Our LANs.
pub(super) fn lans(file: &File, sink: &mut Sink) -> Option<Vec<Lan>> {
    let lan = |at: &At<file::Lan>| {
        if let Some(place) = at.value.prefixes.empty() {
            let help = "give at least one prefix, or remove the LAN";
            sink.error(place, "the LAN has no prefix", help);
        }
        Some(Lan {
            interface: at.value.interface.value()?.clone(),
            prefixes: at.value.prefixes.values().iter().map(|p| p.0).collect(),
        })
    };
    let all: Vec<_> = file.lans.items().iter().map(lan).collect();
    all.into_iter().collect()
}

/// The interfaces of our uplinks.
pub(super) fn uplink_interfaces(file: &File) -> Vec<&IfName> {
    let items = file.uplinks.items().iter();
    items.filter_map(|at| at.value.interface.value()).collect()
}
