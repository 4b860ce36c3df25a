//! What becomes of the prefixes of a site that a reload removes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::sync::Arc;

use ipnet::IpNet;
use patronus_engine::Input;
use patronus_model::change::Changes;
use patronus_model::event::Event;
use patronus_model::kernel::{LearnedDelta, RouteTarget};
use patronus_model::router::RouterConfig;
use patronus_model::view::RouteOrigin;
use support::*;

fn nets(all: &[&str]) -> Vec<IpNet> {
    all.iter().map(|it| it.parse().unwrap()).collect()
}

/// The overlay's wide prefixes would guard everything anyway.
fn sites(remotes: &[u16]) -> RouterConfig {
    let remotes = remotes.iter().map(|n| remote(*n, 1, None)).collect();
    let mut config = config(1, remotes);
    config.overlay.prefixes.clear();
    config
}

fn announce(router: &mut Router, prefixes: &[&str], site: u8) {
    router.input(Input::Learned(LearnedDelta {
        set: nets(prefixes)
            .into_iter()
            .map(|prefix| (prefix, [10, 255, 0, site].into()))
            .collect(),
        ..LearnedDelta::default()
    }));
    router.seconds(1);
}

fn reload(router: &mut Router, config: RouterConfig) -> Changes {
    router.events.clear();
    router.input(Input::Config(Arc::new(config)));
    router.seconds(60);
    let told = router.events.iter().find_map(|event| match event {
        Event::Configured { changes, .. } => changes.clone(),
        _ => None,
    });
    assert_eq!(told.as_ref(), router.engine.last_changes());
    told.unwrap()
}

fn withdrawn(router: &Router) -> Vec<IpNet> {
    let view = router.engine.view(router.now, router.now).unwrap();
    let routes = view.routes.into_iter();
    let withdrawn = routes.filter(|route| route.origin == RouteOrigin::Withdrawn);
    withdrawn.map(|route| route.prefix).collect()
}

const REFUSED: Option<RouteTarget> = Some(RouteTarget::Unreachable);

#[test]
fn what_a_site_announced_stays_guarded_when_the_site_is_removed_and_is_named() {
    let mut router = Router::new(sites(&[2, 3]), environment(1));
    // One is around our own LAN, and was never believed.
    let announced = ["10.7.0.0/24", "198.51.100.0/24", "10.0.0.0/12", "0.0.0.0/0"];
    announce(&mut router, &announced, 3);
    let told = reload(&mut router, sites(&[2]));
    let kept = nets(&["10.7.0.0/24", "198.51.100.0/24"]);
    assert_eq!((told.parts.len(), &told.kept), (1, &kept));
    // What only the file named, it names no more.
    assert_eq!(told.opened, nets(&["10.3.0.0/24"]));
    assert_eq!(withdrawn(&router), kept);
    for (to, guarded) in [
        ("10.7.0.9", REFUSED),
        ("198.51.100.9", REFUSED),
        ("10.3.0.9", None),
        ("10.9.0.9", None),
        ("203.0.113.9", None),
    ] {
        assert_eq!(guard(&router.kernel, to), guarded, "{to}");
    }
    // Also for one who starts anew, and through a reload of something else.
    let mut again = Router::on(router.kernel.clone(), sites(&[2]), environment(1));
    again.seconds(60);
    assert_eq!(withdrawn(&again), kept);
    let mut other = sites(&[2]);
    other.site.name = "another name".to_owned();
    let told = reload(&mut router, other);
    assert_eq!((told.kept, told.opened), (Vec::new(), Vec::new()));
    assert_eq!(withdrawn(&router), kept);
    router.input(Input::Forget(kept[0]));
    router.seconds(1);
    assert_eq!(guard(&router.kernel, "10.7.0.9"), None);
    assert_eq!(withdrawn(&router), kept[1..]);
}

#[test]
fn a_site_that_comes_back_or_another_one_has_its_prefixes_again() {
    for site in [3, 2] {
        let mut router = Router::new(sites(&[2, 3]), environment(1));
        announce(&mut router, &["10.7.0.0/24"], 3);
        reload(&mut router, sites(&[2]));
        assert_eq!(withdrawn(&router), nets(&["10.7.0.0/24"]));
        if site == 3 {
            reload(&mut router, sites(&[2, 3]));
        }
        assert_eq!(guard(&router.kernel, "10.7.0.9"), REFUSED);
        announce(&mut router, &["10.7.0.0/24"], site);
        assert_eq!(withdrawn(&router), []);
    }
}

/// Its number follows from its address, so it is another one to us until BGP says so.
#[test]
fn a_site_with_another_overlay_address_opens_nothing() {
    let mut router = Router::new(sites(&[2, 3]), environment(1));
    announce(&mut router, &["10.7.0.0/24"], 3);
    let mut moved = sites(&[2, 4]);
    moved.remotes[1].prefixes = sites(&[3]).remotes[0].prefixes.clone();
    let told = reload(&mut router, moved);
    assert_eq!(
        (told.kept, told.opened),
        (nets(&["10.7.0.0/24"]), Vec::new())
    );
    assert_eq!(guard(&router.kernel, "10.7.0.9"), REFUSED);
    announce(&mut router, &["10.7.0.0/24"], 4);
    assert_eq!(withdrawn(&router), []);
}

#[test]
fn what_the_file_names_all_the_same_is_neither_kept_nor_opened() {
    let wide = |remotes: &[u16]| {
        let mut config = sites(remotes);
        config.overlay.prefixes = nets(&["10.0.0.0/8"]);
        config
    };
    let mut router = Router::new(wide(&[2, 3]), environment(1));
    announce(&mut router, &["10.7.0.0/24"], 3);
    let told = reload(&mut router, wide(&[2]));
    assert_eq!((told.kept, told.opened), (Vec::new(), Vec::new()));
    assert_eq!(guard(&router.kernel, "10.7.0.9"), REFUSED);
    // Without it, what was wide is open but for what was announced.
    let told = reload(&mut router, sites(&[2]));
    assert_eq!(told.opened, nets(&["10.0.0.0/8"]));
    assert_eq!(guard(&router.kernel, "10.7.0.9"), REFUSED);
    assert_eq!(guard(&router.kernel, "10.8.0.9"), None);
}

/// A site is given one overlay address after the other: each time, what it announced is nobody's.
#[test]
fn what_removed_sites_leave_is_bounded_and_what_goes_is_told() {
    let few = |remotes: &[u16]| {
        let mut config = sites(remotes);
        config.bgp.maximum_prefixes = 2;
        config
    };
    let mut router = Router::new(few(&[2]), environment(1));
    for round in 3..8 {
        reload(&mut router, few(&[2, round]));
        let new = [0, 1].map(|n| format!("10.{}.{n}.0/24", 100 + round));
        let new = new.each_ref().map(String::as_str);
        announce(&mut router, &new, u8::try_from(round).unwrap());
        let told = reload(&mut router, few(&[2]));
        assert_eq!(told.kept, nets(&new));
        let known = withdrawn(&router);
        assert!(known.len() <= 4, "{known:?}");
        assert!(nets(&new).iter().all(|it| known.contains(it)));
    }
    // The oldest went first, with a word.
    assert_eq!(guard(&router.kernel, "10.105.0.9"), None);
    let dropped = Event::ForgottenTogether {
        asked: false,
        site: None,
        count: 2,
        some: nets(&["10.105.0.0/24", "10.105.1.0/24"]),
    };
    assert!(router.events.contains(&dropped), "{:?}", router.events);
    // One who starts anew with less room keeps no more than that either.
    let mut less = few(&[2]);
    less.bgp.maximum_prefixes = 1;
    let mut again = Router::on(router.kernel.clone(), less, environment(1));
    again.seconds(60);
    assert_eq!(withdrawn(&again).len(), 2);
    let told = |event: &Event| matches!(event, Event::ForgottenTogether { count: 2, .. });
    assert!(again.events.iter().any(told), "{:?}", again.events);
}

#[test]
fn what_is_guarded_in_pieces_is_not_opened() {
    let overlay = |prefixes: &[&str]| {
        let mut config = sites(&[2]);
        config.overlay.prefixes = nets(prefixes);
        config
    };
    let whole = ["172.16.0.0/12", "fd10::/16"];
    for (pieces, opened) in [
        (
            &[
                "172.16.0.0/13",
                "172.24.0.0/13",
                "fd10::/17",
                "fd10:8000::/17",
            ][..],
            &[][..],
        ),
        (&["172.16.0.0/12", "fd10::/17"], &whole[1..]),
        (
            &[
                "172.24.0.0/13",
                "172.16.0.0/14",
                "172.20.0.0/14",
                "fd10::/16",
            ],
            &[],
        ),
    ] {
        let mut router = Router::new(overlay(&whole), environment(1));
        let told = reload(&mut router, overlay(pieces));
        assert_eq!(told.opened, nets(opened), "{pieces:?}");
    }
}

/// Of a route in the guard's table it is not known why it is there.
#[test]
fn what_the_file_named_before_a_restart_stays_guarded_until_it_is_forgotten() {
    let mut wide = sites(&[2]);
    wide.overlay.prefixes = nets(&["172.16.0.0/12"]);
    let mut router = Router::new(wide, environment(1));
    router.seconds(60);
    let mut again = Router::on(router.kernel.clone(), sites(&[2]), environment(1));
    again.seconds(60);
    assert_eq!(withdrawn(&again), nets(&["172.16.0.0/12"]));
    assert_eq!(guard(&again.kernel, "172.16.0.9"), REFUSED);
    again.input(Input::Forget(nets(&["172.16.0.0/12"])[0]));
    again.seconds(1);
    assert_eq!(guard(&again.kernel, "172.16.0.9"), None);
}

#[test]
fn all_that_is_withdrawn_within_a_prefix_is_forgotten_together() {
    let mut router = Router::new(sites(&[2, 3]), environment(1));
    let announced = ["10.7.0.0/24", "10.7.1.0/24", "198.51.100.0/24"];
    announce(&mut router, &announced, 3);
    announce(&mut router, &["10.7.2.0/24"], 2);
    reload(&mut router, sites(&[2]));
    router.events.clear();
    let wide = nets(&["10.7.0.0/16"])[0];
    let inside = nets(&announced[..2]);
    assert_eq!(router.engine.withdrawn_within(Some(&wide)), inside);
    router.input(Input::ForgetWithin(Some(wide)));
    router.seconds(1);
    let told = Event::ForgottenTogether {
        asked: true,
        site: None,
        count: 2,
        some: inside,
    };
    assert!(router.events.contains(&told), "{:?}", router.events);
    assert_eq!(guard(&router.kernel, "10.7.0.9"), None);
    assert_eq!(
        guard(&router.kernel, "10.7.2.9"),
        REFUSED,
        "it is announced"
    );
    assert_eq!(withdrawn(&router), nets(&announced[2..]));
    router.input(Input::ForgetWithin(None));
    assert_eq!(withdrawn(&router), []);
}
