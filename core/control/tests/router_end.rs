//! What a router takes from a controller that says something else than it should.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::sync::Arc;
use std::time::Duration;

use patronus_control::session::{
    Configuration, Edition, Facts, FromController, FromRouter, MOST_PIECES, Memory, Operation,
    Piece, PieceId, RouterEffect, RouterEnd, Snapshot, Version,
};
use patronus_model::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const WITHIN: Duration = Duration::from_secs(30);
const SESSION: u64 = 7;

fn snapshot(content: u64) -> Snapshot {
    let own = Piece::new(PieceId::Own, format!("own {content}")).unwrap();
    let site = PieceId::Site("paris".parse().unwrap());
    let site = Piece::new(site, format!("site {content}")).unwrap();
    Snapshot::new([own, site].map(Arc::new)).unwrap()
}

fn configuration(generation: u64) -> Configuration {
    let epoch = 0;
    Configuration {
        version: Version { epoch, generation },
        snapshot: snapshot(generation),
    }
}

fn edition(generation: u64) -> Edition {
    configuration(generation).edition()
}

/// A router that has confirmed generation 10, and a controller that has said welcome.
struct Router {
    end: RouterEnd,
    stores: Vec<(Operation, Memory)>,
    applies: Vec<(Operation, Option<Configuration>)>,
    closed: Vec<String>,
}

impl Router {
    fn new() -> Self {
        let memory = Memory {
            confirmed: Some(configuration(10)),
            seen: Some(configuration(10).version),
            ..Memory::default()
        };
        let mut router = Self {
            end: RouterEnd::new(memory, Facts::new()),
            stores: Vec::new(),
            applies: Vec::new(),
            closed: Vec::new(),
        };
        router.look();
        router.apply(Ok(()));
        router.end.connected(NOW, SESSION);
        assert!(matches!(router.said().as_slice(), [FromRouter::Hello(_)]));
        router.hear(FromController::Welcome {
            heartbeat: Duration::from_secs(5),
        });
        router
    }

    fn look(&mut self) {
        while let Some(effect) = self.end.poll_effect() {
            match effect {
                RouterEffect::Store { operation, memory } => self.stores.push((operation, memory)),
                RouterEffect::Apply {
                    operation,
                    configuration,
                } => {
                    self.applies.push((operation, configuration));
                }
                RouterEffect::Close { reason, .. } => self.closed.push(reason),
                RouterEffect::Report(_) | RouterEffect::Renewed(_) => {}
            }
        }
    }

    fn hear(&mut self, message: FromController) {
        self.end.received(NOW, SESSION, message);
        self.look();
    }

    fn said(&mut self) -> Vec<FromRouter> {
        std::iter::from_fn(|| self.end.poll_message()).collect()
    }

    fn apply(&mut self, result: Result<(), String>) {
        let (operation, _) = self.applies.remove(0);
        self.end.applied(NOW, operation, result);
        self.look();
    }

    fn store(&mut self) {
        let (operation, _) = self.stores.remove(0);
        self.end.stored(NOW, operation, Ok(()));
        self.look();
    }

    fn begin(&mut self, edition: Edition, base: Option<&Snapshot>) {
        self.hear(FromController::Begin {
            edition,
            base: base.map(Snapshot::digest),
            gone: Vec::new(),
            confirm_within: WITHIN,
        });
    }

    fn pieces(&mut self, of: Edition, pieces: &[Arc<Piece>]) {
        let (of, pieces) = (of.digest, pieces.to_vec());
        self.hear(FromController::Pieces { of, pieces });
    }

    fn offer(&mut self, generation: u64) {
        let edition = edition(generation);
        self.begin(edition, None);
        self.pieces(edition, snapshot(generation).pieces());
        self.hear(FromController::End { of: edition.digest });
    }

    /// Until it waits to be confirmed.
    fn try_out(&mut self, generation: u64) {
        self.offer(generation);
        self.store();
        self.apply(Ok(()));
        assert_eq!(self.said(), [FromRouter::Applied(edition(generation))]);
    }

    /// Time passes, in which the controller is heard but confirms nothing.
    fn wait_until(&mut self, now: Timestamp) {
        let beat = FromController::Heartbeat;
        self.end.received(now, SESSION, beat);
        self.end.timeout(now);
        self.look();
        let beats = |it: &FromRouter| matches!(it, FromRouter::Heartbeat { .. });
        assert!(self.said().iter().all(beats));
    }

    fn is_untouched(&mut self) {
        assert!(self.applies.is_empty() && self.stores.is_empty());
        assert_eq!(self.end.memory().trying, None);
        assert_eq!(self.end.memory().confirmed, Some(configuration(10)));
    }

    fn reason(&mut self) -> String {
        match self.said().as_slice() {
            [FromRouter::Refused { refusal, .. }] => refusal.reason.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_the_confirmation_of_what_runs_counts() {
    let mut router = Router::new();
    router.try_out(11);
    for other in [10, 12] {
        router.hear(FromController::Confirm(edition(other)));
        assert_eq!(router.end.memory().confirmed, Some(configuration(10)));
    }
    router.hear(FromController::Confirm(edition(11)));
    assert_eq!(router.end.memory().confirmed, Some(configuration(11)));
    assert_eq!(router.said(), [], "it is not on the disk yet");
    router.store();
    assert_eq!(router.said(), [FromRouter::Kept(edition(11))]);
}

#[test]
fn a_confirmation_that_comes_too_late_does_not_count() {
    let mut router = Router::new();
    router.try_out(11);
    let late = NOW + WITHIN;
    let confirm = FromController::Confirm(edition(11));
    router.end.received(late, SESSION, confirm.clone());
    assert_eq!(router.end.memory().confirmed, Some(configuration(10)));
    router.end.timeout(late);
    router.look();
    assert_eq!(router.applies[0].1, Some(configuration(10)));
    router.end.received(late, SESSION, confirm);
    assert_eq!(router.end.memory().confirmed, Some(configuration(10)));
    let refused = router.end.memory().refused.clone().unwrap();
    assert_eq!((refused.edition, refused.attempts), (edition(11), 1));
}

#[test]
fn what_belongs_to_another_session_is_not_looked_at() {
    let mut router = Router::new();
    router.try_out(11);
    for session in [0, SESSION - 1, SESSION + 1] {
        let confirm = FromController::Confirm(edition(11));
        router.end.received(NOW, session, confirm);
        let away = FromController::GoAway {
            reason: String::new(),
            after: WITHIN,
        };
        router.end.received(NOW, session, away);
    }
    router.look();
    assert_eq!(router.end.memory().confirmed, Some(configuration(10)));
    assert!(router.closed.is_empty());
}

#[test]
fn nothing_older_than_what_was_seen_is_taken() {
    let mut router = Router::new();
    router.offer(9);
    assert!(router.reason().contains("older than generation 10"));
    router.is_untouched();
    // Also not than what was seen and given up.
    router.try_out(12);
    router.wait_until(NOW + WITHIN);
    router.apply(Ok(()));
    router.said();
    router.stores.clear();
    router.offer(11);
    assert!(router.reason().contains("older than generation 12"));
    router.is_untouched();
}

#[test]
fn a_later_epoch_is_later_whatever_its_generation() {
    let mut router = Router::new();
    let mut one = configuration(10);
    one.snapshot = snapshot(1);
    one.version = Version {
        epoch: 1,
        generation: 1,
    };
    router.begin(one.edition(), None);
    router.pieces(one.edition(), one.snapshot.pieces());
    router.hear(FromController::End {
        of: one.edition().digest,
    });
    router.store();
    assert_eq!(router.applies.remove(0).1, Some(one));
}

#[test]
fn what_arrives_in_part_does_nothing() {
    let mut router = Router::new();
    let eleven = snapshot(11);
    let all = eleven.pieces();
    // Without an end.
    router.begin(edition(11), None);
    router.pieces(edition(11), all);
    router.is_untouched();
    // The end of something else, pieces of something else.
    router.hear(FromController::End {
        of: edition(12).digest,
    });
    router.pieces(edition(12), snapshot(12).pieces());
    router.is_untouched();
    // Begun again, with a piece missing: the digest is another one, or there is none.
    for (pieces, expected) in [
        (&all[..1], "not what was announced"),
        (&all[1..], "is missing"),
    ] {
        router.begin(edition(11), None);
        router.pieces(edition(11), pieces);
        router.hear(FromController::End {
            of: edition(11).digest,
        });
        assert!(router.reason().contains(expected));
        router.is_untouched();
    }
    // Pieces twice.
    router.begin(edition(11), None);
    router.pieces(edition(11), all);
    router.pieces(edition(11), all);
    router.hear(FromController::End {
        of: edition(11).digest,
    });
    assert!(router.reason().contains("is there twice"));
    router.is_untouched();
    // Nothing was begun.
    router.hear(FromController::End {
        of: edition(11).digest,
    });
    router.pieces(edition(11), all);
    assert_eq!(router.said(), []);
    router.is_untouched();
}

#[test]
fn changes_to_what_it_does_not_have_are_asked_for_whole() {
    let mut router = Router::new();
    router.begin(edition(11), Some(&snapshot(5)));
    assert_eq!(router.said(), [FromRouter::Resync(edition(11))]);
    // What follows is not taken for changes to something else.
    router.pieces(edition(11), snapshot(11).pieces());
    router.hear(FromController::End {
        of: edition(11).digest,
    });
    assert_eq!(router.said(), []);
    router.is_untouched();
    // Changes that come to something else.
    router.begin(edition(11), Some(&snapshot(10)));
    router.pieces(edition(11), &snapshot(11).pieces()[..1]);
    router.hear(FromController::End {
        of: edition(11).digest,
    });
    assert_eq!(router.said(), [FromRouter::Resync(edition(11))]);
    router.is_untouched();
}

#[test]
fn a_configuration_without_end_is_not_collected() {
    let mut router = Router::new();
    router.begin(edition(11), None);
    let own = Arc::clone(&snapshot(11).pieces()[0]);
    let many = vec![own; 1_000];
    let mut said = Vec::new();
    for _ in 0..=MOST_PIECES / many.len() {
        router.pieces(edition(11), &many);
        said.extend(router.said());
    }
    match said.as_slice() {
        [FromRouter::Refused { refusal, .. }] => assert!(refusal.reason.contains("more than")),
        other => panic!("{other:?}"),
    }
    let large = Piece::new(PieceId::Own, "x".repeat(100_000)).map(Arc::new);
    let large = vec![large.unwrap(); 100];
    router.begin(edition(11), None);
    (0..4).for_each(|_| router.pieces(edition(11), &large));
    assert!(router.reason().contains("more than"));
    router.is_untouched();
}

#[test]
fn a_controller_that_does_not_say_welcome_is_left() {
    let mut router = Router::new();
    router.end.connected(NOW, SESSION + 1);
    let confirm = FromController::Heartbeat;
    router.end.received(NOW, SESSION + 1, confirm);
    router.look();
    assert_eq!(
        router.closed,
        ["the controller did not say who it is first"]
    );
    assert_eq!(router.said(), [], "nothing is said to nobody");
}

#[test]
fn what_was_not_sent_before_the_connection_ended_is_not_sent_after_it() {
    for is_noticed in [true, false] {
        let mut router = Router::new();
        router.end.renew(vec![1]);
        if is_noticed {
            router.end.disconnected();
            router.end.renew(vec![2]);
        }
        router.end.connected(NOW, SESSION + 1);
        assert!(matches!(router.said().as_slice(), [FromRouter::Hello(_)]));
    }
}

#[test]
fn results_of_what_was_superseded_do_not_count() {
    let mut router = Router::new();
    router.try_out(11);
    // It is given up; that is neither written down nor applied yet, and something new arrives.
    router.wait_until(NOW + WITHIN);
    router.apply(Ok(()));
    router.offer(12);
    assert_eq!(router.stores.len(), 2);
    router.store();
    assert!(router.applies.is_empty(), "12 is not written down yet");
    router.store();
    assert_eq!(router.applies[0].1, Some(configuration(12)));
    assert_eq!(router.said().len(), 1, "11 was given up");
    // It is overdue before it was applied: what was confirmed is applied after it.
    router.wait_until(NOW + WITHIN * 2);
    router.apply(Ok(()));
    assert_eq!(router.said(), [], "12 is not acknowledged any more");
    assert_eq!(router.applies[0].1, Some(configuration(10)));
    router.apply(Ok(()));
    assert!(
        router
            .reason()
            .contains("no controller confirmed it within 30 s")
    );
}

#[test]
fn what_cannot_be_written_down_is_not_tried() {
    let mut router = Router::new();
    router.offer(11);
    let (operation, _) = router.stores.remove(0);
    router
        .end
        .stored(NOW, operation, Err("the disk is full".to_owned()));
    router.look();
    assert!(router.applies.is_empty());
    assert_eq!(
        router.reason(),
        "the router cannot write to its disk: the disk is full"
    );
    // What is on the disk is put right as soon as that is possible.
    let at = router.end.poll_timeout().unwrap();
    router.end.timeout(at);
    router.look();
    assert_eq!(router.stores[0].1.trying, None);
}

#[test]
fn a_router_that_was_killed_while_it_tried_something_returns_and_says_so() {
    let mut router = Router::new();
    router.try_out(11);
    let memory = router.end.memory().clone();
    assert!(memory.trying.is_some());
    router.end = RouterEnd::new(memory, Facts::new());
    router.look();
    assert_eq!(router.applies.last().unwrap().1, Some(configuration(10)));
    router.end.connected(NOW, SESSION);
    match router.said().as_slice() {
        [FromRouter::Hello(hello)] => {
            let refused = hello.refused.as_ref().unwrap();
            assert_eq!((refused.edition, refused.attempts), (edition(11), 1));
            assert_eq!(hello.confirmed, Some(edition(10)));
            assert_eq!(hello.running, None, "that is still being applied");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_not_begun_is_not_begun_in_another_session() {
    let mut router = Router::new();
    router.offer(11);
    router.offer(12);
    router.end.connected(NOW, SESSION + 1);
    match router.said().as_slice() {
        [FromRouter::Hello(hello)] => assert_eq!(hello.seen, Some(edition(11).version)),
        other => panic!("{other:?}"),
    }
    router.store();
    router.apply(Ok(()));
    // The controller of this session may not know of it.
    assert_eq!(router.said(), [FromRouter::Applied(edition(11))]);
    assert_eq!(router.end.memory().seen, Some(edition(11).version));
    assert!(router.stores.is_empty());
}
