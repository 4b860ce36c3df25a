//! Paths that are measured every ten seconds, all of them made up, and always the same.

use anyhow::Result;
use patronus_model::series::{
    Direction, InvalidMeasurement, Loss, Measured, PathEnd, Point, Spread, StateTimes,
};
use patronus_store::Millis;

/// How far apart points are.
pub(super) const STEP: Millis = 10_000;

/// Numbers that look like chance (xorshift64*, Vigna 2016).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from(high % u64::from(limit)).unwrap_or_default()
    }
}

/// A direction of a path for each number: from ten hubs to many sites.
pub(super) fn direction(number: usize) -> Result<Direction> {
    let end = |site: String, uplink: usize| -> Result<PathEnd> {
        Ok(PathEnd {
            site: site.parse()?,
            uplink: format!("uplink-{uplink}").parse()?,
        })
    };
    Ok(Direction {
        from: end(format!("hub-{}", number % 10), number % 4)?,
        to: end(format!("site-{}", number / 4), number % 2)?,
    })
}

/// What ten probes in ten seconds found: a path of 5 to 100 ms, some of whose packets are late, and
/// one in a hundred of which is lost on one path in twenty.
fn point(chance: &mut Chance, path: u32, at: Millis) -> Result<Point, InvalidMeasurement> {
    let base = 5_000 + path * 7_919 % 95_000;
    let (mut latency, mut lost) = (Spread::NONE, 0);
    for _ in 0..10 {
        if path.is_multiple_of(20) && chance.below(100) == 0 {
            lost += 1;
        } else {
            let late = chance.below(1_500) * u32::from(chance.below(8) == 0);
            latency = latency.and(Spread::one(base + chance.below(400) + late));
        }
    }
    let bad = if lost > 0 { 10_000 } else { 0 };
    Ok(Point {
        at,
        measured: Measured {
            states: StateTimes {
                up: 10_000 - bad,
                degraded: bad,
                down: 0,
            },
            loss: Loss::new(10, lost)?,
            latency,
            jitter: Spread::one(100 + chance.below(300)),
            mos: Spread::one(420 + chance.below(20)),
        },
    })
}

/// Like [`point`], of so many probes as are sent in a longer time.
pub(super) fn longer_point(
    chance: &mut Chance,
    path: u32,
    at: Millis,
    time: Millis,
) -> Result<Point, InvalidMeasurement> {
    let first = point(chance, path, at)?;
    let mut measured = first.measured;
    let mut known = STEP;
    if known < time {
        measured = measured.and(point(chance, path, at)?.measured);
        known += STEP;
    }
    while known < time {
        measured = measured.and(measured);
        known *= 2;
    }
    // More than the time of a point would not be taken.
    measured.states = first.measured.states;
    Ok(Point { at, measured })
}
