//! Which site owns which prefix: what is configured, overridden by what BGP has learned.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use patronus_model::ids::SiteNumber;
use patronus_model::router::{RemoteSite, RouterConfig};

use crate::learned::Learned;

/// Prefixes of the overlay and whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Each prefix that is routed into the overlay.
    pub owners: BTreeMap<IpNet, SiteNumber>,
    /// Prefixes that two ordinary sites claim: (prefix, owner, loser).
    pub conflicts: BTreeSet<(IpNet, SiteNumber, SiteNumber)>,
}

impl Ownership {
    /// Works it out.
    #[must_use]
    pub fn new(config: &RouterConfig, learned: &Learned) -> Self {
        let mut ownership = Self::default();
        let own: BTreeSet<IpNet> = config
            .lans
            .iter()
            .flat_map(|lan| lan.prefixes.iter().copied())
            .collect();
        let hubs: BTreeSet<SiteNumber> = config
            .remotes
            .iter()
            .filter(|s| s.hub.is_some())
            .map(|s| s.number)
            .collect();
        let declared = config.remotes.iter().flat_map(declared);
        for (prefix, site) in declared.chain(learned.routes()) {
            if own.contains(&prefix) {
                continue;
            }
            let Some(old) = ownership.owners.insert(prefix, site) else {
                continue;
            };
            if old != site && !hubs.contains(&old) && !hubs.contains(&site) {
                ownership.conflicts.insert((prefix, site, old));
            }
        }
        ownership
    }

    /// What a peer may use as source and is sent: the prefixes of its site, and those declared for
    /// it which at present are routed over a hub (they return directly as soon as BGP says so, and
    /// packets that still come directly must not be dropped meanwhile).
    #[must_use]
    pub fn allowed(&self, config: &RouterConfig, site: &RemoteSite) -> BTreeSet<IpNet> {
        let is_hub = |number: SiteNumber| {
            config
                .remotes
                .iter()
                .any(|s| s.number == number && s.hub.is_some())
        };
        let owned = self
            .owners
            .iter()
            .filter(|(_, owner)| **owner == site.number)
            .map(|(p, _)| *p);
        let over_hub = declared(site)
            .map(|(prefix, _)| prefix)
            .filter(|prefix| self.owners.get(prefix).is_some_and(|owner| is_hub(*owner)));
        owned.chain(over_hub).collect()
    }
}

/// What the configuration says that a site owns: its overlay addresses and its prefixes.
fn declared(site: &RemoteSite) -> impl Iterator<Item = (IpNet, SiteNumber)> + '_ {
    site.prefixes_and_addresses()
        .map(|prefix| (prefix, site.number))
}
