use super::*;

/// Lets a session of 100 ms × 3 live with a path whose one-way delay is `delay`, on which the
/// packets and answers whose index `lost` names are lost, and returns the round trips it reports.
fn measure(delay: u64, seconds: u64, mut lost: impl FnMut(u64) -> bool) -> Vec<Duration> {
    let mut session = up(timers(100, 100, 3), Some(ms(1000)));
    let mut arriving: Vec<(Timestamp, Packet)> = Vec::new();
    let (mut index, mut samples) = (0, Vec::new());
    for now in (1000..seconds * 1000).map(at) {
        for (sent_at, packet) in run(&mut session, now) {
            index += 1;
            if packet.poll && !lost(index) {
                arriving.push((sent_at + ms(2 * delay), final_from_peer(State::Up)));
            }
        }
        if now.as_nanos() % 87_000_000 == 0 {
            arriving.push((now, from_peer(State::Up)));
        }
        arriving.sort_by_key(|(due, _)| *due);
        while let Some((due, packet)) = arriving.first().copied().filter(|(due, _)| *due <= now) {
            arriving.remove(0);
            session.handle_packet(due.max(now - ms(1)), &packet);
            sent(&mut session);
        }
        samples.extend(
            events(&mut session)
                .into_iter()
                .filter_map(|event| match event {
                    Event::Rtt(rtt) => Some(rtt),
                    Event::Made | Event::StateChanged(_) | Event::TimersNegotiated { .. } => None,
                }),
        );
    }
    samples
}

fn check(samples: &[Duration], rtt: u64, least: usize, most: usize) {
    let near = |sample: &Duration| (ms(rtt)..=ms(rtt + 1)).contains(sample);
    assert!(samples.iter().all(near), "{samples:?}");
    assert!(
        (least..=most).contains(&samples.len()),
        "{} samples",
        samples.len()
    );
}

#[test]
fn a_round_trip_is_measured_once_a_second() {
    check(&measure(10, 31, |_| false), 20, 25, 30);
}

#[test]
fn a_round_trip_longer_than_the_interval_is_measured_too() {
    check(&measure(300, 31, |_| false), 600, 12, 25);
}

#[test]
fn a_round_trip_longer_than_the_time_between_measurements_is_measured_too() {
    check(&measure(1200, 61, |_| false), 2400, 8, 20);
}

#[test]
fn samples_that_a_loss_has_made_ambiguous_are_discarded() {
    let mut state = 1_u64;
    let mut third = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33 & 3 == 0
    };
    check(&measure(10, 61, &mut third), 20, 20, 50);
    check(&measure(120, 61, &mut third), 240, 8, 50);
}

#[test]
fn nothing_is_measured_when_it_is_switched_off() {
    let mut session = up(timers(100, 100, 3), None);
    for second in 1..100 {
        let log = run(&mut session, at(1000 + second * 100));
        assert!(log.iter().all(|(_, packet)| !packet.poll));
        session.handle_packet(at(1000 + second * 100), &from_peer(State::Up));
    }
}

#[test]
fn a_final_that_nobody_asked_for_is_no_sample() {
    let mut session = up(timers(100, 100, 3), Some(ms(1000)));
    session.handle_packet(at(1001), &final_from_peer(State::Up));
    session.handle_packet(at(1002), &final_from_peer(State::Up));
    assert_eq!(events(&mut session), []);
}
