//! How policies become lookups and rules: what the generated chain decides, before it is text.
//!
//! Consecutive policies of the same simple sort (destination ports of protocols, destination
//! prefixes, source prefixes) become one lookup in a map, however many there are. Where they
//! overlap, the first has the numbers that they share, so the map says what the policies said.

use std::ops::RangeInclusive;

use patronus_model::ids::{Dscp, IfName};
use patronus_model::kernel::Family;
use patronus_model::policy::{Action, Match, Policy, Protocol};

use super::ranges::{Ranges, span};

/// One step of the chain. The first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Looks up protocol and destination port.
    Ports {
        policies: Vec<String>,
        map: Vec<(Protocol, Ranges<Action>)>,
    },
    /// Looks up an address.
    Prefixes {
        policies: Vec<String>,
        end: End,
        family: Family,
        map: Ranges<Action>,
    },
    /// Compares.
    Rule(Box<Rule>),
}

/// Which address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// A comparison. An empty list compares nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) policy: String,
    /// `None` for both.
    pub(super) family: Option<Family>,
    pub(super) sources: Ranges<()>,
    pub(super) destinations: Ranges<()>,
    pub(super) protocols: Vec<Protocol>,
    pub(super) source_ports: Ranges<()>,
    pub(super) destination_ports: Ranges<()>,
    pub(super) dscp: Vec<Dscp>,
    pub(super) ingress: Vec<IfName>,
    pub(super) action: Action,
}

/// The protocols whose ports a policy without a protocol means.
const WITH_PORTS: [Protocol; 5] = [
    Protocol::TCP,
    Protocol::UDP,
    Protocol::DCCP,
    Protocol::SCTP,
    Protocol::UDP_LITE,
];

/// Which lookup a policy can be part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Ports,
    Prefixes(End),
    Other,
}

fn sort(matches: &Match) -> Sort {
    let Match {
        sources,
        destinations,
        protocol,
        source_ports,
        destination_ports,
        dscp,
        ingress,
    } = matches;
    let plain = source_ports.is_empty() && dscp.is_empty() && ingress.is_empty();
    let (from, to) = (!sources.is_empty(), !destinations.is_empty());
    match (from, to, protocol.is_some(), !destination_ports.is_empty()) {
        (false, false, _, true) if plain => Sort::Ports,
        (false, true, false, false) if plain => Sort::Prefixes(End::Destination),
        (true, false, false, false) if plain => Sort::Prefixes(End::Source),
        _ => Sort::Other,
    }
}

/// The steps for policies in the order of their priority.
pub(super) fn stages(policies: &[Policy]) -> Vec<Stage> {
    policies
        .chunk_by(|a, b| sort(&a.matches) == sort(&b.matches))
        .flat_map(
            |run| match run.first().map(|policy| sort(&policy.matches)) {
                Some(Sort::Ports) => ports(run),
                Some(Sort::Prefixes(end)) => prefixes(run, end),
                Some(Sort::Other) => run.iter().flat_map(rules).collect(),
                None => Vec::new(),
            },
        )
        .collect()
}

fn names(run: &[Policy]) -> Vec<String> {
    run.iter().map(|policy| policy.name.to_string()).collect()
}

fn ports(run: &[Policy]) -> Vec<Stage> {
    let mut map: Vec<(Protocol, Ranges<Action>)> = Vec::new();
    for policy in run {
        for protocol in protocols(&policy.matches) {
            let place = map.iter().position(|(known, _)| *known == protocol);
            if place.is_none() {
                map.push((protocol, Ranges::new()));
            }
            let ranges = match place {
                Some(place) => map.get_mut(place),
                None => map.last_mut(),
            };
            if let Some((_, ranges)) = ranges {
                claim_ports(ranges, &policy.matches.destination_ports, &policy.action);
            }
        }
    }
    map.retain(|(_, ranges)| !ranges.is_empty());
    map.sort_by_key(|(protocol, _)| *protocol);
    let policies = names(run);
    (!map.is_empty())
        .then_some(Stage::Ports { policies, map })
        .into_iter()
        .collect()
}

fn claim_ports<V: Clone + PartialEq>(
    ranges: &mut Ranges<V>,
    ports: &[RangeInclusive<u16>],
    value: &V,
) {
    for range in ports.iter().filter(|range| !range.is_empty()) {
        ranges.claim(u128::from(*range.start()), u128::from(*range.end()), value);
    }
}

/// The protocols that a policy about ports means: none when its protocol has no ports.
fn protocols(matches: &Match) -> Vec<Protocol> {
    match matches.protocol {
        Some(protocol) if protocol.has_ports() => vec![protocol],
        Some(_) => Vec::new(),
        None => WITH_PORTS.to_vec(),
    }
}

fn prefixes(run: &[Policy], end: End) -> Vec<Stage> {
    let of = |family| {
        let mut map = Ranges::new();
        for policy in run {
            let list = match end {
                End::Source => &policy.matches.sources,
                End::Destination => &policy.matches.destinations,
            };
            for prefix in list.iter().filter(|prefix| Family::of(prefix) == family) {
                let (first, last) = span(prefix);
                map.claim(first, last, &policy.action);
            }
        }
        let policies = names(run);
        (!map.is_empty()).then_some(Stage::Prefixes {
            policies,
            end,
            family,
            map,
        })
    };
    Family::ALL.into_iter().filter_map(of).collect()
}

/// The rules of one policy: one for each family, where families have to be told apart, and none
/// when nothing can match.
fn rules(policy: &Policy) -> Vec<Stage> {
    let matches = &policy.matches;
    let about_ports = !matches.source_ports.is_empty() || !matches.destination_ports.is_empty();
    let about_addresses = !matches.sources.is_empty() || !matches.destinations.is_empty();
    let protocols = match (about_ports, matches.protocol) {
        (true, _) => protocols(matches),
        (false, Some(protocol)) => vec![protocol],
        (false, None) => Vec::new(),
    };
    if about_ports && protocols.is_empty() {
        return Vec::new();
    }
    let rule = |family: Option<Family>| {
        let side = |list| match family {
            Some(family) => Ranges::of_prefixes(list, family),
            None => Ranges::new(),
        };
        let (sources, destinations) = (side(&matches.sources), side(&matches.destinations));
        let impossible = (sources.is_empty() && !matches.sources.is_empty())
            || (destinations.is_empty() && !matches.destinations.is_empty());
        (!impossible).then(|| {
            Stage::Rule(Box::new(Rule {
                policy: policy.name.to_string(),
                family,
                sources,
                destinations,
                protocols: protocols.clone(),
                source_ports: port_ranges(&matches.source_ports),
                destination_ports: port_ranges(&matches.destination_ports),
                dscp: unique(&matches.dscp),
                ingress: unique(&matches.ingress),
                action: policy.action,
            }))
        })
    };
    // DSCP is at another place in each family's header.
    if about_addresses || !matches.dscp.is_empty() {
        let families = Family::ALL.into_iter();
        families.filter_map(|family| rule(Some(family))).collect()
    } else {
        rule(None).into_iter().collect()
    }
}

fn port_ranges(list: &[RangeInclusive<u16>]) -> Ranges<()> {
    let mut ranges = Ranges::new();
    claim_ports(&mut ranges, list, &());
    ranges
}

fn unique<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use super::super::ranges::number;
    use super::*;
    use patronus_model::policy::Flow;
    use proptest::prelude::*;

    /// What nftables does with the steps.
    fn evaluate(stages: &[Stage], flow: &Flow) -> Option<Action> {
        stages.iter().find_map(|stage| match stage {
            Stage::Ports { map, .. } => {
                let (_, ranges) = map.iter().find(|(p, _)| *p == flow.protocol)?;
                ranges.at(u128::from(flow.destination_port?)).copied()
            }
            Stage::Prefixes {
                end, family, map, ..
            } => {
                let address = match end {
                    End::Source => flow.source,
                    End::Destination => flow.destination,
                };
                let same = address.is_ipv4() == (*family == Family::V4);
                same.then(|| map.at(number(address)).copied()).flatten()
            }
            Stage::Rule(rule) => compare(rule, flow).then_some(rule.action),
        })
    }

    fn compare(rule: &Rule, flow: &Flow) -> bool {
        let ranges = |ranges: &Ranges<()>, number: Option<u128>| {
            ranges.is_empty() || number.is_some_and(|number| ranges.at(number).is_some())
        };
        let family = match rule.family {
            Some(Family::V4) => flow.source.is_ipv4(),
            Some(Family::V6) => flow.source.is_ipv6(),
            None => true,
        };
        family
            && ranges(&rule.sources, Some(number(flow.source)))
            && ranges(&rule.destinations, Some(number(flow.destination)))
            && (rule.protocols.is_empty() || rule.protocols.contains(&flow.protocol))
            && ranges(&rule.source_ports, flow.source_port.map(u128::from))
            && ranges(
                &rule.destination_ports,
                flow.destination_port.map(u128::from),
            )
            && (rule.dscp.is_empty() || rule.dscp.contains(&flow.dscp))
            && (rule.ingress.is_empty()
                || flow
                    .ingress
                    .as_ref()
                    .is_some_and(|i| rule.ingress.contains(i)))
    }

    fn prefix() -> impl Strategy<Value = ipnet::IpNet> {
        // From a small world, so that things overlap.
        prop_oneof![
            (0u8..4, 14u8..=16).prop_map(|(n, len)| format!("10.{n}.0.0/{len}")),
            (0u8..4, 46u8..=48).prop_map(|(n, len)| format!("fd00:0:{n}::/{len}")),
            Just("0.0.0.0/0".to_owned()),
            Just("::/0".to_owned()),
        ]
        .prop_map(|text| text.parse().unwrap())
    }

    /// None, mostly.
    fn few<T: std::fmt::Debug + Clone>(
        strategy: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = Vec<T>> {
        let strategy = strategy.boxed();
        let length = prop_oneof![3 => Just(0usize), 1 => Just(1), 1 => Just(2)];
        length.prop_flat_map(move |length| prop::collection::vec(strategy.clone(), length))
    }

    fn protocol() -> impl Strategy<Value = Protocol> {
        prop::sample::select(vec![
            Protocol::TCP,
            Protocol::UDP,
            Protocol::SCTP,
            Protocol(1),
        ])
    }

    fn port_range() -> impl Strategy<Value = RangeInclusive<u16>> {
        (0u16..12, 0u16..6).prop_map(|(start, more)| start..=start + more)
    }

    fn interface() -> impl Strategy<Value = IfName> {
        prop::sample::select(vec!["lan0", "lan1"]).prop_map(|name| name.parse().unwrap())
    }

    fn dscp() -> impl Strategy<Value = Dscp> {
        (0u8..4).prop_map(|n| Dscp::new(n).unwrap())
    }

    fn matches() -> impl Strategy<Value = Match> {
        (
            few(prefix()),
            few(prefix()),
            prop::option::of(protocol()),
            few(port_range()),
            few(port_range()),
            few(dscp()),
            few(interface()),
        )
            .prop_map(
                |(sources, destinations, protocol, sp, dp, dscp, ingress)| Match {
                    sources,
                    destinations,
                    protocol,
                    source_ports: sp,
                    destination_ports: dp,
                    dscp,
                    ingress,
                },
            )
            .prop_flat_map(move |whole| {
                // Many of the simple sorts, so that runs become long.
                let ports = Match {
                    protocol: whole.protocol,
                    destination_ports: whole.destination_ports.clone(),
                    ..Match::default()
                };
                let to = Match {
                    destinations: whole.destinations.clone(),
                    ..Match::default()
                };
                let from = Match {
                    sources: whole.sources.clone(),
                    ..Match::default()
                };
                prop_oneof![Just(whole), Just(ports), Just(to), Just(from)]
            })
    }

    fn policies() -> impl Strategy<Value = Vec<Policy>> {
        let action = prop_oneof![
            4 => (1u8..5).prop_map(|n| Action::Route(patronus_model::ids::ClassId::new(n).unwrap())),
            1 => Just(Action::Drop),
        ];
        prop::collection::vec((matches(), action), 0..8).prop_map(|list| {
            list.into_iter()
                .enumerate()
                .map(|(number, (matches, action))| Policy {
                    name: format!("p{number}").parse().unwrap(),
                    priority: u32::try_from(number).unwrap(),
                    matches,
                    action,
                })
                .collect()
        })
    }

    fn flow() -> impl Strategy<Value = Flow> {
        let v4 = || (0u8..5).prop_map(|n| format!("10.{n}.0.7"));
        let v6 = || (0u8..5).prop_map(|n| format!("fd00:0:{n}::7"));
        let pair = prop_oneof![(v4(), v4()), (v6(), v6())];
        let interface = prop::option::of(interface());
        (
            pair,
            protocol(),
            0u16..20,
            0u16..20,
            any::<bool>(),
            dscp(),
            interface,
        )
            .prop_map(|((from, to), protocol, sp, dp, fragment, dscp, ingress)| {
                let known = protocol.has_ports() && !fragment;
                Flow {
                    source: from.parse().unwrap(),
                    destination: to.parse().unwrap(),
                    protocol,
                    source_port: known.then_some(sp),
                    destination_port: known.then_some(dp),
                    dscp,
                    ingress,
                }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn lookups_and_rules_decide_what_the_policies_say(
            policies in policies(),
            flows in prop::collection::vec(flow(), 20),
        ) {
            let stages = stages(&policies);
            for flow in flows {
                let first = policies.iter().find(|policy| policy.matches.check(&flow).is_ok());
                prop_assert_eq!(
                    evaluate(&stages, &flow),
                    first.map(|policy| policy.action),
                    "{:?} by {:?}", flow, stages
                );
            }
        }
    }
}
