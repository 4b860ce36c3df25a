//! What becomes of points with time: they are packed, rolled up, and forgotten.

use std::collections::BTreeMap;

use patronus_model::series::{Point, Retention, roll_up, without_duplicates};
use sqlx::{Any, Row as _, Transaction};

use super::packed::{pack, unpack_many};
use super::{AT_ONCE, SeriesId, TierRow, in_use, malformed, put_recent, tier_at, tiers};
use crate::Millis;
use crate::database::Store;
use crate::error::StoreError;

/// Series that are packed in one transaction. Whatever else is to be written waits for it.
const PORTION: usize = 100;

/// Rows that are forgotten in one transaction.
const FORGOTTEN: i64 = 500;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tended {
    /// There is nothing to do.
    Nothing,
    /// A piece of time was packed for so many series.
    Packed(usize),
    /// A piece of time was rolled up to the next tier, if there is one, for so many series.
    RolledUp(usize),
    /// So many rows were too old.
    Forgotten(u64),
}

/// A piece of time of which no more points come.
struct Closed {
    place: usize,
    tier: TierRow,
    start: Millis,
    points: BTreeMap<SeriesId, Vec<Point>>,
}

impl Store {
    /// Does a little of what is to be done with points: packs those of some series, rolls a piece of
    /// time up, or forgets what is too old. It is to be called until there is nothing to do, by one
    /// controller at a time, and with pauses: each call holds the lock of those who write for some
    /// milliseconds.
    ///
    /// What is too old is told by the newest points that were rolled up, not by `now`: a clock that
    /// is wrong makes nothing forgotten.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn tend_series(
        &self,
        retention: &Retention,
        now: Millis,
    ) -> Result<Tended, StoreError> {
        for place in 0..retention.tiers().len() {
            if let Some(closed) = self.closed(retention, place, now).await? {
                return match self.pack(retention, &closed).await? {
                    0 => self.finish(retention, &closed).await,
                    series => Ok(Tended::Packed(series)),
                };
            }
        }
        self.forget(retention).await
    }

    /// The oldest piece of a tier that is to be packed.
    async fn closed(
        &self,
        retention: &Retention,
        place: usize,
        now: Millis,
    ) -> Result<Option<Closed>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let known = tiers(&mut snapshot).await?;
        let Some(tier) = in_use(retention, &known).get(place).copied().flatten() else {
            return Ok(None);
        };
        let row = sqlx::query("SELECT MIN(piece) AS piece FROM series_recent WHERE tier = $1")
            .bind(tier.id)
            .fetch_one(&mut *snapshot)
            .await?;
        let Some(start): Option<Millis> = row.try_get("piece")? else {
            return Ok(None);
        };
        let end = start.saturating_add(tier.span);
        let over = match place {
            0 => end.saturating_add(retention.lateness()) <= now,
            _ => end <= tier.closed_to,
        };
        if !over {
            return Ok(None);
        }
        if tier.closed_to < end {
            // From here on nobody adds to it, and what is read is all that there is.
            snapshot.rollback().await?;
            let mut transaction = self.write_series().await?;
            close(&mut transaction, tier, end).await?;
            transaction.commit().await?;
            snapshot = self.snapshot().await?;
        }
        let points = recent(&mut snapshot, tier, start).await?;
        snapshot.rollback().await?;
        Ok(Some(Closed {
            place,
            tier,
            start,
            points,
        }))
    }

    /// Packs the points of some series of which those have not been packed yet. Says of how many.
    async fn pack(&self, retention: &Retention, closed: &Closed) -> Result<usize, StoreError> {
        let Closed {
            place,
            tier,
            start,
            points,
        } = closed;
        // Series are packed in their order.
        let row = sqlx::query(
            "SELECT MAX(series) AS series FROM series_piece WHERE tier = $1 AND piece = $2",
        )
        .bind(tier.id)
        .bind(start)
        .fetch_one(&self.pool)
        .await?;
        let last: Option<i64> = row.try_get("series")?;
        let missing = points.iter().filter(|(it, _)| Some(it.0) > last);
        let portion: Vec<(SeriesId, Vec<u8>)> = missing
            .take(PORTION)
            .map(|(series, points)| (*series, pack(tier.piece(*start), points)))
            .collect();
        if portion.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.write_series().await?;
        if still_there(&mut transaction, *tier, *start).await? {
            put_pieces(&mut transaction, *tier, *start, &portion).await?;
            if place + 1 == retention.tiers().len() {
                see(&mut transaction, *start, &portion).await?;
            }
            transaction.commit().await?;
        }
        Ok(portion.len())
    }

    /// Rolls a piece up of which all series have been packed.
    async fn finish(&self, retention: &Retention, closed: &Closed) -> Result<Tended, StoreError> {
        let Closed {
            place,
            tier,
            start,
            points,
        } = closed;
        let end = start.saturating_add(tier.span);
        let mut sums = Vec::new();
        for (series, points) in points {
            let sum = roll_up(points.iter().copied(), tier.span);
            sums.extend(sum.into_iter().map(|point| (*series, point)));
        }
        let mut transaction = self.write_series().await?;
        // Another controller may have been faster.
        if still_there(&mut transaction, *tier, *start).await? {
            if let Some(next) = tier_at(&mut transaction, retention, place + 1).await? {
                for some in sums.chunks(AT_ONCE) {
                    put_recent(&mut transaction, next, next.piece_of(*start), some).await?;
                }
                close(&mut transaction, next, end).await?;
            }
            sqlx::query("DELETE FROM series_recent WHERE tier = $1 AND piece = $2")
                .bind(tier.id)
                .bind(start)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("UPDATE series_tier SET rolled_to = $2 WHERE id = $1 AND rolled_to < $2")
                .bind(tier.id)
                .bind(end)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        Ok(Tended::RolledUp(points.len()))
    }

    /// Forgets some of what is too old.
    async fn forget(&self, retention: &Retention) -> Result<Tended, StoreError> {
        let mut transaction = self.write_series().await?;
        let known = tiers(&mut transaction).await?;
        let used = in_use(retention, &known);
        let edge = used.first().copied().flatten().map_or(0, |it| it.rolled_to);
        // Tiers of another retention are kept as long as anything is: somebody may go back to it.
        let longest = retention.tiers().iter().map(|it| it.keep).max();
        let longest = longest.unwrap_or_default();
        for tier in &known {
            let place = used.iter().flatten().position(|it| it.id == tier.id);
            let keep = place.and_then(|place| retention.tiers().get(place));
            let keep = keep.map_or(longest, |it| it.keep);
            let before = edge.saturating_sub(keep).saturating_sub(tier.span);
            let mut rows = forget_pieces(&mut transaction, *tier, before).await?;
            if rows == 0 && place.is_none() {
                let sql = "DELETE FROM series_recent WHERE tier = $1 AND piece <= $2";
                let query = sqlx::query(sql).bind(tier.id).bind(before);
                rows = query.execute(&mut *transaction).await?.rows_affected();
            }
            if rows > 0 {
                transaction.commit().await?;
                return Ok(Tended::Forgotten(rows));
            }
        }
        // The last one stays, so that its number is not given again while somebody may know it.
        let span = retention.span(retention.tiers().len() - 1);
        let query = sqlx::query(
            "DELETE FROM series WHERE id IN (SELECT id FROM series WHERE seen_at < $1 \
             AND id < (SELECT MAX(id) FROM series) ORDER BY id LIMIT $2)",
        );
        let query = query.bind(edge.saturating_sub(longest).saturating_sub(2 * span));
        let done = query.bind(FORGOTTEN).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(match done.rows_affected() {
            0 => Tended::Nothing,
            rows => Tended::Forgotten(rows),
        })
    }
}

/// From now on no more points come before a time.
async fn close(
    transaction: &mut Transaction<'_, Any>,
    tier: TierRow,
    to: Millis,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE series_tier SET closed_to = $2 WHERE id = $1 AND closed_to < $2")
        .bind(tier.id)
        .bind(to)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The points of a piece as they came, each once.
async fn recent(
    snapshot: &mut Transaction<'_, Any>,
    tier: TierRow,
    start: Millis,
) -> Result<BTreeMap<SeriesId, Vec<Point>>, StoreError> {
    let rows = sqlx::query("SELECT points FROM series_recent WHERE tier = $1 AND piece = $2")
        .bind(tier.id)
        .bind(start)
        .fetch_all(&mut **snapshot)
        .await?;
    let mut found: BTreeMap<SeriesId, Vec<Point>> = BTreeMap::new();
    for row in rows {
        let packed: Vec<u8> = row.try_get("points")?;
        let keep = |series, point| found.entry(series).or_default().push(point);
        unpack_many(tier.piece(start), &packed, |_| true, keep)
            .map_err(malformed("series_recent"))?;
    }
    let once = |(series, points)| (series, without_duplicates(points));
    Ok(found.into_iter().map(once).collect())
}

/// Whether nobody has finished a piece meanwhile.
async fn still_there(
    transaction: &mut Transaction<'_, Any>,
    tier: TierRow,
    start: Millis,
) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT part FROM series_recent WHERE tier = $1 AND piece = $2 LIMIT 1")
        .bind(tier.id)
        .bind(start)
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(row.is_some())
}

async fn put_pieces(
    transaction: &mut Transaction<'_, Any>,
    tier: TierRow,
    start: Millis,
    pieces: &[(SeriesId, Vec<u8>)],
) -> Result<(), StoreError> {
    let values =
        (0..pieces.len()).map(|row| format!("($1, $2, ${}, ${})", 2 * row + 3, 2 * row + 4));
    let sql = format!(
        "INSERT INTO series_piece (tier, piece, series, points) VALUES {} \
         ON CONFLICT (tier, piece, series) DO UPDATE SET points = excluded.points",
        values.collect::<Vec<_>>().join(", ")
    );
    // Only whole portions are alike, and worth being remembered.
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(pieces.len() == PORTION);
    let query = query.bind(tier.id).bind(start);
    let bind = |query: sqlx::query::Query<'static, Any, _>,
                (series, points): &(SeriesId, Vec<u8>)| {
        query.bind(series.0).bind(points.clone())
    };
    let query = pieces.iter().fold(query, bind);
    query.execute(&mut **transaction).await?;
    Ok(())
}

/// Remembers that series had points.
async fn see(
    transaction: &mut Transaction<'_, Any>,
    at: Millis,
    pieces: &[(SeriesId, Vec<u8>)],
) -> Result<(), StoreError> {
    let places = (0..pieces.len()).map(|place| format!("${}", place + 2));
    let sql = format!(
        "UPDATE series SET seen_at = $1 WHERE seen_at < $1 AND id IN ({})",
        places.collect::<Vec<_>>().join(", ")
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(pieces.len() == PORTION);
    let ids = pieces.iter().map(|(series, _)| series.0);
    let query = ids.fold(query.bind(at), |query, id| query.bind(id));
    query.execute(&mut **transaction).await?;
    Ok(())
}

/// Forgets some pieces which began at a time or before, the oldest first.
async fn forget_pieces(
    transaction: &mut Transaction<'_, Any>,
    tier: TierRow,
    before: Millis,
) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT MIN(piece) AS piece FROM series_piece WHERE tier = $1")
        .bind(tier.id)
        .fetch_one(&mut **transaction)
        .await?;
    let oldest: Option<Millis> = row.try_get("piece")?;
    let Some(oldest) = oldest.filter(|it| *it <= before) else {
        return Ok(0);
    };
    let done = sqlx::query(
        "DELETE FROM series_piece WHERE tier = $1 AND piece = $2 AND series <= (SELECT MAX(series) \
         FROM (SELECT series FROM series_piece WHERE tier = $1 AND piece = $2 ORDER BY series \
         LIMIT $3) AS portion)",
    )
    .bind(tier.id)
    .bind(oldest)
    .bind(FORGOTTEN)
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected())
}
