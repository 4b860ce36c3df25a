//! Points in time as certificates and tokens have them.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use time::OffsetDateTime;

/// Seconds since 1970-01-01 UTC. Nothing that is issued here is older, or later than the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

/// 9999-12-31 23:59:59, beyond which no certificate can be dated (RFC 5280, 4.1.2.5).
const LAST: u64 = 253_402_300_799;

impl UnixTime {
    /// The time that many seconds after the beginning of 1970; what lies beyond the last one that can
    /// be written down is that one.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(if seconds > LAST { LAST } else { seconds })
    }

    /// Seconds since the beginning of 1970.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is before it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The time that much earlier.
    #[must_use]
    pub(crate) const fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.as_secs()))
    }

    pub(crate) fn date(self) -> OffsetDateTime {
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self::from_seconds(self.0.saturating_add(rhs.as_secs()))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second) = date.to_hms();
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_by_people() {
        let table = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_128_000, "2026-11-19 22:40:00 UTC"),
            (LAST, "9999-12-31 23:59:59 UTC"),
            (u64::MAX, "9999-12-31 23:59:59 UTC"),
        ];
        for (seconds, text) in table {
            assert_eq!(UnixTime::from_seconds(seconds).to_string(), text);
        }
    }
}
