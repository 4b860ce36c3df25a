//! What objects, good by themselves, cannot be together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;

use ipnet::IpNet;
use patronus_model::bgp::Asn;
use patronus_model::ids::{ClassName, SiteNumber};
use patronus_model::intent::{
    Action, Endpoint, Extent, Intent, Kind, ObjectId, Selector, Site, Uplink,
};
use patronus_model::policy::{QosClass, Strategy};
use patronus_model::router::Gateway;

use crate::pieces::FIRST_ASN;
use crate::problem::{Findings, Problem};

/// Everything that is wrong with an intent as a whole, in the order of its objects.
///
/// `default_classes` are the ones of a router that is told of none.
#[must_use]
pub fn check(intent: &Intent, default_classes: &[ClassName]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut check = Check {
        intent,
        problems: &mut problems,
    };
    check.prefixes();
    check.autonomous_systems();
    check.neighborhood();
    check.classes(default_classes);
    check.policies(default_classes);
    check.topology();
    check.endpoints();
    problems.sort();
    problems
}

struct Check<'a, 'p> {
    intent: &'a Intent,
    problems: &'p mut Vec<Problem>,
}

/// A prefix, and whose it is: `None` stands for the overlay.
struct Claim<'a> {
    net: IpNet,
    owner: Option<&'a Site>,
    field: String,
}

impl<'a> Check<'a, '_> {
    fn of(&mut self, kind: Kind, name: &str) -> Findings<'_> {
        Findings {
            object: ObjectId::new(kind, name),
            all: self.problems,
        }
    }

    fn site(&mut self, site: &Site) -> Findings<'_> {
        self.of(Kind::Site, site.id.as_str())
    }

    fn network(&mut self) -> Findings<'_> {
        Findings {
            object: ObjectId::network(),
            all: self.problems,
        }
    }

    /// Each address belongs to one site: routers refuse anything else. What a hub announces beside
    /// its own LANs is no LAN of its.
    fn prefixes(&mut self) {
        let mut claims = self.claims();
        claims.sort_by_key(|claim| {
            let net = (claim.net.network(), claim.net.prefix_len());
            (net, claim.owner.map(|site| &site.id))
        });
        let mut around: Vec<&Claim<'_>> = Vec::new();
        for claim in &claims {
            while around
                .last()
                .is_some_and(|outer| !outer.net.contains(&claim.net))
            {
                around.pop();
            }
            if let Some(outer) = around.iter().rev().find(|outer| collide(outer, claim)) {
                self.collision(outer, claim);
            }
            around.push(claim);
        }
    }

    fn claims(&self) -> Vec<Claim<'a>> {
        let network = &self.intent.network;
        let overlay = [
            Some(IpNet::V4(network.overlay4)),
            network.overlay6.map(IpNet::V6),
        ];
        let overlay = overlay.into_iter().flatten().map(|net| Claim {
            net: net.trunc(),
            owner: None,
            field: String::new(),
        });
        let of_site = |site: &'a Site| {
            let lans = site.lans.iter().enumerate();
            lans.flat_map(move |(index, lan)| {
                lan.prefixes.iter().map(move |net| Claim {
                    net: *net,
                    owner: Some(site),
                    field: format!("lans[{index}].prefixes"),
                })
            })
        };
        let sites = self.intent.sites.values();
        overlay
            .chain(sites.flat_map(|site| of_site(site)))
            .collect()
    }

    fn collision(&mut self, outer: &Claim<'_>, inner: &Claim<'_>) {
        let (about, other) = match (outer.owner, inner.owner) {
            (None, Some(_)) => (inner, outer),
            (_, None) => (outer, inner),
            // The order of names decides, so that the same intent gives the same words.
            (Some(one), Some(two)) if one.id > two.id => (outer, inner),
            (Some(_), Some(_)) => (inner, outer),
        };
        let Some(site) = about.owner else { return };
        let whose = other
            .owner
            .map_or_else(|| "the overlay".to_owned(), |site| site.id.to_string());
        let (net, others) = (about.net, other.net);
        let problem = if net == others {
            format!("{net} is also a prefix of {whose}")
        } else {
            format!("{net} overlaps with {others} of {whose}")
        };
        let help = if other.owner.is_some() {
            "each address belongs to one LAN of one site"
        } else {
            "nothing but sites' own addresses is in the overlay's network"
        };
        let field = about.field.clone();
        self.site(site).error(field, problem, help);
    }

    fn autonomous_systems(&mut self) {
        let mut seen = BTreeMap::new();
        for site in self.intent.sites.values() {
            let Some(asn) = site.asn else { continue };
            if is_given(asn) {
                let problem = format!("AS {asn} is one of those that sites are given");
                let help = "leave it out, or use another private one, for example 64512";
                self.site(site).error("bgp.asn", problem, help);
            }
            if let Some(other) = seen.insert(asn, &site.id) {
                let problem = format!("AS {asn} is also that of {other}");
                let help = "sites speak eBGP with each other: give each an AS of its own";
                self.site(site).error("bgp.asn", problem, help);
            }
        }
    }

    /// Neighbours and gateways are outside the overlay.
    fn neighborhood(&mut self) {
        let network = &self.intent.network;
        let overlay = [
            Some(IpNet::V4(network.overlay4)),
            network.overlay6.map(IpNet::V6),
        ];
        let overlay: Vec<IpNet> = overlay.into_iter().flatten().collect();
        let around = |address: IpAddr| overlay.iter().find(|net| net.contains(&address));
        for site in self.intent.sites.values() {
            for (index, neighbor) in site.neighbors.iter().enumerate() {
                let session = &neighbor.session;
                if let Some(net) = around(session.address) {
                    let field = format!("bgp.neighbors[{index}].address");
                    let problem = format!("{} is inside the overlay {net}", session.address);
                    let help = "sessions between sites follow from the topology";
                    self.site(site).error(field, problem, help);
                }
                if is_given(session.remote_asn) {
                    let field = format!("bgp.neighbors[{index}].asn");
                    let problem = format!("AS {} is one that sites are given", session.remote_asn);
                    let help = "name the AS of a router outside of Patronus";
                    self.site(site).error(field, problem, help);
                }
            }
            for (index, uplink) in site.uplinks.iter().enumerate() {
                for gateway in [uplink.gateway4, uplink.gateway6] {
                    let Gateway::Static(address) = gateway else {
                        continue;
                    };
                    if let Some(net) = around(address) {
                        let field = format!("uplinks[{index}].gateway");
                        let problem = format!("{address} is inside the overlay {net}");
                        let help = "use an address of the underlay";
                        self.site(site).error(field, problem, help);
                    }
                }
            }
        }
    }

    fn classes(&mut self, default_classes: &[ClassName]) {
        let (mut ids, mut codes) = (BTreeMap::new(), BTreeMap::new());
        let sites = self.intent.sites.values();
        let uplinks = sites.flat_map(|site| site.uplinks.iter().map(|uplink| &uplink.name));
        let uplinks: BTreeSet<_> = uplinks.collect();
        for class in self.intent.classes.values() {
            let name = class.name.as_str();
            if let Some(other) = ids.insert(class.id, &class.name) {
                let problem = format!("{} is also the id of {other}", class.id);
                let help = "give each class an id of its own, 1 to 127";
                self.of(Kind::Class, name).error("id", problem, help);
            }
            if let Some(other) = codes.insert(class.dscp, &class.name) {
                let problem = format!("{other} has the same code point, {}", class.dscp);
                let help = "routers tell classes apart by it: give each its own dscp";
                self.of(Kind::Class, name).error("dscp", problem, help);
            }
            let Strategy::Preference(order) = &class.strategy else {
                continue;
            };
            for unknown in order.iter().filter(|name| !uplinks.contains(name)) {
                let problem = format!("no site has an uplink {unknown}");
                let help = "name uplinks of sites";
                self.of(Kind::Class, name)
                    .warning("strategy.preference", problem, help);
            }
        }
        let network = &self.intent.network;
        match &network.default_class {
            Some(name) if !self.knows(name, default_classes) => {
                let problem = format!("there is no class {name}");
                let help = format!("use {}", self.known(default_classes));
                self.network().error("default_class", problem, help);
            }
            None if !self.intent.classes.is_empty() => {
                let mut all = self.intent.classes.values();
                if !all.any(|class| class.qos == QosClass::Standard) {
                    let problem = "is missing, and no class has qos: standard";
                    let help = format!("name one: {}", self.known(default_classes));
                    self.network().error("default_class", problem, help);
                }
            }
            Some(_) | None => {}
        }
    }

    fn knows(&self, name: &ClassName, default_classes: &[ClassName]) -> bool {
        match self.intent.classes.is_empty() {
            true => default_classes.contains(name),
            false => self.intent.classes.contains_key(name),
        }
    }

    fn known(&self, default_classes: &[ClassName]) -> String {
        match self.intent.classes.is_empty() {
            true => joined(default_classes.iter()),
            false => joined(self.intent.classes.keys()),
        }
    }

    fn policies(&mut self, default_classes: &[ClassName]) {
        let mut priorities = BTreeMap::new();
        for policy in self.intent.policies.values() {
            let name = policy.name.as_str();
            if let Some(other) = priorities.insert(policy.priority, &policy.name) {
                let problem = format!("{} is also the priority of {other}", policy.priority);
                let help = "give each policy a priority of its own";
                self.of(Kind::Policy, name).error("priority", problem, help);
            }
            if let Action::Route(class) = &policy.action
                && !self.knows(class, default_classes)
            {
                let problem = format!("there is no class {class}");
                let help = format!("use {}", self.known(default_classes));
                self.of(Kind::Policy, name).error("class", problem, help);
            }
            if let Selector::Named(ids) = &policy.sites {
                for id in ids.iter().filter(|id| !self.intent.sites.contains_key(*id)) {
                    let problem = format!("there is no site {id}");
                    let help = "name sites that exist, or select them by labels";
                    self.of(Kind::Policy, name).error("sites", problem, help);
                }
            }
            let mut sites = self.intent.sites.values();
            if !matches!(policy.sites, Selector::Named(_))
                && !self.intent.sites.is_empty()
                && !sites.any(|site| policy.sites.selects(site))
            {
                let problem = "no site has these labels, so it holds nowhere";
                let help = "name labels that sites have";
                self.of(Kind::Policy, name).warning("sites", problem, help);
            }
        }
    }

    /// A site to which nothing leads is a mistake; a hub-and-spoke network without a hub is one
    /// which leaves all sites alone.
    fn topology(&mut self) {
        let sites = &self.intent.sites;
        if sites.len() < 2 {
            return;
        }
        let topology = &self.intent.network.topology;
        for (extent, field) in [(&topology.mesh, "mesh"), (&topology.hubs, "hubs")] {
            let Extent::Within(label) = extent else {
                continue;
            };
            if !sites.values().any(|site| site.labels.contains_key(label)) {
                let problem = format!("no site has the label {label}");
                let help = "label the sites, or use all or none";
                self.network()
                    .error(format!("topology.{field}"), problem, help);
            }
        }
        for site in sites.values() {
            let mut others = sites.values().filter(|other| other.id != site.id);
            let joined = others.any(|other| {
                topology.joins(site, other) && shared_underlays(site, other).next().is_some()
            });
            if !joined {
                let problem = "it has a path to no other site";
                let help = "make it a hub or give it one, or let an uplink share an underlay with \
                            others";
                self.site(site).warning("", problem, help);
            }
        }
    }

    /// Of two sites that both wait for the other, neither speaks first.
    fn endpoints(&mut self) {
        let topology = &self.intent.network.topology;
        let sites: Vec<&Site> = self.intent.sites.values().map(AsRef::as_ref).collect();
        for (index, site) in sites.iter().enumerate() {
            let later = sites.get(index + 1..).unwrap_or_default();
            let silent = later.iter().filter(|other| {
                let mut shared = shared_underlays(site, other).peekable();
                topology.joins(site, other)
                    && shared.peek().is_some()
                    && !shared.any(|(one, two)| reachable(one) || reachable(two))
            });
            let silent: Vec<&str> = silent.map(|other| other.id.as_str()).collect();
            let Some(first) = silent.first() else {
                continue;
            };
            let more = match silent.len() {
                1 => String::new(),
                all => format!(" and {} more", all - 1),
            };
            let problem = format!("neither it nor {first}{more} can be reached by the other");
            let help = "give an uplink of one of them an endpoint, or let them meet at a hub";
            let site: &Site = site;
            self.site(site).warning("uplinks", problem, help);
        }
    }
}

/// Whether it is one of the ASes that sites are given.
fn is_given(asn: Asn) -> bool {
    let number = asn.get().checked_sub(FIRST_ASN);
    number.is_some_and(|number| (1..=u32::from(SiteNumber::MAX)).contains(&number))
}

/// `a, b or c`.
fn joined<'a, T: Display + 'a>(items: impl Iterator<Item = &'a T>) -> String {
    let items: Vec<String> = items.map(ToString::to_string).collect();
    match items.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn collide(outer: &Claim<'_>, inner: &Claim<'_>) -> bool {
    match (outer.owner, inner.owner) {
        (None, None) => false,
        (None, Some(_)) | (Some(_), None) => true,
        // A site's own LANs are compared where it is read.
        (Some(one), Some(two)) => one.id != two.id,
    }
}

/// The pairs of uplinks of two sites between which there is a tunnel.
fn shared_underlays<'a>(
    one: &'a Site,
    other: &'a Site,
) -> impl Iterator<Item = (&'a Uplink, &'a Uplink)> {
    let ours = one.uplinks.iter();
    let pairs = ours.flat_map(|a| other.uplinks.iter().map(move |b| (a, b)));
    pairs.filter(|(a, b)| a.underlay == b.underlay)
}

/// Whether others may be able to speak to an uplink first. One that finds out for itself may be.
fn reachable(uplink: &Uplink) -> bool {
    match uplink.endpoint {
        Endpoint::At(_) => true,
        Endpoint::None => false,
        Endpoint::Auto => {
            let fixed = |gateway| matches!(gateway, Gateway::Static(_));
            fixed(uplink.gateway4) || fixed(uplink.gateway6)
        }
    }
}
