//! Traffic classes and policies.

use patronus_model::policy::{Action, Policy, QosClass, Strategy, TrafficClass};

use super::{flow, line, nets, quoted, span};
use crate::values::show_dscp;

pub(super) fn class(class: &TrafficClass) -> String {
    let mut text = String::new();
    line(&mut text, 0, "id", class.id);
    line(&mut text, 0, "name", quoted(class.name.as_str()));
    let qos = match class.qos {
        QosClass::RealTime => "realtime",
        QosClass::Interactive => "interactive",
        QosClass::Streaming => "streaming",
        QosClass::Standard => "standard",
        QosClass::Bulk => "bulk",
    };
    line(&mut text, 0, "qos", qos);
    line(&mut text, 0, "dscp", show_dscp(class.dscp));
    let strategy = match &class.strategy {
        Strategy::LeastLatency => "lowest_latency".to_owned(),
        Strategy::Preference(order) if order.is_empty() => "lowest_cost".to_owned(),
        Strategy::Preference(order) => {
            let order = order.iter().map(|uplink| quoted(uplink.as_str()));
            format!("{{preference: {}}}", flow(order))
        }
    };
    line(&mut text, 0, "strategy", strategy);
    let failover = &class.failover;
    let [threshold, cooldown, hold] =
        [failover.threshold, failover.cooldown, failover.hold].map(span);
    let failover = format!("{{threshold: {threshold}, cooldown: {cooldown}, hold: {hold}}}");
    line(&mut text, 0, "failover", failover);
    text
}

pub(super) fn policy(policy: &Policy, classes: &[TrafficClass]) -> String {
    let mut text = String::new();
    line(&mut text, 0, "name", quoted(policy.name.as_str()));
    line(&mut text, 0, "priority", policy.priority);
    let matches = &policy.matches;
    let ports = |list: &[std::ops::RangeInclusive<u16>]| {
        flow(list.iter().map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => quoted(&format!("{first}-{last}")),
        }))
    };
    let conditions = [
        ("from", given(&matches.sources, nets)),
        ("to", given(&matches.destinations, nets)),
        (
            "protocol",
            matches.protocol.map(|protocol| protocol.to_string()),
        ),
        ("source_ports", given(&matches.source_ports, ports)),
        ("ports", given(&matches.destination_ports, ports)),
        (
            "dscp",
            given(&matches.dscp, |list| {
                flow(list.iter().map(|d| show_dscp(*d)))
            }),
        ),
        (
            "ingress",
            given(&matches.ingress, |list| {
                flow(list.iter().map(|name| quoted(name.as_str())))
            }),
        ),
    ];
    let conditions: Vec<String> = conditions
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}: {}", value?)))
        .collect();
    line(
        &mut text,
        0,
        "match",
        format!("{{{}}}", conditions.join(", ")),
    );
    match policy.action {
        Action::Drop => line(&mut text, 0, "action", "drop"),
        Action::Route(id) => {
            line(&mut text, 0, "action", "route");
            if let Some(class) = classes.iter().find(|class| class.id == id) {
                line(&mut text, 0, "class", quoted(class.name.as_str()));
            }
        }
    }
    text
}

/// A condition that is left out is met by all, while an empty list is refused.
fn given<T>(list: &[T], show: impl Fn(&[T]) -> String) -> Option<String> {
    (!list.is_empty()).then(|| show(list))
}
