//! `patronus explain --src … --dst …`: what happens to a flow, and why.

use serde_json::Value;

use super::{Shown, View, part};
use crate::answers::{Candidate, Choice, Explanation, Flow, Status};
use crate::layout::{KEY_WIDTH, Page, Text, Tone, width_of};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct Explain {
    pub(crate) variables: Value,
}

impl View for Explain {
    fn query(&self) -> &'static str {
        "query Explain(
            $source: String!, $destination: String!, $protocol: String!,
            $sourcePort: Int, $destinationPort: Int, $dscp: Int!, $ingress: String
        ) {
            explain(
                source: $source, destination: $destination, protocol: $protocol,
                sourcePort: $sourcePort, destinationPort: $destinationPort,
                dscp: $dscp, ingress: $ingress
            ) {
                flow { source destination protocol sourcePort destinationPort dscp ingress }
                policies { policy priority matched mismatch }
                outcome because policy class strategy route routeOrigin destSiteId replies obstacles
                withdrawn { prefix siteId agoMs }
                choice {
                    class reason because sinceMs back
                    path { id localUplink remoteUplink relaySiteId }
                    candidates {
                        path { id localUplink remoteUplink relaySiteId }
                        rank status latencyMs packetLossPct cost verdict why remainingMs
                    }
                }
            }
        }"
    }

    fn variables(&self) -> Value {
        self.variables.clone()
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/explain")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let explained: Explanation = part(data, "/explain")?;
        let mut page = Page::default();
        page.field("flow", flow(&explained.flow));
        page.field("policy", policy(&explained));
        if let (Some(route), Some(site)) = (&explained.route, &explained.dest_site_id) {
            let kept = match explained.route_origin.as_deref() {
                Some("stale") => ", kept until routing has converged",
                _ => "",
            };
            page.field("route", format!("{route} of {site}{kept}"));
        }
        if explained.outcome != "routed" {
            page.field("outcome", outcome(&explained));
        }
        if let Some(choice) = &explained.choice {
            page.field("path", path(choice));
        }
        page.field("because", explained.because.clone());
        if let Some(choice) = &explained.choice {
            rejected(&choice.candidates, &mut page);
            if let Some(back) = &choice.back {
                page.field("back", back.clone());
            }
        }
        if let Some(replies) = &explained.replies {
            page.field("replies", replies.clone());
        }
        for obstacle in &explained.obstacles {
            page.field("in the way", obstacle.clone());
        }
        passed_over(&explained, &mut page);
        // The others go where the configuration says that they should.
        let carried = !matches!(
            explained.outcome.as_str(),
            "no_path" | "in_doubt" | "unreachable"
        );
        Ok(Shown {
            page,
            well: carried,
        })
    }
}

fn flow(flow: &Flow) -> String {
    let end = |address: &str, port: Option<u16>| match port {
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    };
    let from = end(&flow.source, flow.source_port);
    let to = end(&flow.destination, flow.destination_port);
    let dscp = if flow.dscp == 0 {
        String::new()
    } else {
        format!("   DSCP {}", flow.dscp)
    };
    let ingress = flow
        .ingress
        .as_ref()
        .map_or_else(String::new, |name| format!("   in {name}"));
    format!("{} {from} → {to}{dscp}{ingress}", flow.protocol)
}

fn policy(explained: &Explanation) -> Text {
    let class = match (&explained.class, &explained.strategy) {
        (Some(class), Some(strategy)) => format!(" → class {class}, {strategy}"),
        (Some(class), None) => format!(" → class {class}"),
        (None, _) => " → drop".to_owned(),
    };
    let Some(name) = &explained.policy else {
        return format!("none matches{class} (the default)").into();
    };
    let check = explained
        .policies
        .iter()
        .find(|check| check.policy == *name);
    let priority = check.and_then(|check| check.priority);
    let priority = priority.map_or_else(String::new, |priority| format!("{priority} "));
    Text::from(priority)
        .then(Text::toned(Tone::Strong, name))
        .then(class)
}

fn path(choice: &Choice) -> Text {
    match &choice.path {
        Some(path) => {
            let cost = cost_of_chosen(&choice.candidates);
            let since = format!(", for {}{cost}", units::span(choice.since_ms));
            let chosen = choice.candidates.iter().find(|c| c.verdict == "chosen");
            let state = match chosen.map(|chosen| chosen.status) {
                Some(Status::Down) => Text::from(", ").then(Text::toned(Tone::Bad, "○ down")),
                Some(Status::Degraded) => ", degraded".into(),
                Some(Status::Unknown | Status::Init) => ", of which nothing is known yet".into(),
                Some(Status::Up) | None => Text::from(""),
            };
            Text::toned(Tone::Strong, path.name())
                .then(since)
                .then(state)
        }
        None => Text::toned(Tone::Bad, "○ none"),
    }
}

fn outcome(explained: &Explanation) -> Text {
    match explained.outcome.as_str() {
        "dropped" => Text::toned(Tone::Bad, "○ dropped"),
        "no_path" => Text::toned(Tone::Bad, lost(explained)),
        "in_doubt" => Text::toned(Tone::Warning, "◌ not known whether packets arrive"),
        "unreachable" => Text::toned(Tone::Bad, "○ unreachable"),
        "own" => "ends at this router".into(),
        "not_overlay" => "not in the overlay".into(),
        other => other.into(),
    }
}

fn lost(explained: &Explanation) -> String {
    let mut candidates = explained.choice.iter().flat_map(|it| &it.candidates);
    let lives = |it: &Candidate| matches!(it.status, Status::Up | Status::Degraded);
    match &explained.dest_site_id {
        Some(site) if !candidates.any(lives) => {
            format!("○ packets are lost: no path to {site} is up")
        }
        // Traffic waits for it, for a moment.
        _ => "○ packets are lost: their path is down".to_owned(),
    }
}

/// What the chosen path costs, to be compared with those that were rejected.
pub(super) fn cost_of_chosen(candidates: &[Candidate]) -> String {
    let chosen = candidates.iter().find(|c| c.verdict == "chosen");
    let cost = chosen.and_then(|c| c.cost);
    cost.map_or_else(String::new, |cost| {
        format!(", cost {}", units::number(cost.into()))
    })
}

/// The candidates which were not chosen, one line each.
pub(super) fn rejected(candidates: &[Candidate], page: &mut Page) {
    let rejected: Vec<&Candidate> = candidates
        .iter()
        .filter(|c| c.verdict != "chosen")
        .collect();
    let widest = rejected
        .iter()
        .map(|c| width_of(&c.path.name()))
        .max()
        .unwrap_or(0);
    let cost = |candidate: &Candidate| {
        candidate.cost.map_or_else(String::new, |cost| {
            format!("cost {}", units::number(cost.into()))
        })
    };
    let dearest = rejected.iter().map(|c| width_of(&cost(c))).max();
    let dearest = dearest.unwrap_or(0);
    for (at, candidate) in rejected.iter().enumerate() {
        let key = if at == 0 { "rejected" } else { "" };
        let name = candidate.path.name();
        let gap = " ".repeat(widest.saturating_sub(width_of(&name)));
        let latency = units::latency(candidate.latency_ms);
        let loss = units::percent(candidate.packet_loss_pct);
        let cost = match dearest {
            0 => String::new(),
            width => format!("{:>width$}   ", cost(candidate)),
        };
        let lead = Text::toned(Tone::Dim, format!("{key:<KEY_WIDTH$}"))
            .then(format!("{name}{gap}   {latency:>7}   {loss:>5}   {cost}"));
        page.hanging(lead, candidate.why.clone());
    }
}

/// The policies which were looked at in vain.
fn passed_over(explained: &Explanation, page: &mut Page) {
    let misses = explained.policies.iter().filter_map(|check| {
        let mismatch = check.mismatch.as_ref()?;
        Some(format!("{} ({mismatch})", check.policy))
    });
    let misses: Vec<String> = misses.collect();
    if !misses.is_empty() {
        page.field("no match", misses.join(", "));
    }
}
