//! Tests of the BFD engine, and what they share.

mod network;
mod packet;
mod reference;
mod round_trip;
mod session;
mod sessions;

use std::time::Duration;

use patronus_model::Timestamp;
use patronus_model::bgp::BfdTimers;

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn discriminator(number: u32) -> Discriminator {
    Discriminator::try_from(number).unwrap()
}

fn timers(tx: u64, rx: u64, detect_mult: u8) -> BfdTimers {
    BfdTimers {
        desired_min_tx: ms(tx),
        required_min_rx: ms(rx),
        detect_mult,
    }
}

fn session(timers: BfdTimers, rtt_interval: Option<Duration>) -> Session {
    let local_discriminator = discriminator(1);
    Session::new(
        SessionConfig {
            local_discriminator,
            timers,
            rtt_interval,
        },
        Timestamp::ZERO,
        7,
    )
}

/// What a peer with discriminator 2 and 100 ms × 3 sends.
fn from_peer(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::None,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_mult: 3.try_into().unwrap(),
        my_discriminator: discriminator(2),
        your_discriminator: (state != State::Down).then(|| discriminator(1)),
        desired_min_tx: Interval::from_micros(100_000),
        required_min_rx: Interval::from_micros(100_000),
        required_min_echo_rx: Interval::ZERO,
    }
}

fn final_from_peer(state: State) -> Packet {
    Packet {
        is_final: true,
        ..from_peer(state)
    }
}

fn sent(session: &mut Session) -> Vec<Packet> {
    std::iter::from_fn(|| session.poll_transmit()).collect()
}

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

fn changes(session: &mut Session) -> Vec<StateChange> {
    let change = |event| match event {
        Event::StateChanged(change) => Some(change),
        Event::Made | Event::Rtt(_) | Event::TimersNegotiated { .. } => None,
    };
    events(session).into_iter().filter_map(change).collect()
}

/// Lets time pass up to and including `until`, and returns what was sent when.
fn run(session: &mut Session, until: Timestamp) -> Vec<(Timestamp, Packet)> {
    let mut log = Vec::new();
    while let Some(due) = session.poll_timeout().filter(|due| *due <= until) {
        session.handle_timeout(due);
        log.extend(sent(session).into_iter().map(|packet| (due, packet)));
    }
    log
}

/// A session that came up at 1 s with [`from_peer`], and has had its first poll answered.
fn up(timers: BfdTimers, rtt_interval: Option<Duration>) -> Session {
    let mut session = session(timers, rtt_interval);
    run(&mut session, at(990));
    session.handle_packet(at(990), &from_peer(State::Down));
    session.handle_packet(at(1000), &from_peer(State::Init));
    session.handle_packet(at(1000), &final_from_peer(State::Up));
    session.handle_packet(at(1000), &from_peer(State::Up));
    assert_eq!(session.status().state, State::Up);
    sent(&mut session);
    events(&mut session);
    session
}
