//! What is known of each path, and the state that follows from it.

use std::time::Duration;

use patronus_model::Timestamp;
use patronus_model::path::{Liveness, Measurement, PathCause, PathState};
use patronus_model::router::HealthParams;

use crate::dampening::Penalty;

/// What is known of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathHealth {
    /// When we began to watch it, the last time that we did.
    pub started: Timestamp,
    /// What BFD said last.
    liveness: Liveness,
    /// When it first said that.
    told: Timestamp,
    /// When the far end, after it had said good-bye, was heard of again, and how this path was then.
    returned: Option<(Timestamp, PathCause)>,
    /// Whether it has been up, and no longer was.
    fallen: bool,
    /// Whether our uplink can carry packets.
    pub uplink_usable: bool,
    /// What was measured last.
    pub measured: Measurement,
    /// Its state.
    pub state: PathState,
    /// Why.
    pub cause: PathCause,
    /// Since when it has been in this state.
    pub since: Timestamp,
    /// Whether it flaps so often that nobody should move to it.
    pub suppressed: bool,
    penalty: Penalty,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What it was.
    pub from: PathState,
    /// What it is.
    pub to: PathState,
    /// Why.
    pub cause: PathCause,
}

impl PathHealth {
    /// A path of which nothing is known yet.
    #[must_use]
    pub const fn new(now: Timestamp, uplink_usable: bool) -> Self {
        Self {
            started: now,
            liveness: Liveness::Begun,
            told: now,
            returned: None,
            fallen: false,
            uplink_usable,
            measured: Measurement {
                rtt: None,
                loss_permille: None,
            },
            state: PathState::Unknown,
            cause: PathCause::Starting,
            since: now,
            suppressed: false,
            penalty: Penalty::none(now),
        }
    }

    /// What BFD says of it.
    pub fn hear(&mut self, now: Timestamp, liveness: Liveness) {
        if liveness == Liveness::Begun {
            return self.begin(now);
        }
        // A session that has not been up yet says nothing new by being down.
        let news = match liveness {
            Liveness::Silent | Liveness::NotHeard | Liveness::GivenUp => {
                self.liveness != Liveness::Begun
            }
            Liveness::Up | Liveness::AdminDown | Liveness::Begun => true,
        };
        if self.liveness == Liveness::AdminDown {
            // A daemon that starts again begins with sessions that are down.
            match liveness {
                Liveness::NotHeard => return self.far_end_is_back(now, PathCause::NotHeard),
                Liveness::GivenUp => return self.far_end_is_back(now, PathCause::GivenUp),
                Liveness::Silent => return self.far_end_is_back(now, PathCause::Silent),
                Liveness::AdminDown if self.returned.is_none() => return,
                Liveness::AdminDown | Liveness::Up | Liveness::Begun => {}
            }
        }
        if news && (self.liveness != liveness || self.returned.is_some()) {
            self.liveness = liveness;
            self.told = now;
            self.returned = None;
        }
    }

    /// It is watched by another session than before, for example because an address has changed: what
    /// the old one said of the path nobody watches over any more. How often it has flapped still holds.
    fn begin(&mut self, now: Timestamp) {
        self.started = now;
        self.liveness = Liveness::Begun;
        self.told = now;
        self.returned = None;
        self.measured = Measurement::default();
    }

    /// When it was last found to be up, while it is.
    #[must_use]
    pub fn up_since(&self) -> Option<Timestamp> {
        (self.liveness == Liveness::Up).then_some(self.told)
    }

    /// When the far end said good-bye on it, while nothing is known of its return.
    #[must_use]
    pub fn left_alone_since(&self) -> Option<Timestamp> {
        let gone = self.liveness == Liveness::AdminDown && self.returned.is_none();
        gone.then_some(self.told)
    }

    /// The far end that had said good-bye is there again: from now on this path has the time of one
    /// that starts.
    pub fn far_end_is_back(&mut self, now: Timestamp, cause: PathCause) {
        self.returned.get_or_insert((now, cause));
    }

    /// Whether it is up for the first time since it is watched, and has been up ever since.
    #[must_use]
    pub const fn has_never_fallen(&self) -> bool {
        !self.fallen
    }

    /// How long it has been up without interruption; zero when it is not.
    #[must_use]
    pub fn well_for(&self, now: Timestamp) -> Duration {
        if self.state == PathState::Up {
            now.since(self.since)
        } else {
            Duration::ZERO
        }
    }

    /// Draws the conclusion from what is known. Returns the change of state, if there is one.
    pub fn evaluate(&mut self, now: Timestamp, params: &HealthParams) -> Option<Transition> {
        let (to, cause) = self.judge(now, params);
        let from = self.state;
        self.cause = cause;
        if from == to {
            return None;
        }
        self.state = to;
        self.since = now;
        if matches!(from, PathState::Up | PathState::Degraded) {
            // Also by becoming worse only: it is not up for the first time when it is well again. That
            // it is watched anew is no fall.
            self.fallen |= to != PathState::Up && cause != PathCause::Starting;
        }
        if to == PathState::Down && matches!(from, PathState::Up | PathState::Degraded) {
            self.penalty.add(now, &params.dampening);
        }
        if to == PathState::Down {
            // What was measured on a path that is gone says nothing about it when it returns.
            self.measured = Measurement::default();
        }
        Some(Transition { from, to, cause })
    }

    /// How much longer nobody should move to it, if it goes down no more; `None`: one may.
    #[must_use]
    pub fn suppressed_for(&self, now: Timestamp, params: &HealthParams) -> Option<Duration> {
        let until = || self.penalty.calm_at(&params.dampening);
        self.suppressed.then(|| until().since(now))
    }

    /// That it went down last was not its fault.
    pub fn forgive(&mut self, params: &HealthParams) {
        self.penalty.take_back(&params.dampening);
    }

    /// Lets dampening follow the clock. Returns the new value when it changed.
    pub fn dampen(&mut self, now: Timestamp, params: &HealthParams) -> Option<bool> {
        let suppressed = self.penalty.suppressed(now, &params.dampening);
        (std::mem::replace(&mut self.suppressed, suppressed) != suppressed).then_some(suppressed)
    }

    fn judge(&self, now: Timestamp, params: &HealthParams) -> (PathState, PathCause) {
        if !self.uplink_usable {
            return (PathState::Down, PathCause::UplinkDown);
        }
        match self.liveness {
            Liveness::Begun if now.since(self.started) < params.start_grace => {
                (PathState::Unknown, PathCause::Starting)
            }
            Liveness::Begun => (PathState::Down, PathCause::NeverUp),
            Liveness::AdminDown => match self.returned {
                Some((at, cause)) if now.since(at) >= params.start_grace => {
                    (PathState::Down, cause)
                }
                _ if now.since(self.told) < params.stop_grace => {
                    (PathState::Unknown, PathCause::AdminDown)
                }
                _ => (PathState::Down, PathCause::StayedAway),
            },
            Liveness::Silent => (PathState::Down, PathCause::Silent),
            Liveness::NotHeard => (PathState::Down, PathCause::NotHeard),
            Liveness::GivenUp => (PathState::Down, PathCause::GivenUp),
            Liveness::Up => self.quality(params),
        }
    }

    fn quality(&self, params: &HealthParams) -> (PathState, PathCause) {
        // A path that is degraded already must be better than the limit by a tenth to be well
        // again, so that a value which hovers about the limit does not make it flap.
        let degraded = self.state == PathState::Degraded;
        let over = |measured: u64, limit: u64| {
            if degraded {
                measured * 10 > limit * 9
            } else {
                measured > limit
            }
        };
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX / 10);
        if let (Some(measured), Some(limit)) = (self.measured.rtt, params.degraded_latency)
            && over(micros(measured), micros(limit))
        {
            return (PathState::Degraded, PathCause::Latency { measured, limit });
        }
        if let (Some(measured), Some(limit)) =
            (self.measured.loss_permille, params.degraded_loss_permille)
            && over(measured.into(), limit.into())
        {
            return (PathState::Degraded, PathCause::Loss { measured, limit });
        }
        (PathState::Up, PathCause::Alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Feeds one fact to a path that was up and says what came of it.
    fn after(change: impl FnOnce(&mut PathHealth)) -> (PathState, PathCause) {
        let params = HealthParams::default();
        let mut health = PathHealth::new(at(0), true);
        health.hear(at(10), Liveness::Up);
        health.evaluate(at(10), &params);
        assert_eq!(health.state, PathState::Up);
        change(&mut health);
        health.evaluate(at(20), &params);
        (health.state, health.cause)
    }

    #[test]
    fn each_cause_gives_its_state() {
        let limit = Duration::from_millis(300);
        let measured = Duration::from_millis(301);
        let cases: [(fn(&mut PathHealth), _); 7] = [
            (
                |h| h.uplink_usable = false,
                (PathState::Down, PathCause::UplinkDown),
            ),
            (
                |h| h.hear(at(20), Liveness::Silent),
                (PathState::Down, PathCause::Silent),
            ),
            (
                |h| h.hear(at(20), Liveness::NotHeard),
                (PathState::Down, PathCause::NotHeard),
            ),
            (
                |h| h.hear(at(20), Liveness::GivenUp),
                (PathState::Down, PathCause::GivenUp),
            ),
            (
                |h| h.hear(at(20), Liveness::AdminDown),
                (PathState::Unknown, PathCause::AdminDown),
            ),
            (
                |h| h.measured.rtt = Some(Duration::from_millis(301)),
                (PathState::Degraded, PathCause::Latency { measured, limit }),
            ),
            (
                |h| h.measured.loss_permille = Some(101),
                (
                    PathState::Degraded,
                    PathCause::Loss {
                        measured: 101,
                        limit: 100,
                    },
                ),
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(after(change), expected);
        }
    }

    #[test]
    fn a_value_that_hovers_about_the_limit_does_not_flap() {
        let params = HealthParams::default();
        let mut health = PathHealth::new(at(0), true);
        health.hear(at(0), Liveness::Up);
        let mut changes = 0;
        for n in 0..100u16 {
            health.measured.loss_permille = Some(98 + n % 5);
            changes += usize::from(health.evaluate(at(u64::from(n)), &params).is_some());
        }
        assert_eq!((health.state, changes), (PathState::Degraded, 2));
    }

    #[test]
    fn a_far_end_that_was_stopped_and_does_not_come_back_is_down_after_the_grace() {
        let params = HealthParams::default();
        let mut health = PathHealth::new(at(0), true);
        health.hear(at(10), Liveness::Up);
        health.evaluate(at(10), &params);
        health.hear(at(1_000), Liveness::AdminDown);
        let transition = health.evaluate(at(1_000), &params).unwrap();
        assert_eq!(transition.cause, PathCause::AdminDown);
        // Saying it again does not prolong it.
        health.hear(at(50_000), Liveness::AdminDown);
        assert_eq!(health.evaluate(at(60_999), &params), None);
        let transition = health.evaluate(at(61_000), &params).unwrap();
        assert_eq!(
            (transition.to, transition.cause),
            (PathState::Down, PathCause::StayedAway)
        );
        health.hear(at(90_000), Liveness::Up);
        health.evaluate(at(90_000), &params);
        assert_eq!(health.state, PathState::Up);
    }

    #[test]
    fn a_path_that_is_watched_anew_has_to_come_up_anew() {
        let params = HealthParams::default();
        let mut health = PathHealth::new(at(0), true);
        health.hear(at(10), Liveness::Up);
        health.measured.rtt = Some(Duration::from_millis(7));
        health.evaluate(at(10), &params);
        health.hear(at(60_000), Liveness::Begun);
        let transition = health.evaluate(at(60_000), &params).unwrap();
        assert_eq!(
            (transition.to, transition.cause),
            (PathState::Unknown, PathCause::Starting)
        );
        assert_eq!(
            (health.up_since(), health.measured),
            (None, Measurement::default())
        );
        // As at a first start, to be down is no news.
        health.hear(at(61_000), Liveness::Silent);
        assert_eq!(health.evaluate(at(64_999), &params), None);
        let transition = health.evaluate(at(65_000), &params).unwrap();
        assert_eq!(
            (transition.to, transition.cause),
            (PathState::Down, PathCause::NeverUp)
        );
        health.hear(at(90_000), Liveness::Up);
        health.evaluate(at(90_000), &params);
        assert_eq!(health.state, PathState::Up);
        assert!(health.has_never_fallen() && !health.suppressed);
    }

    #[test]
    fn a_path_that_never_comes_up_is_down_after_the_grace() {
        let params = HealthParams::default();
        let mut health = PathHealth::new(at(0), true);
        assert_eq!(health.evaluate(at(4_999), &params), None);
        let transition = health.evaluate(at(5_000), &params).unwrap();
        assert_eq!(
            (transition.to, transition.cause),
            (PathState::Down, PathCause::NeverUp)
        );
    }
}
