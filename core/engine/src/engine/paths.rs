//! What is known of paths, and where traffic goes because of it.

use std::collections::BTreeSet;
use std::time::Duration;

use patronus_model::Timestamp;
use patronus_model::event::{Decision, Event};
use patronus_model::ids::{IfName, PathId, SiteNumber, Slot};
use patronus_model::kernel::Environment;
use patronus_model::layout::NexthopId;
use patronus_model::path::{Liveness, PathState};
use patronus_model::policy::TrafficClass;
use patronus_model::router::{Gateway, RouterConfig};

use super::{Effect, Engine};
use crate::decide::{Contender, Settling, account, decide};
use crate::desired::effective;

/// How long a path may be down before its peer's configured address is tried again in place of the
/// one where it was last heard.
const ENDPOINT_REPAIR: Duration = Duration::from_secs(5);

/// The most that the time between two such attempts grows to.
const ENDPOINT_REPAIR_MAX: Duration = Duration::from_secs(60);

impl Engine {
    pub(super) fn surroundings(&mut self, now: Timestamp, environment: Environment) {
        let Some(config) = self.config.clone() else {
            self.environment = Some(environment);
            return;
        };
        let mut changed = BTreeSet::new();
        for uplink in &config.uplinks {
            let usable = |env: Option<&Environment>| {
                env.is_some_and(|e| uplink_usable(&config, e, uplink.slot))
            };
            let (before, after) = (
                usable(self.environment.as_ref()),
                usable(Some(&environment)),
            );
            if before != after || self.environment.is_none() {
                changed.insert(uplink.slot);
                self.report(Event::Uplink {
                    slot: uplink.slot,
                    usable: after,
                });
            }
        }
        self.environment = Some(environment);
        let mut sites = BTreeSet::new();
        for (path, health) in &mut self.health {
            if changed.contains(&path.local) {
                health.uplink_usable = usable(&config, self.environment.as_ref(), *path);
                sites.insert(path.site);
            }
        }
        self.judge(now, &sites);
        self.want_change();
    }

    pub(super) fn liveness(&mut self, now: Timestamp, path: PathId, liveness: Liveness) {
        let Some(health) = self.health.get_mut(&path) else {
            return;
        };
        // A session that has not been up yet says nothing new by being down.
        if health.liveness.is_none() && matches!(liveness, Liveness::Silent | Liveness::NotHeard) {
            return;
        }
        health.liveness = Some(liveness);
        self.judge(now, &BTreeSet::from([path.site]));
    }

    /// While paths are down, their peers are spoken to at their configured addresses now and then:
    /// they may have been heard last at an address that they have left.
    pub(super) fn repair_endpoints(&mut self, now: Timestamp) {
        let down = |path: &PathId| {
            self.health.get(path).is_some_and(|health| {
                health.state == PathState::Down
                    && health.uplink_usable
                    && now.since(health.since) >= ENDPOINT_REPAIR
            })
        };
        let down = self.topology.paths.iter().filter(|(path, _)| down(path));
        let peers: Vec<_> = down
            .map(|(_, spec)| (spec.interface.clone(), spec.peer))
            .collect();
        if peers.is_empty() {
            self.repair = None;
            return;
        }
        let (due, wait) = self.repair.unwrap_or((now, ENDPOINT_REPAIR));
        if due <= now {
            self.repair = Some((now + wait, (wait * 2).min(ENDPOINT_REPAIR_MAX)));
            self.forgotten.extend(peers);
            self.expected = true;
            self.observe();
        }
    }

    /// Draws conclusions about the paths to these sites, and moves traffic where it must.
    pub(super) fn judge(&mut self, now: Timestamp, sites: &BTreeSet<SiteNumber>) {
        let Some(config) = self.config.clone() else {
            return;
        };
        if self.environment.is_none() {
            return;
        }
        for site in sites {
            self.judge_paths(now, &config, *site);
        }
        if self.observed.is_none() {
            return;
        }
        let mut moves = Vec::new();
        for site in sites {
            for class in &config.classes {
                moves.extend(self.choose(now, &config, *site, class));
            }
        }
        if !moves.is_empty() {
            self.effects.push_front(Effect::Move(moves));
        }
    }

    pub(super) fn judge_paths(&mut self, now: Timestamp, config: &RouterConfig, site: SiteNumber) {
        let ids: Vec<PathId> = self.topology.paths_to(site).map(|(id, _)| id).collect();
        for path in ids {
            let Some(health) = self.health.get_mut(&path) else {
                continue;
            };
            let transition = health.evaluate(now, &config.health);
            let dampened = health.dampen(now, &config.health);
            if let Some(t) = transition {
                self.report(Event::Path {
                    path,
                    from: t.from,
                    to: t.to,
                    cause: t.cause,
                });
            }
            if let Some(suppressed) = dampened {
                self.report(Event::Dampened { path, suppressed });
            }
        }
    }

    /// Decides for one class towards one site. Returns the nexthop to be moved at once, if there is
    /// one in the kernel already.
    pub(super) fn choose(
        &mut self,
        now: Timestamp,
        config: &RouterConfig,
        site: SiteNumber,
        class: &TrafficClass,
    ) -> Option<(NexthopId, IfName)> {
        let settling = Settling(config.health.start_grace);
        let choice = self.choices.get(&(site, class.id))?;
        let contenders = self.contenders(site);
        let decision = decide(now, class, choice, settling, &contenders)?;
        let mut new = choice.clone();
        new.moved = new.path.map(|_| now).or(new.moved);
        let from = new.path.replace(decision.to);
        (new.reason, new.since, new.reconsider) = (decision.reason, now, false);
        let candidates = account(now, class, &new, settling, &contenders);
        self.choices.insert((site, class.id), new);
        self.report(Event::Moved(Decision {
            site,
            class: class.id,
            from,
            to: decision.to,
            reason: decision.reason,
            candidates,
        }));
        self.point(NexthopId::new(site, class.id), decision.to)
    }

    pub(crate) fn contenders(&self, site: SiteNumber) -> Vec<Contender<'_>> {
        let contender = |(id, spec)| {
            Some(Contender {
                id,
                spec,
                health: self.health.get(&id)?,
            })
        };
        self.topology.paths_to(site).filter_map(contender).collect()
    }

    pub(super) fn point(&mut self, id: NexthopId, path: PathId) -> Option<(NexthopId, IfName)> {
        let interface = self.topology.paths.get(&path)?.interface.clone();
        match self
            .observed
            .as_mut()
            .and_then(|state| state.nexthops.get_mut(&id))
        {
            // The move is confirmed or refuted by `Moved`; until then this is what we know.
            Some(known) => {
                let moved = *known != interface;
                known.clone_from(&interface);
                moved.then_some((id, interface))
            }
            None => {
                self.want_change();
                None
            }
        }
    }
}

pub(super) fn usable(
    config: &RouterConfig,
    environment: Option<&Environment>,
    path: PathId,
) -> bool {
    environment.is_none_or(|environment| uplink_usable(config, environment, path.local))
}

/// An uplink carries packets when it has carrier, an address and a gateway.
pub(crate) fn uplink_usable(config: &RouterConfig, environment: &Environment, slot: Slot) -> bool {
    let uplink = config.uplinks.iter().find(|uplink| uplink.slot == slot);
    let state = environment.uplinks.get(&slot);
    uplink.zip(state).is_some_and(|(uplink, state)| {
        let gateway = effective(uplink.gateway4, state.gateway4)
            .or_else(|| effective(uplink.gateway6, state.gateway6));
        // On a point-to-point or flat underlay nobody configures a gateway.
        let flat = (uplink.gateway4, uplink.gateway6) == (Gateway::None, Gateway::None);
        state.carrier && !state.addresses.is_empty() && (gateway.is_some() || flat)
    })
}
