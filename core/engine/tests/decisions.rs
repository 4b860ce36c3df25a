//! Where traffic goes, when it moves, and when it does not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::time::Duration;

use patronus_engine::Input;
use patronus_model::event::{Event, Reason, Verdict};
use patronus_model::kernel::LearnedDelta;
use patronus_model::layout::NexthopId;
use patronus_model::path::{Liveness, Measurement, PathCause};
use patronus_model::policy::Strategy;
use support::*;

#[test]
fn each_class_uses_the_uplink_that_it_prefers() {
    let router = two_uplinks();
    assert_eq!(
        (router.way(2, VOICE), router.way(2, BULK)),
        ("pat-1-1", "pat-2-2")
    );
}

#[test]
fn traffic_leaves_a_dead_path_in_the_same_instant_by_the_fast_lane() {
    let mut router = two_uplinks();
    let plans = router.plans;
    router.bfd(path(2, 1, 1), Liveness::Silent);
    assert_eq!(router.way(2, VOICE), "pat-1-2");
    assert_eq!((router.moves, router.plans), (1, plans));
    let decision = router.decisions().last().unwrap();
    assert_eq!(decision.reason, Reason::PathDown(PathCause::Silent));
    assert_eq!(decision.from, Some(path(2, 1, 1)));
    let verdict = |n: usize| decision.candidates[n].verdict;
    assert_eq!(verdict(0), Verdict::Chosen);
    assert!(
        decision.candidates[1..3]
            .iter()
            .all(|c| c.verdict == Verdict::RankedLower)
    );
    assert_eq!(verdict(3), Verdict::NotViable);
}

#[test]
fn traffic_returns_only_after_the_hold() {
    let mut router = two_uplinks();
    for remote in [1, 2] {
        router.bfd(path(2, 1, remote), Liveness::Silent);
    }
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    router.bfd(path(2, 1, 1), Liveness::Up);
    router.seconds(29);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    router.seconds(2);
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    assert!(matches!(
        router.decisions().last().unwrap().reason,
        Reason::Preferred { .. }
    ));
}

#[test]
fn a_planned_stop_of_the_far_end_moves_nothing() {
    let mut router = two_uplinks();
    router.bfd_of(2, ALL_FOUR, Liveness::AdminDown, Duration::from_secs(1));
    router.seconds(600);
    assert_eq!((router.way(2, VOICE), router.moves), ("pat-1-1", 0));
}

#[test]
fn a_far_end_that_said_good_bye_on_one_path_only_is_left_when_it_stays_away() {
    let mut router = two_uplinks();
    router.bfd(path(2, 1, 1), Liveness::AdminDown);
    router.seconds(59);
    assert_eq!((router.way(2, VOICE), router.moves), ("pat-1-1", 0));
    router.seconds(2);
    assert_eq!(router.way(2, VOICE), "pat-1-2");
    assert_eq!(
        router.decisions().last().unwrap().reason,
        Reason::PathDown(PathCause::StayedAway)
    );
}

#[test]
fn a_far_kernel_without_its_daemon_is_still_reached_when_our_uplink_goes() {
    let mut router = two_uplinks();
    router.bfd_of(2, ALL_FOUR, Liveness::AdminDown, Duration::ZERO);
    router.seconds(600);
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    let mut environment = environment(2);
    environment.uplinks.get_mut(&slot(1)).unwrap().carrier = false;
    router.input(Input::Environment(environment));
    assert_eq!(router.way(2, VOICE), "pat-2-1");
}

#[test]
fn a_nexthop_that_could_not_be_moved_is_put_right_at_once_even_while_a_plan_waits() {
    let mut router = two_uplinks();
    router.failing = usize::MAX;
    router.kernel.sysctls.clear();
    router.input(Input::Touched);
    router.seconds(60);
    router.failing = 0;
    // It has gone behind our back, so the fast lane finds nothing to move.
    let voice = NexthopId::new(site(2), class(VOICE));
    router.kernel.nexthops.remove(&voice);
    router.bfd(path(2, 1, 1), Liveness::Silent);
    assert_eq!(router.way(2, VOICE), "pat-1-2");
}

#[test]
fn a_kernel_that_refuses_for_long_is_put_right_when_it_stops_refusing() {
    let mut router = two_uplinks();
    router.failing = usize::MAX;
    let wanted = std::mem::take(&mut router.kernel.sysctls);
    router.input(Input::Touched);
    router.seconds(120);
    let refused =
        |event: &Event| matches!(event, Event::ApplyFailed { reason, .. } if reason.contains("no"));
    let attempts = router.events.iter().filter(|event| refused(event)).count();
    assert!((7..30).contains(&attempts), "{attempts} with back-off");
    router.failing = 0;
    router.events.clear();
    router.seconds(60);
    assert_eq!(router.kernel.sysctls, wanted);
    let drift = |event: &Event| matches!(event, Event::Drift { .. });
    assert!(
        !router.events.iter().any(drift),
        "to try again is no news: {:?}",
        router.events
    );
}

#[test]
fn news_is_acted_on_at_once_although_the_kernel_refuses_something_else() {
    let mut router = two_uplinks();
    router.failing = 1000;
    router.kernel.sysctls.clear();
    router.input(Input::Touched);
    router.seconds(120);
    router.failing = 0;
    let prefix = "10.7.0.0/24".parse().unwrap();
    router.input(Input::Learned(LearnedDelta {
        set: [(prefix, [10, 255, 0, 2].into())].into(),
        ..LearnedDelta::default()
    }));
    assert!(router.kernel.routes.keys().any(|key| key.prefix == prefix));
}

/// How long the first path is not trusted yet.
fn suppressed(router: &Router) -> Option<Duration> {
    let view = router.engine.view(router.now, router.now).unwrap();
    view.paths[0].suppressed
}

#[test]
fn a_path_that_flaps_is_left_because_it_flaps() {
    let mut router = two_uplinks();
    // The only path that lives is the one that flaps.
    for path in [path(2, 1, 2), path(2, 2, 1), path(2, 2, 2)] {
        router.bfd(path, Liveness::Silent);
    }
    for _ in 0..5 {
        router.bfd(path(2, 1, 1), Liveness::Silent);
        router.bfd(path(2, 1, 1), Liveness::Up);
    }
    let left = suppressed(&router).unwrap();
    router.bfd(path(2, 2, 1), Liveness::Up);
    router.seconds(32);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    let reason = router.decisions().last().unwrap().reason;
    assert!(matches!(reason, Reason::Calmer { .. }), "{reason:?}");
    // It is said how long it takes, and takes so long.
    let rest = left.checked_sub(Duration::from_secs(32)).unwrap();
    assert_eq!(suppressed(&router), Some(rest));
    router.wait(rest - Duration::from_secs(1));
    assert!(suppressed(&router).is_some());
    router.seconds(2);
    assert_eq!(suppressed(&router), None);
}

#[test]
fn a_path_that_comes_up_late_for_the_first_time_is_used_at_once() {
    let mut router = Router::new(config(2, vec![remote(2, 2, None)]), environment(2));
    router.bfd(path(2, 2, 1), Liveness::Up);
    // The grace is 5 s; the handshake that WireGuard tries again after 5 s took two attempts.
    router.seconds(11);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    router.bfd(path(2, 1, 1), Liveness::Up);
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    // From then on it must prove itself like any other.
    router.bfd(path(2, 1, 1), Liveness::Silent);
    router.bfd(path(2, 1, 1), Liveness::Up);
    router.seconds(20);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
}

#[test]
fn after_a_restart_a_path_that_was_left_before_must_hold() {
    let mut before = two_uplinks();
    for remote in [1, 2] {
        before.bfd(path(2, 1, remote), Liveness::Silent);
    }
    assert_eq!(before.way(2, VOICE), "pat-2-1");
    let config = config(2, vec![remote(2, 2, None)]);
    let mut after = Router::on(before.kernel.clone(), config, environment(2));
    after.all_up();
    after.seconds(29);
    assert_eq!(after.way(2, VOICE), "pat-2-1");
    after.seconds(2);
    assert_eq!(after.way(2, VOICE), "pat-1-1");
}

#[test]
fn an_uplink_that_flaps_ten_times_a_minute_does_not_move_traffic_back_and_forth() {
    let mut router = two_uplinks();
    for _ in 0..30 {
        for remote in [1, 2] {
            router.bfd(path(2, 1, remote), Liveness::Silent);
        }
        router.seconds(3);
        for remote in [1, 2] {
            router.bfd(path(2, 1, remote), Liveness::Up);
        }
        router.seconds(3);
    }
    // The first flap moves voice once over to the other remote uplink and then to lte, and there
    // it stays.
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    assert!(router.moves <= 2, "{}", router.moves);
    // Even after the hold, until the penalty has decayed.
    router.seconds(60);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    router.seconds(300);
    assert_eq!(router.way(2, VOICE), "pat-1-1");
}

#[test]
fn a_degraded_path_is_left_after_the_threshold_and_not_before() {
    let mut router = two_uplinks();
    let bad = Measurement {
        rtt: None,
        loss_permille: Some(200),
    };
    for remote in [1, 2] {
        router.input(Input::Measured(path(2, 1, remote), bad));
    }
    router.wait(Duration::from_millis(2900));
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    router.wait(Duration::from_millis(600));
    assert_eq!(router.way(2, VOICE), "pat-2-1");
}

#[test]
fn when_all_are_degraded_traffic_stays() {
    let mut router = two_uplinks();
    let bad = Measurement {
        rtt: None,
        loss_permille: Some(200),
    };
    for (local, remote) in ALL_FOUR {
        router.input(Input::Measured(path(2, local, remote), bad));
    }
    router.seconds(600);
    assert_eq!((router.way(2, VOICE), router.moves), ("pat-1-1", 0));
}

fn least_latency() -> Router {
    let mut config = config(2, vec![remote(2, 1, None)]);
    config.classes[0].strategy = Strategy::LeastLatency;
    let mut router = Router::new(config, environment(2));
    router.all_up();
    rtt(&mut router, 1, 20);
    rtt(&mut router, 2, 40);
    router.seconds(60);
    router.moves = 0;
    router
}

fn rtt(router: &mut Router, local: u8, millis: u64) {
    let rtt = Some(Duration::from_millis(millis));
    router.input(Input::Measured(
        path(2, local, 1),
        Measurement {
            rtt,
            loss_permille: None,
        },
    ));
}

#[test]
fn least_latency_moves_to_what_is_clearly_faster() {
    let mut router = least_latency();
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    rtt(&mut router, 1, 60);
    router.seconds(1);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
}

#[test]
fn two_paths_of_about_the_same_latency_do_not_swap() {
    let mut router = least_latency();
    for n in 0..200 {
        rtt(&mut router, 1, 40 + n % 3);
        rtt(&mut router, 2, 41 - n % 3);
        router.seconds(1);
    }
    assert_eq!(router.moves, 0);
}

#[test]
fn a_changed_preference_takes_effect_at_once() {
    let mut router = two_uplinks();
    let mut config = config(2, vec![remote(2, 2, None)]);
    config.classes[0].strategy = config.classes[1].strategy.clone();
    router.input(Input::Config(std::sync::Arc::new(config)));
    router.seconds(1);
    assert_eq!(router.way(2, VOICE), "pat-2-2");
    assert_eq!(
        router.decisions().last().unwrap().reason,
        Reason::Reconfigured
    );
}

#[test]
fn a_restarted_daemon_adopts_what_is_there_and_moves_nothing() {
    let mut before = two_uplinks();
    before.bfd(path(2, 1, 1), Liveness::Silent);
    before.bfd(path(2, 1, 2), Liveness::Silent);
    assert_eq!(before.way(2, VOICE), "pat-2-1");

    let config = || config(2, vec![remote(2, 2, None)]);
    let mut after = Router::on(before.kernel.clone(), config(), environment(2));
    assert_eq!(after.changes, [], "nothing to do");
    after.seconds(2);
    after.all_up();
    after.seconds(5);
    assert_eq!(
        (after.way(2, VOICE), after.moves, after.plans),
        ("pat-2-1", 0, 0)
    );
    // And it still fails over.
    after.bfd(path(2, 2, 1), Liveness::Silent);
    assert_ne!(after.way(2, VOICE), "pat-2-1");
}

#[test]
fn an_adopted_path_that_does_not_come_up_is_left_after_the_grace() {
    let before = two_uplinks();
    let config = config(2, vec![remote(2, 2, None)]);
    let mut after = Router::on(before.kernel.clone(), config, environment(2));
    after.seconds(1);
    after.bfd(path(2, 2, 2), Liveness::Up);
    after.seconds(3);
    assert_eq!(after.way(2, VOICE), "pat-1-1");
    after.seconds(2);
    assert_eq!(after.way(2, VOICE), "pat-2-2");
}

#[test]
fn a_changed_strategy_that_changes_nothing_does_not_waive_later_holds() {
    let mut router = least_latency();
    let mut config = config(2, vec![remote(2, 1, None)]);
    config.classes[0].strategy = Strategy::Preference(vec!["fibre".parse().unwrap()]);
    router.input(Input::Config(std::sync::Arc::new(config)));
    router.seconds(1);
    assert_eq!(router.moves, 0, "it is on the fibre already");
    router.bfd(path(2, 1, 1), Liveness::Silent);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    router.bfd(path(2, 1, 1), Liveness::Up);
    router.seconds(20);
    assert_eq!(router.way(2, VOICE), "pat-2-1", "the hold of 30 s is kept");
}

#[test]
fn a_forced_move_does_not_delay_leaving_a_degraded_path() {
    let mut router = two_uplinks();
    router.bfd(path(2, 1, 1), Liveness::Silent);
    assert_eq!(router.way(2, VOICE), "pat-1-2");
    let bad = Measurement {
        rtt: None,
        loss_permille: Some(200),
    };
    router.input(Input::Measured(path(2, 1, 2), bad));
    router.wait(Duration::from_millis(3400));
    assert_eq!(
        router.way(2, VOICE),
        "pat-2-1",
        "after the threshold of 3 s, without a cooldown"
    );
}

#[test]
fn a_look_at_the_kernel_that_is_older_than_a_move_does_not_undo_it() {
    let mut router = two_uplinks();
    let old = Box::new(router.kernel.clone());
    router.engine.handle(router.now, Input::Touched);
    assert_eq!(
        router.engine.poll_effect(),
        Some(patronus_engine::Effect::Observe)
    );
    router.bfd(path(2, 1, 1), Liveness::Silent);
    router.bfd(path(2, 1, 2), Liveness::Silent);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    router.changes.clear();
    router.input(Input::Observed(old));
    assert_eq!((router.way(2, VOICE), router.changes.len()), ("pat-2-1", 0));
}

#[test]
fn a_move_does_not_wait_for_what_else_there_is_to_do() {
    let mut router = two_uplinks();
    let mut environment = environment(2);
    environment.uplinks.get_mut(&slot(1)).unwrap().carrier = false;
    router
        .engine
        .handle(router.now, Input::Environment(environment));
    let first = router.engine.poll_effect();
    assert!(
        matches!(first, Some(patronus_engine::Effect::Move(_))),
        "{first:?}"
    );
}

#[test]
fn what_was_learned_once_stays_guarded_over_reloads_and_restarts() {
    let prefix: ipnet::IpNet = "172.30.0.0/16".parse().unwrap();
    let config = || {
        let mut config = config(2, vec![remote(2, 2, None)]);
        config.overlay.prefixes.clear();
        config
    };
    let guarded = |router: &Router| router.kernel.routes.keys().any(|key| key.prefix == prefix);
    let mut router = Router::new(config(), environment(2));
    let set = [(prefix, std::net::IpAddr::from([10, 255, 0, 2]))].into();
    router.input(Input::Learned(patronus_model::kernel::LearnedDelta {
        set,
        ..Default::default()
    }));
    let removed = [prefix].into();
    let gone = patronus_model::kernel::LearnedDelta {
        removed,
        ..Default::default()
    };
    router.input(Input::Learned(gone));
    router.seconds(1);
    assert!(guarded(&router), "withdrawn");
    router.input(Input::Config(std::sync::Arc::new(config())));
    assert!(guarded(&router), "reloaded");
    let restarted = Router::on(router.kernel.clone(), config(), environment(2));
    assert!(guarded(&restarted), "restarted");
}

#[test]
fn routes_that_were_there_when_the_daemon_started_stay() {
    let prefix: ipnet::IpNet = "172.30.0.0/16".parse().unwrap();
    let set = [(prefix, std::net::IpAddr::from([10, 255, 0, 2]))].into();
    let told = LearnedDelta {
        full: true,
        set,
        ..LearnedDelta::default()
    };
    let mut before = Router::new(config(2, vec![remote(2, 2, None)]), environment(2));
    before.input(Input::Learned(told.clone()));
    before.seconds(1);

    // A daemon hears of routes before it is told its configuration.
    let mut after = Router::unconfigured(before.kernel.clone(), environment(2));
    after.input(Input::Learned(told));
    let ours = config(2, vec![remote(2, 2, None)]);
    after.input(Input::Config(std::sync::Arc::new(ours)));
    let announced = |router: &Router| -> Vec<bool> {
        let told = |event: &Event| match event {
            Event::Prefixes { announced, .. } => Some(*announced),
            _ => None,
        };
        router.events.iter().filter_map(told).collect()
    };
    assert_eq!(
        announced(&after),
        [true],
        "told when it is known whose it is"
    );
    after.all_up();
    after.seconds(300);
    let carried = |key: &&patronus_model::kernel::RouteKey| key.prefix == prefix;
    let routes = |router: &Router| router.kernel.routes.keys().filter(carried).count();
    assert_eq!(routes(&after), routes(&before));
    let mut gone = LearnedDelta::default();
    gone.removed.insert(prefix);
    after.input(Input::Learned(gone));
    after.seconds(300);
    assert_eq!(announced(&after), [true, false]);
}
