//! One session (RFC 5880 section 6.8).

use std::collections::VecDeque;
use std::num::NonZeroU8;
use std::time::Duration;

use patronus_model::Timestamp;
use patronus_model::bgp::BfdTimers;

use super::loss::{LossMeter, LossWindow};
use super::packet::{Diagnostic, Discriminator, Interval, Packet, State};
use super::poll::PollSequence;
use super::report::{Counters, Event, Liveness, StateChange, Status};
use super::rng::Rng;
use super::timers::{LocalTimers, Wanted, jittered, least_gap, mean_gap};

/// How many changes of state are told between two periodic packets: from Down by Init to Up, and
/// one more.
const MOST_EARLY: u32 = 3;

/// How often a round trip is measured unless told otherwise.
pub const DEFAULT_RTT_INTERVAL: Duration = Duration::from_secs(1);

/// `bfd.RemoteMinRxInterval` before anything is known of the peer (section 6.8.1).
const REMOTE_MIN_RX_UNKNOWN: Interval = Interval::from_micros(1);

/// What a session is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Our name for the session; no other session of this system has it.
    pub local_discriminator: Discriminator,
    /// Intervals (raised to [`super::MIN_INTERVAL`]) and multiplier (raised to 1).
    pub timers: BfdTimers,
    /// How often a round trip is measured while Up; `None`: never.
    pub rtt_interval: Option<Duration>,
}

/// What the peer's last packet said.
#[derive(Clone, Debug)]
struct Remote {
    discriminator: Option<Discriminator>,
    state: State,
    diagnostic: Diagnostic,
    demand: bool,
    min_rx: Interval,
    desired_min_tx: Interval,
    detect_mult: NonZeroU8,
}

/// A session, from before its first packet on.
///
/// Whatever a `handle_*` or another `&mut` method brings about is taken out with
/// [`Self::poll_transmit`] and [`Self::poll_event`] until they are empty; then
/// [`Self::poll_timeout`] says when [`Self::handle_timeout`] is due. `now` must not run
/// backwards.
#[derive(Clone, Debug)]
pub struct Session {
    local_discriminator: Discriminator,
    rng: Rng,
    state: State,
    diagnostic: Diagnostic,
    since: Timestamp,
    timers: LocalTimers,
    remote: Remote,
    poll: PollSequence,
    last_sent: Option<Timestamp>,
    /// What the last packet of all told.
    told: Option<(State, Diagnostic)>,
    /// When the next periodic packet is due, if periodic packets are due at all.
    next_send: Timestamp,
    /// Packets that told a change of state since the last periodic one.
    early: u32,
    /// `None`: not since the peer was last forgotten.
    last_received: Option<Timestamp>,
    reported: (Option<Duration>, Option<Duration>),
    rtt: Option<Duration>,
    loss: LossMeter,
    counters: Counters,
    transmits: VecDeque<Packet>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session in state Down which soon sends its first packet: after a random part of its
    /// interval, so that thousands made at once do not send at once.
    #[must_use]
    pub fn new(config: SessionConfig, now: Timestamp, seed: u64) -> Self {
        let wanted = Wanted::from(config.timers);
        let mut rng = Rng::new(seed);
        let soon = wanted.tx.as_duration().min(Duration::from_secs(1));
        let delay = rng.up_to(u64::try_from(soon.as_nanos()).unwrap_or(0));
        let mut session = Self {
            local_discriminator: config.local_discriminator,
            rng,
            state: State::Down,
            diagnostic: Diagnostic::None,
            since: now,
            timers: LocalTimers::new(wanted),
            remote: Remote {
                discriminator: None,
                state: State::Down,
                diagnostic: Diagnostic::None,
                demand: false,
                min_rx: REMOTE_MIN_RX_UNKNOWN,
                desired_min_tx: Interval::ZERO,
                detect_mult: NonZeroU8::MIN,
            },
            poll: PollSequence::new(config.rtt_interval),
            last_sent: None,
            told: None,
            next_send: now + Duration::from_nanos(delay),
            early: 0,
            last_received: None,
            reported: (None, None),
            rtt: None,
            loss: LossMeter::new(now),
            counters: Counters::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        session.reported = (session.transmit_interval(), session.detection_time());
        session
    }

    /// Takes a packet that was found to be for this session: section 6.8.6 from where the
    /// session is known.
    pub fn handle_packet(&mut self, now: Timestamp, packet: &Packet) {
        let expected = self.pass(now);
        let before = self.vantage();
        self.learn(packet);
        if packet.is_final {
            self.handle_final(now);
        } else {
            self.poll.handle_plain();
        }
        self.last_received = Some(now);
        if self.state == State::AdminDown {
            self.counters.discarded += 1;
        } else {
            self.counters.received += 1;
            if expected && !packet.is_final {
                self.loss.count();
            }
            self.follow(now, packet.state);
        }
        let changed = self.report_state(before);
        self.retime(now);
        if packet.poll && self.state != State::AdminDown {
            // It carries the new state, if that has changed, so nothing else need be sent.
            self.answer();
        } else if changed {
            self.send_early(now);
        }
    }

    /// Does what is due at `now`: detection first, then the periodic packet.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.pass(now);
        if self
            .detection_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.expire(now);
        }
        if self.sends_periodically() && self.next_send <= now {
            self.send_periodic(now);
        }
    }

    /// When [`Self::handle_timeout`] must be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let send = self.sends_periodically().then_some(self.next_send);
        [send, self.detection_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next packet to be sent, at once.
    pub fn poll_transmit(&mut self) -> Option<Packet> {
        self.transmits.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Changes intervals and multiplier without disturbing the session: the peer is polled, and
    /// what could make either end give up waits for its answer (section 6.8.3).
    pub fn set_timers(&mut self, now: Timestamp, timers: BfdTimers) {
        self.pass(now);
        self.timers.wanted = Wanted::from(timers);
        self.adapt_timers();
        self.retime(now);
    }

    /// Takes the session down administratively (section 6.8.16). The peer is told at once, and
    /// then for as long as the session exists.
    pub fn admin_down(&mut self, now: Timestamp) {
        if self.state != State::AdminDown {
            self.set_state(now, State::AdminDown, Diagnostic::AdministrativelyDown);
        }
    }

    /// Takes the session down because its path is taken away. The peer is told at once.
    pub fn path_down(&mut self, now: Timestamp) {
        self.set_state(now, State::Down, Diagnostic::PathDown);
    }

    /// Ends [`Self::admin_down`].
    pub fn enable(&mut self, now: Timestamp) {
        if self.state == State::AdminDown {
            self.set_state(now, State::Down, Diagnostic::None);
        }
    }

    /// Our name for the session.
    #[must_use]
    pub const fn local_discriminator(&self) -> Discriminator {
        self.local_discriminator
    }

    /// The session as it is.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            state: self.state,
            local_diagnostic: self.diagnostic,
            since: self.since,
            remote_state: self.remote.state,
            remote_diagnostic: self.remote.diagnostic,
            local_discriminator: self.local_discriminator,
            remote_discriminator: self.remote.discriminator,
            transmit: self.transmit_interval(),
            detection: self.detection_time(),
            rtt: self.rtt,
            counters: self.counters,
        }
    }

    /// Ends the current loss window and begins the next.
    pub fn take_loss(&mut self, now: Timestamp) -> LossWindow {
        self.pass(now);
        self.loss.take()
    }

    fn learn(&mut self, packet: &Packet) {
        self.remote = Remote {
            discriminator: Some(packet.my_discriminator),
            state: packet.state,
            diagnostic: packet.diagnostic,
            demand: packet.demand,
            min_rx: packet.required_min_rx,
            desired_min_tx: packet.desired_min_tx,
            detect_mult: packet.detect_mult,
        };
    }

    fn handle_final(&mut self, now: Timestamp) {
        let answer = self.poll.handle_final(now);
        if answer.acknowledged {
            self.timers.acknowledged();
        }
        if let Some(rtt) = answer.round_trip.filter(|_| self.state == State::Up) {
            self.rtt = Some(rtt);
            self.events.push_back(Event::Rtt(rtt));
        }
    }

    /// The state machine proper (section 6.8.6).
    fn follow(&mut self, now: Timestamp, remote: State) {
        let next = match (self.state, remote) {
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                Some((State::Down, Diagnostic::NeighborSignaledDown))
            }
            (State::Down, State::Down) => Some((State::Init, self.diagnostic)),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                Some((State::Up, Diagnostic::None))
            }
            (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up)
            | (State::AdminDown, _) => None,
        };
        if let Some((state, diagnostic)) = next {
            self.enter(now, state, diagnostic);
        }
    }

    fn expire(&mut self, now: Timestamp) {
        let before = self.vantage();
        // Sections 6.8.1 and 6.8.18. The state and the reason that the peer gave last stay.
        self.remote.discriminator = None;
        self.remote.min_rx = REMOTE_MIN_RX_UNKNOWN;
        self.last_received = None;
        self.poll.reset();
        match self.state {
            State::Init | State::Up => {
                self.enter(now, State::Down, Diagnostic::ControlDetectionTimeExpired);
            }
            State::AdminDown | State::Down => {}
        }
        let changed = self.report_state(before);
        self.retime(now);
        if changed && self.has_news() {
            self.send(now);
        }
    }

    fn set_state(&mut self, now: Timestamp, state: State, diagnostic: Diagnostic) {
        self.pass(now);
        let before = self.vantage();
        self.enter(now, state, diagnostic);
        self.report_state(before);
        self.retime(now);
        self.send(now);
    }

    fn enter(&mut self, now: Timestamp, state: State, diagnostic: Diagnostic) {
        if self.state == State::Up {
            self.counters.downs += 1;
            self.rtt = None;
        }
        self.state = state;
        self.diagnostic = diagnostic;
        self.since = now;
        self.adapt_timers();
        match state {
            State::Up => {
                // Sessions that came up together do not measure together.
                let interval = self.poll.interval().unwrap_or_default();
                let spread = u64::try_from(interval.as_nanos()).unwrap_or(0);
                let delay = Duration::from_nanos(self.rng.up_to(spread));
                self.poll.postpone_round_trip(now + delay);
            }
            State::AdminDown => self.poll.reset(),
            State::Down | State::Init => {}
        }
    }

    /// A Poll Sequence needs a peer: without one the first packets say everything anyway, and in
    /// `AdminDown` no answer would be taken.
    fn adapt_timers(&mut self) {
        let news = self.timers.adapt(self.state == State::Up);
        if news && self.remote.discriminator.is_some() && self.state != State::AdminDown {
            self.poll.request();
        }
    }

    const fn vantage(&self) -> (State, Liveness) {
        (
            self.state,
            Liveness::new(self.state, self.remote.state, self.diagnostic),
        )
    }

    /// Reports what has changed since `before`, and says whether our own state has.
    fn report_state(&mut self, before: (State, Liveness)) -> bool {
        let (from, liveness) = before;
        let remote_admin = |liveness| liveness == Liveness::RemoteAdminDown;
        let (_, after) = self.vantage();
        if self.state != from || remote_admin(after) != remote_admin(liveness) {
            self.events.push_back(Event::StateChanged(StateChange {
                from,
                to: self.state,
                local_diagnostic: self.diagnostic,
                remote_diagnostic: self.remote.diagnostic,
                remote_state: self.remote.state,
            }));
        }
        self.state != from
    }

    fn transmit_interval(&self) -> Option<Duration> {
        self.timers.transmit_interval(self.remote.min_rx)
    }

    fn detection_time(&self) -> Option<Duration> {
        self.last_received?;
        let interval = self.timers.receive_interval(self.remote.desired_min_tx);
        Some(interval * u32::from(self.remote.detect_mult.get()))
    }

    fn detection_deadline(&self) -> Option<Timestamp> {
        Some(self.last_received? + self.detection_time()?)
    }

    /// The peer is in Demand mode (section 6.8.6, last steps).
    fn demand_active(&self) -> bool {
        self.remote.demand && self.state == State::Up && self.remote.state == State::Up
    }

    fn sends_periodically(&self) -> bool {
        let heard = !self.demand_active() || self.poll.is_active();
        heard && self.transmit_interval().is_some()
    }

    /// Reports other intervals, and moves the next packet to where the new one puts it.
    fn retime(&mut self, now: Timestamp) {
        let negotiated = (self.transmit_interval(), self.detection_time());
        if negotiated == self.reported {
            return;
        }
        let (old, _) = std::mem::replace(&mut self.reported, negotiated);
        let (transmit, detection) = negotiated;
        self.events.push_back(Event::TimersNegotiated {
            transmit,
            detection,
        });
        if let (Some(interval), Some(last)) = (transmit, self.last_sent)
            && transmit != old
        {
            let gap = jittered(interval, self.timers.wanted.detect_mult, &mut self.rng);
            self.next_send = (last + gap).max(now);
        }
    }

    /// Tells a change of state at once (section 6.8.7), but not as often as a channel that
    /// duplicates and delays packets can bring changes about: two ends would answer each other
    /// ever faster. Then the periodic packet tells it.
    fn send_early(&mut self, now: Timestamp) {
        if !self.has_news() {
            return;
        }
        if self.early < MOST_EARLY || !self.sends_periodically() {
            self.early = self.early.saturating_add(1);
            self.send(now);
        }
    }

    /// A packet would say something else than the last one: not so where a change that was not
    /// told has been undone.
    fn has_news(&self) -> bool {
        self.told != Some((self.state, self.diagnostic))
    }

    fn send_periodic(&mut self, now: Timestamp) {
        self.early = 0;
        let due = self.next_send;
        self.send(now);
        // Counting from when the packet was due, not from when a busy shell came around to it,
        // keeps the mean interval what the peer expects; never closer than jitter allows.
        if let Some(interval) = self.transmit_interval() {
            let gap = self.next_send.since(now);
            self.next_send = (due + gap).max(now + least_gap(interval));
        }
    }

    fn send(&mut self, now: Timestamp) {
        let measure =
            self.state == State::Up && self.remote.state == State::Up && !self.remote.demand;
        let poll = self.poll.poll_bit(now, measure);
        self.transmit(poll, false);
        self.last_sent = Some(now);
        if let Some(interval) = self.transmit_interval() {
            let gap = jittered(interval, self.timers.wanted.detect_mult, &mut self.rng);
            self.next_send = now + gap;
        }
    }

    /// Answers a poll, which does not touch the schedule of periodic packets.
    fn answer(&mut self) {
        self.transmit(false, true);
    }

    fn transmit(&mut self, poll: bool, is_final: bool) {
        self.counters.sent += 1;
        self.told = Some((self.state, self.diagnostic));
        self.transmits.push_back(Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll,
            is_final,
            // Our packets stop when this process does, though forwarding goes on.
            control_plane_independent: false,
            demand: false,
            detect_mult: self.timers.wanted.detect_mult,
            my_discriminator: self.local_discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.timers.desired_min_tx,
            required_min_rx: self.timers.required_min_rx,
            required_min_echo_rx: Interval::ZERO,
        });
    }

    /// Brings the expectation of packets up to date, before anything that changes it, and says
    /// whether there is one.
    fn pass(&mut self, now: Timestamp) -> bool {
        let up = self.state == State::Up && self.remote.state == State::Up;
        let gap = mean_gap(
            self.timers.receive_interval(self.remote.desired_min_tx),
            self.remote.detect_mult,
        );
        self.loss.pass(now, up.then_some(gap));
        up
    }
}
