//! What was measured of paths: see [`patronus_model::series`] for what a point is, and how points
//! become fewer with time.
//!
//! Points are written twice. As they come, those of all series are put into one row, so that taking
//! them costs next to nothing. When a piece of time is over, and no more points of it are waited for,
//! its rows are turned into one for each series, which is what questions are answered from, and are
//! rolled up to the next tier, where it goes on like this. `docs/adr/0028` has the measurements.

mod answers;
mod packed;
mod tending;

pub use answers::Answer;
pub use tending::Tended;

use std::collections::BTreeMap;

use patronus_model::series::{Direction, PathEnd, Point, Refusal, Retention};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::Millis;
use crate::database::Store;
use crate::error::{StoreError, parsed};
use packed::{Malformed, Piece, pack_many};

/// The series of one direction of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub(crate) i64);

/// What became of points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// How many were taken; those that had come before are among them.
    pub taken: u64,
    /// How many came too late.
    pub late: u64,
    /// How many are of a time that has not come yet.
    pub early: u64,
    /// How many know of more time than there is.
    pub overlong: u64,
}

/// Points that are put into one row.
const AT_ONCE: usize = 5_000;

/// New series that are made in one transaction.
const NEW_AT_ONCE: usize = 100;

/// A tier as the database knows it.
#[derive(Clone, Copy, Debug)]
struct TierRow {
    id: i64,
    step: Millis,
    span: Millis,
    closed_to: Millis,
    rolled_to: Millis,
}

impl TierRow {
    /// When the piece begins in which a time lies.
    fn piece_of(&self, at: Millis) -> Millis {
        at.div_euclid(self.span) * self.span
    }

    fn piece(&self, start: Millis) -> Piece {
        let step = self.step;
        Piece { start, step }
    }
}

impl Store {
    /// The series of some directions of paths, in their order. Those that have none get one.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn series_of(
        &self,
        directions: &[Direction],
        now: Millis,
    ) -> Result<Vec<SeriesId>, StoreError> {
        let known = self.known().await?;
        let new: Vec<&Direction> = directions
            .iter()
            .filter(|it| !known.contains_key(it))
            .collect();
        for some in new.chunks(NEW_AT_ONCE) {
            let mut transaction = self.write_series().await?;
            for direction in some {
                create(&mut transaction, direction, now).await?;
            }
            transaction.commit().await?;
        }
        let known = match new.is_empty() {
            true => known,
            false => self.known().await?,
        };
        let find = |direction: &Direction| {
            let gone = || StoreError::Corrupt {
                what: format!("no series of {direction}, which was just made"),
            };
            known.get(direction).copied().ok_or_else(gone)
        };
        directions.iter().map(find).collect()
    }

    /// All series.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn directions(&self) -> Result<Vec<(SeriesId, Direction)>, StoreError> {
        let known = self.known().await?.into_iter();
        Ok(known
            .map(|(direction, series)| (series, direction))
            .collect())
    }

    async fn known(&self) -> Result<BTreeMap<Direction, SeriesId>, StoreError> {
        let rows = sqlx::query("SELECT id, from_site, from_uplink, to_site, to_uplink FROM series")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(direction).collect()
    }

    /// Keeps points. Some that come again change nothing, in whatever order they come; some that come
    /// too late, or whose time has not come, are counted and forgotten.
    ///
    /// # Errors
    /// The database does not answer. Then some of the points may have been kept, and all can be added
    /// again.
    pub async fn add_points(
        &self,
        retention: &Retention,
        now: Millis,
        points: &[(SeriesId, Point)],
    ) -> Result<Added, StoreError> {
        let mut added = Added::default();
        for some in points.chunks(AT_ONCE) {
            let mut transaction = self.write_series().await?;
            let tier = finest(&mut transaction, retention).await?;
            let mut pieces: BTreeMap<Millis, Vec<(SeriesId, Point)>> = BTreeMap::new();
            for (series, point) in some {
                match retention.take(now, tier.closed_to, *point) {
                    Ok(point) => {
                        added.taken += 1;
                        let piece = pieces.entry(tier.piece_of(point.at)).or_default();
                        piece.push((*series, point));
                    }
                    Err(Refusal::Late) => added.late += 1,
                    Err(Refusal::Early) => added.early += 1,
                    Err(Refusal::Overlong) => added.overlong += 1,
                }
            }
            for (start, mut points) in pieces {
                points.sort_unstable();
                put_recent(&mut transaction, tier, start, &points).await?;
            }
            transaction.commit().await?;
        }
        Ok(added)
    }
}

/// What is kept of a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierSize {
    /// How far apart its points are, milliseconds.
    pub step: Millis,
    /// Pieces of one series each.
    pub pieces: i64,
    /// Bytes of the points in them.
    pub bytes: i64,
    /// Rows of points as they came.
    pub recent: i64,
    /// Bytes of the points in these.
    pub recent_bytes: i64,
}

impl Store {
    /// What is kept of the tiers of a retention, the finest first. All of it is read for that.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn series_size(&self, retention: &Retention) -> Result<Vec<TierSize>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let known = tiers(&mut snapshot).await?;
        let mut sizes = Vec::new();
        for tier in in_use(retention, &known).into_iter().flatten() {
            let mut counted = [(0, 0); 2];
            for (table, counted) in ["series_piece", "series_recent"].iter().zip(&mut counted) {
                let sql = format!(
                    "SELECT COUNT(*) AS pieces, CAST(COALESCE(SUM(LENGTH(points)), 0) AS BIGINT) \
                     AS bytes FROM {table} WHERE tier = $1"
                );
                let row = sqlx::query(sqlx::AssertSqlSafe(sql))
                    .bind(tier.id)
                    .fetch_one(&mut *snapshot)
                    .await?;
                *counted = (row.try_get("pieces")?, row.try_get("bytes")?);
            }
            let [(pieces, bytes), (recent, recent_bytes)] = counted;
            sizes.push(TierSize {
                step: tier.step,
                pieces,
                bytes,
                recent,
                recent_bytes,
            });
        }
        snapshot.rollback().await?;
        Ok(sizes)
    }
}

async fn create(
    transaction: &mut Transaction<'_, Any>,
    direction: &Direction,
    now: Millis,
) -> Result<(), StoreError> {
    let Direction { from, to } = direction;
    sqlx::query(
        "INSERT INTO series (id, from_site, from_uplink, to_site, to_uplink, seen_at) \
         VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM series), $1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING",
    )
    .bind(from.site.as_str())
    .bind(from.uplink.as_str())
    .bind(to.site.as_str())
    .bind(to.uplink.as_str())
    .bind(now)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn direction(row: &AnyRow) -> Result<(Direction, SeriesId), StoreError> {
    let end = |site: &str, uplink: &str| -> Result<PathEnd, StoreError> {
        let (site, uplink): (String, String) = (row.try_get(site)?, row.try_get(uplink)?);
        Ok(PathEnd {
            site: parsed(&site, "site")?,
            uplink: parsed(&uplink, "uplink")?,
        })
    };
    let direction = Direction {
        from: end("from_site", "from_uplink")?,
        to: end("to_site", "to_uplink")?,
    };
    Ok((direction, SeriesId(row.try_get("id")?)))
}

/// All tiers that there ever were.
async fn tiers(transaction: &mut Transaction<'_, Any>) -> Result<Vec<TierRow>, StoreError> {
    let rows = sqlx::query("SELECT id, step, span, closed_to, rolled_to FROM series_tier")
        .fetch_all(&mut **transaction)
        .await?;
    rows.iter().map(tier).collect()
}

fn tier(row: &AnyRow) -> Result<TierRow, StoreError> {
    let tier = TierRow {
        id: row.try_get("id")?,
        step: row.try_get("step")?,
        span: row.try_get("span")?,
        closed_to: row.try_get("closed_to")?,
        rolled_to: row.try_get("rolled_to")?,
    };
    if tier.step > 0 && tier.span >= tier.step {
        return Ok(tier);
    }
    Err(StoreError::Corrupt {
        what: format!("a tier of {} ms in pieces of {} ms", tier.step, tier.span),
    })
}

/// The tiers of a retention among all that there ever were, the finest first; none for those that
/// nothing has been kept in yet.
fn in_use(retention: &Retention, all: &[TierRow]) -> Vec<Option<TierRow>> {
    let tiers = retention.tiers().iter().enumerate();
    let find = |(place, wanted): (usize, &patronus_model::series::Tier)| {
        let (step, span) = (wanted.step.millis(), retention.span(place));
        let same = |it: &&TierRow| it.step == step && it.span == span;
        all.iter().find(same).copied()
    };
    tiers.map(find).collect()
}

/// A tier of a retention, which is made if it is not there.
async fn tier_at(
    transaction: &mut Transaction<'_, Any>,
    retention: &Retention,
    place: usize,
) -> Result<Option<TierRow>, StoreError> {
    let find = |all: &[TierRow]| in_use(retention, all).get(place).copied().flatten();
    if let Some(tier) = find(&tiers(transaction).await?) {
        return Ok(Some(tier));
    }
    let Some(wanted) = retention.tiers().get(place) else {
        return Ok(None);
    };
    sqlx::query(
        "INSERT INTO series_tier (id, step, span, closed_to, rolled_to) \
         VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM series_tier), $1, $2, 0, 0)",
    )
    .bind(wanted.step.millis())
    .bind(retention.span(place))
    .execute(&mut **transaction)
    .await?;
    Ok(find(&tiers(transaction).await?))
}

async fn finest(
    transaction: &mut Transaction<'_, Any>,
    retention: &Retention,
) -> Result<TierRow, StoreError> {
    let tier = tier_at(transaction, retention, 0).await?;
    tier.ok_or_else(|| StoreError::Corrupt {
        what: "no tier of the shortest step".to_owned(),
    })
}

/// Puts points of one piece, which are in the order of their series, beside those that have come.
async fn put_recent(
    transaction: &mut Transaction<'_, Any>,
    tier: TierRow,
    start: Millis,
    points: &[(SeriesId, Point)],
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO series_recent (tier, piece, part, points) \
         SELECT $1, $2, COALESCE(MAX(part), 0) + 1, $3 FROM series_recent \
         WHERE tier = $1 AND piece = $2",
    )
    .bind(tier.id)
    .bind(start)
    .bind(pack_many(tier.piece(start), points))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn malformed(table: &'static str) -> impl Fn(Malformed) -> StoreError {
    move |Malformed| StoreError::Corrupt {
        what: format!("points in {table} that cannot be read"),
    }
}
