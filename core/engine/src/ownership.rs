//! Which site owns which prefix: what is configured, overridden by what BGP has learned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use patronus_model::ids::SiteNumber;
use patronus_model::kernel::Environment;
use patronus_model::router::{RemoteSite, RouterConfig};

use crate::learned::Learned;

/// Prefixes of the overlay and whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Each prefix that is routed into the overlay.
    pub owners: BTreeMap<IpNet, SiteNumber>,
    /// Prefixes that one ordinary site announces and another one is configured to have: (prefix,
    /// owner, loser). Of two that both announce one, bgpd hands on the best path only.
    pub conflicts: BTreeSet<(IpNet, SiteNumber, SiteNumber)>,
    /// Prefixes that a site claims and nobody believes: see [`Belief`].
    pub refused: BTreeSet<(IpNet, SiteNumber)>,
    belief: Belief,
    /// The same as `owners`, by site.
    by_site: BTreeMap<SiteNumber, BTreeSet<IpNet>>,
    hubs: BTreeSet<SiteNumber>,
}

impl Ownership {
    /// Works it out.
    #[must_use]
    pub fn new(
        config: &RouterConfig,
        learned: &Learned,
        environment: Option<&Environment>,
    ) -> Self {
        let mut ownership = Self::default();
        let served = environment.map(served).unwrap_or_default();
        ownership.belief = Belief(own_prefixes(config).collect());
        let hubs = config.remotes.iter().filter(|s| s.hub.is_some());
        ownership.hubs = hubs.map(|s| s.number).collect();
        let belief = &ownership.belief;
        let declared = config.remotes.iter().flat_map(declared);
        let declared = declared.map(|(prefix, site)| {
            let hub = ownership.hubs.contains(&site);
            (prefix, site, false, belief.is_ours(&prefix, hub))
        });
        let learned = learned.routes();
        let learned = learned.map(|(prefix, site)| {
            let hub = ownership.hubs.contains(&site);
            let refused = !belief.is_believed(&prefix, hub);
            (prefix, site, served.contains(&prefix), refused)
        });
        for (prefix, site, is_served, is_refused) in declared.chain(learned) {
            if is_refused {
                ownership.refused.insert((prefix, site));
                continue;
            }
            if is_served {
                continue;
            }
            let Some(old) = ownership.owners.insert(prefix, site) else {
                continue;
            };
            let hub = |site| ownership.hubs.contains(site);
            if old != site && !hub(&old) && !hub(&site) {
                ownership.conflicts.insert((prefix, site, old));
            }
        }
        // Sorted lists become sets much faster than prefixes that are put in one by one.
        let mut lists: BTreeMap<SiteNumber, Vec<IpNet>> = BTreeMap::new();
        for (prefix, site) in &ownership.owners {
            lists.entry(*site).or_default().push(*prefix);
        }
        let sets = lists.into_iter();
        ownership.by_site = sets
            .map(|(site, list)| (site, list.into_iter().collect()))
            .collect();
        ownership
    }

    /// Of what was announced and need not be any more, what must not leave in the clear: what was
    /// never believed may.
    pub fn guarded<'a>(&'a self, learned: &'a Learned) -> impl Iterator<Item = IpNet> + 'a {
        let seen = learned.seen();
        // Of whom it was, nobody may know: then it may have been a hub.
        let hub = |site: Option<SiteNumber>| site.is_none_or(|site| self.hubs.contains(&site));
        seen.filter(move |(prefix, site)| self.belief.is_believed(prefix, hub(*site)))
            .map(|(prefix, _)| prefix)
    }

    /// The sites that own something.
    pub fn sites(&self) -> impl Iterator<Item = SiteNumber> + '_ {
        self.by_site.keys().copied()
    }

    /// Whether a site that is no hub may use this address as source.
    #[must_use]
    pub fn is_allowed_to_mesh(&self, config: &RouterConfig, address: IpAddr) -> bool {
        let widest_first = (0..=IpNet::from(address).prefix_len()).map(|length| {
            let net = IpNet::new(address, length).map(|net| net.trunc());
            net.ok().and_then(|net| self.owners.get(&net))
        });
        let owned = widest_first
            .flatten()
            .any(|owner| !self.hubs.contains(owner));
        let mesh = config.remotes.iter().filter(|site| site.hub.is_none());
        let mut declared = mesh.flat_map(RemoteSite::prefixes_and_addresses);
        owned || declared.any(|prefix| prefix.contains(&address))
    }

    /// What a peer may use as source and is sent: the prefixes of its site, and those declared for
    /// it which at present are routed over a hub (they return directly as soon as BGP says so, and
    /// packets that still come directly must not be dropped meanwhile).
    #[must_use]
    pub fn allowed(&self, site: &RemoteSite) -> BTreeSet<IpNet> {
        let over_hub = declared(site).map(|(prefix, _)| prefix).filter(|prefix| {
            let owner = self.owners.get(prefix);
            owner.is_some_and(|owner| self.hubs.contains(owner))
        });
        let mut allowed = self.by_site.get(&site.number).cloned().unwrap_or_default();
        allowed.extend(over_hub);
        allowed
    }
}

/// Which prefixes a site is believed to have when BGP says so, given those of our LANs. None is
/// within one of our LANs, nor around one, if the site is no hub: then it could use our addresses as
/// its own. None is of addresses that no other host can have (RFC 6890).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Belief(Vec<IpNet>);

impl Belief {
    fn is_ours(&self, prefix: &IpNet, hub: bool) -> bool {
        let mut own = self.0.iter();
        own.any(|lan| lan.contains(prefix) || (!hub && prefix.contains(lan)))
    }

    fn is_believed(&self, prefix: &IpNet, hub: bool) -> bool {
        !(self.is_ours(prefix, hub) || is_special(prefix))
    }
}

fn is_special(prefix: &IpNet) -> bool {
    let address = prefix.addr();
    let of_family = match address {
        IpAddr::V4(v4) => {
            let first = v4.octets().first().copied();
            prefix.prefix_len() > 0
                && (first == Some(0) || first >= Some(240) || v4.is_link_local())
        }
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    of_family || address.is_loopback() || address.is_multicast()
}

/// What is served on this side, which therefore is no site's for as long as it is, whatever BGP
/// says: two sites may have the same provider behind them. A network that we are in by an uplink
/// only, by a lease perhaps, is not among it.
pub(crate) fn served(environment: &Environment) -> BTreeSet<IpNet> {
    let of_uplinks = networks_of_uplinks(environment);
    let foreign = environment.foreign.keys().map(IpNet::trunc);
    foreign
        .filter(|prefix| !of_uplinks.contains(prefix))
        .collect()
}

/// The networks that uplinks are in, by configuration or by DHCP.
pub(crate) fn networks_of_uplinks(environment: &Environment) -> BTreeSet<IpNet> {
    let uplinks = environment.uplinks.values();
    uplinks
        .flat_map(|state| state.addresses.iter().map(IpNet::trunc))
        .collect()
}

/// The prefixes of our LANs.
pub(crate) fn own_prefixes(config: &RouterConfig) -> impl Iterator<Item = IpNet> + '_ {
    let lans = config.lans.iter();
    lans.flat_map(|lan| lan.prefixes.iter().map(IpNet::trunc))
}

/// What the configuration says that a site owns: its overlay addresses and its prefixes.
fn declared(site: &RemoteSite) -> impl Iterator<Item = (IpNet, SiteNumber)> + '_ {
    site.prefixes_and_addresses()
        .map(|prefix| (prefix, site.number))
}
