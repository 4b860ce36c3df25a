//! What becomes of traffic when no path to its site is left.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use patronus_engine::Input;
use patronus_model::event::{Reason, Verdict};
use patronus_model::kernel::KernelState;
use patronus_model::layout::HubIndex;
use patronus_model::path::{Liveness, PathCause};
use patronus_model::router::{RemoteSite, RouterConfig};
use support::*;

/// An ordinary site, and beyond it this many hubs, from number 3 on.
fn sites(hubs: u8) -> Vec<RemoteSite> {
    let hub = |n: u8| remote(2 + u16::from(n), 2, Some(n));
    std::iter::once(remote(2, 2, None))
        .chain((1..=hubs).map(hub))
        .collect()
}

fn settled(config: RouterConfig) -> Router {
    let mut router = Router::new(config, environment(2));
    router.all_up();
    router.seconds(60);
    router.events.clear();
    (router.moves, router.plans) = (0, 0);
    router
}

fn all(router: &mut Router, to: u16, liveness: Liveness) {
    router.bfd_of(to, ALL_FOUR, liveness, Duration::ZERO);
}

fn ways(router: &Router, to: u16) -> (&str, &str) {
    (router.way(to, VOICE), router.way(to, BULK))
}

#[test]
fn with_no_path_left_traffic_goes_by_a_hub_in_the_same_instant() {
    let mut router = settled(config(2, sites(1)));
    all(&mut router, 2, Liveness::Silent);
    assert_eq!(ways(&router, 2), ("pat-1-1-1", "pat-2-2-1"));
    assert_eq!(router.plans, 0, "it is for the fast lane");
    let decision = router.decisions().last().unwrap();
    assert_eq!(decision.to, path(3, 2, 2));
    assert_eq!(decision.reason, Reason::PathDown(PathCause::Silent));
    let verdicts = decision.candidates.iter().map(|it| it.verdict);
    assert_eq!(verdicts.filter(|it| *it == Verdict::NotViable).count(), 4);
    // What is for the hub itself goes there as before.
    assert_eq!(ways(&router, 3), ("pat-1-1-1", "pat-2-2-1"));
    let view = router.engine.view(router.now, router.now).unwrap();
    let best = view.paths.iter().find(|it| it.id == path(3, 1, 1)).unwrap();
    assert_eq!(best.classes, [class(VOICE)], "each class once");
}

#[test]
fn while_any_path_of_its_own_is_left_no_traffic_of_a_site_goes_by_a_hub() {
    let mut router = settled(config(2, sites(1)));
    router.bfd_of(
        2,
        [(1, 1), (1, 2), (2, 1)],
        Liveness::Silent,
        Duration::ZERO,
    );
    assert_eq!(ways(&router, 2), ("pat-2-2", "pat-2-2"));
    let view = router.engine.view(router.now, router.now).unwrap();
    let candidates = &view.sites[0].choices[0].candidates;
    assert!(candidates.iter().all(|it| it.path.site == site(2)));
}

#[test]
fn it_returns_when_a_path_has_been_well_for_the_hold_time() {
    let mut router = settled(config(2, sites(1)));
    all(&mut router, 2, Liveness::Silent);
    router.seconds(30);
    all(&mut router, 2, Liveness::Up);
    let hold = router.engine.config().unwrap().classes[0].failover.hold;
    router.wait(hold / 2);
    assert_eq!(ways(&router, 2), ("pat-1-1-1", "pat-2-2-1"));
    router.wait(hold);
    assert_eq!(ways(&router, 2), ("pat-1-1", "pat-2-2"));
    let reason = router.decisions().last().unwrap().reason;
    assert!(matches!(reason, Reason::Preferred { .. }), "{reason:?}");
}

#[test]
fn a_path_that_flaps_is_no_reason_to_leave_a_hub() {
    let mut router = settled(config(2, sites(1)));
    for _ in 0..6 {
        all(&mut router, 2, Liveness::Silent);
        router.seconds(1);
        all(&mut router, 2, Liveness::Up);
        router.seconds(1);
    }
    let moved = router.decisions().count();
    router.seconds(15);
    assert_eq!(ways(&router, 2), ("pat-1-1-1", "pat-2-2-1"));
    assert_eq!(router.decisions().count(), moved);
    // Calm in the end.
    router.seconds(300);
    assert_eq!(ways(&router, 2), ("pat-1-1", "pat-2-2"));
}

#[test]
fn a_hub_that_dies_as_well_is_left_for_the_other_and_then_for_any_path_that_returns() {
    let mut router = settled(config(2, sites(2)));
    all(&mut router, 2, Liveness::Silent);
    assert_eq!(router.way(2, VOICE), "pat-1-1-1");
    router.seconds(5);
    all(&mut router, 3, Liveness::Silent);
    assert_eq!(router.way(2, VOICE), "pat-1-1-2");
    // What was for the dead hub, and what BGP said to be behind it, goes there too.
    assert_eq!(router.way(3, VOICE), "pat-1-1-2");
    router.seconds(5);
    all(&mut router, 4, Liveness::Silent);
    router.seconds(5);
    router.bfd(path(2, 2, 1), Liveness::Up);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
}

#[test]
fn a_hub_leaves_it_to_bgp_lest_two_of_them_send_packets_to_and_fro() {
    let mut hub = config(2, sites(2));
    hub.hub = Some(HubIndex::new(3).unwrap());
    let mut router = settled(hub);
    all(&mut router, 2, Liveness::Silent);
    router.seconds(30);
    assert!(router.decisions().all(|it| it.to.site == site(2)));
    assert_eq!(router.way(2, VOICE).len(), "pat-1-1".len());
}

#[test]
fn a_far_end_that_was_stopped_on_purpose_moves_nothing_to_a_hub() {
    let mut router = settled(config(2, sites(1)));
    all(&mut router, 2, Liveness::AdminDown);
    router.seconds(300);
    assert_eq!(ways(&router, 2), ("pat-1-1", "pat-2-2"));
    assert_eq!(router.decisions().count(), 0);
}

#[test]
fn a_daemon_that_starts_adopts_what_goes_by_a_hub() {
    let mut router = settled(config(2, sites(1)));
    all(&mut router, 2, Liveness::Silent);
    let kernel: KernelState = router.kernel.clone();
    let mut router = Router::on(kernel, config(2, sites(1)), environment(2));
    assert_eq!(ways(&router, 2), ("pat-1-1-1", "pat-2-2-1"));
    all(&mut router, 3, Liveness::Up);
    router.seconds(60);
    assert_eq!(ways(&router, 2), ("pat-1-1-1", "pat-2-2-1"));
    assert_eq!(router.moves, 0);
}

#[test]
fn a_hub_that_is_no_longer_configured_is_left() {
    let mut router = settled(config(2, sites(1)));
    all(&mut router, 2, Liveness::Silent);
    router.input(Input::Config(Arc::new(config(2, sites(0)))));
    let way = router.way(2, VOICE);
    assert!(
        way.starts_with("pat-1-") && way.len() == "pat-1-1".len(),
        "{way}"
    );
}
