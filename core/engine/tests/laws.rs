//! Laws that hold for every configuration, every state of the kernel and every course of events.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::net::IpAddr;

use ipnet::IpNet;
use patronus_engine::diff::{apply, diff};
use patronus_engine::{Engine, Input};
use patronus_model::ids::PathId;
use patronus_model::kernel::{
    Environment, Family, Foreign, KernelState, LearnedDelta, RouteTarget, Selector,
};
use patronus_model::path::{Liveness, Measurement};
use patronus_model::router::RouterConfig;
use patronus_model::view::Outcome;
use proptest::prelude::*;
use support::*;

fn configs() -> impl Strategy<Value = RouterConfig> {
    let remotes = prop::collection::vec((1u8..=3, prop::option::of(1u8..=3)), 0..5);
    (1u8..=3, remotes).prop_map(|(uplinks, remotes)| {
        let numbered = (2u16..).zip(remotes);
        config(
            uplinks,
            numbered
                .map(|(n, (uplinks, hub))| remote(n, uplinks, hub))
                .collect(),
        )
    })
}

fn environments() -> impl Strategy<Value = Environment> {
    let served = prop_oneof![
        Just(Foreign::Main(None)),
        Just(on_lan()),
        Just(of_neighbor()),
        Just(of_provider()),
    ];
    let foreign = prop::collection::vec((0u8..255, served), 0..4);
    // Of its neighbours, one may announce what our LAN is in, what belongs to the overlay, or all.
    let around = prop::option::of(prop::sample::select(vec![
        "10.1.0.0/16",
        "10.0.0.0/8",
        "10.0.0.0/7",
        "0.0.0.0/0",
    ]));
    let around = (around, any::<bool>());
    (0u8..=3, foreign, around).prop_map(|(uplinks, foreign, (around, provider))| {
        let announced = || {
            if provider {
                of_provider()
            } else {
                of_neighbor()
            }
        };
        let mut environment = environment(uplinks);
        let foreign = foreign.into_iter();
        let foreign = foreign.map(|(number, served)| (IpNet::from_parts(number), served));
        let around = around.map(|net| (net.parse().unwrap(), announced()));
        environment.foreign.extend(foreign.chain(around));
        environment
    })
}

trait FromParts {
    fn from_parts(n: u8) -> Self;
}

impl FromParts for IpNet {
    fn from_parts(n: u8) -> Self {
        format!("10.{n}.{n}.0/24").parse().unwrap()
    }
}

/// Something that can happen, as numbers that any configuration makes sense of.
#[derive(Clone, Debug)]
enum Happening {
    Bfd(usize, u8),
    Rtt(usize, u16),
    Learn(u8, u16),
    Forget(u8),
    Daemon(bool),
    Wait(u16),
    Touch,
    Carrier(u8, bool),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        (0usize..40, 0u8..6).prop_map(|(p, l)| Happening::Bfd(p, l)),
        (0usize..40, 0u16..600).prop_map(|(p, ms)| Happening::Rtt(p, ms)),
        (0u8..8, 2u16..8).prop_map(|(n, s)| Happening::Learn(n, s)),
        (0u8..8).prop_map(Happening::Forget),
        any::<bool>().prop_map(Happening::Daemon),
        (0u16..20_000).prop_map(Happening::Wait),
        Just(Happening::Touch),
        (1u8..=3, any::<bool>()).prop_map(|(n, up)| Happening::Carrier(n, up)),
    ];
    prop::collection::vec(one, 0..40)
}

fn happen(router: &mut Router, environment: &mut Environment, what: &Happening) {
    let paths: Vec<PathId> =
        patronus_engine::topology::Topology::new(router.engine.config().unwrap())
            .paths
            .into_keys()
            .collect();
    let path = |n: usize| paths.get(n % paths.len().max(1)).copied();
    let prefix = |n: u8| IpNet::from_parts(100 + n);
    match what {
        Happening::Bfd(n, liveness) => {
            let all = [
                Liveness::Up,
                Liveness::Silent,
                Liveness::NotHeard,
                Liveness::AdminDown,
                Liveness::GivenUp,
                Liveness::Begun,
            ];
            if let Some(path) = path(*n) {
                router.bfd(path, all[usize::from(*liveness)]);
            }
        }
        Happening::Rtt(n, ms) => {
            let rtt = Some(std::time::Duration::from_millis(u64::from(*ms)));
            if let Some(path) = path(*n) {
                router.input(Input::Measured(
                    path,
                    Measurement {
                        rtt,
                        loss_permille: None,
                    },
                ));
            }
        }
        Happening::Learn(n, s) => {
            let next_hop = IpAddr::from([10, 255, s.to_be_bytes()[0], s.to_be_bytes()[1]]);
            let set = [(prefix(*n), next_hop)].into();
            router.input(Input::Learned(LearnedDelta {
                set,
                ..Default::default()
            }));
        }
        Happening::Forget(n) => {
            let removed = [prefix(*n)].into();
            router.input(Input::Learned(LearnedDelta {
                removed,
                ..Default::default()
            }));
        }
        Happening::Daemon(up) => router.input(Input::RoutingDaemon("bgpd".into(), *up)),
        Happening::Wait(ms) => router.wait(std::time::Duration::from_millis(u64::from(*ms))),
        Happening::Touch => router.input(Input::Touched),
        Happening::Carrier(n, up) => {
            if let Some(uplink) = environment.uplinks.get_mut(&slot(*n)) {
                uplink.carrier = *up;
            }
            router.input(Input::Environment(environment.clone()));
        }
    }
}

/// Whether a packet without a mark goes to our LAN, or our rules leave it to the main table.
fn stays_local(kernel: &KernelState, to: IpAddr) -> bool {
    match way_of(kernel, to) {
        None => true,
        Some(target) => {
            let on_lan = on_lan().connected().cloned();
            on_lan.map(RouteTarget::from).as_ref() == Some(target)
        }
    }
}

fn way_of(kernel: &KernelState, to: IpAddr) -> Option<&RouteTarget> {
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let rules = kernel
        .rules
        .iter()
        .filter(|r| r.family == family && r.selector == Selector::All);
    rules
        .filter_map(|rule| look_up(kernel, rule.table, to))
        .find(|t| **t != RouteTarget::Throw)
}

fn look_up(kernel: &KernelState, table: u32, to: IpAddr) -> Option<&RouteTarget> {
    let routes = kernel
        .routes
        .iter()
        .filter(|(k, _)| k.table == table && k.prefix.contains(&to));
    let longest = routes.max_by_key(|(k, _)| (k.prefix.prefix_len(), std::cmp::Reverse(k.metric)));
    longest.map(|(_, target)| target)
}

/// The address from which the engineer has logged in: somewhere in the LAN.
const MANAGEMENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 77));

fn check_plan(from: &KernelState, to: &KernelState) -> Result<(), TestCaseError> {
    let mut kernel = from.clone();
    for change in diff(to, from).0 {
        apply(&mut kernel, &change);
        prop_assert!(stays_local(&kernel, MANAGEMENT), "after {:?}", change);
    }
    // What the kernel takes along by itself is put back by the next look.
    for change in diff(to, &kernel).0 {
        apply(&mut kernel, &change);
    }
    prop_assert_eq!(&kernel, to);
    prop_assert_eq!(diff(to, &kernel).0, vec![]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_plan_reaches_its_end_and_no_step_cuts_the_management_path(
        a in configs(), b in configs(), env in environments()
    ) {
        let kernel = |config: RouterConfig| Router::new(config, env.clone()).kernel;
        let (a, b, nothing) = (kernel(a), kernel(b), KernelState::default());
        for (from, to) in [(&nothing, &a), (&a, &b), (&b, &a), (&b, &nothing)] {
            check_plan(from, to)?;
        }
        prop_assert_eq!(diff(&a, &a).0, vec![]);
    }

    #[test]
    fn whatever_happens_the_router_settles_and_then_plans_nothing(
        config in configs(), env in environments(), course in happenings(), failing in 0usize..5
    ) {
        let mut env = env;
        let mut router = Router::new(config, env.clone());
        router.failing = failing;
        for what in &course {
            happen(&mut router, &mut env, what);
        }
        router.seconds(200);
        router.changes.clear();
        router.input(Input::Touched);
        prop_assert_eq!(&router.changes, &vec![]);
    }

    #[test]
    fn every_reachable_site_has_a_target_in_every_class(
        config in configs(), env in environments(), course in happenings()
    ) {
        let mut env = env;
        let mut router = Router::new(config.clone(), env.clone());
        for what in &course {
            happen(&mut router, &mut env, what);
            let sites = patronus_engine::topology::Topology::new(&config).sites();
            prop_assert_eq!(router.kernel.nexthops.len(), sites.len() * config.classes.len());
        }
    }

    #[test]
    fn traffic_is_on_a_living_path_whenever_there_is_one(
        config in configs(), course in happenings()
    ) {
        let mut env = environment(3);
        let mut router = Router::new(config, env.clone());
        for what in &course {
            happen(&mut router, &mut env, what);
            router.wait(std::time::Duration::from_millis(250));
            for (living, chosen_lives) in router.engine.liveness_by_choice() {
                prop_assert!(chosen_lives || !living, "after {:?}", what);
            }
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        config in configs(), env in environments(), course in happenings()
    ) {
        let run = || {
            let mut env = env.clone();
            let mut router = Router::new(config.clone(), env.clone());
            course.iter().for_each(|what| happen(&mut router, &mut env, what));
            (router.events, router.changes, router.kernel)
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn routes_that_were_brought_up_to_date_are_those_that_would_be_made_anew(
        config in configs(), env in environments(), course in happenings()
    ) {
        let (mut config, mut env) = (config, env);
        // Two hubs with one number fight over a tunnel for ever, and changes wait meanwhile.
        config.remotes.iter_mut().for_each(|remote| remote.hub = None);
        env.foreign.insert(IpNet::from_parts(103), Foreign::Main(None));
        let mut router = Router::new(config.clone(), env.clone());
        for what in &course {
            happen(&mut router, &mut env, what);
        }
        let before = router.kernel.routes.clone();
        // Another configuration makes everything anew, and of a name the kernel knows nothing.
        let mut renamed = config;
        renamed.site.name = "Another name".into();
        router.input(Input::Config(std::sync::Arc::new(renamed)));
        prop_assert_eq!(&before, &router.kernel.routes);
    }

    #[test]
    fn no_address_of_the_overlay_leaves_by_an_uplink(
        config in configs(), env in environments(), course in happenings(), n in 2u8..8
    ) {
        let mut env = env;
        let mut router = Router::new(config, env.clone());
        for what in &course {
            happen(&mut router, &mut env, what);
            for address in [[10, n, 200, 1], [10, 100 + n, 100 + n, 1]] {
                let way = way_of(&router.kernel, IpAddr::from(address));
                let provider = of_provider().via().cloned().map(RouteTarget::from);
                prop_assert_ne!(way, provider.as_ref(), "{:?} after {:?}", address, what);
                // What the main table has itself may be left to it.
                let is_main = |foreign: &Foreign| matches!(foreign, Foreign::Main(_));
                let mut main = env.foreign.iter().filter(|(_, foreign)| is_main(foreign));
                let is_left = main.any(|(net, _)| net.contains(&IpAddr::from(address)));
                prop_assert!(way.is_some() || is_left, "{:?} after {:?}", address, what);
            }
        }
    }

    #[test]
    fn explain_says_what_the_kernel_does(
        config in configs(), env in environments(), course in happenings(),
        numbers in prop::collection::vec((0u8..255, any::<bool>()), 1..8)
    ) {
        let mut env = env;
        let mut router = Router::new(config, env.clone());
        course.iter().for_each(|what| happen(&mut router, &mut env, what));
        let near = numbers.iter().map(|(n, _)| [10, *n, *n, 9]);
        let far = numbers.iter().map(|(n, other)| [if *other { 11 } else { 198 }, *n, 1, 9]);
        for address in near.chain(far).chain([[10, 1, 0, 77], [10, 2, 0, 9], [198, 18, 2, 1]]) {
            let address = IpAddr::from(address);
            let explained = router.engine.explain(router.now, flow_to(&address.to_string()));
            let Some(explained) = explained else { continue };
            let way = way_of(&router.kernel, address);
            let agree = match (&explained.outcome, way) {
                (Outcome::Routed { .. }, Some(RouteTarget::Nexthop { .. }))
                | (Outcome::Unreachable { .. }, Some(RouteTarget::Unreachable))
                | (Outcome::NotOverlay { foreign: None, .. }, None) => true,
                // nftables drops it where it would leave.
                (Outcome::Unreachable { misrouted: Some(_), .. }, None) => true,
                (Outcome::NotOverlay { foreign: Some((_, Foreign::Main(_))), .. }, way) => {
                    matches!(way, None | Some(RouteTarget::Device { gateway: None, .. }))
                }
                (Outcome::NotOverlay { foreign: Some((_, Foreign::Neighbor(via))), .. }, way) => {
                    way == Some(&RouteTarget::from(via.clone()))
                }
                (_, _) => false,
            };
            prop_assert!(agree, "{}: {:?}, but {:?}", address, explained.outcome, way);
        }
    }
}

#[test]
fn an_engine_without_configuration_does_nothing() {
    let mut engine = Engine::default();
    engine.handle(patronus_model::Timestamp::ZERO, Input::Tick);
    assert_eq!(engine.poll_effect(), None);
    assert_eq!(engine.poll_timeout(), None);
}
