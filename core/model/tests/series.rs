//! Laws of series: adding up loses nothing, whichever way it is done.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use patronus_model::series::{
    InvalidMeasurement, InvalidRange, InvalidRetention, Loss, Measured, Point, Range, Refusal,
    Retention, Spread, StateTimes, Step, Tier, roll_up, without_duplicates,
};
use patronus_model::time::Millis;
use proptest::prelude::*;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

fn spread() -> impl Strategy<Value = Spread> {
    proptest::collection::vec(0..100_000_u32, 0..4).prop_map(|values| {
        let ones = values.into_iter().map(Spread::one);
        ones.fold(Spread::NONE, Spread::and)
    })
}

fn measured() -> impl Strategy<Value = Measured> {
    let states = (0..4_000_u64, 0..3_000_u64, 0..3_000_u64);
    let states = states.prop_map(|(up, degraded, down)| StateTimes { up, degraded, down });
    let loss = (0..100_u64).prop_flat_map(|sent| (Just(sent), 0..=sent));
    let loss = loss.prop_map(|(sent, lost)| Loss::new(sent, lost).unwrap());
    (states, loss, spread(), spread(), spread()).prop_map(|(states, loss, latency, jitter, mos)| {
        Measured {
            states,
            loss,
            latency,
            jitter,
            mos,
        }
    })
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    let point = (0..2_000_i64, measured()).prop_map(|(slot, measured)| Point {
        at: slot * 10 * SECOND,
        measured,
    });
    proptest::collection::vec(point, 0..60)
}

proptest! {
    #[test]
    fn in_one_step_or_in_two_it_comes_to_the_same(points in points()) {
        let at_once = roll_up(points.clone(), HOUR);
        prop_assert_eq!(&roll_up(roll_up(points.clone(), 5 * MINUTE), HOUR), &at_once);
        prop_assert_eq!(&roll_up(roll_up(points, 90 * SECOND), 90 * SECOND * 40), &at_once);
    }

    #[test]
    fn the_order_makes_no_difference(points in points().prop_flat_map(|all| {
        (Just(all.clone()), Just(all).prop_shuffle())
    })) {
        let (points, shuffled) = points;
        prop_assert_eq!(roll_up(points.clone(), HOUR), roll_up(shuffled.clone(), HOUR));
        prop_assert_eq!(without_duplicates(points), without_duplicates(shuffled));
    }

    #[test]
    fn what_comes_twice_counts_once(points in points(), again in points()) {
        let once = without_duplicates(points.clone());
        let twice = without_duplicates(points.iter().chain(&points).copied());
        prop_assert_eq!(&twice, &once);
        // Also where other reports come between.
        let with = |more: &[Point]| without_duplicates(points.iter().chain(more).copied());
        let mixed: Vec<_> = again.iter().chain(&points).chain(&again).copied().collect();
        prop_assert_eq!(with(&mixed), with(&again));
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_made_up(points in points()) {
        let total = |points: &[Point]| points.iter().fold(Measured::default(), |sum, it| sum.and(it.measured));
        let hours = roll_up(points.clone(), HOUR);
        prop_assert_eq!(total(&hours), total(&points));
        // There is a point where one was, and nowhere else.
        for hour in &hours {
            prop_assert!(points.iter().any(|it| it.at.div_euclid(HOUR) * HOUR == hour.at));
        }
        let all = total(&points);
        for values in [all.latency, all.jitter, all.mos] {
            let again = Spread::new(
                values.count(),
                values.sum(),
                values.least().unwrap_or(0),
                values.greatest().unwrap_or(0),
            );
            prop_assert_eq!(again, Ok(values));
        }
    }

    #[test]
    fn an_answer_never_has_too_many_points_and_misses_nothing_that_is_kept(
        since in 0..400 * DAY, span in 1..500 * DAY, most in 2..2_000_u32, edge in 0..500 * DAY,
    ) {
        let retention = Retention::default();
        let range = Range::new(since, since + span, most).unwrap();
        let found = retention.resolution(&range, edge);
        let tier = retention.tiers()[found.tier];
        prop_assert_eq!(found.step % tier.step.millis(), 0);
        let touched = (since + span - 1).div_euclid(found.step) - since.div_euclid(found.step) + 1;
        prop_assert!(touched <= i64::from(most), "{} points of {:?}", touched, found);
        let last = retention.tiers().len() - 1;
        prop_assert!(found.tier == last || since >= edge - tier.keep);
    }
}

#[test]
fn of_nothing_there_is_no_average() {
    let nothing = Measured::default();
    assert_eq!(nothing.latency.mean(), None);
    assert_eq!((nothing.mos.least(), nothing.mos.greatest()), (None, None));
    assert_eq!(nothing.loss.share(), None);
    assert_eq!(nothing.states.up_share(), None);
    assert_eq!(roll_up([], HOUR), []);
}

#[test]
fn shares_are_of_all_packets_and_of_all_time() {
    let part = |sent, lost, up, down| Measured {
        loss: Loss::new(sent, lost).unwrap(),
        states: StateTimes {
            up,
            degraded: 0,
            down,
        },
        ..Measured::default()
    };
    // An average of the shares, 0 % and 100 %, would say 50 %.
    let all = part(99, 0, 10_000, 0).and(part(1, 1, 0, 2_500));
    assert_eq!(all.loss.share(), Some(0.01));
    assert_eq!(all.states.up_share(), Some(0.8));
}

#[test]
fn of_two_reports_on_the_same_time_the_one_that_knows_more_of_it_counts() {
    let report = |up, sent| Point {
        at: 0,
        measured: Measured {
            states: StateTimes {
                up,
                ..StateTimes::default()
            },
            loss: Loss::new(sent, 0).unwrap(),
            ..Measured::default()
        },
    };
    // A router that was started again has seen the rest only.
    let (rest, whole) = (report(3_000, 50), report(10_000, 10));
    assert_eq!(without_duplicates([rest, whole, rest]), [whole]);
}

#[test]
fn what_cannot_have_been_measured_is_refused() {
    let said = |it: Result<Spread, InvalidMeasurement>| it.unwrap_err().to_string();
    let why = "3 values between 5 and 9 cannot add up to 28: the sum of values is between their \
               number times the least and their number times the greatest";
    assert_eq!(said(Spread::new(3, 28, 5, 9)), why);
    assert!(Spread::new(3, 14, 5, 9).is_err());
    assert!(Spread::new(2, 14, 9, 5).is_err());
    assert!(Spread::new(0, 0, 0, 1).is_err());
    assert!(Spread::new(u64::MAX, u64::MAX, u32::MAX, u32::MAX).is_err());
    assert_eq!(Spread::new(0, 0, 0, 0), Ok(Spread::NONE));
    let why = "11 packets lost of 10 sent: use 0 to 10";
    assert_eq!(Loss::new(10, 11).unwrap_err().to_string(), why);
}

fn tier(step: Millis, keep: Millis) -> Tier {
    let step = Step::new(step).unwrap();
    Tier { step, keep }
}

#[test]
fn retention_that_cannot_be_kept_is_refused() {
    let new = |tiers: &[Tier]| Retention::new(tiers.to_vec(), MINUTE);
    let said = |tiers: &[Tier]| new(tiers).unwrap_err().to_string();
    assert_eq!(said(&[]), "0 tiers: use 1 to 4");
    let ten = tier(10 * SECOND, DAY);
    assert_eq!(
        said(&[ten, tier(25 * SECOND, 30 * DAY)]),
        "step 25000 ms after 10000 ms: use a multiple of 10000 ms, 2 to 360 times it"
    );
    assert!(new(&[ten, ten]).is_err(), "the same step twice");
    assert!(
        new(&[ten, tier(2 * HOUR, 30 * DAY)]).is_err(),
        "720 points in a piece"
    );
    assert_eq!(
        said(&[ten, tier(5 * MINUTE, HOUR)]),
        "keep 3600000 ms for a step of 300000 ms: use 86400000 to 30000000000 ms"
    );
    assert!(
        new(&[tier(10 * SECOND, 30 * DAY)]).is_err(),
        "too many points"
    );
    for lateness in [-1, HOUR + 1] {
        let refused = Retention::new(vec![ten], lateness).unwrap_err();
        assert_eq!(refused, InvalidRetention::Lateness(lateness));
    }
    let default = Retention::default();
    let again = Retention::new(default.tiers().to_vec(), default.lateness());
    assert_eq!(again, Ok(default));
    assert!(Step::new(999).is_err() && Step::new(-1).is_err() && Step::new(DAY + 1).is_err());
}

#[test]
fn a_point_is_taken_until_its_time_is_closed() {
    let retention = Retention::default();
    let point = |at, up| Point {
        at,
        measured: Measured {
            states: StateTimes {
                up,
                ..StateTimes::default()
            },
            ..Measured::default()
        },
    };
    let now = 1_000 * HOUR;
    let take = |at, closed| retention.take(now, closed, point(at, 10_000));
    assert_eq!(take(now - 7, 0), Ok(point(now - 10 * SECOND, 10_000)));
    // It ended less than five minutes ago.
    let last = now - 5 * MINUTE;
    assert_eq!(take(last - 1, 0), Err(Refusal::Late));
    assert_eq!(take(last, 0), Ok(point(last, 10_000)));
    assert_eq!(take(last, last + 1), Err(Refusal::Late));
    assert_eq!(take(now + MINUTE, 0).map(|it| it.at), Ok(now + MINUTE));
    assert_eq!(take(now + MINUTE + 1, 0), Err(Refusal::Early));
    for never in [i64::MIN, -1] {
        assert_eq!(take(never, 0), Err(Refusal::Late));
    }
    assert_eq!(take(i64::MAX, 0), Err(Refusal::Early));
    let overlong = retention.take(now, 0, point(now, 10_001));
    assert_eq!(overlong, Err(Refusal::Overlong));
}

#[test]
fn questions_are_answered_from_the_finest_points_that_are_not_too_many() {
    let edge = 1_000 * DAY;
    let check = |span, tier, step| {
        let range = Range::new(edge - span, edge, 1_000).unwrap();
        let found = Retention::default().resolution(&range, edge);
        assert_eq!((found.tier, found.step), (tier, step), "{span}");
    };
    check(HOUR, 0, 10 * SECOND);
    check(DAY, 0, 90 * SECOND);
    check(7 * DAY, 1, 15 * MINUTE);
    check(30 * DAY, 1, 45 * MINUTE);
    check(365 * DAY, 2, 9 * HOUR);
    // Longer ago than anything is kept.
    check(999 * DAY, 2, DAY);
}

#[test]
fn questions_without_an_answer_are_refused() {
    let said = |since, until, most| Range::new(since, until, most).unwrap_err();
    assert_eq!(said(5, 5, 10), InvalidRange::Empty { since: 5, until: 5 });
    assert_eq!(said(-1, 5, 10), InvalidRange::Time(-1));
    assert_eq!(said(0, i64::MAX, 10), InvalidRange::Time(i64::MAX));
    assert_eq!(said(0, 5, 1), InvalidRange::Most(1));
    assert_eq!(
        said(0, 5, 10_001).to_string(),
        "at most 10001 points: use 2 to 10000"
    );
}
