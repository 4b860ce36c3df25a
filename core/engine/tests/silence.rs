//! What happens when every path to a site goes, and when its far end comes back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::time::Duration;

use patronus_engine::Input;
use patronus_model::path::{Liveness, PathState};
use support::*;

#[test]
fn when_every_path_goes_the_last_one_stays() {
    let mut router = two_uplinks();
    router.bfd_of(2, ALL_FOUR, Liveness::Silent, Duration::from_secs(2));
    assert_eq!(router.way(2, VOICE), "pat-2-2");
    let moves = router.moves;
    router.seconds(600);
    assert_eq!((router.way(2, VOICE), router.moves), ("pat-2-2", moves));
}

/// A router of two uplinks whose paths have all fallen silent within 60 ms, in this order.
fn fallen_silent(order: [(u8, u8); 4]) -> Router {
    let mut router = two_uplinks();
    router.bfd_of(2, order, Liveness::Silent, Duration::from_millis(20));
    router
}

#[test]
fn when_every_path_goes_at_once_traffic_is_where_it_was() {
    for order in [
        ALL_FOUR,
        [(2, 2), (2, 1), (1, 2), (1, 1)],
        [(1, 2), (1, 1), (2, 2), (2, 1)],
    ] {
        let mut router = fallen_silent(order);
        for class in [VOICE, BULK] {
            let preferred = if class == VOICE { "pat-1-1" } else { "pat-2-2" };
            assert_eq!(router.way(2, class), preferred, "{order:?}");
        }
        // The daemon there comes back; its paths do so one after the other.
        router.seconds(5);
        let moves = router.moves;
        router.bfd_of(
            2,
            [(2, 2), (1, 2), (2, 1), (1, 1)],
            Liveness::Up,
            Duration::from_millis(400),
        );
        router.seconds(600);
        assert_eq!(router.moves, moves, "{order:?}");
    }
}

#[test]
fn when_only_another_path_comes_back_traffic_takes_it() {
    let mut router = fallen_silent(ALL_FOUR);
    router.seconds(5);
    router.bfd(path(2, 2, 1), Liveness::Up);
    router.wait(Duration::from_millis(1900));
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    router.wait(Duration::from_millis(400));
    assert_eq!(router.way(2, VOICE), "pat-2-1");
}

#[test]
fn a_path_that_came_back_with_its_far_end_is_left_at_once_when_it_dies() {
    let mut router = fallen_silent(ALL_FOUR);
    router.bfd_of(2, ALL_FOUR, Liveness::Up, Duration::ZERO);
    router.seconds(60);
    router.bfd(path(2, 1, 1), Liveness::Silent);
    assert_eq!(router.way(2, VOICE), "pat-1-2");
}

#[test]
fn traffic_does_not_go_back_to_an_uplink_that_is_gone() {
    let mut router = two_uplinks();
    let mut around = environment(2);
    around.uplinks.get_mut(&slot(1)).unwrap().carrier = false;
    router.input(Input::Environment(around));
    for remote in [1, 2] {
        router.bfd(path(2, 2, remote), Liveness::Silent);
    }
    router.seconds(1);
    assert!(router.way(2, VOICE).starts_with("pat-2-"));
}

/// Everything as after a planned stop of the far end, two seconds ago.
fn stopped() -> Router {
    let mut router = two_uplinks();
    router.bfd_of(2, ALL_FOUR, Liveness::AdminDown, Duration::ZERO);
    router.seconds(2);
    router
}

#[test]
fn a_planned_restart_of_the_far_end_moves_nothing() {
    for order in [ALL_FOUR, [(2, 2), (2, 1), (1, 2), (1, 1)]] {
        let mut router = stopped();
        router.bfd_of(2, order, Liveness::NotHeard, Duration::from_millis(30));
        router.bfd_of(2, order, Liveness::Up, Duration::from_millis(300));
        router.seconds(600);
        assert_eq!((router.way(2, VOICE), router.moves), ("pat-1-1", 0));
    }
}

#[test]
fn a_path_that_died_while_the_far_end_was_stopped_is_left_soon_after_its_return() {
    let mut router = stopped();
    for remote in [1, 2] {
        router.bfd(path(2, 2, remote), Liveness::NotHeard);
        router.bfd(path(2, 2, remote), Liveness::Up);
    }
    router.wait(Duration::from_millis(4800));
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    router.wait(Duration::from_millis(400));
    assert!(router.way(2, VOICE).starts_with("pat-2-"));
}

#[test]
fn a_far_end_that_is_stopped_again_before_it_is_up_is_believed_again() {
    let mut router = stopped();
    router.bfd_of(2, ALL_FOUR, Liveness::NotHeard, Duration::ZERO);
    router.seconds(1);
    router.bfd_of(2, ALL_FOUR, Liveness::AdminDown, Duration::ZERO);
    router.seconds(30);
    let view = router.engine.view(router.now, router.now).unwrap();
    assert!(
        view.paths
            .iter()
            .all(|path| path.state == PathState::Unknown)
    );
    assert_eq!((router.way(2, VOICE), router.moves), ("pat-1-1", 0));
}

#[test]
fn a_far_end_that_dies_again_and_again_is_no_flapping_of_its_paths() {
    let mut router = two_uplinks();
    let paths = ALL_FOUR;
    for _ in 0..6 {
        for liveness in [Liveness::Silent, Liveness::Up] {
            router.bfd_of(2, paths, liveness, Duration::ZERO);
            router.seconds(3);
        }
    }
    let view = router.engine.view(router.now, router.now).unwrap();
    assert!(view.paths.iter().all(|path| path.suppressed.is_none()));
    assert_eq!(router.way(2, VOICE), "pat-1-1");
}

#[test]
fn traffic_is_not_moved_onto_a_path_that_flaps_unless_it_must() {
    let mut router = two_uplinks();
    // Voice is on the LTE, as both paths of the fibre flap; then all of the LTE begins to as well.
    for _ in 0..5 {
        for liveness in [Liveness::Silent, Liveness::Up] {
            for path in [path(2, 1, 1), path(2, 1, 2)] {
                router.bfd(path, liveness);
            }
        }
    }
    router.seconds(1);
    assert!(router.way(2, VOICE).starts_with("pat-2-"));
    for _ in 0..5 {
        for liveness in [Liveness::Silent, Liveness::Up] {
            router.bfd(path(2, 2, 2), liveness);
        }
    }
    let moves = router.moves;
    router.seconds(40);
    assert_eq!(router.moves, moves, "{}", router.way(2, VOICE));
}
