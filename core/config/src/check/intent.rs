//! Objects of an intent. What holds for them by themselves is what holds for the same parts of a
//! router's configuration; what they cannot be together is the planner's.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use patronus_model::intent::{
    self, Action, Endpoint, Neighbor, Network, Policy, Selector, Site, Topology,
};
use patronus_model::policy::TrafficClass;
use patronus_model::router;

use super::{bgp, kernel, labels, prefixes, steering, uplinks};
use crate::diagnostic::Sink;
use crate::file::{
    self, ClassObject, Extent, File, NetworkObject, PolicyObject, SiteBgp, SiteObject, SiteUplink,
    Sites,
};
use crate::place::Place;
use crate::read::{At, Field, List};
use crate::values::{ActionWord, EndpointWord, ExtentWord, Line};
use crate::{outside_unknown, values};

/// The network.
pub(crate) fn network(at: &At<NetworkObject>, sink: &mut Sink) -> Option<Network> {
    let object = &at.value;
    object.kind.value()?;
    let networks = object.overlay.value()?;
    let overlay4 = overlay(&networks.ipv4, "an IPv4", 16..=30, ipv4, sink);
    let overlay6 = match networks.ipv6.is_present() {
        false => Some(None),
        true => overlay(&networks.ipv6, "an IPv6", 64..=126, ipv6, sink).map(Some),
    };
    let routing = object.bgp.value()?;
    let timers = bgp::timers(&routing.timers, sink);
    let health = object.health.value();
    let health = health.and_then(|health| kernel::health(health, &at.place, sink));
    prefixes::guarded(networks.prefixes.items(), sink);
    Some(Network {
        overlay4: overlay4?,
        overlay6: overlay6?,
        guarded: networks.prefixes.values().iter().map(|net| net.0).collect(),
        topology: topology(object.topology.value()?)?,
        bgp_timers: timers?,
        graceful_restart: routing
            .graceful_restart
            .value()?
            .clone()
            .into_option()
            .map(|it| it.0),
        maximum_prefixes: routing.maximum_prefixes.value()?.0,
        health: health?,
        default_class: object.default_class.optional()?,
    })
}

/// A network of one family, with the prefix lengths that routers take for their overlay address.
fn overlay<T>(
    field: &Field<values::Network>,
    family: &str,
    lengths: RangeInclusive<u8>,
    of_family: impl Fn(IpNet) -> Option<T>,
    sink: &mut Sink,
) -> Option<T> {
    let at = field.given()?;
    let net = at.value.0;
    let Some(of_family) = of_family(net) else {
        let problem = format!("{net} is not {family} network");
        sink.error(&at.place, problem, format!("use {family} prefix"));
        return None;
    };
    if !lengths.contains(&net.prefix_len()) {
        let problem = format!("{net} has a prefix length of {}", net.prefix_len());
        let help = format!("use {} to {}", lengths.start(), lengths.end());
        sink.error(&at.place, problem, help);
        return None;
    }
    Some(of_family)
}

fn ipv4(net: IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    }
}

fn ipv6(net: IpNet) -> Option<Ipv6Net> {
    match net {
        IpNet::V6(net) => Some(net),
        IpNet::V4(_) => None,
    }
}

fn topology(section: &file::Topology) -> Option<Topology> {
    let extent = |extent: &Extent| match extent {
        Extent::Word(ExtentWord::All) => Some(intent::Extent::All),
        Extent::Word(ExtentWord::None) => Some(intent::Extent::None),
        Extent::Within(within) => Some(intent::Extent::Within(within.within.value()?.0.clone())),
    };
    Some(Topology {
        mesh: extent(section.mesh.value()?)?,
        hubs: extent(section.hubs.value()?)?,
    })
}

/// A site.
pub(crate) fn site_of_network(at: At<SiteObject>, sink: &mut Sink) -> Option<Site> {
    let At { value: object, .. } = at;
    object.kind.value()?;
    let endpoints = endpoints(&object.uplinks);
    // A file of the parts that a router's configuration has as well is checked like one.
    let file = File {
        uplinks: object.uplinks.map(|list| list.map(base)),
        lans: object.lans,
        kernel: object.kernel,
        ..File::missing()
    };
    let models = uplinks::uplinks(&file, &outside_unknown(), sink);
    let lans = uplinks::lans(&file, sink);
    let layout = kernel::layout(&file, sink);
    prefixes::check(&file, sink);
    let hub = *object.hub.value()?;
    let bgp = object.bgp.value()?;
    let neighbors = neighbors(bgp, sink);
    if let Some(at) = bgp.originate_default.given().filter(|at| at.value && !hub) {
        let problem = "only a hub can announce a default route to the other sites";
        sink.error(&at.place, problem, "say \"hub: true\", or remove this");
    }
    let id = object.id.value()?;
    let models = models?;
    let uplinks = file.uplinks.items().iter().map(|at| {
        let name = at.value.name.value()?;
        let model = models.iter().find(|model| model.name == *name)?;
        Some(uplink(&at.value, model, *endpoints.get(name.as_str())?))
    });
    Some(Site {
        id: id.clone(),
        name: object.name.or(|| Some(Line(id.to_string())))?.0,
        location: object.location.optional()?.map(|line| line.0),
        labels: labels(&object.labels),
        hub,
        uplinks: uplinks.collect::<Option<_>>()?,
        lans: lans?,
        asn: bgp.asn.optional()?,
        router_id: bgp.router_id.optional()?,
        neighbors: neighbors?,
        originate_default: *bgp.originate_default.value()?,
        layout: layout?,
    })
}

fn base(at: At<SiteUplink>) -> At<file::Uplink> {
    At {
        value: at.value.base,
        place: at.place,
    }
}

/// The endpoints of uplinks, by their names; those that could not be read are left out.
fn endpoints(uplinks: &Field<List<SiteUplink>>) -> BTreeMap<String, Endpoint> {
    let items = uplinks.items().iter().map(|at| &at.value);
    let pair = |uplink: &SiteUplink| {
        let endpoint = match uplink.endpoint.value()? {
            EndpointWord::Auto => Endpoint::Auto,
            EndpointWord::None => Endpoint::None,
            EndpointWord::At(at) => Endpoint::At(*at),
        };
        Some((uplink.base.name.value()?.to_string(), endpoint))
    };
    items.filter_map(pair).collect()
}

fn uplink(file: &file::Uplink, model: &router::Uplink, endpoint: Endpoint) -> intent::Uplink {
    intent::Uplink {
        name: model.name.clone(),
        slot: file.slot.given().map(|_| model.slot),
        interface: model.interface.clone(),
        underlay: model.underlay.clone(),
        gateway4: model.gateway4,
        gateway6: model.gateway6,
        bandwidth_up: model.bandwidth_up,
        bandwidth_down: model.bandwidth_down,
        cost: model.cost,
        metered: model.metered,
        listen_port: file.listen_port.given().map(|_| model.listen_port),
        endpoint,
    }
}

fn neighbors(bgp: &SiteBgp, sink: &mut Sink) -> Option<Vec<Neighbor>> {
    let items = bgp.neighbors.items();
    let mut good = true;
    for at in items {
        if let Some(password) = at.value.password.given() {
            let help = "put it into a file on the router, and give password_file";
            sink.error(&password.place, "the intent keeps no passwords", help);
            good = false;
        }
    }
    let sessions = bgp::neighbors(items, bgp.asn.value(), None, &outside_unknown(), sink)?;
    let file_of = |address: IpAddr| {
        let at = items
            .iter()
            .find(|at| at.value.address.value() == Some(&address))?;
        at.value
            .password_file
            .value()
            .map(|file| file.0.to_string_lossy().into_owned())
    };
    let neighbor = |mut session: patronus_model::bgp::BgpNeighbor| {
        session.password = None;
        Neighbor {
            password_file: file_of(session.address),
            session,
        }
    };
    good.then(|| sessions.into_iter().map(neighbor).collect())
}

/// A traffic class.
pub(crate) fn class_of_network(at: At<ClassObject>, sink: &mut Sink) -> Option<TrafficClass> {
    let At { value, place } = at;
    value.kind.value()?;
    let base = At {
        value: value.base,
        place,
    };
    steering::class(&base, None, sink)
}

/// A policy.
pub(crate) fn policy_of_network(at: &At<PolicyObject>, sink: &mut Sink) -> Option<Policy> {
    let object = &at.value;
    object.kind.value()?;
    let matches = object.matches.value().map(|matches| {
        steering::sanity(matches, sink);
        steering::convert(matches)
    });
    let action = match (object.action.value()?, object.class.given()) {
        (ActionWord::Route, Some(class)) => Some(Action::Route(class.value.clone())),
        (ActionWord::Drop, None) => (!object.class.is_present()).then_some(Action::Drop),
        (ActionWord::Drop, Some(class)) => {
            let problem = "what is dropped travels in no class";
            sink.error(&class.place, problem, "remove it, or use action: route");
            None
        }
        (ActionWord::Route, None) => {
            if !object.class.is_present() {
                let place = Place {
                    path: at.place.path.key("class"),
                    ..at.place.clone()
                };
                let help = "name one, or use action: drop";
                sink.error(&place, "is missing: a routed flow travels in a class", help);
            }
            None
        }
    };
    let sites = match object.sites.given() {
        None => (!object.sites.is_present()).then_some(Selector::All),
        Some(at) => selector(at, sink),
    };
    Some(Policy {
        name: object.name.value()?.clone(),
        priority: object.priority.value()?.0,
        sites: sites?,
        matches: matches?,
        action: action?,
    })
}

fn selector(at: &At<Sites>, sink: &mut Sink) -> Option<Selector> {
    let selector = match &at.value {
        Sites::Named(ids) if !ids.is_empty() => Selector::Named(ids.iter().cloned().collect()),
        Sites::Labelled(table) if !table.0.is_empty() => {
            let pairs = table.0.iter();
            Selector::Labelled(pairs.map(|(k, v)| (k.0.clone(), v.0.clone())).collect())
        }
        Sites::Named(_) | Sites::Labelled(_) => {
            let problem = "an empty selection could mean all sites or none";
            sink.error(&at.place, problem, "name what is meant, or remove the key");
            return None;
        }
    };
    Some(selector)
}
