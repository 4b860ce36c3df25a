//! What is kept of paths over time: points, how they become fewer, and for how long each is kept.
//!
//! A [`Point`] says what was measured in one direction of a path from a time on. What was measured is
//! kept so that it can be added up: counts and sums rather than averages, packets sent and lost
//! rather than shares, time in each state rather than the last state. So it does not matter in which
//! order points are added up, nor in how many steps.
//!
//! Where there is no point, nothing is known. No average, share or extreme exists of nothing.

mod retention;

pub use retention::{InvalidRange, InvalidRetention, Range, Resolution, Retention, Tier};

use std::collections::BTreeMap;
use std::fmt;

use crate::ids::{OutOfRange, SiteId, UplinkName};
use crate::time::Millis;

/// An end of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathEnd {
    /// The site.
    pub site: SiteId,
    /// Its uplink.
    pub uplink: UplinkName,
}

/// One direction of a path: what each series is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Direction {
    /// Where packets come from.
    pub from: PathEnd,
    /// Where they go.
    pub to: PathEnd,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        let (a, b) = (&from.site, &to.site);
        write!(f, "{a}/{} to {b}/{}", from.uplink, to.uplink)
    }
}

/// Why something cannot have been measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMeasurement {
    /// Sum and extremes of values do not go together.
    #[error(
        "{count} values between {least} and {greatest} cannot add up to {sum}: the sum of values is \
         between their number times the least and their number times the greatest"
    )]
    Spread {
        /// How many.
        count: u64,
        /// Their sum.
        sum: u64,
        /// The least of them.
        least: u32,
        /// The greatest of them.
        greatest: u32,
    },
    /// More was lost than sent.
    #[error("{lost} packets lost of {sent} sent: use 0 to {sent}")]
    Loss {
        /// How many were sent.
        sent: u64,
        /// How many of them were lost.
        lost: u64,
    },
}

/// Values of one metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spread {
    count: u64,
    sum: u64,
    least: u32,
    greatest: u32,
}

impl Spread {
    /// No values.
    pub const NONE: Self = Self {
        count: 0,
        sum: 0,
        least: 0,
        greatest: 0,
    };

    /// One value.
    #[must_use]
    pub const fn one(value: u32) -> Self {
        Self {
            count: 1,
            sum: value as u64,
            least: value,
            greatest: value,
        }
    }

    /// Values of which this is known.
    ///
    /// # Errors
    /// [`InvalidMeasurement::Spread`] if no such values exist.
    pub fn new(
        count: u64,
        sum: u64,
        least: u32,
        greatest: u32,
    ) -> Result<Self, InvalidMeasurement> {
        let times = |value: u32| u128::from(count) * u128::from(value);
        let fits = least <= greatest
            && times(least) <= u128::from(sum)
            && u128::from(sum) <= times(greatest)
            && (count > 0 || greatest == 0);
        let spread = Self {
            count,
            sum,
            least,
            greatest,
        };
        fits.then_some(spread).ok_or(InvalidMeasurement::Spread {
            count,
            sum,
            least,
            greatest,
        })
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(self) -> u64 {
        self.sum
    }

    /// The least, if there are any.
    #[must_use]
    pub fn least(self) -> Option<u32> {
        (self.count > 0).then_some(self.least)
    }

    /// The greatest, if there are any.
    #[must_use]
    pub fn greatest(self) -> Option<u32> {
        (self.count > 0).then_some(self.greatest)
    }

    /// Their average, if there are any.
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// These values and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.count == 0 {
            return other;
        }
        if other.count == 0 {
            return self;
        }
        Self {
            count: self.count.saturating_add(other.count),
            sum: self.sum.saturating_add(other.sum),
            least: self.least.min(other.least),
            greatest: self.greatest.max(other.greatest),
        }
    }
}

/// Probes that were sent, and how many of them did not arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loss {
    sent: u64,
    lost: u64,
}

impl Loss {
    /// So many of so many.
    ///
    /// # Errors
    /// [`InvalidMeasurement::Loss`] if more was lost than sent.
    pub const fn new(sent: u64, lost: u64) -> Result<Self, InvalidMeasurement> {
        if lost <= sent {
            Ok(Self { sent, lost })
        } else {
            Err(InvalidMeasurement::Loss { sent, lost })
        }
    }

    /// How many were sent.
    #[must_use]
    pub const fn sent(self) -> u64 {
        self.sent
    }

    /// How many of them were lost.
    #[must_use]
    pub const fn lost(self) -> u64 {
        self.lost
    }

    /// The share that was lost, from 0 to 1, if any were sent.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        (self.sent > 0).then(|| self.lost as f64 / self.sent as f64)
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_add(other.sent),
            lost: self.lost.saturating_add(other.lost),
        }
    }
}

/// How long a path was in each state, milliseconds. Time in which its state was unknown is in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateTimes {
    /// It was well.
    pub up: u64,
    /// Packets passed, but badly.
    pub degraded: u64,
    /// No packets passed.
    pub down: u64,
}

impl StateTimes {
    /// For how long its state was known.
    #[must_use]
    pub const fn known(self) -> u64 {
        self.up
            .saturating_add(self.degraded)
            .saturating_add(self.down)
    }

    /// The share of the known time in which it was well, from 0 to 1.
    #[must_use]
    pub fn up_share(self) -> Option<f64> {
        (self.known() > 0).then(|| self.up as f64 / self.known() as f64)
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            up: self.up.saturating_add(other.up),
            degraded: self.degraded.saturating_add(other.degraded),
            down: self.down.saturating_add(other.down),
        }
    }
}

/// What was measured in one direction of a path in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measured {
    /// How long it was in each state.
    pub states: StateTimes,
    /// Probes sent and lost.
    pub loss: Loss,
    /// Latency, microseconds.
    pub latency: Spread,
    /// Jitter (RFC 3550), microseconds.
    pub jitter: Spread,
    /// Mean opinion score, hundredths: 100 to 500.
    pub mos: Spread,
}

impl Measured {
    /// This and that, of other time.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            states: self.states.and(other.states),
            loss: self.loss.and(other.loss),
            latency: self.latency.and(other.latency),
            jitter: self.jitter.and(other.jitter),
            mos: self.mos.and(other.mos),
        }
    }

    /// Of two reports on the same time the one that says more. A report that comes twice counts once,
    /// and which of two came first makes no difference.
    #[must_use]
    pub fn fuller(self, other: Self) -> Self {
        let says = |it: &Self| (it.states.known(), *it);
        if says(&self) < says(&other) {
            other
        } else {
            self
        }
    }
}

/// What was measured from a time on, until the next point of its series could begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// When it begins.
    pub at: Millis,
    /// What was measured.
    pub measured: Measured,
}

/// How far apart the points of a series are, milliseconds. Points begin at its multiples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(Millis);

impl Step {
    /// The shortest, milliseconds.
    pub const MIN: Millis = 1_000;
    /// The longest, milliseconds: a day.
    pub const MAX: Millis = 86_400_000;

    /// A number of milliseconds.
    ///
    /// # Errors
    /// [`OutOfRange`] outside of `MIN..=MAX`.
    pub const fn new(millis: Millis) -> Result<Self, OutOfRange> {
        if millis >= Self::MIN && millis <= Self::MAX {
            Ok(Self(millis))
        } else {
            Err(OutOfRange {
                what: "step in milliseconds",
                // What is below zero is as wrong as zero, and a range of u64 cannot show it.
                value: if millis < 0 { 0 } else { millis.unsigned_abs() },
                min: Self::MIN.unsigned_abs(),
                max: Self::MAX.unsigned_abs(),
            })
        }
    }

    /// Milliseconds.
    #[must_use]
    pub const fn millis(self) -> Millis {
        self.0
    }

    /// When the point begins in which a time lies.
    #[must_use]
    pub const fn start_of(self, at: Millis) -> Millis {
        floor(at, self.0)
    }
}

/// The greatest multiple of a step that is not after a time.
const fn floor(at: Millis, step: Millis) -> Millis {
    at.div_euclid(step).saturating_mul(step)
}

/// Points of a longer step: each has all that was measured in its time.
#[must_use]
pub fn roll_up(points: impl IntoIterator<Item = Point>, step: Millis) -> Vec<Point> {
    let mut sums: BTreeMap<Millis, Measured> = BTreeMap::new();
    for point in points {
        let sum = sums.entry(floor(point.at, step.max(1))).or_default();
        *sum = sum.and(point.measured);
    }
    let point = |(at, measured)| Point { at, measured };
    sums.into_iter().map(point).collect()
}

/// Points by when they begin, of several reports on the same time the fullest.
#[must_use]
pub fn without_duplicates(points: impl IntoIterator<Item = Point>) -> Vec<Point> {
    let mut kept: BTreeMap<Millis, Measured> = BTreeMap::new();
    for point in points {
        let known = kept.entry(point.at).or_insert(point.measured);
        *known = known.fuller(point.measured);
    }
    let point = |(at, measured)| Point { at, measured };
    kept.into_iter().map(point).collect()
}

/// Why a point is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Its time has been added up already, or soon will be.
    Late,
    /// Its time has not come yet: a clock is wrong.
    Early,
    /// It knows of more time than lies between two points.
    Overlong,
}
