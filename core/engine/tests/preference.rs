//! How a class ranks paths by the names of uplinks.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use patronus_engine::Input;
use patronus_model::event::{Reason, Verdict};
use patronus_model::path::{Liveness, Measurement};
use patronus_model::policy::Strategy;
use support::*;

/// The path of a class with this preference, when the far end calls its uplinks so.
fn chosen(preference: &[&str], theirs: [&str; 2]) -> (u8, u8) {
    let mut config = config(2, vec![remote(2, 2, None)]);
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    for class in &mut config.classes {
        class.strategy = Strategy::Preference(names(preference));
    }
    for (uplink, name) in config.remotes[0].uplinks.iter_mut().zip(theirs) {
        uplink.name = name.parse().unwrap();
    }
    let mut router = Router::new(config, environment(2));
    router.all_up();
    router.seconds(60);
    let view = router.engine.view(router.now, router.now).unwrap();
    let path = view.sites[0].choices[0].path.as_ref().unwrap();
    (path.local.get(), path.remote.get())
}

#[test]
fn what_the_far_end_calls_its_uplinks_counts_only_where_it_is_our_name_too() {
    // Ours are fibre and lte.
    assert_eq!(chosen(&["fibre", "lte"], ["fibre", "lte"]), (1, 1));
    assert_eq!(chosen(&["fibre", "lte"], ["lte", "fibre"]), (1, 2));
    assert_eq!(chosen(&["lte", "fibre"], ["fibre", "lte"]), (2, 2));
    // Otherwise the first slot is as good as any, and better than one that is last here.
    assert_eq!(chosen(&["fibre", "lte"], ["transit", "lte"]), (1, 1));
    assert_eq!(chosen(&["fibre", "lte"], ["transit", "mpls"]), (1, 1));
    assert_eq!(chosen(&["lte"], ["transit", "lte"]), (2, 1));
}

#[test]
fn a_path_that_is_up_for_the_first_time_is_not_said_to_have_held() {
    let mut router = Router::new(config(2, vec![remote(2, 2, None)]), environment(2));
    router.bfd(path(2, 2, 1), Liveness::Up);
    router.seconds(11);
    router.bfd(path(2, 1, 2), Liveness::Up);
    assert_eq!(router.way(2, VOICE), "pat-1-2");
    // The next one arrives while the move to that one cools down, and has not held when it may be
    // moved to: it need not.
    router.seconds(2);
    router.bfd(path(2, 1, 1), Liveness::Up);
    router.seconds(9);
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    let last = router.decisions().next_back().unwrap();
    assert_eq!(last.reason, Reason::Arrived);
}

#[test]
fn while_paths_come_up_traffic_takes_the_first_and_then_the_best() {
    let ways = |order: [(u8, u8); 4], missing: usize| {
        let mut router = Router::new(config(2, vec![remote(2, 2, None)]), environment(2));
        router.seconds(1);
        router.events.clear();
        for (local, remote) in order.into_iter().skip(missing) {
            router.bfd(path(2, local, remote), Liveness::Up);
            router.seconds(1);
        }
        router.seconds(10);
        let voice = |it: &&patronus_model::event::Decision| it.class == class(VOICE);
        let ways = router.decisions().filter(voice).map(|it| it.to);
        ways.map(|it| (it.local.get(), it.remote.get()))
            .collect::<Vec<_>>()
    };
    // The worst comes first: two steps rather than four.
    let worst_first = [(2, 2), (2, 1), (1, 2), (1, 1)];
    assert_eq!(ways(worst_first, 0), [(2, 2), (1, 1)]);
    // The best never comes: the second best is taken when the grace is over.
    let without_best = [(1, 1), (2, 2), (1, 2), (2, 1)];
    assert_eq!(ways(without_best, 1), [(2, 2), (1, 2)]);
}

#[test]
fn a_path_that_waits_for_a_better_one_is_not_said_to_be_on_trial() {
    let mut router = Router::new(config(2, vec![remote(2, 2, None)]), environment(2));
    router.seconds(1);
    for (local, remote) in [(2, 2), (1, 2)] {
        router.bfd(path(2, local, remote), Liveness::Up);
        router.seconds(1);
    }
    let view = router.engine.view(router.now, router.now).unwrap();
    let candidates = &view.sites[0].choices[0].candidates;
    let waits = candidates.iter().find(|it| it.path == path(2, 1, 2));
    let verdict = waits.unwrap().verdict;
    assert!(matches!(verdict, Verdict::Outdone { .. }), "{verdict:?}");
}

#[test]
fn a_path_that_was_degraded_must_hold_before_traffic_returns_to_it() {
    let mut router = two_uplinks();
    let measured = |router: &mut Router, loss_permille| {
        for remote in [1, 2] {
            let measurement = Measurement {
                rtt: None,
                loss_permille: Some(loss_permille),
            };
            router.input(Input::Measured(path(2, 1, remote), measurement));
        }
    };
    measured(&mut router, 200);
    router.seconds(20);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    measured(&mut router, 0);
    // The hold is 30 s.
    router.seconds(29);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    router.seconds(2);
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    let last = router.decisions().next_back().unwrap();
    assert!(matches!(last.reason, Reason::Preferred { .. }), "{last:?}");
}
