//! A configuration comes into force.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use patronus_model::Timestamp;
use patronus_model::change::Changes;
use patronus_model::event::Event;
use patronus_model::ids::{ClassId, PathId};
use patronus_model::path::Liveness;
use patronus_model::router::RouterConfig;

use super::paths::usable;
use super::reconciliation::configured_endpoints;
use super::{Effect, Engine, Watch};
use crate::change;
use crate::decide::Choice;
use crate::health::PathHealth;
use crate::ownership::is_within;
use crate::routing::bgp_instance;
use crate::topology::Topology;

impl Engine {
    pub(super) fn configure(&mut self, now: Timestamp, config: Arc<RouterConfig>) {
        let old = self.config.replace(Arc::clone(&config));
        self.renumber_uplinks(old.as_deref(), &config);
        self.configured = now;
        let watched = old.as_deref().map(|old| self.watches(old));
        self.topology = Topology::new(&config);
        let guarded = self.ownership.guarded(&self.learned).collect();
        let kept = self.learned.configure(now, &config, &guarded);
        self.health
            .retain(|path, _| self.topology.paths.contains_key(path));
        let sites = self.topology.sites();
        self.silences.retain(|site, _| sites.contains(site));
        for path in self.topology.paths.keys() {
            let usable = usable(&config, self.environment.as_ref(), *path);
            self.health
                .entry(*path)
                .or_insert_with(|| PathHealth::new(now, usable));
        }
        let watches = self.watches(&config);
        self.watch_anew(now, &watched.unwrap_or_default(), &watches);
        self.note_changed_endpoints(old.as_deref(), &config);
        self.reset_choices(now, old.as_deref(), &config);
        self.own();
        self.tell_of_prefixes();
        self.changes = old.as_deref().map(|old| self.changes(old, &config, kept));
        self.report(Event::Configured {
            paths: self.topology.paths.len(),
            policies: config.policies.len(),
            changes: self.changes.clone(),
        });
        self.look_around(now);
        self.effects.push_back(Effect::Watch(watches));
        self.effects
            .push_back(Effect::Bgp(Box::new(bgp_instance(&config))));
        self.want_change();
        self.next_tick = now;
        self.observe();
    }

    /// What is otherwise than before, now that it is known whose each prefix is.
    fn changes(&self, old: &RouterConfig, new: &RouterConfig, kept: Vec<IpNet>) -> Changes {
        let mut guarded = change::guarded(new);
        let named = |prefix: &IpNet| is_within(prefix, |wide| guarded.contains(wide));
        let kept = kept.into_iter().filter(|prefix| !named(prefix)).collect();
        guarded.extend(self.ownership.guarded(&self.learned));
        Changes {
            parts: change::changes(old, new),
            kept,
            opened: change::opened(old, &guarded),
        }
    }

    /// Of paths that get another BFD session nothing is known any more. BFD says so itself, but of one
    /// after the other: traffic would flee from each to the next, of which nothing is known either.
    fn watch_anew(&mut self, now: Timestamp, before: &[Watch], after: &[Watch]) {
        let before: BTreeMap<PathId, &Watch> = before.iter().map(|it| (it.path, it)).collect();
        let changed = |watch: &&Watch| before.get(&watch.path).is_some_and(|old| old != watch);
        for watch in after.iter().filter(changed) {
            if let Some(health) = self.health.get_mut(&watch.path) {
                health.hear(now, Liveness::Begun);
            }
        }
    }

    /// What is known of an interface stays known of it when its uplink gets another slot, until the
    /// surroundings are told anew: else its slot would speak of another interface, or of none.
    fn renumber_uplinks(&mut self, old: Option<&RouterConfig>, new: &RouterConfig) {
        let (Some(old), Some(environment)) = (old, self.environment.as_mut()) else {
            return;
        };
        let known = environment.uplinks.clone();
        for uplink in &new.uplinks {
            let mut before = old.uplinks.iter();
            let Some(before) = before.find(|it| it.interface == uplink.interface) else {
                continue;
            };
            match known.get(&before.slot) {
                Some(state) => environment.uplinks.insert(uplink.slot, state.clone()),
                None => environment.uplinks.remove(&uplink.slot),
            };
        }
    }

    /// A peer whose configured address changed is spoken to at the new one, wherever it was heard
    /// before.
    pub(super) fn note_changed_endpoints(
        &mut self,
        old: Option<&RouterConfig>,
        new: &RouterConfig,
    ) {
        let Some(old) = old else { return };
        let (before, after) = (configured_endpoints(old), configured_endpoints(new));
        let changed = after
            .into_iter()
            .filter(|(key, endpoint)| before.get(key).is_some_and(|old| old != endpoint));
        self.forgotten.extend(changed.map(|(key, _)| key));
    }

    pub(super) fn reset_choices(
        &mut self,
        now: Timestamp,
        old: Option<&RouterConfig>,
        new: &RouterConfig,
    ) {
        let sites = self.topology.sites();
        let class = |id: ClassId| new.classes.iter().find(|class| class.id == id);
        self.choices
            .retain(|(site, id), _| sites.contains(site) && class(*id).is_some());
        for site in sites {
            for class in &new.classes {
                let choice = self
                    .choices
                    .entry((site, class.id))
                    .or_insert_with(|| Choice::none(now));
                let before = old.and_then(|old| old.classes.iter().find(|c| c.id == class.id));
                choice.reconsider |= before.is_some_and(|old| old.strategy != class.strategy);
            }
        }
    }

    pub(super) fn watches(&self, config: &RouterConfig) -> Vec<Watch> {
        let watch = |(path, spec): (&PathId, &crate::topology::PathSpec)| {
            let site = config
                .remotes
                .iter()
                .find(|site| site.number == path.site)?;
            Some(Watch {
                path: *path,
                interface: spec.interface.clone(),
                local: config.overlay.ipv4.addr().into(),
                remote: site.ipv4.into(),
            })
        };
        self.topology.paths.iter().filter_map(watch).collect()
    }
}
