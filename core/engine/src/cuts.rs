//! Parts of a site's prefix that go elsewhere, because a longer prefix wins whoever has it.

use ipnet::IpNet;
use patronus_model::ids::SiteNumber;
use patronus_model::kernel::Foreign;

use crate::ownership::Ownership;

/// A part of a site's prefix that somebody else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The part.
    pub part: IpNet,
    /// The nearest prefix around it.
    pub of: IpNet,
    /// Whose that is.
    pub owner: SiteNumber,
    /// Who has the part.
    pub by: Holder,
}

/// Who has a part of a site's prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Another ordinary site.
    Site(SiteNumber),
    /// The main table, or a BGP neighbour outside the overlay.
    Foreign(Foreign),
}

/// All such parts, in their order. Hubs announce what others have parts of, that is what they are
/// for; and a network that an interface of this machine is in is one of its own.
pub(crate) fn cuts(ownership: &Ownership) -> Vec<Cut> {
    let owned = ownership.owners.iter();
    let owned = owned.map(|(prefix, site)| (*prefix, Holder::Site(*site)));
    let served = ownership.served.iter();
    let served = served.filter(|(_, foreign)| foreign.connected().is_none());
    let served = served.map(|(prefix, foreign)| (*prefix, Holder::Foreign(foreign.clone())));
    let mut all: Vec<(IpNet, Holder)> = owned.chain(served).collect();
    // What is around a prefix comes before it.
    all.sort_by_key(|(prefix, _)| *prefix);
    let mut around: Vec<(IpNet, SiteNumber)> = Vec::new();
    let mut cuts = Vec::new();
    for (part, by) in all {
        while around.last().is_some_and(|(wide, _)| !wide.contains(&part)) {
            around.pop();
        }
        let nearest = around.last().copied();
        let site = match by {
            Holder::Site(site) => Some(site),
            Holder::Foreign(_) => None,
        };
        if let Some((of, owner)) = nearest
            && of != part
            && of.prefix_len() > 0
            && site != Some(owner)
            && !site.is_some_and(|site| ownership.is_hub(site))
        {
            cuts.push(Cut {
                part,
                of,
                owner,
                by,
            });
        }
        if let Some(site) = site.filter(|site| !ownership.is_hub(*site)) {
            around.push((part, site));
        }
    }
    cuts
}
