//! How long points are kept, and which of them answer a question.

use super::{Point, Refusal, Step, floor};
use crate::time::Millis;

/// Points of one step, and for how long they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// How far apart they are.
    pub step: Step,
    /// For how long they are kept, milliseconds.
    pub keep: Millis,
}

/// Why series cannot be kept like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRetention {
    /// Too few or too many tiers.
    #[error("{0} tiers: use 1 to {MOST_TIERS}")]
    Tiers(usize),
    /// A step that is no multiple of the one before.
    #[error(
        "step {step} ms after {before} ms: use a multiple of {before} ms, 2 to {MOST_RATIO} times it"
    )]
    Ratio {
        /// The step.
        step: Millis,
        /// The step of the tier before.
        before: Millis,
    },
    /// A tier that is kept for too short or too long a time.
    #[error("keep {keep} ms for a step of {step} ms: use {min} to {max} ms")]
    Keep {
        /// For how long it is to be kept.
        keep: Millis,
        /// Its step.
        step: Millis,
        /// The least that is possible.
        min: Millis,
        /// The most.
        max: Millis,
    },
    /// Points would be waited for too long, or not at all.
    #[error("lateness {0} ms: use 0 to {MOST_LATENESS} ms")]
    Lateness(Millis),
}

const MOST_TIERS: usize = 4;
/// This many points are in one piece, which is read and written as a whole.
const MOST_RATIO: Millis = 360;
/// Of one tier and direction: bounds what is kept of it to some 3 MB.
const MOST_POINTS: Millis = 100_000;
/// What may still change is in pieces of all paths, through which every question goes.
const MOST_LATENESS: Millis = HOUR;
/// What clocks of routers may be ahead of ours.
const AHEAD: Millis = MINUTE;
/// Points of the last tier in one piece.
const LAST_RATIO: Millis = 24;
/// So many points are read for each that is answered: finer ones would cost more than they show.
const READ_PER_POINT: Millis = 10;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// Which points are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    tiers: Vec<Tier>,
    lateness: Millis,
}

impl Default for Retention {
    /// 10 seconds for a day, 5 minutes for 30 days, an hour for a year; points are waited for 5
    /// minutes.
    fn default() -> Self {
        let tier = |step, keep| Tier {
            step: Step(step),
            keep,
        };
        Self {
            tiers: vec![
                tier(10 * SECOND, DAY),
                tier(5 * MINUTE, 30 * DAY),
                tier(HOUR, 365 * DAY),
            ],
            lateness: 5 * MINUTE,
        }
    }
}

impl Retention {
    /// Tiers, the finest first, and how long points are waited for, milliseconds.
    ///
    /// # Errors
    /// [`InvalidRetention`] says what would be valid.
    pub fn new(tiers: Vec<Tier>, lateness: Millis) -> Result<Self, InvalidRetention> {
        if !(1..=MOST_TIERS).contains(&tiers.len()) {
            return Err(InvalidRetention::Tiers(tiers.len()));
        }
        if !(0..=MOST_LATENESS).contains(&lateness) {
            return Err(InvalidRetention::Lateness(lateness));
        }
        let mut before: Option<Tier> = None;
        for tier in &tiers {
            let step = tier.step.millis();
            if let Some(before) = before.map(|it| it.step.millis())
                && !(step % before == 0 && (2..=MOST_RATIO).contains(&(step / before)))
            {
                return Err(InvalidRetention::Ratio { step, before });
            }
            // Whoever asks for older points gets coarser ones, so those must be kept for longer.
            let min = before.map_or(step, |it| it.keep.max(step));
            let max = step * MOST_POINTS;
            if !(min..=max).contains(&tier.keep) {
                let keep = tier.keep;
                return Err(InvalidRetention::Keep {
                    keep,
                    step,
                    min,
                    max,
                });
            }
            before = Some(*tier);
        }
        Ok(Self { tiers, lateness })
    }

    /// The tiers, the finest first. There is at least one.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// How long points are waited for, milliseconds.
    #[must_use]
    pub const fn lateness(&self) -> Millis {
        self.lateness
    }

    /// How much time lies in one piece of a tier: the step of the next, which it is rolled up to.
    #[must_use]
    pub fn span(&self, tier: usize) -> Millis {
        let next = self.tiers.get(tier + 1).map(|next| next.step.millis());
        next.unwrap_or_else(|| self.step(tier).saturating_mul(LAST_RATIO))
    }

    /// The step of a tier.
    fn step(&self, tier: usize) -> Millis {
        let tier = self.tiers.get(tier).or_else(|| self.tiers.last());
        tier.map_or(Step::MAX, |tier| tier.step.millis())
    }

    /// A point as it is taken, at the start of its step; or why it is not. `closed` is the time before
    /// which all has been added up.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn take(&self, now: Millis, closed: Millis, point: Point) -> Result<Point, Refusal> {
        let step = self.step(0);
        if point.at > now.saturating_add(AHEAD) {
            return Err(Refusal::Early);
        }
        let at = floor(point.at, step);
        if at < closed || at.saturating_add(step + self.lateness) <= now || at < 0 {
            return Err(Refusal::Late);
        }
        if point.measured.states.known() > step.unsigned_abs() {
            return Err(Refusal::Overlong);
        }
        Ok(Point { at, ..point })
    }

    /// Which points answer a question, if `edge` is the time up to which points have been rolled up:
    /// the finest of which there are not too many, and which are kept for long enough.
    #[must_use]
    pub fn resolution(&self, range: &Range, edge: Millis) -> Resolution {
        let reads = range.most.saturating_mul(READ_PER_POINT);
        let span = range.until - range.since;
        let answers = |tier: &Tier| {
            let kept_from = edge.saturating_sub(tier.keep);
            range.since >= kept_from && span / tier.step.millis() <= reads
        };
        let tier = self.tiers.iter().position(answers);
        let tier = tier.unwrap_or(self.tiers.len() - 1);
        let step = self.step(tier);
        // One more may be touched than fit, as a range need not begin where a point does.
        let room = step.saturating_mul(range.most - 1);
        let at_once = span.div_euclid(room) + Millis::from(span % room != 0);
        Resolution {
            tier,
            step: step.saturating_mul(at_once.max(1)),
        }
    }
}

/// The time that a question is about, and how many points it wants at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    since: Millis,
    until: Millis,
    most: Millis,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// It is about no time.
    #[error("since {since}, until {until}: use a time until which is after that since which")]
    Empty {
        /// Its beginning.
        since: Millis,
        /// Its end.
        until: Millis,
    },
    /// It is about times that no clock shows.
    #[error("{0} is no time: use milliseconds since 1970, 0 to {LAST}")]
    Time(Millis),
    /// It wants too few points, or too many.
    #[error("at most {0} points: use 2 to {MOST_ANSWERED}")]
    Most(u32),
}

/// The last millisecond of the year 9999.
const LAST: Millis = 253_402_300_799_999;
/// Ten times what a screen can show.
const MOST_ANSWERED: u32 = 10_000;

impl Range {
    /// From a time up to but without another, in at most so many points.
    ///
    /// # Errors
    /// [`InvalidRange`] says what would be valid.
    pub fn new(since: Millis, until: Millis, most: u32) -> Result<Self, InvalidRange> {
        for time in [since, until] {
            if !(0..=LAST).contains(&time) {
                return Err(InvalidRange::Time(time));
            }
        }
        if since >= until {
            return Err(InvalidRange::Empty { since, until });
        }
        if !(2..=MOST_ANSWERED).contains(&most) {
            return Err(InvalidRange::Most(most));
        }
        Ok(Self {
            since,
            until,
            most: most.into(),
        })
    }

    /// Its beginning.
    #[must_use]
    pub const fn since(&self) -> Millis {
        self.since
    }

    /// Its end, which it is without.
    #[must_use]
    pub const fn until(&self) -> Millis {
        self.until
    }
}

/// Which points answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The coarsest tier that is read.
    pub tier: usize,
    /// How far apart the points of the answer are: a multiple of the step of that tier.
    pub step: Millis,
}
