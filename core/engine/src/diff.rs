//! The difference between what should be in the kernel and what is, as an ordered plan: make before
//! break, and take down in the reverse of the order in which things are built.

use std::collections::{BTreeMap, BTreeSet};

use patronus_model::ids::IfName;
use patronus_model::kernel::{
    Change, KernelState, OverlayInterface, Plan, RouteKey, RouteTarget, Rule,
};

use crate::sorted::joined;

/// The steps that lead from `actual` to `desired`.
///
/// Laws, kept by tests: `diff(d, d)` is empty; carrying the plan out gives `desired`; the rules
/// which lead packets into a table come after the routes in that table and go before them.
#[must_use]
pub fn diff(desired: &KernelState, actual: &KernelState) -> Plan {
    let mut plan = Vec::new();
    let routes = Differing::new(&desired.routes, &actual.routes);
    let late = late_tables(desired, actual);
    puts(desired, actual, &routes, &late, &mut plan);
    deletes(desired, actual, &routes, &late, &mut plan);
    Plan(plan)
}

/// The routes that differ, worked out in one walk over both sides: of routes there are more than
/// of everything else together.
struct Differing<'a> {
    missing: Vec<(&'a RouteKey, &'a RouteTarget)>,
    surplus: Vec<(&'a RouteKey, &'a RouteTarget)>,
}

type Routes = BTreeMap<RouteKey, RouteTarget>;

impl<'a> Differing<'a> {
    fn new(desired: &'a Routes, actual: &'a Routes) -> Self {
        let (mut missing, mut surplus) = (Vec::new(), Vec::new());
        for (key, wanted, found) in joined(desired, actual) {
            match (wanted, found) {
                (Some(wanted), found) if found != Some(wanted) => missing.push((key, wanted)),
                (None, Some(found)) => surplus.push((key, found)),
                (Some(_) | None, _) => {}
            }
        }
        missing.sort_by_key(|(key, target)| (stage(target), **key));
        surplus.sort_by_key(|(key, target)| (stage(target), **key));
        Self { missing, surplus }
    }

    fn put(&self, plan: &mut Vec<Change>, wanted: impl Fn(&RouteTarget) -> bool) {
        let routes = self.missing.iter().filter(|(_, target)| wanted(target));
        plan.extend(routes.map(|(key, target)| Change::PutRoute(**key, (*target).clone())));
    }

    fn delete(&self, plan: &mut Vec<Change>, wanted: impl Fn(&RouteTarget) -> bool) {
        let routes = self.surplus.iter().filter(|(_, target)| wanted(target));
        plan.extend(routes.rev().map(|(key, _)| Change::DeleteRoute(**key)));
    }
}

/// Makes one change in a model of the kernel. What the kernel does by itself when an interface goes
/// (peers, nexthop objects and routes go with it) happens here too.
pub fn apply(state: &mut KernelState, change: &Change) {
    match change {
        Change::PutSysctl(path, value) => drop(state.sysctls.insert(path.clone(), value.clone())),
        Change::PutOverlay(overlay) => state.overlay = Some(overlay.clone()),
        Change::PutTunnel(name, tunnel) => drop(state.tunnels.insert(name.clone(), tunnel.clone())),
        Change::PutPeer(name, key, peer) => {
            for prefix in &peer.allowed_ips {
                take_away(state, name, prefix);
            }
            state.peers.insert((name.clone(), *key), peer.clone());
        }
        Change::PutNexthop(id, name) => drop(state.nexthops.insert(*id, name.clone())),
        Change::PutRoute(key, target) => drop(state.routes.insert(*key, target.clone())),
        Change::PutRule(rule) => drop(state.rules.insert(rule.clone())),
        Change::PutFirewall(firewall) => state.firewall = Some(firewall.clone()),
        Change::DeleteFirewall => state.firewall = None,
        Change::DeleteRule(rule) => drop(state.rules.remove(rule)),
        Change::DeleteRoute(key) => drop(state.routes.remove(key)),
        Change::DeleteNexthop(id) => {
            state.nexthops.remove(id);
            state.routes.retain(
                |_, target| !matches!(target, RouteTarget::Nexthop { id: used, .. } if used == id),
            );
        }
        Change::DeletePeer(name, key) => drop(state.peers.remove(&(name.clone(), *key))),
        Change::DeleteTunnel(name) => delete_interface(state, name),
        Change::DeleteOverlay(name) => {
            state.overlay = None;
            delete_interface(state, name);
        }
        Change::RestoreSysctl(path) => drop(state.sysctls.remove(path)),
    }
}

/// WireGuard gives a prefix to one peer per interface: the last that claims it.
fn take_away(state: &mut KernelState, interface: &IfName, prefix: &ipnet::IpNet) {
    for ((name, _), peer) in &mut state.peers {
        if name == interface {
            peer.allowed_ips.remove(prefix);
        }
    }
}

fn delete_interface(state: &mut KernelState, name: &IfName) {
    state.tunnels.remove(name);
    state.peers.retain(|(interface, _), _| interface != name);
    let gone: Vec<_> = state
        .nexthops
        .iter()
        .filter(|(_, dev)| *dev == name)
        .map(|(id, _)| *id)
        .collect();
    for id in gone {
        apply(state, &Change::DeleteNexthop(id));
    }
    state.routes.retain(
        |_, target| !matches!(target, RouteTarget::Device { interface, .. } if interface == name),
    );
}

fn puts(
    desired: &KernelState,
    actual: &KernelState,
    routes: &Differing<'_>,
    late: &BTreeSet<u32>,
    plan: &mut Vec<Change>,
) {
    // What tunnels change by coming up has to be remembered first.
    put_sysctls(desired, actual, plan, |of_tunnel| !of_tunnel);
    routes.put(plan, |target| !is_late(target));
    put_rules(desired, actual, plan, |rule| !late.contains(&rule.table));
    if desired.overlay != actual.overlay {
        plan.extend(desired.overlay.clone().map(Change::PutOverlay));
    }
    let tunnels = missing(&desired.tunnels, &actual.tunnels);
    plan.extend(tunnels.map(|(name, tunnel)| Change::PutTunnel(name.clone(), tunnel.clone())));
    put_sysctls(desired, actual, plan, |of_tunnel| of_tunnel);
    let peers = missing(&desired.peers, &actual.peers);
    plan.extend(peers.map(|((name, key), peer)| Change::PutPeer(name.clone(), *key, peer.clone())));
    if desired.firewall != actual.firewall {
        plan.extend(desired.firewall.clone().map(Change::PutFirewall));
    }
    let nexthops = missing(&desired.nexthops, &actual.nexthops);
    plan.extend(nexthops.map(|(id, name)| Change::PutNexthop(*id, name.clone())));
    routes.put(plan, is_late);
    put_rules(desired, actual, plan, |rule| late.contains(&rule.table));
}

fn deletes(
    desired: &KernelState,
    actual: &KernelState,
    routes: &Differing<'_>,
    late: &BTreeSet<u32>,
    plan: &mut Vec<Change>,
) {
    delete_rules(desired, actual, plan, |rule| late.contains(&rule.table));
    routes.delete(plan, is_late);
    let nexthops = surplus(&desired.nexthops, &actual.nexthops);
    plan.extend(nexthops.rev().map(|(id, _)| Change::DeleteNexthop(*id)));
    if desired.firewall.is_none() && actual.firewall.is_some() {
        plan.push(Change::DeleteFirewall);
    }
    // The peers of a tunnel that goes, go with it.
    let peers = surplus(&desired.peers, &actual.peers)
        .rev()
        .map(|(key, _)| key);
    let peers = peers.filter(|(name, _)| desired.tunnels.contains_key(name));
    plan.extend(peers.map(|(name, key)| Change::DeletePeer(name.clone(), *key)));
    let sysctls = surplus(&desired.sysctls, &actual.sysctls);
    plan.extend(
        sysctls
            .rev()
            .map(|(path, _)| Change::RestoreSysctl(path.clone())),
    );
    let tunnels = surplus(&desired.tunnels, &actual.tunnels);
    plan.extend(
        tunnels
            .rev()
            .map(|(name, _)| Change::DeleteTunnel(name.clone())),
    );
    let replaced = |old: &&OverlayInterface| {
        desired
            .overlay
            .as_ref()
            .is_none_or(|new| new.name != old.name)
    };
    let overlay = actual.overlay.as_ref().filter(replaced);
    plan.extend(overlay.map(|old| Change::DeleteOverlay(old.name.clone())));
    delete_rules(desired, actual, plan, |rule| !late.contains(&rule.table));
    routes.delete(plan, |target| !is_late(target));
}

/// Whether a route needs tunnels or nexthop objects to be there. The others, those of uplinks and
/// guards, come before any tunnel can send, so that none ever leaves by a wrong uplink.
fn is_late(target: &RouteTarget) -> bool {
    match target {
        RouteTarget::Throw | RouteTarget::Unreachable => false,
        RouteTarget::Device {
            gateway, source, ..
        } => gateway.is_none() && source.is_none(),
        RouteTarget::Nexthop { .. } => true,
    }
}

/// The tables that hold late routes, as far as rules differ: nobody else asks.
fn late_tables(desired: &KernelState, actual: &KernelState) -> BTreeSet<u32> {
    if desired.rules == actual.rules {
        return BTreeSet::new();
    }
    let late = |routes: &Routes| {
        let late = routes.iter().filter(|(_, target)| is_late(target));
        let mut tables: Vec<u32> = late.map(|(key, _)| key.table).collect();
        tables.dedup();
        tables
    };
    let mut tables = BTreeSet::from_iter(late(&desired.routes));
    tables.extend(late(&actual.routes));
    tables
}

/// A parameter of an interface exists only once the interface does.
fn put_sysctls(
    desired: &KernelState,
    actual: &KernelState,
    plan: &mut Vec<Change>,
    wanted: impl Fn(bool) -> bool,
) {
    let of_tunnel = |path: &str| {
        let mut parts = path.split('/');
        parts.any(|part| desired.tunnels.keys().any(|name| name.as_str() == part))
    };
    let sysctls = missing(&desired.sysctls, &actual.sysctls);
    let sysctls = sysctls.filter(|(path, _)| wanted(of_tunnel(path)));
    plan.extend(sysctls.map(|(path, value)| Change::PutSysctl(path.clone(), value.clone())));
}

fn put_rules(
    desired: &KernelState,
    actual: &KernelState,
    plan: &mut Vec<Change>,
    wanted: impl Fn(&Rule) -> bool,
) {
    let rules = desired
        .rules
        .difference(&actual.rules)
        .filter(|rule| wanted(rule));
    plan.extend(rules.cloned().map(Change::PutRule));
}

fn delete_rules(
    desired: &KernelState,
    actual: &KernelState,
    plan: &mut Vec<Change>,
    wanted: impl Fn(&Rule) -> bool,
) {
    let rules = actual.rules.iter().rev();
    let rules = rules.filter(|rule| !desired.rules.contains(*rule) && wanted(rule));
    plan.extend(rules.cloned().map(Change::DeleteRule));
}

/// Packets that must stay local, then those that must not leak, before those that are carried.
const fn stage(target: &RouteTarget) -> u8 {
    match target {
        RouteTarget::Throw => 0,
        RouteTarget::Unreachable => 1,
        RouteTarget::Device { .. } => 2,
        RouteTarget::Nexthop { .. } => 3,
    }
}

fn missing<'a, K: Ord, V: PartialEq>(
    desired: &'a BTreeMap<K, V>,
    actual: &'a BTreeMap<K, V>,
) -> impl DoubleEndedIterator<Item = (&'a K, &'a V)> {
    desired
        .iter()
        .filter(|(key, value)| actual.get(*key) != Some(value))
}

fn surplus<'a, K: Ord, V>(
    desired: &'a BTreeMap<K, V>,
    actual: &'a BTreeMap<K, V>,
) -> impl DoubleEndedIterator<Item = (&'a K, &'a V)> {
    actual.iter().filter(|(key, _)| !desired.contains_key(*key))
}
