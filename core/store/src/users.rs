//! Users. Whatever changes one is in the audit log with the change itself, or neither is.

use patronus_access::audit::Event;
use patronus_access::{PasswordHash, Role, SessionId, UserId, UserName, Why};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::Millis;
use crate::database::Store;
use crate::error::StoreError;
use crate::sessions::end_all_of;

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Which one, whatever the name.
    pub id: UserId,
    /// What the user types to log in.
    pub name: UserName,
    /// What the user may do.
    pub role: Role,
    /// What is kept of the password; none for who logs in elsewhere.
    pub password: Option<PasswordHash>,
    /// Since when the user may not log in, if so.
    pub barred_at: Option<Millis>,
    /// Since when there is the user.
    pub made_at: Millis,
}

const COLUMNS: &str = "id, name, role, password, barred_at, made_at";

impl Store {
    /// All users, by name.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM account ORDER BY name");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(user).collect()
    }

    /// A user.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE id = $1");
        self.one_user(sql, &id.to_string()).await
    }

    /// The user of that name.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn user_named(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE name = $1");
        self.one_user(sql, name.as_str()).await
    }

    async fn one_user(&self, sql: String, key: &str) -> Result<Option<User>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(key)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(user).transpose()
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`StoreError::UserExists`].
    pub async fn add_user(&self, user: &User, event: &Event) -> Result<(), StoreError> {
        let mut change = self.audited(event).await?;
        insert(&mut change.transaction, user).await?;
        change.commit().await.map(drop)
    }

    /// Adds a user if there is none at all, and says whether that was so. Of several controllers that
    /// start at once, one makes the first administrator.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn add_first_user(&self, user: &User, event: &Event) -> Result<bool, StoreError> {
        let mut change = self.audited(event).await?;
        let anybody = sqlx::query("SELECT id FROM account LIMIT 1")
            .fetch_optional(&mut *change.transaction)
            .await?;
        if anybody.is_some() {
            return Ok(false);
        }
        insert(&mut change.transaction, user).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Gives a user another role. Access tokens that there are have the old one until they expire.
    ///
    /// # Errors
    /// [`StoreError::NoUser`], [`StoreError::LastAdmin`].
    pub async fn set_role(&self, id: &UserId, role: Role, event: &Event) -> Result<(), StoreError> {
        let mut change = self.audited(event).await?;
        let query = sqlx::query("UPDATE account SET role = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(role.as_str());
        found(change.make(query).await?, id)?;
        an_admin_is_left(&mut change.transaction).await?;
        change.commit().await.map(drop)
    }

    /// Bars a user from logging in, and ends all of the user's sessions; or lifts that with `None`.
    /// API tokens of a user who is barred are good for nothing meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoUser`], [`StoreError::LastAdmin`].
    pub async fn set_barred(
        &self,
        id: &UserId,
        barred_at: Option<Millis>,
        event: &Event,
    ) -> Result<(), StoreError> {
        let mut change = self.audited(event).await?;
        let query = sqlx::query("UPDATE account SET barred_at = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(barred_at);
        found(change.make(query).await?, id)?;
        an_admin_is_left(&mut change.transaction).await?;
        if let Some(at) = barred_at {
            end_all_of(&mut change, id, None, Why::UserChanged, at).await?;
        }
        change.commit().await.map(drop)
    }

    /// Gives a user another password, and ends all of the user's sessions but the one in which it
    /// was changed.
    ///
    /// # Errors
    /// [`StoreError::NoUser`].
    pub async fn set_password(
        &self,
        id: &UserId,
        password: &PasswordHash,
        but: Option<&SessionId>,
        event: &Event,
    ) -> Result<(), StoreError> {
        let mut change = self.audited(event).await?;
        let query = sqlx::query("UPDATE account SET password = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(password.phc());
        found(change.make(query).await?, id)?;
        end_all_of(&mut change, id, but, Why::UserChanged, event.at).await?;
        change.commit().await.map(drop)
    }

    /// Keeps the same password hashed with other parameters, if it is still the same; says whether.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn renew_hash(
        &self,
        id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let query = sqlx::query("UPDATE account SET password = $3 WHERE id = $1 AND password = $2");
        let done = query
            .bind(id.to_string())
            .bind(old.phc())
            .bind(new.phc())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes a user, with sessions and API tokens.
    ///
    /// # Errors
    /// [`StoreError::NoUser`], [`StoreError::LastAdmin`].
    pub async fn remove_user(&self, id: &UserId, event: &Event) -> Result<(), StoreError> {
        let mut change = self.audited(event).await?;
        for sql in [
            "DELETE FROM session WHERE account = $1",
            "DELETE FROM api_token WHERE account = $1",
        ] {
            change.make(sqlx::query(sql).bind(id.to_string())).await?;
        }
        let query = sqlx::query("DELETE FROM account WHERE id = $1").bind(id.to_string());
        found(change.make(query).await?, id)?;
        an_admin_is_left(&mut change.transaction).await?;
        change.commit().await.map(drop)
    }
}

async fn insert(transaction: &mut Transaction<'_, Any>, user: &User) -> Result<(), StoreError> {
    let other = sqlx::query("SELECT id FROM account WHERE name = $1")
        .bind(user.name.as_str())
        .fetch_optional(&mut **transaction)
        .await?;
    if other.is_some() {
        return Err(StoreError::UserExists(user.name.clone()));
    }
    sqlx::query(
        "INSERT INTO account (id, name, role, password, barred_at, made_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(user.id.to_string())
    .bind(user.name.as_str())
    .bind(user.role.as_str())
    .bind(user.password.as_ref().map(PasswordHash::phc))
    .bind(user.barred_at)
    .bind(user.made_at)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What leaves nobody who could undo it is not done.
async fn an_admin_is_left(transaction: &mut Transaction<'_, Any>) -> Result<(), StoreError> {
    let query = sqlx::query("SELECT id FROM account WHERE role = $1 AND barred_at IS NULL LIMIT 1");
    let admin = query
        .bind(Role::Admin.as_str())
        .fetch_optional(&mut **transaction)
        .await?;
    admin.map(drop).ok_or(StoreError::LastAdmin)
}

fn found(rows: u64, id: &UserId) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::NoUser(*id)),
        _ => Ok(()),
    }
}

pub(crate) fn user(row: &AnyRow) -> Result<User, StoreError> {
    let text = |name| row.try_get::<String, _>(name);
    let corrupt = |what: String| StoreError::Corrupt { what };
    let password: Option<String> = row.try_get("password")?;
    let password = password.map(|phc| phc.parse()).transpose();
    Ok(User {
        id: text("id")?
            .parse()
            .map_err(|error| corrupt(format!("a user of whom {error}")))?,
        name: text("name")?
            .parse()
            .map_err(|error| corrupt(format!("a user of whom {error}")))?,
        role: text("role")?
            .parse()
            .map_err(|error| corrupt(format!("a user with a role, and {error}")))?,
        password: password.map_err(|error| corrupt(format!("a user's password: {error}")))?,
        barred_at: row.try_get("barred_at")?,
        made_at: row.try_get("made_at")?,
    })
}
