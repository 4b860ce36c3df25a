//! Applying, observing and taking down, with the real kernel.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use patronus_linux::FastLane;
use patronus_model::kernel::{
    Change, Family, KernelState, OverlayInterface, Plan, RouteTarget, Rule, Selector,
};
use patronus_model::layout::KernelLayout;
use support::{
    apply, eventually, inside, ip, key, name, net, nexthop, open, peer, plan, public, run, tunnel,
};

/// An uplink, for the routes of outer packets.
fn uplink() {
    ip("link set lo up
        link add wan0 type veth peer name isp0
        link set wan0 up
        link set isp0 up
        address add 192.0.2.2/24 dev wan0
        address add 2001:db8::2/64 dev wan0 nodad
        route add default via 192.0.2.1");
}

fn overlay() -> OverlayInterface {
    OverlayInterface {
        name: name("pat0"),
        addresses: [net("10.255.0.1/16"), net("fd00:ff::1/64")].into(),
        mtu: 1400,
    }
}

/// Something of everything, in both families.
fn desired() -> KernelState {
    let source = |text: &str| Some(text.parse().unwrap());
    let mut state = KernelState {
        overlay: Some(overlay()),
        tunnels: [
            (name("pat-1-1"), tunnel(51_820)),
            (name("pat-1-2"), tunnel(51_821)),
        ]
        .into(),
        sysctls: [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv4/nexthop_compat_mode", "0"),
            ("net/ipv4/conf/pat-1-1/rp_filter", "0"),
        ]
        .map(|(path, value)| (path.to_owned(), value.to_owned()))
        .into(),
        nexthops: [
            (nexthop(2, 1), name("pat-1-1")),
            (nexthop(2, 2), name("pat-1-2")),
        ]
        .into(),
        ..KernelState::default()
    };
    state.peers = [
        (
            (name("pat-1-1"), public(1)),
            peer("198.51.100.7:51820", &["10.2.0.0/16", "fd00:2::/48"]),
        ),
        (
            (name("pat-1-1"), public(2)),
            peer("[2001:db8::99]:51820", &["10.3.0.0/16"]),
        ),
        ((name("pat-1-2"), public(1)), peer("", &["10.2.0.0/16"])),
    ]
    .into();
    let by = |class, source| RouteTarget::Nexthop {
        id: nexthop(2, class),
        source,
    };
    let out = |interface: &str, gateway: &str| RouteTarget::Device {
        interface: name(interface),
        gateway: gateway.parse().ok(),
        source: None,
    };
    state.routes = [
        (key(7001, "10.2.0.0/16", 1024), by(1, source("10.255.0.1"))),
        (key(7002, "10.2.0.0/16", 1024), by(2, None)),
        (key(7001, "fd00:2::/48", 1024), by(1, source("fd00:ff::1"))),
        (key(7001, "192.168.0.0/16", 1024), RouteTarget::Throw),
        (key(7001, "fd00:9::/48", 1024), RouteTarget::Throw),
        (key(7128, "10.0.0.0/8", 9999), RouteTarget::Unreachable),
        (key(7128, "fd00::/8", 9999), RouteTarget::Unreachable),
        (key(7201, "0.0.0.0/0", 1024), out("wan0", "192.0.2.1")),
        (key(7201, "::/0", 1024), out("wan0", "2001:db8::1")),
        (key(7201, "0.0.0.0/0", 9999), RouteTarget::Unreachable),
        (key(7201, "::/0", 9999), RouteTarget::Unreachable),
        (key(7300, "0.0.0.0/0", 1024), out("pat-1-1", "")),
        (key(7300, "::/0", 1024), out("pat-1-1", "")),
    ]
    .into();
    for family in Family::ALL {
        state.rules.extend(rules(family));
    }
    state
}

fn rules(family: Family) -> [Rule; 3] {
    let rule = |priority, selector, table| Rule {
        priority,
        family,
        selector,
        table,
    };
    let mark = |value, mask| Selector::Mark { value, mask };
    [
        rule(1001, mark(0x1_0000, 0xff_0000), 7201),
        rule(1100, Selector::OutInterface(name("pat-1-1")), 7300),
        rule(1500, Selector::All, 7128),
    ]
}

#[test]
fn what_is_applied_is_observed_and_applying_it_again_changes_nothing() {
    inside(|| {
        uplink();
        let mut kernel = open();
        let desired = desired();
        apply(&mut kernel, &plan(&desired));
        assert_eq!(kernel.observe().unwrap(), desired);
        let listing = || run("ip -o route show table all") + &run("ip -6 -o route show table all");
        let before = listing();
        apply(&mut kernel, &plan(&desired));
        assert_eq!(kernel.observe().unwrap(), desired);
        assert_eq!(listing(), before);
        // No link-local addresses on what is ours, and no waiting for duplicates.
        for interface in ["pat0", "pat-1-1"] {
            let text = run(&format!("ip -6 address show dev {interface}"));
            assert!(!text.contains("fe80"), "{text}");
            assert!(!text.contains("tentative"), "{text}");
        }
    });
}

#[test]
fn an_update_changes_what_differs_and_nothing_else() {
    inside(|| {
        uplink();
        let mut kernel = open();
        let mut state = desired();
        apply(&mut kernel, &plan(&state));
        let put_overlay = OverlayInterface {
            // A primary address goes, and a secondary one of the same network comes.
            addresses: [net("10.255.0.9/16"), net("10.255.0.8/16")].into(),
            mtu: 1380,
            ..overlay()
        };
        let peer = peer("198.51.100.8:51820", &["10.4.0.0/16"]);
        let routes = [
            (key(7201, "::/0", 1024), RouteTarget::Unreachable),
            (key(7201, "0.0.0.0/0", 1024), RouteTarget::Throw),
            (key(7001, "fd00:9::/48", 1024), RouteTarget::Unreachable),
            (
                key(7001, "192.168.0.0/16", 1024),
                RouteTarget::Nexthop {
                    id: nexthop(2, 1),
                    source: None,
                },
            ),
        ];
        let mut steps = vec![
            Change::PutOverlay(put_overlay.clone()),
            Change::PutPeer(name("pat-1-1"), public(1), peer.clone()),
            Change::DeletePeer(name("pat-1-1"), public(2)),
            Change::PutNexthop(nexthop(2, 1), name("pat-1-2")),
            Change::DeleteRoute(key(7128, "10.0.0.0/8", 9999)),
            Change::DeleteRule(rules(Family::V4)[2].clone()),
            Change::RestoreSysctl("net/ipv4/nexthop_compat_mode".into()),
        ];
        steps.extend(routes.clone().map(|(key, to)| Change::PutRoute(key, to)));
        apply(&mut kernel, &Plan(steps));
        state.overlay = Some(put_overlay);
        state.peers.insert((name("pat-1-1"), public(1)), peer);
        state.peers.remove(&(name("pat-1-1"), public(2)));
        state.nexthops.insert(nexthop(2, 1), name("pat-1-2"));
        state.routes.extend(routes);
        state.routes.remove(&key(7128, "10.0.0.0/8", 9999));
        state.rules.remove(&rules(Family::V4)[2]);
        state.sysctls.remove("net/ipv4/nexthop_compat_mode");
        let observed = kernel.observe().unwrap();
        assert_eq!(observed.overlay, state.overlay);
        assert_eq!(observed.peers, state.peers);
        assert_eq!(observed.nexthops, state.nexthops);
        // The kernel may take a route along with the address that it prefers.
        let routes = |state: &KernelState| {
            let mut routes = state.routes.clone();
            routes.retain(|key, _| key.prefix != net("10.2.0.0/16"));
            routes.retain(|key, _| key.prefix != net("fd00:2::/48"));
            routes
        };
        assert_eq!(routes(&observed), routes(&state));
        assert_eq!(observed.rules, state.rules);
        assert_eq!(observed.sysctls, state.sysctls);
        let twice = run("ip -6 -o route show table 7201 default metric 1024");
        assert_eq!(twice.lines().count(), 1, "{twice}");
    });
}

#[test]
fn ipv6_switched_off_by_the_administrator_does_not_keep_us_from_working() {
    inside(|| {
        for scope in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
            std::fs::write(path, "1").unwrap();
        }
        ip("link set lo up");
        let mut kernel = open();
        let mut state = desired();
        state.routes.retain(|key, _| key.table != 7201);
        apply(&mut kernel, &plan(&state));
        assert_eq!(kernel.observe().unwrap(), state);
    });
}

#[test]
fn every_step_that_fails_is_named_and_the_others_are_made() {
    inside(|| {
        uplink();
        let mut kernel = open();
        let lost = RouteTarget::Nexthop {
            id: nexthop(9, 9),
            source: None,
        };
        let good = key(7128, "10.0.0.0/8", 9999);
        let outcome = kernel.apply(&Plan(vec![
            Change::PutRoute(key(7001, "10.9.0.0/16", 1024), lost),
            Change::PutNexthop(nexthop(2, 1), name("pat-8-8")),
            Change::PutSysctl("net/ipv4/conf/pat-8-8/rp_filter".into(), "0".into()),
            Change::PutRoute(good, RouteTarget::Unreachable),
            // Not there, so they are done.
            Change::DeleteRoute(key(7002, "10.9.0.0/16", 1024)),
            Change::DeleteRule(rules(Family::V6)[0].clone()),
            Change::DeleteNexthop(nexthop(9, 9)),
            Change::DeletePeer(name("pat-8-8"), public(1)),
            Change::DeleteTunnel(name("pat-8-8")),
            Change::DeleteOverlay(name("pat0")),
            Change::DeleteFirewall,
        ]));
        assert_eq!(outcome.done, 8, "{outcome:?}");
        let all = outcome.failed.join("\n");
        for word in [
            "10.9.0.0/16",
            "there is no interface pat-8-8",
            "does interface pat-8-8 exist?",
        ] {
            assert!(all.contains(word), "{word:?} is missing in:\n{all}");
        }
        assert_eq!(outcome.failed.len(), 3, "{all}");
        let routes = kernel.observe().unwrap().routes;
        assert_eq!(routes, BTreeMap::from([(good, RouteTarget::Unreachable)]));
    });
}

#[test]
fn foreign_objects_are_neither_seen_nor_touched() {
    inside(|| {
        uplink();
        ip("route add 10.77.0.0/16 dev wan0 table 7001 protocol static
            route add 10.78.0.0/16 dev wan0 table 6999 protocol 80
            rule add pref 1001 fwmark 5 lookup 7001
            rule add pref 50 lookup 7001 protocol 80
            nexthop add id 4026532097 dev wan0
            nexthop add id 77 dev wan0 protocol 80
            link add pat-1-3 type veth peer name other
            link add pat0 type ifb");
        let mut kernel = open();
        assert_eq!(kernel.observe().unwrap(), KernelState::default());
        let outcome = kernel.apply(&Plan(vec![
            Change::PutOverlay(overlay()),
            Change::PutTunnel(name("pat-1-3"), tunnel(51_830)),
            Change::DeleteOverlay(name("pat0")),
        ]));
        assert_eq!(outcome.failed.len(), 2, "{outcome:?}");
        assert!(
            outcome
                .failed
                .iter()
                .all(|text| text.contains("is not ours"))
        );
        run("ip link show pat0");
    });
}

#[test]
fn ten_thousand_routes_are_put_quickly_and_moved_by_one_message() {
    inside(|| {
        uplink();
        let mut kernel = open();
        let mut state = desired();
        state.routes.clear();
        for number in 0..10_000u32 {
            let prefix = format!("11.{}.{}.0/24", number >> 8, number & 255);
            let target = RouteTarget::Nexthop {
                id: nexthop(2, 1),
                source: None,
            };
            state.routes.insert(key(7001, &prefix, 1024), target);
        }
        apply(&mut kernel, &plan(&state));
        let routes = state.routes.clone().into_iter();
        let put = Plan(routes.map(|(key, to)| Change::PutRoute(key, to)).collect());
        let outcome = kernel.apply(&put);
        println!("10,000 routes replaced in {:?}", outcome.took);
        let started = Instant::now();
        let observed = kernel.observe().unwrap();
        println!("observed in {:?}", started.elapsed());
        assert_eq!(observed, state);

        let mut lane = FastLane::open(&KernelLayout::default()).unwrap();
        let ways = [name("pat-1-1"), name("pat-1-2")];
        lane.prepare(&ways);
        let mut times = Vec::new();
        for round in 0..200 {
            let moves = [(nexthop(2, 1), ways[round % 2].clone())];
            let started = Instant::now();
            lane.move_nexthops(&moves).unwrap();
            times.push(started.elapsed());
        }
        times.sort();
        println!("one move: median {:?}, worst {:?}", times[100], times[199]);
        assert!(times[100].as_micros() < 1000, "{:?}", times[100]);
        let table = run("ip route get 11.3.4.5 oif pat-1-2");
        assert!(table.contains("pat-1-2"), "{table}");
        assert_eq!(
            kernel.observe().unwrap().nexthops[&nexthop(2, 1)],
            name("pat-1-2")
        );
    });
}

#[test]
fn the_fast_lane_finds_an_interface_that_was_made_anew() {
    inside(|| {
        uplink();
        let mut kernel = open();
        let tunnels = [(name("pat-1-1"), tunnel(51_820))];
        let state = KernelState {
            tunnels: tunnels.into(),
            ..KernelState::default()
        };
        apply(&mut kernel, &plan(&state));
        let mut lane = FastLane::open(&KernelLayout::default()).unwrap();
        let moves = [(nexthop(2, 1), name("pat-1-1"))];
        lane.move_nexthops(&moves).unwrap();
        apply(
            &mut kernel,
            &Plan(vec![Change::DeleteTunnel(name("pat-1-1"))]),
        );
        assert_eq!(kernel.observe().unwrap().nexthops, BTreeMap::new());
        let other = KernelState {
            tunnels: [(name("pat-1-2"), tunnel(51_821))].into(),
            ..KernelState::default()
        };
        apply(&mut kernel, &plan(&other));
        let both = [moves[0].clone(), (nexthop(3, 1), name("pat-1-2"))];
        let not_moved = lane.move_nexthops(&both).unwrap_err();
        assert_eq!(not_moved.ids, [nexthop(2, 1)], "the other one was moved");
        assert_eq!(not_moved.errors.len(), 1);
        apply(&mut kernel, &plan(&state));
        lane.move_nexthops(&moves).unwrap();
        assert_eq!(kernel.observe().unwrap().nexthops.len(), 2);
    });
}

#[test]
fn the_overlay_has_carrier_without_any_process_and_is_brought_up_again() {
    inside(|| {
        uplink();
        let mut kernel = open();
        apply(&mut kernel, &Plan(vec![Change::PutOverlay(overlay())]));
        let text = run("ip -d link show pat0");
        println!("{text}");
        assert!(text.contains("LOWER_UP"), "{text}");
        let state = kernel.observe().unwrap();
        assert_eq!(state.overlay, Some(overlay()));
        let rules: BTreeSet<Rule> = state.rules;
        assert!(rules.is_empty());
        run("ip link set pat0 down");
        assert_ne!(kernel.observe().unwrap().overlay, Some(overlay()));
        apply(&mut kernel, &Plan(vec![Change::PutOverlay(overlay())]));
        assert_eq!(kernel.observe().unwrap().overlay, Some(overlay()));
        apply(
            &mut kernel,
            &Plan(vec![Change::DeleteOverlay(name("pat0"))]),
        );
        eventually("pat0 is gone", || {
            kernel.observe().unwrap().overlay.is_none()
        });
    });
}
