//! Following the kernel. `ip` plays zebra: it makes the same nexthop objects and routes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use patronus_linux::{Follower, Notice, Watch};
use patronus_model::ids::Slot;
use patronus_model::kernel::{
    Change, Environment, Foreign, LearnedDelta, OverlayInterface, Plan, RouteTarget, Via,
};
use patronus_model::layout::KernelLayout;
use support::{apply, inside, ip, key, name, net, nexthop, open, run};
use tokio::sync::mpsc::Receiver;

fn on_wan(source: Option<IpAddr>) -> Foreign {
    Foreign::Main(Some(Via {
        interface: name("wan0"),
        gateway: None,
        source,
    }))
}

/// A follower and all that it has said so far.
struct Ear {
    follower: Follower,
    notices: Receiver<Notice>,
    environment: Environment,
    learned: BTreeMap<IpNet, IpAddr>,
    owned: usize,
    deltas: Vec<LearnedDelta>,
}

impl Ear {
    fn new(receive_buffer: usize, own_ports: Vec<u32>) -> Self {
        let (follower, notices) = Follower::start(Watch {
            layout: KernelLayout::default(),
            uplinks: [(Slot::new(1).unwrap(), name("wan0"))].into(),
            lans: [name("lan0")].into(),
            own_ports,
            receive_buffer,
        })
        .unwrap();
        let mut ear = Self {
            follower,
            notices,
            environment: Environment::default(),
            learned: BTreeMap::new(),
            owned: 0,
            deltas: Vec::new(),
        };
        ear.until("the first report", |ear| !ear.deltas.is_empty());
        assert!(ear.deltas[0].full);
        ear.deltas.clear();
        ear
    }

    fn hear(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            match notice {
                Notice::Environment(environment) => self.environment = environment,
                Notice::OwnedChanged => self.owned += 1,
                Notice::Learned(delta) => {
                    if delta.full {
                        self.learned.clear();
                    }
                    for prefix in &delta.removed {
                        self.learned.remove(prefix);
                    }
                    self.learned.extend(delta.set.clone());
                    self.deltas.push(delta);
                }
            }
        }
    }

    fn until(&mut self, what: &str, check: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        loop {
            self.hear();
            if check(self) {
                return;
            }
            let state = (&self.environment, self.learned.len(), self.owned);
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "never: {what}; {state:?}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Hears what comes within a time in which everything that comes has come.
    fn settle(&mut self) {
        std::thread::sleep(Duration::from_millis(200));
        self.hear();
    }

    fn uplink(&self) -> &patronus_model::kernel::UplinkState {
        &self.environment.uplinks[&Slot::new(1).unwrap()]
    }
}

fn learned(pairs: &[(&str, &str)]) -> BTreeMap<IpNet, IpAddr> {
    let pairs = pairs.iter();
    pairs.map(|(p, g)| (net(p), g.parse().unwrap())).collect()
}

fn world() {
    ip("link set lo up
        link add wan0 type veth peer name isp0
        link set wan0 up
        link set isp0 up");
    let overlay = OverlayInterface {
        name: name("pat0"),
        addresses: [net("10.255.0.1/16"), net("fd00:ff::1/64")].into(),
        mtu: 1400,
    };
    let plan = vec![
        Change::PutSysctl("net/ipv4/nexthop_compat_mode".into(), "0".into()),
        Change::PutOverlay(overlay),
    ];
    apply(&mut open(), &Plan(plan));
}

#[test]
fn routes_of_zebra_are_learned_and_unlearned() {
    inside(|| {
        world();
        ip("nexthop add id 30 via 10.255.0.2 dev pat0 protocol zebra
            route add 10.2.0.0/16 nhid 30 protocol bgp metric 20");
        let mut ear = Ear::new(Watch::RECEIVE_BUFFER, Vec::new());
        assert_eq!(ear.learned, learned(&[("10.2.0.0/16", "10.255.0.2")]));

        ip("nexthop add id 31 via 10.255.0.3 dev pat0 protocol zebra
            nexthop add id 32 group 31/30 protocol zebra
            route add 10.3.0.0/16 nhid 31 protocol bgp metric 20
            route add 10.32.0.0/16 nhid 32 protocol bgp metric 20
            route add 10.4.0.0/16 via 10.255.0.4 dev pat0 proto bgp
            route add 10.5.0.0/16 nexthop via 10.255.0.7 dev pat0 nexthop via 10.255.0.6 dev pat0
            nexthop add id 40 via fd00:ff::2 dev pat0 protocol zebra
            route add fd00:2::/48 nhid 40 protocol bgp metric 20
            route add fd00:3::/48 nexthop via fd00:ff::9 dev pat0 nexthop via fd00:ff::4 dev pat0
            route add 10.66.0.0/16 dev wan0
            route add 10.67.0.0/16 dev wan0
            route add 10.67.0.0/16 nhid 31 protocol bgp metric 20 table 7129
            route add 10.7.0.0/16 nhid 31 protocol bgp metric 20 table 7129
            route add default nhid 31 protocol bgp metric 20 table 7129
            route add 10.68.0.0/16 nhid 31 protocol bgp metric 20 table 7130
            address add 192.0.2.2/24 dev wan0
            route add 10.69.0.0/16 via 192.0.2.7 dev wan0 protocol bgp metric 20 table 7129");
        let expected = learned(&[
            ("10.2.0.0/16", "10.255.0.2"),
            ("10.3.0.0/16", "10.255.0.3"),
            ("10.32.0.0/16", "10.255.0.2"),
            ("10.4.0.0/16", "10.255.0.4"),
            ("10.5.0.0/16", "10.255.0.6"),
            // From the table that FRR fills, also where the main table serves the same network.
            ("10.67.0.0/16", "10.255.0.3"),
            ("10.7.0.0/16", "10.255.0.3"),
            ("0.0.0.0/0", "10.255.0.3"),
            ("fd00:2::/48", "fd00:ff::2"),
            ("fd00:3::/48", "fd00:ff::4"),
        ]);
        ear.until("all are learned", |ear| ear.learned == expected);
        for prefix in ["10.66.0.0/16", "10.67.0.0/16"] {
            let foreign = ear.environment.foreign.get(&net(prefix));
            assert_eq!(foreign, Some(&on_wan(None)), "{prefix}");
        }

        let by_neighbor = Foreign::Neighbor(Via {
            interface: name("wan0"),
            gateway: "192.0.2.7".parse().ok(),
            source: None,
        });
        let foreign = ear.environment.foreign.get(&net("10.69.0.0/16"));
        assert_eq!(foreign, Some(&by_neighbor));

        // An object is replaced, one way of an IPv6 route goes, a route moves, routes go.
        ip(
            "nexthop replace id 31 via 10.255.0.9 dev pat0 protocol zebra
            -6 route del fd00:3::/48 nexthop via fd00:ff::4 dev pat0
            route replace 10.4.0.0/16 via 10.255.0.8 dev pat0 proto bgp
            route del 10.5.0.0/16
            route del 10.2.0.0/16
            route del 10.67.0.0/16 dev wan0
            route flush table 7129 exact 10.7.0.0/16
            route del default table 7129",
        );
        let expected = learned(&[
            ("10.3.0.0/16", "10.255.0.9"),
            ("10.32.0.0/16", "10.255.0.2"),
            ("10.4.0.0/16", "10.255.0.8"),
            ("10.67.0.0/16", "10.255.0.9"),
            ("fd00:2::/48", "fd00:ff::2"),
            ("fd00:3::/48", "fd00:ff::9"),
        ]);
        ear.until("all changes are learned", |ear| ear.learned == expected);

        // Deleting an object deletes its routes, and the kernel says nothing about these.
        run("ip nexthop del id 31");
        run("ip nexthop del id 40");
        let expected = learned(&[
            ("10.32.0.0/16", "10.255.0.2"),
            ("10.4.0.0/16", "10.255.0.8"),
            ("fd00:3::/48", "fd00:ff::9"),
        ]);
        ear.until("silent deletions are seen", |ear| ear.learned == expected);
        run("ip link set pat0 down");
        ear.until("nothing is left", |ear| ear.learned.is_empty());
        assert!(ear.deltas.iter().all(|delta| !delta.full));
        ear.settle();
        assert!((1..=2).contains(&ear.owned), "debounced: {}", ear.owned);
    });
}

#[test]
fn the_environment_is_reported_as_it_changes() {
    inside(|| {
        world();
        let mut ear = Ear::new(Watch::RECEIVE_BUFFER, Vec::new());
        assert!(ear.uplink().carrier);
        assert_eq!(ear.uplink().mtu, 1500);
        ip("address add 192.0.2.2/24 dev wan0
            address add 2001:db8::2/64 dev wan0 nodad
            route add default via 192.0.2.254 metric 50
            route add default via 192.0.2.1 metric 10
            route add default via 192.0.2.77 metric 1 table 7129
            -6 route add default via 2001:db8::1 dev wan0
            link set wan0 mtu 1492");
        ear.until("addresses and gateways", |ear| {
            let uplink = ear.uplink();
            uplink.gateway4 == "192.0.2.1".parse().ok()
                && uplink.gateway6 == "2001:db8::1".parse().ok()
                && uplink.mtu == 1492
                && uplink.addresses == [net("192.0.2.2/24"), net("2001:db8::2/64")].into()
        });
        let foreign = &ear.environment.foreign;
        let connected = on_wan("192.0.2.2".parse().ok());
        assert_eq!(foreign.get(&net("192.0.2.0/24")), Some(&connected));
        for not in ["0.0.0.0/0", "::/0", "10.255.0.0/16", "fd00:ff::/64"] {
            assert!(!foreign.contains_key(&net(not)), "{not}");
        }
        run("ip link set isp0 down");
        let started = Instant::now();
        ear.until("loss of carrier", |ear| !ear.uplink().carrier);
        println!("loss of carrier reported after {:?}", started.elapsed());
        run("ip link set isp0 up");
        ear.until("carrier again", |ear| ear.uplink().carrier);
        let lan = |ear: &Ear| {
            let lan = ear.environment.lans.get(&name("lan0"))?;
            Some((lan.carrier, lan.addresses.len()))
        };
        assert_eq!(lan(&ear), None);
        run("ip link add lan0 type veth peer name host0");
        ear.until("a LAN that is down", |ear| lan(ear) == Some((false, 0)));
        run("ip link set lan0 up");
        run("ip link set host0 up");
        run("ip address add 10.1.0.1/24 dev lan0");
        ear.until("a LAN that is up", |ear| lan(ear) == Some((true, 1)));
        run("ip link add wan1 type veth peer name isp1");
        ear.follower
            .follow([(Slot::new(2).unwrap(), name("wan1"))].into(), [].into());
        ear.until("the other uplink", |ear| {
            ear.environment.uplinks.keys().eq([&Slot::new(2).unwrap()])
        });
        run("ip link del wan1");
        ear.until("no uplink", |ear| ear.environment.uplinks.is_empty());
    });
}

#[test]
fn what_others_do_to_our_objects_is_reported_and_what_we_do_is_not() {
    inside(|| {
        world();
        let mut kernel = open();
        let mut ear = Ear::new(Watch::RECEIVE_BUFFER, vec![kernel.port()]);
        // Carrier comes a moment after the interface.
        ear.settle();
        ear.owned = 0;
        let guard = key(7128, "10.0.0.0/8", 9999);
        apply(
            &mut kernel,
            &Plan(vec![
                Change::PutNexthop(nexthop(2, 1), name("pat0")),
                Change::PutRoute(guard, RouteTarget::Unreachable),
                Change::DeleteRoute(guard),
                Change::PutRoute(guard, RouteTarget::Unreachable),
            ]),
        );
        ip("route add 10.9.0.0/16 dev wan0 table 7001 proto static
            rule add pref 999 lookup 7001 protocol 80
            nexthop add id 9 dev wan0");
        run("nft add table inet other");
        ear.settle();
        assert_eq!(ear.owned, 0);
        let disturbances = [
            "ip route del unreachable 10.0.0.0/8 table 7128",
            "ip rule add pref 1001 lookup 7201 protocol 80",
            "ip rule del pref 1001",
            "ip nexthop del id 4026532353",
            "ip address add 10.255.0.77/16 dev pat0",
            "ip link set pat0 mtu 1300",
            "nft add table inet patronus",
            "nft flush ruleset",
            "ip link del pat0",
        ];
        for (number, command) in disturbances.iter().enumerate() {
            run(command);
            ear.until(command, |ear| ear.owned > number);
            ear.settle();
            assert_eq!(ear.owned, number + 1, "once: {command}");
        }
    });
}

/// Makes 10,000 routes by 100 nexthop objects, as fast as `ip` can.
fn ten_thousand() -> Command {
    let mut batch = String::new();
    for id in 1..=100u32 {
        batch += &format!("nexthop add id {id} via 10.255.1.{id} dev pat0 protocol zebra\n");
    }
    for number in 0..10_000u32 {
        let (high, low, id) = (number >> 8, number & 255, number % 100 + 1);
        batch += &format!("route add 11.{high}.{low}.0/24 nhid {id} protocol bgp metric 20\n");
    }
    std::fs::write("/run/batch", batch).unwrap();
    let mut command = Command::new("ip");
    command.args(["-batch", "/run/batch"]).stdout(Stdio::null());
    command
}

#[test]
fn ten_thousand_routes_are_followed_without_a_loss() {
    inside(|| {
        world();
        let mut ear = Ear::new(Watch::RECEIVE_BUFFER, Vec::new());
        let started = Instant::now();
        assert!(ten_thousand().status().unwrap().success());
        let made = started.elapsed();
        ear.until("all are learned", |ear| ear.learned.len() == 10_000);
        println!(
            "made in {made:?}, learned after {:?} in {} deltas",
            started.elapsed(),
            ear.deltas.len()
        );
        assert!(ear.deltas.iter().all(|delta| !delta.full), "no overrun");
        let started = Instant::now();
        run("ip route flush table main protocol bgp");
        ear.until("all are unlearned", |ear| ear.learned.is_empty());
        println!("unlearned after {:?}", started.elapsed());
    });
}

#[test]
fn an_overrun_is_repaired_by_listing_again() {
    inside(|| {
        world();
        // So small that a few events fill it.
        let mut ear = Ear::new(2048, Vec::new());
        assert!(ten_thousand().status().unwrap().success());
        ear.until("all are learned", |ear| ear.learned.len() == 10_000);
        assert!(
            ear.deltas.iter().any(|delta| delta.full),
            "it was an overrun"
        );
        assert!(ear.owned > 0, "ours may have been among what was lost");
    });
}
