//! What must never leave by an uplink in the clear, and what must stay local.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use patronus_model::kernel::{Family, RouteTarget};
use patronus_model::router::RouterConfig;

use super::{Routes, Sources, guard, ordinary};

pub(super) fn guard_routes(sources: Sources<'_>, routes: &mut Routes) {
    let table = sources.config.layout.guard_table();
    for prefix in guarded(sources) {
        routes.insert(guard(table, prefix), RouteTarget::Unreachable);
    }
    for prefix in local_exceptions(sources) {
        routes.insert(ordinary(table, prefix), RouteTarget::Throw);
    }
}

/// What must never leave by an uplink in the clear. A default route is not among it: what it
/// carries is not for the overlay.
pub(super) fn guarded(
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
    overlay_prefixes(config)
        .chain(owned)
        .chain(learned.seen())
        .collect()
}

/// What belongs to the overlay whatever anybody announces. Our own LANs do: a part of them that is
/// not there at present must not be sought on the Internet.
pub(crate) fn overlay_prefixes(config: &RouterConfig) -> impl Iterator<Item = IpNet> + '_ {
    let lans = config
        .lans
        .iter()
        .flat_map(|lan| lan.prefixes.iter().map(IpNet::trunc));
    config
        .overlay
        .networks()
        .chain(config.overlay.prefixes.iter().copied())
        .chain(lans)
}

/// Networks that the main table serves, where a wider prefix of the overlay would hide them.
pub(super) fn local_exceptions(sources: Sources<'_>) -> BTreeSet<IpNet> {
    let Sources {
        environment,
        ownership,
        ..
    } = sources;
    let guarded = guarded(sources);
    let mut lengths: BTreeMap<Family, BTreeSet<u8>> = BTreeMap::new();
    for prefix in guarded.iter().chain(ownership.owners.keys()) {
        lengths
            .entry(Family::of(prefix))
            .or_default()
            .insert(prefix.prefix_len());
    }
    let covered = |prefix: &IpNet| {
        let lengths = lengths.get(&Family::of(prefix)).into_iter().flatten();
        lengths
            .take_while(|length| **length <= prefix.prefix_len())
            .any(|length| {
                IpNet::new(prefix.addr(), *length)
                    .map(|wide| wide.trunc())
                    .is_ok_and(|wide| {
                        guarded.contains(&wide) || ownership.owners.contains_key(&wide)
                    })
            })
    };
    environment
        .foreign
        .iter()
        .map(IpNet::trunc)
        .filter(|prefix| prefix.prefix_len() > 0 && covered(prefix))
        .collect()
}
