//! A network whose intent people edit, for tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use patronus_config::{Addresses, Outside, default_classes, parse as parse_file, read_objects};
use patronus_model::Secret;
use patronus_model::ids::{SiteId, UplinkName};
use patronus_model::intent::{Allocations, Facts, Intent, Kind, Object, ObjectId, UplinkFacts};
use patronus_model::router::RouterConfig;
use patronus_model::wireguard::PublicKey;
use patronus_planner::{Inputs, Plan, Problem, Severity, allocate, check, reach};
use proptest::prelude::*;

/// What somebody does.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Puts the object that this text is.
    Put(String),
    /// Removes the object `kind/name`.
    Remove(String),
    /// A router tells of an uplink: site, uplink, a number that its key is made of, and an address.
    Tell(String, &'static str, u8, Option<SocketAddr>),
}

impl Edit {
    /// A site like a thousand others.
    pub(crate) fn large_site(number: u8) -> Self {
        Self::Put(format!(
            "kind: site\nid: site-{number}\nuplinks: [{{name: fibre, interface: wan0, gateway: \
             192.0.2.1, endpoint: 198.51.100.{number}}}]\n\
             lans: [{{interface: lan0, prefixes: 10.{number}.0.0/16}}]\n"
        ))
    }

    /// A policy at the sites which `sites` selects.
    pub(crate) fn policy(name: &str, priority: u32, sites: &str) -> Self {
        Self::Put(format!(
            "kind: policy\nname: {name}\npriority: {priority}\n{sites}\nclass: voice\n"
        ))
    }
}

/// An intent, what routers have told, and the numbers that were given.
pub(crate) struct World {
    pub(crate) intent: Intent,
    facts: BTreeMap<(SiteId, UplinkName), UplinkFacts>,
    allocations: std::cell::RefCell<Allocations>,
}

impl Default for World {
    fn default() -> Self {
        let (manifests, _) =
            read_objects("kind: network\noverlay: {ipv4: 10.255.0.0/24}\n", "").unwrap();
        let Some(Object::Network(network)) = manifests.into_iter().map(|it| it.object).next()
        else {
            panic!("no network");
        };
        Self {
            intent: Intent {
                network,
                sites: BTreeMap::new(),
                classes: BTreeMap::new(),
                policies: BTreeMap::new(),
            },
            facts: BTreeMap::new(),
            allocations: Default::default(),
        }
    }
}

impl World {
    /// Does it, unless something would be wrong then.
    pub(crate) fn edit(&mut self, edit: &Edit) {
        let before = (self.intent.clone(), self.facts.clone());
        self.do_it(edit);
        let (_, problems) = self.plan(None);
        if problems.iter().any(|it| it.severity == Severity::Error) {
            (self.intent, self.facts) = before;
        }
    }

    fn do_it(&mut self, edit: &Edit) {
        match edit {
            Edit::Put(text) => {
                let Ok((manifests, _)) = read_objects(text, "") else {
                    return;
                };
                for manifest in manifests {
                    self.told(&manifest.object);
                    self.intent.put(manifest.object);
                }
            }
            Edit::Remove(id) => {
                let (kind, name) = id.split_once('/').unwrap();
                let kind = Kind::ALL
                    .into_iter()
                    .find(|it| it.as_str() == kind)
                    .unwrap();
                self.intent.remove(&ObjectId::new(kind, name));
            }
            Edit::Tell(site, uplink, key, address) => {
                let id = (site.parse().unwrap(), uplink.parse().unwrap());
                let facts = UplinkFacts {
                    public_key: self.key(&id, *key),
                    address: *address,
                };
                self.facts.insert(id, facts);
            }
        }
    }

    /// Sites of which nothing is told by edits have told all.
    fn told(&mut self, object: &Object) {
        let Object::Site(site) = object else { return };
        if !site.id.as_str().starts_with("site-") {
            return;
        }
        for uplink in &site.uplinks {
            let id = (site.id.clone(), uplink.name.clone());
            let facts = UplinkFacts {
                public_key: self.key(&id, 0),
                address: None,
            };
            self.facts.insert(id, facts);
        }
    }

    /// A key that no other uplink has, unless its number is 255.
    fn key(&self, (site, uplink): &(SiteId, UplinkName), number: u8) -> PublicKey {
        let mut key = [number; 32];
        if number == u8::MAX {
            return PublicKey(key);
        }
        let text = format!("{site}.{uplink}");
        for (to, from) in key.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        PublicKey(key)
    }

    /// The plan, and everything that is wrong with the intent.
    pub(crate) fn plan(&self, before: Option<&Plan>) -> (Plan, Vec<Problem>) {
        let default_classes = default_classes();
        let names: Vec<_> = default_classes
            .iter()
            .map(|class| class.name.clone())
            .collect();
        let mut problems = check(&self.intent, &names);
        let (allocations, more) = allocate(&self.intent, &self.allocations.borrow());
        problems.extend(more);
        let facts = Facts {
            uplinks: self.facts.clone(),
        };
        let (reaches, more) = reach(&self.intent, &facts, &allocations);
        problems.extend(more);
        if !problems.iter().any(|it| it.severity == Severity::Error) {
            self.allocations.replace(allocations.clone());
        }
        let inputs = Inputs {
            intent: self.intent.clone(),
            reaches: Arc::new(reaches),
            allocations: Arc::new(allocations),
            default_classes: default_classes.into(),
        };
        let plan = match before {
            Some(before) => before.next(inputs),
            None => Plan::new(inputs),
        };
        (plan, problems)
    }
}

/// Reads a file as the router of a site does.
pub(crate) fn parse(text: &str, plan: &Plan, site: &SiteId) -> RouterConfig {
    let own = plan.own(site).unwrap();
    let key = |name: &UplinkName| {
        let mut uplinks = own.config.uplinks.iter();
        Ok(uplinks
            .find(|it| it.name == *name)
            .unwrap()
            .public_key
            .into())
    };
    let outside = Outside {
        public_key: &key,
        password: &|_| Ok(Secret::new("its-own".to_owned())),
        addresses: &|_| Addresses::default(),
        before: None,
    };
    let (mut config, _) = parse_file(text, "planned.yaml", &outside).unwrap();
    for neighbor in &mut config.bgp.neighbors {
        neighbor.password = None;
    }
    config
}

const SITES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const UPLINKS: [&str; 3] = ["fibre", "lte", "mpls"];
const CLASSES: [&str; 4] = ["voice", "standard", "bulk", "other"];
const POLICIES: [&str; 4] = ["p", "q", "r", "s"];

fn any_uplink() -> impl Strategy<Value = String> {
    let gateway = prop::sample::select(vec!["dhcp", "192.0.2.1", "[192.0.2.1, dhcp]"]);
    let endpoint = prop::sample::select(vec!["auto", "none", "198.51.100.7", "198.51.100.7:40000"]);
    let slot = prop::sample::select(vec!["", ", slot: 1", ", slot: 2", ", slot: 8"]);
    let underlay = prop::sample::select(vec!["internet", "mpls-acme"]);
    (
        prop::sample::select(&UPLINKS[..]),
        gateway,
        endpoint,
        slot,
        underlay,
    )
        .prop_map(|(name, gateway, endpoint, slot, underlay)| {
            format!(
                "{{name: {name}, interface: if-{name}, gateway: {gateway}, endpoint: \
                 \"{endpoint}\", underlay: {underlay}{slot}}}"
            )
        })
}

fn any_site() -> impl Strategy<Value = String> {
    let lan = prop::sample::select(vec![
        "10.1.0.0/16",
        "10.2.0.0/16",
        "10.3.0.0/16",
        "10.1.4.0/24",
        "10.0.0.0/14",
        "fd00:1::/48",
        "10.255.0.0/28",
    ]);
    let labels = prop::sample::select(vec!["{}", "{region: eu}", "{region: us, kind: office}"]);
    let uplinks = prop::collection::vec(any_uplink(), 1..4);
    let asn = prop::sample::select(vec![
        "",
        "bgp: {asn: 64512}",
        "bgp: {asn: 64513, neighbors: \
        [{address: 172.16.0.1, asn: 65001, password_file: /etc/patronus/x}]}",
    ]);
    let hub = prop::bool::weighted(0.3);
    (
        prop::sample::select(&SITES[..]),
        uplinks,
        lan,
        labels,
        asn,
        hub,
    )
        .prop_map(|(id, uplinks, lan, labels, asn, hub)| {
            format!(
                "kind: site\nid: {id}\nlabels: {labels}\nhub: {hub}\nuplinks: [{}]\nlans: \
                 [{{interface: lan0, prefixes: \"{lan}\"}}]\n{asn}\n",
                uplinks.join(", ")
            )
        })
}

fn any_object() -> impl Strategy<Value = String> {
    let network = (
        prop::sample::select(vec!["all", "none", "{within: region}"]),
        prop::sample::select(vec!["all", "none", "{within: region}"]),
        prop::sample::select(vec!["", "default_class: standard", "default_class: other"]),
        prop::sample::select(vec!["10.255.0.0/24", "10.255.0.0/30", "10.250.0.0/16"]),
    )
        .prop_map(|(mesh, hubs, class, overlay)| {
            format!(
                "kind: network\noverlay: {{ipv4: {overlay}}}\ntopology: {{mesh: {mesh}, hubs: \
                 {hubs}}}\n{class}\n"
            )
        });
    let class = (
        prop::sample::select(&CLASSES[..]),
        1_u8..5,
        prop::sample::select(vec!["realtime", "standard", "bulk"]),
        prop::sample::select(vec!["lowest_latency", "{preference: [mpls, fibre]}"]),
    )
        .prop_map(|(name, id, qos, strategy)| {
            format!("kind: class\nname: {name}\nid: {id}\nqos: {qos}\nstrategy: {strategy}\n")
        });
    let policy = (
        prop::sample::select(&POLICIES[..]),
        1_u32..6,
        prop::sample::select(vec!["", "sites: [a, b]", "sites: {region: eu}"]),
        prop::sample::select(&CLASSES[..]),
    )
        .prop_map(|(name, priority, sites, class)| {
            format!(
                "kind: policy\nname: {name}\npriority: {priority}\nclass: {class}\n{sites}\n\
                 match: {{protocol: udp, ports: {priority}}}\n"
            )
        });
    prop_oneof![4 => any_site(), 1 => network, 2 => class, 2 => policy]
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let ids = [
        ("site", &SITES[..]),
        ("class", &CLASSES[..]),
        ("policy", &POLICIES[..]),
    ];
    let ids: Vec<String> = ids
        .into_iter()
        .flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind}/{name}")))
        .collect();
    let addresses = [
        "203.0.113.9:51820",
        "198.51.100.7:51850",
        "10.1.0.7:51820",
        "172.16.0.1:51820",
    ];
    let addresses: Vec<SocketAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
    let address = prop::option::of(prop::sample::select(addresses));
    let tell = (
        prop::sample::select(&SITES[..]),
        prop::sample::select(&UPLINKS[..]),
        prop_oneof![6 => 0_u8..3, 1 => Just(255)],
        address,
    );
    prop_oneof![
        6 => any_object().prop_map(Edit::Put),
        1 => prop::sample::select(ids).prop_map(Edit::Remove),
        4 => tell.prop_map(|(site, uplink, key, at)| Edit::Tell(site.to_owned(), uplink, key, at)),
    ]
}

/// Up to `most` edits.
pub(crate) fn any_edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(any_edit(), 1..most)
}
