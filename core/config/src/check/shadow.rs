//! Policies that decide too much, or nothing.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use patronus_model::policy::{Action, Match, Policy};

use super::steering::MANY_POLICIES;
use crate::diagnostic::Sink;
use crate::place::Place;

/// Warns of policies which never decide, because an earlier one takes all that they match, and of
/// one that drops all that is left. By priority.
pub(super) fn check(policies: &[(Policy, &Place)], sink: &mut Sink) {
    drops_everything(policies, sink);
    shadowed(policies, sink);
}

fn shadowed(policies: &[(Policy, &Place)], sink: &mut Sink) {
    let mut everything: Option<&Policy> = None;
    let mut seen: HashMap<&Match, &Policy> = HashMap::new();
    // Each with each: of more than these there is a warning already, and only what is certain at a
    // glance is found.
    let few = policies.len() <= MANY_POLICIES;
    for (index, (policy, place)) in policies.iter().enumerate() {
        let wider = || {
            let mut before = policies.iter().take(index).filter(|_| few);
            let (wider, _) = before.find(|(it, _)| covers(&it.matches, &policy.matches))?;
            Some(wider)
        };
        let known = everything.or_else(|| seen.get(&policy.matches).copied());
        if let Some(earlier) = known.or_else(wider) {
            let problem = format!(
                "{} never decides: {}, which comes first, takes all that it matches",
                policy.name, earlier.name
            );
            let help = "let it come first by a lower priority, or give it a match of its own";
            sink.warning(place, problem, help);
        }
        if covers(&policy.matches, &Match::default()) {
            everything = everything.or(Some(policy));
        }
        seen.entry(&policy.matches).or_insert(policy);
    }
}

/// Whether each flow that meets `narrow` is certain to meet `wide`. That several conditions of
/// `wide` together may do what none does alone is not seen.
fn covers(wide: &Match, narrow: &Match) -> bool {
    let protocol = wide.protocol.is_none() || wide.protocol == narrow.protocol;
    protocol
        && ports(&wide.destination_ports, &narrow.destination_ports)
        && ports(&wide.source_ports, &narrow.source_ports)
        && nets(&wide.destinations, &narrow.destinations)
        && nets(&wide.sources, &narrow.sources)
        && all(&wide.dscp, &narrow.dscp, PartialEq::eq)
        && all(&wide.ingress, &narrow.ingress, PartialEq::eq)
}

fn nets(wide: &[IpNet], narrow: &[IpNet]) -> bool {
    let of_family = |v4: bool| {
        let mut whole = wide.iter().filter(|net| net.prefix_len() == 0);
        whole.any(|net| net.addr().is_ipv4() == v4)
    };
    (of_family(true) && of_family(false)) || all(wide, narrow, |wide, net| wide.contains(net))
}

fn ports(wide: &[RangeInclusive<u16>], narrow: &[RangeInclusive<u16>]) -> bool {
    all(wide, narrow, |wide, range| {
        wide.contains(range.start()) && wide.contains(range.end())
    })
}

/// Whether all of some values are within one of others each; an empty list is all there can be.
fn all<T>(wide: &[T], narrow: &[T], within: impl Fn(&T, &T) -> bool) -> bool {
    let is_within = |one: &T| wide.iter().any(|wide| within(wide, one));
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(is_within))
}

/// What has no match drops whatever comes. Who means that can say so.
fn drops_everything(policies: &[(Policy, &Place)], sink: &mut Sink) {
    let routed = |(policy, _): &(Policy, &Place)| matches!(policy.action, Action::Route(_));
    for (index, (policy, place)) in policies.iter().enumerate() {
        if policy.action != Action::Drop || policy.matches != Match::default() {
            continue;
        }
        let what = match policies.iter().take(index).any(routed) {
            true => "whatever no policy before it has routed",
            false => "everything",
        };
        let problem = format!("{} drops {what}: it has no match", policy.name);
        let help = "give it a match; if everything is meant, match: {from: [0.0.0.0/0, \"::/0\"]}";
        sink.warning(place, problem, help);
    }
}
