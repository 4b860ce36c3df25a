//! What a controller says to a router, and what it makes of the answers.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::sync::Arc;
use std::time::Duration;

use patronus_control::session::{
    Configuration, ControllerEffect, ControllerEnd, ControllerSettings, Edition, Facts,
    FromController, FromRouter, Hello, PROTOCOL, Piece, PieceId, Refusal, Snapshot, Status, Target,
    Version,
};
use patronus_model::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn configuration(generation: u64) -> Configuration {
    let own = Piece::new(PieceId::Own, format!("own {generation}")).unwrap();
    let sites = (0..20).map(|it| {
        let id = PieceId::Site(format!("site-{it}").parse().unwrap());
        let text = if it == 0 { generation } else { 0 };
        Piece::new(id, format!("{text}{}", "x".repeat(5_000))).unwrap()
    });
    let pieces = [own].into_iter().chain(sites).map(Arc::new);
    Configuration {
        version: Version {
            epoch: 0,
            generation,
        },
        snapshot: Snapshot::new(pieces).unwrap(),
    }
}

fn edition(generation: u64) -> Edition {
    configuration(generation).edition()
}

fn target(generation: u64) -> Option<Target> {
    let configuration = configuration(generation);
    Some(Target {
        configuration,
        held_until: None,
    })
}

fn hello(confirmed: Option<u64>) -> Hello {
    let confirmed = confirmed.map(edition);
    Hello {
        protocol: PROTOCOL,
        seen: confirmed.map(|it| it.version),
        running: confirmed,
        confirmed,
        refused: None,
        facts: Facts::new(),
    }
}

fn controller(target: Option<Target>, known: &[u64]) -> ControllerEnd {
    let known = known.iter().map(|it| configuration(*it).snapshot);
    ControllerEnd::new(NOW, ControllerSettings::default(), target, known)
}

fn said(end: &mut ControllerEnd) -> Vec<FromController> {
    std::iter::from_fn(|| end.poll_message()).collect()
}

/// The names of what was said.
fn words(end: &mut ControllerEnd) -> Vec<String> {
    let word = |message: &FromController| match message {
        FromController::Begin { base, .. } => {
            format!("begin {}", if base.is_some() { "changes" } else { "whole" })
        }
        FromController::Pieces { pieces, .. } => format!("{} pieces", pieces.len()),
        FromController::End { .. } => "end".to_owned(),
        FromController::Welcome { .. } => "welcome".to_owned(),
        FromController::Confirm(edition) => format!("confirm {}", edition.version.generation),
        FromController::Heartbeat => "heartbeat".to_owned(),
        FromController::Renewed(_) => "renewed".to_owned(),
        FromController::NotRenewed(_) => "not renewed".to_owned(),
        FromController::GoAway { .. } => "go away".to_owned(),
    };
    said(end).iter().map(word).collect()
}

fn closed(end: &mut ControllerEnd) -> Option<String> {
    std::iter::from_fn(|| end.poll_effect()).find_map(|effect| match effect {
        ControllerEffect::Close(reason) => Some(reason),
        ControllerEffect::Told(_) | ControllerEffect::Renew(_) | ControllerEffect::Status(_) => {
            None
        }
    })
}

fn refused(generation: u64, attempts: u32) -> FromRouter {
    let reason = "because".to_owned();
    let edition = edition(generation);
    let refusal = Refusal {
        edition,
        attempts,
        reason,
    };
    FromRouter::Refused {
        refusal,
        running: None,
    }
}

#[test]
fn a_router_gets_what_it_does_not_have() {
    let table: [(Option<u64>, &[u64], &[&str]); 4] = [
        // Pieces of 5 kB, in messages of 32 kB.
        (
            None,
            &[],
            &["begin whole", "8 pieces", "7 pieces", "6 pieces", "end"],
        ),
        (
            Some(1),
            &[],
            &["begin whole", "8 pieces", "7 pieces", "6 pieces", "end"],
        ),
        (Some(1), &[1], &["begin changes", "2 pieces", "end"]),
        (Some(2), &[1], &[]),
    ];
    for (has, known, expected) in table {
        let mut end = controller(target(2), known);
        assert_eq!(
            words(&mut end),
            [""; 0],
            "nothing is said before the router is known"
        );
        end.received(NOW, FromRouter::Hello(hello(has)));
        let mut words = words(&mut end);
        assert_eq!(words.remove(0), "welcome");
        assert_eq!(words, expected);
    }
}

#[test]
fn what_changes_while_something_is_sent_is_sent_instead() {
    let mut end = controller(target(2), &[]);
    end.received(NOW, FromRouter::Hello(hello(None)));
    let first: Vec<_> = std::iter::from_fn(|| end.poll_message()).take(3).collect();
    assert_eq!(first.len(), 3);
    end.aim(NOW, target(3));
    match said(&mut end).as_slice() {
        [
            FromController::Begin { edition: begun, .. },
            ..,
            FromController::End { of },
        ] => {
            assert_eq!((*begun, *of), (edition(3), edition(3).digest));
        }
        other => panic!("{other:?}"),
    }
    // The answer to what is not wanted any more changes nothing.
    end.received(NOW, refused(2, 1));
    assert_eq!((said(&mut end), end.status()), (vec![], &Status::Pending));
    end.received(NOW, FromRouter::Applied(edition(3)));
    assert_eq!(end.status(), &Status::Applied);
}

#[test]
fn it_is_confirmed_once_the_router_was_heard_for_a_while() {
    let mut end = controller(target(2), &[]);
    end.received(NOW, FromRouter::Hello(hello(None)));
    words(&mut end);
    end.received(NOW, FromRouter::Applied(edition(2)));
    assert_eq!(words(&mut end), [""; 0]);
    let settle = ControllerSettings::default().settle;
    let beat = FromRouter::Heartbeat {
        running: Some(edition(2)),
    };
    let early = NOW + settle - Duration::from_millis(1);
    end.received(early, beat.clone());
    assert_eq!(words(&mut end), [""; 0]);
    // That time has passed proves nothing: it has to be heard.
    end.timeout(NOW + settle);
    assert_eq!(words(&mut end), [""; 0]);
    end.received(NOW + settle, beat.clone());
    end.received(NOW + settle, beat);
    assert_eq!(words(&mut end), ["confirm 2"]);
    assert_eq!(end.status(), &Status::Applied);
    end.received(NOW + settle, FromRouter::Kept(edition(2)));
    assert_eq!(end.status(), &Status::Confirmed);
}

#[test]
fn it_is_confirmed_again_after_a_router_gave_it_up_and_applied_it_again() {
    let mut end = controller(target(2), &[]);
    end.received(NOW, FromRouter::Hello(hello(None)));
    end.received(NOW, FromRouter::Applied(edition(2)));
    let later = |seconds| NOW + Duration::from_secs(seconds);
    let beat = |it| FromRouter::Heartbeat { running: it };
    end.received(later(5), beat(Some(edition(2))));
    assert_eq!(words(&mut end).last().unwrap(), "confirm 2");
    // The confirmation came too late.
    end.received(later(6), refused(2, 1));
    assert!(matches!(end.status(), Status::Refused { again: Some(at), .. } if *at == later(36)));
    end.received(later(16), beat(None));
    end.received(later(26), beat(None));
    assert!(words(&mut end).iter().all(|it| it == "heartbeat"));
    end.timeout(later(36));
    assert!(words(&mut end).contains(&"begin whole".to_owned()));
    end.received(later(37), FromRouter::Applied(edition(2)));
    end.received(later(40), beat(Some(edition(2))));
    assert_eq!(words(&mut end), ["confirm 2"]);
}

#[test]
fn what_is_refused_is_offered_three_times() {
    let mut end = controller(target(2), &[]);
    end.received(NOW, FromRouter::Hello(hello(None)));
    let mut now = NOW;
    for attempt in 1..=3_u32 {
        assert!(words(&mut end).contains(&"end".to_owned()), "{attempt}");
        // Attempts are counted also where the router does not: it did not even begin.
        end.received(now, refused(2, 0));
        let Status::Refused { refusal, again } = end.status().clone() else {
            panic!("{:?}", end.status());
        };
        assert_eq!(refusal.attempts, attempt);
        assert_eq!(again.is_none(), attempt == 3);
        let Some(again) = again else { break };
        while now < again {
            now = now + Duration::from_secs(10);
            end.received(now, FromRouter::Heartbeat { running: None });
            end.timeout(now);
        }
    }
    assert!(words(&mut end).iter().all(|it| it == "heartbeat"));
    // Something else is offered at once, and so is the same if somebody says so.
    end.retry(now);
    assert_eq!(words(&mut end).first().unwrap(), "begin whole");
    end.received(now, refused(2, 3));
    end.aim(now, target(3));
    assert_eq!(words(&mut end).first().unwrap(), "begin whole");
}

#[test]
fn what_does_not_fit_is_sent_whole_once() {
    let mut end = controller(target(2), &[1]);
    end.received(NOW, FromRouter::Hello(hello(Some(1))));
    assert_eq!(words(&mut end)[1], "begin changes");
    end.received(NOW, FromRouter::Resync(edition(2)));
    assert_eq!(words(&mut end)[0], "begin whole");
    end.received(NOW, FromRouter::Resync(edition(2)));
    assert_eq!(words(&mut end), [""; 0]);
    assert!(matches!(
        end.status(),
        Status::Refused { again: Some(_), .. }
    ));
}

#[test]
fn a_router_that_has_seen_more_is_told_nothing() {
    let mut end = controller(target(2), &[]);
    let mut seen = hello(Some(1));
    seen.seen = Some(edition(3).version);
    end.received(NOW, FromRouter::Hello(seen));
    assert_eq!(words(&mut end), ["welcome"]);
    assert_eq!(end.status(), &Status::Behind(edition(3).version));
    end.retry(NOW);
    assert_eq!(words(&mut end), [""; 0]);
    end.aim(NOW, target(3));
    assert_eq!(words(&mut end)[0], "begin whole");
}

#[test]
fn a_person_who_has_to_confirm_has_the_time_that_is_left() {
    let held = |seconds| {
        let mut held = target(2).unwrap();
        held.held_until = Some(NOW + Duration::from_secs(seconds));
        Some(held)
    };
    let mut end = controller(held(600), &[]);
    let later = NOW + Duration::from_secs(10);
    end.received(later, FromRouter::Hello(hello(None)));
    match said(&mut end).as_slice() {
        [_, FromController::Begin { confirm_within, .. }, ..] => {
            assert_eq!(*confirm_within, Duration::from_secs(590));
        }
        other => panic!("{other:?}"),
    }
    end.received(later, FromRouter::Applied(edition(2)));
    let beat = FromRouter::Heartbeat {
        running: Some(edition(2)),
    };
    end.received(later + Duration::from_secs(5), beat);
    assert_eq!(words(&mut end), [""; 0]);
    end.aim(later + Duration::from_secs(6), target(2));
    assert_eq!(words(&mut end), ["confirm 2"]);
    // There is no time left: the next generation comes soon.
    let mut end = controller(held(10), &[]);
    end.received(later, FromRouter::Hello(hello(None)));
    assert_eq!(words(&mut end), ["welcome"]);
    assert_eq!(end.status(), &Status::Pending);
}

#[test]
fn a_router_that_does_not_keep_to_the_protocol_is_left() {
    let other = Hello {
        protocol: PROTOCOL + 1,
        ..hello(None)
    };
    let table: [(&[FromRouter], &str); 5] = [
        (
            &[FromRouter::Applied(edition(2))],
            "did not say who it is first",
        ),
        (
            &[
                FromRouter::Hello(hello(None)),
                FromRouter::Hello(hello(None)),
            ],
            "said twice who it is",
        ),
        (&[FromRouter::Hello(other)], "update the older of the two"),
        (
            &[FromRouter::Hello(hello(None)), FromRouter::Leaving],
            "was stopped",
        ),
        (&[FromRouter::Hello(hello(None))], "said nothing for 15 s"),
    ];
    for (messages, expected) in table {
        let mut end = controller(target(2), &[]);
        for message in messages {
            end.received(NOW, message.clone());
        }
        for seconds in 1..=15 {
            end.timeout(NOW + Duration::from_secs(seconds));
        }
        let reason = closed(&mut end).expect("it is closed");
        assert!(reason.contains(expected), "{reason}");
        // Whatever it says now is not heard.
        said(&mut end);
        end.received(NOW, FromRouter::Renew(vec![]));
        end.aim(NOW, target(3));
        assert_eq!((end.poll_message(), end.poll_effect()), (None, None));
    }
}

#[test]
fn facts_and_requests_are_handed_on() {
    let mut end = controller(None, &[]);
    end.received(NOW, FromRouter::Hello(hello(None)));
    end.received(NOW, FromRouter::Renew(vec![1]));
    let effects: Vec<_> = std::iter::from_fn(|| end.poll_effect()).collect();
    assert_eq!(
        effects,
        [
            ControllerEffect::Told(Facts::new()),
            ControllerEffect::Status(Status::NoTarget),
            ControllerEffect::Renew(vec![1]),
        ]
    );
    end.renewed(Ok(vec![2]));
    end.renewed(Err("no".to_owned()));
    end.go_away("it is stopped", Duration::from_secs(1));
    assert_eq!(
        words(&mut end),
        ["welcome", "renewed", "not renewed", "go away"]
    );
    assert_eq!(closed(&mut end).unwrap(), "it is stopped");
}
