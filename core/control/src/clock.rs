//! The clocks, which only the drivers read.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use patronus_identity::UnixTime;
use patronus_model::time::Timestamp;
use rustls::time_provider::TimeProvider;
use tokio::time::Instant;

/// What time it is. Certificates are valid by this.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl WallClock {
    /// The clock of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    /// Another one.
    #[must_use]
    pub fn new(read: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        UnixTime::from_seconds(self.since_1970().as_secs())
    }

    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.since_1970().as_millis()).unwrap_or(u64::MAX)
    }

    /// A clock that stands before 1970 is one that was never set.
    fn since_1970(&self) -> Duration {
        let now = (self.0)();
        now.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WallClock({})", self.now())
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(
            self.since_1970(),
        ))
    }
}

/// How much time passes: what the state machines are told.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    origin: Instant,
}

impl Monotonic {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// What it says.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.origin.elapsed()
    }

    pub(crate) fn at(&self, timestamp: Timestamp) -> Instant {
        self.origin + timestamp.since(Timestamp::ZERO)
    }
}
