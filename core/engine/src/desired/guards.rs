//! What must never leave by an uplink in the clear, and what must stay local.

use std::collections::BTreeSet;

use ipnet::IpNet;
use patronus_model::kernel::{RouteKey, RouteTarget};
use patronus_model::router::RouterConfig;

use super::{Sources, guard, ordinary};

/// What is guarded, and what is local within it. Worked out once: with 10,000 prefixes it takes as
/// long as everything else.
#[derive(Debug)]
pub(super) struct Guards {
    pub(super) guarded: BTreeSet<IpNet>,
    /// Networks that the main table serves, where a wider prefix of the overlay would hide them.
    pub(super) local: BTreeSet<IpNet>,
}

impl Guards {
    pub(super) fn new(sources: Sources<'_>) -> Self {
        let guarded = guarded(sources);
        let local = local_exceptions(sources, &guarded);
        Self { guarded, local }
    }

    /// The routes of the guard table.
    pub(super) fn routes(&self, table: u32) -> impl Iterator<Item = (RouteKey, RouteTarget)> + '_ {
        let guards = self.guarded.iter();
        let guards = guards.map(move |prefix| (guard(table, *prefix), RouteTarget::Unreachable));
        let local = self.local.iter();
        guards.chain(local.map(move |prefix| (ordinary(table, *prefix), RouteTarget::Throw)))
    }
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

fn local_exceptions(
    Sources {
        environment,
        ownership,
        ..
    }: Sources<'_>,
    guarded: &BTreeSet<IpNet>,
) -> BTreeSet<IpNet> {
    // Every wider prefix is asked for rather than every guarded one looked at: these are many.
    let covered = |prefix: &IpNet| {
        (0..=prefix.prefix_len()).any(|length| {
            IpNet::new(prefix.addr(), length)
                .map(|wide| wide.trunc())
                .is_ok_and(|wide| guarded.contains(&wide) || ownership.owners.contains_key(&wide))
        })
    };
    environment
        .foreign
        .iter()
        .map(IpNet::trunc)
        .filter(|prefix| prefix.prefix_len() > 0 && covered(prefix))
        .collect()
}
