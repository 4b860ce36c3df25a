//! Numbers with their units, and no more digits than they deserve. Unknown is `–`.

/// What is shown where nothing is known.
pub(crate) const UNKNOWN: &str = "–";

/// A latency: `0.84 ms`, `18.2 ms`, `251 ms`.
pub(crate) fn latency(ms: Option<f64>) -> String {
    match ms {
        None => UNKNOWN.to_owned(),
        Some(ms) if ms < 0.995 => format!("{ms:.2} ms"),
        Some(ms) if ms < 99.95 => format!("{ms:.1} ms"),
        Some(ms) => format!("{ms:.0} ms"),
    }
}

/// A share: `0 %`, `0.4 %`, `12 %`.
pub(crate) fn percent(percent: Option<f64>) -> String {
    match percent {
        None => UNKNOWN.to_owned(),
        Some(0.0) => "0 %".to_owned(),
        Some(percent) if percent < 9.95 => format!("{percent:.1} %"),
        Some(percent) => format!("{percent:.0} %"),
    }
}

/// A time span: `0 s`, `12 s`, `3 min`, `3 h 4 min`, `3 d 4 h`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A time span where one is known.
pub(crate) fn known_span(ms: Option<u64>) -> String {
    ms.map_or_else(|| UNKNOWN.to_owned(), span)
}

fn two(major: u64, major_unit: &str, minor: u64, minor_unit: &str) -> String {
    match minor {
        0 => format!("{major} {major_unit}"),
        _ => format!("{major} {major_unit} {minor} {minor_unit}"),
    }
}

/// Bandwidth up and down with a common unit: `94/94 Mbit/s`; `–` where neither is known.
pub(crate) fn bandwidth(up: Option<u64>, down: Option<u64>) -> String {
    let Some(greatest) = up.max(down) else {
        return UNKNOWN.to_owned();
    };
    let (unit, size) = match greatest {
        0..1_000_000 => ("kbit/s", 1e3),
        1_000_000..10_000_000_000 => ("Mbit/s", 1e6),
        _ => ("Gbit/s", 1e9),
    };
    let number = |bits: Option<u64>| {
        bits.map_or_else(|| UNKNOWN.to_owned(), |bits| short(bits as f64 / size))
    };
    format!("{}/{} {unit}", number(up), number(down))
}

/// One decimal below 10, unless it is zero.
fn short(number: f64) -> String {
    let text = if number < 9.95 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    };
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// A whole number, with a comma between thousands: `4,480`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A whole number where one is known.
pub(crate) fn known_number(n: Option<u64>) -> String {
    n.map_or_else(|| UNKNOWN.to_owned(), number)
}

/// A number of things: `1 path`, `2 paths`.
pub(crate) fn count(n: u64, one: &str) -> String {
    format!("{} {one}{}", number(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_as_many_digits_as_they_deserve() {
        for (ms, text) in [
            (None, "–"),
            (Some(0.0), "0.00 ms"),
            (Some(0.842), "0.84 ms"),
            (Some(0.996), "1.0 ms"),
            (Some(18.24), "18.2 ms"),
            (Some(99.96), "100 ms"),
            (Some(251.4), "251 ms"),
        ] {
            assert_eq!(latency(ms), text);
        }
    }

    #[test]
    fn shares_have_as_many_digits_as_they_deserve() {
        for (share, text) in [
            (None, "–"),
            (Some(0.0), "0 %"),
            (Some(0.4), "0.4 %"),
            (Some(9.96), "10 %"),
            (Some(100.0), "100 %"),
        ] {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn time_spans_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (11_040, "3 h 4 min"),
            (86_400, "1 d"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(span(seconds * 1000 + 999), text);
        }
    }

    #[test]
    fn bandwidths_share_a_unit() {
        let mbit = |n: u64| Some(n * 1_000_000);
        for (up, down, text) in [
            (None, None, "–"),
            (mbit(94), mbit(94), "94/94 Mbit/s"),
            (mbit(11), None, "11/– Mbit/s"),
            (Some(2_500_000), mbit(50), "2.5/50 Mbit/s"),
            (Some(64_000), Some(128_000), "64/128 kbit/s"),
            (mbit(1000), mbit(1000), "1000/1000 Mbit/s"),
            (mbit(10_000), mbit(25_000), "10/25 Gbit/s"),
        ] {
            assert_eq!(bandwidth(up, down), text);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (4480, "4,480"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(n), text);
        }
    }
}
