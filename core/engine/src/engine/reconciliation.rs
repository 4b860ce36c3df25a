//! What should be in the kernel, what is, and what is done about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use patronus_model::Timestamp;
use patronus_model::event::{Event, Reason};
use patronus_model::ids::{IfName, PathId};
use patronus_model::kernel::{ApplyOutcome, Change, KernelState, RouteTarget};
use patronus_model::router::RouterConfig;
use patronus_model::view::Pending;
use patronus_model::wireguard::PublicKey;

use super::{Effect, Engine, Phase};
use crate::desired::{Remembered, Sources, with_routes};
use crate::diff::diff;
use crate::drift::{drift, stirs};
use crate::ownership::{Ownership, overlay_prefixes};

/// The first wait after a plan failed; it doubles with each failure, up to 128 times this.
const BACKOFF: Duration = Duration::from_millis(250);

/// How many plans in a row may be needed to put things right: what the kernel takes along when it
/// deletes an interface is seen only afterwards.
const ROUNDS: u32 = 3;

/// How many prefixes an event names.
const PREFIXES: usize = 3;

/// How many reasons an event holds: there may be one for each route.
const REASONS: usize = 3;

impl Engine {
    /// Works out anew whose each prefix is.
    pub(super) fn own(&mut self) {
        let Some(config) = &self.config else { return };
        let ownership = Ownership::new(config, &self.learned, self.environment.as_ref());
        let refused: Vec<_> = ownership
            .refused
            .difference(&self.ownership.refused)
            .copied()
            .collect();
        let news: Vec<_> = ownership
            .conflicts
            .difference(&self.ownership.conflicts)
            .copied()
            .collect();
        for (prefix, owner, loser) in news {
            self.report(Event::PrefixConflict {
                prefix,
                owner,
                loser,
            });
        }
        for (prefix, site) in refused {
            self.report(Event::PrefixRefused { prefix, site });
        }
        self.ownership = ownership;
        self.want_change();
    }

    /// Reports what sites announce now, or do not announce any more, and what is remembered no more.
    pub(super) fn tell_of_prefixes(&mut self) {
        for ((site, announced), prefixes) in self.learned.take_news() {
            let ownership = &self.ownership;
            let outdone = |prefix: &IpNet| {
                let owner = ownership.owners.get(prefix);
                let taken = owner.is_some_and(|owner| *owner != site);
                !announced && (taken || ownership.served.contains_key(prefix))
            };
            let (outdone, others): (Vec<_>, Vec<_>) = prefixes.into_iter().partition(outdone);
            for (prefixes, outdone) in [(others, false), (outdone, true)] {
                if prefixes.is_empty() {
                    continue;
                }
                self.report(Event::Prefixes {
                    site,
                    announced,
                    outdone,
                    count: prefixes.len(),
                    some: prefixes.into_iter().take(PREFIXES).collect(),
                });
            }
        }
        self.tell_of_surplus();
    }

    /// Reports what was forgotten for want of room.
    fn tell_of_surplus(&mut self) {
        for (site, prefixes) in self.learned.take_surplus() {
            self.report(Event::ForgottenTogether {
                asked: false,
                site,
                count: prefixes.len(),
                some: prefixes.into_iter().take(PREFIXES).collect(),
            });
        }
    }

    /// Forgets a prefix that no site announces any more, so that it is guarded no longer.
    pub(super) fn forget(&mut self, prefix: &IpNet) {
        let Some(forgotten) = self.learned.forget(prefix) else {
            return;
        };
        let owned = self.ownership.owners.keys().copied();
        let config = self.config.as_deref();
        let within = owned
            .chain(config.into_iter().flat_map(overlay_prefixes))
            .chain(self.ownership.guarded(&self.learned))
            .filter(|wide| wide.contains(prefix))
            .max_by_key(IpNet::prefix_len);
        self.report(Event::Forgotten {
            prefix: *prefix,
            site: forgotten.last.map(|(site, _)| site),
            within,
        });
        self.own();
    }

    /// Forgets all such prefixes within one, or all there are.
    pub(super) fn forget_within(&mut self, wide: Option<&IpNet>) {
        let prefixes = self.withdrawn_within(wide);
        if let [only] = prefixes.as_slice() {
            return self.forget(only);
        }
        let forget = |prefix: &IpNet| self.learned.forget(prefix);
        let known: Vec<_> = prefixes.iter().filter_map(forget).collect();
        let whose: BTreeSet<_> = known
            .iter()
            .map(|it| it.last.map(|(site, _)| site))
            .collect();
        let Some(site) = whose.first().copied() else {
            return;
        };
        self.report(Event::ForgottenTogether {
            asked: true,
            site: site.filter(|_| whose.len() == 1),
            count: known.len(),
            some: prefixes.into_iter().take(PREFIXES).collect(),
        });
        self.own();
    }

    /// There is news. It is acted on at once, also while we wait after a failure: one step that the
    /// kernel refuses must not hold up all others.
    pub(super) fn want_change(&mut self) {
        self.dirty = true;
        self.expected = true;
        self.rounds = 0;
        if matches!(self.phase, Phase::BackingOff { .. }) {
            self.phase = Phase::Idle;
            self.observe();
        }
    }

    pub(super) fn observe(&mut self) {
        self.phase = match self.phase {
            Phase::Idle => {
                self.moved.clear();
                self.effects.push_back(Effect::Observe);
                Phase::Observing { again: false }
            }
            // Whatever changed may have changed before the dump reached it: look again.
            Phase::Observing { .. } => Phase::Observing { again: true },
            // It is observed after the plan, and after the wait, anyway.
            phase @ (Phase::Applying | Phase::BackingOff { .. }) => phase,
        };
    }

    pub(super) fn observed(&mut self, now: Timestamp, mut state: KernelState) {
        let again = self.phase == Phase::Observing { again: true };
        self.phase = Phase::Idle;
        if again {
            self.observe();
        }
        if self.observed.is_none() {
            self.adopt(now, &state);
            self.next_tick = now;
        }
        for (id, interface) in &self.moved {
            if let Some(known) = state.nexthops.get_mut(id) {
                known.clone_from(interface);
            }
        }
        // What was as it should be when it was compared last, and has not changed, need not be
        // compared again.
        let settled =
            !self.dirty && self.failures == 0 && self.rounds == 0 && self.forgotten.is_empty();
        self.dirty = !(settled && self.observed.as_ref() == Some(&state));
        self.observed = Some(state);
    }

    /// Takes over what an earlier instance of this daemon left in the kernel, so that a restart
    /// moves nothing.
    pub(super) fn adopt(&mut self, now: Timestamp, state: &KernelState) {
        for (id, interface) in &state.nexthops {
            let Some((site, class)) = id.parts() else {
                continue;
            };
            let path = self.path_by(site, interface);
            let choice = self.choices.get_mut(&(site, class));
            if let (Some(choice), Some(path)) = (choice, path) {
                choice.path = Some(path);
                choice.reason = Reason::Adopted;
                choice.since = now;
            }
        }
        if let Some(config) = &self.config {
            // What is guarded because of the configuration was never announced.
            let configured: BTreeSet<IpNet> = overlay_prefixes(config).collect();
            let guarded = state.routes.iter().filter(|(key, target)| {
                key.table == config.layout.guard_table()
                    && **target == RouteTarget::Unreachable
                    && !configured.contains(&key.prefix)
                    && !self.ownership.owners.contains_key(&key.prefix)
            });
            self.learned.guard(now, guarded.map(|(key, _)| key.prefix));
        }
        for (key, target) in &state.routes {
            if let RouteTarget::Nexthop { id, .. } = target
                && let Some((site, _)) = id.parts()
                && !self.ownership.owners.contains_key(&key.prefix)
            {
                self.learned.adopt(now, key.prefix, site);
            }
        }
        // Now that it is known what is announced still.
        self.learned.bound();
        self.tell_of_surplus();
        self.own();
    }

    pub(super) fn applied(&mut self, now: Timestamp, outcome: ApplyOutcome) {
        self.phase = Phase::Idle;
        let drift = self.drift.take();
        if !outcome.failed.is_empty() {
            drift.into_iter().for_each(|event| self.report(event));
            // Of which kind those are that failed shows the next plan, which holds nothing else.
            if outcome.done > 0 {
                self.pending.kinds.clear();
            }
            return self.back_off(now, &outcome.failed, "");
        }
        self.rounds += 1;
        self.pending = Pending::default();
        self.report(drift.unwrap_or(Event::Applied {
            changes: outcome.done,
            took: outcome.took,
        }));
        self.observe();
    }

    /// Waits before the next attempt, unless there was news meanwhile.
    fn back_off(&mut self, now: Timestamp, failed: &[String], so: &str) {
        let reason = format!("{so}{}", first_few(failed));
        self.pending.failed = failed.len();
        self.pending.reason = Some(reason.clone());
        let retry_in = match self.dirty {
            true => Duration::ZERO,
            false => BACKOFF * 2u32.pow(self.failures.min(7)),
        };
        self.failures += 1;
        // What is left to be done is our own doing, not somebody else's.
        self.expected = true;
        self.phase = Phase::BackingOff {
            until: now + retry_in,
        };
        self.report(Event::ApplyFailed { reason, retry_in });
    }

    pub(super) fn reconcile(&mut self, now: Timestamp) {
        if self.phase != Phase::Idle || !self.dirty {
            return;
        }
        let Some(config) = self.config.clone() else {
            return;
        };
        let endpoints = self.heard(&config);
        let (Some(environment), Some(observed)) = (&self.environment, &self.observed) else {
            return;
        };
        let choices = self
            .choices
            .iter()
            .filter_map(|(key, choice)| Some((*key, choice.path?)))
            .collect();
        let sources = Sources {
            config: &config,
            topology: &self.topology,
            environment,
            learned: &self.learned,
            ownership: &self.ownership,
            choices: &choices,
            endpoints: &endpoints,
        };
        let routes = Remembered::routes(&mut self.remembered, sources);
        let wanted = with_routes(sources, routes);
        let plan = diff(&wanted, observed);
        Remembered::put_back(&mut self.remembered, wanted.routes);
        self.dirty = false;
        let expected = std::mem::take(&mut self.expected);
        if plan.0.is_empty() {
            (self.failures, self.rounds) = (0, 0);
            self.pending = Pending::default();
            return;
        }
        self.pending.kinds = Pending::kinds_of(&plan);
        if self.rounds > ROUNDS {
            // Carried out without an error, and still not there: somebody works against us, or the
            // kernel means something else by it. From now on each plan waits longer.
            self.rounds = ROUNDS;
            let steps: Vec<String> = plan.0.iter().map(Change::to_string).collect();
            return self.back_off(now, &steps, "without effect: ");
        }
        // What is found right after a plan of ours, that plan may have brought about.
        let ours = expected || (self.rounds > 0 && self.stirred);
        self.drift = match ours {
            true => None,
            false => drift(&config, &plan, observed),
        };
        self.stirred = stirs(&plan);
        self.phase = Phase::Applying;
        self.effects.push_back(Effect::Apply(plan));
    }

    /// Where peers were last heard. Of those that are to be forgotten nothing is known, so that
    /// they are spoken to at their configured address, and told it anew even if it was the same: a
    /// user-space WireGuard goes on using the source address that worked last until it is told.
    pub(super) fn heard(
        &mut self,
        config: &RouterConfig,
    ) -> BTreeMap<(IfName, PublicKey), SocketAddr> {
        let forgotten = std::mem::take(&mut self.forgotten);
        let Some(observed) = &mut self.observed else {
            return BTreeMap::new();
        };
        if !forgotten.is_empty() {
            for key in configured_endpoints(config)
                .into_keys()
                .filter(|key| forgotten.contains(key))
            {
                if let Some(peer) = observed.peers.get_mut(&key) {
                    peer.endpoint = None;
                }
            }
        }
        let heard = observed.peers.iter();
        heard
            .filter_map(|(key, peer)| Some((key.clone(), peer.endpoint?)))
            .collect()
    }
}

fn first_few(reasons: &[String]) -> String {
    let (told, rest) = reasons.split_at(reasons.len().min(REASONS));
    let more = (!rest.is_empty()).then(|| format!("{} more", rest.len()));
    let told = told.iter().cloned().chain(more);
    told.collect::<Vec<_>>().join("; ")
}

pub(super) fn configured_endpoints(
    config: &RouterConfig,
) -> BTreeMap<(IfName, PublicKey), SocketAddr> {
    let of_site = |site| {
        crate::topology::pairs(config, site).filter_map(|(local, remote)| {
            let id = PathId {
                site: site.number,
                local: local.slot,
                remote: remote.slot,
            };
            let interface = config.layout.tunnel_interface(id.tunnel(site.hub));
            let endpoint = remote.tunnel_endpoint(config.hub, local.slot)?;
            Some(((interface, remote.public_key), endpoint))
        })
    };
    config.remotes.iter().flat_map(of_site).collect()
}
