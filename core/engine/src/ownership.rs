//! Which site owns which prefix: what is configured, overridden by what BGP has learned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use patronus_model::bgp::BgpNeighbor;
use patronus_model::ids::{IfName, SiteNumber};
use patronus_model::kernel::{Environment, Foreign, Via};
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
    /// What is served on this side, by the main table or by BGP neighbours outside the overlay.
    pub served: BTreeMap<IpNet, Foreign>,
    /// What BGP neighbours beyond an uplink announce although it belongs to the overlay. It is not
    /// used: the overlay's packets would leave in the clear.
    pub astray: BTreeMap<IpNet, Via>,
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
        let hubs = config.remotes.iter().filter(|s| s.hub.is_some());
        let mut ownership = Self {
            belief: Belief(own_prefixes(config).collect()),
            hubs: hubs.map(|s| s.number).collect(),
            ..Self::default()
        };
        if let Some(environment) = environment {
            ownership.divide(config, learned, environment);
        }
        let of_uplinks = environment.map(networks_of_uplinks).unwrap_or_default();
        // A network that we are in by an uplink only, by a lease perhaps, takes nothing from a site.
        let is_served =
            |prefix: &IpNet| ownership.served.contains_key(prefix) && !of_uplinks.contains(prefix);
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
            (prefix, site, is_served(&prefix), refused)
        });
        let claims: Vec<_> = declared.chain(learned).collect();
        for (prefix, site, is_served, is_refused) in claims {
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

    /// Divides what is routed elsewhere into what is served on this side and what is astray.
    fn divide(&mut self, config: &RouterConfig, learned: &Learned, environment: &Environment) {
        let uplinks: BTreeSet<&IfName> = config.uplinks.iter().map(|it| &it.interface).collect();
        let mut overlay: Option<BTreeSet<IpNet>> = None;
        for (prefix, foreign) in &environment.foreign {
            let prefix = prefix.trunc();
            // Without a neighbour who could have said so, a site has named a next hop elsewhere.
            let told =
                |neighbor: &BgpNeighbor| neighbor.address.is_ipv4() == prefix.addr().is_ipv4();
            let is_told = config.bgp.neighbors.iter().any(told);
            if matches!(foreign, Foreign::Neighbor(_)) && !is_told {
                continue;
            }
            if let Foreign::Neighbor(via) = foreign
                && uplinks.contains(&via.interface)
            {
                let overlay = overlay.get_or_insert_with(|| {
                    let declared = config.remotes.iter().flat_map(declared);
                    let declared = declared.map(|(prefix, _)| prefix.trunc());
                    let all = overlay_prefixes(config).chain(declared);
                    all.chain(self.guarded(learned)).collect()
                });
                if is_within(&prefix, |wide| {
                    wide.prefix_len() > 0 && overlay.contains(wide)
                }) {
                    self.astray.insert(prefix, via.clone());
                    continue;
                }
            }
            self.served.insert(prefix, foreign.clone());
        }
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

    /// Whether a site is a hub.
    #[must_use]
    pub fn is_hub(&self, site: SiteNumber) -> bool {
        self.hubs.contains(&site)
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

/// What belongs to the overlay whatever anybody announces. Our own LANs do: a part of them that is
/// not there at present must not be sought on the Internet.
pub(crate) fn overlay_prefixes(config: &RouterConfig) -> impl Iterator<Item = IpNet> + '_ {
    config
        .overlay
        .networks()
        .chain(config.overlay.prefixes.iter().copied())
        .chain(own_prefixes(config))
}

/// Whether a prefix, or a wider one that contains it, is of some kind. Every wider prefix is asked
/// for rather than every one of the kind looked at: these may be many.
pub(crate) fn is_within(prefix: &IpNet, is: impl Fn(&IpNet) -> bool) -> bool {
    around(prefix).any(|wide| is(&wide))
}

/// The prefixes that contain a prefix, the widest first and itself last.
pub(crate) fn around(prefix: &IpNet) -> impl DoubleEndedIterator<Item = IpNet> + use<> {
    let prefix = *prefix;
    (0..=prefix.prefix_len())
        .filter_map(move |length| Some(IpNet::new(prefix.addr(), length).ok()?.trunc()))
}

/// What the configuration says that a site owns: its overlay addresses and its prefixes.
fn declared(site: &RemoteSite) -> impl Iterator<Item = (IpNet, SiteNumber)> + '_ {
    site.prefixes_and_addresses()
        .map(|prefix| (prefix, site.number))
}
