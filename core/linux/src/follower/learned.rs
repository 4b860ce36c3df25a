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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// The overlay address of the site that it leads to.
    learned: Option<IpAddr>,
    /// Who serves it elsewhere.
    foreign: Option<Elsewhere>,
}

/// Who routes a prefix elsewhere than into the overlay, with interfaces by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// The main table, by one way or by none that could be named.
    Main(Option<Way>),
    /// A BGP neighbour outside the overlay.
    Neighbor(Way),
}

/// A hop and the source that local packets prefer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) hop: Hop,
    pub(super) source: Option<IpAddr>,
}

/// What the best routes of one table say of a prefix.
#[derive(Clone, Debug, Default)]
struct Best {
    /// The overlay address of the site that they lead to.
    learned: Option<IpAddr>,
    /// Their ways, if none is in the overlay; none for a route that leads nowhere.
    elsewhere: Option<Vec<Way>>,
}

/// Routes and nexthop objects, and what was made of them so far.
#[derive(Default)]
pub(super) struct Routes {
    by_prefix: HashMap<IpNet, Vec<Route>>,
    nexthops: HashMap<u32, Leads>,
    dirty: HashSet<IpNet>,
    all_dirty: bool,
    learned: BTreeMap<IpNet, IpAddr>,
    foreign: BTreeMap<IpNet, Elsewhere>,
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
    pub(super) const fn foreign(&self) -> &BTreeMap<IpNet, Elsewhere> {
        &self.foreign
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
            let known = self.learned.keys().chain(self.foreign.keys());
            let all: HashSet<IpNet> = self.by_prefix.keys().chain(known).copied().collect();
            all.into_iter().collect()
        } else {
            dirty.into_iter().collect()
        };
        let mut delta = LearnedDelta::default();
        for prefix in dirty {
            let Verdict { learned, foreign } = self.verdict(&prefix, overlay);
            match foreign {
                Some(elsewhere) => self.foreign.insert(prefix, elsewhere),
                None => self.foreign.remove(&prefix),
            };
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
        let of_main = self.best(&main, overlay);
        // Without its interface, nobody can tell what leads into the overlay.
        let apart = overlay.map_or_else(Best::default, |_| self.best(&apart, overlay));
        let foreign = match of_main.elsewhere {
            // The default route of the main table says nothing about one that was learned, and what
            // it leads to is not told from all else.
            Some(_) if prefix.prefix_len() == 0 => None,
            Some(ways) => Some(Elsewhere::Main(match *ways {
                [way] => Some(way),
                _ => None,
            })),
            // The main table's routes come before those of BGP, as zebra's distances would have it.
            None if !main.is_empty() => None,
            None => {
                let ways = apart.elsewhere.into_iter().flatten();
                let least = ways.min_by_key(|way| (way.hop.gateway, way.hop.index));
                least.map(Elsewhere::Neighbor)
            }
        };
        Verdict {
            learned: of_main.learned.or(apart.learned),
            foreign,
        }
    }

    fn best(&self, routes: &[&Route], overlay: Option<u32>) -> Best {
        let Some(least) = routes.iter().map(|route| route.key.metric).min() else {
            return Best::default();
        };
        let best = routes.iter().filter(|route| route.key.metric == least);
        // IPv6 reports a route that leads nowhere with the loopback interface.
        let best = best.filter(|route| route.kind == RTN_UNICAST);
        let ways = best.flat_map(|route| {
            let hops = self.hops(route).into_iter();
            hops.map(|hop| Way {
                hop,
                source: route.source,
            })
        });
        let ways: Vec<Way> = ways.collect();
        let in_overlay = |way: &&Way| overlay == Some(way.hop.index);
        let gateways = ways.iter().filter(in_overlay);
        Best {
            learned: gateways.filter_map(|way| way.hop.gateway).min(),
            // The overlay's own network is neither learned nor elsewhere.
            elsewhere: (!ways.iter().any(|way| in_overlay(&way))).then_some(ways),
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
mod tests;
