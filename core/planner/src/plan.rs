//! What each router is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use patronus_model::ids::{PolicyName, SiteId};
use patronus_model::intent::{self, Allocations, Intent, Site};
use patronus_model::policy::{self, TrafficClass};
use patronus_model::router::{RemoteSite, RouterConfig};

use crate::pieces::{Planner, classes, default_class, policy_of};
use crate::reach::Reaches;

/// What is a router's own: its configuration without other sites and without policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Has no `remotes` and no `policies`. The public keys of its uplinks are not the router's, which
    /// has them from its own key store.
    pub config: RouterConfig,
    /// The files on the router that hold the passwords of its BGP neighbours, by the neighbours'
    /// places in `config.bgp.neighbors`.
    pub password_files: BTreeMap<usize, String>,
}

/// What a plan is made from.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// What people want. What it must be like is what [`crate::check`] and [`crate::allocate`] say:
    /// of one with errors, some pieces are
    /// missing.
    pub intent: Intent,
    /// What [`crate::reach`] made of what routers have said.
    pub reaches: Arc<Reaches>,
    /// What [`crate::allocate`] gave.
    pub allocations: Arc<Allocations>,
    /// The classes of a network that names none.
    pub default_classes: Arc<[TrafficClass]>,
}

/// What all routers of a network are told, in pieces that are shared.
#[derive(Clone, Debug)]
pub struct Plan {
    inputs: Inputs,
    /// The classes of the network, by id.
    pub(crate) classes: Vec<TrafficClass>,
    /// What each router is told of itself.
    pub(crate) own: BTreeMap<SiteId, Arc<Own>>,
    /// What the others are told of each site. One that has no key yet is not there.
    pub(crate) remotes: BTreeMap<SiteId, Arc<RemoteSite>>,
    /// Policies as routers have them.
    pub(crate) policies: BTreeMap<PolicyName, Arc<policy::Policy>>,
    /// To whom each site has paths.
    pub(crate) peers: BTreeMap<SiteId, Arc<[SiteId]>>,
    /// Which policies hold at each site.
    pub(crate) held: BTreeMap<SiteId, Arc<[PolicyName]>>,
}

impl Plan {
    /// Works everything out.
    #[must_use]
    pub fn new(inputs: Inputs) -> Self {
        Self::after(None, inputs)
    }

    /// The plan for other inputs. Only what may differ is worked out again; whatever is the same in
    /// both plans is the same object.
    #[must_use]
    pub fn next(&self, inputs: Inputs) -> Self {
        Self::after(Some(self), inputs)
    }

    fn after(before: Option<&Self>, inputs: Inputs) -> Self {
        let classes = classes(&inputs.intent, &inputs.default_classes);
        let mut plan = Self {
            classes,
            own: BTreeMap::new(),
            remotes: BTreeMap::new(),
            policies: BTreeMap::new(),
            peers: BTreeMap::new(),
            held: BTreeMap::new(),
            inputs,
        };
        plan.make_sites(before);
        plan.make_policies(before);
        plan.belong(before);
        plan
    }

    fn make_sites(&mut self, before: Option<&Self>) {
        let inputs = &self.inputs;
        let planner = Planner {
            network: &inputs.intent.network,
            reaches: &inputs.reaches,
            allocations: &inputs.allocations,
            classes: &self.classes,
            default_class: default_class(&inputs.intent.network, &self.classes),
        };
        let same_network =
            before.filter(|it| Arc::ptr_eq(&it.inputs.intent.network, &inputs.intent.network));
        let same_classes = same_network.filter(|it| it.classes == self.classes);
        for (id, site) in &inputs.intent.sites {
            let unchanged = |it: &&Self| it.inputs.is_same_site(inputs, site);
            let kept = same_classes.filter(unchanged).and_then(|it| it.own.get(id));
            if let Some(own) = kept.cloned().or_else(|| planner.own(site).map(Arc::new)) {
                self.own.insert(id.clone(), own);
            }
            let kept = same_network
                .filter(unchanged)
                .and_then(|it| it.remotes.get(id));
            if let Some(remote) = kept.cloned().or_else(|| planner.remote(site).map(Arc::new)) {
                self.remotes.insert(id.clone(), remote);
            }
        }
        if let Some(before) = before {
            share(&before.own, &mut self.own);
            share(&before.remotes, &mut self.remotes);
        }
    }

    fn make_policies(&mut self, before: Option<&Self>) {
        let policies = self.inputs.intent.policies.values();
        let model = |policy: &Arc<intent::Policy>| {
            let model = policy_of(policy, &self.classes)?;
            Some((policy.name.clone(), Arc::new(model)))
        };
        self.policies = policies.filter_map(model).collect();
        if let Some(before) = before {
            share(&before.policies, &mut self.policies);
        }
    }

    /// Finds out which pieces each router gets.
    fn belong(&mut self, before: Option<&Self>) {
        let intent = &self.inputs.intent;
        let topology = &intent.network.topology;
        let same_peers = before.filter(|it| {
            it.inputs.intent.network.topology == *topology
                && it.remotes.keys().eq(self.remotes.keys())
                && same_places(&it.inputs.intent, intent)
        });
        let same_policies = before.filter(|it| same_reach(&it.inputs.intent, intent));
        for (id, site) in &intent.sites {
            let peers = || {
                let others = intent.sites.iter();
                let others = others.filter(|(other, it)| {
                    *other != id && self.remotes.contains_key(*other) && topology.joins(site, it)
                });
                others.map(|(other, _)| other.clone()).collect()
            };
            let kept = same_peers.and_then(|it| it.peers.get(id)).cloned();
            self.peers.insert(id.clone(), kept.unwrap_or_else(peers));
            let held = || {
                let policies = intent.policies.values();
                let held = policies.filter(|policy| policy.sites.selects(site));
                held.map(|policy| policy.name.clone()).collect()
            };
            let kept = same_policies.and_then(|it| it.held.get(id)).cloned();
            self.held.insert(id.clone(), kept.unwrap_or_else(held));
        }
        if let Some(before) = before {
            share(&before.peers, &mut self.peers);
            share(&before.held, &mut self.held);
        }
    }

    /// What it was made from.
    #[must_use]
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// What a router is told of itself; `None` for a site that is not there.
    #[must_use]
    pub fn own(&self, site: &SiteId) -> Option<&Arc<Own>> {
        self.own.get(site)
    }

    /// What others are told of a site; `None` before one of its uplinks has a key.
    #[must_use]
    pub fn remote(&self, site: &SiteId) -> Option<&Arc<RemoteSite>> {
        self.remotes.get(site)
    }

    /// A policy as routers have it.
    #[must_use]
    pub fn policy(&self, name: &PolicyName) -> Option<&Arc<policy::Policy>> {
        self.policies.get(name)
    }

    /// The classes of the network, by which policies are told.
    #[must_use]
    pub fn classes(&self) -> &[TrafficClass] {
        &self.classes
    }

    /// What it is told of others, in the order of their ids.
    pub fn remotes(&self, site: &SiteId) -> impl Iterator<Item = &Arc<RemoteSite>> {
        let peers = self.peers.get(site).into_iter().flat_map(|ids| ids.iter());
        peers.filter_map(|id| self.remotes.get(id))
    }

    /// The policies that hold there, in the order of their names.
    pub fn policies(&self, site: &SiteId) -> impl Iterator<Item = &Arc<policy::Policy>> {
        let held = self
            .held
            .get(site)
            .into_iter()
            .flat_map(|names| names.iter());
        held.filter_map(|name| self.policies.get(name))
    }

    /// The whole configuration of a router, with the keys that it has told.
    #[must_use]
    pub fn config(&self, site: &SiteId) -> Option<RouterConfig> {
        let mut config = self.own.get(site)?.config.clone();
        config.remotes = self
            .remotes(site)
            .map(|site| RemoteSite::clone(site))
            .collect();
        config.remotes.sort_by_key(|site| site.number);
        config.policies = self
            .policies(site)
            .map(|it| policy::Policy::clone(it))
            .collect();
        config.policies.sort_by_key(|policy| policy.priority);
        Some(config)
    }
}

impl Inputs {
    /// Whether all that is known of one site is what was known of it before.
    fn is_same_site(&self, now: &Self, site: &Arc<Site>) -> bool {
        let same = |before: &Arc<Site>| Arc::ptr_eq(before, site) || before == site;
        let (id, given, gives) = (&site.id, &self.allocations, &now.allocations);
        self.intent.sites.get(id).is_some_and(same)
            && given.numbers.get(id) == gives.numbers.get(id)
            && given.hubs.get(id) == gives.hubs.get(id)
            && site.uplinks.iter().all(|uplink| {
                let key = (id.clone(), uplink.name.clone());
                given.slots.get(&key) == gives.slots.get(&key)
                    && self.reaches.get(&key) == now.reaches.get(&key)
            })
    }
}

/// Whether all sites are where they were in the topology.
fn same_places(before: &Intent, now: &Intent) -> bool {
    let same = |(before, now): (&Arc<Site>, &Arc<Site>)| {
        Arc::ptr_eq(before, now)
            || (&before.id, before.hub, &before.labels) == (&now.id, now.hub, &now.labels)
    };
    before.sites.len() == now.sites.len() && before.sites.values().zip(now.sites.values()).all(same)
}

/// Whether all policies hold where they held.
fn same_reach(before: &Intent, now: &Intent) -> bool {
    let same = |(before, now): (&Arc<intent::Policy>, &Arc<intent::Policy>)| {
        Arc::ptr_eq(before, now) || (&before.name, &before.sites) == (&now.name, &now.sites)
    };
    same_places(before, now)
        && before.policies.len() == now.policies.len()
        && before
            .policies
            .values()
            .zip(now.policies.values())
            .all(same)
}

/// Puts the old object in the place of a new one which is equal.
fn share<K: Ord, V: ?Sized + PartialEq>(
    before: &BTreeMap<K, Arc<V>>,
    after: &mut BTreeMap<K, Arc<V>>,
) {
    for (key, value) in after {
        if let Some(old) = before.get(key).filter(|old| *old == value) {
            *value = Arc::clone(old);
        }
    }
}
