//! Sessions, and the hashes of their refresh tokens.

use data_encoding::HEXLOWER;
use patronus_access::audit::{Actor, Event, Outcome};
use patronus_access::{
    Family, PasswordHash, Presented, RefreshToken, Replaced, Revoked, SESSION_IDLE,
};
use patronus_access::{SESSION_LONGEST, SessionId, UserId, Why};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use std::net::IpAddr;

use crate::Millis;
use crate::audit::{Audited, append};
use crate::database::Store;
use crate::error::StoreError;
use crate::users::{User, user};

const COLUMNS: &str = "family, session.id AS session_id, account, current_token, replaced_token, \
     replaced_salt, replaced_at, began_at, used_at, revoked_at, revoked_why";

impl Store {
    /// Keeps a session that begins. `checked` is what is kept of the password that was checked: who
    /// logs in with a password that is being changed does not outlive the change.
    ///
    /// # Errors
    /// [`StoreError::NoUser`], also if the user has been barred, and
    /// [`StoreError::PasswordChanged`].
    pub async fn begin_session(
        &self,
        family: &Family,
        checked: Option<&PasswordHash>,
        event: &Event,
    ) -> Result<(), StoreError> {
        let mut change = self.audited(event).await?;
        let user = sqlx::query("SELECT password FROM account WHERE id = $1 AND barred_at IS NULL")
            .bind(family.user.to_string())
            .fetch_optional(&mut *change.transaction)
            .await?;
        let user = user.ok_or(StoreError::NoUser(family.user))?;
        let password: Option<String> = user.try_get("password")?;
        if password != checked.map(PasswordHash::phc) {
            return Err(StoreError::PasswordChanged);
        }
        let query = sqlx::query(
            "INSERT INTO session (family, id, account, current_token, began_at, used_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(family.key.to_string())
        .bind(family.session.to_string())
        .bind(family.user.to_string())
        .bind(family.current.to_string())
        .bind(family.began_at)
        .bind(family.used_at);
        change.make(query).await?;
        change.commit().await.map(drop)
    }

    /// Uses a refresh token, and says what came of it, for whom, and in which session; `None` if
    /// there is no such session. `salt` must be random. A session that ends because its token was
    /// used twice is in the audit log.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be. The token was not used then, or its
    /// answer can be had again.
    pub async fn refresh(
        &self,
        token: &RefreshToken,
        now: Millis,
        salt: [u8; 32],
        from: Option<IpAddr>,
    ) -> Result<Option<(Presented, User, Family)>, StoreError> {
        let mut transaction = self.write().await?;
        let sql = format!(
            "SELECT {COLUMNS}, account.id AS id, name, role, password, barred_at, made_at \
             FROM session JOIN account ON account.id = session.account WHERE family = $1"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(token.family().to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let (user, mut family) = (user(&row)?, family(&row)?);
        let presented = family.present(token, now, salt);
        match presented {
            Presented::Rotated(_) => save(&mut transaction, &family).await?,
            Presented::Reused => {
                save(&mut transaction, &family).await?;
                let event = Event {
                    at: now,
                    actor: Actor::Nobody,
                    address: from,
                    action: "session.end".to_owned(),
                    object: format!("session/{}", family.session),
                    outcome: Outcome::Done,
                    detail: format!(
                        "a refresh token of {} was used a second time: somebody has a copy",
                        user.name
                    ),
                };
                append(&mut transaction, &event).await?;
            }
            Presented::Repeated(_) | Presented::Refused(_) => {}
        }
        transaction.commit().await?;
        Ok(Some((presented, user, family)))
    }

    /// The sessions of a user that are not over, the one that was used last first.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn sessions(&self, user: &UserId, now: Millis) -> Result<Vec<Family>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM session WHERE account = $1 ORDER BY used_at DESC, session.id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(user.to_string())
            .fetch_all(&self.pool)
            .await?;
        let all: Vec<Family> = rows.iter().map(family).collect::<Result<_, _>>()?;
        Ok(all
            .into_iter()
            .filter(|it| it.over(now).is_none())
            .collect())
    }

    /// Ends a session; says whether there was something to end.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end_session(
        &self,
        session: &SessionId,
        why: Why,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let change = self.audited(event).await?;
        let query = sqlx::query(
            "UPDATE session SET revoked_at = $2, revoked_why = $3 \
             WHERE id = $1 AND revoked_at IS NULL",
        )
        .bind(session.to_string())
        .bind(event.at)
        .bind(why.as_str());
        change.only(query).await
    }

    /// Ends all sessions of a user but one; says how many there were.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end_sessions(
        &self,
        user: &UserId,
        but: Option<&SessionId>,
        event: &Event,
    ) -> Result<u64, StoreError> {
        let mut change = self.audited(event).await?;
        let ended = end_all_of(&mut change, user, but, Why::Ended, event.at).await?;
        change.commit().await?;
        Ok(ended)
    }

    /// Forgets sessions that have been over for so long that nobody asks; says how many. A token of
    /// theirs is unknown from then on, and refused all the same.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn forget_sessions(&self, over_since: Millis) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let done = sqlx::query(
            "DELETE FROM session WHERE revoked_at < $1 OR used_at < $2 OR began_at < $3",
        )
        .bind(over_since)
        .bind(over_since.saturating_sub(SESSION_IDLE))
        .bind(over_since.saturating_sub(SESSION_LONGEST))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }
}

/// Ends all sessions of a user but one.
pub(crate) async fn end_all_of(
    change: &mut Audited<'_>,
    user: &UserId,
    but: Option<&SessionId>,
    why: Why,
    at: Millis,
) -> Result<u64, StoreError> {
    let query = sqlx::query(
        "UPDATE session SET revoked_at = $2, revoked_why = $3 \
         WHERE account = $1 AND revoked_at IS NULL AND id <> $4",
    )
    .bind(user.to_string())
    .bind(at)
    .bind(why.as_str())
    .bind(but.map(ToString::to_string).unwrap_or_default());
    change.make(query).await
}

async fn save(transaction: &mut Transaction<'_, Any>, family: &Family) -> Result<(), StoreError> {
    let replaced = family.replaced.as_ref();
    sqlx::query(
        "UPDATE session SET current_token = $2, replaced_token = $3, replaced_salt = $4, \
         replaced_at = $5, used_at = $6, revoked_at = $7, revoked_why = $8 WHERE family = $1",
    )
    .bind(family.key.to_string())
    .bind(family.current.to_string())
    .bind(replaced.map(|it| it.digest.to_string()))
    .bind(replaced.map(|it| HEXLOWER.encode(&it.salt)))
    .bind(replaced.map(|it| it.at))
    .bind(family.used_at)
    .bind(family.revoked.map(|it| it.at))
    .bind(family.revoked.map(|it| it.why.as_str()))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn family(row: &AnyRow) -> Result<Family, StoreError> {
    let text = |name| row.try_get::<String, _>(name);
    let id = text("session_id")?;
    let corrupt = || StoreError::Corrupt {
        what: format!("a session {id:?} that we have not written"),
    };
    let replaced: (Option<String>, Option<String>, Option<Millis>) = (
        row.try_get("replaced_token")?,
        row.try_get("replaced_salt")?,
        row.try_get("replaced_at")?,
    );
    let replaced = match replaced {
        (Some(digest), Some(salt), Some(at)) => {
            let salt = HEXLOWER.decode(salt.as_bytes()).map_err(|_| corrupt())?;
            Some(Replaced {
                digest: digest.parse().map_err(|_| corrupt())?,
                salt: salt.try_into().map_err(|_| corrupt())?,
                at,
            })
        }
        (None, None, None) => None,
        _ => return Err(corrupt()),
    };
    let revoked: (Option<Millis>, Option<String>) =
        (row.try_get("revoked_at")?, row.try_get("revoked_why")?);
    let revoked = match revoked {
        (Some(at), Some(why)) => {
            let known = Why::ALL.into_iter().find(|it| it.as_str() == why);
            let why = known.ok_or_else(corrupt)?;
            Some(Revoked { at, why })
        }
        (None, None) => None,
        _ => return Err(corrupt()),
    };
    Ok(Family {
        session: id.parse().map_err(|_| corrupt())?,
        user: text("account")?.parse().map_err(|_| corrupt())?,
        key: text("family")?.parse().map_err(|_| corrupt())?,
        current: text("current_token")?.parse().map_err(|_| corrupt())?,
        replaced,
        began_at: row.try_get("began_at")?,
        used_at: row.try_get("used_at")?,
        revoked,
    })
}
