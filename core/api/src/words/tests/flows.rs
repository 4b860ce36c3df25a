//! What is said of flows.

use patronus_model::view::{Explanation, LanState, LanView, Outcome, RouteOrigin, WithdrawnView};

use super::*;

/// An explanation of some flow.
fn explained() -> Explanation {
    Explanation {
        flow: patronus_model::policy::Flow {
            source: "10.2.0.9".parse().unwrap(),
            destination: "10.1.0.77".parse().unwrap(),
            protocol: patronus_model::policy::Protocol::UDP,
            source_port: None,
            destination_port: None,
            dscp: patronus_model::ids::Dscp::new(0).unwrap(),
            ingress: None,
        },
        policies: Vec::new(),
        outcome: Outcome::Dropped,
    }
}

#[test]
fn an_address_in_a_lan_that_is_away_is_not_said_to_be_unannounced() {
    let address = "10.1.0.1/24";
    for (state, address, expected) in [
        (
            LanState::Missing,
            None,
            "whose interface lan0 does not exist:",
        ),
        (
            LanState::Down,
            Some(address),
            "whose interface lan0 is down or has no carrier:",
        ),
        (LanState::Up, None, "whose interface lan0 has no address:"),
        (
            LanState::Up,
            Some(address),
            "but in no network of its interface lan0, and no route leads there:",
        ),
        (
            LanState::Unknown,
            None,
            "of whose interface lan0 nothing is known yet:",
        ),
    ] {
        let lan = LanView {
            interface: "lan0".parse().unwrap(),
            prefixes: Vec::new(),
            state,
            addresses: address.map(|it| it.parse().unwrap()).into_iter().collect(),
        };
        let said = flow::because(
            &names(),
            &Explanation {
                outcome: Outcome::Unreachable {
                    class: "bulk".parse().unwrap(),
                    withdrawn: None,
                    lan: Some(lan),
                    misrouted: None,
                },
                ..explained()
            },
        );
        let rest = said
            .strip_prefix("10.1.0.77 is in a LAN of this site, ")
            .unwrap();
        assert!(rest.starts_with(expected), "{said}");
    }
}

#[test]
fn of_traffic_by_a_hub_that_was_stopped_the_hub_is_said_to_be_stopped() {
    let by = |site| {
        let mut dead = candidate(PathState::Down, PathCause::StayedAway, Verdict::Chosen);
        dead.path = canned::path_id(site, 1, 1);
        let mut own = candidate(PathState::Down, PathCause::Silent, Verdict::NotViable);
        own.path = canned::path_id(2, 2, 1);
        let explanation = Explanation {
            outcome: Outcome::Routed {
                class: "bulk".parse().unwrap(),
                route: "10.2.0.0/16".parse().unwrap(),
                origin: RouteOrigin::Bgp,
                site: "lisbon".parse().unwrap(),
                choice: ChoiceView {
                    site: SiteNumber::new(2).unwrap(),
                    class: ClassId::new(1).unwrap(),
                    path: Some(dead.path),
                    reason: Reason::Initial,
                    since: Duration::ZERO,
                    candidates: vec![own, dead],
                },
            },
            ..explained()
        };
        flow::because(&names(), &explanation)
    };
    for (site, expected) in [
        (2, "patronusd at lisbon was stopped on purpose"),
        (
            3,
            "patronusd at oslo, by which lisbon is reached, was stopped on purpose",
        ),
    ] {
        let said = by(site);
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn of_what_an_earlier_patronusd_guarded_it_is_not_said_that_a_site_announced_it() {
    let because = |last| {
        let withdrawn = Some(WithdrawnView {
            prefix: "10.1.0.0/24".parse().unwrap(),
            last,
            configured: false,
        });
        let explanation = Explanation {
            outcome: Outcome::Unreachable {
                class: "bulk".parse().unwrap(),
                withdrawn,
                lan: None,
                misrouted: None,
            },
            ..explained()
        };
        flow::because(&names(), &explanation)
    };
    let forget = "If that was a mistake: `patronus forget 10.1.0.0/24`";
    let known = Some(("oslo".parse().unwrap(), Duration::from_secs(12)));
    for (last, expected) in [
        (
            known,
            "which oslo announced until 12 s ago, and no site announces now: it is refused rather \
             than sent in the clear",
        ),
        (
            None,
            "which no site announces now: it was announced by a site that is not configured any \
             more, or guarded before patronusd started, as a site had announced it or the \
             configuration named it then. It is refused rather than sent in the clear",
        ),
    ] {
        assert_eq!(
            because(last),
            format!("10.1.0.77 is in 10.1.0.0/24, {expected}. {forget}")
        );
    }
}
