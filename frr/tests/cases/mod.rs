//! The routers that the tests configure.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it; what is written here is known to be valid"
)]

use std::net::IpAddr;
use std::time::Duration;

use patronus_frr::{Desired, Overlay};
use patronus_model::bgp::{Accept, Advertise, Asn, BfdTimers, BgpInstance, BgpNeighbor, BgpTimers};
use patronus_model::secret::Secret;

pub(crate) const TABLE: u32 = 190;

pub(crate) fn overlay() -> Overlay {
    Overlay {
        subnet_v4: Some("10.255.0.0/16".parse().unwrap()),
        subnet_v6: Some("fd00:ff::/64".parse().unwrap()),
        learned_table: Some(TABLE),
    }
}

/// Router `number`, with the overlay addresses 10.255.0.N and fd00:ff::N and AS 65000 + N.
pub(crate) fn router(number: u8, networks: &[&str], neighbors: Vec<BgpNeighbor>) -> Desired {
    let mut neighbors = neighbors;
    neighbors.sort_by_key(|neighbor| neighbor.address);
    Desired {
        bgp: BgpInstance {
            asn: asn(number),
            router_id: [10, 255, 0, number].into(),
            networks: networks
                .iter()
                .map(|network| network.parse().unwrap())
                .collect(),
            neighbors,
            graceful_restart: Some(Duration::from_secs(60)),
        },
        overlay: overlay(),
    }
}

pub(crate) fn asn(number: u8) -> Asn {
    Asn::new(65_000 + u32::from(number)).unwrap()
}

pub(crate) fn v4(number: u8) -> IpAddr {
    [10, 255, 0, number].into()
}

pub(crate) fn v6(number: u8) -> IpAddr {
    [0xfd00, 0xff, 0, 0, 0, 0, 0, u16::from(number)].into()
}

/// Site `remote` as router `local` sees it, in the family of `address`.
pub(crate) fn site(local: u8, remote: u8, address: fn(u8) -> IpAddr) -> BgpNeighbor {
    BgpNeighbor {
        address: address(remote),
        description: format!("site {remote}"),
        remote_asn: asn(remote),
        password: Some(Secret::new("s3cret".to_owned())),
        update_source: Some(address(local)),
        ebgp_multihop: None,
        next_hop_self: true,
        advertise: Advertise::OwnAndExternal,
        accept: Accept::AllButDefault,
        maximum_prefixes: Some(20_000),
        timers: BgpTimers::default(),
        bfd: None,
    }
}

/// The same in both families, changed by `change`.
pub(crate) fn sites(local: u8, remote: u8, change: impl Fn(&mut BgpNeighbor)) -> Vec<BgpNeighbor> {
    let mut both = vec![site(local, remote, v4), site(local, remote, v6)];
    both.iter_mut().for_each(change);
    both
}

pub(crate) fn third_party(address: &str, number: u8) -> BgpNeighbor {
    BgpNeighbor {
        address: address.parse().unwrap(),
        description: "core switch | \"LAN\" é ?".to_owned(),
        remote_asn: asn(number),
        password: Some(Secret::new("p#ss?w!\"rd|".to_owned())),
        update_source: None,
        ebgp_multihop: None,
        next_hop_self: false,
        advertise: Advertise::Everything,
        accept: Accept::AllButDefault,
        maximum_prefixes: None,
        timers: BgpTimers {
            keepalive: 60,
            hold: 180,
            connect_retry: 120,
        },
        bfd: Some(BfdTimers::default()),
    }
}

/// Every golden case by the name of its folder.
pub(crate) fn all() -> Vec<(&'static str, Desired)> {
    vec![
        ("nothing", router(1, &[], vec![])),
        (
            "site",
            router(2, &["10.2.0.0/16"], vec![site(2, 1, v4), site(2, 3, v4)]),
        ),
        ("dual-stack", dual_stack()),
        (
            "only-ipv6",
            router(2, &["fd00:2::/48"], vec![site(2, 1, v6)]),
        ),
        ("hub", hub()),
        ("hub-with-default", hub_with_default()),
        ("ibgp-hub", ibgp_hub()),
        ("third-party", with_third_party()),
        ("without-graceful-restart", without_graceful_restart()),
        ("main-table", main_table()),
    ]
}

fn dual_stack() -> Desired {
    let networks = ["10.2.0.0/16", "10.22.7.0/24", "fd00:2::/48"];
    let from_hub = sites(2, 1, |neighbor| neighbor.accept = Accept::All);
    let neighbors = [from_hub, sites(2, 3, |_| ())].concat();
    router(2, &networks, neighbors)
}

pub(crate) fn hub() -> Desired {
    let everything = |neighbor: &mut BgpNeighbor| neighbor.advertise = Advertise::Everything;
    let neighbors = [sites(1, 2, everything), sites(1, 3, everything)].concat();
    router(1, &["10.1.0.0/16", "fd00:1::/48"], neighbors)
}

pub(crate) fn hub_with_default() -> Desired {
    let mut hub = hub();
    for neighbor in &mut hub.bgp.neighbors {
        neighbor.advertise = Advertise::EverythingAndDefault;
    }
    hub
}

fn ibgp_hub() -> Desired {
    let internal = |neighbor: &mut BgpNeighbor| {
        neighbor.remote_asn = asn(1);
        neighbor.advertise = Advertise::Everything;
        neighbor.ebgp_multihop = Some(4); // Means nothing here, and FRR would not show it.
    };
    router(
        1,
        &["10.1.0.0/16"],
        [sites(1, 2, internal), sites(1, 3, internal)].concat(),
    )
}

fn with_third_party() -> Desired {
    let mut far = third_party("192.0.2.7", 98);
    far.ebgp_multihop = Some(255);
    far.accept = Accept::All;
    far.bfd = Some(BfdTimers {
        desired_min_tx: Duration::from_millis(300),
        required_min_rx: Duration::from_millis(300),
        detect_mult: 5,
    });
    let near = third_party("172.16.9.2", 99);
    let six = third_party("fd00:9::2", 99);
    let all = [sites(1, 2, |_| ()), vec![near, far, six]].concat();
    router(1, &["10.1.0.0/16"], all)
}

fn without_graceful_restart() -> Desired {
    let mut desired = router(2, &["10.2.0.0/16"], vec![site(2, 1, v4)]);
    desired.bgp.graceful_restart = None;
    desired
}

fn main_table() -> Desired {
    let mut desired = router(2, &["10.2.0.0/16"], vec![site(2, 1, v4)]);
    desired.overlay.learned_table = None;
    desired
}
