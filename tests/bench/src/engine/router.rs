//! A router in memory: an engine, and a kernel that does what plans say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ipnet::{IpNet, Ipv4Net};
use patronus_engine::diff::apply;
use patronus_engine::topology::Topology;
use patronus_engine::{Effect, Engine, Input};
use patronus_model::Timestamp;
use patronus_model::bgp::{Accept, Advertise, Asn, BgpNeighbor, BgpTimers};
use patronus_model::ids::{ClassId, Dscp, PathId, SiteNumber, Slot};
use patronus_model::kernel::{
    ApplyOutcome, Environment, Foreign, KernelState, LearnedDelta, Plan, UplinkState, Via,
};
use patronus_model::layout::KernelLayout;
use patronus_model::path::{Liveness, Measurement};
use patronus_model::policy::{Failover, QosClass, Strategy, TrafficClass};
use patronus_model::router::{
    Bgp, Gateway, HealthParams, Lan, Overlay, RemoteSite, RemoteUplink, RouterConfig, Site, Uplink,
};
use patronus_model::wireguard::PublicKey;

/// Traffic classes.
pub(super) const CLASSES: usize = 5;
/// Uplinks of each site.
const UPLINKS: u8 = 2;
/// Longer than any grace, hold or cooldown.
const SETTLING: Duration = Duration::from_secs(60);
/// The first site has this number, the next ones follow.
const FIRST_SITE: u16 = 2;
const NAMES: [&str; 2] = ["fibre", "lte"];
const LAN: &str = "lan0";
/// A BGP speaker in the LAN.
const NEIGHBOR: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 7);

/// A router in memory.
pub(super) struct Router {
    pub(super) engine: Engine,
    pub(super) kernel: KernelState,
    pub(super) now: Timestamp,
    paths: Vec<PathId>,
}

impl Router {
    /// With so many paths, all of them up for a while, and so many prefixes spread over the sites.
    pub(super) fn settled(paths: usize, prefixes: usize) -> Result<Self> {
        let config = config(paths)?;
        let learned = learned(&config, prefixes);
        let mut router = Self {
            engine: Engine::default(),
            kernel: KernelState::default(),
            now: Timestamp::from_millis(1000),
            paths: Topology::new(&config).paths.into_keys().collect(),
        };
        ensure!(router.paths.len() == paths, "{} paths", router.paths.len());
        router.input(Input::Environment(environment()?));
        router.input(Input::Config(Arc::new(config)));
        router.input(Input::Learned(learned));
        for path in router.paths.clone() {
            router.input(Input::Liveness(path, Liveness::Up));
        }
        router.measure(0);
        let end = router.now + SETTLING;
        while router.now < end {
            router.next_tick()?;
            router.input(Input::Tick);
        }
        Ok(router)
    }

    /// Lets time pass until the engine wants to be woken.
    pub(super) fn next_tick(&mut self) -> Result<()> {
        let due = self.engine.poll_timeout().context("it never wakes up")?;
        self.now = due.max(self.now);
        Ok(())
    }

    /// A new measurement of every path, each a little different from the one before.
    pub(super) fn measure(&mut self, round: usize) {
        for (number, path) in (0u64..).zip(&self.paths) {
            let noise = (number + round as u64) % 7 * 10;
            let measured = Measurement {
                rtt: Some(Duration::from_micros(10_000 + noise)),
                loss_permille: Some(0),
            };
            let input = Input::Measured(*path, measured);
            self.engine.handle(self.now, input);
        }
    }

    /// One path of each site that most classes are on.
    pub(super) fn chosen_paths(&self) -> Vec<PathId> {
        let first = |path: &&PathId| path.local.get() == 1 && path.remote.get() == 1;
        self.paths.iter().filter(first).copied().collect()
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.carry_out();
    }

    /// Does what the engine wants done. Returns how many nexthops moved.
    pub(super) fn carry_out(&mut self) -> usize {
        let mut moved = 0;
        while let Some(effect) = self.engine.poll_effect() {
            moved += self.perform(effect);
        }
        moved
    }

    /// Does one thing. Returns how many nexthops moved.
    pub(super) fn perform(&mut self, effect: Effect) -> usize {
        let mut moved = 0;
        let answer = match effect {
            Effect::Observe => Input::Observed(Box::new(self.kernel.clone())),
            Effect::Apply(plan) => Input::Applied(self.apply(&plan)),
            Effect::Move(moves) => {
                moved = moves.len();
                self.kernel.nexthops.extend(moves);
                Input::Moved(Vec::new())
            }
            Effect::Watch(_) | Effect::Bgp(_) | Effect::Report(_) => return 0,
        };
        self.engine.handle(self.now, answer);
        moved
    }

    /// The news that the first site has yet another prefix.
    pub(super) fn one_more(&self, number: usize) -> Result<LearnedDelta> {
        let config = self.engine.config().context("no configuration")?;
        let site = config.remotes.first().context("no sites")?;
        let number = u8::try_from(number)?;
        let prefix: IpNet = format!("10.77.{number}.0/24").parse()?;
        Ok(LearnedDelta {
            set: [(prefix, site.ipv4.into())].into(),
            ..LearnedDelta::default()
        })
    }

    /// Lets a router in the LAN announce so many prefixes.
    pub(super) fn hear_neighbor(&mut self, prefixes: usize) -> Result<()> {
        let foreign = self.surroundings(prefixes)?;
        self.input(Input::Environment(foreign));
        Ok(())
    }

    /// What is around the router when its neighbour announces so many prefixes.
    pub(super) fn surroundings(&self, prefixes: usize) -> Result<Environment> {
        let mut environment = environment()?;
        let via = Via {
            interface: LAN.parse()?,
            gateway: Some(NEIGHBOR.into()),
            source: None,
        };
        let nets = nets(Ipv4Addr::new(10, 128, 0, 0), prefixes);
        let foreign = nets.map(|net| (net, Foreign::Neighbor(via.clone())));
        environment.foreign.extend(foreign);
        Ok(environment)
    }

    fn apply(&mut self, plan: &Plan) -> ApplyOutcome {
        for change in &plan.0 {
            apply(&mut self.kernel, change);
        }
        ApplyOutcome {
            done: plan.0.len(),
            failed: Vec::new(),
            took: Duration::ZERO,
        }
    }
}

fn config(paths: usize) -> Result<RouterConfig> {
    let slots = (1..=UPLINKS)
        .map(Slot::new)
        .collect::<Result<Vec<_>, _>>()?;
    let uplinks = slots
        .iter()
        .zip(NAMES)
        .map(|(slot, name)| uplink(*slot, name));
    Ok(RouterConfig {
        site: Site {
            id: "site-1".parse()?,
            name: "Site 1".to_owned(),
            location: None,
            labels: BTreeMap::new(),
        },
        overlay: Overlay {
            ipv4: "10.255.0.1/16".parse()?,
            ipv6: Some("fd00:255::1/64".parse()?),
            prefixes: vec!["10.0.0.0/8".parse()?],
        },
        hub: None,
        uplinks: uplinks.collect::<Result<_>>()?,
        lans: vec![Lan {
            interface: LAN.parse()?,
            prefixes: vec!["192.168.1.0/24".parse()?],
        }],
        remotes: remotes(paths, &slots)?,
        bgp: Bgp {
            asn: Asn::new(64_513)?,
            router_id: Ipv4Addr::new(10, 255, 0, 1),
            timers: BgpTimers::default(),
            graceful_restart: Some(Duration::from_secs(120)),
            maximum_prefixes: 20_000,
            neighbors: vec![neighbor()?],
            originate_default: false,
        },
        classes: classes()?,
        default_class: ClassId::new(4)?,
        policies: Vec::new(),
        health: HealthParams::default(),
        layout: KernelLayout::default(),
    })
}

/// What the router in the LAN announces is believed.
fn neighbor() -> Result<BgpNeighbor> {
    Ok(BgpNeighbor {
        address: NEIGHBOR.into(),
        description: "core".to_owned(),
        remote_asn: Asn::new(65_077)?,
        password: None,
        update_source: None,
        ebgp_multihop: None,
        next_hop_self: false,
        advertise: Advertise::OwnNetworks,
        accept: Accept::AllButDefault,
        maximum_prefixes: None,
        timers: BgpTimers::default(),
        bfd: None,
    })
}

/// Three classes want the first uplink, one the second, and one the fastest path.
fn classes() -> Result<Vec<TrafficClass>> {
    let order = |names: [&str; 2]| -> Result<Strategy> {
        let names = names
            .into_iter()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(Strategy::Preference(names))
    };
    let [first, second] = NAMES;
    let classes: [_; CLASSES] = [
        ("voice", QosClass::RealTime, order([first, second])?),
        ("desktop", QosClass::Interactive, Strategy::LeastLatency),
        ("video", QosClass::Streaming, order([first, second])?),
        ("standard", QosClass::Standard, order([first, second])?),
        ("bulk", QosClass::Bulk, order([second, first])?),
    ];
    let class = |(id, (name, qos, strategy)): (u8, (&str, _, _))| -> Result<_> {
        Ok(TrafficClass {
            id: ClassId::new(id)?,
            name: name.parse()?,
            qos,
            dscp: Dscp::new(id * 8)?,
            strategy,
            failover: Failover::default(),
        })
    };
    (1..).zip(classes).map(class).collect()
}

fn uplink(slot: Slot, name: &str) -> Result<Uplink> {
    Ok(Uplink {
        name: name.parse()?,
        slot,
        interface: format!("wan{slot}").parse()?,
        underlay: "internet".parse()?,
        gateway4: Gateway::Dynamic,
        gateway6: Gateway::None,
        bandwidth_up: None,
        bandwidth_down: None,
        cost: 100,
        metered: false,
        listen_port: 51_820 + 64 * u16::from(slot.get() - 1),
        public_key: key(1, slot),
    })
}

/// As many sites as there are paths for; the last has fewer uplinks when it does not come out even.
fn remotes(paths: usize, slots: &[Slot]) -> Result<Vec<RemoteSite>> {
    let mut left = paths;
    let mut sites = Vec::new();
    for number in FIRST_SITE.. {
        let uplinks = (left / slots.len()).min(slots.len());
        if uplinks == 0 {
            break;
        }
        left -= uplinks * slots.len();
        sites.push(remote(number, slots.get(..uplinks).unwrap_or_default())?);
    }
    Ok(sites)
}

fn remote(number: u16, slots: &[Slot]) -> Result<RemoteSite> {
    let [high, low] = number.to_be_bytes();
    let uplink = |(slot, name): (&Slot, &str)| -> Result<RemoteUplink> {
        Ok(RemoteUplink {
            name: name.parse()?,
            slot: *slot,
            underlay: "internet".parse()?,
            public_key: key(number, *slot),
            endpoint: Some(format!("198.{}.{low}.{slot}:51820", 18 + u16::from(high)).parse()?),
        })
    };
    Ok(RemoteSite {
        id: format!("site-{number}").parse()?,
        name: format!("Site {number}"),
        number: SiteNumber::new(number)?,
        ipv4: Ipv4Addr::new(10, 255, high, low),
        ipv6: Some(format!("fd00:255::{number:x}").parse()?),
        hub: None,
        asn: Asn::new(4_200_000_000 + u32::from(number))?,
        bgp_password: None,
        prefixes: Vec::new(),
        uplinks: slots.iter().zip(NAMES).map(uplink).collect::<Result<_>>()?,
    })
}

fn key(site: u16, slot: Slot) -> PublicKey {
    let [high, low] = site.to_be_bytes();
    let mut key = [slot.get(); 32];
    let [first, second, ..] = &mut key;
    (*first, *second) = (high, low);
    PublicKey(key)
}

/// Prefixes from 172.16.0.0 on, the sites taking turns.
fn learned(config: &RouterConfig, prefixes: usize) -> LearnedDelta {
    let owners = config
        .remotes
        .iter()
        .map(|site| IpAddr::V4(site.ipv4))
        .cycle();
    let nets = nets(Ipv4Addr::new(172, 16, 0, 0), prefixes);
    LearnedDelta {
        full: true,
        set: nets.zip(owners).collect(),
        removed: BTreeSet::new(),
    }
}

/// So many prefixes of 64 addresses, one after the other.
fn nets(first: Ipv4Addr, count: usize) -> impl Iterator<Item = IpNet> {
    let nets = (u32::from(first)..).step_by(64).take(count);
    let nets = nets.map(Ipv4Addr::from);
    nets.filter_map(|at| Ipv4Net::new(at, 26).ok())
        .map(IpNet::V4)
}

fn environment() -> Result<Environment> {
    let state = |number: u8| -> Result<_> {
        let state = UplinkState {
            carrier: true,
            mtu: 1500,
            addresses: BTreeSet::from([format!("100.64.{number}.2/24").parse()?]),
            gateway4: Some(Ipv4Addr::new(100, 64, number, 1).into()),
            gateway6: None,
        };
        Ok((Slot::new(number)?, state))
    };
    Ok(Environment {
        looked_for: BTreeSet::new(),
        uplinks: (1..=UPLINKS).map(state).collect::<Result<_>>()?,
        lans: BTreeMap::new(),
        foreign: BTreeMap::from([("192.168.1.0/24".parse()?, Foreign::Main(None))]),
        addresses: BTreeSet::new(),
    })
}
