//! The session against a model that was written down from RFC 5880 line by line, with its names,
//! in milliseconds, without a thought for anything but being obviously right.

#![expect(non_snake_case, reason = "the RFC's names")]

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Poll {
    Idle,
    Wanted,
    Sending,
    SendingAndWantedAgain,
}

/// Section 6.8.1, with what sections 6.8.3 and 6.8.4 need beside it.
#[derive(Debug)]
struct Model {
    SessionState: State,
    RemoteSessionState: State,
    RemoteDiscr: Option<Discriminator>,
    LocalDiag: Diagnostic,
    DesiredMinTxInterval: u64,
    RequiredMinRxInterval: u64,
    RemoteMinRxInterval: u64,
    RemoteDemandMode: bool,
    DetectMult: u8,
    configured_tx: u64,
    remote_desired_tx: u64,
    remote_mult: u64,
    previous_tx: Option<u64>,
    previous_rx: Option<u64>,
    poll: Poll,
    clear_final_seen: bool,
    received: Option<Timestamp>,
}

impl Model {
    fn new(timers: BfdTimers) -> Self {
        let tx = timers.desired_min_tx.as_millis() as u64;
        Self {
            SessionState: State::Down,
            RemoteSessionState: State::Down,
            RemoteDiscr: None,
            LocalDiag: Diagnostic::None,
            DesiredMinTxInterval: tx.max(1000),
            RequiredMinRxInterval: timers.required_min_rx.as_millis() as u64,
            RemoteMinRxInterval: 1,
            RemoteDemandMode: false,
            DetectMult: timers.detect_mult,
            configured_tx: tx,
            remote_desired_tx: 0,
            remote_mult: 1,
            previous_tx: None,
            previous_rx: None,
            poll: Poll::Idle,
            clear_final_seen: true,
            received: None,
        }
    }

    fn transmit_interval(&self) -> Option<u64> {
        let tx = self.previous_tx.unwrap_or(self.DesiredMinTxInterval);
        (self.RemoteMinRxInterval != 0).then(|| tx.max(self.RemoteMinRxInterval))
    }

    fn detection_time(&self) -> u64 {
        let rx = self.previous_rx.unwrap_or(self.RequiredMinRxInterval);
        self.remote_mult * rx.max(self.remote_desired_tx)
    }

    fn initiate_poll(&mut self) {
        if self.RemoteDiscr.is_some() && self.SessionState != State::AdminDown {
            self.poll = match self.poll {
                Poll::Idle | Poll::Wanted => Poll::Wanted,
                Poll::Sending | Poll::SendingAndWantedAgain => Poll::SendingAndWantedAgain,
            };
        }
    }

    fn set_tx(&mut self) {
        let up = self.SessionState == State::Up;
        let new = if up {
            self.configured_tx
        } else {
            self.configured_tx.max(1000)
        };
        let in_use = self.previous_tx.unwrap_or(self.DesiredMinTxInterval);
        if new != self.DesiredMinTxInterval {
            self.DesiredMinTxInterval = new;
            self.initiate_poll();
        }
        // "is increased and bfd.SessionState is Up: MUST NOT change until the Poll Sequence ..."
        self.previous_tx = (up && new > in_use).then_some(in_use);
    }

    fn set_rx(&mut self, new: u64) {
        let up = self.SessionState == State::Up;
        let in_use = self.previous_rx.unwrap_or(self.RequiredMinRxInterval);
        if new != self.RequiredMinRxInterval {
            self.RequiredMinRxInterval = new;
            self.initiate_poll();
        }
        self.previous_rx = (up && new < in_use).then_some(in_use);
    }

    fn enter(&mut self, state: State, diag: Diagnostic) {
        self.SessionState = state;
        self.LocalDiag = diag;
        if state == State::AdminDown {
            self.poll = Poll::Idle;
            self.clear_final_seen = true;
        }
        self.set_tx();
        self.set_rx(self.RequiredMinRxInterval);
    }

    fn time(&mut self, now: Timestamp) {
        let Some(received) = self.received else {
            return;
        };
        if now.since(received) < ms(self.detection_time()) {
            return;
        }
        self.received = None;
        self.RemoteDiscr = None;
        self.RemoteMinRxInterval = 1;
        self.poll = Poll::Idle;
        self.clear_final_seen = true;
        if matches!(self.SessionState, State::Init | State::Up) {
            self.enter(State::Down, Diagnostic::ControlDetectionTimeExpired);
        }
    }

    fn receive(&mut self, now: Timestamp, packet: &Packet) {
        self.RemoteDiscr = Some(packet.my_discriminator);
        self.RemoteSessionState = packet.state;
        self.RemoteDemandMode = packet.demand;
        self.RemoteMinRxInterval = u64::from(packet.required_min_rx.as_micros() / 1000);
        self.remote_desired_tx = u64::from(packet.desired_min_tx.as_micros() / 1000);
        self.remote_mult = u64::from(packet.detect_mult.get());
        self.received = Some(now);
        self.take_final(packet.is_final);
        if self.SessionState == State::AdminDown {
            return;
        }
        use State::{AdminDown, Down, Init, Up};
        if packet.state == AdminDown {
            if self.SessionState != Down {
                self.enter(Down, Diagnostic::NeighborSignaledDown);
            }
        } else if self.SessionState == Down {
            if packet.state == Down {
                self.enter(Init, self.LocalDiag);
            } else if packet.state == Init {
                self.enter(Up, Diagnostic::None);
            }
        } else if self.SessionState == Init {
            if packet.state == Init || packet.state == Up {
                self.enter(Up, Diagnostic::None);
            }
        } else if packet.state == Down {
            self.enter(Down, Diagnostic::NeighborSignaledDown);
        }
    }

    fn take_final(&mut self, is_final: bool) {
        if !is_final {
            self.clear_final_seen = true;
            return;
        }
        match self.poll {
            Poll::Idle | Poll::Wanted => return,
            Poll::Sending => {
                self.poll = Poll::Idle;
                self.previous_tx = None;
                self.previous_rx = None;
            }
            Poll::SendingAndWantedAgain => self.poll = Poll::Wanted,
        }
        self.clear_final_seen = false;
    }

    /// Section 6.8.7: the contents of a packet that is sent now.
    fn check_packet(&mut self, packet: &Packet) {
        if self.poll == Poll::Wanted && self.clear_final_seen && !packet.is_final {
            self.poll = Poll::Sending;
        }
        let sending = matches!(self.poll, Poll::Sending | Poll::SendingAndWantedAgain);
        assert_eq!(
            packet.poll,
            sending && !packet.is_final,
            "{packet:?} {self:?}"
        );
        assert_eq!(packet.state, self.SessionState);
        assert_eq!(packet.diagnostic, self.LocalDiag);
        assert_eq!(packet.detect_mult.get(), self.DetectMult);
        assert_eq!(packet.your_discriminator, self.RemoteDiscr);
        assert_eq!(
            packet.desired_min_tx.as_duration(),
            ms(self.DesiredMinTxInterval)
        );
        assert_eq!(
            packet.required_min_rx.as_duration(),
            ms(self.RequiredMinRxInterval)
        );
        assert!(!packet.demand && packet.required_min_echo_rx == Interval::ZERO);
    }

    fn may_send_periodically(&self) -> bool {
        let demand = self.RemoteDemandMode
            && self.SessionState == State::Up
            && self.RemoteSessionState == State::Up;
        self.RemoteMinRxInterval != 0 && (!demand || self.poll != Poll::Idle)
    }

    fn check_session(&self, session: &Session) {
        let status = session.status();
        assert_eq!(status.state, self.SessionState, "{self:?}");
        assert_eq!(status.remote_state, self.RemoteSessionState);
        assert_eq!(status.local_diagnostic, self.LocalDiag);
        assert_eq!(status.remote_discriminator, self.RemoteDiscr);
        assert_eq!(
            status.transmit,
            self.transmit_interval().map(ms),
            "{self:?}"
        );
        assert_eq!(
            status.detection,
            self.received.map(|_| ms(self.detection_time()))
        );
    }
}

/// The session, its model, the last time a packet that was no answer was sent, and the state and
/// diagnostic in the last packet of all.
struct Both {
    now: Timestamp,
    session: Session,
    model: Model,
    last: Option<Timestamp>,
    said: Option<(State, Diagnostic)>,
}

impl Both {
    fn new(timers: BfdTimers, seed: u64) -> Self {
        let config = SessionConfig {
            local_discriminator: discriminator(1),
            timers,
            rtt_interval: None,
        };
        let session = Session::new(config, Timestamp::ZERO, seed);
        Self {
            now: Timestamp::ZERO,
            session,
            model: Model::new(timers),
            last: None,
            said: None,
        }
    }

    fn check_packets(&mut self, packets: Vec<Packet>) {
        let now = self.now;
        for packet in packets {
            self.model.check_packet(&packet);
            // "... when the contents of that packet would differ from that in the previously
            // transmitted packet": at once, whatever the interval.
            let news = self.said != Some((packet.state, packet.diagnostic));
            self.said = Some((packet.state, packet.diagnostic));
            if packet.is_final {
                continue;
            }
            if let (false, Some(last)) = (news, self.last) {
                assert!(self.model.may_send_periodically(), "{:?}", self.model);
                let interval = ms(self.model.transmit_interval().unwrap());
                let gap = now.since(last);
                assert!(gap * 4 >= interval * 3, "too early: {:?}", self.model);
            }
            self.last = Some(now);
        }
    }

    fn advance(&mut self, millis: u64) {
        let end = self.now + ms(millis);
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.model.time(self.now);
            self.session.handle_timeout(self.now);
            let packets = sent(&mut self.session);
            self.check_packets(packets);
            self.model.check_session(&self.session);
        }
        self.now = end;
        self.model.time(end);
        self.model.check_session(&self.session);
        if let (Some(last), Some(interval)) = (self.last, self.model.transmit_interval())
            && self.model.may_send_periodically()
        {
            assert!(
                end.since(last) <= ms(interval),
                "too late: {:?}",
                self.model
            );
        }
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Wait(millis) => self.advance(*millis),
            Step::Packet(packet) => {
                self.session.handle_packet(now, packet);
                self.model.receive(now, packet);
                let answered = self.model.SessionState != State::AdminDown && packet.poll;
                let packets = sent(&mut self.session);
                assert_eq!(packets.iter().any(|packet| packet.is_final), answered);
                self.check_packets(packets);
            }
            Step::SetTimers(timers) => {
                self.session.set_timers(now, *timers);
                self.model.DetectMult = timers.detect_mult;
                self.model.configured_tx = timers.desired_min_tx.as_millis() as u64;
                self.model.set_tx();
                self.model.set_rx(timers.required_min_rx.as_millis() as u64);
            }
            Step::AdminDown => {
                self.session.admin_down(now);
                if self.model.SessionState != State::AdminDown {
                    self.model
                        .enter(State::AdminDown, Diagnostic::AdministrativelyDown);
                }
            }
            Step::Enable => {
                self.session.enable(now);
                if self.model.SessionState == State::AdminDown {
                    self.model.enter(State::Down, Diagnostic::None);
                }
            }
        }
        let packets = sent(&mut self.session);
        self.check_packets(packets);
        self.model.check_session(&self.session);
        self.advance(0);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Packet(Packet),
    SetTimers(BfdTimers),
    AdminDown,
    Enable,
}

fn any_timers() -> impl Strategy<Value = BfdTimers> {
    (1_u64..3000, 1_u64..3000, 1_u8..6).prop_map(|(tx, rx, mult)| timers(tx, rx, mult))
}

prop_compose! {
    fn any_packet()(
        state in prop_oneof![
            1 => Just(State::AdminDown), 2 => Just(State::Down),
            4 => Just(State::Init), 6 => Just(State::Up),
        ],
        poll: bool, is_final: bool, demand in prop::bool::weighted(0.1),
        mult in 1_u8..6, tx in 1_u32..2000,
        rx in prop_oneof![1 => Just(0_u32), 9 => 1_u32..2000],
    ) -> Packet {
        Packet {
            poll, is_final, demand,
            detect_mult: mult.try_into().unwrap(),
            desired_min_tx: Interval::from_micros(tx * 1000),
            required_min_rx: Interval::from_micros(rx * 1000),
            ..from_peer(state)
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u64..1500).prop_map(Step::Wait),
        12 => any_packet().prop_map(Step::Packet),
        2 => any_timers().prop_map(Step::SetTimers),
        1 => Just(Step::AdminDown),
        2 => Just(Step::Enable),
    ]
}

proptest! {
    #[test]
    fn a_session_does_what_the_rfc_says(
        timers in any_timers(), seed: u64, steps in prop::collection::vec(any_step(), 1..80),
    ) {
        let mut both = Both::new(timers, seed);
        for step in &steps {
            both.step(step);
        }
    }
}
