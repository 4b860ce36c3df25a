//! Two sessions over a channel that loses, duplicates and reorders.

use proptest::prelude::*;

use super::*;

/// What happens to one packet on its way.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Lost,
    Arrives(u64),
    Twice(u64, u64),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        1 => Just(Fate::Lost),
        4 => (0_u64..80).prop_map(Fate::Arrives),
        1 => (0_u64..80, 0_u64..80).prop_map(|(once, again)| Fate::Twice(once, again)),
    ]
}

struct Network {
    now: Timestamp,
    ends: [Session; 2],
    heard: [Option<Timestamp>; 2],
    flying: Vec<(Timestamp, usize, Packet)>,
    fates: Vec<Fate>,
    used: usize,
    /// Everything that was sent and everything that happened, to compare runs.
    trace: Vec<String>,
}

impl Network {
    fn new(timers: [BfdTimers; 2], fates: Vec<Fate>, seed: u64) -> Self {
        let end = |index: usize| {
            let config = SessionConfig {
                local_discriminator: discriminator(1 + index as u32),
                timers: timers[index],
                rtt_interval: Some(ms(1000)),
            };
            Session::new(config, Timestamp::ZERO, seed + index as u64)
        };
        Self {
            now: Timestamp::ZERO,
            ends: [end(0), end(1)],
            heard: [None; 2],
            flying: Vec::new(),
            fates,
            used: 0,
            trace: Vec::new(),
        }
    }

    /// Runs until `end`; packets get their fate from the list, or when `mute` names their sender
    /// are lost, or once the channel has `healed` arrive after 5 ms.
    fn run(&mut self, end: Timestamp, healed: bool, mute: Option<usize>) {
        while let Some(now) = self.next_moment().filter(|next| *next <= end) {
            self.now = self.now.max(now);
            self.deliver();
            for index in 0..2 {
                if self.ends[index]
                    .poll_timeout()
                    .is_some_and(|due| due <= self.now)
                {
                    self.ends[index].handle_timeout(self.now);
                }
                self.collect(index, healed, mute);
            }
            self.check();
        }
        self.now = end;
    }

    fn next_moment(&self) -> Option<Timestamp> {
        let timers = self.ends.iter().filter_map(Session::poll_timeout);
        timers.chain(self.flying.iter().map(|(due, ..)| *due)).min()
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, flying) = self.flying.drain(..).partition(|(due, ..)| *due <= now);
        self.flying = flying;
        for (_, to, packet) in due {
            let parsed = Packet::parse(&packet.emit()).unwrap();
            self.ends[to].handle_packet(now, &parsed);
            self.heard[to] = Some(now);
        }
    }

    fn collect(&mut self, index: usize, healed: bool, mute: Option<usize>) {
        for event in events(&mut self.ends[index]) {
            self.trace.push(format!("{} {index} {event:?}", self.now));
        }
        for packet in sent(&mut self.ends[index]) {
            self.trace.push(format!("{} {index} {packet:?}", self.now));
            // Ten seconds of the fastest timers are some 4,000 packets.
            assert!(self.trace.len() < 100_000, "a storm of packets");
            assert!(!(packet.poll && packet.is_final));
            let fate = if mute == Some(index) {
                Fate::Lost
            } else if healed {
                Fate::Arrives(5)
            } else {
                self.used += 1;
                self.fates[self.used % self.fates.len()]
            };
            let mut fly = |delay| self.flying.push((self.now + ms(delay), 1 - index, packet));
            match fate {
                Fate::Lost => {}
                Fate::Arrives(delay) => fly(delay),
                Fate::Twice(once, again) => {
                    fly(once);
                    fly(again);
                }
            }
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        for (session, heard) in self.ends.iter().zip(self.heard) {
            let status = session.status();
            if matches!(status.state, State::Init | State::Up) {
                let silence = self.now.since(heard.unwrap());
                assert!(
                    silence <= status.detection.unwrap(),
                    "{status:?}, {silence:?} silent"
                );
                assert!(status.remote_discriminator.is_some());
            }
            assert!(session.poll_timeout().is_none_or(|due| due > self.now));
        }
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].status().state, self.ends[1].status().state]
    }
}

fn any_timers() -> impl Strategy<Value = BfdTimers> {
    (10_u64..400, 10_u64..400, 1_u8..6).prop_map(|(tx, rx, mult)| timers(tx, rx, mult))
}

prop_compose! {
    fn any_network()(
        ours in any_timers(), theirs in any_timers(),
        fates in prop::collection::vec(fate(), 1..200), seed: u32,
    ) -> ([BfdTimers; 2], Vec<Fate>, u64) {
        ([ours, theirs], fates, u64::from(seed))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_ends_come_up_when_the_channel_heals_and_then_stay_up(
        (timers, fates, seed) in any_network(),
    ) {
        let mut network = Network::new(timers, fates, seed);
        network.run(at(10_000), false, None);
        // At worst a detection time of the slow start, 5 × 1 s, and a few slow packets.
        network.run(at(20_000), true, None);
        prop_assert_eq!(network.states(), [State::Up; 2]);
        let downs = network.ends.clone().map(|end| end.status().counters.downs);
        network.run(at(30_000), true, None);
        prop_assert_eq!(network.states(), [State::Up; 2]);
        prop_assert_eq!(downs, network.ends.clone().map(|end| end.status().counters.downs));
        for index in 0..2 {
            let (mine, peer) = (timers[index], timers[1 - index]);
            let transmit = mine.desired_min_tx.max(peer.required_min_rx);
            let receive = mine.required_min_rx.max(peer.desired_min_tx);
            let status = network.ends[index].status();
            prop_assert_eq!(status.transmit, Some(transmit));
            prop_assert_eq!(status.detection, Some(receive * u32::from(peer.detect_mult)));
            let rtt = status.rtt.unwrap();
            prop_assert!((ms(10)..=ms(11)).contains(&rtt), "{:?}", rtt);
        }
    }

    #[test]
    fn neither_end_stays_up_when_one_falls_silent(
        (timers, fates, seed) in any_network(), mute in 0_usize..2,
    ) {
        let mut network = Network::new(timers, fates, seed);
        network.run(at(8000), true, None);
        network.run(at(10_000), false, None);
        let deaf = 1 - mute;
        network.run(at(10_000), false, Some(mute));
        let detection = network.ends[deaf].status().detection.unwrap_or_default();
        // The last packet may still be on its way for 80 ms, and with it, other intervals.
        network.run(at(10_081) + detection.max(ms(5 * 1000)), false, Some(mute));
        prop_assert_ne!(network.states()[deaf], State::Up);
        network.run(at(30_000), true, Some(mute));
        prop_assert!(network.states().iter().all(|state| *state != State::Up));
    }

    #[test]
    fn timer_changes_on_a_good_channel_never_take_a_session_down(
        (first, _, seed) in any_network(),
        changes in prop::collection::vec((0_usize..2, any_timers(), 0_u64..700), 1..12),
    ) {
        // With a multiplier of 1, one packet more in flight than expected is a false alarm, as
        // 90 % of an interval and two delays do not fit into it.
        let calm = |timers: BfdTimers| BfdTimers { detect_mult: timers.detect_mult.max(2), ..timers };
        let mut network = Network::new(first.map(calm), vec![Fate::Lost], seed);
        network.run(at(6000), true, None);
        prop_assert_eq!(network.states(), [State::Up; 2]);
        for (index, timers, wait) in changes {
            network.ends[index].set_timers(network.now, calm(timers));
            network.run(network.now + ms(wait), true, None);
            prop_assert_eq!(network.states(), [State::Up; 2]);
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs((timers, fates, seed) in any_network()) {
        let run = || {
            let mut network = Network::new(timers, fates.clone(), seed);
            network.run(at(5000), false, None);
            network.trace
        };
        prop_assert_eq!(run(), run());
    }
}
