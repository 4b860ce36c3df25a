//! Everything that is said to people, as tables.

mod flows;

use patronus_model::event::{Event, UplinkFault};
use patronus_model::ids::ClassId;
use patronus_model::path::{Measurement, PathCause};

use super::*;
use crate::canned;

fn names() -> Names {
    Names::of_view(&canned::view())
}

#[test]
fn every_event_is_one_line() {
    let expected = [
        "a configuration with 5 paths and 2 policies is in force: added site oslo; changed BGP \
         (timers), class voice (strategy); unreachable until announced again, or forgotten by `patronus forget`: 10.7.0.0/24; \
         guarded no more, so that packets go wherever the main table leads: 10.8.0.0/16",
        "lisbon fibre → fibre is degraded (was up): loss 2.1 % > 1.0 %",
        "lisbon fibre → lte flaps: no traffic moves to it until it calms down",
        "uplink lte cannot be used: it is off or has no carrier",
        "voice to lisbon goes over lte → fibre: loss 2.1 % > 1.0 %",
        "voice to lisbon moved from fibre → fibre to lte → fibre: loss 2.1 % > 1.0 %",
        "12 changes applied in 4.1 ms",
        "not everything could be applied: route add: ENOBUFS; next attempt in 2 s",
        "somebody altered what is ours: IPv4 rule 1010 removed, net/ipv4/ip_forward set to 0 and 3 \
         more; 7 changes to put it back",
        "bgpd is gone: the kernel keeps forwarding as it was",
        "BGP session with oslo is established",
        "LAN lan1 is down or missing: nobody behind it can be reached",
        "oslo announces 10.1.7.0/24, which is not believed: it overlaps a LAN of this site, or is of \
         addresses that no other host can have. Correct it there, or, if it is an aggregate, declare \
         oslo a hub",
        "lisbon announces 10.2.0.0/16, fd00:2::/48",
        "lisbon does not announce 10.2.0.0/16, 4479 more any more: unreachable by it",
        "10.6.0.0/24, which oslo had announced, was forgotten by an operator: packets for it go \
         wherever the main table leads",
        "10.6.2.0/24, 6 more, which a site had announced or the configuration had named: forgotten, as more are announced no more \
         than are remembered (bgp.maximum_prefixes); what the configuration does not name goes \
         wherever the main table leads",
        "the configuration was not reloaded: config.yaml:3:5: site: has no such key (and 1 more)",
        "FRR could not be configured, and is as it was: bgpd: % Unknown command",
        "oslo announces 10.2.7.0/24, which is configured for lisbon: oslo has it. \
         Let one of them have it, or make one a hub",
    ];
    let from = names();
    let events = canned::happened::every_event();
    assert_eq!(events.len(), expected.len());
    for (it, expected) in events.iter().zip(expected) {
        assert_eq!(event(&from, it), expected);
    }
}

#[test]
fn the_better_half_of_an_event_is_said_too() {
    let from = names();
    let path = canned::path_id(2, 1, 2);
    let slot = path.remote;
    for (it, expected) in [
        (
            Event::Dampened {
                path,
                suppressed: false,
            },
            "lisbon fibre → lte has calmed down: traffic may move to it again",
        ),
        (
            Event::Forgotten {
                prefix: "10.6.0.0/24".parse().unwrap(),
                site: None,
                within: "10.0.0.0/8".parse().ok(),
            },
            "10.6.0.0/24, which a site had announced or the configuration had named, was forgotten by \
             an operator; it still belongs to the overlay, within 10.0.0.0/8",
        ),
        (
            Event::Uplink { slot, fault: None },
            "uplink lte can be used",
        ),
        (
            Event::Uplink {
                slot,
                fault: Some(UplinkFault::NoAddress),
            },
            "uplink lte cannot be used: it has no address",
        ),
        (
            Event::RoutingDaemon {
                daemon: "bgpd".to_owned(),
                up: true,
            },
            "bgpd answers",
        ),
        (
            Event::BgpNeighbor {
                neighbor: "oslo".to_owned(),
                established: false,
                reason: Some("Hold Timer Expired".to_owned()),
            },
            "BGP session with oslo is down: Hold Timer Expired",
        ),
        (
            Event::Lan {
                interface: "lan1".parse().unwrap(),
                up: true,
            },
            "LAN lan1 is up",
        ),
    ] {
        assert_eq!(event(&from, &it), expected);
    }
}

#[test]
fn what_no_longer_exists_is_named_by_its_number() {
    let from = names();
    let path = canned::path_id(77, 8, 3);
    let it = Event::Dampened {
        path,
        suppressed: false,
    };
    assert_eq!(
        event(&from, &it),
        "site 77 8 → 3 has calmed down: traffic may move to it again"
    );
}

#[test]
fn every_reason_is_said_shortly_and_at_length() {
    let ms = Duration::from_millis;
    let down = Reason::PathDown(PathCause::Silent);
    let faster = Reason::Faster {
        current: ms(48),
        better: Duration::from_micros(18_240),
    };
    let preferred = Reason::Preferred {
        well_for: ms(30_000),
    };
    let calmer = Reason::Calmer {
        well_for: ms(30_000),
    };
    for (it, short, long) in [
        (
            Reason::AllSilent,
            "all paths fell silent at once",
            "every path fell silent at once, so it went back to where it had been: patronusd there \
             may only be restarting",
        ),
        (
            calmer,
            "the old path flaps, this one is well for 30 s",
            "A flaps, and this one had been well for 30 s",
        ),
        (
            Reason::Initial,
            "first choice",
            "first choice after a start or a new configuration",
        ),
        (
            Reason::Adopted,
            "it was there when patronusd started",
            "its traffic was there already when patronusd started",
        ),
        (
            Reason::PathGone,
            "a reload removed the path that it was on",
            "a reload removed the path that its traffic was on",
        ),
        (
            down,
            "nothing is heard from the far end",
            "A went down: nothing is heard from the far end",
        ),
        (
            Reason::PathDegraded(canned::BROKEN_LOSS),
            "loss 2.1 % > 1.0 %",
            "A was degraded: loss 2.1 % > 1.0 %",
        ),
        (
            preferred,
            "preferred, and well for 30 s",
            "the class prefers it, and it had been well for 30 s",
        ),
        (
            Reason::Arrived,
            "preferred, and up for the first time",
            "the class prefers it, and it came up for the first time",
        ),
        (
            faster,
            "18.2 ms instead of 48.0 ms",
            "it was clearly faster: 18.2 ms instead of 48.0 ms",
        ),
        (
            Reason::Reconfigured,
            "the class was configured anew",
            "the class was configured anew",
        ),
    ] {
        assert_eq!(
            (short_reason(it).as_str(), reason(it, Some("A")).as_str()),
            (short, long)
        );
    }
}

fn candidate(state: PathState, cause: PathCause, verdict: Verdict) -> Candidate {
    let measured = Measurement::default();
    let path = canned::path_id(2, 1, 1);
    Candidate {
        path,
        state,
        cause,
        measured,
        cost: None,
        verdict,
    }
}

#[test]
fn every_verdict_says_why() {
    let remaining = Duration::from_secs(12);
    let up = |verdict| candidate(PathState::Up, PathCause::Alive, verdict);
    let degraded = |verdict| candidate(PathState::Degraded, canned::BROKEN_LOSS, verdict);
    let down = |verdict| candidate(PathState::Down, PathCause::UplinkDown, verdict);
    for (it, expected) in [
        (up(Verdict::Chosen), "chosen"),
        (
            down(Verdict::NotViable),
            "down: the uplink has no carrier or no address",
        ),
        (
            up(Verdict::NotViable),
            "usable, but nothing has failed that would be worth a move",
        ),
        (
            up(Verdict::Suppressed),
            "it flaps: not used until it calms down",
        ),
        (up(Verdict::RankedLower), "up, but ranked 2nd"),
        (
            degraded(Verdict::RankedLower),
            "degraded: loss 2.1 % > 1.0 %; ranked 2nd",
        ),
        (
            up(Verdict::HoldingDown { remaining }),
            "better, but not for long enough: 12 s more",
        ),
        (
            up(Verdict::Outdone { remaining }),
            "better, but one that is better still is coming up: waits for that 12 s more",
        ),
        (
            up(Verdict::Cooldown { remaining }),
            "better, but traffic moved a moment ago: 12 s more",
        ),
        (
            up(Verdict::NotClearlyBetter),
            "faster, but by too little to be worth a move",
        ),
    ] {
        assert_eq!(verdict(2, &it), expected);
    }
}

#[test]
fn traffic_that_goes_by_a_hub_is_said_to() {
    let moved = Event::Moved(Decision {
        site: SiteNumber::new(2).unwrap(),
        class: ClassId::new(1).unwrap(),
        from: Some(canned::path_id(2, 1, 1)),
        to: canned::path_id(3, 1, 1),
        reason: Reason::PathDown(PathCause::Silent),
        candidates: Vec::new(),
    });
    assert_eq!(
        event(&names(), &moved),
        "voice to lisbon moved from fibre → fibre to fibre → fibre by oslo: \
         nothing is heard from the far end"
    );
}

#[test]
fn it_is_said_when_traffic_will_go_back() {
    let from = names();
    let failed = Reason::PathDown(PathCause::Silent);
    let chosen = candidate(PathState::Up, PathCause::Alive, Verdict::Chosen);
    let waiting = Verdict::Cooldown {
        remaining: Duration::from_secs(5),
    };
    let waiting = candidate(PathState::Up, PathCause::Alive, waiting);
    let dead = candidate(PathState::Down, PathCause::Silent, Verdict::NotViable);
    let well = candidate(PathState::Up, PathCause::Alive, Verdict::RankedLower);
    let soon = Some("to fibre → fibre in 5 s, if it stays better");
    let later = Some(
        "to fibre → fibre, where the class prefers it, when it has stayed well for the hold time",
    );
    for (why, candidates, expected) in [
        (failed, vec![waiting, chosen.clone()], soon),
        (failed, vec![chosen.clone(), dead.clone()], later),
        (Reason::Initial, vec![chosen.clone(), dead.clone()], None),
        (failed, vec![chosen, well], None),
        (failed, vec![dead], None),
    ] {
        let choice = ChoiceView {
            site: SiteNumber::new(2).unwrap(),
            class: ClassId::new(1).unwrap(),
            path: None,
            reason: why,
            since: Duration::ZERO,
            candidates,
        };
        assert_eq!(back(&from, &choice).as_deref(), expected);
    }
}

#[test]
fn spans_have_no_more_digits_than_they_deserve() {
    for (millis, expected) in [
        (0, "0.0 ms"),
        (4, "4.0 ms"),
        (840, "840 ms"),
        (1_000, "1 s"),
        (1_540, "1.5 s"),
        (12_999, "12 s"),
        (180_000, "3 min"),
        (3_600_000, "1 h"),
        (11_040_000, "3 h 4 min"),
        (273_600_000, "3 d 4 h"),
    ] {
        assert_eq!(span(Duration::from_millis(millis)), expected);
    }
}

#[test]
fn ordinals_are_english() {
    let words = [1, 2, 3, 4, 11, 12, 13, 21, 22, 111].map(ordinal);
    let expected = [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "111th",
    ];
    assert_eq!(words, expected);
}

#[test]
fn a_path_that_a_reload_removed_is_not_named_by_numbers() {
    let decision = Decision {
        site: SiteNumber::new(2).unwrap(),
        class: ClassId::new(1).unwrap(),
        from: Some(canned::path_id(2, 7, 7)),
        to: canned::path_id(2, 2, 1),
        reason: Reason::PathGone,
        candidates: Vec::new(),
    };
    assert_eq!(
        event(&names(), &Event::Moved(decision)),
        "voice to lisbon moved to lte → fibre: a reload removed the path that it was on"
    );
}
