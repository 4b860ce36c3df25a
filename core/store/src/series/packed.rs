//! Points as bytes.
//!
//! A number takes one byte for each seven bits (LEB128). The first byte says which form it is, so that
//! there can be another one day. Sums and extremes are kept as their distance from the least value,
//! which is short where values are alike; what was not measured takes one byte.

use patronus_model::series::{Loss, Measured, Point, Spread, StateTimes};
use patronus_model::time::Millis;

use super::SeriesId;

const FORM: u8 = 1;

/// Where the points of a piece begin, and how far apart they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) start: Millis,
    pub(super) step: Millis,
}

/// Bytes that are no points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The points of one series in a piece.
pub(super) fn pack(piece: Piece, points: &[Point]) -> Vec<u8> {
    let mut out = vec![FORM];
    for point in points {
        put_point(&mut out, piece, point);
    }
    out
}

/// What [`pack`] has packed.
pub(super) fn unpack(piece: Piece, bytes: &[u8]) -> Result<Vec<Point>, Malformed> {
    let mut rest = after_form(bytes)?;
    let mut points = Vec::new();
    while !rest.is_empty() {
        points.push(point(&mut rest, piece)?);
    }
    Ok(points)
}

/// Points of many series in a piece, which are in the order of their series.
pub(super) fn pack_many(piece: Piece, points: &[(SeriesId, Point)]) -> Vec<u8> {
    let mut out = vec![FORM];
    let (mut last, mut packed) = (0, Vec::new());
    for (SeriesId(series), point) in points {
        packed.clear();
        put_point(&mut packed, piece, point);
        put(&mut out, series.abs_diff(last));
        put(&mut out, packed.len() as u64);
        out.extend_from_slice(&packed);
        last = *series;
    }
    out
}

/// Of what [`pack_many`] has packed, the points of some series.
pub(super) fn unpack_many(
    piece: Piece,
    bytes: &[u8],
    wanted: impl Fn(SeriesId) -> bool,
    mut found: impl FnMut(SeriesId, Point),
) -> Result<(), Malformed> {
    let mut rest = after_form(bytes)?;
    let mut series = 0_i64;
    while !rest.is_empty() {
        let distance = number(&mut rest)?;
        series = series.checked_add_unsigned(distance).ok_or(Malformed)?;
        let length = usize::try_from(number(&mut rest)?).map_err(|_| Malformed)?;
        let (mut packed, after) = rest.split_at_checked(length).ok_or(Malformed)?;
        rest = after;
        if wanted(SeriesId(series)) {
            found(SeriesId(series), point(&mut packed, piece)?);
            if !packed.is_empty() {
                return Err(Malformed);
            }
        }
    }
    Ok(())
}

fn after_form(bytes: &[u8]) -> Result<&[u8], Malformed> {
    match bytes.split_first() {
        Some((&FORM, rest)) => Ok(rest),
        _ => Err(Malformed),
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

fn number(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(Malformed)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err(Malformed);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

fn put_point(out: &mut Vec<u8>, piece: Piece, point: &Point) {
    let Measured {
        states,
        loss,
        latency,
        jitter,
        mos,
    } = point.measured;
    put(
        out,
        (point.at.abs_diff(piece.start)) / piece.step.unsigned_abs(),
    );
    put_states(out, piece, states);
    put(out, loss.sent());
    if loss.sent() > 0 {
        put(out, loss.lost());
    }
    for values in [latency, jitter, mos] {
        put_spread(out, values);
    }
}

fn point(rest: &mut &[u8], piece: Piece) -> Result<Point, Malformed> {
    let steps = i64::try_from(number(rest)?).map_err(|_| Malformed)?;
    let distance = steps.checked_mul(piece.step).ok_or(Malformed)?;
    let at = piece.start.checked_add(distance).ok_or(Malformed)?;
    let states = states(rest, piece)?;
    let sent = number(rest)?;
    let lost = if sent > 0 { number(rest)? } else { 0 };
    let measured = Measured {
        states,
        loss: Loss::new(sent, lost).map_err(|_| Malformed)?,
        latency: spread(rest)?,
        jitter: spread(rest)?,
        mos: spread(rest)?,
    };
    Ok(Point { at, measured })
}

/// What a path nearly always is: in one state for the whole step, or unknown.
fn usual(piece: Piece) -> [StateTimes; 4] {
    let whole = piece.step.unsigned_abs();
    let none = StateTimes::default();
    [
        none,
        StateTimes { up: whole, ..none },
        StateTimes {
            degraded: whole,
            ..none
        },
        StateTimes {
            down: whole,
            ..none
        },
    ]
}

fn put_states(out: &mut Vec<u8>, piece: Piece, states: StateTimes) {
    let usual = usual(piece);
    let place = usual.iter().position(|it| *it == states);
    put(out, place.unwrap_or(usual.len()) as u64);
    if place.is_none() {
        for time in [states.up, states.degraded, states.down] {
            put(out, time);
        }
    }
}

fn states(rest: &mut &[u8], piece: Piece) -> Result<StateTimes, Malformed> {
    let usual = usual(piece);
    let place = usize::try_from(number(rest)?).map_err(|_| Malformed)?;
    if let Some(states) = usual.get(place) {
        return Ok(*states);
    }
    if place > usual.len() {
        return Err(Malformed);
    }
    Ok(StateTimes {
        up: number(rest)?,
        degraded: number(rest)?,
        down: number(rest)?,
    })
}

fn put_spread(out: &mut Vec<u8>, values: Spread) {
    put(out, values.count());
    let (Some(least), Some(greatest)) = (values.least(), values.greatest()) else {
        return;
    };
    put(out, least.into());
    if values.count() > 1 {
        put(out, (greatest - least).into());
        // The sum of that many values of which none is below the least.
        put(out, values.sum() - values.count() * u64::from(least));
    }
}

fn spread(rest: &mut &[u8]) -> Result<Spread, Malformed> {
    let count = number(rest)?;
    if count == 0 {
        return Ok(Spread::NONE);
    }
    let least = u32::try_from(number(rest)?).map_err(|_| Malformed)?;
    let (width, above) = match count {
        1 => (0, 0),
        _ => (number(rest)?, number(rest)?),
    };
    let greatest = u32::try_from(u64::from(least).saturating_add(width)).map_err(|_| Malformed)?;
    let sum = count.checked_mul(least.into());
    let sum = sum.and_then(|sum| sum.checked_add(above));
    Spread::new(count, sum.ok_or(Malformed)?, least, greatest).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

    use proptest::prelude::*;

    use super::*;

    const PIECE: Piece = Piece {
        start: 1_800_000_000_000,
        step: 10_000,
    };

    fn spread() -> impl Strategy<Value = Spread> {
        let values = prop_oneof![0..100_u32, any::<u32>()];
        proptest::collection::vec(values, 0..4).prop_map(|values| {
            let ones = values.into_iter().map(Spread::one);
            ones.fold(Spread::NONE, Spread::and)
        })
    }

    fn points() -> impl Strategy<Value = Vec<(SeriesId, Point)>> {
        let time = || prop_oneof![Just(0), Just(10_000), any::<u64>()];
        let states = (time(), time(), time());
        let states = states.prop_map(|(up, degraded, down)| StateTimes { up, degraded, down });
        let loss = (any::<u64>(), any::<u64>());
        let loss = loss.prop_map(|(a, b)| Loss::new(a.max(b), a.min(b)).unwrap());
        let measured = (states, loss, spread(), spread(), spread());
        let point = (0..1_000_i64, 0..360_i64, measured).prop_map(|(series, slot, parts)| {
            let (states, loss, latency, jitter, mos) = parts;
            let measured = Measured {
                states,
                loss,
                latency,
                jitter,
                mos,
            };
            let at = PIECE.start + slot * PIECE.step;
            (SeriesId(series), Point { at, measured })
        });
        proptest::collection::vec(point, 0..20).prop_map(|mut points| {
            points.sort();
            points
        })
    }

    fn all(bytes: &[u8]) -> Result<Vec<(SeriesId, Point)>, Malformed> {
        let mut found = Vec::new();
        unpack_many(
            PIECE,
            bytes,
            |_| true,
            |series, point| found.push((series, point)),
        )?;
        Ok(found)
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(points in points()) {
            prop_assert_eq!(all(&pack_many(PIECE, &points)).unwrap(), points.clone());
            let one: Vec<Point> = points.iter().map(|(_, point)| *point).collect();
            prop_assert_eq!(unpack(PIECE, &pack(PIECE, &one)).unwrap(), one);
            let wanted = points.first().map(|(series, _)| *series);
            let mut found = Vec::new();
            let packed = pack_many(PIECE, &points);
            unpack_many(PIECE, &packed, |it| Some(it) == wanted, |it, point| found.push((it, point))).unwrap();
            let expected: Vec<_> = points.into_iter().filter(|(it, _)| Some(*it) == wanted).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn whatever_the_database_holds_is_points_or_an_error(mut bytes: Vec<u8>, points in points(), at: usize, flip: u8) {
            let _ = (all(&bytes), unpack(PIECE, &bytes));
            bytes.insert(0, FORM);
            let _ = (all(&bytes), unpack(PIECE, &bytes));
            let mut packed = pack_many(PIECE, &points);
            let place = at % packed.len();
            packed.truncate(place.max(1));
            let _ = all(&packed);
            if let Some(byte) = packed.last_mut() {
                *byte ^= flip;
            }
            let _ = all(&packed);
        }
    }

    #[test]
    fn an_ordinary_point_takes_few_bytes() {
        let latency = Spread::new(10, 10 * 32_150, 31_900, 33_200).unwrap();
        let measured = Measured {
            states: StateTimes {
                up: 10_000,
                ..StateTimes::default()
            },
            loss: Loss::new(10, 0).unwrap(),
            latency,
            jitter: Spread::one(420),
            mos: Spread::one(438),
        };
        let point = Point {
            at: PIECE.start,
            measured,
        };
        assert_eq!(pack(PIECE, &[point]).len(), 1 + 18);
        // What was not measured takes a byte for each metric.
        let nothing = Point {
            measured: Measured::default(),
            ..point
        };
        assert_eq!(pack(PIECE, &[nothing]).len(), 1 + 6);
    }

    #[test]
    fn another_form_is_not_misread() {
        assert_eq!(unpack(PIECE, &[]), Err(Malformed));
        assert_eq!(unpack(PIECE, &[FORM + 1]), Err(Malformed));
        assert_eq!(unpack(PIECE, &[FORM]), Ok(Vec::new()));
    }
}
