//! Bringing our table into the kernel, and seeing whether it is still there.

use std::time::Duration;

use patronus_model::firewall::Firewall;

use super::render::{TABLE, script};
use crate::command::run;
use crate::error::Error;

/// `nft` takes some 10 ms; sets with ten thousand elements a second.
const LIMIT: Duration = Duration::from_secs(30);

/// What this process applied, and how `nft` lists it.
#[derive(Default)]
pub(crate) struct Nftables {
    applied: Option<(Firewall, String)>,
}

impl Nftables {
    /// Replaces our table in one transaction: no packet sees half of it.
    pub(crate) fn put(&mut self, firewall: &Firewall) -> Result<(), Error> {
        self.applied = None;
        run("nft", &["-f", "-"], script(firewall)?, LIMIT)?;
        self.applied = listing()?.map(|text| (firewall.clone(), text));
        Ok(())
    }

    /// Deletes our table. One that is not there is deleted already.
    pub(crate) fn delete(&mut self) -> Result<(), Error> {
        self.applied = None;
        let both = format!("add table {TABLE}\ndelete table {TABLE}\n");
        run("nft", &["-f", "-"], both, LIMIT).map(drop)
    }

    /// Whether there is a table of ours, whoever made it and whatever is in it.
    pub(crate) fn is_there() -> Result<bool, Error> {
        Ok(listing()?.is_some())
    }

    /// What this process applied, if the kernel still has it unaltered.
    ///
    /// A table of an earlier process cannot be turned back into a [`Firewall`]; it is reported as
    /// missing, so that it is replaced, which no packet notices.
    pub(crate) fn observe(&self) -> Option<Firewall> {
        let (firewall, expected) = self.applied.as_ref()?;
        match listing() {
            Ok(Some(text)) if text == *expected => Some(firewall.clone()),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(error = %error.report(), "the nftables table cannot be listed");
                None
            }
        }
    }
}

/// Our table without counters and the like; `None` when there is none.
fn listing() -> Result<Option<String>, Error> {
    let mut arguments = vec!["-s", "list", "table"];
    arguments.extend(TABLE.split(' '));
    match run("nft", &arguments, String::new(), LIMIT) {
        Ok(text) => Ok(Some(text)),
        Err(Error::Command { output, .. }) if output.contains("No such file") => Ok(None),
        Err(error) => Err(error),
    }
}
