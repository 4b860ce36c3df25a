//! The routes of the main table and of the table that routing fills, and what they say: learned by
//! way of the overlay, or foreign.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use patronus_model::kernel::LearnedDelta;

use super::mirror::MAIN;
use crate::netlink::nexthop::Leads;
use crate::netlink::route::{Hop, RTN_UNICAST, Route};

/// Groups of groups do not exist in the kernel today; this bounds those of tomorrow.
const DEPTH: usize = 4;

/// What a prefix's routes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    /// The overlay address of the site that it leads to.
    learned: Option<IpAddr>,
    /// Whether the main table serves it elsewhere.
    foreign: bool,
}

/// Routes and nexthop objects, and what was made of them so far.
#[derive(Default)]
pub(super) struct Routes {
    by_prefix: HashMap<IpNet, Vec<Route>>,
    nexthops: HashMap<u32, Leads>,
    dirty: HashSet<IpNet>,
    all_dirty: bool,
    learned: BTreeMap<IpNet, IpAddr>,
    foreign: BTreeSet<IpNet>,
}

impl Routes {
    /// Takes over what was listed, in place of everything known.
    pub(super) fn replace(&mut self, routes: Vec<Route>, nexthops: HashMap<u32, Leads>) {
        self.by_prefix.clear();
        for route in routes {
            self.by_prefix
                .entry(route.key.prefix)
                .or_default()
                .push(route);
        }
        self.nexthops = nexthops;
        self.all_dirty = true;
    }

    /// A route was created, or replaced all of its identity.
    pub(super) fn put(&mut self, route: Route, replaces: bool) {
        self.dirty.insert(route.key.prefix);
        let list = self.by_prefix.entry(route.key.prefix).or_default();
        if replaces {
            list.retain(|old| !same(old, &route));
        }
        let beside = list
            .iter_mut()
            .find(|old| same(old, &route) && old.nexthop == route.nexthop);
        match beside {
            // IPv6 reports a way that was added to a route, or the whole route again.
            Some(old) => {
                for hop in route.hops {
                    if !old.hops.contains(&hop) {
                        old.hops.push(hop);
                    }
                }
            }
            None => list.push(route),
        }
    }

    /// A route, or some ways of it, were deleted.
    pub(super) fn delete(&mut self, gone: &Route) {
        let Some(list) = self.by_prefix.get_mut(&gone.key.prefix) else {
            return;
        };
        self.dirty.insert(gone.key.prefix);
        for old in list.iter_mut().filter(|old| same(old, gone)) {
            old.hops.retain(|hop| !gone.hops.contains(hop));
        }
        list.retain(|old| {
            let by_object = gone.nexthop.is_some() && old.nexthop == gone.nexthop;
            !(same(old, gone) && (by_object || old.hops.is_empty()))
        });
        if list.is_empty() {
            self.by_prefix.remove(&gone.key.prefix);
        }
    }

    /// A nexthop object was created or changed.
    pub(super) fn put_nexthop(&mut self, id: u32, leads: Leads) {
        let before = self.nexthops.insert(id, leads);
        self.all_dirty |= before.is_some_and(|before| self.nexthops.get(&id) != Some(&before));
    }

    /// A nexthop object was deleted. Returns whether routes used it: these are gone as well, and
    /// the kernel does not say so.
    pub(super) fn delete_nexthop(&mut self, id: u32) -> bool {
        self.nexthops.remove(&id);
        let used = |route: &Route| route.nexthop == Some(id);
        self.by_prefix.values().flatten().any(used)
    }

    /// The gateway of the main table's default route of least metric on an interface.
    pub(super) fn default_gateway(&self, default: &IpNet, index: u32) -> Option<IpAddr> {
        let routes = self.by_prefix.get(default)?;
        routes
            .iter()
            .filter(|route| route.key.table == MAIN)
            .filter_map(|route| Some((route.key.metric, self.gateway_on(route, index)?)))
            .min()
            .map(|(_, gateway)| gateway)
    }

    fn gateway_on(&self, route: &Route, index: u32) -> Option<IpAddr> {
        let hops = self.hops(route).into_iter();
        hops.filter(|hop| hop.index == index)
            .filter_map(|hop| hop.gateway)
            .min()
    }

    /// Prefixes routed elsewhere than into the overlay.
    pub(super) const fn foreign(&self) -> &BTreeSet<IpNet> {
        &self.foreign
    }

    /// The interface that a foreign prefix is on, by its number, and the source that local packets
    /// prefer; `None` when there is a gateway between, or more than one way.
    pub(super) fn connected(&self, prefix: &IpNet) -> Option<(u32, Option<IpAddr>)> {
        let routes = self.by_prefix.get(prefix)?;
        let main = routes.iter().filter(|route| route.key.table == MAIN);
        let best = main.min_by_key(|route| route.key.metric)?;
        match (best.kind, self.hops(best).as_slice()) {
            (RTN_UNICAST, [hop]) if hop.gateway.is_none() => Some((hop.index, best.source)),
            _ => None,
        }
    }

    /// All that is learned, as a report which replaces all earlier ones.
    pub(super) fn everything(&self) -> LearnedDelta {
        LearnedDelta {
            full: true,
            set: self.learned.clone(),
            removed: BTreeSet::new(),
        }
    }

    /// Says again what every route says: the overlay interface is another one.
    pub(super) const fn reconsider(&mut self) {
        self.all_dirty = true;
    }

    /// Works out what has changed since the last time, given the number of the overlay interface.
    pub(super) fn settle(&mut self, overlay: Option<u32>) -> LearnedDelta {
        let dirty = std::mem::take(&mut self.dirty);
        let dirty: Vec<IpNet> = if std::mem::take(&mut self.all_dirty) {
            let known = self.learned.keys().chain(&self.foreign);
            let all: HashSet<IpNet> = self.by_prefix.keys().chain(known).copied().collect();
            all.into_iter().collect()
        } else {
            dirty.into_iter().collect()
        };
        let mut delta = LearnedDelta::default();
        for prefix in dirty {
            let Verdict { learned, foreign } = self.verdict(&prefix, overlay);
            if foreign {
                self.foreign.insert(prefix);
            } else {
                self.foreign.remove(&prefix);
            }
            if let Some(gateway) = learned {
                if self.learned.insert(prefix, gateway) != Some(gateway) {
                    delta.set.insert(prefix, gateway);
                }
            } else if self.learned.remove(&prefix).is_some() {
                delta.removed.insert(prefix);
            }
        }
        delta
    }

    /// A prefix may be both: which of the two counts depends on what the machine has there.
    fn verdict(&self, prefix: &IpNet, overlay: Option<u32>) -> Verdict {
        let routes = self.by_prefix.get(prefix).map(Vec::as_slice).unwrap_or(&[]);
        let (main, apart): (Vec<_>, Vec<_>) =
            routes.iter().partition(|route| route.key.table == MAIN);
        let main = self.best(&main, prefix, overlay);
        let apart = self.best(&apart, prefix, overlay);
        Verdict {
            learned: main.learned.or(apart.learned),
            foreign: main.foreign,
        }
    }

    fn best(&self, routes: &[&Route], prefix: &IpNet, overlay: Option<u32>) -> Verdict {
        let least = routes.iter().map(|route| route.key.metric).min();
        let best = routes
            .iter()
            .filter(|route| Some(route.key.metric) == least);
        let hops: Vec<Hop> = best.flat_map(|route| self.hops(route)).collect();
        let in_overlay = |hop: &&Hop| overlay == Some(hop.index);
        let gateways = hops.iter().filter(in_overlay).filter_map(|hop| hop.gateway);
        // The default route of the main table says nothing about one that was learned, and the
        // overlay's own network is neither.
        let elsewhere = least.is_some() && !hops.iter().any(|hop| in_overlay(&hop));
        Verdict {
            learned: gateways.min(),
            foreign: elsewhere && prefix.prefix_len() > 0,
        }
    }

    /// The ways of a route, those of its nexthop object included.
    fn hops(&self, route: &Route) -> Vec<Hop> {
        let Some(id) = route.nexthop else {
            return route.hops.clone();
        };
        let mut hops = Vec::new();
        self.resolve(id, DEPTH, &mut hops);
        if hops.is_empty() {
            // The object is not known, but with nexthop_compat_mode the route says it all.
            hops.extend_from_slice(&route.hops);
        }
        hops
    }

    fn resolve(&self, id: u32, depth: usize, hops: &mut Vec<Hop>) {
        match self.nexthops.get(&id) {
            Some(Leads::Hop(hop)) => hops.push(*hop),
            Some(Leads::Group(members)) if depth > 0 => {
                for member in members {
                    self.resolve(*member, depth - 1, hops);
                }
            }
            Some(Leads::Group(_) | Leads::Blackhole) | None => {}
        }
    }
}

/// Whether two routes have the same identity, so that one replaces the other.
fn same(a: &Route, b: &Route) -> bool {
    a.key == b.key && a.tos == b.tos
}

/// Adds a later report to one that was not taken yet.
pub(super) fn merge(earlier: &mut LearnedDelta, later: LearnedDelta) {
    if later.full {
        *earlier = later;
        return;
    }
    for prefix in later.removed {
        earlier.set.remove(&prefix);
        if !earlier.full {
            earlier.removed.insert(prefix);
        }
    }
    for (prefix, gateway) in later.set {
        earlier.removed.remove(&prefix);
        earlier.set.insert(prefix, gateway);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patronus_model::kernel::RouteKey;

    const OVERLAY: u32 = 9;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn route(prefix: &str, metric: u32, nexthop: Option<u32>, hops: &[(u32, &str)]) -> Route {
        let prefix = net(prefix);
        Route {
            key: RouteKey {
                table: 254,
                prefix,
                metric,
            },
            protocol: 186,
            kind: 1,
            tos: 0,
            nexthop,
            hops: hops
                .iter()
                .map(|(index, gateway)| Hop {
                    index: *index,
                    gateway: gateway.parse().ok(),
                })
                .collect(),
            source: None,
        }
    }

    fn hop(index: u32, gateway: &str) -> Leads {
        Leads::Hop(Hop {
            index,
            gateway: gateway.parse().ok(),
        })
    }

    fn check(routes: &mut Routes, set: &[(&str, &str)], removed: &[&str]) {
        let delta = routes.settle(Some(OVERLAY));
        let expected = set.iter().map(|(p, g)| (net(p), g.parse().unwrap()));
        assert_eq!(delta.set, expected.collect());
        assert_eq!(delta.removed, removed.iter().map(|p| net(p)).collect());
    }

    #[test]
    fn nested_groups_give_the_lowest_address_in_the_overlay() {
        let mut routes = Routes::default();
        routes.put_nexthop(1, hop(OVERLAY, "10.255.0.9"));
        routes.put_nexthop(2, hop(OVERLAY, "10.255.0.3"));
        routes.put_nexthop(3, hop(5, "10.0.0.1"));
        routes.put_nexthop(4, Leads::Group(vec![1, 2]));
        routes.put_nexthop(5, Leads::Group(vec![4, 3]));
        routes.put(route("10.2.0.0/16", 20, Some(5), &[]), false);
        check(&mut routes, &[("10.2.0.0/16", "10.255.0.3")], &[]);
        // The object changes under the route.
        routes.put_nexthop(2, hop(OVERLAY, "10.255.0.12"));
        check(&mut routes, &[("10.2.0.0/16", "10.255.0.9")], &[]);
        check(&mut routes, &[], &[]);
    }

    #[test]
    fn inline_ways_are_learned_too() {
        let mut routes = Routes::default();
        let ways = [(OVERLAY, "10.255.0.4"), (OVERLAY, "10.255.0.2")];
        routes.put(route("10.3.0.0/16", 20, None, &ways), false);
        check(&mut routes, &[("10.3.0.0/16", "10.255.0.2")], &[]);
        routes.delete(&route("10.3.0.0/16", 20, None, &ways[1..]));
        check(&mut routes, &[("10.3.0.0/16", "10.255.0.4")], &[]);
        routes.delete(&route("10.3.0.0/16", 20, None, &ways[..1]));
        check(&mut routes, &[], &["10.3.0.0/16"]);
    }

    #[test]
    fn the_route_of_least_metric_decides_whether_a_prefix_is_foreign() {
        let mut routes = Routes::default();
        routes.put(
            route("10.4.0.0/16", 20, None, &[(OVERLAY, "10.255.0.4")]),
            false,
        );
        routes.put(route("10.4.0.0/16", 5, None, &[(3, "10.0.0.1")]), false);
        routes.put(route("0.0.0.0/0", 0, None, &[(3, "10.0.0.1")]), false);
        routes.put(route("10.255.0.0/16", 0, None, &[(OVERLAY, "")]), false);
        routes.put(route("192.168.0.0/24", 0, None, &[(4, "")]), false);
        check(&mut routes, &[], &[]);
        let foreign = [net("10.4.0.0/16"), net("192.168.0.0/24")];
        assert_eq!(routes.foreign(), &foreign.into());
        routes.delete(&route("10.4.0.0/16", 5, None, &[(3, "10.0.0.1")]));
        check(&mut routes, &[("10.4.0.0/16", "10.255.0.4")], &[]);
        assert_eq!(routes.foreign(), &[net("192.168.0.0/24")].into());
        let gateway = routes.default_gateway(&net("0.0.0.0/0"), 3);
        assert_eq!(gateway, "10.0.0.1".parse().ok());
    }

    #[test]
    fn what_was_learned_is_told_although_the_main_table_has_it_too() {
        let mut routes = Routes::default();
        routes.put(route("10.8.0.0/16", 0, None, &[(3, "")]), false);
        let mut apart = route("10.8.0.0/16", 20, None, &[(OVERLAY, "10.255.0.4")]);
        apart.key.table = 7129;
        routes.put(apart, false);
        check(&mut routes, &[("10.8.0.0/16", "10.255.0.4")], &[]);
        assert_eq!(routes.foreign(), &[net("10.8.0.0/16")].into());
        routes.delete(&route("10.8.0.0/16", 0, None, &[(3, "")]));
        check(&mut routes, &[], &[]);
        assert!(routes.foreign().is_empty());
    }

    #[test]
    fn a_replacement_takes_the_place_of_all_ways() {
        let mut routes = Routes::default();
        routes.put(
            route("10.5.0.0/16", 20, None, &[(OVERLAY, "10.255.0.2")]),
            false,
        );
        routes.put(
            route("10.5.0.0/16", 20, None, &[(OVERLAY, "10.255.0.7")]),
            true,
        );
        check(&mut routes, &[("10.5.0.0/16", "10.255.0.7")], &[]);
    }

    #[test]
    fn what_vanished_unseen_is_removed_after_listing_again() {
        let mut routes = Routes::default();
        routes.put_nexthop(1, hop(OVERLAY, "10.255.0.9"));
        routes.put(route("10.6.0.0/16", 20, Some(1), &[]), false);
        check(&mut routes, &[("10.6.0.0/16", "10.255.0.9")], &[]);
        assert!(routes.delete_nexthop(1), "the route used it");
        routes.replace(Vec::new(), HashMap::new());
        check(&mut routes, &[], &["10.6.0.0/16"]);
    }

    #[test]
    fn reports_that_wait_are_merged() {
        let gateway: IpAddr = "10.255.0.1".parse().unwrap();
        let delta = |full, set: &[&str], removed: &[&str]| LearnedDelta {
            full,
            set: set.iter().map(|p| (net(p), gateway)).collect(),
            removed: removed.iter().map(|p| net(p)).collect(),
        };
        let mut waiting = delta(false, &["10.1.0.0/16"], &["10.2.0.0/16"]);
        merge(
            &mut waiting,
            delta(false, &["10.2.0.0/16"], &["10.1.0.0/16"]),
        );
        assert_eq!(waiting, delta(false, &["10.2.0.0/16"], &["10.1.0.0/16"]));
        merge(&mut waiting, delta(true, &["10.3.0.0/16"], &[]));
        merge(&mut waiting, delta(false, &[], &["10.3.0.0/16"]));
        assert_eq!(waiting, delta(true, &[], &[]));
    }
}
