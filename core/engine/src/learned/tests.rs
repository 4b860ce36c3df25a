//! How long learned routes stay, and how many are remembered.

use super::*;

const KEEP: Duration = Duration::from_secs(120);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn net() -> IpNet {
    "10.2.0.0/16".parse().unwrap()
}

fn set() -> LearnedDelta {
    LearnedDelta {
        set: [(net(), IpAddr::from([10, 255, 0, 2]))].into(),
        ..Default::default()
    }
}

fn removed() -> LearnedDelta {
    LearnedDelta {
        removed: [net()].into(),
        ..Default::default()
    }
}

fn learned() -> Learned {
    let site = SiteNumber::new(2).unwrap();
    let mut learned = Learned {
        sites: [(IpAddr::from([10, 255, 0, 2]), site)].into(),
        memory: 2,
        ..Default::default()
    };
    assert!(learned.update(at(0), &set()));
    learned
}

fn present(learned: &mut Learned, millis: u64) -> bool {
    learned.expire(at(millis));
    learned.routes().next().is_some()
}

#[test]
fn a_withdrawn_route_goes_after_a_moment_but_stays_guarded() {
    let mut learned = learned();
    learned.update(at(1000), &removed());
    assert!(present(&mut learned, 1099));
    assert!(!present(&mut learned, 1100));
    assert_eq!(learned.seen().map(|it| it.0).collect::<Vec<_>>(), [net()]);
}

#[test]
fn of_what_a_site_announces_no_more_only_so_much_is_remembered() {
    let mut learned = learned();
    let prefix = |n: u8| IpNet::from(IpAddr::from([10, 9, 0, n]));
    for (n, millis) in [(3, 1000), (2, 2000), (1, 3000)] {
        let delta = LearnedDelta {
            set: [(prefix(n), IpAddr::from([10, 255, 0, 2]))].into(),
            ..Default::default()
        };
        learned.update(at(millis), &delta);
        let delta = LearnedDelta {
            removed: [prefix(n)].into(),
            ..Default::default()
        };
        learned.update(at(millis), &delta);
        learned.expire(at(millis + 100));
    }
    let withdrawn: Vec<IpNet> = learned.withdrawn().map(|it| it.prefix).collect();
    assert_eq!(withdrawn, [prefix(1), prefix(2)]);
    assert!(
        learned.seen().any(|(seen, _)| seen == net()),
        "it is announced"
    );
    assert!(learned.forget(&prefix(1)).is_some());
    assert_eq!(learned.forget(&prefix(1)), None);
    assert_eq!(learned.forget(&net()), None);
    // It is announced again.
    learned.update(
        at(4000),
        &LearnedDelta {
            set: [(prefix(2), IpAddr::from([10, 255, 0, 2]))].into(),
            ..Default::default()
        },
    );
    assert_eq!(learned.withdrawn().count(), 0);
}

#[test]
fn a_route_withdrawn_just_before_its_daemon_is_found_dead_stays() {
    let mut learned = learned();
    learned.update(at(1000), &removed());
    learned.daemon(at(1050), "bgpd", false, KEEP);
    assert!(present(&mut learned, 60_000));
    assert_eq!(learned.is_stale(&net()), Some(true));
}

#[test]
fn a_route_that_comes_back_with_its_daemon_is_as_before() {
    let mut learned = learned();
    learned.daemon(at(1000), "bgpd", false, KEEP);
    learned.update(at(1001), &removed());
    learned.daemon(at(4000), "bgpd", true, KEEP);
    assert!(
        !learned.update(at(5000), &set()),
        "nothing changed for forwarding"
    );
    assert!(present(&mut learned, 1_000_000));
    assert_eq!(learned.is_stale(&net()), Some(false));
}

#[test]
fn a_route_that_does_not_come_back_goes_when_routing_has_converged() {
    let mut learned = learned();
    learned.daemon(at(1000), "bgpd", false, KEEP);
    learned.update(at(1001), &removed());
    learned.daemon(at(4000), "bgpd", true, KEEP);
    assert!(present(&mut learned, 23_999));
    assert!(!present(&mut learned, 24_000));
}

#[test]
fn a_daemon_that_stays_away_takes_its_routes_with_it_in_the_end() {
    let mut learned = learned();
    learned.daemon(at(1000), "bgpd", false, KEEP);
    learned.update(at(1001), &removed());
    assert!(present(&mut learned, 120_000));
    assert!(!present(&mut learned, 121_000));
}

#[test]
fn what_routing_said_before_we_were_told_who_is_who_counts() {
    let mut learned = Learned::default();
    assert!(!learned.update(at(0), &set()), "nobody is known yet");
    learned.sites = [(IpAddr::from([10, 255, 0, 2]), SiteNumber::new(2).unwrap())].into();
    for (prefix, next_hop) in learned.said.clone() {
        learned.learn(prefix, next_hop);
    }
    assert!(present(&mut learned, 1_000_000));
    assert_eq!(learned.is_stale(&net()), Some(false));
}

#[test]
fn next_hops_outside_the_overlay_are_ignored() {
    let mut learned = learned();
    let delta = LearnedDelta {
        set: [(
            "10.9.0.0/16".parse().unwrap(),
            IpAddr::from([10, 255, 0, 9]),
        )]
        .into(),
        ..Default::default()
    };
    assert!(!learned.update(at(1), &delta));
    assert_eq!(learned.routes().count(), 1);
}
