//! Somebody else alters what is ours: it is put back, and what it was is told.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use patronus_engine::Input;
use patronus_engine::diff::apply;
use patronus_model::event::Event;
use patronus_model::kernel::{Change, KernelState};
use patronus_model::layout::NexthopId;
use patronus_model::path::Liveness;
use support::*;

/// What is told of an alteration that is noticed at once: how many things, and the first of them.
fn told(alter: impl FnOnce(&mut KernelState)) -> (usize, Vec<String>) {
    let mut router = two_uplinks();
    let before = router.kernel.clone();
    alter(&mut router.kernel);
    router.input(Input::Touched);
    assert_eq!(router.kernel, before, "it is put back");
    let mut drift = router.events.iter().filter_map(|event| match event {
        Event::Drift { altered, named, .. } => Some((*altered, named.clone())),
        _ => None,
    });
    let told = drift.next().unwrap();
    assert_eq!(drift.next(), None, "one event: {:?}", router.events);
    told
}

fn one(words: &str) -> (usize, Vec<String>) {
    (1, vec![words.to_owned()])
}

#[test]
fn every_kind_of_thing_is_named_with_what_became_of_it() {
    let forward = "net/ipv4/ip_forward";
    assert_eq!(
        told(|kernel| *kernel.sysctls.get_mut(forward).unwrap() = "0".to_owned()),
        one("net/ipv4/ip_forward set to 0")
    );
    assert_eq!(
        told(|kernel| kernel.firewall = None),
        one("nftables table inet patronus changed or removed")
    );
    assert_eq!(
        told(|kernel| drop(kernel.rules.pop_first())),
        one("IPv4 rule 1000 removed")
    );
    assert_eq!(
        told(|kernel| {
            let mut rule = kernel.rules.pop_first().unwrap();
            rule.table = 7999;
            kernel.rules.insert(rule);
        }),
        one("IPv4 rule 1000 changed")
    );
    assert_eq!(
        told(|kernel| {
            let mut rule = kernel.rules.first().unwrap().clone();
            rule.priority = 1900;
            kernel.rules.insert(rule);
        }),
        one("IPv4 rule 1900 added")
    );
    let prefix = "10.99.0.0/16".parse().unwrap();
    assert_eq!(
        told(|kernel| {
            let (key, target) = kernel.routes.first_key_value().unwrap();
            let (mut key, target) = (*key, target.clone());
            (key.prefix, key.table) = (prefix, 7001);
            kernel.routes.insert(key, target);
        }),
        one("route 10.99.0.0/16 in table 7001 added")
    );
    let voice = NexthopId::new(site(2), class(VOICE));
    assert_eq!(
        told(|kernel| drop(kernel.nexthops.insert(voice, "pat-1-2".parse().unwrap()))),
        one(&format!("nexthop {voice} pointed at pat-1-2"))
    );
}

#[test]
fn a_peer_is_named_by_its_site_too() {
    let key = "AAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    let gone = told(|kernel| drop(kernel.peers.pop_last()));
    assert_eq!(
        gone,
        one(&format!("peer {key} (site-2) of tunnel pat-2-2 removed"))
    );
    let silenced = told(|kernel| {
        kernel
            .peers
            .last_entry()
            .unwrap()
            .get_mut()
            .allowed_ips
            .clear();
    });
    assert_eq!(
        silenced,
        one(&format!("peer {key} (site-2) of tunnel pat-2-2 changed"))
    );
}

#[test]
fn what_goes_with_an_interface_is_not_told_on_its_own() {
    let tunnel = told(|kernel| apply(kernel, &Change::DeleteTunnel("pat-1-1".parse().unwrap())));
    assert_eq!(tunnel, one("tunnel pat-1-1 removed"));
    let nexthop = told(|kernel| {
        let id = *kernel.nexthops.first_key_value().unwrap().0;
        apply(kernel, &Change::DeleteNexthop(id));
    });
    assert_eq!(nexthop.0, 1, "{nexthop:?}");
    assert!(nexthop.1[0].starts_with("nexthop "), "{nexthop:?}");
}

#[test]
fn of_many_things_the_first_are_named() {
    let (altered, named) = told(|kernel| kernel.rules.clear());
    assert!(altered > 3, "{altered}");
    assert_eq!(named.len(), 3);
}

#[test]
fn no_two_things_have_the_same_name() {
    // A class has the route of our LAN, and behind it what holds while that is away.
    let (altered, named) = told(|kernel| {
        let mut seen = std::collections::BTreeMap::new();
        for key in kernel.routes.keys() {
            seen.entry((key.table, key.prefix))
                .or_insert_with(Vec::new)
                .push(*key);
        }
        let twice = seen.into_values().find(|keys| keys.len() > 1).unwrap();
        twice.iter().for_each(|key| drop(kernel.routes.remove(key)));
    });
    assert_eq!((altered, named.len()), (2, 2), "{named:?}");
    assert_ne!(named[0], named[1]);
}

#[test]
fn a_peer_that_is_missed_because_its_path_is_down_is_told_too() {
    let mut router = two_uplinks();
    router.kernel.peers.pop_first();
    router.bfd(path(2, 1, 1), Liveness::Silent);
    router.seconds(6);
    let drift = |event: &Event| matches!(event, Event::Drift { altered: 1, named, .. } if named[0].contains("peer"));
    assert!(router.events.iter().any(drift), "{:?}", router.events);
}

#[test]
fn to_speak_to_a_peer_at_its_configured_address_again_is_no_change_that_puts_anything_back() {
    let mut router = two_uplinks();
    let elsewhere = "203.0.113.9:4500".parse().unwrap();
    for peer in router.kernel.peers.values_mut() {
        peer.endpoint = Some(elsewhere);
    }
    router.input(Input::Touched);
    router.bfd(path(2, 1, 1), Liveness::Silent);
    router.seconds(4);
    router.events.clear();
    // Within the second in which the path is repaired, somebody removes a rule.
    router.kernel.rules.pop_first();
    router.seconds(3);
    let is_repaired = |peer: &&patronus_model::wireguard::Peer| peer.endpoint != Some(elsewhere);
    assert!(router.kernel.peers.values().any(|peer| is_repaired(&peer)));
    let drift = router.events.iter().find_map(|event| match event {
        Event::Drift { changes, .. } => Some(*changes),
        _ => None,
    });
    assert_eq!(drift, Some(1), "{:?}", router.events);
}

#[test]
fn to_speak_to_a_peer_at_its_configured_address_again_is_no_drift() {
    let mut router = two_uplinks();
    for peer in router.kernel.peers.values_mut() {
        peer.endpoint = Some("203.0.113.9:4500".parse().unwrap());
    }
    router.input(Input::Touched);
    router.bfd(path(2, 1, 1), Liveness::Silent);
    router.seconds(20);
    let mut endpoints = router
        .kernel
        .peers
        .values()
        .map(|peer| peer.endpoint.unwrap());
    assert!(
        endpoints.any(|endpoint| endpoint.port() == 51_820),
        "it was repaired"
    );
    let drift = |event: &Event| matches!(event, Event::Drift { .. });
    assert!(!router.events.iter().any(drift), "{:?}", router.events);
}
