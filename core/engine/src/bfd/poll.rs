//! Poll Sequences (RFC 5880 section 6.5), for parameters and for measuring round trips.
//!
//! A sequence sets the P bit on the packets that are sent anyway until one with the F bit
//! arrives. Which of several P an F answers cannot be told from the F; two rules keep that from
//! doing harm:
//!
//! - After a sequence, the next one waits for a packet *without* F (the third remedy of section
//!   6.8.3), and one for measuring waits until late answers cannot come any more.
//! - A round trip counts only when as many F came as P were sent: then none was lost, so the
//!   first F answers the first P. (What remains is a P or F lost *and* another F duplicated by
//!   the network in the same sequence, which gives a sample that is short by one interval.)

use std::time::Duration;

use patronus_model::Timestamp;

/// Answers that have not come this long after the last P are lost, unless the path is so slow
/// that twice the time of the first answer is longer.
const LATE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Parameters,
    RoundTrip,
}

/// What an F brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The peer knows the parameters that our packets carry.
    pub(super) acknowledged: bool,
    /// An unambiguous round trip.
    pub(super) round_trip: Option<Duration>,
}

/// The P and F of the sequence that runs, or ran last.
#[derive(Clone, Debug)]
struct Count {
    polls: u32,
    finals: u32,
    first_poll: Timestamp,
    last_poll: Timestamp,
    first_final: Option<Timestamp>,
    /// It began while answers to an earlier sequence could still come.
    mixed: bool,
}

impl Count {
    fn may_still_come(&self, now: Timestamp) -> bool {
        let waited = now.since(self.last_poll);
        let slow = self
            .first_final
            .map_or(Duration::ZERO, |at| at.since(self.first_poll) * 2);
        self.finals < self.polls && waited < slow.max(LATE)
    }

    fn round_trip(&self) -> Option<Duration> {
        let complete = self.finals == self.polls && !self.mixed;
        self.first_final
            .filter(|_| complete)
            .map(|at| at.since(self.first_poll))
    }
}

#[derive(Clone, Debug)]
pub(super) struct PollSequence {
    /// Parameters changed and no sequence has begun since.
    wanted: bool,
    running: Option<Purpose>,
    /// A sequence ended and no packet without F has come since.
    settling: bool,
    count: Option<Count>,
    interval: Option<Duration>,
    next_round_trip: Timestamp,
}

impl PollSequence {
    pub(super) const fn new(interval: Option<Duration>) -> Self {
        Self {
            wanted: false,
            running: None,
            settling: false,
            count: None,
            interval,
            next_round_trip: Timestamp::ZERO,
        }
    }

    /// How often round trips are measured.
    pub(super) const fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// The peer must learn of changed parameters.
    pub(super) const fn request(&mut self) {
        self.wanted = true;
    }

    /// A sequence is being transmitted, or will be as soon as that is unambiguous.
    pub(super) const fn is_active(&self) -> bool {
        self.wanted || self.running.is_some()
    }

    /// Gives up everything, as there is no peer any more.
    pub(super) fn reset(&mut self) {
        *self = Self {
            next_round_trip: self.next_round_trip,
            ..Self::new(self.interval)
        };
    }

    /// No round trip is measured before `at`.
    pub(super) const fn postpone_round_trip(&mut self, at: Timestamp) {
        self.next_round_trip = at;
    }

    /// The P bit of a packet that is sent now and is not itself an answer.
    pub(super) fn poll_bit(&mut self, now: Timestamp, measure: bool) -> bool {
        if self.running.is_some() {
            self.count_poll(now);
            return true;
        }
        let Some(purpose) = self.next_purpose(now, measure) else {
            return false;
        };
        let mixed = self
            .count
            .as_ref()
            .is_some_and(|count| count.may_still_come(now));
        self.running = Some(purpose);
        self.wanted = false;
        self.next_round_trip = now + self.interval.unwrap_or_default();
        self.count = Some(Count {
            polls: 1,
            finals: 0,
            first_poll: now,
            last_poll: now,
            first_final: None,
            mixed,
        });
        true
    }

    fn next_purpose(&self, now: Timestamp, measure: bool) -> Option<Purpose> {
        if self.settling {
            return None;
        }
        if self.wanted {
            return Some(Purpose::Parameters);
        }
        let late = self
            .count
            .as_ref()
            .is_some_and(|count| count.may_still_come(now));
        let due = self.interval.is_some() && now >= self.next_round_trip;
        (measure && due && !late).then_some(Purpose::RoundTrip)
    }

    fn count_poll(&mut self, now: Timestamp) {
        if let Some(count) = &mut self.count {
            count.polls += 1;
            count.last_poll = now;
        }
    }

    /// A packet without F arrived.
    pub(super) const fn handle_plain(&mut self) {
        self.settling = false;
    }

    /// A packet with F arrived: it ends the sequence that is being transmitted, if any.
    pub(super) fn handle_final(&mut self, now: Timestamp) -> Answer {
        let Some(count) = &mut self.count else {
            return Answer::default();
        };
        count.finals = count.finals.saturating_add(1);
        count.first_final.get_or_insert(now);
        let round_trip = count.round_trip();
        let ended = self.running.take();
        if ended.is_some() {
            self.settling = true;
        }
        Answer {
            acknowledged: ended == Some(Purpose::Parameters) && !self.wanted,
            round_trip,
        }
    }
}
