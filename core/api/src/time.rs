//! Wall-clock time in text form.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// RFC 3339 in UTC with milliseconds: `2026-11-20T14:02:11.042Z`.
pub(crate) fn rfc3339(unix_millis: u64) -> String {
    let seconds = unix_millis / 1000;
    let (year, month, day) = civil(seconds / DAY);
    let (hour, minute) = (seconds % DAY / 3600, seconds % 3600 / 60);
    let (second, millis) = (seconds % 60, unix_millis % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// How long ago a time was; zero when it lies in the future, because the clock was set.
pub(crate) fn ago(unix_millis: u64) -> Duration {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(Duration::from_millis(unix_millis))
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar: 400 years
/// have 146,097 days, and within them centuries, leap cycles and years are peeled off in turn.
/// The first of each kind is the longer one, hence the limits.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 1601-01-01, which begins a cycle of 400 years: 134,774 days before 1970.
    let mut rest = days + 134_774;
    let mut year = 1601 + rest / 146_097 * 400;
    rest %= 146_097;
    for (length, years, most) in [(36_524, 100, 3), (1461, 4, 24), (365, 1, 3)] {
        let whole = (rest / length).min(most);
        year += whole * years;
        rest -= whole * length;
    }
    let (month, day) = month(rest, is_leap(year));
    (year, month, day)
}

fn month(mut rest: u64, leap: bool) -> (u64, u64) {
    let february = if leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30];
    let mut month = 1;
    for length in lengths {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (month, rest + 1)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_are_written_as_the_rest_of_the_world_writes_them() {
        // From `date -u -d @SECONDS`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (978_220_800, "2000-12-31T00:00:00.000Z"),
            (1_735_603_200, "2024-12-31T00:00:00.000Z"),
            (1_795_183_331, "2026-11-20T14:02:11.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (13_569_465_599, "2399-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(seconds * 1000), text);
        }
        assert_eq!(rfc3339(1_795_183_331_042), "2026-11-20T14:02:11.042Z");
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut before = civil(0);
        for day in 1..200_000 {
            let (year, month, of_month) = civil(day);
            let next_day = (before.0, before.1, before.2 + 1);
            let next_month = (before.0, before.1 + 1, 1);
            let next_year = (before.0 + 1, 1, 1);
            assert!([next_day, next_month, next_year].contains(&(year, month, of_month)));
            before = (year, month, of_month);
        }
    }
}
