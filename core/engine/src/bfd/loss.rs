//! Loss, from how many periodic packets came and how many should have come.

use std::time::Duration;

use patronus_model::Timestamp;

/// Periodic packets of the peer over a window, while the session was Up.
///
/// How far to trust it: the peer draws each of its gaps anew from 75 to 100 % of its interval,
/// so over a window in which `n` packets are expected the true number varies with a standard
/// deviation of `0.083 × √n`, plus some 0.4 for the cut at either end; see
/// [`Self::deviation`]. With 100 ms that is ±4 % of the packets over one second, ±1 % over ten,
/// ±0.3 % over a minute. A peer whose jitter has another mean, or whose timers run late, adds a
/// bias that no window removes (bfdd of FRR 8.4 draws from 75 to 100 % too, but is late under
/// load). Where loss decides something, ask STAMP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossWindow {
    /// How long the session was Up in the window.
    pub up: Duration,
    /// Packets that the peer sent on average in that time, as its interval and mean jitter say.
    pub expected: f64,
    /// Packets that came, answers to our polls not counted.
    pub received: u32,
}

impl LossWindow {
    /// The estimated share of packets lost, 0 to 1; `None` when none was expected.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        (self.expected >= 1.0)
            .then(|| (1.0 - f64::from(self.received) / self.expected).clamp(0.0, 1.0))
    }

    /// One standard deviation of [`Self::loss`] on a path without loss.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        // A gap drawn evenly from [0.75, 1] of the interval has a mean of 0.875 and a deviation
        // of 0.25/√12 = 0.0722, and a count of n such gaps one of √n × 0.0722/0.875. Where the
        // window cuts the first and the last gap adds a variance of 1/6.
        const GAP: f64 = 0.0825;
        if self.expected < 1.0 {
            return 1.0;
        }
        ((GAP * GAP * self.expected + 1.0 / 6.0).sqrt() / self.expected).min(1.0)
    }
}

#[derive(Clone, Debug)]
pub(super) struct LossMeter {
    counted_to: Timestamp,
    up: Duration,
    expected: f64,
    received: u32,
}

impl LossMeter {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            counted_to: now,
            up: Duration::ZERO,
            expected: 0.0,
            received: 0,
        }
    }

    /// Counts the time since the last call, in which the peer sent every `mean_gap` on average;
    /// `None` when nothing was expected of it.
    pub(super) fn pass(&mut self, now: Timestamp, mean_gap: Option<Duration>) {
        let passed = now.since(self.counted_to);
        self.counted_to = self.counted_to.max(now);
        if let Some(gap) = mean_gap.filter(|gap| !gap.is_zero()) {
            self.up += passed;
            self.expected += passed.as_secs_f64() / gap.as_secs_f64();
        }
    }

    pub(super) const fn count(&mut self) {
        self.received = self.received.saturating_add(1);
    }

    pub(super) fn take(&mut self) -> LossWindow {
        let window = LossWindow {
            up: self.up,
            expected: self.expected,
            received: self.received,
        };
        *self = Self::new(self.counted_to);
        window
    }
}
