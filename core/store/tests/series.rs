//! Series of what was measured of paths, on SQLite and on PostgreSQL.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod on_both;
mod postgres;

use on_both::on_both;
use patronus_model::series::{
    Direction, Loss, Measured, PathEnd, Point, Range, Retention, Spread, StateTimes, Step, Tier,
    roll_up,
};
use patronus_store::{Added, Millis, SeriesId, Store, Tended};

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// Midnight of some day.
const START: Millis = 20_750 * DAY;

fn end(site: &str, uplink: &str) -> PathEnd {
    PathEnd {
        site: site.parse().unwrap(),
        uplink: uplink.parse().unwrap(),
    }
}

fn direction(number: usize) -> Direction {
    Direction {
        from: end("berlin", "fibre"),
        to: end(&format!("site-{number}"), "lte"),
    }
}

async fn series(store: &Store, count: usize) -> Vec<SeriesId> {
    let all: Vec<Direction> = (0..count).map(direction).collect();
    store.series_of(&all, START).await.unwrap()
}

/// What a path might have been like at a time: no two are alike.
fn point(at: Millis, seed: u32) -> Point {
    let seed = seed * 7919 + u32::try_from(at / SECOND % 86_400).unwrap();
    let latency = 20_000 + seed % 1_000;
    Point {
        at,
        measured: Measured {
            states: StateTimes {
                up: 900,
                degraded: u64::from(seed % 50),
                down: 0,
            },
            loss: Loss::new(10, u64::from(seed % 3)).unwrap(),
            latency: Spread::new(2, u64::from(2 * latency), latency - 5, latency + 5).unwrap(),
            jitter: Spread::one(seed % 300),
            mos: match seed % 4 {
                0 => Spread::NONE,
                rest => Spread::one(400 + rest),
            },
        },
    }
}

/// Steps of a second, five and twenty: an hour is a long time.
fn short() -> Retention {
    let tier = |step, keep| Tier {
        step: Step::new(step * SECOND).unwrap(),
        keep,
    };
    let tiers = vec![tier(1, MINUTE), tier(5, 10 * MINUTE), tier(20, 30 * MINUTE)];
    Retention::new(tiers, 10 * SECOND).unwrap()
}

/// Adds points of one series.
async fn add(
    store: &Store,
    retention: &Retention,
    now: Millis,
    series: SeriesId,
    points: &[Point],
) -> Added {
    let points: Vec<_> = points.iter().map(|point| (series, *point)).collect();
    store.add_points(retention, now, &points).await.unwrap()
}

/// Does all that is to be done.
async fn tend(store: &Store, retention: &Retention, now: Millis) {
    while store.tend_series(retention, now).await.unwrap() != Tended::Nothing {}
}

async fn ask(
    store: &Store,
    retention: &Retention,
    series: SeriesId,
    since: Millis,
    until: Millis,
    most: u32,
) -> (Millis, Vec<Point>) {
    let range = Range::new(since, until, most).unwrap();
    let mut answer = store.points(retention, &[series], &range).await.unwrap();
    (answer.step, answer.series.remove(0).1)
}

fn taken(taken: u64) -> Added {
    Added {
        taken,
        ..Added::default()
    }
}

on_both! {
    async fn a_direction_keeps_its_series(store: Store) {
        let first = series(&store, 250).await;
        assert_eq!(series(&store, 250).await, first);
        let back = Direction { from: direction(3).to, to: direction(3).from };
        let wanted = [direction(3), back.clone(), direction(250), direction(3)];
        let found = store.series_of(&wanted, START).await.unwrap();
        assert_eq!((found[0], found[3]), (first[3], first[3]));
        let all = store.directions().await.unwrap();
        assert_eq!(all.len(), 252);
        assert!(all.contains(&(found[1], back)) && all.contains(&(found[2], direction(250))));
    }

    async fn points_come_back_whatever_their_order(store: Store) {
        let (short, id) = (short(), series(&store, 2).await[0]);
        let points: Vec<Point> = (0..8).map(|it| point(START + it * SECOND, 1)).collect();
        let mut mixed = points.clone();
        mixed.reverse();
        mixed.swap(1, 5);
        let now = START + 8 * SECOND;
        assert_eq!(add(&store, &short, now, id, &mixed).await, taken(8));
        // All of it again, one by one.
        for point in &points {
            assert_eq!(add(&store, &short, now, id, &[*point]).await, taken(1));
        }
        let (step, found) = ask(&store, &short, id, START, now, 100).await;
        assert_eq!((step, found), (SECOND, points.clone()));
        tend(&store, &short, now + MINUTE).await;
        let (step, found) = ask(&store, &short, id, START, now, 100).await;
        assert_eq!((step, found), (SECOND, points));
    }

    async fn what_is_packed_and_rolled_up_says_the_same(store: Store) {
        let (short, all) = (short(), series(&store, 3).await);
        let mut expected: Vec<Vec<Point>> = vec![Vec::new(); all.len()];
        for second in 0..130 {
            let now = START + second * SECOND;
            for (seed, id) in (0..).zip(&all) {
                // One of them has gaps.
                if seed == 1 && second % 40 < 25 {
                    continue;
                }
                let point = point(now, seed);
                expected[seed as usize].push(point);
                add(&store, &short, now, *id, &[point]).await;
            }
            // What is to be done may lag behind.
            let steps = if second % 60 < 45 { 0 } else { 5 };
            for _ in 0..steps {
                store.tend_series(&short, now).await.unwrap();
                for (expected, id) in expected.iter().zip(&all) {
                    let (step, found) = ask(&store, &short, *id, now - 50 * SECOND, now + SECOND, 1_000).await;
                    assert_eq!(step, SECOND);
                    let since = |it: &&Point| it.at >= now - 50 * SECOND;
                    let kept: Vec<Point> = expected.iter().filter(since).copied().collect();
                    assert_eq!(found, kept);
                    // Of a longer time there are fewer points, and all that there is is in them.
                    for most in [9, 14, 30] {
                        let (step, found) = ask(&store, &short, *id, START, now + SECOND, most).await;
                        assert!(found.len() <= most as usize);
                        assert_eq!(found, roll_up(expected.iter().copied(), step), "{step}");
                    }
                }
            }
        }
        let sizes = store.series_size(&short).await.unwrap();
        assert!(sizes.iter().all(|it| it.pieces > 0 || it.step == 20 * SECOND), "{sizes:?}");
    }

    async fn what_comes_too_late_or_too_early_is_counted(store: Store) {
        let (short, id) = (short(), series(&store, 1).await[0]);
        let now = START + HOUR;
        let at = |at| point(at, 1);
        let overlong = Point {
            measured: Measured {
                states: StateTimes { up: 1_001, ..StateTimes::default() },
                ..Measured::default()
            },
            at: now,
        };
        let points = [
            at(now), at(now - 10 * SECOND), at(now - 11 * SECOND), at(now - DAY),
            at(now + MINUTE + 1), overlong,
        ];
        let added = add(&store, &short, now, id, &points).await;
        assert_eq!(added, Added { taken: 2, late: 2, early: 1, overlong: 1 });
        // What was rolled up is closed, though another controller has a clock that is behind.
        tend(&store, &short, now + 12 * SECOND).await;
        let missed = at(now - 9 * SECOND);
        let added = add(&store, &short, now, id, &[missed, at(now)]).await;
        assert_eq!(added, Added { late: 1, ..taken(1) });
        let (_, found) = ask(&store, &short, id, now - MINUTE, now + SECOND, 100).await;
        assert_eq!(found, [at(now - 10 * SECOND), at(now)]);
    }

    async fn what_is_kept_is_bounded(store: Store) {
        let (short, all) = (short(), series(&store, 2).await);
        let mut sizes = Vec::new();
        let last = START + 70 * MINUTE;
        for now in (START..=last).step_by(10_000) {
            let points: Vec<_> = all.iter().map(|id| (*id, point(now, 1))).collect();
            store.add_points(&short, now, &points).await.unwrap();
            if now % (5 * MINUTE) == 0 {
                tend(&store, &short, now).await;
                let found = store.series_size(&short).await.unwrap();
                sizes.push(found.iter().map(|it| (it.pieces, it.recent)).collect::<Vec<_>>());
            }
        }
        // A minute in pieces of 5 seconds, of which every other one has a point; ten in pieces of 20
        // seconds, and half an hour in pieces of 24 points of 20 seconds. One more is partly too old.
        let most = [2 * 7, 2 * 31, 2 * 5];
        for found in &sizes {
            for ((pieces, recent), most) in found.iter().zip(most) {
                assert!(*pieces <= most && *recent <= 24, "{found:?}");
            }
        }
        let found: Vec<i64> = sizes.last().unwrap().iter().map(|it| it.0).collect();
        assert!(found[0] >= 12 && found[1] >= 60 && found[2] >= 6, "{found:?}");
        // All that is to be kept is there.
        let (step, found) = ask(&store, &short, all[0], last - 25 * MINUTE, last + SECOND, 100).await;
        assert_eq!((step, found.len()), (20 * SECOND, 76));
    }

    async fn a_clock_that_is_wrong_makes_nothing_forgotten(store: Store) {
        let (short, id) = (short(), series(&store, 1).await[0]);
        let points: Vec<Point> = (0..30).map(|it| point(START + it * SECOND, 1)).collect();
        for point in &points {
            add(&store, &short, point.at, id, &[*point]).await;
        }
        tend(&store, &short, START + 10_000 * DAY).await;
        let until = START + MINUTE;
        assert_eq!(ask(&store, &short, id, START, until, 100).await.1, points);
        // The clock is right again, and points are taken again.
        let next = point(START + 31 * SECOND, 1);
        assert_eq!(add(&store, &short, next.at, id, &[next]).await, taken(1));
        assert_eq!(ask(&store, &short, id, START, until, 100).await.1.len(), 31);
    }

    async fn of_paths_that_are_gone_nothing_is_left_in_the_end(store: Store) {
        let (short, all) = (short(), series(&store, 3).await);
        add(&store, &short, START, all[0], &[point(START, 1)]).await;
        add(&store, &short, START, all[2], &[point(START, 1)]).await;
        for minute in 0..70 {
            let now = START + minute * MINUTE;
            add(&store, &short, now, all[1], &[point(now, 1)]).await;
            tend(&store, &short, now).await;
            let left = store.directions().await.unwrap().len();
            assert!(minute > 30 || left == 3, "{left} after {minute} minutes");
        }
        // The last number that was given is not given again.
        let left: Vec<_> = store.directions().await.unwrap();
        assert_eq!(left, [(all[1], direction(1)), (all[2], direction(2))]);
        assert_eq!(series(&store, 3).await[1..], all[1..]);
        assert!(series(&store, 3).await[0] > all[2]);
        let answer = ask(&store, &short, all[0], START, START + MINUTE, 10).await;
        assert_eq!(answer.1, []);
    }

    async fn many_series_are_packed_a_few_at_a_time(store: Store) {
        let (retention, all) = (Retention::default(), series(&store, 450).await);
        let points: Vec<(SeriesId, Point)> = (0..12).flat_map(|slot| {
            let all = (0..).zip(&all);
            all.map(move |(seed, id)| (*id, point(START + slot * 10 * SECOND, seed)))
        }).collect();
        let now = START + 2 * MINUTE;
        assert_eq!(store.add_points(&retention, now, &points).await.unwrap(), taken(5_400));
        let range = Range::new(START, now, 1_000).unwrap();
        let before = store.points(&retention, &all, &range).await.unwrap();
        assert_eq!(before.series.len(), 450);
        assert!(before.series.iter().all(|(_, points)| points.len() == 12));
        let mut done = Vec::new();
        let later = START + 10 * MINUTE;
        loop {
            assert_eq!(store.points(&retention, &all, &range).await.unwrap(), before);
            match store.tend_series(&retention, later).await.unwrap() {
                Tended::Nothing => break,
                some => done.push(some),
            }
        }
        let packed = [100, 100, 100, 100, 50].map(Tended::Packed);
        assert_eq!(done[..5], packed);
        assert_eq!(done[5..], [Tended::RolledUp(450)]);
    }

    async fn several_controllers_do_not_disturb_each_other(store: Store) {
        let (short, all) = (short(), series(&store, 4).await);
        for minute in 0..4 {
            let from = START + minute * 20 * SECOND;
            let adding = all.iter().map(|id| {
                let (store, short, id) = (store.clone(), short.clone(), *id);
                tokio::spawn(async move {
                    for second in 0..20 {
                        let at = from + second * SECOND;
                        let added = add(&store, &short, at, id, &[point(at, 1)]).await;
                        assert_eq!(added, taken(1));
                    }
                })
            });
            let tending = (0..3).map(|_| {
                let (store, short) = (store.clone(), short.clone());
                tokio::spawn(async move { tend(&store, &short, from).await })
            });
            let tasks: Vec<_> = adding.chain(tending).collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
        let until = START + 80 * SECOND;
        tend(&store, &short, until + MINUTE).await;
        for id in all {
            let expected = (0..80).map(|it| point(START + it * SECOND, 1));
            let (step, found) = ask(&store, &short, id, until - 20 * SECOND, until, 100).await;
            assert_eq!((step, found.len()), (SECOND, 20));
            let (step, found) = ask(&store, &short, id, START, until, 5).await;
            assert_eq!(found, roll_up(expected, step));
        }
    }

    async fn other_tiers_begin_anew_and_do_not_mix(store: Store) {
        let (short, id) = (short(), series(&store, 1).await[0]);
        let points: Vec<Point> = (0..30).map(|it| point(START + it * SECOND, 1)).collect();
        for point in &points {
            add(&store, &short, point.at, id, &[*point]).await;
        }
        tend(&store, &short, START + MINUTE).await;
        let mut tiers = short.tiers().to_vec();
        tiers.remove(1);
        let other = Retention::new(tiers, 10 * SECOND).unwrap();
        let (until, now) = (START + 30 * SECOND, START + 35 * SECOND);
        assert_eq!(ask(&store, &other, id, START, until, 100).await.1, []);
        let new = point(now, 1);
        assert_eq!(add(&store, &other, now, id, &[new]).await, taken(1));
        tend(&store, &other, now + MINUTE).await;
        assert_eq!(ask(&store, &other, id, START, now + SECOND, 100).await.1, [new]);
        // Nothing is forgotten yet by whoever goes back.
        assert_eq!(ask(&store, &short, id, START, until, 100).await.1, points);
        // What nobody goes back to is forgotten when all else of its time is.
        for minute in 1..60 {
            let now = START + minute * MINUTE;
            add(&store, &other, now, id, &[point(now, 1)]).await;
            tend(&store, &other, now).await;
        }
        let sizes = store.series_size(&short).await.unwrap();
        assert!(sizes.iter().take(2).all(|it| it.pieces + it.recent == 0), "{sizes:?}");
    }
}
