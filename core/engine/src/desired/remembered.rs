//! The routes that were worked out last, brought up to date instead of made anew: of 10,000
//! prefixes in five classes a few change at a time.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use patronus_model::ids::{ClassId, SiteNumber};
use patronus_model::kernel::{Environment, RouteTarget};
use patronus_model::router::RouterConfig;

use super::guards::Guards;
use super::{Routes, Sources, all_routes, guard, learned_route, ordinary};
use crate::sorted::differing;

/// The routes, and what they were made of.
#[derive(Debug)]
pub(crate) struct Remembered {
    config: RouterConfig,
    environment: Environment,
    decided: BTreeSet<(SiteNumber, ClassId)>,
    owners: BTreeMap<IpNet, SiteNumber>,
    guards: Guards,
    routes: Routes,
}

impl Remembered {
    /// The routes that should be there, whatever was remembered: they are the same as made anew.
    /// Taken out to be compared; [`Self::put_back`] keeps them for the next time.
    pub(crate) fn routes(remembered: &mut Option<Self>, sources: Sources<'_>) -> Routes {
        let guards = Guards::new(sources);
        let old = remembered.take().filter(|old| old.fits(sources, &guards));
        let new = match old {
            Some(old) => old.patched(sources, guards),
            None => Self::anew(sources, guards),
        };
        std::mem::take(&mut remembered.insert(new).routes)
    }

    /// Gives back what [`Self::routes`] gave out.
    pub(crate) fn put_back(remembered: &mut Option<Self>, routes: Routes) {
        if let Some(remembered) = remembered {
            remembered.routes = routes;
        }
    }

    fn anew(sources: Sources<'_>, guards: Guards) -> Self {
        Self {
            config: sources.config.clone(),
            environment: sources.environment.clone(),
            decided: sources.choices.keys().copied().collect(),
            owners: sources.ownership.owners.clone(),
            routes: all_routes(sources, &guards),
            guards,
        }
    }

    /// Whether nothing has changed but whose prefixes are, and which are guarded.
    fn fits(&self, sources: Sources<'_>, guards: &Guards) -> bool {
        self.config == *sources.config
            && self.environment == *sources.environment
            && self.decided.iter().eq(sources.choices.keys())
            && self.guards.serve_alike(guards)
    }

    fn patched(mut self, sources: Sources<'_>, guards: Guards) -> Self {
        let layout = &sources.config.layout;
        let owners = &sources.ownership.owners;
        let mut changed = false;
        for prefix in differing(&self.owners, owners) {
            changed = true;
            // There it stays local, whoever announces it.
            if guards.local.contains(prefix) {
                continue;
            }
            for class in &sources.config.classes {
                let key = ordinary(layout.class_table(class.id), *prefix);
                self.routes.remove(&key);
                let site = owners.get(prefix).copied();
                let decided = |site: &SiteNumber| sources.choices.contains_key(&(*site, class.id));
                if let Some(site) = site.filter(decided) {
                    let target = learned_route(sources.config, prefix, site, class.id);
                    self.routes.insert(key, target);
                }
            }
        }
        if changed {
            self.owners.clone_from(owners);
        }
        let table = layout.guard_table();
        for prefix in self.guards.guarded.difference(&guards.guarded) {
            self.routes.remove(&guard(table, *prefix));
        }
        for prefix in guards.guarded.difference(&self.guards.guarded) {
            let unreachable = RouteTarget::Unreachable;
            self.routes.insert(guard(table, *prefix), unreachable);
        }
        self.guards = guards;
        self
    }
}
