//! The monotonic clock, as the engine counts it.

use std::time::{Duration, Instant, SystemTime};

use patronus_model::Timestamp;

/// Counts from when it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(super) fn now(self) -> Timestamp {
        Timestamp::ZERO + self.origin.elapsed()
    }

    /// When `past` was by the wall clock, as that is set now.
    pub(super) fn wall(self, past: Timestamp) -> SystemTime {
        SystemTime::now()
            .checked_sub(self.now().since(past))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Whole milliseconds until `due`, rounded up: to wake too early would be to wake twice.
pub(super) fn millis_until(now: Timestamp, due: Timestamp) -> u32 {
    let wait = due.since(now) + Duration::from_nanos(999_999);
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
}
