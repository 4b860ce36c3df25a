//! Both ends of a session against each other, while everything that can fail does.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod world;

use proptest::prelude::*;
use proptest::sample::Index;
use world::{Step, World};

fn step() -> impl Strategy<Value = Step> {
    let commit = (
        any::<u8>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
    );
    let commit = commit.prop_map(|(content, cuts, held)| Step::Commit {
        content: content % 24,
        cuts,
        held,
    });
    let often = prop::bool::weighted(0.85);
    prop_oneof![
        4 => commit,
        1 => Just(Step::Confirm),
        1 => Just(Step::OtherMoved),
        10 => (1..6_u8).prop_map(Step::Up),
        10 => (1..6_u8).prop_map(Step::Down),
        1 => Just(Step::Disconnect),
        5 => Just(Step::Connect),
        4 => (0..4_u8).prop_map(Step::Wait),
        2 => (0..60_u8).prop_map(Step::Wait),
        8 => often.prop_map(Step::Stored),
        8 => prop::bool::weighted(0.85).prop_map(Step::Applied),
        1 => any::<(bool, bool)>().prop_map(|(stored, applied)| Step::KillRouter { stored, applied }),
        1 => Just(Step::KillController),
        1 => Just(Step::Backup),
        1 => Just(Step::Restore),
        1 => Just(Step::GoOn),
        2 => any::<Index>().prop_map(Step::Replay),
        1 => Just(Step::Retry),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// What is asserted is in `World`.
    #[test]
    fn no_chain_of_accidents_leaves_a_router_between_two_generations(
        is_settled in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = if is_settled { settled() } else { World::new() };
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}

const fn commit(content: u8) -> Step {
    Step::Commit {
        content,
        cuts: false,
        held: false,
    }
}

fn settled() -> World {
    let mut world = World::new();
    world.step(&commit(1));
    world.step(&Step::Connect);
    world.work(20);
    assert_eq!(
        (world.running(), world.stands().as_str()),
        (Some(1), "Confirmed")
    );
    world
}

#[test]
fn a_router_that_is_cut_off_by_a_commit_returns_by_itself() {
    let mut world = settled();
    world.step(&Step::Commit {
        content: 2,
        cuts: true,
        held: false,
    });
    world.work(3);
    assert_eq!(world.running(), Some(2));
    world.work(30);
    assert_eq!(world.running(), Some(1));
    world.step(&Step::Connect);
    world.work(3);
    assert!(
        world
            .stands()
            .contains("no controller confirmed it within 30 s"),
        "{}",
        world.stands()
    );
}

#[test]
fn what_a_person_has_to_confirm_is_kept_only_then() {
    for confirms in [true, false] {
        let mut world = settled();
        world.step(&Step::Commit {
            content: 2,
            cuts: false,
            held: true,
        });
        world.work(20);
        assert_eq!(
            (world.running(), world.stands().as_str()),
            (Some(2), "Applied")
        );
        if confirms {
            world.step(&Step::Confirm);
        }
        world.work(40);
        assert_eq!(world.running(), Some(if confirms { 2 } else { 1 }));
    }
}

#[test]
fn an_old_copy_of_a_controller_tells_nobody_anything() {
    let mut world = settled();
    world.step(&Step::Backup);
    for content in 2..5 {
        world.step(&commit(content));
        world.work(10);
    }
    world.step(&Step::Restore);
    world.step(&commit(9));
    world.step(&Step::Connect);
    world.work(60);
    assert_eq!(world.running(), Some(4));
    assert!(world.stands().starts_with("Behind"), "{}", world.stands());
    world.step(&Step::GoOn);
    world.work(10);
    assert_eq!(
        (world.running(), world.stands().as_str()),
        (Some(2), "Confirmed")
    );
}

#[test]
fn a_router_that_cannot_apply_something_says_so_and_is_not_asked_without_end() {
    let mut world = settled();
    world.step(&commit(2));
    for _ in 0..100 {
        world.step(&Step::Down(9));
        world.step(&Step::Stored(true));
        world.step(&Step::Applied(world.running() == Some(2)));
        world.step(&Step::Applied(true));
        world.step(&Step::Up(9));
        world.step(&Step::Wait(10));
    }
    let stands = world.stands();
    assert!(
        stands.contains("the kernel refuses") && stands.contains("again: None"),
        "{stands}"
    );
    assert!(stands.contains("attempts: 3"), "{stands}");
    world.step(&Step::Retry);
    world.work(20);
    assert_eq!(
        (world.running(), world.stands().as_str()),
        (Some(2), "Confirmed")
    );
}
