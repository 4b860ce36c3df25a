//! Whether the other end is there.

use std::time::Duration;

use patronus_model::time::Timestamp;

/// So many intervals without a word, and the other end is taken to be gone.
const SILENT: u32 = 3;

/// Both ends say something at least once in each interval.
#[derive(Debug)]
pub(super) struct Pulse {
    interval: Duration,
    heard: Timestamp,
    beat_at: Timestamp,
}

impl Pulse {
    pub(super) fn new(now: Timestamp, interval: Duration) -> Self {
        Self {
            interval,
            heard: now,
            beat_at: now + interval,
        }
    }

    pub(super) fn keep_to(&mut self, now: Timestamp, interval: Duration) {
        *self = Self::new(now, interval);
    }

    pub(super) fn heard(&mut self, now: Timestamp) {
        self.heard = self.heard.max(now);
    }

    pub(super) const fn last_heard(&self) -> Timestamp {
        self.heard
    }

    /// Whether something is to be said now. It is due again after an interval then.
    pub(super) fn is_due(&mut self, now: Timestamp) -> bool {
        let due = now >= self.beat_at;
        if due {
            self.beat_at = now + self.interval;
        }
        due
    }

    pub(super) fn is_dead(&self, now: Timestamp) -> bool {
        now >= self.dead_at()
    }

    /// When to look again.
    pub(super) fn wake_at(&self) -> Timestamp {
        self.beat_at.min(self.dead_at())
    }

    fn dead_at(&self) -> Timestamp {
        self.heard + self.interval * SILENT
    }
}
