//! The BFD driver, two of it, over the loopback interface.

#![allow(missing_docs, reason = "tests")]

mod bfd;

use std::net::UdpSocket;
use std::time::Duration;

use bfd::{Router, path, spec, timers, wait_until};
use patronus_daemon::bfd::{
    BfdConfig, BfdDriver, CONTROL_PORT, Farewell, SessionSpec, SocketProblem,
};
use patronus_engine::bfd::{Diagnostic, Discriminator, Interval, Liveness, Packet, State};

/// Two routers with one session between `127.0.NET.1` and `127.0.NET.2`; each test has a NET of
/// its own, as they run at the same time.
fn pair(net: u8) -> (Router, Router, [SessionSpec; 2]) {
    let (one, two) = (format!("127.0.{net}.1"), format!("127.0.{net}.2"));
    let specs = [spec(2, "lo", &one, &two), spec(1, "lo", &two, &one)];
    let (a, b) = (Router::start(), Router::start());
    a.watch([specs[0].clone()]);
    b.watch([specs[1].clone()]);
    a.wait_up(path(2));
    b.wait_up(path(1));
    (a, b, specs)
}

#[test]
fn two_drivers_bring_a_session_up_and_measure_it() {
    let (a, b, _) = pair(1);
    a.wait(path(2), "a round trip", |session| {
        session.status.rtt.is_some()
    });
    b.wait(path(1), "a round trip", |session| {
        session.status.rtt.is_some()
    });
    let session = a.session(path(2));
    assert_eq!(session.status.transmit, Some(Duration::from_millis(50)));
    assert_eq!(session.status.detection, Some(Duration::from_millis(200)));
    assert_eq!((session.socket_problem, session.send_error), (None, None));
    assert!(session.status.counters.sent > 0 && session.status.counters.received > 0);
    assert_eq!(a.history(path(2)).last(), Some(&Liveness::Up));
}

#[test]
fn a_planned_stop_is_told_from_a_crash() {
    let (a, b, _) = pair(2);
    b.handle.shutdown(Farewell::AdminDown);
    a.wait_liveness(path(2), Liveness::RemoteAdminDown);
    let (a, b, _) = pair(3);
    drop(b);
    a.wait_liveness(
        path(2),
        Liveness::Down(Diagnostic::ControlDetectionTimeExpired),
    );
}

/// The engine asks for snapshots on the thread that takes the driver's events out of a bounded
/// channel.
#[test]
fn asking_a_driver_that_cannot_get_rid_of_an_event_does_not_block() {
    let (sender, events) = std::sync::mpsc::sync_channel(0);
    let on_event = move |event| {
        let _ = sender.send(event);
    };
    let stuck = BfdDriver::spawn(BfdConfig::default(), on_event).unwrap();
    let specs = [
        spec(1, "lo", "127.0.77.1", "127.0.77.2"),
        spec(2, "lo", "127.0.77.2", "127.0.77.1"),
    ];
    stuck.set_sessions(specs.to_vec()).unwrap();
    // The sessions come up, and nobody takes the events that say so.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(stuck.snapshot().unwrap().sessions.len(), 2);
    drop(events);
    stuck.shutdown(Farewell::Silence);
}

#[test]
fn a_session_that_is_no_longer_wanted_says_so_to_its_peer() {
    let (a, b, specs) = pair(4);
    b.watch([]);
    a.wait_liveness(path(2), Liveness::Down(Diagnostic::NeighborSignaledDown));
    let gone = || b.handle.snapshot().unwrap().sessions.is_empty();
    wait_until("no session", gone, String::new);
    b.watch([specs[1].clone()]);
    a.wait_up(path(2));
}

/// Its far end waits for it, as for a daemon that is restarted.
#[test]
fn a_session_that_starts_anew_at_another_address_says_that_it_stops_on_purpose() {
    let (a, b, [_, theirs]) = pair(6);
    let local = "127.0.6.3".parse().unwrap();
    b.watch([SessionSpec { local, ..theirs }]);
    a.wait_liveness(path(2), Liveness::RemoteAdminDown);
}

/// Else whoever was told that the path is up would never hear otherwise.
#[test]
fn a_session_with_other_ends_is_told_to_be_new_and_one_with_the_same_is_not() {
    let (a, b, [ours, theirs]) = pair(8);
    let mut slower = ours.clone();
    slower.timers = timers(100, 5);
    a.watch([slower]);
    b.watch([theirs.clone()]);
    a.wait(path(2), "the new interval", |session| {
        session.status.transmit == Some(Duration::from_millis(100))
    });
    assert_eq!((a.made(path(2)), b.made(path(1))), (1, 1));
    a.watch([SessionSpec {
        local: "127.0.8.3".parse().unwrap(),
        ..ours
    }]);
    b.watch([SessionSpec {
        remote: "127.0.8.4".parse().unwrap(),
        ..theirs
    }]);
    let both = || (a.made(path(2)), b.made(path(1))) == (2, 2);
    wait_until("two new sessions", both, || {
        format!("{:?}", (a.made(path(2)), b.made(path(1))))
    });
}

#[test]
fn other_timers_are_negotiated_while_the_session_stays_up() {
    let (a, b, [mut ours, _]) = pair(5);
    for (millis, mult) in [(80, 3), (40, 5), (200, 4), (50, 6)] {
        ours.timers = timers(millis, mult);
        a.watch([ours.clone()]);
        let interval = Duration::from_millis(millis.max(50));
        a.wait(path(2), "the new interval", |session| {
            session.status.transmit == Some(interval)
        });
        let detection = interval * u32::from(mult);
        b.wait(path(1), "the new detection time", |session| {
            session.status.detection == Some(detection)
        });
    }
    assert_eq!(a.session(path(2)).status.counters.downs, 0);
    assert_eq!(b.session(path(1)).status.counters.downs, 0);
}

#[test]
fn sessions_beside_a_changed_one_are_not_disturbed() {
    let (a, b, specs) = pair(6);
    let since = a.session(path(2)).status.since;
    let others = [
        spec(3, "lo", "127.0.6.1", "127.0.6.3"),
        spec(4, "lo", "127.0.6.4", "127.0.6.5"),
    ];
    a.watch([vec![specs[0].clone()], others.to_vec()].concat());
    b.watch([specs[1].clone(), spec(5, "lo", "127.0.6.5", "127.0.6.4")]);
    a.wait_up(path(4));
    a.watch([specs[0].clone()]);
    b.wait_liveness(path(5), Liveness::Down(Diagnostic::NeighborSignaledDown));
    assert_eq!(a.session(path(2)).status.since, since);
    assert_eq!(a.session(path(2)).status.counters.downs, 0);
}

#[test]
fn many_sessions_share_one_link() {
    let (a, b) = (Router::start(), Router::start());
    let sites: Vec<u16> = (1..=100).collect();
    let specs = |of: fn(u16) -> SessionSpec| sites.iter().copied().map(of).collect::<Vec<_>>();
    a.watch(specs(|site| {
        spec(site, "lo", "127.0.7.0", &format!("127.0.8.{site}"))
    }));
    b.watch(specs(|site| {
        spec(site, "lo", &format!("127.0.8.{site}"), "127.0.7.0")
    }));
    for site in sites {
        a.wait_up(path(site));
        b.wait_up(path(site));
    }
}

#[test]
fn datagrams_that_are_for_nobody_are_dropped_and_counted() {
    let router = Router::start();
    router.watch([spec(1, "lo", "127.0.9.1", "127.0.9.2")]);
    router.wait(path(1), "a socket", |session| {
        session.socket_problem.is_none()
    });
    let dropped = || router.handle.snapshot().unwrap().dropped;
    let sender = UdpSocket::bind("127.0.9.3:0").unwrap();
    let send = |ttl: u32, payload: &[u8]| {
        sender.set_ttl(ttl).unwrap();
        sender
            .send_to(payload, ("127.0.9.1", CONTROL_PORT))
            .unwrap();
    };
    let packet = Packet {
        diagnostic: Diagnostic::None,
        state: State::Down,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_mult: 3.try_into().unwrap(),
        my_discriminator: Discriminator::try_from(9).unwrap(),
        your_discriminator: None,
        desired_min_tx: Interval::from_micros(1_000_000),
        required_min_rx: Interval::from_micros(1_000_000),
        required_min_echo_rx: Interval::ZERO,
    };
    let nobody = Packet {
        your_discriminator: Discriminator::try_from(8).ok(),
        ..packet
    };
    send(254, &packet.emit());
    send(255, &packet.emit());
    send(255, &packet.emit()[..23]);
    send(255, &nobody.emit());
    let state = || format!("{:?}", dropped());
    wait_until(
        "all are counted",
        || dropped().unknown_discriminator == 1,
        state,
    );
    let seen = dropped();
    assert_eq!(
        (seen.distant, seen.unknown_peer, seen.malformed),
        (1, 1, 1),
        "{seen:?}"
    );
    assert_eq!(router.session(path(1)).status.state, State::Down);
}

#[test]
fn a_session_without_its_interface_or_address_says_what_is_missing() {
    let router = Router::start();
    let nowhere = spec(1, "no-such-if", "127.0.10.1", "127.0.10.2");
    router.watch([nowhere, spec(2, "lo", "192.0.2.1", "192.0.2.2")]);
    let lacks = |site, problem: SocketProblem| {
        router.wait(path(site), "the reason", |session| {
            session.socket_problem.as_ref() == Some(&problem)
        });
    };
    lacks(1, SocketProblem::NoInterface);
    lacks(2, SocketProblem::NoAddress);
}
