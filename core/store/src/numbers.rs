//! Numbers that were given, and what routers have said of their uplinks.

use std::collections::BTreeMap;

use patronus_model::ids::{SiteId, Slot, UplinkName};
use patronus_model::intent::{Allocations, Facts, UplinkFacts};
use patronus_model::layout::HubIndex;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::Millis;
use crate::database::Store;
use crate::error::{StoreError, parsed};

/// The pool of site numbers.
const SITES: &str = "site";

/// The pool of hub numbers.
const HUBS: &str = "hub";

/// What the pools of slots begin with, one for each site.
const SLOTS: &str = "slot/";

impl Store {
    /// All numbers that were given.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn allocations(&self) -> Result<Allocations, StoreError> {
        let rows = sqlx::query("SELECT pool, holder, number FROM allocation")
            .fetch_all(&self.pool)
            .await?;
        let mut all = Allocations::default();
        for row in &rows {
            read(row, &mut all)?;
        }
        Ok(all)
    }

    /// Gives a number of a site that is gone for ever back to its pool, and those of its uplinks.
    /// Says whether it had any.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn release(&self, site: &SiteId) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let done = sqlx::query(
            "DELETE FROM allocation WHERE (pool IN ('site', 'hub') AND holder = $1) OR pool = $2",
        )
        .bind(site.as_str())
        .bind(format!("{SLOTS}{site}"))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// What all routers have said.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be.
    pub async fn facts(&self) -> Result<Facts, StoreError> {
        let rows = sqlx::query("SELECT site, uplink, public_key, address FROM uplink_fact")
            .fetch_all(&self.pool)
            .await?;
        let uplinks = rows.iter().map(fact).collect::<Result<_, _>>()?;
        Ok(Facts { uplinks })
    }

    /// Keeps what a router says of its uplinks, in place of what it said before.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn tell(
        &self,
        site: &SiteId,
        uplinks: &BTreeMap<UplinkName, UplinkFacts>,
        at: Millis,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM uplink_fact WHERE site = $1")
            .bind(site.as_str())
            .execute(&mut *transaction)
            .await?;
        for (uplink, facts) in uplinks {
            sqlx::query(
                "INSERT INTO uplink_fact (site, uplink, public_key, address, told_at) \
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(site.as_str())
            .bind(uplink.as_str())
            .bind(facts.public_key.to_string())
            .bind(facts.address.map(|address| address.to_string()))
            .bind(at)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Keeps the numbers that are new in `all`. A slot that went from one uplink to another is taken
/// from the first.
pub(crate) async fn keep(
    transaction: &mut Transaction<'_, Any>,
    all: &Allocations,
) -> Result<(), StoreError> {
    let sites = all.numbers.iter();
    let sites = sites.map(|(id, number)| (SITES.to_owned(), id.to_string(), i64::from(*number)));
    let hubs = all.hubs.iter();
    let hubs = hubs.map(|(id, index)| (HUBS.to_owned(), id.to_string(), i64::from(index.get())));
    let slots = all.slots.iter().map(|((site, uplink), slot)| {
        let pool = format!("{SLOTS}{site}");
        (pool, uplink.to_string(), i64::from(slot.get()))
    });
    let rows = sqlx::query("SELECT pool, holder, number FROM allocation")
        .fetch_all(&mut **transaction)
        .await?;
    let mut known = BTreeMap::new();
    for row in rows {
        let (pool, holder): (String, String) = (row.try_get("pool")?, row.try_get("holder")?);
        let number: i64 = row.try_get("number")?;
        known.insert((pool, holder), number);
    }
    for (pool, holder, number) in sites.chain(hubs).chain(slots) {
        if known.get(&(pool.clone(), holder.clone())) == Some(&number) {
            continue;
        }
        sqlx::query("DELETE FROM allocation WHERE pool = $1 AND (holder = $2 OR number = $3)")
            .bind(&pool)
            .bind(&holder)
            .bind(number)
            .execute(&mut **transaction)
            .await?;
        sqlx::query("INSERT INTO allocation (pool, holder, number) VALUES ($1, $2, $3)")
            .bind(&pool)
            .bind(&holder)
            .bind(number)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

fn read(row: &AnyRow, all: &mut Allocations) -> Result<(), StoreError> {
    let (pool, holder): (String, String) = (row.try_get("pool")?, row.try_get("holder")?);
    let number: i64 = row.try_get("number")?;
    let corrupt = || StoreError::Corrupt {
        what: format!("the number {number} of {holder:?} in the pool {pool:?}"),
    };
    let small = u8::try_from(number).ok();
    match pool.strip_prefix(SLOTS) {
        Some(site) => {
            let slot = small.and_then(|number| Slot::new(number).ok());
            let key = (parsed(site, "site")?, parsed(&holder, "uplink")?);
            all.slots.insert(key, slot.ok_or_else(corrupt)?);
        }
        None if pool == HUBS => {
            let index = small.and_then(|number| HubIndex::new(number).ok());
            all.hubs
                .insert(parsed(&holder, "site")?, index.ok_or_else(corrupt)?);
        }
        None if pool == SITES => {
            let number = u16::try_from(number).map_err(|_| corrupt())?;
            all.numbers.insert(parsed(&holder, "site")?, number);
        }
        None => return Err(corrupt()),
    }
    Ok(())
}

fn fact(row: &AnyRow) -> Result<((SiteId, UplinkName), UplinkFacts), StoreError> {
    let (site, uplink): (String, String) = (row.try_get("site")?, row.try_get("uplink")?);
    let key: String = row.try_get("public_key")?;
    let address: Option<String> = row.try_get("address")?;
    let facts = UplinkFacts {
        public_key: parsed(&key, "public key")?,
        address: address.map(|text| parsed(&text, "address")).transpose()?,
    };
    Ok(((parsed(&site, "site")?, parsed(&uplink, "uplink")?), facts))
}
