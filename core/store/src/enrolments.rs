//! Tokens with which routers are enrolled, the routers that were, and their certificates.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use patronus_access::audit::{Actor, Event, Outcome};
use patronus_identity::{
    Enrolment, Fingerprint, NotRedeemed, Revocations, Serial, SiteCertificate, TokenId,
    TokenRecord, TokenSecret, TokenState, UnixTime,
};
use patronus_model::ids::SiteId;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::Millis;
use crate::audit::Audited;
use crate::database::Store;
use crate::error::{StoreError, parsed};

/// A token for the router of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// What is kept of it.
    pub record: TokenRecord,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: UnixTime,
    /// Whether a person has to approve the router that shows it.
    pub approval: bool,
}

/// A router that was enrolled, or wants to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledRouter {
    /// Its site.
    pub site: SiteId,
    /// Which router of the site it is.
    pub enrolment: Enrolment,
    /// The key that it made.
    pub key: Fingerprint,
    /// The token that it showed.
    pub token: TokenId,
    /// From where.
    pub address: IpAddr,
    /// When.
    pub asked_at: UnixTime,
    /// Whether it is the router of its site.
    pub standing: Standing,
}

/// Whether somebody is the router of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A person has to approve it.
    Waiting,
    /// It is.
    Approved {
        /// Since when.
        at: UnixTime,
    },
    /// It was, or was refused.
    Ended {
        /// Since when it is not.
        at: UnixTime,
    },
}

/// A router that shows a token.
#[derive(Clone, Copy, Debug)]
pub struct Redemption<'a> {
    /// Which token.
    pub token: TokenId,
    /// What it proves itself by.
    pub secret: &'a TokenSecret,
    /// The key of the router.
    pub key: Fingerprint,
    /// From where.
    pub address: IpAddr,
    /// When.
    pub at: UnixTime,
}

const TOKEN: &str = "id, site, hash, made_by, made_at, expires_at, approval, redeemed_by, \
     redeemed_at, withdrawn_at";

const ROUTER: &str = "site, number, key, token, address, asked_at, approved_at, ended_at";

impl Store {
    /// Keeps a token.
    ///
    /// # Errors
    /// The database does not answer, or has a token with this id.
    pub async fn add_enrolment_token(
        &self,
        token: &EnrolmentToken,
        event: &Event,
    ) -> Result<(), StoreError> {
        let record = &token.record;
        let mut change = self.audited(event).await?;
        let query = sqlx::query(
            "INSERT INTO enrolment_token (id, site, hash, made_by, made_at, expires_at, approval) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(record.id.to_string())
        .bind(record.site.as_str())
        .bind(HEXLOWER.encode(&record.hash))
        .bind(&token.made_by)
        .bind(millis(token.made_at))
        .bind(millis(record.expires))
        .bind(i64::from(token.approval));
        change.make(query).await?;
        change.commit().await.map(drop)
    }

    /// The tokens of a site or of all, also those that are used up, the newest first.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn enrolment_tokens(
        &self,
        site: Option<&SiteId>,
    ) -> Result<Vec<EnrolmentToken>, StoreError> {
        let sql = format!(
            "SELECT {TOKEN} FROM enrolment_token WHERE $1 = '' OR site = $1 \
             ORDER BY made_at DESC, id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(site.map_or("", SiteId::as_str))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(token).collect()
    }

    /// Withdraws a token that nobody has shown, and says whether it was one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn withdraw_enrolment_token(
        &self,
        id: TokenId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE enrolment_token SET withdrawn_at = $2 \
             WHERE id = $1 AND withdrawn_at IS NULL AND redeemed_at IS NULL",
        );
        let query = query.bind(id.to_string()).bind(event.at);
        self.audited(event).await?.only(query).await
    }

    /// Enrols the router that shows a token. If it is asked again for the same key, in case the answer
    /// was lost, the answer is the same. Once it is approved, no earlier router of the site counts.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be. The inner error is for the router.
    pub async fn redeem(
        &self,
        ask: &Redemption<'_>,
    ) -> Result<Result<EnrolledRouter, NotRedeemed>, StoreError> {
        let mut transaction = self.write().await?;
        let Some(known) = find_token(&mut transaction, ask.token).await? else {
            return Ok(Err(NotRedeemed::Unknown));
        };
        let id = ask.token.to_string();
        let state = match known.record.redeem(ask.token, ask.secret, ask.key, ask.at) {
            Ok(state) => state,
            Err(refused) => return Ok(Err(refused)),
        };
        if state == known.record.state {
            let router = find_router(&mut transaction, ask.token).await?;
            return router.map(Ok).ok_or_else(|| StoreError::Corrupt {
                what: format!("the token {id}, with which somebody was enrolled and nobody is"),
            });
        }
        let site = known.record.site.clone();
        let sql = "SELECT COALESCE(MAX(number), 0) AS number FROM enrolment WHERE site = $1";
        let last = sqlx::query(sql).bind(site.as_str());
        let last = last.fetch_one(&mut *transaction).await?;
        let number = enrolment(last.try_get::<i64, _>("number")?.saturating_add(1))?;
        let event = Event {
            at: millis(ask.at),
            actor: Actor::Router(site.to_string()),
            address: Some(ask.address),
            action: "router.enrol".to_owned(),
            object: format!("site/{site}"),
            outcome: Outcome::Done,
            detail: format!("router {number}, key {}, token {id}", ask.key),
        };
        let mut change = Audited::within(transaction, &event);
        let used = sqlx::query(
            "UPDATE enrolment_token SET redeemed_by = $2, redeemed_at = $3 WHERE id = $1",
        )
        .bind(&id)
        .bind(ask.key.to_string())
        .bind(event.at);
        change.make(used).await?;
        let asked = sqlx::query(
            "INSERT INTO enrolment (site, number, key, token, address, asked_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(site.as_str())
        .bind(i64::from(number.get()))
        .bind(ask.key.to_string())
        .bind(&id)
        .bind(ask.address.to_string())
        .bind(event.at);
        change.make(asked).await?;
        if !known.approval {
            count_from(&mut change, &site, number, event.at).await?;
        }
        change.commit().await?;
        Ok(Ok(EnrolledRouter {
            site,
            enrolment: number,
            key: ask.key,
            token: ask.token,
            address: ask.address,
            asked_at: ask.at,
            standing: match known.approval {
                true => Standing::Waiting,
                false => Standing::Approved { at: ask.at },
            },
        }))
    }

    /// The routers of a site or of all, the newest first, also those that count no more.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn enrolled(&self, site: Option<&SiteId>) -> Result<Vec<EnrolledRouter>, StoreError> {
        let sql = format!(
            "SELECT {ROUTER} FROM enrolment WHERE $1 = '' OR site = $1 ORDER BY site, number DESC"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(site.map_or("", SiteId::as_str))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(router).collect()
    }

    /// Approves a router that waits for it, and says whether it did. No earlier one of the site counts
    /// then.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn approve_router(
        &self,
        site: &SiteId,
        number: Enrolment,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let mut change = self.audited(event).await?;
        // An earlier one that was left waiting does not take the place of a later one.
        let later = "SELECT number FROM enrolment \
             WHERE site = $1 AND number > $2 AND approved_at IS NOT NULL";
        let later = sqlx::query(later)
            .bind(site.as_str())
            .bind(i64::from(number.get()))
            .fetch_optional(&mut *change.transaction)
            .await?;
        if later.is_some() || count_from(&mut change, site, number, event.at).await? == 0 {
            return Ok(false);
        }
        change.commit().await?;
        Ok(true)
    }

    /// Ends a router that waits or counts, and says whether it was one. Its certificates count no
    /// more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end_router(
        &self,
        site: &SiteId,
        number: Enrolment,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE enrolment SET ended_at = $3 \
             WHERE site = $1 AND number = $2 AND ended_at IS NULL",
        )
        .bind(site.as_str())
        .bind(i64::from(number.get()))
        .bind(event.at);
        self.audited(event).await?.only(query).await
    }

    /// Notes that a router was given a certificate.
    ///
    /// # Errors
    /// The database does not answer, or knows no such router.
    pub async fn note_certificate(
        &self,
        certificate: &SiteCertificate,
        event: &Event,
    ) -> Result<(), StoreError> {
        let mut change = self.audited(event).await?;
        let query = sqlx::query(
            "INSERT INTO certificate (serial, site, enrolment, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(certificate.serial.to_string())
        .bind(certificate.site.as_str())
        .bind(i64::from(certificate.enrolment.get()))
        .bind(millis(certificate.not_after));
        change.make(query).await?;
        change.commit().await.map(drop)
    }

    /// Revokes one certificate, and says whether it was one that counted.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn revoke_certificate(
        &self,
        serial: &Serial,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE certificate SET revoked_at = $2 WHERE serial = $1 AND revoked_at IS NULL";
        let query = sqlx::query(sql).bind(serial.to_string()).bind(event.at);
        self.audited(event).await?.only(query).await
    }

    /// All that is revoked and would count otherwise.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn revocations(&self, now: UnixTime) -> Result<Revocations, StoreError> {
        let mut revocations = Revocations::default();
        // Who was never approved has no certificate, and is no reason against an earlier one.
        let ended = "SELECT site, MAX(number) AS number FROM enrolment \
             WHERE approved_at IS NOT NULL AND ended_at IS NOT NULL GROUP BY site";
        for row in sqlx::query(ended).fetch_all(&self.pool).await? {
            let site = parsed(row.try_get("site")?, "site")?;
            let last = enrolment(row.try_get("number")?)?;
            revocations.revoke_before(site, last.next());
        }
        let revoked = "SELECT serial FROM certificate \
             WHERE revoked_at IS NOT NULL AND expires_at > $1";
        let rows = sqlx::query(revoked).bind(millis(now));
        for row in rows.fetch_all(&self.pool).await? {
            revocations.revoke(parsed(row.try_get("serial")?, "serial number")?);
        }
        Ok(revocations)
    }

    /// The epoch of the generations that there are; 0 before one was begun.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn epoch(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT COALESCE(MAX(number), 0) AS number FROM epoch");
        let row = row.fetch_one(&self.pool).await?;
        let number: i64 = row.try_get("number")?;
        u64::try_from(number).map_err(|_| StoreError::Corrupt {
            what: format!("epoch {number}"),
        })
    }

    /// Begins an epoch that is later than another one, which some router has seen, and says which.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn begin_epoch(&self, after: u64, event: &Event) -> Result<u64, StoreError> {
        let mut change = self.audited(event).await?;
        let row = sqlx::query("SELECT COALESCE(MAX(number), 0) AS number FROM epoch");
        let row = row.fetch_one(&mut *change.transaction).await?;
        let after = i64::try_from(after).unwrap_or(i64::MAX - 1);
        let number = row
            .try_get::<i64, _>("number")?
            .max(after)
            .saturating_add(1);
        let query = sqlx::query("INSERT INTO epoch (number) VALUES ($1)").bind(number);
        change.make(query).await?;
        change.commit().await?;
        Ok(u64::try_from(number).unwrap_or_default())
    }
}

/// Approves a router that waits, and ends all earlier ones of its site; says how many it approved.
async fn count_from(
    change: &mut Audited<'_>,
    site: &SiteId,
    number: Enrolment,
    at: Millis,
) -> Result<u64, StoreError> {
    let number = i64::from(number.get());
    let approved = sqlx::query(
        "UPDATE enrolment SET approved_at = $3 \
         WHERE site = $1 AND number = $2 AND approved_at IS NULL AND ended_at IS NULL",
    );
    let approved = approved.bind(site.as_str()).bind(number).bind(at);
    let approved = change.make(approved).await?;
    let earlier = sqlx::query(
        "UPDATE enrolment SET ended_at = $3 WHERE site = $1 AND number < $2 AND ended_at IS NULL",
    );
    let earlier = earlier.bind(site.as_str()).bind(number).bind(at);
    change.make(earlier).await?;
    Ok(approved)
}

async fn find_token(
    transaction: &mut Transaction<'_, Any>,
    id: TokenId,
) -> Result<Option<EnrolmentToken>, StoreError> {
    let sql = format!("SELECT {TOKEN} FROM enrolment_token WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_optional(&mut **transaction)
        .await?;
    row.as_ref().map(token).transpose()
}

async fn find_router(
    transaction: &mut Transaction<'_, Any>,
    token: TokenId,
) -> Result<Option<EnrolledRouter>, StoreError> {
    let sql = format!("SELECT {ROUTER} FROM enrolment WHERE token = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(token.to_string())
        .fetch_optional(&mut **transaction)
        .await?;
    row.as_ref().map(router).transpose()
}

fn token(row: &AnyRow) -> Result<EnrolmentToken, StoreError> {
    let text = |column| row.try_get::<&str, _>(column);
    let redeemed: Option<Millis> = row.try_get("redeemed_at")?;
    let withdrawn: Option<Millis> = row.try_get("withdrawn_at")?;
    let state = match (redeemed, withdrawn) {
        (Some(at), _) => TokenState::Redeemed {
            at: seconds(at)?,
            key: Fingerprint::from_bytes(hexadecimal(text("redeemed_by")?, "key")?),
        },
        (None, Some(at)) => TokenState::Withdrawn { at: seconds(at)? },
        (None, None) => TokenState::Unused,
    };
    Ok(EnrolmentToken {
        record: TokenRecord {
            id: TokenId::from_bytes(hexadecimal(text("id")?, "token")?),
            site: parsed(text("site")?, "site")?,
            hash: hexadecimal(text("hash")?, "hash of a token")?,
            expires: seconds(row.try_get("expires_at")?)?,
            state,
        },
        made_by: text("made_by")?.to_owned(),
        made_at: seconds(row.try_get("made_at")?)?,
        approval: row.try_get::<i64, _>("approval")? != 0,
    })
}

fn router(row: &AnyRow) -> Result<EnrolledRouter, StoreError> {
    let text = |column| row.try_get::<&str, _>(column);
    let approved: Option<Millis> = row.try_get("approved_at")?;
    let ended: Option<Millis> = row.try_get("ended_at")?;
    let standing = match (approved, ended) {
        (_, Some(at)) => Standing::Ended { at: seconds(at)? },
        (Some(at), None) => Standing::Approved { at: seconds(at)? },
        (None, None) => Standing::Waiting,
    };
    Ok(EnrolledRouter {
        site: parsed(text("site")?, "site")?,
        enrolment: enrolment(row.try_get("number")?)?,
        key: Fingerprint::from_bytes(hexadecimal(text("key")?, "key")?),
        token: TokenId::from_bytes(hexadecimal(text("token")?, "token")?),
        address: parsed(text("address")?, "address")?,
        asked_at: seconds(row.try_get("asked_at")?)?,
        standing,
    })
}

fn hexadecimal<const N: usize>(text: &str, what: &str) -> Result<[u8; N], StoreError> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| StoreError::Corrupt {
        what: format!("the {what} {text:?}"),
    })
}

fn enrolment(number: i64) -> Result<Enrolment, StoreError> {
    let parsed = u32::try_from(number).ok().and_then(Enrolment::new);
    parsed.ok_or_else(|| StoreError::Corrupt {
        what: format!("router {number} of a site"),
    })
}

fn millis(time: UnixTime) -> Millis {
    Millis::try_from(time.as_seconds())
        .unwrap_or(Millis::MAX)
        .saturating_mul(1000)
}

fn seconds(time: Millis) -> Result<UnixTime, StoreError> {
    let seconds = u64::try_from(time / 1000).map_err(|_| StoreError::Corrupt {
        what: format!("the time {time}"),
    })?;
    Ok(UnixTime::from_seconds(seconds))
}
