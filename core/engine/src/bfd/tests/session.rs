use super::*;

const FAST: (u64, u64, u8) = (100, 100, 3);

fn fast() -> BfdTimers {
    let (tx, rx, mult) = FAST;
    timers(tx, rx, mult)
}

fn gaps(log: &[(Timestamp, Packet)]) -> Vec<Duration> {
    log.windows(2)
        .map(|pair| pair[1].0.since(pair[0].0))
        .collect()
}

#[test]
fn a_session_comes_up_in_three_packets() {
    let check = |path: &[(State, State)]| {
        let mut session = session(fast(), None);
        run(&mut session, at(990));
        for (heard, expected) in path {
            session.handle_packet(at(990), &from_peer(*heard));
            assert_eq!(session.status().state, *expected, "{path:?}");
        }
    };
    use State::{AdminDown, Down, Init, Up};
    check(&[(Down, Init), (Init, Up), (Up, Up)]);
    check(&[(Down, Init), (Up, Up)]);
    check(&[(Init, Up), (Init, Up), (Down, Down)]);
    check(&[(Up, Down)]);
    check(&[(Down, Init), (Down, Init)]);
    check(&[(AdminDown, Down), (Down, Init), (AdminDown, Down)]);
    check(&[(Init, Up), (AdminDown, Down), (AdminDown, Down), (Init, Up)]);
}

#[test]
fn a_session_that_is_not_up_sends_once_a_second_less_jitter() {
    let mut session = session(fast(), None);
    let log = run(&mut session, at(60_000));
    assert!(
        log.iter()
            .all(|(_, packet)| packet.desired_min_tx.as_micros() == 1_000_000)
    );
    assert!(
        log.iter()
            .all(|(_, packet)| packet.your_discriminator.is_none() && !packet.poll)
    );
    assert!(
        gaps(&log)
            .iter()
            .all(|gap| (ms(750)..=ms(1000)).contains(gap))
    );
}

#[test]
fn an_up_session_sends_as_negotiated_with_jitter_on_every_packet() {
    let check = |ours: BfdTimers, remote_rx: u32, least: u64, most: u64| {
        let mut session = up(ours, None);
        let heard = Packet {
            required_min_rx: Interval::from_micros(remote_rx * 1000),
            detect_mult: 255.try_into().unwrap(),
            ..from_peer(State::Up)
        };
        session.handle_packet(at(1000), &heard);
        let log = run(&mut session, at(6000));
        let gaps = gaps(&log[1..]);
        assert!(
            gaps.iter().all(|gap| (ms(least)..=ms(most)).contains(gap)),
            "{gaps:?}"
        );
        assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]));
    };
    check(timers(100, 100, 3), 100, 75, 100);
    check(timers(100, 100, 3), 200, 150, 200);
    check(timers(300, 100, 3), 100, 225, 300);
    check(timers(100, 100, 1), 100, 75, 90);
}

#[test]
fn a_shell_that_comes_late_does_not_lower_the_rate() {
    let mut session = up(fast(), None);
    let heard = Packet {
        detect_mult: 255.try_into().unwrap(),
        ..from_peer(State::Up)
    };
    let (mut packets, mut now, mut last) = (0_u32, at(1000), at(1000));
    while now < at(101_000) {
        session.handle_packet(now, &heard);
        now = session.poll_timeout().unwrap() + ms(5);
        session.handle_timeout(now);
        assert!(sent(&mut session).len() == 1 && (packets == 0 || now.since(last) >= ms(75)));
        (packets, last) = (packets + 1, now);
    }
    assert!(
        (1115..=1160).contains(&packets),
        "{packets} packets in 100 s, 1143 are right"
    );
}

#[test]
fn silence_for_the_detection_time_takes_the_session_down_and_forgets_the_peer() {
    let mut session = up(fast(), None);
    run(&mut session, at(1299));
    assert_eq!(session.status().state, State::Up);
    let log = run(&mut session, at(1300));
    let expected = StateChange {
        from: State::Up,
        to: State::Down,
        local_diagnostic: Diagnostic::ControlDetectionTimeExpired,
        remote_diagnostic: Diagnostic::None,
        remote_state: State::Up,
    };
    assert_eq!(changes(&mut session), [expected]);
    let expired = Diagnostic::ControlDetectionTimeExpired;
    assert_eq!(expected.liveness(), Liveness::Down(expired));
    let (_, last) = log.last().unwrap();
    assert_eq!((last.state, last.diagnostic), (State::Down, expired));
    assert_eq!((last.your_discriminator, last.poll), (None, false));
}

#[test]
fn the_three_ways_of_going_down_can_be_told_apart() {
    let check = |heard: Packet, expected: Liveness| {
        let mut session = up(fast(), None);
        session.handle_packet(at(1010), &heard);
        let changes = changes(&mut session);
        assert_eq!(
            changes
                .iter()
                .map(StateChange::liveness)
                .collect::<Vec<_>>(),
            [expected]
        );
        assert_eq!(session.status().liveness(), expected);
        assert_eq!(sent(&mut session).len(), 1, "the peer learns of it at once");
    };
    check(
        from_peer(State::Down),
        Liveness::Down(Diagnostic::NeighborSignaledDown),
    );
    let stopped = Packet {
        diagnostic: Diagnostic::AdministrativelyDown,
        ..from_peer(State::AdminDown)
    };
    check(stopped, Liveness::RemoteAdminDown);
}

#[test]
fn a_dead_peer_that_turns_out_to_be_stopped_is_reported_once_more() {
    let mut session = up(fast(), None);
    run(&mut session, at(1500));
    changes(&mut session);
    session.handle_packet(at(1600), &from_peer(State::AdminDown));
    session.handle_packet(at(1700), &from_peer(State::AdminDown));
    let seen = changes(&mut session);
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].from, seen[0].to), (State::Down, State::Down));
    assert_eq!(seen[0].liveness(), Liveness::RemoteAdminDown);
    run(&mut session, at(9000));
    assert_eq!(
        session.status().liveness(),
        Liveness::RemoteAdminDown,
        "silence says nothing new"
    );
    session.handle_packet(at(9000), &from_peer(State::Down));
    assert_eq!(changes(&mut session)[0].to, State::Init);
}

#[test]
fn an_administratively_down_session_says_so_and_ignores_its_peer() {
    let mut session = up(fast(), Some(ms(1000)));
    session.admin_down(at(1010));
    session.admin_down(at(1011));
    let packets = sent(&mut session);
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].state, State::AdminDown);
    assert_eq!(packets[0].diagnostic, Diagnostic::AdministrativelyDown);
    let poll = Packet {
        poll: true,
        ..from_peer(State::Down)
    };
    session.handle_packet(at(1020), &poll);
    assert_eq!(session.status().state, State::AdminDown);
    assert!(sent(&mut session).is_empty(), "not even a poll is answered");
    assert!(
        !run(&mut session, at(4000)).is_empty(),
        "it goes on to say so"
    );
    session.enable(at(4000));
    session.handle_packet(at(4010), &from_peer(State::Down));
    let states: Vec<_> = changes(&mut session)
        .iter()
        .map(|change| change.to)
        .collect();
    assert_eq!(states, [State::AdminDown, State::Down, State::Init]);
}

#[test]
fn a_poll_is_answered_at_once_and_outside_the_schedule() {
    let mut session = up(fast(), None);
    let before = session.poll_timeout();
    let poll = Packet {
        poll: true,
        ..from_peer(State::Up)
    };
    session.handle_packet(at(1001), &poll);
    let answers = sent(&mut session);
    assert_eq!(answers.len(), 1);
    assert!(answers[0].is_final && !answers[0].poll);
    assert_eq!(session.poll_timeout(), before);
}

#[test]
fn going_up_polls_the_peer_until_it_answers() {
    let mut session = session(fast(), None);
    run(&mut session, at(990));
    session.handle_packet(at(990), &from_peer(State::Down));
    session.handle_packet(at(1000), &from_peer(State::Init));
    let first = sent(&mut session).pop().unwrap();
    assert!(first.poll && first.state == State::Up && first.desired_min_tx.as_micros() == 100_000);
    session.handle_packet(at(1100), &from_peer(State::Up));
    assert!(
        run(&mut session, at(1300))
            .iter()
            .all(|(_, packet)| packet.poll)
    );
    session.handle_packet(at(1310), &final_from_peer(State::Up));
    assert!(
        run(&mut session, at(1500))
            .iter()
            .all(|(_, packet)| !packet.poll)
    );
}

#[test]
fn sending_slower_waits_for_the_peer_and_sending_faster_does_not() {
    let mut session = up(fast(), None);
    session.set_timers(at(1000), timers(300, 100, 3));
    assert_eq!(session.status().transmit, Some(ms(100)));
    let log = run(&mut session, at(1200));
    assert!(
        log.iter()
            .all(|(_, p)| p.poll && p.desired_min_tx.as_micros() == 300_000)
    );
    session.handle_packet(at(1200), &final_from_peer(State::Up));
    assert_eq!(session.status().transmit, Some(ms(300)));
    session.handle_packet(at(1210), &from_peer(State::Up));
    session.set_timers(at(1210), fast());
    assert_eq!(session.status().transmit, Some(ms(100)));
    assert!(
        run(&mut session, at(1310))
            .iter()
            .all(|(_, packet)| packet.poll)
    );
}

#[test]
fn expecting_more_waits_for_the_peer_and_expecting_less_does_not() {
    let mut session = up(timers(100, 400, 3), None);
    assert_eq!(session.status().detection, Some(ms(1200)));
    session.set_timers(at(1000), fast());
    assert_eq!(session.status().detection, Some(ms(1200)));
    run(&mut session, at(1100));
    session.handle_packet(at(1100), &final_from_peer(State::Up));
    assert_eq!(session.status().detection, Some(ms(300)));
    session.set_timers(at(1110), timers(100, 200, 3));
    assert_eq!(session.status().detection, Some(ms(600)));
}

#[test]
fn a_second_change_is_polled_for_by_a_sequence_of_its_own() {
    let mut session = up(fast(), None);
    session.set_timers(at(1000), timers(300, 100, 3));
    run(&mut session, at(1100));
    session.set_timers(at(1100), timers(400, 100, 3));
    session.handle_packet(at(1110), &final_from_peer(State::Up));
    assert_eq!(
        session.status().transmit,
        Some(ms(100)),
        "the answer may be to the first change"
    );
    assert!(
        run(&mut session, at(1210))
            .iter()
            .all(|(_, packet)| !packet.poll)
    );
    session.handle_packet(at(1220), &from_peer(State::Up));
    assert!(
        run(&mut session, at(1330))
            .iter()
            .all(|(_, packet)| packet.poll)
    );
    session.handle_packet(at(1340), &final_from_peer(State::Up));
    assert_eq!(session.status().transmit, Some(ms(400)));
}

#[test]
fn the_multiplier_changes_without_a_poll() {
    let mut session = up(fast(), None);
    session.set_timers(at(1000), timers(100, 100, 5));
    let log = run(&mut session, at(1150));
    assert!(log.iter().all(|(_, p)| !p.poll && p.detect_mult.get() == 5) && !log.is_empty());
}

#[test]
fn a_peer_that_asks_for_nothing_gets_nothing_until_it_is_forgotten() {
    let mut session = up(fast(), None);
    let quiet = Packet {
        required_min_rx: Interval::ZERO,
        ..from_peer(State::Up)
    };
    session.handle_packet(at(1010), &quiet);
    assert_eq!(session.status().transmit, None);
    let log = run(&mut session, at(5000));
    assert_eq!(
        log[0].1.state,
        State::Down,
        "the first packet after the detection time"
    );
    assert!(log.len() > 3);
}

#[test]
fn a_peer_in_demand_mode_hears_only_polls() {
    let mut session = up(fast(), Some(ms(1000)));
    let demand = Packet {
        demand: true,
        detect_mult: 255.try_into().unwrap(),
        ..from_peer(State::Up)
    };
    session.handle_packet(at(1010), &demand);
    assert!(run(&mut session, at(4000)).is_empty());
    session.set_timers(at(4000), timers(50, 100, 3));
    let log = run(&mut session, at(4200));
    assert!(!log.is_empty() && log.iter().all(|(_, packet)| packet.poll && !packet.demand));
}

#[test]
fn other_intervals_are_reported_when_they_come_into_use() {
    let mut session = up(fast(), None);
    let slower = Packet {
        required_min_rx: Interval::from_micros(250_000),
        ..from_peer(State::Up)
    };
    session.handle_packet(at(1010), &slower);
    session.handle_packet(at(1020), &slower);
    let (transmit, detection) = (Some(ms(250)), Some(ms(300)));
    assert_eq!(
        events(&mut session),
        [Event::TimersNegotiated {
            transmit,
            detection
        }]
    );
}

#[test]
fn a_configuration_that_makes_no_sense_is_raised_to_the_least_that_does() {
    let zero = Duration::ZERO;
    let nonsense = BfdTimers {
        desired_min_tx: zero,
        required_min_rx: zero,
        detect_mult: 0,
    };
    let mut session = up(nonsense, None);
    let log = run(&mut session, at(1200));
    let (_, packet) = log.first().unwrap();
    assert_eq!(
        (packet.required_min_rx.as_micros(), packet.detect_mult.get()),
        (1000, 1)
    );
    assert_eq!(packet.desired_min_tx.as_micros(), 1000);
}

#[test]
fn loss_is_estimated_from_what_should_have_come() {
    let check = |lost_of_ten: u64, expected: f64| {
        let mut session = up(fast(), None);
        session.take_loss(at(1000));
        for number in 1..=800 {
            let now = at(1000) + Duration::from_micros(87_500) * number;
            if u64::from(number) % 10 >= lost_of_ten {
                session.handle_packet(now, &from_peer(State::Up));
            }
            run(&mut session, now);
        }
        let window = session.take_loss(at(71_000));
        assert!((window.expected - 800.0).abs() < 0.01, "{window:?}");
        let loss = window.loss().unwrap();
        assert!(
            (loss - expected).abs() < 3.0 * window.deviation(),
            "{loss} of {window:?}"
        );
        assert!(window.deviation() < 0.004);
    };
    check(0, 0.0);
    check(1, 0.1);
    check(2, 0.2);
}

#[test]
fn nothing_is_expected_of_a_peer_while_the_session_is_down() {
    let mut session = session(fast(), None);
    run(&mut session, at(10_000));
    session.handle_packet(at(10_000), &from_peer(State::Down));
    let window = session.take_loss(at(10_000));
    assert_eq!(window.received, 0);
    assert_eq!(
        (window.expected, window.up, window.loss()),
        (0.0, Duration::ZERO, None)
    );
}
