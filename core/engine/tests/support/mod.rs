//! A router in memory: an engine, and a kernel that does what plans say.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test support, of which each test binary uses its part"
)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use patronus_engine::diff::apply;
use patronus_engine::{Effect, Engine, Input};
use patronus_model::Timestamp;
use patronus_model::bgp::{Accept, Advertise, Asn, BgpNeighbor, BgpTimers};
use patronus_model::event::{Decision, Event};
use patronus_model::ids::{ClassId, Dscp, PathId, SiteNumber, Slot};
use patronus_model::kernel::{
    ApplyOutcome, Environment, Foreign, KernelState, LanInterface, RouteTarget, UplinkState, Via,
};
use patronus_model::layout::{HubIndex, KernelLayout, NexthopId};
use patronus_model::path::Liveness;
use patronus_model::policy::{Failover, Flow, Protocol, QosClass, Strategy, TrafficClass};
use patronus_model::router::{
    Bgp, Gateway, HealthParams, Lan, Overlay, RemoteSite, RemoteUplink, RouterConfig, Site, Uplink,
};
use patronus_model::wireguard::PublicKey;

pub fn site(n: u16) -> SiteNumber {
    SiteNumber::new(n).unwrap()
}

pub fn slot(n: u8) -> Slot {
    Slot::new(n).unwrap()
}

pub fn class(n: u8) -> ClassId {
    ClassId::new(n).unwrap()
}

pub fn path(to: u16, local: u8, remote: u8) -> PathId {
    PathId {
        site: site(to),
        local: slot(local),
        remote: slot(remote),
    }
}

/// The uplinks at the two ends of each path between sites with two uplinks each.
pub const ALL_FOUR: [(u8, u8); 4] = [(1, 1), (1, 2), (2, 1), (2, 2)];

pub const VOICE: u8 = 1;
pub const BULK: u8 = 2;

fn uplink_name(n: u8) -> &'static str {
    ["fibre", "lte", "mpls"][usize::from(n) - 1]
}

fn key(site: u16, uplink: u8) -> PublicKey {
    let mut key = [uplink; 32];
    key[..2].copy_from_slice(&site.to_be_bytes());
    PublicKey(key)
}

fn traffic_class(id: u8, name: &str, order: &[u8]) -> TrafficClass {
    TrafficClass {
        id: class(id),
        name: name.parse().unwrap(),
        qos: QosClass::Standard,
        dscp: Dscp::new(id * 8).unwrap(),
        strategy: Strategy::Preference(
            order
                .iter()
                .map(|n| uplink_name(*n).parse().unwrap())
                .collect(),
        ),
        failover: Failover::default(),
    }
}

pub fn remote(n: u16, uplinks: u8, hub: Option<u8>) -> RemoteSite {
    let [high, low] = n.to_be_bytes();
    RemoteSite {
        id: format!("site-{n}").parse().unwrap(),
        name: format!("Site {n}"),
        number: site(n),
        ipv4: [10, 255, high, low].into(),
        ipv6: Some(format!("fd00:255::{n:x}").parse().unwrap()),
        hub: hub.map(|n| HubIndex::new(n).unwrap()),
        asn: Asn::new(64_512 + u32::from(n)).unwrap(),
        bgp_password: None,
        prefixes: vec![format!("10.{low}.0.0/24").parse().unwrap()],
        uplinks: (1..=uplinks)
            .map(|u| RemoteUplink {
                name: uplink_name(u).parse().unwrap(),
                slot: slot(u),
                underlay: "internet".parse().unwrap(),
                public_key: key(n, u),
                endpoint: Some(format!("198.18.{low}.{u}:51820").parse().unwrap()),
            })
            .collect(),
    }
}

/// A router of somebody else's.
fn neighbor(address: &str) -> BgpNeighbor {
    BgpNeighbor {
        address: address.parse().unwrap(),
        description: address.to_owned(),
        remote_asn: Asn::new(65_001).unwrap(),
        password: None,
        update_source: None,
        ebgp_multihop: None,
        next_hop_self: true,
        advertise: Advertise::Everything,
        accept: Accept::All,
        maximum_prefixes: None,
        timers: BgpTimers::default(),
        bfd: None,
    }
}

/// Site 1 with so many uplinks and these others, voice preferring the first uplink and bulk the
/// second.
pub fn config(uplinks: u8, remotes: Vec<RemoteSite>) -> RouterConfig {
    RouterConfig {
        site: Site {
            id: "site-1".parse().unwrap(),
            name: "Site 1".into(),
            location: None,
            labels: Default::default(),
        },
        overlay: Overlay {
            ipv4: "10.255.0.1/16".parse().unwrap(),
            ipv6: Some("fd00:255::1/64".parse().unwrap()),
            prefixes: vec!["10.0.0.0/8".parse().unwrap()],
        },
        hub: None,
        uplinks: (1..=uplinks)
            .map(|u| Uplink {
                name: uplink_name(u).parse().unwrap(),
                slot: slot(u),
                interface: format!("wan{u}").parse().unwrap(),
                underlay: "internet".parse().unwrap(),
                gateway4: Gateway::Dynamic,
                gateway6: Gateway::None,
                bandwidth_up: None,
                bandwidth_down: None,
                cost: 100,
                metered: false,
                listen_port: 51_820 + 64 * (u16::from(u) - 1),
                public_key: key(1, u),
            })
            .collect(),
        lans: vec![Lan {
            interface: "lan0".parse().unwrap(),
            prefixes: vec!["10.1.0.0/24".parse().unwrap()],
        }],
        remotes,
        bgp: Bgp {
            asn: Asn::new(64_513).unwrap(),
            router_id: [10, 255, 0, 1].into(),
            timers: BgpTimers::default(),
            graceful_restart: Some(Duration::from_secs(120)),
            maximum_prefixes: 20_000,
            neighbors: vec![neighbor("10.1.0.7"), neighbor("fd00:1::7")],
            originate_default: false,
        },
        classes: vec![
            traffic_class(VOICE, "voice", &[1, 2]),
            traffic_class(BULK, "bulk", &[2, 1]),
        ],
        default_class: class(BULK),
        policies: vec![],
        health: HealthParams::default(),
        layout: KernelLayout::default(),
    }
}

pub fn environment(uplinks: u8) -> Environment {
    let state = |n: u8| UplinkState {
        carrier: true,
        mtu: 1500,
        addresses: [format!("198.18.1.{n}/24").parse().unwrap()].into(),
        gateway4: Some(IpAddr::from([198, 18, 1, 254])),
        gateway6: None,
    };
    let lan = LanInterface {
        carrier: true,
        addresses: ["10.1.0.1/24".parse().unwrap()].into(),
    };
    let wans = (1..=uplinks).map(|n| format!("wan{n}"));
    Environment {
        looked_for: wans
            .chain(["lan0".into()])
            .map(|name| name.parse().unwrap())
            .collect(),
        uplinks: (1..=uplinks).map(|n| (slot(n), state(n))).collect(),
        lans: [("lan0".parse().unwrap(), lan)].into(),
        foreign: [
            ("10.1.0.0/24".parse().unwrap(), on_lan()),
            ("198.18.1.0/24".parse().unwrap(), Foreign::Main(None)),
        ]
        .into(),
        addresses: ["10.1.0.1", "198.18.1.1"]
            .map(|address| address.parse().unwrap())
            .into(),
    }
}

/// The network of our own LAN.
pub fn on_lan() -> Foreign {
    Foreign::Main(Some(Via {
        interface: "lan0".parse().unwrap(),
        gateway: None,
        source: Some(IpAddr::from([10, 1, 0, 1])),
    }))
}

/// What a router in our LAN has told us of.
pub fn of_neighbor() -> Foreign {
    Foreign::Neighbor(Via {
        interface: "lan0".parse().unwrap(),
        gateway: Some(IpAddr::from([10, 1, 0, 7])),
        source: None,
    })
}

/// A packet from our LAN.
pub fn flow_to(destination: &str) -> Flow {
    Flow {
        source: "10.1.0.9".parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: Protocol::UDP,
        source_port: None,
        destination_port: None,
        dscp: Dscp::new(0).unwrap(),
        ingress: None,
    }
}

/// What the guard's table says of an address.
pub fn guard(kernel: &KernelState, to: &str) -> Option<RouteTarget> {
    let to: IpAddr = to.parse().unwrap();
    let table = KernelLayout::default().guard_table();
    let routes = kernel.routes.iter();
    routes
        .filter(|(key, _)| key.table == table && key.prefix.contains(&to))
        .max_by_key(|(key, _)| (key.prefix.prefix_len(), std::cmp::Reverse(key.metric)))
        .map(|(_, target)| target.clone())
}

/// What a provider's router beyond an uplink has told us of.
pub fn of_provider() -> Foreign {
    Foreign::Neighbor(Via {
        interface: "wan1".parse().unwrap(),
        gateway: Some(IpAddr::from([198, 18, 1, 254])),
        source: None,
    })
}

pub struct Router {
    pub engine: Engine,
    pub kernel: KernelState,
    pub now: Timestamp,
    pub events: Vec<Event>,
    /// Every change that was asked for, in order.
    pub changes: Vec<patronus_model::kernel::Change>,
    /// How many of the next changes fail.
    pub failing: usize,
    /// Fast-lane moves.
    pub moves: usize,
    /// Plans.
    pub plans: usize,
}

impl Router {
    pub fn new(config: RouterConfig, environment: Environment) -> Self {
        Self::on(KernelState::default(), config, environment)
    }

    /// A daemon that starts on a kernel in which an earlier one left this.
    pub fn on(kernel: KernelState, config: RouterConfig, environment: Environment) -> Self {
        let mut router = Self::unconfigured(kernel, environment);
        router.input(Input::Config(Arc::new(config)));
        router
    }

    /// A daemon that has not been told anything yet.
    pub fn unconfigured(kernel: KernelState, environment: Environment) -> Self {
        let mut router = Self {
            engine: Engine::default(),
            kernel,
            now: Timestamp::from_millis(1000),
            events: vec![],
            changes: vec![],
            failing: 0,
            moves: 0,
            plans: 0,
        };
        router.input(Input::Environment(environment));
        router
    }

    pub fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Observe => {
                    let state = Box::new(self.kernel.clone());
                    self.engine.handle(self.now, Input::Observed(state));
                }
                Effect::Apply(plan) => {
                    self.plans += 1;
                    let mut outcome = ApplyOutcome {
                        done: 0,
                        failed: vec![],
                        took: Duration::ZERO,
                    };
                    for change in plan.0 {
                        self.changes.push(change.clone());
                        if self.failing > 0 {
                            self.failing -= 1;
                            outcome.failed.push("no".into());
                        } else {
                            apply(&mut self.kernel, &change);
                            outcome.done += 1;
                        }
                    }
                    self.engine.handle(self.now, Input::Applied(outcome));
                }
                Effect::Move(moves) => {
                    self.moves += moves.len();
                    let mut failed = vec![];
                    for (id, interface) in moves {
                        match self.kernel.nexthops.get_mut(&id) {
                            Some(known) => *known = interface,
                            None => failed.push(id),
                        }
                    }
                    self.engine.handle(self.now, Input::Moved(failed));
                }
                Effect::Watch(_) | Effect::Bgp(_) => {}
                Effect::Report(event) => self.events.push(event),
            }
        }
    }

    /// Lets time pass, waking the engine when it asks for it.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.input(Input::Tick);
        }
        self.now = end;
    }

    pub fn seconds(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }

    pub fn bfd(&mut self, path: PathId, liveness: Liveness) {
        self.input(Input::Liveness(path, liveness));
    }

    /// BFD says the same of these paths to a site, one after the other.
    pub fn bfd_of(
        &mut self,
        to: u16,
        pairs: impl IntoIterator<Item = (u8, u8)>,
        liveness: Liveness,
        apart: Duration,
    ) {
        for (local, remote) in pairs {
            self.bfd(path(to, local, remote), liveness);
            // Not even the tick that is due: what comes at once comes at once.
            if !apart.is_zero() {
                self.wait(apart);
            }
        }
    }

    pub fn all_up(&mut self) {
        let paths: Vec<PathId> =
            patronus_engine::topology::Topology::new(self.engine.config().unwrap())
                .paths
                .into_keys()
                .collect();
        paths
            .into_iter()
            .for_each(|path| self.bfd(path, Liveness::Up));
    }

    /// The interface on which a class travels to a site.
    pub fn way(&self, to: u16, by: u8) -> &str {
        self.kernel.nexthops[&NexthopId::new(site(to), class(by))].as_str()
    }

    pub fn decisions(&self) -> impl DoubleEndedIterator<Item = &Decision> {
        self.events.iter().filter_map(|event| match event {
            Event::Moved(decision) => Some(decision),
            _ => None,
        })
    }
}

/// Two sites with two uplinks each, which have been well for a minute.
pub fn two_uplinks() -> Router {
    let mut router = Router::new(config(2, vec![remote(2, 2, None)]), environment(2));
    router.all_up();
    router.seconds(60);
    router.events.clear();
    router.moves = 0;
    router
}
