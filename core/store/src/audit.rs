//! The audit log. Nothing here changes or removes an entry.

use patronus_access::Digest;
use patronus_access::audit::{Actor, Broken, Entry, Event, Link, Outcome, Verifier};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row as _, Transaction};

use crate::database::Store;
use crate::error::StoreError;

/// How many entries are read at once to verify them all.
const PAGE: u32 = 1000;

const COLUMNS: &str =
    "sequence, hash, at, actor_kind, actor, address, action, object, outcome, detail";

impl Store {
    /// Writes down what happened. What changes something here writes it down by itself, in the same
    /// transaction.
    ///
    /// # Errors
    /// [`StoreError::Unwritable`], or the database does not answer.
    pub async fn audit(&self, event: &Event) -> Result<Entry, StoreError> {
        self.audited(event).await?.commit().await
    }

    /// Begins a change that is in the log with the change itself, or neither is.
    pub(crate) async fn audited<'a>(&self, event: &'a Event) -> Result<Audited<'a>, StoreError> {
        Ok(Audited::within(self.write().await?, event))
    }

    /// Entries before another one, or the last ones, newest first.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn audit_log(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let before = before.and_then(|before| i64::try_from(before).ok());
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| entry(row)?.ok_or_else(|| corrupt(row)))
            .collect()
    }

    /// Goes over all of the log, and says where it ends or what is the first that is wrong. `noted`
    /// is an entry that somebody has written down elsewhere. Entries may be added meanwhile.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn verify_audit(
        &self,
        noted: Option<Link>,
    ) -> Result<Result<Link, Broken>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT {PAGE}"
        );
        let mut verifier = Verifier::new(Link::START, noted);
        let mut after: i64 = 0;
        loop {
            let rows = sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
                .bind(after)
                .fetch_all(&self.pool)
                .await?;
            if rows.is_empty() {
                return Ok(verifier.finish());
            }
            for row in &rows {
                let number = sequence(row)?;
                after = row.try_get("sequence")?;
                let checked = match entry(row)? {
                    Some(entry) => verifier.check(&entry),
                    // Nobody has written such a thing.
                    None => Err(verifier.unreadable(number)),
                };
                if let Err(broken) = checked {
                    return Ok(Err(broken));
                }
            }
        }
    }
}

/// A change that cannot be committed without its entry. Dropped before, it has not been made.
pub(crate) struct Audited<'a> {
    pub(crate) transaction: Transaction<'static, Any>,
    event: &'a Event,
}

impl<'a> Audited<'a> {
    /// Goes on with a transaction in which something was read first.
    pub(crate) const fn within(transaction: Transaction<'static, Any>, event: &'a Event) -> Self {
        Self { transaction, event }
    }

    /// Makes a part of it, and says how many rows that concerned.
    pub(crate) async fn make(
        &mut self,
        query: Query<'_, Any, AnyArguments>,
    ) -> Result<u64, StoreError> {
        let done = query.execute(&mut *self.transaction).await?;
        Ok(done.rows_affected())
    }

    /// Makes it of one part alone, and says whether that concerned a row. If not, nothing has
    /// happened that could be told.
    pub(crate) async fn only(
        mut self,
        query: Query<'_, Any, AnyArguments>,
    ) -> Result<bool, StoreError> {
        if self.make(query).await? == 0 {
            return Ok(false);
        }
        self.commit().await?;
        Ok(true)
    }

    /// Writes it down, and lets both stand.
    pub(crate) async fn commit(mut self) -> Result<Entry, StoreError> {
        let entry = append(&mut self.transaction, self.event).await?;
        self.transaction.commit().await?;
        Ok(entry)
    }
}

/// Adds an entry to the log, in the transaction of what it is about.
pub(crate) async fn append(
    transaction: &mut Transaction<'_, Any>,
    event: &Event,
) -> Result<Entry, StoreError> {
    let row = sqlx::query("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(&mut **transaction)
        .await?;
    let before = match &row {
        None => Link::START,
        Some(row) => Link {
            sequence: sequence(row)?,
            hash: hash(row)?.ok_or_else(|| corrupt(row))?,
        },
    };
    let entry = Entry::new(&before, event.clone());
    let (kind, actor) = event.actor.parts();
    for text in [actor, &event.action, &event.object, &event.detail] {
        // PostgreSQL cannot, and what it cannot, SQLite shall not.
        if text.contains('\0') {
            return Err(StoreError::Unwritable {
                what: "a text with a zero byte",
            });
        }
    }
    let number = i64::try_from(entry.link.sequence).map_err(|_| StoreError::Unwritable {
        what: "so many entries",
    })?;
    sqlx::query(
        "INSERT INTO audit (sequence, hash, at, actor_kind, actor, address, action, object, \
         outcome, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(number)
    .bind(entry.link.hash.to_string())
    .bind(event.at)
    .bind(kind)
    .bind(actor)
    .bind(event.address.map(|it| it.to_string()).unwrap_or_default())
    .bind(&event.action)
    .bind(&event.object)
    .bind(event.outcome.as_str())
    .bind(&event.detail)
    .execute(&mut **transaction)
    .await?;
    Ok(entry)
}

/// An entry, if the row is one that could have been written.
fn entry(row: &AnyRow) -> Result<Option<Entry>, StoreError> {
    let text = |name| row.try_get::<String, _>(name);
    let (Some(hash), Some(actor), Some(outcome)) = (
        hash(row)?,
        Actor::from_parts(&text("actor_kind")?, text("actor")?),
        Outcome::from_text(&text("outcome")?),
    ) else {
        return Ok(None);
    };
    let written = text("address")?;
    let address = match written.as_str() {
        "" => None,
        // In the one form that we write it in.
        other => match other.parse::<std::net::IpAddr>() {
            Ok(address) if address.to_string() == other => Some(address),
            _ => return Ok(None),
        },
    };
    Ok(Some(Entry {
        link: Link {
            sequence: sequence(row)?,
            hash,
        },
        event: Event {
            at: row.try_get("at")?,
            actor,
            address,
            action: text("action")?,
            object: text("object")?,
            outcome,
            detail: text("detail")?,
        },
    }))
}

fn sequence(row: &AnyRow) -> Result<u64, StoreError> {
    let number: i64 = row.try_get("sequence")?;
    u64::try_from(number).map_err(|_| corrupt(row))
}

fn hash(row: &AnyRow) -> Result<Option<Digest>, StoreError> {
    Ok(row.try_get::<String, _>("hash")?.parse().ok())
}

fn corrupt(row: &AnyRow) -> StoreError {
    let number: i64 = row.try_get("sequence").unwrap_or_default();
    StoreError::Corrupt {
        what: format!("an entry {number} of the audit log that is not as it was written"),
    }
}
