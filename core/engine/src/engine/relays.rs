//! Which paths may carry the traffic of a site: those that lead to it and, where none of them is
//! left, those to a hub that carries it on.

use std::collections::BTreeSet;

use patronus_model::ids::{IfName, PathId, SiteNumber};
use patronus_model::path::PathState;

use super::Engine;
use crate::decide::Contender;

impl Engine {
    /// The paths to a site, and by hubs while every one of its own is down, or traffic is on one of
    /// them. `current` is where its traffic is.
    pub(crate) fn contenders(
        &self,
        site: SiteNumber,
        current: Option<PathId>,
    ) -> Vec<Contender<'_>> {
        let mut contenders: Vec<_> = self.paths_of(site, false).collect();
        let astray = current.is_some_and(|path| path.site != site);
        let lost = |it: &Contender<'_>| it.health.state == PathState::Down;
        if astray || contenders.iter().all(lost) {
            let of_use = |it: &Contender<'_>| {
                Some(it.id) == current
                    || matches!(it.health.state, PathState::Up | PathState::Degraded)
            };
            let relays = self.relays(site).flat_map(|hub| self.paths_of(hub, true));
            contenders.extend(relays.filter(of_use));
        }
        contenders
    }

    /// The paths to a site itself; as relays, if it is a hub that carries on.
    pub(super) fn paths_of(
        &self,
        site: SiteNumber,
        relay: bool,
    ) -> impl Iterator<Item = Contender<'_>> {
        self.topology.paths_to(site).filter_map(move |(id, spec)| {
            Some(Contender {
                id,
                spec,
                health: self.health.get(&id)?,
                relay,
            })
        })
    }

    /// The hubs that may carry the traffic of a site. A hub itself sends nothing to another one but
    /// what BGP says: two that lost the same site would send its packets to and fro.
    fn relays(&self, site: SiteNumber) -> impl Iterator<Item = SiteNumber> + '_ {
        let config = self.config.as_ref().filter(|config| config.hub.is_none());
        let remotes = config.into_iter().flat_map(|config| &config.remotes);
        let hubs = remotes.filter(move |remote| remote.hub.is_some() && remote.number != site);
        hubs.map(|hub| hub.number)
    }

    /// The path that leads out by an interface, to a site or to a hub that carries on to it.
    pub(super) fn path_by(&self, site: SiteNumber, interface: &IfName) -> Option<PathId> {
        let sites = std::iter::once(site).chain(self.relays(site));
        let mut paths = sites.flat_map(|site| self.topology.paths_to(site));
        let found = paths.find(|(_, spec)| spec.interface == *interface);
        found.map(|(path, _)| path)
    }

    /// The sites whose traffic is on a path to one of these, which are others.
    pub(super) fn relayed_by(&self, hubs: &BTreeSet<SiteNumber>) -> BTreeSet<SiteNumber> {
        let choices = self.choices.iter().filter(|((site, _), choice)| {
            let to = choice.path.map(|path| path.site);
            to.is_some_and(|to| to != *site && hubs.contains(&to) && !hubs.contains(site))
        });
        choices.map(|((site, _), _)| *site).collect()
    }
}
