//! Questions about series.

use std::collections::BTreeMap;

use patronus_model::series::{Point, Range, Retention, roll_up, without_duplicates};
use sqlx::{Any, Row as _, Transaction};

use super::packed::{unpack, unpack_many};
use super::{SeriesId, TierRow, in_use, malformed, tiers};
use crate::Millis;
use crate::database::Store;
use crate::error::StoreError;

/// Pieces that are asked for in one statement, which is always the same text.
const PIECES: usize = 64;

/// What is known of some series in some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How far apart points are, milliseconds. Where there is none, nothing is known.
    pub step: Millis,
    /// The points of each series, in the order in which they were asked for.
    pub series: Vec<(SeriesId, Vec<Point>)>,
}

impl Store {
    /// What is known of some series in some time. The first point begins where a multiple of the
    /// answer's step does, so it may have begun before the time that was asked for.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn points(
        &self,
        retention: &Retention,
        series: &[SeriesId],
        range: &Range,
    ) -> Result<Answer, StoreError> {
        let mut found: BTreeMap<SeriesId, Vec<Point>> =
            series.iter().map(|it| (*it, Vec::new())).collect();
        // Points move from table to table, and from tier to tier.
        let mut snapshot = self.snapshot().await?;
        let known = in_use(retention, &tiers(&mut snapshot).await?);
        let edge = known.first().copied().flatten();
        let resolution = retention.resolution(range, edge.map_or(0, |it| it.rolled_to));
        let step = resolution.step;
        let mut from = range.since().div_euclid(step) * step;
        // What the coarse tiers do not have yet is in the finer ones.
        for place in (0..=resolution.tier).rev() {
            let Some(tier) = known.get(place).copied().flatten() else {
                continue;
            };
            let to = match place {
                0 => range.until(),
                _ => tier.closed_to.min(range.until()),
            };
            if from < to {
                read(&mut snapshot, tier, from, to, &mut found).await?;
                from = to;
            }
        }
        snapshot.rollback().await?;
        let answer = |it: &SeriesId| {
            let points = found.get(it).cloned().unwrap_or_default();
            (*it, roll_up(points, step))
        };
        Ok(Answer {
            step,
            series: series.iter().map(answer).collect(),
        })
    }
}

/// Adds the points of a tier that lie between two times.
async fn read(
    snapshot: &mut Transaction<'_, Any>,
    tier: TierRow,
    from: Millis,
    to: Millis,
    found: &mut BTreeMap<SeriesId, Vec<Point>>,
) -> Result<(), StoreError> {
    let mut read: BTreeMap<SeriesId, Vec<Point>> = BTreeMap::new();
    let inside = |point: &Point| from <= point.at && point.at < to;
    let first = tier.piece_of(from);
    let rows = sqlx::query(
        "SELECT piece, points FROM series_recent WHERE tier = $1 AND piece >= $2 AND piece < $3",
    )
    .bind(tier.id)
    .bind(first)
    .bind(to)
    .fetch_all(&mut **snapshot)
    .await?;
    for row in rows {
        let packed: Vec<u8> = row.try_get("points")?;
        let piece = tier.piece(row.try_get("piece")?);
        let wanted = |series| found.contains_key(&series);
        let keep = |series, point| {
            if inside(&point) {
                read.entry(series).or_default().push(point);
            }
        };
        unpack_many(piece, &packed, wanted, keep).map_err(malformed("series_recent"))?;
    }
    let mut next = first;
    while next < to {
        let starts: [Millis; PIECES] = std::array::from_fn(|place| {
            let place = Millis::try_from(place).unwrap_or_default();
            next.saturating_add(tier.span.saturating_mul(place))
        });
        next = next.saturating_add(tier.span.saturating_mul(PIECES as Millis));
        for series in found.keys() {
            // A piece after the end is asked for in place of one that is none of our business: the
            // statement stays the same.
            for (start, packed) in pieces(snapshot, tier, *series, &starts).await? {
                let points = unpack(tier.piece(start), &packed);
                let points = points.map_err(malformed("series_piece"))?;
                let points = points.into_iter().filter(inside);
                read.entry(*series).or_default().extend(points);
            }
        }
    }
    for (series, points) in read {
        let all = found.entry(series).or_default();
        all.extend(without_duplicates(points));
    }
    Ok(())
}

/// Some pieces of a series, one by one: there are those of all other series between them.
async fn pieces(
    snapshot: &mut Transaction<'_, Any>,
    tier: TierRow,
    series: SeriesId,
    starts: &[Millis; PIECES],
) -> Result<Vec<(Millis, Vec<u8>)>, StoreError> {
    let places: Vec<String> = (0..PIECES).map(|place| format!("${}", place + 3)).collect();
    let sql = format!(
        "SELECT piece, points FROM series_piece WHERE tier = $1 AND series = $2 AND piece IN ({})",
        places.join(", ")
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql));
    let query = query.bind(tier.id).bind(series.0);
    let query = starts.iter().fold(query, |query, start| query.bind(*start));
    let rows = query.fetch_all(&mut **snapshot).await?;
    let piece = |row: &sqlx::any::AnyRow| Ok((row.try_get("piece")?, row.try_get("points")?));
    rows.iter().map(piece).collect()
}
