//! Which prefix belongs to which site: what was configured and what BGP has learned.
//!
//! Routes outlive the routing daemons that brought them: while a daemon is away, and for a while
//! after it is back, a route that vanishes is only marked stale (as in RFC 4724, but without
//! needing the daemon's help).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use patronus_model::Timestamp;
use patronus_model::ids::SiteNumber;
use patronus_model::kernel::LearnedDelta;
use patronus_model::router::RouterConfig;

/// How long a withdrawn route still counts: the kernel says that a route is gone a moment before
/// we hear that the daemon which held it has died.
const LINGER: Duration = Duration::from_millis(100);

/// How long daemons may take after their return until all routes are there again. BGP sessions in
/// the overlay come back within some 4 s; twice the default hold time is on the safe side.
const CONVERGENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    site: SiteNumber,
    /// When it goes, if it does not come back.
    expires: Option<Timestamp>,
}

/// A prefix that was announced at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Whose it was, as far as is known and the site is still there.
    site: Option<SiteNumber>,
    /// When its route went.
    withdrawn: Option<Timestamp>,
}

/// A prefix that was announced and is not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// The prefix.
    pub prefix: IpNet,
    /// Who announced it, and until when; `None`: that was before we started, or the site is there no
    /// more.
    pub last: Option<(SiteNumber, Timestamp)>,
}

impl Seen {
    fn withdrawn(self, prefix: IpNet) -> Option<Withdrawn> {
        let at = self.withdrawn?;
        let last = self.site.map(|site| (site, at));
        Some(Withdrawn { prefix, last })
    }

    const fn at(site: SiteNumber) -> Self {
        Self {
            site: Some(site),
            withdrawn: None,
        }
    }
}

/// The learned routes.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    sites: BTreeMap<IpAddr, SiteNumber>,
    /// What routing says, whether we know the next hop or not: it may speak before we are told who
    /// is who.
    said: BTreeMap<IpNet, IpAddr>,
    routes: BTreeMap<IpNet, Entry>,
    /// Prefixes that have been seen: they are guarded even when nobody announces them any more.
    seen: BTreeMap<IpNet, Seen>,
    /// How many of them are remembered of each site when it announces them no more.
    memory: usize,
    /// What was forgotten because more were withdrawn than are remembered, since it was asked last.
    surplus: BTreeMap<Option<SiteNumber>, BTreeSet<IpNet>>,
    /// What sites announce (`true`) or do not announce any more, since it was asked last.
    news: BTreeMap<(SiteNumber, bool), BTreeSet<IpNet>>,
    daemons_down: BTreeSet<String>,
    stale_until: Option<Timestamp>,
    next_expiry: Option<Timestamp>,
}

impl Learned {
    /// Takes over which overlay address is whose. What was announced by a site that is there no more
    /// is so no more; of what was `guarded`, that stays so, and is returned.
    pub fn configure(
        &mut self,
        now: Timestamp,
        config: &RouterConfig,
        guarded: &BTreeSet<IpNet>,
    ) -> Vec<IpNet> {
        let pairs = config
            .remotes
            .iter()
            .flat_map(|s| s.addresses().map(|a| (a, s.number)));
        self.sites = pairs.collect();
        let known: BTreeSet<SiteNumber> = self.sites.values().copied().collect();
        self.routes.retain(|_, entry| known.contains(&entry.site));
        let mut kept = Vec::new();
        self.seen.retain(|prefix, seen| {
            // Whose it was, nobody may know; it may have been that of a site which is still there.
            if seen.site.is_none_or(|site| known.contains(&site)) {
                return true;
            }
            seen.site = None;
            seen.withdrawn = seen.withdrawn.or(Some(now));
            kept.push(*prefix);
            guarded.contains(prefix)
        });
        self.memory = usize::try_from(config.bgp.maximum_prefixes).unwrap_or(usize::MAX);
        for (prefix, next_hop) in self.said.clone() {
            self.learn(prefix, next_hop);
        }
        self.bound();
        // Somebody else may have it now, or there are too many.
        let seen = &self.seen;
        kept.retain(|prefix| seen.get(prefix).is_some_and(|seen| seen.site.is_none()));
        kept
    }

    /// Takes in what routing says. Returns whether anything changed at once.
    pub fn update(&mut self, now: Timestamp, delta: &LearnedDelta) -> bool {
        let mut changed = false;
        if delta.full {
            let gone = self
                .said
                .keys()
                .filter(|prefix| !delta.set.contains_key(*prefix));
            let gone: Vec<IpNet> = gone.copied().collect();
            gone.into_iter()
                .for_each(|prefix| self.withdraw(now, prefix));
        }
        delta
            .removed
            .iter()
            .for_each(|prefix| self.withdraw(now, *prefix));
        for (prefix, next_hop) in &delta.set {
            self.said.insert(*prefix, *next_hop);
            match self.learn(*prefix, *next_hop) {
                Some(news) => changed |= news,
                // It leads to nobody whom we know any more.
                None => self.expire_soon(now, *prefix),
            }
        }
        changed
    }

    /// A prefix is at the site with this overlay address. Returns whether that is news; `None` if
    /// there is no such site.
    fn learn(&mut self, prefix: IpNet, next_hop: IpAddr) -> Option<bool> {
        let site = self.sites.get(&next_hop).copied()?;
        self.seen.insert(prefix, Seen::at(site));
        let old = self.routes.insert(
            prefix,
            Entry {
                site,
                expires: None,
            },
        );
        let is_news = old.is_none_or(|old| old.site != site);
        if is_news {
            self.news.entry((site, true)).or_default().insert(prefix);
        }
        Some(is_news)
    }

    /// The prefixes that each site has begun (`true`) or ceased to announce, since this was called
    /// last.
    pub fn take_news(&mut self) -> BTreeMap<(SiteNumber, bool), BTreeSet<IpNet>> {
        std::mem::take(&mut self.news)
    }

    /// Takes over a route that stood in the kernel when we started, until routing confirms it.
    pub fn adopt(&mut self, now: Timestamp, prefix: IpNet, site: SiteNumber) {
        if self.routes.contains_key(&prefix) || !self.sites.values().any(|known| *known == site) {
            return;
        }
        self.seen.insert(prefix, Seen::at(site));
        let expires = self.expiry(now + CONVERGENCE);
        self.routes.insert(
            prefix,
            Entry {
                site,
                expires: Some(expires),
            },
        );
    }

    /// Takes over what was guarded when we started. Nobody knows any more who had announced it.
    pub fn guard(&mut self, now: Timestamp, prefixes: impl Iterator<Item = IpNet>) {
        for prefix in prefixes {
            self.seen.entry(prefix).or_insert(Seen {
                site: None,
                withdrawn: Some(now),
            });
        }
    }

    /// Takes note that a routing daemon went or came.
    pub fn daemon(&mut self, now: Timestamp, name: &str, up: bool, keep: Duration) {
        if up {
            self.daemons_down.remove(name);
            if self.daemons_down.is_empty() && self.stale_until.is_some() {
                self.stale_until = Some(now + CONVERGENCE);
                self.postpone(now + CONVERGENCE);
            }
        } else {
            self.daemons_down.insert(name.to_owned());
            // Without graceful restart towards other sites, ours still outlive a short absence.
            let until = now + keep.max(CONVERGENCE);
            self.stale_until = Some(until);
            self.postpone(until);
        }
    }

    /// Lets time pass. Returns whether a route went.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        if self.stale_until.is_some_and(|until| until <= now) {
            self.stale_until = None;
        }
        if self.next_expiry.is_none_or(|at| now < at) {
            return false;
        }
        let is_over = |entry: &mut Entry| entry.expires.is_some_and(|at| at <= now);
        let gone = self.routes.extract_if(.., |_, entry| is_over(entry));
        let gone: Vec<(IpNet, Entry)> = gone.collect();
        for (prefix, entry) in &gone {
            let withdrawn = Some(now);
            let site = Some(entry.site);
            self.seen.insert(*prefix, Seen { site, withdrawn });
            let news = self.news.entry((entry.site, false));
            news.or_default().insert(*prefix);
        }
        self.next_expiry = self.routes.values().filter_map(|entry| entry.expires).min();
        self.bound();
        !gone.is_empty()
    }

    /// Forgets what was withdrawn longest ago of a site that has announced more than it may, and of
    /// those of which it is not known whose they were. After a start, these may be those of all
    /// sites that there are; beside them there is room for one site that is there no more.
    pub fn bound(&mut self) {
        let mut by_site: BTreeMap<Option<SiteNumber>, Vec<(Timestamp, IpNet)>> = BTreeMap::new();
        for (prefix, seen) in &self.seen {
            if let Some(withdrawn) = seen.withdrawn {
                let of_site = by_site.entry(seen.site).or_default();
                of_site.push((withdrawn, *prefix));
            }
        }
        let sites: BTreeSet<SiteNumber> = self.sites.values().copied().collect();
        for (site, mut withdrawn) in by_site {
            let room = match site {
                Some(_) => self.memory,
                None => self.memory.saturating_mul(sites.len() + 1),
            };
            withdrawn.sort_unstable();
            let surplus = withdrawn.len().saturating_sub(room);
            for (_, prefix) in withdrawn.into_iter().take(surplus) {
                self.seen.remove(&prefix);
                self.surplus.entry(site).or_default().insert(prefix);
            }
        }
    }

    /// What was forgotten because there was too much of it, since this was called last; of whom it
    /// was, where that is known.
    pub fn take_surplus(&mut self) -> BTreeMap<Option<SiteNumber>, BTreeSet<IpNet>> {
        std::mem::take(&mut self.surplus)
    }

    /// Forgets a prefix that nobody announces any more. Returns what was known of it.
    pub fn forget(&mut self, prefix: &IpNet) -> Option<Withdrawn> {
        let withdrawn = self.seen.get(prefix)?.withdrawn(*prefix)?;
        self.seen.remove(prefix);
        Some(withdrawn)
    }

    /// What was announced and is not any more.
    pub fn withdrawn(&self) -> impl Iterator<Item = Withdrawn> + '_ {
        let seen = self.seen.iter().filter(|(it, _)| it.prefix_len() > 0);
        seen.filter_map(|(prefix, seen)| seen.withdrawn(*prefix))
    }

    /// When [`Self::expire`] has something to do.
    #[must_use]
    pub const fn next_expiry(&self) -> Option<Timestamp> {
        self.next_expiry
    }

    /// The routes and whose they are.
    pub fn routes(&self) -> impl Iterator<Item = (IpNet, SiteNumber)> + '_ {
        self.routes
            .iter()
            .map(|(prefix, entry)| (*prefix, entry.site))
    }

    /// Every prefix that has been seen, default routes excepted, and at whose site, if that is known.
    pub fn seen(&self) -> impl Iterator<Item = (IpNet, Option<SiteNumber>)> + '_ {
        let seen = self.seen.iter().map(|(prefix, seen)| (*prefix, seen.site));
        seen.filter(|(prefix, _)| prefix.prefix_len() > 0)
    }

    /// Whether a route is kept although nobody vouches for it at present; `None`: it is not learned.
    #[must_use]
    pub fn is_stale(&self, prefix: &IpNet) -> Option<bool> {
        let entry = self.routes.get(prefix)?;
        Some(entry.expires.is_some())
    }

    fn withdraw(&mut self, now: Timestamp, prefix: IpNet) {
        self.said.remove(&prefix);
        self.expire_soon(now, prefix);
    }

    fn expire_soon(&mut self, now: Timestamp, prefix: IpNet) {
        let until = self.stale_until.unwrap_or(now + LINGER).max(now + LINGER);
        let Some(entry) = self.routes.get(&prefix) else {
            return;
        };
        if entry.expires.is_none() {
            let site = entry.site;
            let expires = self.expiry(until);
            self.routes.insert(
                prefix,
                Entry {
                    site,
                    expires: Some(expires),
                },
            );
        }
    }

    /// Routes that were about to go when the daemon's death was heard of stay longer.
    fn postpone(&mut self, until: Timestamp) {
        for entry in self.routes.values_mut() {
            entry.expires = entry.expires.map(|_| until);
        }
        self.next_expiry = self.routes.values().filter_map(|entry| entry.expires).min();
    }

    fn expiry(&mut self, at: Timestamp) -> Timestamp {
        self.next_expiry = Some(self.next_expiry.map_or(at, |next| next.min(at)));
        at
    }
}

#[cfg(test)]
mod tests;
