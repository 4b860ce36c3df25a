//! API tokens, and the keys that access tokens are signed with.

use data_encoding::HEXLOWER;
use patronus_access::audit::Event;
use patronus_access::{ApiToken, KeyId, SigningKey, TokenId, UserId};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use crate::Millis;
use crate::database::Store;
use crate::error::StoreError;
use crate::users::{User, user};

const COLUMNS: &str = "api_token.id AS token_id, account, api_token.name AS token_name, scopes, \
     digest, api_token.made_at AS token_made_at, expires_at, used_at";

impl Store {
    /// Keeps an API token.
    ///
    /// # Errors
    /// [`StoreError::NoUser`].
    pub async fn add_api_token(&self, token: &ApiToken, event: &Event) -> Result<(), StoreError> {
        let mut change = self.audited(event).await?;
        let owner = sqlx::query("SELECT id FROM account WHERE id = $1")
            .bind(token.owner.to_string())
            .fetch_optional(&mut *change.transaction)
            .await?;
        if owner.is_none() {
            return Err(StoreError::NoUser(token.owner));
        }
        let query = sqlx::query(
            "INSERT INTO api_token \
             (id, account, name, scopes, digest, made_at, expires_at, used_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(token.id.to_string())
        .bind(token.owner.to_string())
        .bind(&token.name)
        .bind(token.scopes.to_string())
        .bind(token.digest.to_string())
        .bind(token.made_at)
        .bind(token.expires_at)
        .bind(token.used_at);
        change.make(query).await?;
        change.commit().await.map(drop)
    }

    /// An API token and its owner, unless the owner may not log in.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn api_token(&self, id: &TokenId) -> Result<Option<(ApiToken, User)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, account.id AS id, account.name AS name, role, password, barred_at, \
             account.made_at AS made_at FROM api_token JOIN account \
             ON account.id = api_token.account WHERE api_token.id = $1 AND barred_at IS NULL"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        let both = row.map(|row| Ok((api_token(&row)?, user(&row)?)));
        both.transpose()
    }

    /// The API tokens of a user, also those that have expired, the newest first.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn api_tokens(&self, owner: &UserId) -> Result<Vec<ApiToken>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM api_token WHERE account = $1 ORDER BY made_at DESC, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(owner.to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(api_token).collect()
    }

    /// Notes that a token was used: see [`ApiToken::use_is_news`].
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn note_use(&self, id: &TokenId, at: Millis) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE api_token SET used_at = $2 WHERE id = $1 AND (used_at IS NULL OR used_at < $2)",
        )
        .bind(id.to_string())
        .bind(at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes an API token, which is good for nothing from then on; says whether there was one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn remove_api_token(&self, id: &TokenId, event: &Event) -> Result<bool, StoreError> {
        let query = sqlx::query("DELETE FROM api_token WHERE id = $1").bind(id.to_string());
        self.audited(event).await?.only(query).await
    }

    /// The keys that access tokens are signed with, by the time from which on they sign.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let sql = "SELECT id, secret, signs_from FROM signing_key ORDER BY signs_from, id";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await?;
        rows.iter().map(signing_key).collect()
    }

    /// Keeps a new key, unless another controller was quicker: `last` must still be the last one that
    /// there is. Says whether it was kept; if not, there are others to read.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn add_signing_key(
        &self,
        key: &SigningKey,
        last: Option<&KeyId>,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let mut change = self.audited(event).await?;
        let row =
            sqlx::query("SELECT id FROM signing_key ORDER BY signs_from DESC, id DESC LIMIT 1")
                .fetch_optional(&mut *change.transaction)
                .await?;
        let found: Option<String> = row.map(|row| row.try_get("id")).transpose()?;
        if found != last.map(ToString::to_string) {
            return Ok(false);
        }
        let secret = Zeroizing::new(HEXLOWER.encode(key.expose()));
        let sql = "INSERT INTO signing_key (id, secret, signs_from) VALUES ($1, $2, $3)";
        let query = sqlx::query(sql)
            .bind(key.id.to_string())
            .bind(secret.as_str())
            .bind(key.signs_from);
        change.only(query).await
    }

    /// Forgets keys that nothing is signed with any more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn forget_signing_keys(&self, keys: &[KeyId]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        for key in keys {
            sqlx::query("DELETE FROM signing_key WHERE id = $1")
                .bind(key.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn api_token(row: &AnyRow) -> Result<ApiToken, StoreError> {
    let text = |name| row.try_get::<String, _>(name);
    let id = text("token_id")?;
    let corrupt = || StoreError::Corrupt {
        what: format!("an API token {id:?} that we have not written"),
    };
    Ok(ApiToken {
        id: id.parse().map_err(|_| corrupt())?,
        owner: text("account")?.parse().map_err(|_| corrupt())?,
        name: text("token_name")?,
        scopes: text("scopes")?.parse().map_err(|_| corrupt())?,
        digest: text("digest")?.parse().map_err(|_| corrupt())?,
        made_at: row.try_get("token_made_at")?,
        expires_at: row.try_get("expires_at")?,
        used_at: row.try_get("used_at")?,
    })
}

fn signing_key(row: &AnyRow) -> Result<SigningKey, StoreError> {
    let id: String = row.try_get("id")?;
    let corrupt = || StoreError::Corrupt {
        what: format!("a key {id:?} that we have not written"),
    };
    let text: Zeroizing<String> = Zeroizing::new(row.try_get("secret")?);
    let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| corrupt())?;
    let bytes = Zeroizing::new(bytes);
    let secret: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| corrupt())?;
    let signs_from = row.try_get("signs_from")?;
    Ok(SigningKey::new(
        id.parse().map_err(|_| corrupt())?,
        *secret,
        signs_from,
    ))
}
