//! What must never leave by an uplink in the clear, and what must stay local.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv6Net};
use patronus_model::kernel::{Environment, Foreign, RouteKey, RouteTarget};
use patronus_model::router::RemoteSite;

use crate::ownership::{Ownership, around, is_within, networks_of_uplinks, overlay_prefixes};

use super::{Sources, guard, ordinary};

/// What is guarded, and what is local within it. Worked out once: with 10,000 prefixes it takes as
/// long as everything else.
#[derive(Debug)]
pub(super) struct Guards {
    pub(super) guarded: BTreeSet<IpNet>,
    /// Networks served on this side which class tables leave to others, as a wider prefix there, or
    /// in the guard's table, would hide them.
    pub(super) local: BTreeSet<IpNet>,
    /// What the guard's table leaves to the main table.
    left: BTreeSet<IpNet>,
    /// What BGP neighbours outside the overlay serve. FRR's table is one that no rule leads to, so
    /// their routes stand in the guard's, which every packet asks that the overlay does not carry.
    neighbors: BTreeMap<IpNet, RouteTarget>,
}

impl Guards {
    pub(super) fn new(sources: Sources<'_>) -> Self {
        let ownership = sources.ownership;
        let guarded = guarded(sources);
        let neighbors = neighbors(ownership);
        let is_owned = |wide: &IpNet| ownership.owners.contains_key(wide);
        let is_overlay = |wide: &IpNet| guarded.contains(wide) || is_owned(wide);
        let mut local = BTreeSet::new();
        let mut left = BTreeSet::new();
        let served = local_networks(sources.environment, ownership);
        for prefix in served.filter(|prefix| prefix.prefix_len() > 0) {
            // The routes of neighbours are in no class table, nor those of the guard.
            if neighbors.contains_key(&prefix) {
                if is_within(&prefix, is_owned) {
                    local.insert(prefix);
                }
                continue;
            }
            if is_within(&prefix, is_overlay) {
                local.insert(prefix);
            }
            if is_within(&prefix, |wide| {
                is_overlay(wide) || neighbors.contains_key(wide)
            }) {
                left.insert(prefix);
            }
        }
        for end in tunnel_ends(sources) {
            // A neighbour that is nearer than anything of the overlay may lead there.
            let mut around = around(&end).rev();
            let nearest = around.find(|wide| is_overlay(wide) || neighbors.contains_key(wide));
            if nearest.is_some_and(|nearest| !neighbors.contains_key(&nearest)) {
                local.insert(end);
                left.insert(end);
            }
        }
        let link_local = |prefix: &&IpNet| neighbors.keys().any(|wide| wide.contains(*prefix));
        left.extend(LINK_LOCAL.iter().filter(link_local));
        Self {
            guarded,
            local,
            left,
            neighbors,
        }
    }

    /// Whether nothing differs but what is guarded.
    pub(super) fn serve_alike(&self, other: &Self) -> bool {
        self.local == other.local && self.left == other.left && self.neighbors == other.neighbors
    }

    /// The routes of the guard table.
    pub(super) fn routes(&self, table: u32) -> impl Iterator<Item = (RouteKey, RouteTarget)> + '_ {
        let guards = self.guarded.iter();
        let guards = guards.map(move |prefix| (guard(table, *prefix), RouteTarget::Unreachable));
        let left = self.left.iter();
        let left = left.map(move |prefix| (ordinary(table, *prefix), RouteTarget::Throw));
        let neighbors = self.neighbors.iter();
        // Of two with the same key, a map keeps the last.
        let neighbors = neighbors.map(move |(net, to)| (ordinary(table, *net), to.clone()));
        guards.chain(left).chain(neighbors)
    }
}

/// What is on every link, and so not told from what is elsewhere (RFC 4291 section 2.5.6).
const LINK_LOCAL: [IpNet; 1] = [IpNet::V6(Ipv6Net::new_assert(
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
    10,
))];

fn neighbors(ownership: &Ownership) -> BTreeMap<IpNet, RouteTarget> {
    let served = ownership.served.iter();
    let neighbors = served.filter_map(|(prefix, foreign)| match foreign {
        Foreign::Main(_) => None,
        Foreign::Neighbor(via) => Some((*prefix, RouteTarget::from(via.clone()))),
    });
    neighbors.collect()
}

/// What must never leave by an uplink in the clear. A default route is not among it: what it
/// carries is not for the overlay.
fn guarded(
    Sources {
        config,
        learned,
        ownership,
        ..
    }: Sources<'_>,
) -> BTreeSet<IpNet> {
    let owned = ownership
        .owners
        .keys()
        .copied()
        .filter(|prefix| prefix.prefix_len() > 0);
    // What was refused must neither cut hosts of our own off nor tunnels.
    let seen = ownership.guarded(learned);
    overlay_prefixes(config).chain(owned).chain(seen).collect()
}

/// The networks that are served on this side, except what an uplink is in by a lease while a site
/// owns it: that does not become local by the lease.
pub(crate) fn local_networks<'a>(
    environment: &'a Environment,
    ownership: &'a Ownership,
) -> impl Iterator<Item = IpNet> + 'a {
    let of_uplinks = networks_of_uplinks(environment);
    let taken = move |prefix: &IpNet| of_uplinks.contains(prefix) && is_owned(ownership, prefix);
    let served = ownership.served.keys().copied();
    served.filter(move |prefix| !taken(prefix))
}

/// Whether a site owns a prefix, or a wider one which contains it and is no default route.
fn is_owned(ownership: &Ownership, prefix: &IpNet) -> bool {
    is_within(prefix, |wide| {
        wide.prefix_len() > 0 && ownership.owners.contains_key(wide)
    })
}

/// The addresses where peers are spoken to, or heard, but for those within what the configuration
/// gives to a site. The kernel takes a tunnel's packet only if it finds a way back to its source (RFC
/// 3704), and looks for it without the tunnel's mark: what somebody announced by mistake, and
/// announces no more, must not cut tunnels.
fn tunnel_ends(sources: Sources<'_>) -> impl Iterator<Item = IpNet> + '_ {
    let remotes = &sources.config.remotes;
    let declared: BTreeSet<IpNet> = remotes
        .iter()
        .flat_map(RemoteSite::prefixes_and_addresses)
        .map(|prefix| prefix.trunc())
        .collect();
    let configured = remotes.iter().flat_map(|site| &site.uplinks);
    let configured = configured.filter_map(|uplink| uplink.endpoint);
    let hosts = configured.chain(sources.endpoints.values().copied());
    let hosts = hosts.map(|endpoint| IpNet::from(endpoint.ip()));
    hosts.filter(move |host| !is_within(host, |wide| declared.contains(wide)))
}

/// The addresses where peers are spoken to, as far as they lie within what belongs to the overlay:
/// they belong to an underlay all the same, unless a site owns them.
fn endpoints(sources: Sources<'_>) -> impl Iterator<Item = IpNet> + '_ {
    let config = sources.config;
    let uplinks = config.remotes.iter().flat_map(|site| &site.uplinks);
    let overlay: Vec<IpNet> = overlay_prefixes(config).collect();
    let hosts = uplinks
        .filter_map(|uplink| Some(IpNet::from(uplink.endpoint?.ip())))
        .filter(move |host| overlay.iter().any(|prefix| prefix.contains(host)));
    hosts.filter(move |host| !is_owned(sources.ownership, host))
}

/// What nftables keeps from leaving by an uplink in the clear, whatever the routing tables say:
/// only what the configuration names, as routes come and go without our table being rewritten. The
/// guard's routes cover what is learned. What is guarded may be as wide as 10.0.0.0/8, and the
/// network of an uplink, or a peer's address, lie within it: these are left out, unless a site owns
/// them.
pub(super) fn guarded_by_firewall(sources: Sources<'_>) -> BTreeSet<IpNet> {
    let config = sources.config;
    let declared = config
        .remotes
        .iter()
        .flat_map(RemoteSite::prefixes_and_addresses);
    let connected = networks_of_uplinks(sources.environment).into_iter();
    let connected = connected.filter(|prefix| !is_owned(sources.ownership, prefix));
    let holes: BTreeSet<IpNet> = connected.chain(endpoints(sources)).collect();
    let mut guarded = BTreeSet::new();
    for prefix in overlay_prefixes(config).chain(declared) {
        if prefix.prefix_len() > 0 {
            without(prefix.trunc(), &holes, &mut guarded);
        }
    }
    guarded
}

/// A prefix without the holes in it. A hole as wide as the prefix, or wider, leaves it whole:
/// whatever else is there, the prefix was named.
fn without(prefix: IpNet, holes: &BTreeSet<IpNet>, rest: &mut BTreeSet<IpNet>) {
    let mut within = holes
        .iter()
        .filter(|hole| prefix.contains(*hole) && **hole != prefix)
        .peekable();
    let halves = prefix.subnets(prefix.prefix_len().saturating_add(1));
    let (Some(_), Ok(halves)) = (within.peek(), halves) else {
        rest.insert(prefix);
        return;
    };
    let within: BTreeSet<IpNet> = within.copied().collect();
    for half in halves.filter(|half| !within.contains(half)) {
        without(half, &within, rest);
    }
}
