//! What happens to a flow, and why.

use std::net::IpAddr;

use patronus_model::event::Candidate;
use patronus_model::ids::SiteId;
use patronus_model::path::PathState;
use patronus_model::policy::Mismatch;
use patronus_model::view::{ChoiceView, Explanation, LanState, LanView, Outcome, WithdrawnView};

use super::{elsewhere, reason, span};
use crate::names::Names;

/// Why a flow ends up as it does.
pub(crate) fn because(names: &Names, explanation: &Explanation) -> String {
    let destination = explanation.flow.destination;
    match &explanation.outcome {
        Outcome::Dropped => match explanation.policies.last() {
            Some((policy, None)) => format!("policy {policy} drops it"),
            Some((_, Some(_))) | None => "a policy drops it".to_owned(),
        },
        Outcome::Own { .. } => {
            format!("{destination} is an address of this router: the packet ends here")
        }
        Outcome::NotOverlay { foreign, .. } => {
            elsewhere::not_overlay(destination, foreign.as_ref())
        }
        Outcome::Unreachable {
            misrouted: Some((prefix, by)),
            ..
        } => elsewhere::misrouted(prefix, by),
        Outcome::Unreachable { withdrawn, lan, .. } => {
            unreachable(destination, withdrawn.as_ref(), lan.as_ref())
        }
        Outcome::Routed { site, choice, .. } if choice.path.is_none() => {
            format!("there is no path to {site}: packets are lost")
        }
        Outcome::Routed { site, choice, .. } => match (choice.in_doubt(), choice.dead()) {
            (Some(path), _) => in_doubt(names, site, choice, path),
            (None, Some(dead)) => lost(names, site, choice, dead),
            (None, None) => reason(choice.reason, None),
        },
    }
}

/// What is known of packets for a site whose daemon was stopped on purpose, or that of the hub by
/// which they go.
fn in_doubt(names: &Names, site: &SiteId, choice: &ChoiceView, path: &Candidate) -> String {
    let stopped = match path.path.site == choice.site {
        true => site.to_string(),
        false => format!(
            "{}, by which {site} is reached,",
            names.site(path.path.site)
        ),
    };
    format!(
        "patronusd at {stopped} was stopped on purpose and did not come back. Its kernel forwards for \
         as long as nobody tears it down, and what becomes of packets is not known here. They are \
         sent where they were for this reason: {}",
        reason(choice.reason, None)
    )
}

/// Why what is sent on a path that is down does not arrive.
fn lost(names: &Names, site: &SiteId, choice: &ChoiceView, dead: &Candidate) -> String {
    let lives = |it: &Candidate| matches!(it.state, PathState::Up | PathState::Degraded);
    let path = names.way(choice.site, dead.path);
    let (state, cause) = (dead.state, dead.cause);
    // Traffic may wait for a moment, or for a far end whose kernel forwards without its daemon.
    let lost = match choice.candidates.iter().any(lives) {
        true => {
            format!("packets are lost while traffic stays on {path}, which is {state}: {cause}")
        }
        false => {
            format!(
                "packets are lost, as no path to {site} is up; {path}, where traffic is, is {state}: \
                 {cause}"
            )
        }
    };
    format!(
        "{lost}. It is there for this reason: {}",
        reason(choice.reason, None)
    )
}

/// Policies are asked of the packet that opens a connection, and only at the site where it enters:
/// see the chain `prerouting`.
pub(crate) fn replies(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Routed { choice, .. } if choice.is_lost() => None,
        Outcome::Routed { site, .. } => Some(format!(
            "come in the same class, on a path that {site} chooses; connections that {site} opens \
             have their class from there, in both directions"
        )),
        Outcome::Dropped => Some(
            "pass, in connections that another site opens: only its own policies drop those"
                .to_owned(),
        ),
        Outcome::Own { .. } | Outcome::NotOverlay { .. } | Outcome::Unreachable { .. } => None,
    }
}

/// Why an address in a LAN of ours cannot be reached.
fn away(destination: IpAddr, lan: &LanView) -> String {
    let interface = &lan.interface;
    let lies = match lan.state {
        LanState::Missing => format!("whose interface {interface} does not exist"),
        LanState::Down => format!("whose interface {interface} is down or has no carrier"),
        LanState::Up if lan.addresses.is_empty() => {
            format!("whose interface {interface} has no address")
        }
        LanState::Up => {
            format!("but in no network of its interface {interface}, and no route leads there")
        }
        LanState::Unknown => format!("of whose interface {interface} nothing is known yet"),
    };
    format!(
        "{destination} is in a LAN of this site, {lies}: it is refused rather than sent elsewhere"
    )
}

fn unreachable(
    destination: IpAddr,
    withdrawn: Option<&WithdrawnView>,
    lan: Option<&LanView>,
) -> String {
    if let Some(lan) = lan {
        return away(destination, lan);
    }
    let refused = "it is refused rather than sent in the clear";
    let Some(withdrawn) = withdrawn else {
        return format!(
            "{destination} belongs to the overlay, but no site announces it: {refused}"
        );
    };
    let prefix = withdrawn.prefix;
    let was = match &withdrawn.last {
        Some((site, ago)) => format!(
            "which {site} announced until {} ago, and no site announces now",
            span(*ago)
        ),
        None => {
            "which no site announces now: it was announced by a site that is not configured any \
                 more, or guarded before patronusd started, as a site had announced it or the \
                 configuration named it then"
                .to_owned()
        }
    };
    let forget = match withdrawn.configured {
        true => String::new(),
        false => format!(". If that was a mistake: `patronus forget {prefix}`"),
    };
    let so = match withdrawn.last {
        Some(_) => format!(": {refused}"),
        None => format!(". It is {}", refused.trim_start_matches("it is ")),
    };
    format!("{destination} is in {prefix}, {was}{so}{forget}")
}

/// The condition of a policy that a flow does not meet.
pub(crate) const fn mismatch(mismatch: Mismatch) -> &'static str {
    match mismatch {
        Mismatch::Source => "another source",
        Mismatch::Destination => "another destination",
        Mismatch::Protocol => "another protocol",
        Mismatch::SourcePort => "another source port",
        Mismatch::DestinationPort => "another destination port",
        Mismatch::Dscp => "another DSCP",
        Mismatch::Ingress => "another ingress interface",
    }
}
