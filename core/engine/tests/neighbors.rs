//! What BGP neighbours outside the overlay have, and what this machine has itself.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::net::IpAddr;

use patronus_engine::Input;
use patronus_model::event::Event;
use patronus_model::kernel::{Foreign, KernelState, LearnedDelta, RouteTarget, Via};
use patronus_model::layout::KernelLayout;
use patronus_model::view::{Holder, Outcome, RouteOrigin};
use support::*;

/// What would carry an unmarked packet: the first of our rules' tables that does not pass it on.
fn way(kernel: &KernelState, to: &str) -> Option<RouteTarget> {
    let layout = KernelLayout::default();
    let to_address: IpAddr = to.parse().unwrap();
    let class = kernel.routes.iter().filter(|(key, _)| {
        key.table == layout.class_table(class(BULK)) && key.prefix.contains(&to_address)
    });
    let class =
        class.max_by_key(|(key, _)| (key.prefix.prefix_len(), std::cmp::Reverse(key.metric)));
    let class = class.map(|(_, target)| target.clone());
    class
        .filter(|target| *target != RouteTarget::Throw)
        .or_else(|| guard(kernel, to).filter(|target| *target != RouteTarget::Throw))
}

#[test]
fn a_prefix_goes_back_and_forth_between_a_site_and_a_neighbour() {
    let prefix: ipnet::IpNet = "10.7.0.0/24".parse().unwrap();
    let neighbor = of_neighbor().via().cloned().map(RouteTarget::from);
    let mut with = environment(1);
    with.foreign.insert(prefix, of_neighbor());
    let mut router = Router::new(config(1, vec![remote(2, 1, None)]), with.clone());
    router.all_up();
    assert_eq!(way(&router.kernel, "10.7.0.9"), neighbor);
    // The neighbour withdraws it, and the site's path is the best.
    router.input(Input::Environment(environment(1)));
    router.input(Input::Learned(LearnedDelta {
        set: [(prefix, [10, 255, 0, 2].into())].into(),
        ..LearnedDelta::default()
    }));
    let by_site = way(&router.kernel, "10.7.0.9");
    assert!(
        matches!(by_site, Some(RouteTarget::Nexthop { .. })),
        "{by_site:?}"
    );
    // And back.
    router.input(Input::Environment(with));
    router.input(Input::Learned(LearnedDelta {
        removed: [prefix].into(),
        ..LearnedDelta::default()
    }));
    assert_eq!(way(&router.kernel, "10.7.0.9"), neighbor);
    let explained = router.engine.explain(router.now, flow_to("10.7.0.9"));
    let Outcome::NotOverlay { foreign, .. } = explained.unwrap().outcome else {
        panic!("it is carried");
    };
    assert_eq!(foreign, Some((prefix, of_neighbor())));
}

#[test]
fn what_a_neighbour_announces_hides_nothing_that_is_nearer() {
    let mut around = environment(1);
    for net in ["0.0.0.0/0", "10.0.0.0/7", "198.18.0.0/15"] {
        around.foreign.insert(net.parse().unwrap(), of_neighbor());
    }
    let router = Router::new(config(1, vec![remote(2, 1, None)]), around);
    let neighbor = of_neighbor().via().cloned().map(RouteTarget::from);
    let on_lan = on_lan().connected().cloned().map(RouteTarget::from);
    assert_eq!(way(&router.kernel, "10.1.0.9"), on_lan);
    for (to, expected) in [
        // What the uplink is in, and what the overlay guards.
        ("198.18.1.200", None),
        ("10.99.0.1", Some(RouteTarget::Unreachable)),
        // A peer's address, and anybody's.
        ("198.18.2.1", neighbor.clone()),
        ("192.0.2.1", neighbor.clone()),
    ] {
        assert_eq!(way(&router.kernel, to), expected, "{to}");
    }
}

#[test]
fn a_default_route_of_a_neighbour_takes_nothing_from_the_links() {
    let mut around = environment(1);
    around
        .foreign
        .insert("::/0".parse().unwrap(), of_neighbor());
    let router = Router::new(config(1, vec![remote(2, 1, None)]), around);
    assert_eq!(guard(&router.kernel, "fe80::1"), Some(RouteTarget::Throw));
    let neighbor = of_neighbor().via().cloned().map(RouteTarget::from);
    assert_eq!(guard(&router.kernel, "2001:db8::1"), neighbor);
}

#[test]
fn what_no_neighbour_can_have_said_is_not_used() {
    let mut around = environment(1);
    for net in ["192.168.50.0/24", "2001:db8:50::/48"] {
        around.foreign.insert(net.parse().unwrap(), of_provider());
    }
    let mut config = config(1, vec![remote(2, 1, None)]);
    // One of IPv6 is left, which says nothing of IPv4.
    config.bgp.neighbors.retain(|it| it.address.is_ipv6());
    let router = Router::new(config, around);
    let provider = of_provider().via().cloned().map(RouteTarget::from);
    assert_eq!(way(&router.kernel, "192.168.50.9"), None);
    assert_eq!(guard(&router.kernel, "2001:db8:50::9"), provider);
}

#[test]
fn what_a_neighbour_has_costs_one_route_each_and_not_one_for_each_class() {
    let mut many = environment(1);
    let nets = (0..100).map(|n| format!("10.200.{n}.0/24").parse().unwrap());
    many.foreign.extend(nets.map(|net| (net, of_neighbor())));
    let with = Router::new(config(1, vec![remote(2, 1, None)]), many);
    let without = Router::new(config(1, vec![remote(2, 1, None)]), environment(1));
    let more = with.kernel.routes.len() - without.kernel.routes.len();
    assert_eq!(more, 100);
}

#[test]
fn what_belongs_to_the_overlay_is_not_taken_from_a_provider() {
    let learned: ipnet::IpNet = "192.168.50.0/24".parse().unwrap();
    let within = "192.168.50.128/25".parse().unwrap();
    let outside = "192.168.51.0/24".parse().unwrap();
    let mut provider = environment(1);
    for net in [learned, within, outside, "10.2.0.0/25".parse().unwrap()] {
        provider.foreign.insert(net, of_provider());
    }
    let mut router = Router::new(config(1, vec![remote(2, 1, None)]), environment(1));
    let announced = LearnedDelta {
        set: [(learned, [10, 255, 0, 2].into())].into(),
        ..LearnedDelta::default()
    };
    router.input(Input::Learned(announced));
    router.all_up();
    router.input(Input::Environment(provider));
    let by_site =
        |router: &Router, to| matches!(way(&router.kernel, to), Some(RouteTarget::Nexthop { .. }));
    for to in ["192.168.50.9", "192.168.50.200", "10.2.0.9"] {
        assert!(by_site(&router, to), "{to}");
    }
    let provider = of_provider().via().cloned().map(RouteTarget::from);
    router.seconds(1);

    assert_eq!(way(&router.kernel, "192.168.51.9"), provider);
    let misrouted = |router: &Router| {
        let view = router.engine.view(router.now, router.now).unwrap();
        let misrouted = view.misrouted.into_iter();
        misrouted.map(|(prefix, _)| prefix).collect::<Vec<_>>()
    };
    let all = ["10.2.0.0/25".parse().unwrap(), learned, within];
    assert_eq!(misrouted(&router), all);
    // Also when the site announces it no more, and until somebody says that it never had it.
    router.input(Input::Learned(LearnedDelta {
        removed: [learned].into(),
        ..LearnedDelta::default()
    }));
    router.seconds(1);
    let refused = Some(RouteTarget::Unreachable);
    assert_eq!(way(&router.kernel, "192.168.50.9"), refused);
    let explained = router.engine.explain(router.now, flow_to("192.168.50.200"));
    let Outcome::Unreachable {
        misrouted: Some((prefix, _)),
        ..
    } = explained.unwrap().outcome
    else {
        panic!("it would leave in the clear");
    };
    assert_eq!(prefix, within);
    router.input(Input::Forget(learned));
    assert_eq!(way(&router.kernel, "192.168.50.9"), provider);
    assert_eq!(misrouted(&router), ["10.2.0.0/25".parse().unwrap()]);
}

#[test]
fn a_route_out_of_an_uplink_for_what_belongs_to_a_site_is_told() {
    let prefix: ipnet::IpNet = "10.2.0.64/26".parse().unwrap();
    let mut environment = environment(1);
    let via = Via {
        interface: "wan1".parse().unwrap(),
        gateway: Some([198, 18, 1, 254].into()),
        source: None,
    };
    let foreign = Foreign::Main(Some(via.clone()));
    environment.foreign.insert(prefix, foreign);
    let mut router = Router::new(config(1, vec![remote(2, 1, None)]), environment);
    router.all_up();
    let view = router.engine.view(router.now, router.now).unwrap();
    assert_eq!(view.misrouted, [(prefix, Foreign::Main(Some(via.clone())))]);
    let explained = router.engine.explain(router.now, flow_to("10.2.0.77"));
    let Outcome::Unreachable { misrouted, .. } = explained.unwrap().outcome else {
        panic!("nftables drops it");
    };
    assert_eq!(misrouted, Some((prefix, Foreign::Main(Some(via)))));
}

#[test]
fn parts_of_a_sites_prefix_that_go_elsewhere_are_told() {
    let net = |text: &str| -> ipnet::IpNet { text.parse().unwrap() };
    let mut around = environment(1);
    let foreign = [
        ("10.2.0.0/25", of_neighbor()),
        ("10.2.0.192/26", Foreign::Main(None)),
        // A network that an interface is in, one that nobody has, and all that a site has.
        ("10.2.0.128/28", on_lan()),
        ("10.9.0.0/24", of_neighbor()),
        ("10.3.0.0/24", of_neighbor()),
    ];
    let foreign = foreign.map(|(prefix, foreign)| (net(prefix), foreign));
    around.foreign.extend(foreign);
    let sites = vec![
        remote(2, 1, None),
        remote(3, 1, None),
        remote(4, 1, Some(1)),
        remote(5, 1, None),
    ];
    let mut router = Router::new(config(1, sites), around);
    let announced = [
        // A part of what 5 has, by 3, and the same by a hub, which may; and around all, by a hub.
        ("10.5.0.64/26", [10, 255, 0, 3]),
        ("10.5.0.128/26", [10, 255, 0, 4]),
        ("10.0.0.0/9", [10, 255, 0, 4]),
    ];
    let announced = announced.map(|(prefix, by)| (net(prefix), IpAddr::from(by)));
    router.input(Input::Learned(LearnedDelta {
        set: announced.into(),
        ..LearnedDelta::default()
    }));
    router.all_up();
    let view = router.engine.view(router.now, router.now).unwrap();
    let told: Vec<_> = view
        .cuts
        .iter()
        .map(|cut| (cut.part, cut.of, cut.owner.as_str(), &cut.by))
        .collect();
    let (neighbor, nowhere) = (of_neighbor(), Foreign::Main(None));
    let expected = [
        (
            "10.2.0.0/25",
            "10.2.0.0/24",
            "site-2",
            Holder::Foreign(neighbor),
        ),
        (
            "10.2.0.192/26",
            "10.2.0.0/24",
            "site-2",
            Holder::Foreign(nowhere),
        ),
        (
            "10.5.0.64/26",
            "10.5.0.0/24",
            "site-5",
            Holder::Site("site-3".parse().unwrap()),
        ),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(part, of, owner, by)| (net(part), net(of), *owner, by))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn a_prefix_that_somebody_else_has_now_is_not_said_to_be_withdrawn() {
    let prefix: ipnet::IpNet = "10.7.0.0/24".parse().unwrap();
    let mut router = Router::new(config(1, vec![remote(2, 1, None)]), environment(1));
    router.all_up();
    router.input(Input::Learned(LearnedDelta {
        set: [(prefix, [10, 255, 0, 2].into())].into(),
        ..LearnedDelta::default()
    }));
    let mut with = environment(1);
    with.foreign.insert(prefix, of_neighbor());
    router.input(Input::Environment(with));
    router.input(Input::Learned(LearnedDelta {
        removed: [prefix].into(),
        ..LearnedDelta::default()
    }));
    router.seconds(1);
    let told = router.events.iter().rev().find_map(|event| match event {
        Event::Prefixes {
            announced, outdone, ..
        } => Some((*announced, *outdone)),
        _ => None,
    });
    assert_eq!(told, Some((false, true)));
    let view = router.engine.view(router.now, router.now).unwrap();
    let route = view.routes.iter().find(|route| route.prefix == prefix);
    assert_eq!(route.unwrap().origin, RouteOrigin::Neighbor);
}
