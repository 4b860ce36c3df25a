//! Traffic classes and policies.

use ipnet::IpNet;
use patronus_model::ids::{ClassId, ClassName, Dscp};
use patronus_model::policy::{
    Action, Failover, Match, Policy, Protocol, QosClass, Strategy, TrafficClass,
};

use super::uplinks::uplink_interfaces;
use super::{Unique, shadow};
use crate::diagnostic::Sink;
use crate::file::{self, File};
use crate::place::{Place, Position};
use crate::read::{At, Field, List, Many, Read};
use crate::shape::{all, did_you_mean, list};
use crate::tree;
use crate::values::{ActionWord, PortRange, Selector, StrategyWord, default_dscp, show_dscp};

/// The classes of a file that gives none: one for each QoS class, with the code points of
/// RFC 4594, figure 3.
pub(crate) const DEFAULT_CLASSES: &str = "\
- {id: 1, name: voice, qos: realtime, dscp: EF, strategy: lowest_latency}
- {id: 2, name: interactive, qos: interactive, dscp: AF21, strategy: lowest_latency}
- {id: 3, name: video, qos: streaming, dscp: AF31}
- {id: 4, name: standard, qos: standard, dscp: default}
- {id: 5, name: bulk, qos: bulk, dscp: CS1}
";

/// The traffic classes of a file.
pub(super) struct Classes {
    /// By id; `None` if not all could be read.
    pub(super) model: Option<Vec<TrafficClass>>,
    /// The names that policies may use, with the ids where these are valid.
    names: Vec<(ClassName, Option<ClassId>)>,
    /// Whether there may be more names than could be read.
    partial: bool,
}

impl Classes {
    /// The id of a class, or a report that there is no such class.
    fn find(&self, at: &At<ClassName>, sink: &mut Sink) -> Option<ClassId> {
        if let Some((_, id)) = self.names.iter().find(|(name, _)| *name == at.value) {
            return *id;
        }
        if !self.partial {
            let mut names: Vec<&str> = Vec::new();
            // Of two classes of one name, each is worth a message of its own, but not a choice.
            for (name, _) in &self.names {
                if !names.contains(&name.as_str()) {
                    names.push(name.as_str());
                }
            }
            let near = did_you_mean(at.value.as_str(), names.iter().copied());
            let help = format!("{near}use {}", list(&names));
            sink.error(&at.place, format!("there is no class {}", at.value), help);
        }
        None
    }
}

/// The classes that a file gives, or the default ones.
pub(super) fn classes(file: &File, sink: &mut Sink) -> Classes {
    if let Some(place) = file.classes.empty() {
        let help = "give at least one class, or remove the key to have the default ones";
        sink.error(place, "there is no class", help);
    }
    let default = default_classes(sink);
    let given = file.classes.is_present();
    let items = if given {
        file.classes.items()
    } else {
        &default
    };
    unique_classes(items, sink);
    let uplinks = uplink_names(file);
    let all: Vec<_> = items
        .iter()
        .map(|at| class(at, uplinks.as_deref(), sink))
        .collect();
    let names: Vec<_> = items
        .iter()
        .filter_map(|at| Some((at.value.name.value()?.clone(), at.value.id.value().copied())))
        .collect();
    let partial = given && (file.classes.value().is_none() || names.len() < items.len());
    let mut model: Option<Vec<TrafficClass>> = all.into_iter().collect();
    if let Some(classes) = &mut model {
        classes.sort_by_key(|class| class.id);
    }
    Classes {
        model,
        names,
        partial,
    }
}

fn default_classes(sink: &mut Sink) -> Vec<At<file::Class>> {
    let place = Place::file(Position::START);
    let read = tree::read(DEFAULT_CLASSES, sink);
    let list = read.and_then(|node| List::read(&node, &place, sink));
    list.map(List::into_items).unwrap_or_default()
}

fn unique_classes(items: &[At<file::Class>], sink: &mut Sink) {
    let mut ids = Unique::new("id", "give each class an id of its own, 1 to 127");
    let mut names = Unique::new("name", "give each class a name of its own");
    let mut codes = Unique::new(
        "DSCP",
        "routers tell classes apart by it: give each its own dscp",
    );
    for at in items {
        ids.claim_field(&at.value.id, sink);
        names.claim_field(&at.value.name, sink);
        if let Some(dscp) = dscp(&at.value) {
            codes.claim(show_dscp(dscp), at.value.dscp.place(&at.place), sink);
        }
    }
}

fn dscp(class: &file::Class) -> Option<Dscp> {
    if class.dscp.is_present() {
        return class.dscp.value().map(|code| code.0);
    }
    default_dscp(class.qos.value()?.class())
}

/// The names of our uplinks, if all could be read.
fn uplink_names(file: &File) -> Option<Vec<&str>> {
    let uplinks = file.uplinks.items();
    let names = uplinks.iter().filter_map(|at| at.value.name.value());
    let names: Vec<&str> = names.map(|name| name.as_str()).collect();
    (file.uplinks.value().is_some() && names.len() == uplinks.len()).then_some(names)
}

/// A class. `uplinks` are the names that a preference may use, where these are known.
pub(super) fn class(
    at: &At<file::Class>,
    uplinks: Option<&[&str]>,
    sink: &mut Sink,
) -> Option<TrafficClass> {
    let class = &at.value;
    let strategy = class
        .strategy
        .value()
        .and_then(|strategy| self::strategy(strategy, uplinks, sink));
    Some(TrafficClass {
        id: *class.id.value()?,
        name: class.name.value()?.clone(),
        qos: class.qos.value()?.class(),
        dscp: dscp(class)?,
        strategy: strategy?,
        failover: failover(class.failover.value()?)?,
    })
}

fn failover(file: &file::Failover) -> Option<Failover> {
    Some(Failover {
        threshold: file.threshold.value()?.0,
        cooldown: file.cooldown.value()?.0,
        hold: file.hold.value()?.0,
    })
}

fn strategy(
    strategy: &file::Strategy,
    uplinks: Option<&[&str]>,
    sink: &mut Sink,
) -> Option<Strategy> {
    let preference = match strategy {
        file::Strategy::Word(StrategyWord::LowestLatency) => return Some(Strategy::LeastLatency),
        file::Strategy::Word(StrategyWord::LowestCost) => {
            return Some(Strategy::Preference(Vec::new()));
        }
        file::Strategy::Preference(preference) => &preference.preference,
    };
    let mut seen = Unique::new("uplink", "name each uplink once");
    for at in preference.items() {
        seen.claim(at.value.clone(), &at.place, sink);
        let Some(names) = uplinks.filter(|names| !names.contains(&at.value.as_str())) else {
            continue;
        };
        let near = did_you_mean(at.value.as_str(), names.iter().copied());
        let help = format!("{near}our uplinks are {}", all(names));
        sink.error(&at.place, format!("there is no uplink {}", at.value), help);
    }
    preference
        .value()
        .map(|_| Strategy::Preference(preference.values()))
}

/// The class of whatever no policy matches.
pub(super) fn default_class(
    file: &File,
    classes: &Classes,
    at: &At<File>,
    sink: &mut Sink,
) -> Option<ClassId> {
    if let Some(name) = file.default_class.given() {
        return classes.find(name, sink);
    }
    let model = classes.model.as_ref()?;
    let mut standard = model.iter().filter(|class| class.qos == QosClass::Standard);
    let place = Place {
        path: at.place.path.key("default_class"),
        ..at.place.clone()
    };
    if file.default_class.is_present() {
        return None;
    }
    let Some(first) = standard.next() else {
        let problem = "is missing, and no class has qos: standard";
        let names: Vec<&str> = model.iter().map(|class| class.name.as_str()).collect();
        sink.error(&place, problem, format!("name one: {}", list(&names)));
        return None;
    };
    if let Some(second) = standard.next() {
        let problem = format!("{} and {} both have qos: standard", first.name, second.name);
        let help = format!(
            "{} is taken; say \"default_class: {}\"",
            first.name, first.name
        );
        sink.warning(&place, problem, help);
    }
    Some(first.id)
}

/// The policies of a file, by priority.
pub(super) fn policies(file: &File, classes: &Classes, sink: &mut Sink) -> Option<Vec<Policy>> {
    many(&file.policies, sink);
    let mut names = Unique::new("name", "give each policy a name of its own");
    let mut priorities = Unique::new("priority", "give each policy a priority of its own");
    let mut all = Vec::new();
    for at in file.policies.items() {
        names.claim_field(&at.value.name, sink);
        if let Some(priority) = priority(at) {
            priorities.claim(priority, at.value.priority.place(&at.place), sink);
        }
        let matches = at.value.matches.value().and_then(|matches| {
            sanity(matches, sink);
            ingress(matches, file, sink);
            (!is_partial(matches)).then(|| convert(matches))
        });
        let action = action(at, classes, sink);
        all.push((policy(at, matches, action), &at.place));
    }
    let all: Vec<_> = all
        .into_iter()
        .map(|(policy, place)| Some((policy?, place)))
        .collect();
    let mut all: Vec<(Policy, &Place)> = all.into_iter().collect::<Option<_>>()?;
    all.sort_by_key(|(policy, _)| policy.priority);
    shadow::check(&all, sink);
    Some(all.into_iter().map(|(policy, _)| policy).collect())
}

/// Says what more policies than this cost. 20,000 kept nft busy for 1.8 s at each change (a trial
/// on two cores; it grows with their number), so that this many take about half a second.
pub(super) const MANY_POLICIES: usize = 5000;

fn many(policies: &Field<List<file::Policy>>, sink: &mut Sink) {
    let Some(given) = policies.given() else {
        return;
    };
    let number = policies.items().len();
    if number > MANY_POLICIES {
        let problem = format!(
            "{number} policies: whenever one of them changes, all are put into nftables anew, in \
             one transaction that takes longer the more they are; the first packet of a connection \
             passes those with several conditions one by one"
        );
        let help = format!(
            "let one policy name several prefixes or ports, so that there are at most {MANY_POLICIES}"
        );
        sink.warning(&given.place, problem, help);
    }
}

fn priority(at: &At<file::Policy>) -> Option<u32> {
    let field = &at.value.priority;
    if field.is_present() {
        return field.value().map(|count| count.0);
    }
    let index = u32::try_from(at.place.path.last_index()?).ok()?;
    index.checked_add(1)?.checked_mul(10)
}

fn policy(at: &At<file::Policy>, matches: Option<Match>, action: Option<Action>) -> Option<Policy> {
    Some(Policy {
        name: at.value.name.value()?.clone(),
        priority: priority(at)?,
        matches: matches?,
        action: action?,
    })
}

fn action(at: &At<file::Policy>, classes: &Classes, sink: &mut Sink) -> Option<Action> {
    let class = &at.value.class;
    match (at.value.action.value()?, class.given()) {
        (ActionWord::Route, Some(class)) => classes.find(class, sink).map(Action::Route),
        (ActionWord::Route, None) => {
            if !class.is_present() {
                let place = Place {
                    path: at.place.path.key("class"),
                    value: None,
                    ..at.place.clone()
                };
                let names: Vec<&str> = classes.names.iter().map(|(n, _)| n.as_str()).collect();
                let help = match names.as_slice() {
                    [] => "name one, or use action: drop".to_owned(),
                    names => format!("name one ({}), or use action: drop", list(names)),
                };
                sink.error(&place, "is missing: a routed flow travels in a class", help);
            }
            None
        }
        (ActionWord::Drop, None) => Some(Action::Drop),
        (ActionWord::Drop, Some(class)) => {
            let problem = "what is dropped travels in no class";
            sink.error(&class.place, problem, "remove it, or use action: route");
            None
        }
    }
}

/// Whether some condition could not be read: without it, more would match than was meant.
fn is_partial(matches: &file::Match) -> bool {
    let protocol = matches.protocol.is_present() && matches.protocol.value().is_none();
    let nets = matches.from.is_partial() || matches.to.is_partial();
    let ports = matches.source_ports.is_partial() || matches.ports.is_partial();
    protocol || nets || ports || matches.dscp.is_partial() || matches.ingress.is_partial()
}

pub(super) fn convert(matches: &file::Match) -> Match {
    let nets = |field: &Field<Many<Selector>>| field.values().iter().map(|s| s.0).collect();
    let ports = |field: &Field<Many<PortRange>>| {
        field.items().iter().map(|at| at.value.0.clone()).collect()
    };
    Match {
        sources: nets(&matches.from),
        destinations: nets(&matches.to),
        protocol: matches.protocol.value().copied(),
        source_ports: ports(&matches.source_ports),
        destination_ports: ports(&matches.ports),
        dscp: matches.dscp.items().iter().map(|at| at.value.0).collect(),
        ingress: matches.ingress.values(),
    }
}

/// Reports matches that nothing can meet.
pub(super) fn sanity(matches: &file::Match, sink: &mut Sink) {
    families(matches, sink);
    for field in [&matches.source_ports, &matches.ports] {
        if let Some(at) = field.given() {
            ports(&matches.protocol, &at.place, sink);
        }
    }
    for place in [
        matches.from.empty(),
        matches.to.empty(),
        matches.source_ports.empty(),
        matches.ports.empty(),
        matches.dscp.empty(),
        matches.ingress.empty(),
    ]
    .into_iter()
    .flatten()
    {
        let help = "name what is meant, or remove the key if everything is";
        sink.error(
            place,
            "an empty list could mean everything or nothing",
            help,
        );
    }
}

fn ports(protocol: &Field<Protocol>, place: &Place, sink: &mut Sink) {
    let help = "set protocol: tcp, udp, sctp, dccp or udplite";
    match protocol.given() {
        Some(at) if !at.value.has_ports() => {
            let problem = format!("ports are given, but the protocol {} has none", at.value);
            sink.error(place, problem, help);
        }
        None if !protocol.is_present() => {
            sink.error(place, "ports are given, but no protocol", help);
        }
        _ => {}
    }
}

/// Which address families something is about.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Families {
    v4: bool,
    v6: bool,
}

fn families(matches: &file::Match, sink: &mut Sink) {
    let of_list = |field: &Field<Many<Selector>>| {
        let any = |f: fn(&IpNet) -> bool| field.items().iter().any(|at| f(&at.value.0));
        let all = field.items().is_empty();
        Families {
            v4: all || any(|net| matches!(net, IpNet::V4(_))),
            v6: all || any(|net| matches!(net, IpNet::V6(_))),
        }
    };
    let of_protocol = match matches.protocol.value() {
        Some(Protocol(1)) => Families {
            v4: true,
            v6: false,
        },
        Some(Protocol(58)) => Families {
            v4: false,
            v6: true,
        },
        _ => Families { v4: true, v6: true },
    };
    let (from, to) = (of_list(&matches.from), of_list(&matches.to));
    let meet = |a: Families, b: Families| a.v4 && b.v4 || a.v6 && b.v6;
    let all = Families {
        v4: from.v4 && to.v4,
        v6: from.v6 && to.v6,
    };
    if !meet(from, to) {
        if let Some(at) = matches.to.given() {
            let problem = "no flow has addresses of different families in from and to";
            sink.error(
                &at.place,
                problem,
                "use prefixes of one family, or of both in both",
            );
        }
    } else if let Some(at) = matches.protocol.given().filter(|_| !meet(all, of_protocol)) {
        let family = if of_protocol.v4 { "IPv4" } else { "IPv6" };
        let problem = format!(
            "{} is a protocol of {family}, the prefixes are not",
            at.value
        );
        sink.error(
            &at.place,
            problem,
            "use icmp with IPv4 prefixes, icmpv6 with IPv6 ones",
        );
    }
}

fn ingress(matches: &file::Match, file: &File, sink: &mut Sink) {
    let uplinks = uplink_interfaces(file);
    let lans = file
        .lans
        .items()
        .iter()
        .filter_map(|at| at.value.interface.value());
    let lans: Vec<&str> = lans.map(|name| name.as_str()).collect();
    for at in matches.ingress.items() {
        if uplinks.contains(&&at.value) {
            let problem = format!("{} is the interface of an uplink", at.value);
            let help = "flows are classified where they come in from a LAN; name that interface";
            sink.error(&at.place, problem, help);
        } else if !lans.contains(&at.value.as_str()) && file.lans.value().is_some() {
            let near = did_you_mean(at.value.as_str(), lans.iter().copied());
            let problem = format!("{} is not the interface of a LAN", at.value);
            let help = format!("{near}the LANs are on {}", all(&lans));
            sink.warning(&at.place, problem, help);
        }
    }
}
