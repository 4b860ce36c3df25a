//! Route-flap dampening (RFC 2439 section 4.2) for paths, in integers so that a replay on another
//! machine gives the same result.

use std::time::Duration;

use patronus_model::Timestamp;
use patronus_model::router::Dampening;

/// Steps of decay in one half-life. Only whole steps are taken, so that how often one asks does not
/// change the result.
const STEPS: u32 = 64;

/// What one step leaves: 2^(-1/64), in units of 2^-32.
const LEFT: u64 = 4_248_701_965;

/// Units of [`Penalty::value`] in one point of penalty.
const FINE: u64 = 1 << 16;

/// How much a path has misbehaved lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalty {
    value: u64,
    at: Timestamp,
    suppressed: bool,
}

impl Penalty {
    /// No penalty.
    #[must_use]
    pub const fn none(now: Timestamp) -> Self {
        Self {
            value: 0,
            at: now,
            suppressed: false,
        }
    }

    /// Counts one flap.
    pub fn add(&mut self, now: Timestamp, params: &Dampening) {
        self.decay(now, params);
        let ceiling = u64::from(params.ceiling) * FINE;
        self.value = (self.value + u64::from(params.penalty) * FINE).min(ceiling);
        self.suppressed |= self.value > u64::from(params.suppress) * FINE;
    }

    /// Takes the last flap back: it was not the path's fault.
    pub fn take_back(&mut self, params: &Dampening) {
        self.value = self.value.saturating_sub(u64::from(params.penalty) * FINE);
        self.suppressed &= self.value > u64::from(params.suppress) * FINE;
    }

    /// Lets time pass. Says whether the path is suppressed now.
    pub fn suppressed(&mut self, now: Timestamp, params: &Dampening) -> bool {
        self.decay(now, params);
        self.suppressed &= self.value >= u64::from(params.reuse) * FINE;
        self.suppressed
    }

    /// When the path is used again, if nothing is added to its penalty.
    #[must_use]
    pub fn calm_at(mut self, params: &Dampening) -> Timestamp {
        // Each step takes a hundredth, so that it is 2,000 steps at most.
        while self.value >= u64::from(params.reuse) * FINE && self.value > 0 {
            self.step(params);
        }
        self.at
    }

    fn decay(&mut self, now: Timestamp, params: &Dampening) {
        if self.value == 0 {
            self.at = now;
            return;
        }
        while self.value > 0 && now.since(self.at) >= step(params) {
            self.step(params);
        }
    }

    fn step(&mut self, params: &Dampening) {
        // Below 2^32 points of penalty and 16 bits of fraction the product fits 128 bits.
        let left = (u128::from(self.value) * u128::from(LEFT)) >> 32;
        self.value = u64::try_from(left).unwrap_or(0);
        self.at = self.at + step(params);
    }
}

/// How long a step takes.
fn step(params: &Dampening) -> Duration {
    (params.half_life / STEPS).max(Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: Dampening = Dampening {
        penalty: 1000,
        suppress: 2500,
        reuse: 750,
        half_life: Duration::from_secs(60),
        ceiling: 6000,
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn one_flap_suppresses_nothing_and_three_do() {
        let mut penalty = Penalty::none(at(0));
        penalty.add(at(0), &PARAMS);
        assert!(!penalty.suppressed(at(1), &PARAMS));
        penalty.add(at(6), &PARAMS);
        penalty.add(at(12), &PARAMS);
        assert!(penalty.suppressed(at(13), &PARAMS));
    }

    #[test]
    fn a_suppressed_path_is_reused_after_it_has_been_calm() {
        let mut penalty = Penalty::none(at(0));
        (0..10).for_each(|n| penalty.add(at(n * 6), &PARAMS));
        assert!(penalty.suppressed(at(60), &PARAMS));
        assert!(penalty.suppressed(at(120), &PARAMS));
        // The ceiling of 6000 falls below 750 in three half-lives.
        assert!(!penalty.suppressed(at(60 + 185), &PARAMS));
    }

    #[test]
    fn when_it_will_be_reused_is_known_beforehand() {
        let mut penalty = Penalty::none(at(0));
        (0..3).for_each(|n| penalty.add(at(n * 6), &PARAMS));
        let calm = penalty.calm_at(&PARAMS);
        assert!(calm > at(100) && calm < at(150), "{calm:?}");
        let before = Timestamp::from_millis(calm.since(at(0)).as_millis() as u64 - 1);
        assert!(penalty.suppressed(before, &PARAMS));
        assert_eq!(penalty.calm_at(&PARAMS), calm, "whenever it is asked");
        assert!(!penalty.suppressed(calm + Duration::from_millis(1), &PARAMS));
    }

    #[test]
    fn how_often_it_is_asked_does_not_change_the_decay() {
        let mut asked = Penalty::none(at(0));
        let mut left = asked;
        for penalty in [&mut asked, &mut left] {
            (0..3).for_each(|_| penalty.add(at(0), &PARAMS));
        }
        for millis in 0..200_000 {
            asked.suppressed(Timestamp::from_millis(millis), &PARAMS);
        }
        left.suppressed(at(200), &PARAMS);
        assert_eq!(asked.value, left.value);
    }

    #[test]
    fn a_penalty_halves_in_each_half_life() {
        for (seconds, expected) in [(0, 1000), (60, 500), (120, 250), (600, 1)] {
            let mut penalty = Penalty::none(at(0));
            penalty.add(at(0), &PARAMS);
            penalty.suppressed(at(seconds), &PARAMS);
            assert_eq!(
                (penalty.value + FINE / 2) / FINE,
                expected,
                "after {seconds} s"
            );
        }
    }

    #[test]
    fn a_penalty_of_long_ago_is_forgotten_quickly() {
        let mut penalty = Penalty::none(at(0));
        penalty.add(at(0), &PARAMS);
        assert!(!penalty.suppressed(at(1 << 30), &PARAMS));
        assert_eq!(penalty.value, 0);
    }
}
