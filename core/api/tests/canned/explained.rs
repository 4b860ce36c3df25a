//! Why flows go where they go.

use patronus_model::event::{Reason, Verdict};
use patronus_model::kernel::Foreign;
use patronus_model::path::{Measurement, PathCause, PathState};
use patronus_model::policy::{Flow, Mismatch};
use patronus_model::view::{ChoiceView, Explanation, Outcome, RouteOrigin, WithdrawnView};

use super::{MINUTE, by_lan, candidates, path_id, site};

pub(super) fn explain(flow: Flow) -> Explanation {
    let telnet = ("no-telnet".parse().unwrap(), Some(Mismatch::Protocol));
    let outcome = match flow.destination.to_string().as_str() {
        "10.2.0.9" | "fd00:2::9" => Outcome::Routed {
            class: "voice".parse().unwrap(),
            route: "10.2.0.0/16".parse().unwrap(),
            origin: RouteOrigin::Bgp,
            site: "lisbon".parse().unwrap(),
            choice: site("lisbon", 2).choices.remove(0),
        },
        "10.3.0.9" => Outcome::Routed {
            class: "bulk".parse().unwrap(),
            route: "10.3.0.0/16".parse().unwrap(),
            origin: RouteOrigin::Stale,
            site: "oslo".parse().unwrap(),
            choice: site("oslo", 3).choices.remove(1),
        },
        "10.4.0.9" => Outcome::Routed {
            class: "voice".parse().unwrap(),
            route: "10.4.0.0/16".parse().unwrap(),
            origin: RouteOrigin::Bgp,
            site: "tromso".parse().unwrap(),
            choice: cut_off(PathCause::Silent),
        },
        "10.5.0.9" => Outcome::Routed {
            class: "voice".parse().unwrap(),
            route: "10.5.0.0/16".parse().unwrap(),
            origin: RouteOrigin::Bgp,
            site: "tromso".parse().unwrap(),
            choice: cut_off(PathCause::StayedAway),
        },
        "10.1.0.1" => Outcome::Own {
            class: "bulk".parse().unwrap(),
        },
        "10.9.0.9" => Outcome::Unreachable {
            class: "bulk".parse().unwrap(),
            withdrawn: None,
            lan: None,
            misrouted: None,
        },
        "10.6.0.9" => Outcome::Unreachable {
            class: "bulk".parse().unwrap(),
            withdrawn: Some(WithdrawnView {
                prefix: "10.6.0.0/24".parse().unwrap(),
                last: Some(("oslo".parse().unwrap(), 3 * MINUTE)),
                configured: false,
            }),
            lan: None,
            misrouted: None,
        },
        "10.8.0.9" => Outcome::NotOverlay {
            class: "bulk".parse().unwrap(),
            foreign: Some((
                "10.8.0.0/24".parse().unwrap(),
                Foreign::Main(Some(by_lan())),
            )),
        },
        _ => Outcome::NotOverlay {
            class: "bulk".parse().unwrap(),
            foreign: None,
        },
    };
    let matched = match flow.destination_port {
        Some(23) => {
            return Explanation {
                flow,
                policies: vec![("no-telnet".parse().unwrap(), None)],
                outcome: Outcome::Dropped,
            };
        }
        Some(5060) => None,
        _ => Some(Mismatch::DestinationPort),
    };
    Explanation {
        flow,
        policies: vec![telnet, ("voice-first".parse().unwrap(), matched)],
        outcome,
    }
}

/// How voice sees a site all of whose paths are down.
fn cut_off(cause: PathCause) -> ChoiceView {
    let mut candidates = candidates(4);
    for candidate in &mut candidates {
        (candidate.state, candidate.cause) = (PathState::Down, cause);
        candidate.measured = Measurement::default();
        candidate.verdict = match candidate.path == path_id(4, 2, 1) {
            true => Verdict::Chosen,
            false => Verdict::NotViable,
        };
    }
    ChoiceView {
        path: Some(path_id(4, 2, 1)),
        reason: Reason::AllSilent,
        candidates,
        ..site("tromso", 4).choices.remove(0)
    }
}
