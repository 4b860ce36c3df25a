//! Two sites that claim the same prefix.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::net::IpAddr;

use ipnet::IpNet;
use patronus_engine::Input;
use patronus_model::event::Event;
use patronus_model::kernel::{LearnedDelta, RouteTarget};
use patronus_model::layout::NexthopId;
use support::*;

/// What `remote` configures for site 2.
fn contested() -> IpNet {
    "10.2.0.0/24".parse().unwrap()
}

fn announce(router: &mut Router, by: u8) {
    let set = [(contested(), IpAddr::from([10, 255, 0, by]))].into();
    router.input(Input::Learned(LearnedDelta {
        set,
        ..Default::default()
    }));
}

/// Where voice for the contested prefix goes.
fn owner(router: &Router) -> u16 {
    let routes = router.kernel.routes.iter();
    let table = router
        .engine
        .config()
        .unwrap()
        .layout
        .class_table(class(VOICE));
    let mut found = routes.filter(|(key, _)| key.table == table && key.prefix == contested());
    let (_, RouteTarget::Nexthop { id, .. }) = found.next().unwrap() else {
        panic!("not into the overlay")
    };
    let of = |n: &u16| *id == NexthopId::new(site(*n), class(VOICE));
    (2..=3).find(of).unwrap()
}

/// Announces what is configured for site 2 from site 3, and says what was reported of it.
fn reported(hub: Option<u8>) -> (Router, Vec<Event>) {
    let sites = vec![remote(2, 2, None), remote(3, 2, hub)];
    let mut router = Router::new(config(2, sites), environment(2));
    router.all_up();
    assert_eq!(owner(&router), 2);
    router.events.clear();
    announce(&mut router, 3);
    announce(&mut router, 3);
    let events = std::mem::take(&mut router.events);
    let conflicts = events
        .into_iter()
        .filter(|it| matches!(it, Event::PrefixConflict { .. }));
    let conflicts = conflicts.collect();
    (router, conflicts)
}

#[test]
fn a_prefix_announced_by_one_site_and_configured_for_another_is_reported_once() {
    let (mut router, conflicts) = reported(None);
    let conflict = Event::PrefixConflict {
        prefix: contested(),
        owner: site(3),
        loser: site(2),
    };
    assert_eq!(conflicts, [conflict]);
    assert_eq!(owner(&router), 3);
    // Settled, and anew.
    announce(&mut router, 2);
    assert_eq!(owner(&router), 2);
    router.events.clear();
    announce(&mut router, 3);
    let again = |it: &&Event| matches!(it, Event::PrefixConflict { .. });
    assert_eq!(router.events.iter().filter(again).count(), 1);
}

#[test]
fn a_hub_may_speak_for_a_prefix_of_another_site() {
    let (router, conflicts) = reported(Some(1));
    assert_eq!(conflicts, []);
    assert_eq!(owner(&router), 3);
}
