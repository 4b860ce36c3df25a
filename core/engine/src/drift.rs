//! What somebody else altered of ours in the kernel, in words, told from the plan that puts it back.

use std::collections::BTreeSet;

use patronus_model::event::Event;
use patronus_model::ids::IfName;
use patronus_model::kernel::{Change, Family, KernelState, Plan, RouteKey, RouteTarget, Rule};
use patronus_model::layout::NexthopId;
use patronus_model::router::RouterConfig;
use patronus_model::wireguard::{Peer, PublicKey};

/// How many alterations an event names: one command may have removed all routes.
const NAMED: usize = 3;

/// What was altered, if `plan` puts anything back: what is only to be done because the address was
/// forgotten at which a peer was heard is nobody's doing.
pub(crate) fn drift(config: &RouterConfig, plan: &Plan, actual: &KernelState) -> Option<Event> {
    let context = Context {
        config,
        actual,
        interfaces: plan.0.iter().filter_map(interface).collect(),
        nexthops: plan.0.iter().filter_map(|c| lost(c, actual)).collect(),
        replaced: plan.0.iter().filter_map(made_rule).collect(),
    };
    let mut altered = 0;
    let mut named = Vec::new();
    for change in plan.0.iter().filter(|change| context.is_cause(change)) {
        altered += 1;
        let words = context.words(change);
        if named.len() < NAMED && !named.contains(&words) {
            named.push(words);
        }
    }
    // Peers that are spoken to at their configured address again are nobody's doing.
    let changes = plan.0.iter().filter(|change| !context.is_repair(change));
    (altered > 0).then_some(Event::Drift {
        changes: changes.count(),
        altered,
        named,
    })
}

/// Whether the kernel may change more than what a plan says: things go with what they use, prefixes
/// leave a peer for another, and some parameters set others.
pub(crate) fn stirs(plan: &Plan) -> bool {
    plan.0.iter().any(|change| match change {
        Change::PutSysctl(..)
        | Change::RestoreSysctl(_)
        | Change::PutOverlay(_)
        | Change::DeleteOverlay(_)
        | Change::PutTunnel(..)
        | Change::DeleteTunnel(_)
        | Change::PutPeer(..)
        | Change::DeletePeer(..)
        | Change::DeleteNexthop(_) => true,
        Change::PutNexthop(..)
        | Change::PutRoute(..)
        | Change::DeleteRoute(_)
        | Change::PutRule(_)
        | Change::DeleteRule(_)
        | Change::PutFirewall(_)
        | Change::DeleteFirewall => false,
    })
}

struct Context<'a> {
    config: &'a RouterConfig,
    actual: &'a KernelState,
    /// The interfaces that are put back. What used them went with them.
    interfaces: BTreeSet<&'a IfName>,
    /// The nexthop objects that are gone. So are the routes that used them.
    nexthops: BTreeSet<NexthopId>,
    /// The rules that are put back. One of others in such a place stood there instead.
    replaced: BTreeSet<(u32, Family)>,
}

impl Context<'_> {
    /// Whether somebody did just this, rather than the kernel by itself because of something else.
    fn is_cause(&self, change: &Change) -> bool {
        let gone = |name: &IfName| self.interfaces.contains(name);
        match change {
            Change::PutSysctl(path, _) => !path
                .split('/')
                .any(|part| self.interfaces.iter().any(|name| name.as_str() == part)),
            Change::PutPeer(name, ..) => !gone(name) && !self.is_repair(change),
            Change::PutNexthop(id, name) => !(self.nexthops.contains(id) && gone(name)),
            Change::PutRoute(_, RouteTarget::Device { interface, .. }) => !gone(interface),
            Change::PutRoute(_, RouteTarget::Nexthop { id, .. }) => !self.nexthops.contains(id),
            Change::DeleteRule(rule) => !self.replaced.contains(&place(rule)),
            Change::PutRoute(_, RouteTarget::Throw | RouteTarget::Unreachable)
            | Change::PutOverlay(_)
            | Change::PutTunnel(..)
            | Change::PutRule(_)
            | Change::PutFirewall(_)
            | Change::DeleteFirewall
            | Change::DeleteRoute(_)
            | Change::DeleteNexthop(_)
            | Change::DeletePeer(..)
            | Change::DeleteTunnel(_)
            | Change::DeleteOverlay(_)
            | Change::RestoreSysctl(_) => true,
        }
    }

    /// Whether it only forgets where a peer was heard last.
    fn is_repair(&self, change: &Change) -> bool {
        let Change::PutPeer(name, key, peer) = change else {
            return false;
        };
        let found = self.actual.peers.get(&(name.clone(), *key));
        found.is_some_and(|found| only_elsewhere(peer, found))
    }

    /// What had happened to the object that a change is about.
    fn words(&self, change: &Change) -> String {
        let actual = self.actual;
        match change {
            Change::PutSysctl(path, _) => match actual.sysctls.get(path) {
                Some(value) => format!("{path} set to {value}"),
                None => format!("{path} lost"),
            },
            Change::RestoreSysctl(path) => format!("{path} set"),
            Change::PutOverlay(overlay) => match &actual.overlay {
                Some(found) => interface_words("interface", &overlay.name, found.mtu),
                None => format!("interface {} removed", overlay.name),
            },
            Change::DeleteOverlay(name) => format!("interface {name} added"),
            Change::PutTunnel(name, _) => match actual.tunnels.get(name) {
                Some(found) => interface_words("tunnel", name, found.mtu),
                None => format!("tunnel {name} removed"),
            },
            Change::DeleteTunnel(name) => format!("tunnel {name} added"),
            Change::PutPeer(name, key, _) => {
                let there = actual.peers.contains_key(&(name.clone(), *key));
                format!("{} {}", self.peer(name, key), removed_or_changed(there))
            }
            Change::DeletePeer(name, key) => format!("{} added", self.peer(name, key)),
            Change::PutNexthop(id, _) => match actual.nexthops.get(id) {
                Some(found) => format!("nexthop {id} pointed at {found}"),
                None => format!("nexthop {id} removed"),
            },
            Change::DeleteNexthop(id) => format!("nexthop {id} added"),
            Change::PutRoute(key, target) => {
                let what = removed_or_changed(actual.routes.contains_key(key));
                format!("{} {what}", route_words(key, Some(target)))
            }
            Change::DeleteRoute(key) => {
                format!("{} added", route_words(key, actual.routes.get(key)))
            }
            Change::PutRule(rule) => {
                let changed = actual.rules.iter().any(|found| place(found) == place(rule));
                format!("{} {}", rule_words(rule), removed_or_changed(changed))
            }
            Change::DeleteRule(rule) => format!("{} added", rule_words(rule)),
            // An altered table is not read back into what it should have been.
            Change::PutFirewall(_) => "nftables table inet patronus changed or removed".to_owned(),
            Change::DeleteFirewall => "nftables table inet patronus added".to_owned(),
        }
    }

    fn peer(&self, name: &IfName, key: &PublicKey) -> String {
        let mut remotes = self.config.remotes.iter();
        let whose = remotes.find(|remote| remote.uplinks.iter().any(|it| it.public_key == *key));
        let site = whose.map_or_else(String::new, |remote| format!(" ({})", remote.id));
        format!("peer {key}{site} of tunnel {name}")
    }
}

/// Whether a peer is as it should be but for where it is heard: that changes by itself.
fn only_elsewhere(wanted: &Peer, found: &Peer) -> bool {
    (&wanted.allowed_ips, wanted.keepalive) == (&found.allowed_ips, found.keepalive)
}

fn interface(change: &Change) -> Option<&IfName> {
    if let Change::PutTunnel(name, _) = change {
        return Some(name);
    }
    if let Change::PutOverlay(overlay) = change {
        return Some(&overlay.name);
    }
    None
}

fn lost(change: &Change, actual: &KernelState) -> Option<NexthopId> {
    if let Change::PutNexthop(id, _) = change {
        return (!actual.nexthops.contains_key(id)).then_some(*id);
    }
    None
}

fn made_rule(change: &Change) -> Option<(u32, Family)> {
    if let Change::PutRule(rule) = change {
        return Some(place(rule));
    }
    None
}

const fn place(rule: &Rule) -> (u32, Family) {
    (rule.priority, rule.family)
}

fn rule_words(rule: &Rule) -> String {
    let family = match rule.family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    format!("{family} rule {}", rule.priority)
}

/// A guard beside the route proper has the same prefix and table.
fn route_words(key: &RouteKey, target: Option<&RouteTarget>) -> String {
    let kind = match target {
        Some(RouteTarget::Throw) => "throw ",
        Some(RouteTarget::Unreachable) => "unreachable ",
        Some(RouteTarget::Device { .. } | RouteTarget::Nexthop { .. }) | None => "",
    };
    format!("{kind}route {} in table {}", key.prefix, key.table)
}

/// An interface that is down, or not in its group, is observed with an MTU of 0.
fn interface_words(kind: &str, name: &IfName, mtu: u32) -> String {
    match mtu {
        0 => format!("{kind} {name} taken down or out of its group"),
        _ => format!("{kind} {name} changed"),
    }
}

const fn removed_or_changed(there: bool) -> &'static str {
    if there { "changed" } else { "removed" }
}
