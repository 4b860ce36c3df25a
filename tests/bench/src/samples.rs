//! What a measurement that was made many times comes to.

use std::time::Duration;

/// Values in ascending order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// The median.
    #[must_use]
    pub fn p50(&self) -> f64 {
        self.at(0.5)
    }

    /// Exceeded by one value in twenty.
    #[must_use]
    pub fn p95(&self) -> f64 {
        self.at(0.95)
    }

    /// Exceeded by one value in a hundred.
    #[must_use]
    pub fn p99(&self) -> f64 {
        self.at(0.99)
    }

    /// The greatest.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.at(1.0)
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The least value which this share of all do not exceed; zero when there is none.
    fn at(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share lies between 0 and 1"
        )]
        let place = (self.0.len() as f64 * share).ceil() as usize;
        self.0
            .get(place.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

/// In milliseconds.
#[must_use]
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// In microseconds.
#[must_use]
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let samples: Samples = (1..=20).rev().map(f64::from).collect();
        assert_eq!(
            (samples.p50(), samples.p95(), samples.max()),
            (10.0, 19.0, 20.0)
        );
        assert_eq!(Samples::from_iter([7.0]).p50(), 7.0);
        assert_eq!(Samples::default().max(), 0.0);
    }
}
