//! What must not leave in the clear, and what lies within it and must.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use patronus_engine::Input;
use patronus_model::event::Event;
use patronus_model::ids::Dscp;
use patronus_model::kernel::{Foreign, KernelState, LearnedDelta, RouteTarget};
use patronus_model::layout::KernelLayout;
use patronus_model::policy::{Flow, Protocol};
use patronus_model::view::{Outcome, RouteOrigin};
use support::*;

/// A site whose third uplink is on an MPLS network with addresses of 10.0.0.0/8, which is also what
/// belongs to the overlay.
fn mpls(uplink: &str) -> KernelState {
    let mut config = config(3, vec![remote(2, 3, None)]);
    let far = &mut config.remotes[0].uplinks[2];
    far.underlay = "mpls".parse().unwrap();
    far.endpoint = Some("10.9.3.1:51820".parse().unwrap());
    config.uplinks[2].underlay = "mpls".parse().unwrap();
    let mut environment = environment(3);
    let state = environment.uplinks.get_mut(&slot(3)).unwrap();
    state.addresses = [uplink.parse().unwrap()].into();
    state.gateway4 = Some("10.0.0.1".parse().unwrap());
    let net: ipnet::IpNet = uplink.parse().unwrap();
    environment.foreign.insert(net.trunc(), Foreign::Main(None));
    Router::new(config, environment).kernel
}

fn is_dropped(kernel: &KernelState, to: &str) -> bool {
    let to: IpAddr = to.parse().unwrap();
    let guarded = &kernel.firewall.as_ref().unwrap().guarded;
    guarded.iter().any(|prefix| prefix.contains(&to))
}

#[test]
fn an_uplink_with_addresses_of_the_overlays_range_works() {
    let kernel = mpls("10.0.0.2/24");
    for underlay in ["10.0.0.1", "10.0.0.254", "10.9.3.1"] {
        assert!(!is_dropped(&kernel, underlay), "{underlay}");
        assert_eq!(
            guard(&kernel, underlay),
            Some(RouteTarget::Throw),
            "{underlay}"
        );
    }
    // Their neighbours, our LAN, that of the other site, and the overlay's own network.
    for overlay in ["10.0.1.1", "10.9.3.2", "10.1.0.9", "10.2.0.9", "10.255.0.2"] {
        assert!(is_dropped(&kernel, overlay), "{overlay}");
    }
    assert_eq!(guard(&kernel, "10.9.3.2"), Some(RouteTarget::Unreachable));
}

#[test]
fn an_uplink_whose_network_is_wider_than_what_is_guarded_opens_nothing() {
    let kernel = mpls("10.0.0.2/8");
    for overlay in ["10.2.0.9", "10.1.0.9", "10.255.0.2", "10.77.0.1"] {
        assert!(is_dropped(&kernel, overlay), "{overlay}");
    }
}

#[test]
fn a_lease_in_the_network_of_a_site_opens_nothing() {
    // The site has declared 10.2.0.0/24.
    for lease in ["10.2.0.5/24", "10.2.0.5/25"] {
        let kernel = mpls(lease);
        for theirs in ["10.2.0.9", "10.2.0.200"] {
            assert!(is_dropped(&kernel, theirs), "{theirs} with {lease}");
            assert_eq!(
                guard(&kernel, theirs),
                Some(RouteTarget::Unreachable),
                "{theirs} with {lease}"
            );
        }
    }
}

#[test]
fn a_lease_in_a_network_that_a_site_only_announces_opens_nothing() {
    for lease in ["10.7.0.0/24", "10.7.0.128/25"] {
        let lease = lease.parse().unwrap();
        let mut environment = environment(1);
        let uplink = environment.uplinks.get_mut(&slot(1)).unwrap();
        uplink.addresses.insert(lease);
        environment.foreign.insert(lease, Foreign::Main(None));
        let mut router = Router::new(config(1, vec![remote(2, 1, None)]), environment);
        router.input(Input::Learned(LearnedDelta {
            set: [("10.7.0.0/24".parse().unwrap(), [10, 255, 0, 2].into())].into(),
            ..LearnedDelta::default()
        }));
        router.all_up();
        assert_eq!(
            guard(&router.kernel, "10.7.0.200"),
            Some(RouteTarget::Unreachable),
            "{lease}"
        );
        let explained = router
            .engine
            .explain(router.now, flow_to("10.7.0.200"))
            .unwrap();
        assert!(
            matches!(explained.outcome, Outcome::Routed { .. }),
            "{lease}: {explained:?}"
        );
    }
}

#[test]
fn what_the_main_table_serves_is_no_sites_for_as_long_as_it_does() {
    let prefix = "10.7.0.0/24".parse().unwrap();
    let mut served = environment(1);
    served.foreign.insert(prefix, Foreign::Main(None));
    let mut router = Router::new(config(1, vec![remote(2, 1, None)]), served);
    router.input(Input::Learned(LearnedDelta {
        set: [(prefix, [10, 255, 0, 2].into())].into(),
        ..LearnedDelta::default()
    }));
    router.all_up();
    let owned = |router: &Router| {
        let view = router.engine.view(router.now, router.now).unwrap();
        let mut allowed = router.kernel.peers.values();
        let route = view.routes.iter().find(|route| route.prefix == prefix);
        let routed = route.unwrap().origin != RouteOrigin::Local;
        let allowed = allowed.any(|peer| peer.allowed_ips.contains(&prefix));
        (routed, allowed)
    };
    assert_eq!(owned(&router), (false, false));
    assert_eq!(guard(&router.kernel, "10.7.0.9"), Some(RouteTarget::Throw));
    // Another site takes over when we have it no more.
    router.input(Input::Environment(environment(1)));
    assert_eq!(owned(&router), (true, true));
    assert_eq!(
        guard(&router.kernel, "10.7.0.9"),
        Some(RouteTarget::Unreachable)
    );
}

#[test]
fn a_prefix_announced_by_mistake_is_guarded_until_it_is_forgotten() {
    let prefix = "198.51.100.0/24".parse().unwrap();
    let mut router = Router::new(config(1, vec![remote(2, 1, None)]), environment(1));
    let announced = LearnedDelta {
        set: [(prefix, [10, 255, 0, 2].into())].into(),
        ..LearnedDelta::default()
    };
    router.input(Input::Learned(announced));
    router.input(Input::Learned(LearnedDelta {
        removed: [prefix].into(),
        ..LearnedDelta::default()
    }));
    router.seconds(1);
    let told = |announced| Event::Prefixes {
        site: site(2),
        announced,
        outdone: false,
        count: 1,
        some: vec![prefix],
    };
    for announced in [true, false] {
        assert!(router.events.contains(&told(announced)), "{announced}");
    }
    let view = router.engine.view(router.now, router.now).unwrap();
    let route = view.routes.iter().find(|route| route.prefix == prefix);
    assert_eq!(route.unwrap().origin, RouteOrigin::Withdrawn);
    assert_eq!(
        guard(&router.kernel, "198.51.100.1"),
        Some(RouteTarget::Unreachable)
    );
    // Nobody has told a daemon that starts anew; what is guarded anyway, it does not list.
    let again = config(1, vec![remote(2, 1, None)]);
    let mut again = Router::on(router.kernel.clone(), again, environment(1));
    again.seconds(60);
    let withdrawn = |router: &Router| {
        let view = router.engine.view(router.now, router.now).unwrap();
        let routes = view.routes.into_iter();
        let withdrawn = routes.filter(|route| route.origin == RouteOrigin::Withdrawn);
        withdrawn.map(|route| route.prefix).collect::<Vec<_>>()
    };
    assert_eq!(withdrawn(&router), [prefix]);
    assert_eq!(withdrawn(&again), [prefix]);
    // Nor does a reload, of whatever, open what is guarded.
    let mut other = config(1, vec![remote(2, 1, None), remote(3, 1, None)]);
    other.site.name = "another name".to_owned();
    for router in [&mut router, &mut again] {
        router.input(Input::Config(Arc::new(other.clone())));
        router.seconds(60);
        assert_eq!(withdrawn(router), [prefix]);
        let guarded = guard(&router.kernel, "198.51.100.1");
        assert_eq!(guarded, Some(RouteTarget::Unreachable));
    }
    // Where something wider leads, it is reached.
    again.input(Input::Learned(LearnedDelta {
        set: [("198.51.0.0/16".parse().unwrap(), [10, 255, 0, 2].into())].into(),
        ..LearnedDelta::default()
    }));
    assert_eq!(withdrawn(&again), []);
    router.input(Input::Forget(prefix));
    assert_eq!(withdrawn(&router), []);
    assert_eq!(guard(&router.kernel, "198.51.100.1"), None);
    let forgotten = Event::Forgotten {
        prefix,
        site: Some(site(2)),
        within: None,
    };
    assert_eq!(
        router.events.iter().filter(|it| **it == forgotten).count(),
        1
    );
    router.events.clear();
    router.input(Input::Forget(prefix));
    assert_eq!(router.events, [], "there is nothing to forget");
    again.input(Input::Forget(prefix));
    let forgotten = Event::Forgotten {
        prefix,
        site: None,
        within: "198.51.0.0/16".parse().ok(),
    };
    assert!(again.events.contains(&forgotten), "{:?}", again.events);
}

#[test]
fn who_announced_what_nobody_announces_any_more_is_explained() {
    let [by_mistake, inside] = ["198.51.100.0/24", "10.7.0.0/24"].map(|it| it.parse().unwrap());
    let explain = |router: &Router, to: &str| {
        let flow = Flow {
            source: "10.1.0.9".parse().unwrap(),
            destination: to.parse().unwrap(),
            protocol: Protocol::UDP,
            source_port: None,
            destination_port: None,
            dscp: Dscp::new(0).unwrap(),
            ingress: None,
        };
        let explained = router.engine.explain(router.now, flow).unwrap();
        match explained.outcome {
            Outcome::Unreachable { withdrawn, .. } => withdrawn,
            other => panic!("{other:?}"),
        }
    };
    let mut router = Router::new(config(1, vec![remote(2, 1, None)]), environment(1));
    let wide = "198.51.0.0/16".parse().unwrap();
    let all = [by_mistake, inside, wide];
    router.input(Input::Learned(LearnedDelta {
        set: all.map(|prefix| (prefix, [10, 255, 0, 2].into())).into(),
        ..LearnedDelta::default()
    }));
    router.seconds(1);
    router.input(Input::Learned(LearnedDelta {
        removed: all.into(),
        ..LearnedDelta::default()
    }));
    router.seconds(60);
    // A moment after it was withdrawn it still counted.
    let lingered = Duration::from_secs(1);
    for (to, prefix, configured) in [
        ("198.51.100.7", by_mistake, false),
        ("198.51.1.7", wide, false),
        ("10.7.0.9", inside, true),
    ] {
        let found = explain(&router, to).unwrap();
        assert_eq!((found.prefix, found.configured), (prefix, configured));
        let (who, ago) = found.last.unwrap();
        assert_eq!(who.as_str(), "site-2");
        let minute = Duration::from_secs(60);
        assert!(ago <= minute && ago + lingered >= minute, "{ago:?}");
    }
    assert_eq!(
        explain(&router, "10.9.0.9"),
        None,
        "nobody ever announced it"
    );
    // A daemon that starts anew knows only that it was.
    let again = config(1, vec![remote(2, 1, None)]);
    let mut again = Router::on(router.kernel.clone(), again, environment(1));
    again.seconds(1);
    let found = explain(&again, "198.51.100.7").unwrap();
    assert_eq!((found.prefix, found.last), (by_mistake, None));
}

#[test]
fn what_a_site_announces_in_or_around_our_own_lan_is_refused_and_cuts_nobody_off() {
    let mut router = Router::new(config(1, vec![remote(2, 1, None)]), environment(1));
    let next_hop: IpAddr = "10.255.0.2".parse().unwrap();
    let prefixes = ["10.1.0.0/24", "10.1.0.128/25", "10.7.0.0/24", "10.1.0.0/16"];
    let learned = LearnedDelta {
        set: prefixes
            .map(|prefix| (prefix.parse().unwrap(), next_hop))
            .into(),
        ..LearnedDelta::default()
    };
    router.input(Input::Learned(learned.clone()));
    router.input(Input::Learned(learned));
    let refused = |event: &Event| match event {
        Event::PrefixRefused {
            prefix,
            site: number,
        } => {
            assert_eq!(*number, site(2));
            Some(prefix.to_string())
        }
        _ => None,
    };
    let refused: Vec<_> = router.events.iter().filter_map(refused).collect();
    assert_eq!(
        refused,
        ["10.1.0.0/16", "10.1.0.0/24", "10.1.0.128/25"],
        "each is told once"
    );
    let table = KernelLayout::default().class_table(class(VOICE));
    let is_routed = |prefix: &str| {
        let prefix = prefix.parse().unwrap();
        let mut routes = router.kernel.routes.iter();
        routes.any(|(key, target)| {
            (key.table, key.prefix) == (table, prefix)
                && matches!(target, RouteTarget::Nexthop { .. })
        })
    };
    assert_eq!(prefixes.map(is_routed), [false, false, true, false]);
    assert_eq!(
        guard(&router.kernel, "10.1.0.200"),
        Some(RouteTarget::Throw)
    );
}

#[test]
fn a_peers_address_within_the_prefix_of_a_site_opens_nothing() {
    let mut config = config(1, vec![remote(2, 1, None)]);
    config.remotes[0].uplinks[0].endpoint = Some("10.2.0.1:51820".parse().unwrap());
    let kernel = Router::new(config, environment(1)).kernel;
    assert!(is_dropped(&kernel, "10.2.0.1"));
    assert_eq!(guard(&kernel, "10.2.0.1"), Some(RouteTarget::Unreachable));
}

#[test]
fn sources_are_looked_up_where_a_site_may_use_an_address_of_ours() {
    let accepts = |prefix: &str, hub: Option<u8>| {
        let remotes = vec![remote(2, 1, hub), remote(3, 1, None)];
        let mut router = Router::new(config(1, remotes), environment(1));
        let next_hop: IpAddr = "10.255.0.2".parse().unwrap();
        router.input(Input::Learned(LearnedDelta {
            set: [(prefix.parse().unwrap(), next_hop)].into(),
            ..LearnedDelta::default()
        }));
        let parameter = "net/ipv4/conf/pat-1-1/accept_local";
        router.kernel.sysctls.contains_key(parameter)
    };
    assert!(accepts("10.7.0.0/16", None));
    // It has the address of an interface in it.
    assert!(!accepts("198.18.0.0/15", None));
    // So has this, but it is not believed: our LAN is in it.
    assert!(accepts("10.0.0.0/12", None));
    assert!(accepts("0.0.0.0/0", None));
    // A hub speaks for anybody, but has a tunnel to itself.
    assert!(accepts("0.0.0.0/0", Some(1)));
}

/// A tunnel's packet is taken only where its source could be answered, and one wrong announcement
/// must not cut tunnels, at all sites, when it ends.
#[test]
fn nobody_announces_away_the_underlay() {
    let new = || {
        let remotes = vec![remote(2, 1, None), remote(3, 1, Some(1))];
        let mut router = Router::new(config(1, remotes), environment(1));
        router.all_up();
        // One is behind NAT, and heard where nobody had said.
        let mut peers = router.kernel.peers.values_mut();
        peers.next().unwrap().endpoint = Some("192.0.2.77:40000".parse().unwrap());
        router.input(Input::Touched);
        router
    };
    let announce = |router: &mut Router, prefix: &str, last: u8| {
        let prefix: ipnet::IpNet = prefix.parse().unwrap();
        router.input(Input::Learned(LearnedDelta {
            set: [(prefix, [10, 255, 0, last].into())].into(),
            ..LearnedDelta::default()
        }));
        router.seconds(5);
        router.input(Input::Learned(LearnedDelta {
            removed: [prefix].into(),
            ..LearnedDelta::default()
        }));
        router.seconds(60);
    };
    // Where tunnels lead, or come from; what is beside it stays guarded.
    for (prefix, end, beside) in [
        ("198.18.3.0/24", "198.18.3.1", "198.18.3.2"),
        ("192.0.2.0/24", "192.0.2.77", "192.0.2.78"),
    ] {
        let mut router = new();
        announce(&mut router, prefix, 2);
        let of = |address| guard(&router.kernel, address);
        assert_eq!(of(end), Some(RouteTarget::Throw), "{prefix}");
        assert_eq!(of(beside), Some(RouteTarget::Unreachable), "{prefix}");
    }
    // What is not believed is not guarded either.
    for (prefix, address) in [
        ("0.0.0.0/1", "9.9.9.9"),
        ("127.0.0.0/8", "127.0.0.1"),
        ("169.254.0.0/16", "169.254.0.1"),
    ] {
        let mut router = new();
        announce(&mut router, prefix, 2);
        assert_eq!(guard(&router.kernel, address), None, "{prefix}");
        let told = router.events.iter().any(|event| {
            matches!(event, Event::PrefixRefused { prefix: it, .. } if it.to_string() == prefix)
        });
        assert!(told, "{prefix}");
    }
    // A hub's aggregate is believed, and guarded when it goes.
    let mut router = new();
    announce(&mut router, "8.0.0.0/6", 3);
    let of = guard(&router.kernel, "9.9.9.9");
    assert_eq!(of, Some(RouteTarget::Unreachable));
}
