//! Policies that decide too much, or nothing.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use patronus_model::policy::{Action, Match, Policy};

use crate::diagnostic::Sink;
use crate::place::Place;

/// What the search may cost: each policy is compared with each before it, and each of their prefixes
/// with each. So many are a fraction of a second, and enough for thousands of policies of one prefix.
const MOST_COMPARISONS: u64 = 30_000_000;

/// Comparisons that may still be made.
struct Budget(Cell<u64>);

impl Budget {
    const fn new(most: u64) -> Self {
        Self(Cell::new(most))
    }

    /// Whether so many more may be made.
    fn spend(&self, many: usize) -> bool {
        let many = u64::try_from(many).unwrap_or(u64::MAX);
        let left = self.0.get().checked_sub(many);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// Warns of policies which never decide, because an earlier one takes all that they match, and of
/// one that drops all that is left. By priority.
pub(super) fn check(policies: &[(Policy, &Place)], sink: &mut Sink) {
    drops_everything(policies, sink);
    shadowed(policies, sink);
}

fn shadowed(policies: &[(Policy, &Place)], sink: &mut Sink) {
    let mut everything: Option<&Policy> = None;
    let mut seen: HashMap<&Match, &Policy> = HashMap::new();
    let budget = Budget::new(MOST_COMPARISONS);
    for (index, (policy, place)) in policies.iter().enumerate() {
        let wider = || {
            // When it is spent, only what is certain at a glance is found.
            let mut before = policies.iter().take(index).take_while(|_| budget.spend(1));
            let (wider, _) =
                before.find(|(it, _)| covers(&it.matches, &policy.matches, &budget))?;
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
        if covers(&policy.matches, &Match::default(), &Budget::new(u64::MAX)) {
            everything = everything.or(Some(policy));
        }
        seen.entry(&policy.matches).or_insert(policy);
    }
}

/// Whether each flow that meets `narrow` is certain to meet `wide`. That several conditions of
/// `wide` together may do what none does alone is not seen.
fn covers(wide: &Match, narrow: &Match, budget: &Budget) -> bool {
    let protocol = wide.protocol.is_none() || wide.protocol == narrow.protocol;
    protocol
        && ports(&wide.destination_ports, &narrow.destination_ports, budget)
        && ports(&wide.source_ports, &narrow.source_ports, budget)
        && nets(&wide.destinations, &narrow.destinations, budget)
        && nets(&wide.sources, &narrow.sources, budget)
        && all(&wide.dscp, &narrow.dscp, budget, PartialEq::eq)
        && all(&wide.ingress, &narrow.ingress, budget, PartialEq::eq)
}

fn nets(wide: &[IpNet], narrow: &[IpNet], budget: &Budget) -> bool {
    if !budget.spend(wide.len()) {
        return false;
    }
    let of_family = |v4: bool| {
        let mut whole = wide.iter().filter(|net| net.prefix_len() == 0);
        whole.any(|net| net.addr().is_ipv4() == v4)
    };
    (of_family(true) && of_family(false))
        || all(wide, narrow, budget, |wide, net| wide.contains(net))
}

fn ports(wide: &[RangeInclusive<u16>], narrow: &[RangeInclusive<u16>], budget: &Budget) -> bool {
    all(wide, narrow, budget, |wide, range| {
        wide.contains(range.start()) && wide.contains(range.end())
    })
}

/// Whether all of some values are within one of others each; an empty list is all there can be.
fn all<T>(wide: &[T], narrow: &[T], budget: &Budget, within: impl Fn(&T, &T) -> bool) -> bool {
    let is_within = |one: &T| {
        let mut affordable = wide.iter().take_while(|_| budget.spend(1));
        affordable.any(|wide| within(wide, one))
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_compared_than_the_budget_allows() {
        let numbers: Vec<u32> = (0..1000).collect();
        let compared = Cell::new(0_u64);
        let count = |wide: &u32, narrow: &u32| {
            compared.set(compared.get() + 1);
            wide == narrow
        };
        let enough = Budget::new(u64::MAX);
        assert!(all(&numbers, &numbers, &enough, count));
        let needed = compared.replace(0);
        assert_eq!(needed, 500_500);
        for most in [0, 1, 1000, needed - 1] {
            let budget = Budget::new(most);
            assert!(!all(&numbers, &numbers, &budget, count));
            assert_eq!(compared.replace(0), most);
            assert!(!all(&numbers, &numbers, &budget, count));
            assert_eq!(compared.replace(0), 0, "it stays spent");
        }
    }
}
