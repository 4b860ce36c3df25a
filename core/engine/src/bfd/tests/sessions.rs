use std::net::IpAddr;

use super::*;

type Key = u32;

fn origin(number: u32) -> Origin {
    Origin {
        interface: number % 3,
        remote: IpAddr::from([10, 0, 0, (number / 3) as u8]),
    }
}

fn many(count: u32) -> Sessions<Key> {
    let mut sessions = Sessions::new(42);
    for key in 0..count {
        let inserted = sessions.insert(at(0), key, origin(key), timers(100, 100, 3), None);
        assert!(inserted.is_ok());
    }
    sessions
}

fn first_packet() -> Packet {
    from_peer(State::Down)
}

#[test]
fn discriminators_are_unique_and_not_zero() {
    let sessions = many(500);
    let drawn: std::collections::BTreeSet<_> = sessions
        .keys()
        .map(|key| sessions.get(key).unwrap().local_discriminator().get())
        .collect();
    assert_eq!(drawn.len(), 500);
    assert!(!drawn.contains(&0));
}

#[test]
fn a_packet_finds_its_session_by_discriminator_and_without_one_by_origin() {
    let mut sessions = many(9);
    let now = at(1);
    assert_eq!(
        sessions.handle_packet(now, origin(4), &first_packet()),
        Ok(4)
    );
    let mine = sessions.get(4).unwrap().local_discriminator();
    let packet = Packet {
        your_discriminator: Some(mine),
        ..from_peer(State::Init)
    };
    assert_eq!(sessions.handle_packet(now, origin(4), &packet), Ok(4));
    assert_eq!(sessions.get(4).unwrap().status().state, State::Up);
    let foreign = sessions.handle_packet(now, origin(5), &packet);
    assert_eq!(foreign, Err(Unroutable::ForeignOrigin(mine)));
    let unknown = sessions.handle_packet(now, origin(99), &first_packet());
    assert_eq!(unknown, Err(Unroutable::UnknownPeer(origin(99))));
    let nobody = discriminator(12345);
    let packet = Packet {
        your_discriminator: Some(nobody),
        ..packet
    };
    let unknown = sessions.handle_packet(now, origin(4), &packet);
    assert_eq!(unknown, Err(Unroutable::UnknownDiscriminator(nobody)));
}

#[test]
fn a_key_and_an_origin_are_given_once() {
    let mut sessions = many(2);
    let timers = timers(100, 100, 3);
    assert_eq!(
        sessions.insert(at(0), 1, origin(7), timers, None),
        Err(Taken)
    );
    assert_eq!(
        sessions.insert(at(0), 7, origin(1), timers, None),
        Err(Taken)
    );
    sessions.remove(1);
    assert!(sessions.insert(at(0), 1, origin(1), timers, None).is_ok());
}

/// Nobody may take what an earlier session said for news of the one in its place.
#[test]
fn a_session_says_that_it_was_made_after_all_that_the_one_before_it_said() {
    let mut sessions = many(1);
    sessions
        .handle_packet(at(1), origin(0), &from_peer(State::Down))
        .unwrap();
    sessions.with(0, |session| session.admin_down(at(2)));
    sessions.remove(0);
    let timers = timers(100, 100, 3);
    sessions.insert(at(3), 0, origin(7), timers, None).unwrap();
    let told: Vec<_> = std::iter::from_fn(|| sessions.poll_event())
        .filter(|(_, event)| !matches!(event, Event::TimersNegotiated { .. }))
        .collect();
    assert_eq!(told.first(), Some(&(0, Event::Made)));
    assert_eq!(told.last(), Some(&(0, Event::Made)));
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(sessions.get(0).unwrap().status().state, State::Down);
}

#[test]
fn a_removed_session_is_neither_found_nor_woken() {
    let mut sessions = many(3);
    let mine = sessions.get(1).unwrap().local_discriminator();
    assert!(sessions.remove(1).is_some() && sessions.remove(1).is_none());
    let packet = Packet {
        your_discriminator: Some(mine),
        ..from_peer(State::Init)
    };
    assert!(sessions.handle_packet(at(1), origin(1), &packet).is_err());
    sessions.handle_timeouts(at(5000));
    let senders: Vec<_> = std::iter::from_fn(|| sessions.poll_transmit()).collect();
    assert!(!senders.is_empty() && senders.iter().all(|(key, _)| *key != 1));
    assert_eq!(sessions.len(), 2);
}

#[test]
fn many_sessions_wake_exactly_when_each_alone_would() {
    let mut sessions = many(200);
    let mut alone: Vec<Session> = sessions
        .keys()
        .map(|k| sessions.get(k).unwrap().clone())
        .collect();
    let end = at(20_000);
    let mut step = 0_u64;
    while let Some(now) = sessions.poll_timeout().filter(|due| *due < end) {
        let expected = alone.iter().filter_map(Session::poll_timeout).min();
        assert_eq!(Some(now), expected);
        sessions.handle_timeouts(now);
        let mut together: Vec<_> = std::iter::from_fn(|| sessions.poll_transmit()).collect();
        let mut apart = Vec::new();
        for (key, session) in (0..).zip(&mut alone) {
            if session.poll_timeout().is_some_and(|due| due <= now) {
                session.handle_timeout(now);
            }
            apart.extend(sent(session).into_iter().map(|packet| (key, packet)));
        }
        together.sort_by_key(|(key, _)| *key);
        assert_eq!(together, apart);
        // Now and then a peer is heard, which moves deadlines both ways.
        step += 1;
        let key = (step * 7 % 200) as u32;
        let mine = alone[key as usize].local_discriminator();
        let heard = [State::Down, State::Init, State::Up][(step % 3) as usize];
        let packet = Packet {
            your_discriminator: Some(mine),
            ..from_peer(heard)
        };
        sessions.handle_packet(now, origin(key), &packet).unwrap();
        alone[key as usize].handle_packet(now, &packet);
        sent(&mut alone[key as usize]);
        while sessions.poll_transmit().is_some() {}
    }
    assert!(step > 1000);
}

#[test]
fn the_same_seed_and_inputs_give_the_same_packets() {
    let trace = || {
        let mut sessions = many(50);
        for second in 0..10 {
            sessions.handle_timeouts(at(second * 1000));
        }
        std::iter::from_fn(move || sessions.poll_transmit()).collect::<Vec<_>>()
    };
    assert_eq!(trace(), trace());
}
