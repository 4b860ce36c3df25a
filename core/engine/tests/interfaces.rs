//! What becomes of uplinks and LANs, and who is told.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::sync::Arc;

use patronus_engine::Input;
use patronus_model::event::{Event, UplinkFault};
use patronus_model::ids::Dscp;
use patronus_model::kernel::UplinkState;
use patronus_model::layout::HubIndex;
use patronus_model::policy::{Flow, Protocol};
use patronus_model::router::Gateway;
use patronus_model::view::{LanState, Outcome};
use support::*;

#[test]
fn an_uplink_without_carrier_is_left_at_once() {
    let mut router = two_uplinks();
    let mut environment = environment(2);
    environment.uplinks.get_mut(&slot(1)).unwrap().carrier = false;
    router.input(Input::Environment(environment));
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    assert!(router.events.contains(&Event::Uplink {
        slot: slot(1),
        fault: Some(UplinkFault::Down),
    }));
}

#[test]
fn what_an_uplink_lacks_is_said_of_it() {
    let fault = |spoil: &dyn Fn(&mut UplinkState)| {
        let mut router = two_uplinks();
        let mut around = environment(2);
        spoil(around.uplinks.get_mut(&slot(1)).unwrap());
        router.input(Input::Environment(around));
        let view = router.engine.view(router.now, router.now).unwrap();
        view.uplinks[0].fault
    };
    assert_eq!(fault(&|_| ()), None);
    assert_eq!(fault(&|it| it.carrier = false), Some(UplinkFault::Down));
    let no_address = |it: &mut UplinkState| it.addresses.clear();
    assert_eq!(fault(&no_address), Some(UplinkFault::NoAddress));
    let no_gateway = |it: &mut UplinkState| (it.gateway4, it.gateway6) = (None, None);
    assert_eq!(fault(&no_gateway), Some(UplinkFault::NoGateway));
    let mut router = two_uplinks();
    let mut around = environment(2);
    around.uplinks.remove(&slot(1));
    router.input(Input::Environment(around));
    let view = router.engine.view(router.now, router.now).unwrap();
    assert_eq!(view.uplinks[0].fault, Some(UplinkFault::Missing));
}

#[test]
fn of_an_uplink_that_a_reload_adds_only_its_absence_is_news() {
    let said = |present: bool| {
        let mut router = Router::new(config(1, vec![remote(2, 2, None)]), environment(1));
        router.events.clear();
        router.input(Input::Config(Arc::new(config(2, vec![remote(2, 2, None)]))));
        // The follower had not been told yet when it said this.
        router.input(Input::Environment(environment(1)));
        let mut around = environment(2);
        if !present {
            around.uplinks.remove(&slot(2));
        }
        router.input(Input::Environment(around));
        router
            .events
            .retain(|event| matches!(event, Event::Uplink { .. }));
        router.events
    };
    assert_eq!(said(true), []);
    let away = Event::Uplink {
        slot: slot(2),
        fault: Some(UplinkFault::Missing),
    };
    assert_eq!(said(false), [away]);
}

#[test]
fn an_uplink_that_gets_another_slot_is_not_said_to_be_away() {
    let two = || config(2, vec![remote(2, 2, None)]);
    let mut around = environment(2);
    around.uplinks.get_mut(&slot(2)).unwrap().carrier = false;
    let mut router = Router::new(two(), around);
    let mut swapped = two();
    swapped.uplinks[0].slot = slot(2);
    swapped.uplinks[1].slot = slot(1);
    swapped.uplinks.reverse();
    let mut moved = two();
    moved.uplinks[0].slot = slot(3);
    for config in [swapped, moved] {
        router.events.clear();
        router.input(Input::Config(Arc::new(config)));
        let told = |event: &&Event| matches!(event, Event::Uplink { .. });
        assert_eq!(router.events.iter().find(told), None);
        let view = router.engine.view(router.now, router.now).unwrap();
        let faults = view
            .uplinks
            .iter()
            .map(|it| (it.interface.as_str(), it.fault));
        let mut faults: Vec<_> = faults.collect();
        faults.sort_unstable_by_key(|(interface, _)| *interface);
        assert_eq!(faults, [("wan1", None), ("wan2", Some(UplinkFault::Down))]);
    }
}

#[test]
fn a_gateway_that_a_reload_gives_makes_an_uplink_usable() {
    let mut around = environment(2);
    around.uplinks.get_mut(&slot(1)).unwrap().gateway4 = None;
    let mut router = Router::new(config(2, vec![remote(2, 2, None)]), around);
    router.all_up();
    assert_eq!(router.way(2, VOICE), "pat-2-1");
    let mut config = config(2, vec![remote(2, 2, None)]);
    config.uplinks[0].gateway4 = Gateway::Static("198.18.1.254".parse().unwrap());
    router.input(Input::Config(Arc::new(config)));
    router.all_up();
    router.seconds(30);
    assert_eq!(router.way(2, VOICE), "pat-1-1");
}

#[test]
fn a_lan_that_is_away_is_reported_and_shown() {
    let lan = |router: &Router| {
        let view = router.engine.view(router.now, router.now).unwrap();
        view.lans[0].state
    };
    let away = |up| Event::Lan {
        interface: "lan0".parse().unwrap(),
        up,
    };
    let mut router = two_uplinks();
    assert_eq!(lan(&router), LanState::Up);
    assert!(!router.events.contains(&away(true)), "that is no news");
    let mut without = environment(2);
    without.lans.clear();
    router.input(Input::Environment(without.clone()));
    assert_eq!(lan(&router), LanState::Missing);
    assert!(router.events.contains(&away(false)));
    let mut down = environment(2);
    down.lans.values_mut().for_each(|lan| lan.carrier = false);
    router.input(Input::Environment(down));
    assert_eq!(lan(&router), LanState::Down);
    router.input(Input::Environment(environment(2)));
    assert!(router.events.contains(&away(true)));

    let late = Router::new(config(2, vec![remote(2, 2, None)]), without);
    assert!(late.events.contains(&away(false)), "missing from the start");
}

#[test]
fn every_path_names_the_peer_that_its_tunnel_has() {
    let us_as_hub = || {
        let mut config = config(2, vec![remote(2, 2, None), remote(3, 2, Some(2))]);
        config.hub = Some(HubIndex::new(1).unwrap());
        // Of a site behind NAT nobody knows an endpoint.
        config.remotes[0].uplinks[1].endpoint = None;
        config
    };
    for config in [
        config(2, vec![remote(2, 2, None), remote(3, 2, None)]),
        config(2, vec![remote(2, 2, None), remote(3, 2, Some(1))]),
        us_as_hub(),
    ] {
        let mut router = Router::new(config, environment(2));
        router.seconds(1);
        let view = router.engine.view(router.now, router.now).unwrap();
        assert_eq!(view.paths.len(), 8);
        for path in view.paths {
            let peer = (path.interface.clone(), path.peer);
            assert!(router.kernel.peers.contains_key(&peer), "{path:?}");
        }
    }
}

#[test]
fn an_address_in_a_lan_of_ours_that_is_away_is_explained_by_that() {
    let mut router = two_uplinks();
    let flow = Flow {
        source: "10.2.0.9".parse().unwrap(),
        destination: "10.1.0.77".parse().unwrap(),
        protocol: Protocol::UDP,
        source_port: None,
        destination_port: None,
        dscp: Dscp::new(0).unwrap(),
        ingress: None,
    };
    let explained = |router: &Router| {
        let explained = router.engine.explain(router.now, flow.clone());
        explained.unwrap().outcome
    };
    assert!(matches!(explained(&router), Outcome::NotOverlay { .. }));
    let mut without = environment(2);
    without.lans.clear();
    without.foreign.remove(&"10.1.0.0/24".parse().unwrap());
    router.input(Input::Environment(without));
    let Outcome::Unreachable { lan: Some(lan), .. } = explained(&router) else {
        panic!("{:?}", explained(&router));
    };
    assert_eq!(
        (lan.interface.as_str(), lan.state),
        ("lan0", LanState::Missing)
    );
}
