//! How long to wait before something is tried again.

use std::time::Duration;

/// After the first failure. A controller that was restarted is back within this.
const FIRST: Duration = Duration::from_millis(500);

/// However often it failed. A thousand routers that have waited for a controller all night are 70
/// handshakes a second then, of which it can do ten times as many.
const LONGEST: Duration = Duration::from_secs(15);

/// How long a router waits before it connects again, after so many failures in a row.
///
/// `random` is from 0 to 1, and spreads routers that lost the same controller evenly over the time.
#[must_use]
pub fn connect_after(failures: u32, random: f64) -> Duration {
    let random = if random.is_finite() {
        random.clamp(0.0, 1.0)
    } else {
        1.0
    };
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    // Never at once: a controller that refuses would be asked without a pause.
    FIRST / 5 + doubled.min(LONGEST).mul_f64(random)
}

/// After so many attempts a configuration is not offered again, until somebody says so or there is
/// another one.
pub(crate) const MOST_ATTEMPTS: u32 = 3;

/// How long a controller waits before it offers a configuration again that a router did not keep.
pub(crate) const fn offer_after(attempts: u32) -> Duration {
    match attempts {
        0 => Duration::ZERO,
        1 => Duration::from_secs(30),
        2 | 3.. => Duration::from_secs(300),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_quarter_of_a_minute() {
        let table = [
            (0, 0.0, 100),
            (0, 1.0, 600),
            (1, 1.0, 1_100),
            (2, 0.5, 1_100),
            (4, 1.0, 8_100),
            (5, 1.0, 15_100),
            (31, 1.0, 15_100),
            (32, 1.0, 15_100),
            (u32::MAX, 0.5, 7_600),
        ];
        for (failures, random, millis) in table {
            let after = connect_after(failures, random);
            assert_eq!(after, Duration::from_millis(millis), "{failures} {random}");
        }
    }

    #[test]
    fn no_number_makes_it_panic_or_wait_longer() {
        for random in [-1.0, 2.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(connect_after(40, random) <= LONGEST + FIRST);
        }
    }
}
