//! What an uplink costs, and where it is said.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::time::Duration;

use patronus_engine::Input;
use patronus_model::path::{Liveness, Measurement};
use patronus_model::policy::Strategy;
use support::*;

/// Two uplinks, of which the second is the cheaper one, and voice as it is wanted.
fn settled(voice: Strategy) -> Router {
    let mut config = config(2, vec![remote(2, 1, None)]);
    config.classes[0].strategy = voice;
    config.uplinks[1].cost = 10;
    let mut router = Router::new(config, environment(2));
    router.all_up();
    router.seconds(60);
    router
}

/// The costs of the candidates for voice, best first.
fn costs(router: &Router) -> Vec<Option<u32>> {
    let view = router.engine.view(router.now, router.now).unwrap();
    let candidates = &view.sites[0].choices[0].candidates;
    candidates.iter().map(|it| it.cost).collect()
}

fn of_paths(router: &Router) -> Vec<Option<u32>> {
    let view = router.engine.view(router.now, router.now).unwrap();
    view.paths.iter().map(|path| path.cost).collect()
}

#[test]
fn a_class_without_a_preference_goes_by_cost_and_says_so() {
    let mut router = settled(Strategy::Preference(Vec::new()));
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    assert_eq!(costs(&router), [Some(10), Some(100)]);
    // Also that of the cheap one which has failed: it says where traffic would like to be.
    router.bfd(path(2, 2, 1), Liveness::Silent);
    assert_eq!(costs(&router), [Some(100), Some(10)]);
    assert_eq!(of_paths(&router), [Some(100), Some(10)]);
    let view = router.engine.view(router.now, router.now).unwrap();
    let uplinks: Vec<u32> = view.uplinks.iter().map(|it| it.cost).collect();
    assert_eq!(uplinks, [100, 10]);
}

#[test]
fn a_cost_that_decides_nothing_is_not_said() {
    let fibre = "fibre".parse().unwrap();
    let router = settled(Strategy::Preference(vec![fibre]));
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    assert_eq!(costs(&router), [None, Some(10)], "fibre is named");
    assert_eq!(of_paths(&router), [None, Some(10)], "bulk names both");
}

#[test]
fn for_latency_the_cost_decides_until_round_trips_are_known() {
    let mut router = settled(Strategy::LeastLatency);
    assert_eq!(costs(&router), [Some(10), Some(100)]);
    for (local, millis) in [(1, 12), (2, 20)] {
        let measured = Measurement {
            rtt: Some(Duration::from_millis(millis)),
            loss_permille: None,
        };
        router.input(Input::Measured(path(2, local, 1), measured));
    }
    assert_eq!(costs(&router), [None, None]);
    assert_eq!(of_paths(&router), [None, None]);
}
