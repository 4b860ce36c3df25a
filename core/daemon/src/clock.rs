//! The clock that the engine is told.

use nix::time::{ClockId, clock_gettime};
use patronus_model::Timestamp;

/// Nanoseconds of `CLOCK_MONOTONIC`, so that a daemon which is started again goes on counting
/// where its predecessor stopped.
#[must_use]
pub fn now() -> Timestamp {
    // The only errors are a clock that does not exist and a bad address.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(|time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
        seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or_default()
    });
    Timestamp::from_nanos(time.unwrap_or_default())
}
