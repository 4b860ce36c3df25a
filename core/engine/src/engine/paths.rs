//! What is known of paths, and where traffic goes because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use patronus_model::Timestamp;
use patronus_model::event::{Decision, Event, UplinkFault};
use patronus_model::ids::{IfName, PathId, SiteNumber, Slot};
use patronus_model::kernel::Environment;
use patronus_model::layout::NexthopId;
use patronus_model::path::{Liveness, PathCause, PathState};
use patronus_model::policy::TrafficClass;
use patronus_model::router::{Gateway, Lan, RouterConfig};

use super::Engine;
use crate::decide::{Circumstances, account, decide, silence};
use crate::desired::effective;
use crate::ownership::networks_of_uplinks;

/// How long a path may be down before its peer's configured address is tried again in place of the
/// one where it was last heard.
const ENDPOINT_REPAIR: Duration = Duration::from_secs(5);

/// The most that the time between two such attempts grows to.
const ENDPOINT_REPAIR_MAX: Duration = Duration::from_secs(60);

impl Engine {
    pub(super) fn surroundings(&mut self, now: Timestamp, environment: Environment) {
        let same = self.environment.as_ref().is_some_and(|before| {
            before.foreign == environment.foreign
                && networks_of_uplinks(before) == networks_of_uplinks(&environment)
        });
        self.environment = Some(environment);
        if self.config.is_some() {
            if !same {
                self.own();
            }
            self.look_around(now);
            self.want_change();
        }
    }

    /// Draws the conclusions from the surroundings, or from a configuration that sees them with
    /// other eyes.
    pub(super) fn look_around(&mut self, now: Timestamp) {
        let Some(config) = self.config.clone() else {
            return;
        };
        let Some(environment) = self.environment.take() else {
            return;
        };
        self.tell_of_interfaces(&config, &environment);
        let mut sites = BTreeSet::new();
        for (path, health) in &mut self.health {
            let usable = uplink_usable(&config, &environment, path.local);
            if health.uplink_usable != usable {
                health.uplink_usable = usable;
                sites.insert(path.site);
            }
        }
        self.environment = Some(environment);
        self.judge(now, &sites);
    }

    /// Reports uplinks and LANs that came or went. Of one that nothing was said of so far, only its
    /// absence is news.
    fn tell_of_interfaces(&mut self, config: &RouterConfig, environment: &Environment) {
        let uplinks = config.uplinks.iter().map(|uplink| {
            let slot = uplink.slot;
            let fault = uplink_fault(config, environment, slot);
            let event = Event::Uplink { slot, fault };
            (&uplink.interface, fault.is_none(), event)
        });
        let lans = config.lans.iter().map(|lan| {
            let up = lan_up(environment, lan);
            let interface = lan.interface.clone();
            (&lan.interface, up, Event::Lan { interface, up })
        });
        let looked_for =
            |(name, ..): &(&IfName, bool, Event)| environment.looked_for.contains(*name);
        let mut told = BTreeMap::new();
        for (name, up, event) in uplinks.chain(lans).filter(looked_for) {
            told.insert(name.clone(), up);
            if self.interfaces.get(name).copied().unwrap_or(true) != up {
                self.report(event);
            }
        }
        self.interfaces = told;
    }

    pub(super) fn liveness(&mut self, now: Timestamp, path: PathId, liveness: Liveness) {
        let Some(health) = self.health.get_mut(&path) else {
            return;
        };
        health.hear(now, liveness);
        self.judge(now, &BTreeSet::from([path.site]));
    }

    /// While paths are down, their peers are spoken to at their configured addresses now and then:
    /// they may have been heard last at an address that they have left.
    pub(super) fn repair_endpoints(&mut self, now: Timestamp) {
        let mut repairs = std::mem::take(&mut self.repairs);
        repairs.retain(|path, _| self.may_need_repair(now, *path));
        let mut due = Vec::new();
        for (path, spec) in &self.topology.paths {
            if self.may_need_repair(now, *path) {
                let (at, wait) = repairs.entry(*path).or_insert((now, ENDPOINT_REPAIR));
                if *at <= now {
                    (*at, *wait) = (now + *wait, (*wait * 2).min(ENDPOINT_REPAIR_MAX));
                    due.push((spec.interface.clone(), spec.peer));
                }
            }
        }
        self.repairs = repairs;
        if !due.is_empty() {
            self.forgotten.extend(due);
            self.observe();
        }
    }

    fn may_need_repair(&self, now: Timestamp, path: PathId) -> bool {
        self.health.get(&path).is_some_and(|health| {
            health.state == PathState::Down
                && health.uplink_usable
                && now.since(health.since) >= ENDPOINT_REPAIR
        })
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
        for site in sites.iter().chain(&self.relayed_by(sites)) {
            for class in &config.classes {
                self.choose(now, &config, *site, class);
            }
        }
    }

    pub(super) fn judge_paths(&mut self, now: Timestamp, config: &RouterConfig, site: SiteNumber) {
        let ids: Vec<PathId> = self.topology.paths_to(site).map(|(id, _)| id).collect();
        self.note_returns(now, &ids);
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
        let own: Vec<_> = self.paths_of(site, false).collect();
        if let Some((last, together)) = silence(&own)
            && self.silences.insert(site, last) != Some(last)
        {
            for path in together {
                if let Some(health) = self.health.get_mut(&path) {
                    health.forgive(&config.health);
                }
            }
        }
    }

    /// One path that is up says that the far end is back, also where its others stay silent.
    fn note_returns(&mut self, now: Timestamp, paths: &[PathId]) {
        let up = paths
            .iter()
            .filter_map(|path| self.health.get(path)?.up_since());
        let Some(up) = up.max() else { return };
        for path in paths {
            if let Some(health) = self.health.get_mut(path)
                && health.left_alone_since().is_some_and(|since| since < up)
            {
                health.far_end_is_back(now, PathCause::Silent);
            }
        }
    }

    pub(crate) fn circumstances(&self, config: &RouterConfig, site: SiteNumber) -> Circumstances {
        Circumstances {
            settling: config.health.start_grace,
            silence: self.silences.get(&site).copied(),
        }
    }

    /// Decides for one class towards one site.
    fn choose(
        &mut self,
        now: Timestamp,
        config: &RouterConfig,
        site: SiteNumber,
        class: &TrafficClass,
    ) {
        let circumstances = self.circumstances(config, site);
        let key = (site, class.id);
        let Some(choice) = self.choices.get(&key) else {
            return;
        };
        let contenders = self.contenders(site, choice.path);
        let Some(decision) = decide(now, class, choice, circumstances, &contenders) else {
            // What it was to reconsider, it has.
            if let Some(choice) = self.choices.get_mut(&key) {
                choice.reconsider = false;
            }
            return;
        };
        let candidates = account(
            now,
            class,
            choice,
            circumstances,
            &contenders,
            Some(decision.to),
        );
        let from = choice.path;
        let new = choice.after(now, &decision);
        self.choices.insert(key, new);
        self.report(Event::Moved(Decision {
            site,
            class: class.id,
            from,
            to: decision.to,
            reason: decision.reason,
            candidates,
        }));
        self.point(NexthopId::new(site, class.id), decision.to);
    }

    /// Lets a nexthop object lead to a path: at once if it is there, by a plan otherwise.
    fn point(&mut self, id: NexthopId, path: PathId) {
        let Some(interface) = self
            .topology
            .paths
            .get(&path)
            .map(|spec| spec.interface.clone())
        else {
            return;
        };
        match self
            .observed
            .as_mut()
            .and_then(|state| state.nexthops.get_mut(&id))
        {
            // `Moved` confirms or refutes it; until then this is what we know.
            Some(known) => {
                known.clone_from(&interface);
                self.moves.insert(id, interface.clone());
                self.moved.insert(id, interface);
            }
            None => self.want_change(),
        }
    }
}

impl Engine {
    /// Some nexthops could not be moved: of these we no longer know where they lead, so the kernel
    /// is asked at once, and what is wrong is put right.
    pub(super) fn not_moved(&mut self, failed: &[NexthopId]) {
        if failed.is_empty() {
            return;
        }
        for id in failed {
            self.moved.remove(id);
            if let Some(observed) = &mut self.observed {
                observed.nexthops.remove(id);
            }
        }
        self.want_change();
        self.observe();
    }
}

pub(super) fn usable(
    config: &RouterConfig,
    environment: Option<&Environment>,
    path: PathId,
) -> bool {
    environment.is_none_or(|environment| uplink_usable(config, environment, path.local))
}

/// Whether the interface of a LAN is there, up, and has a carrier.
fn lan_up(environment: &Environment, lan: &Lan) -> bool {
    let interface = environment.lans.get(&lan.interface);
    interface.is_some_and(|interface| interface.carrier)
}

fn uplink_usable(config: &RouterConfig, environment: &Environment, slot: Slot) -> bool {
    uplink_fault(config, environment, slot).is_none()
}

/// An uplink carries packets when it has carrier, an address and a gateway.
pub(crate) fn uplink_fault(
    config: &RouterConfig,
    environment: &Environment,
    slot: Slot,
) -> Option<UplinkFault> {
    let uplink = config.uplinks.iter().find(|uplink| uplink.slot == slot);
    let Some((uplink, state)) = uplink.zip(environment.uplinks.get(&slot)) else {
        return Some(UplinkFault::Missing);
    };
    let gateway = effective(uplink.gateway4, state.gateway4)
        .or_else(|| effective(uplink.gateway6, state.gateway6));
    // On a point-to-point or flat underlay nobody configures a gateway.
    let flat = (uplink.gateway4, uplink.gateway6) == (Gateway::None, Gateway::None);
    if !state.carrier {
        Some(UplinkFault::Down)
    } else if state.addresses.is_empty() {
        Some(UplinkFault::NoAddress)
    } else if gateway.is_none() && !flat {
        Some(UplinkFault::NoGateway)
    } else {
        None
    }
}
