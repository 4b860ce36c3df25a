//! What is said of a configuration that follows another.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use patronus_engine::{Input, changes};
use patronus_model::change::{Change, ConfigPart};
use patronus_model::event::{Event, Reason};
use patronus_model::path::{Liveness, PathCause, PathState};
use patronus_model::policy::Strategy;
use patronus_model::router::RouterConfig;
use patronus_model::{Secret, Timestamp};
use support::*;

fn before() -> RouterConfig {
    config(2, vec![remote(2, 2, None), remote(3, 1, None)])
}

/// What is said after a change.
fn said(change: impl Fn(&mut RouterConfig)) -> Vec<(ConfigPart, String, Change)> {
    let (old, mut new) = (before(), before());
    change(&mut new);
    let found = changes(&old, &new).into_iter();
    found.map(|it| (it.part, it.name, it.change)).collect()
}

#[test]
fn each_part_that_is_not_as_it_was_is_named() {
    assert_eq!(said(|_| ()), []);
    let one = |part, name: &str, change| [(part, name.to_owned(), change)];
    let (changed, removed) = (Change::Changed, Change::Removed);
    let old = before();
    let (lost, kept) = (old.remotes[1].id.as_str(), old.remotes[0].id.as_str());
    assert_eq!(
        said(|it| drop(it.remotes.pop())),
        one(ConfigPart::Site, lost, removed)
    );
    assert_eq!(
        said(|it| it.remotes[0].uplinks[0].endpoint = None),
        one(ConfigPart::Site, kept, changed)
    );
    let uplink = old.uplinks[0].name.as_str();
    assert_eq!(
        said(|it| it.uplinks[0].cost += 1),
        one(ConfigPart::Uplink, uplink, changed)
    );
    // Another name is another thing.
    let class = old.classes[0].name.to_string();
    assert_eq!(
        said(|it| it.classes[0].name = "other".parse().unwrap()),
        [
            (ConfigPart::Class, "other".to_owned(), Change::Added),
            (ConfigPart::Class, class, removed),
        ]
    );
    assert_eq!(
        said(|it| it.bgp.maximum_prefixes += 1),
        one(ConfigPart::Bgp, "", changed)
    );
    assert_eq!(
        said(|it| it.health.bfd.detect_mult += 1),
        one(ConfigPart::Health, "", changed)
    );
}

#[test]
fn the_keys_that_are_not_as_they_were_are_named() {
    let keys = |change: fn(&mut RouterConfig)| {
        let (old, mut new) = (before(), before());
        change(&mut new);
        let found = changes(&old, &new);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].keys.clone()
    };
    assert_eq!(keys(|it| drop(it.remotes.pop())), [""; 0]);
    assert_eq!(
        keys(|it| it.site.location = Some("x".to_owned())),
        ["location"]
    );
    assert_eq!(keys(|it| it.overlay.prefixes.clear()), ["prefixes"]);
    assert_eq!(keys(|it| it.lans[0].prefixes.clear()), ["prefixes"]);
    assert_eq!(
        keys(|it| it.bgp.maximum_prefixes += 1),
        ["maximum_prefixes"]
    );
    assert_eq!(keys(|it| it.health.bfd.detect_mult += 1), ["bfd"]);
    let uplink = |it: &mut RouterConfig| {
        it.uplinks[0].cost += 1;
        it.uplinks[0].bandwidth_down = Some(1);
    };
    assert_eq!(keys(uplink), ["bandwidth", "cost"]);
    let site = |it: &mut RouterConfig| {
        it.remotes[0].bgp_password = Some(Secret::new("hush".to_owned()));
        it.remotes[0].uplinks[0].endpoint = None;
    };
    assert_eq!(keys(site), ["bgp_password", "uplinks"]);
    assert_eq!(
        keys(|it| it.classes[0].strategy = Strategy::LeastLatency),
        ["strategy"]
    );
}

#[test]
fn the_event_of_a_reload_has_its_changes_and_that_of_a_start_has_none() {
    let mut router = Router::new(before(), environment(2));
    let mut told = |config: RouterConfig| {
        router.events.clear();
        router.input(Input::Config(Arc::new(config)));
        let changes = router.events.iter().find_map(|event| match event {
            Event::Configured { changes, .. } => Some(changes.clone()),
            _ => None,
        });
        changes.unwrap().map(|changes| changes.parts.len())
    };
    let mut other = before();
    other.remotes.pop();
    assert_eq!(told(other.clone()), Some(1));
    assert_eq!(told(other), Some(0));
    let first = Router::new(before(), environment(2));
    let first = first.events.into_iter().find_map(|event| match event {
        Event::Configured { changes, .. } => Some(changes),
        _ => None,
    });
    assert_eq!(first, Some(None));
}

/// The states of all paths to the second site.
fn states(router: &Router) -> Vec<PathState> {
    let view = router.engine.view(router.now, Timestamp::ZERO).unwrap();
    view.paths.iter().map(|path| path.state).collect()
}

/// Two sites whose routers are well, after a reload at one of them, and what BFD says of it.
fn reloaded(change: impl Fn(&mut RouterConfig)) -> Router {
    let mut router = two_uplinks();
    let mut new = (**router.engine.config().unwrap()).clone();
    change(&mut new);
    router.input(Input::Config(Arc::new(new)));
    if states(&router) == [PathState::Unknown; 4] {
        router.bfd_of(2, ALL_FOUR, Liveness::Begun, Duration::ZERO);
    }
    router
}

fn last_of_voice(router: &Router) -> Reason {
    let mut decisions = router.decisions().rev();
    let decision = decisions.find(|it| it.class == class(VOICE));
    decision.unwrap().reason
}

fn renumber_us(config: &mut RouterConfig) {
    config.overlay.ipv4 = "10.255.0.9/16".parse().unwrap();
}

#[test]
fn nothing_is_known_of_a_path_whose_ends_have_other_addresses() {
    let renumbered: [fn(&mut RouterConfig); 2] = [renumber_us, |config| {
        config.remotes[0].ipv4 = "10.255.1.2".parse().unwrap();
    }];
    for change in renumbered {
        let router = reloaded(change);
        assert_eq!(states(&router), [PathState::Unknown; 4]);
        assert_eq!((router.way(2, VOICE), router.moves), ("pat-1-1", 0));
    }
    let others: [fn(&mut RouterConfig); 3] = [
        |config| config.overlay.ipv6 = Some("fd00:ff::9/64".parse().unwrap()),
        |config| config.health.bfd.detect_mult += 1,
        |config| config.remotes[0].uplinks[0].endpoint = None,
    ];
    for change in others {
        assert_eq!(states(&reloaded(change)), [PathState::Up; 4]);
    }
}

/// It would be the last that BFD ever says of the path.
#[test]
fn what_the_old_session_says_after_a_reload_does_not_outlive_it() {
    let mut router = reloaded(renumber_us);
    router.bfd(path(2, 1, 1), Liveness::Up);
    assert_eq!(states(&router)[0], PathState::Up);
    router.bfd(path(2, 1, 1), Liveness::Begun);
    assert_eq!(states(&router), [PathState::Unknown; 4]);
}

/// Over a dead uplink no session comes up.
#[test]
fn what_was_up_before_its_address_changed_is_left_for_what_comes_up_after() {
    let mut router = reloaded(renumber_us);
    router.seconds(1);
    router.bfd_of(2, [(2, 1), (2, 2)], Liveness::Up, Duration::ZERO);
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    assert_eq!(last_of_voice(&router), Reason::Initial);
    router.seconds(4);
    let (up, down) = (PathState::Up, PathState::Down);
    assert_eq!(states(&router), [down, down, up, up]);
    // It had not fallen: traffic is back with its first sign of life, without the hold.
    router.seconds(60);
    router.bfd(path(2, 1, 1), Liveness::Up);
    assert_eq!(router.way(2, VOICE), "pat-1-1");
    assert_eq!(last_of_voice(&router), Reason::Arrived);
}

/// The other sites do not know the new address yet.
#[test]
fn traffic_stays_where_it_was_while_no_session_that_was_made_anew_comes_up() {
    let mut router = reloaded(renumber_us);
    router.seconds(4);
    assert_eq!(states(&router), [PathState::Unknown; 4]);
    router.seconds(2);
    assert_eq!(states(&router), [PathState::Down; 4]);
    let causes = router.events.iter().filter_map(|event| match event {
        Event::Path { to, cause, .. } if *to == PathState::Down => Some(*cause),
        _ => None,
    });
    assert_eq!(causes.collect::<Vec<_>>(), [PathCause::NeverUp; 4]);
    router.seconds(600);
    assert_eq!((router.way(2, VOICE), router.moves), ("pat-1-1", 0));
}
