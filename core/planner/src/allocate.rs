//! Numbers for sites, hubs and uplinks, which nobody else ever had.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use patronus_model::ids::{SiteId, SiteNumber, Slot, UplinkName};
use patronus_model::intent::{Allocations, Intent, Kind, ObjectId, Site};
use patronus_model::layout::HubIndex;

use crate::problem::{Findings, Problem};

/// Most names that a message lists.
const NAMED: usize = 5;

/// Gives numbers to whatever in `intent` has none, and says where there is none left.
///
/// What has a number keeps it, also while it is not in the intent: routers know each other by these
/// numbers, and one that has not heard of a removal yet must not take a new site for an old one. The
/// exception are slots, of which an uplink has 8: when none is left that no uplink of the site ever
/// had, the one of a removed uplink is used again, with a warning.
#[must_use]
pub fn allocate(intent: &Intent, before: &Allocations) -> (Allocations, Vec<Problem>) {
    let mut allocator = Allocator {
        intent,
        given: before.clone(),
        problems: Vec::new(),
    };
    for site in intent.sites.values() {
        allocator.number(site);
        if site.hub {
            allocator.hub(site);
        }
        allocator.slots(site);
    }
    (allocator.given, allocator.problems)
}

/// The host part of the last address that a site can have.
pub(crate) fn last_number(overlay: Ipv4Net) -> u16 {
    let last = overlay.hostmask().to_bits().saturating_sub(1);
    u16::try_from(last).unwrap_or(u16::MAX).min(SiteNumber::MAX)
}

struct Allocator<'a> {
    intent: &'a Intent,
    given: Allocations,
    problems: Vec<Problem>,
}

impl Allocator<'_> {
    fn findings(&mut self, id: &SiteId) -> Findings<'_> {
        Findings {
            object: ObjectId::new(Kind::Site, id.as_str()),
            all: &mut self.problems,
        }
    }

    fn number(&mut self, site: &Site) {
        let overlay = self.intent.network.overlay4;
        let last = last_number(overlay);
        if let Some(number) = self.given.numbers.get(&site.id).copied() {
            if number > last {
                let problem = format!("it is site number {number}, and {overlay} ends with {last}");
                let help = "use a larger overlay network";
                self.findings(&site.id).error("", problem, help);
            }
            return;
        }
        let taken: BTreeSet<u16> = self.given.numbers.values().copied().collect();
        let Some(free) = (SiteNumber::MIN..=last).find(|number| !taken.contains(number)) else {
            let removed = self.removed(self.given.numbers.keys());
            let problem = format!("{overlay} has no address left for it");
            let help = format!("use a larger overlay network{removed}");
            self.findings(&site.id).error("", problem, help);
            return;
        };
        self.given.numbers.insert(site.id.clone(), free);
    }

    fn hub(&mut self, site: &Site) {
        if self.given.hubs.contains_key(&site.id) {
            return;
        }
        let free = (1..=u8::MAX)
            .map_while(|number| HubIndex::new(number).ok())
            .find(|index| !self.given.hubs.values().any(|taken| taken == index));
        match free {
            Some(index) => {
                self.given.hubs.insert(site.id.clone(), index);
            }
            None => {
                let hubs: Vec<&str> = self.given.hubs.keys().map(SiteId::as_str).collect();
                let problem = format!("all 7 hub numbers are given: {}", hubs.join(", "));
                let removed = self.removed(self.given.hubs.keys());
                let help = format!("a network has at most 7 hubs{removed}");
                self.findings(&site.id).error("hub", problem, help);
            }
        }
    }

    /// How to get numbers back that removed sites keep.
    fn removed<'b>(&self, ids: impl Iterator<Item = &'b SiteId>) -> String {
        let gone = ids.filter(|id| !self.intent.sites.contains_key(*id));
        let gone: Vec<&str> = gone.map(SiteId::as_str).collect();
        let Some((named, more)) = gone
            .split_at_checked(NAMED.min(gone.len()))
            .filter(|_| !gone.is_empty())
        else {
            return String::new();
        };
        let more = match more.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(
            ", or release those of sites that are gone for ever: {}{more}",
            named.join(", ")
        )
    }

    fn slots(&mut self, site: &Site) {
        let mut taken: BTreeMap<Slot, UplinkName> = BTreeMap::new();
        let of_site = |(id, name): &(SiteId, UplinkName)| (*id == site.id).then(|| name.clone());
        for (key, slot) in &self.given.slots {
            if let Some(name) = of_site(key) {
                taken.insert(*slot, name);
            }
        }
        let lives = |name: &UplinkName| site.uplinks.iter().any(|uplink| uplink.name == *name);
        // Those that say which slot they want first, or an uplink that does not care could take it.
        let (sure, open): (Vec<_>, Vec<_>) = site
            .uplinks
            .iter()
            .enumerate()
            .partition(|(_, uplink)| uplink.slot.is_some());
        for (index, uplink) in sure.into_iter().chain(open) {
            let key = (site.id.clone(), uplink.name.clone());
            let had = self.given.slots.get(&key).copied();
            let slot = match (uplink.slot, had) {
                (Some(wanted), _) => wanted,
                (None, Some(had)) => had,
                (None, None) => {
                    let all = (Slot::MIN..=Slot::MAX).filter_map(|slot| Slot::new(slot).ok());
                    let never = all.clone().find(|slot| !taken.contains_key(slot));
                    let gone = all
                        .clone()
                        .find(|slot| taken.get(slot).is_none_or(|holder| !lives(holder)));
                    match never.or(gone) {
                        Some(slot) => slot,
                        // More uplinks than slots, which is refused where a site is read.
                        None => continue,
                    }
                }
            };
            if let Some(had) = had.filter(|had| *had != slot) {
                taken.remove(&had);
            }
            let other = taken.insert(slot, uplink.name.clone());
            if let Some(other) = other.filter(|other| *other != uplink.name) {
                let field = format!("uplinks[{index}].slot");
                if lives(&other) {
                    let problem = format!("slot {slot} is that of {other}");
                    let help = "give each uplink a slot of its own, or leave it to be given one";
                    self.findings(&site.id).error(field, problem, help);
                    continue;
                }
                let problem = format!("slot {slot} was that of {other}, which is gone");
                let help = "routers that have not heard of it take the one for the other";
                self.findings(&site.id).warning(field, problem, help);
                self.given.slots.remove(&(site.id.clone(), other));
            }
            self.given.slots.insert(key, slot);
        }
    }
}
