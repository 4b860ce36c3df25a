//! Generations of the intent, and what is not committed yet.

use patronus_model::intent::{Allocations, Kind, ObjectId};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::Millis;
use crate::database::Store;
use crate::error::{Conflict, StoreError};
use crate::numbers::keep;

/// A version of the intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number; they count up from 1.
    pub number: i64,
    /// When it was committed.
    pub committed_at: Millis,
    /// Who committed it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// The generation whose objects it has again, if it is a rollback.
    pub reverts_to: Option<i64>,
    /// Whether it has to be confirmed.
    pub confirmation: Confirmation,
}

/// Whether a generation has to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It holds until another one is committed.
    NotNeeded,
    /// It is rolled back unless it is confirmed until then.
    Until(Millis),
    /// It was confirmed then.
    Confirmed(Millis),
}

/// An object as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which one.
    pub id: ObjectId,
    /// The generation in which it became what it is.
    pub since: i64,
    /// Its canonical text.
    pub text: String,
}

/// What somebody changed in one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The object.
    pub id: ObjectId,
    /// The [`Stored::since`] of what was changed; `None` where there was nothing.
    pub base: Option<i64>,
    /// What it is to be; `None` where it is to be removed.
    pub text: Option<String>,
}

/// What is said of a generation that is to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who commits it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// When.
    pub at: Millis,
    /// The generation whose objects it has again, if it is a rollback.
    pub reverts_to: Option<i64>,
    /// Until when it must be confirmed, if it must be.
    pub confirm_by: Option<Millis>,
    /// The generation that the change was checked against; 0 before the first.
    pub checked_against: i64,
}

const GENERATION: &str =
    "number, committed_at, author, comment, reverts_to, confirm_by, confirmed_at";

impl Store {
    /// The current generation; `None` before the first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn head(&self) -> Result<Option<Generation>, StoreError> {
        Ok(self.history(None, 1).await?.pop())
    }

    /// Generations before another one, or the last ones, newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn history(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Generation>, StoreError> {
        let sql = format!(
            "SELECT {GENERATION} FROM generation WHERE number < $1 ORDER BY number DESC LIMIT $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(generation).collect()
    }

    /// A generation.
    ///
    /// # Errors
    /// [`StoreError::NoGeneration`].
    pub async fn generation(&self, number: i64) -> Result<Generation, StoreError> {
        let found = self.history(Some(number.saturating_add(1)), 1).await?.pop();
        found
            .filter(|found| found.number == number)
            .ok_or(StoreError::NoGeneration(number))
    }

    /// The objects of a generation, by kind and name.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn objects(&self, generation: i64) -> Result<Vec<Stored>, StoreError> {
        let rows = sqlx::query(
            "SELECT kind, name, since, text FROM object \
             WHERE since <= $1 AND (until IS NULL OR until > $1) ORDER BY kind, name",
        )
        .bind(generation)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(stored).collect()
    }

    /// Commits a change with the numbers that it needs, and gives the number of the new generation.
    ///
    /// # Errors
    /// [`StoreError::Unconfirmed`], [`StoreError::Conflicts`] if objects are not what they were
    /// changed from, and [`StoreError::Moved`] if something else was committed since the change was
    /// checked. Nothing has changed then.
    pub async fn commit(
        &self,
        draft: &Draft,
        edits: &[Edit],
        numbers: &Allocations,
    ) -> Result<i64, StoreError> {
        let mut transaction = self.write().await?;
        let head = last(&mut transaction).await?;
        if let Some(head) = &head
            && let Confirmation::Until(_) = head.confirmation
            && draft.reverts_to.is_none()
        {
            return Err(StoreError::Unconfirmed {
                generation: head.number,
                author: head.author.clone(),
            });
        }
        let now = head.map_or(0, |head| head.number);
        let mut conflicts = Vec::new();
        for edit in edits {
            conflicts.extend(conflict(&mut transaction, edit).await?);
        }
        if !conflicts.is_empty() {
            return Err(StoreError::Conflicts(conflicts));
        }
        if now != draft.checked_against {
            return Err(StoreError::Moved { now });
        }
        let number = now + 1;
        insert(&mut transaction, number, draft).await?;
        for edit in edits {
            replace(&mut transaction, number, edit).await?;
        }
        keep(&mut transaction, numbers).await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Confirms a generation; says whether it waited for that.
    ///
    /// # Errors
    /// [`StoreError::NoGeneration`].
    pub async fn confirm(&self, number: i64, at: Millis) -> Result<bool, StoreError> {
        self.generation(number).await?;
        let mut transaction = self.write().await?;
        let done = sqlx::query(
            "UPDATE generation SET confirmed_at = $2 WHERE number = $1 AND confirmed_at IS NULL \
             AND confirm_by IS NOT NULL AND number = (SELECT MAX(number) FROM generation)",
        )
        .bind(number)
        .bind(at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// What would make the current objects those of another generation.
    ///
    /// # Errors
    /// [`StoreError::NoGeneration`].
    pub async fn way_back(&self, to: i64) -> Result<Vec<Edit>, StoreError> {
        self.generation(to).await?;
        let head = self.head().await?.map_or(0, |head| head.number);
        let (now, then) = (self.objects(head).await?, self.objects(to).await?);
        let find = |list: &[Stored], id: &ObjectId| list.iter().find(|it| it.id == *id).cloned();
        let mut edits = Vec::new();
        for old in &then {
            let current = find(&now, &old.id);
            if current.as_ref().is_none_or(|it| it.text != old.text) {
                edits.push(Edit {
                    id: old.id.clone(),
                    base: current.map(|it| it.since),
                    text: Some(old.text.clone()),
                });
            }
        }
        for current in now {
            if find(&then, &current.id).is_none() {
                edits.push(Edit {
                    id: current.id,
                    base: Some(current.since),
                    text: None,
                });
            }
        }
        Ok(edits)
    }

    /// Keeps an edit in a candidate, in place of an earlier one of the same object.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn put_edit(
        &self,
        candidate: &str,
        edit: &Edit,
        at: Millis,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO candidate_edit (candidate, kind, name, base, text, edited_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (candidate, kind, name) DO UPDATE SET \
             base = excluded.base, text = excluded.text, edited_at = excluded.edited_at",
        )
        .bind(candidate)
        .bind(edit.id.kind.as_str())
        .bind(&*edit.id.name)
        .bind(edit.base)
        .bind(edit.text.as_deref())
        .bind(at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The edits of a candidate, by kind and name.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn edits(&self, candidate: &str) -> Result<Vec<Edit>, StoreError> {
        let rows = sqlx::query(
            "SELECT kind, name, base, text FROM candidate_edit WHERE candidate = $1 \
             ORDER BY kind, name",
        )
        .bind(candidate)
        .fetch_all(&self.pool)
        .await?;
        let edit = |row: &AnyRow| {
            Ok(Edit {
                id: object_id(row)?,
                base: row.try_get("base")?,
                text: row.try_get("text")?,
            })
        };
        rows.iter().map(edit).collect()
    }

    /// Forgets edits of a candidate: all, or that of one object. Says how many there were.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn discard(
        &self,
        candidate: &str,
        object: Option<&ObjectId>,
    ) -> Result<u64, StoreError> {
        let query = match object {
            None => sqlx::query("DELETE FROM candidate_edit WHERE candidate = $1").bind(candidate),
            Some(id) => sqlx::query(
                "DELETE FROM candidate_edit WHERE candidate = $1 AND kind = $2 AND name = $3",
            )
            .bind(candidate)
            .bind(id.kind.as_str())
            .bind(&*id.name),
        };
        Ok(query.execute(&self.pool).await?.rows_affected())
    }
}

async fn last(transaction: &mut Transaction<'_, Any>) -> Result<Option<Generation>, StoreError> {
    let sql = format!("SELECT {GENERATION} FROM generation ORDER BY number DESC LIMIT 1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_optional(&mut **transaction)
        .await?;
    row.as_ref().map(generation).transpose()
}

/// Whether an object is not what it was changed from.
async fn conflict(
    transaction: &mut Transaction<'_, Any>,
    edit: &Edit,
) -> Result<Option<Conflict>, StoreError> {
    let row = sqlx::query(
        "SELECT since, until FROM object WHERE kind = $1 AND name = $2 ORDER BY since DESC LIMIT 1",
    )
    .bind(edit.id.kind.as_str())
    .bind(&*edit.id.name)
    .fetch_optional(&mut **transaction)
    .await?;
    let found: Option<(i64, Option<i64>)> = match row {
        Some(row) => Some((row.try_get("since")?, row.try_get("until")?)),
        None => None,
    };
    let changed_in = match (edit.base, found) {
        (Some(base), Some((since, None))) if since == base => return Ok(None),
        (None, None | Some((_, Some(_)))) => return Ok(None),
        (_, Some((since, until))) => until.unwrap_or(since),
        // An object that there never was cannot have been changed.
        (Some(base), None) => return Err(StoreError::NoGeneration(base)),
    };
    let row = sqlx::query("SELECT author FROM generation WHERE number = $1")
        .bind(changed_in)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(Some(Conflict {
        object: edit.id.clone(),
        changed_in,
        author: row.try_get("author")?,
    }))
}

async fn insert(
    transaction: &mut Transaction<'_, Any>,
    number: i64,
    draft: &Draft,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO generation \
         (number, committed_at, author, comment, reverts_to, confirm_by) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(number)
    .bind(draft.at)
    .bind(&draft.author)
    .bind(&draft.comment)
    .bind(draft.reverts_to)
    .bind(draft.confirm_by)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn replace(
    transaction: &mut Transaction<'_, Any>,
    number: i64,
    edit: &Edit,
) -> Result<(), StoreError> {
    let (kind, name) = (edit.id.kind.as_str(), &*edit.id.name);
    sqlx::query("UPDATE object SET until = $3 WHERE kind = $1 AND name = $2 AND until IS NULL")
        .bind(kind)
        .bind(name)
        .bind(number)
        .execute(&mut **transaction)
        .await?;
    let Some(text) = &edit.text else {
        return Ok(());
    };
    sqlx::query("INSERT INTO object (kind, name, since, text) VALUES ($1, $2, $3, $4)")
        .bind(kind)
        .bind(name)
        .bind(number)
        .bind(text)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn generation(row: &AnyRow) -> Result<Generation, StoreError> {
    let confirmed_at: Option<Millis> = row.try_get("confirmed_at")?;
    let confirm_by: Option<Millis> = row.try_get("confirm_by")?;
    Ok(Generation {
        number: row.try_get("number")?,
        committed_at: row.try_get("committed_at")?,
        author: row.try_get("author")?,
        comment: row.try_get("comment")?,
        reverts_to: row.try_get("reverts_to")?,
        confirmation: match (confirmed_at, confirm_by) {
            (Some(at), _) => Confirmation::Confirmed(at),
            (None, Some(by)) => Confirmation::Until(by),
            (None, None) => Confirmation::NotNeeded,
        },
    })
}

fn stored(row: &AnyRow) -> Result<Stored, StoreError> {
    Ok(Stored {
        id: object_id(row)?,
        since: row.try_get("since")?,
        text: row.try_get("text")?,
    })
}

fn object_id(row: &AnyRow) -> Result<ObjectId, StoreError> {
    let (kind, name): (String, String) = (row.try_get("kind")?, row.try_get("name")?);
    let known = Kind::ALL.into_iter().find(|it| it.as_str() == kind);
    let corrupt = || StoreError::Corrupt {
        what: format!("an object of kind {kind:?}"),
    };
    Ok(ObjectId::new(known.ok_or_else(corrupt)?, &name))
}
