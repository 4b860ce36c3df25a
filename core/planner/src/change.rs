//! What changes on which router.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patronus_model::ids::{ClassId, ClassName, PolicyName, SiteId};
use patronus_model::policy::{Action, Policy};

use crate::plan::Plan;

/// What changes, by site. Sites that stay as they are, are not there.
pub type Changes = BTreeMap<SiteId, Change>;

/// What changes on one router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// It is told something else of itself. Also where the site is new, or gone.
    pub own: bool,
    /// Sites of which it is told something new.
    pub sites: BTreeSet<SiteId>,
    /// Sites of which it is told no more.
    pub sites_gone: BTreeSet<SiteId>,
    /// Policies that are new there, or changed.
    pub policies: BTreeSet<PolicyName>,
    /// Policies that hold there no more.
    pub policies_gone: BTreeSet<PolicyName>,
}

impl Change {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Plan {
    /// What routers have to be told to get from `before`, or from nothing, to this.
    ///
    /// The cost grows with the number of changed pieces times that of sites, not with the size of
    /// the configurations, if this was made by [`Plan::next`] of `before`.
    #[must_use]
    pub fn changes(&self, before: Option<&Self>) -> Changes {
        let Some(before) = before else {
            return self
                .own
                .keys()
                .map(|site| (site.clone(), self.all(site)))
                .collect();
        };
        let remotes = touched(&before.remotes, &self.remotes);
        let mut policies = touched(&before.policies, &self.policies);
        policies.extend(self.renamed(before));
        let mut changes = Changes::new();
        let sites: BTreeSet<&SiteId> = before.own.keys().chain(self.own.keys()).collect();
        for site in sites {
            let mut change = Change {
                own: !same(before.own.get(site), self.own.get(site)),
                ..Change::default()
            };
            (change.sites, change.sites_gone) =
                members(before.peers.get(site), self.peers.get(site), &remotes);
            (change.policies, change.policies_gone) =
                members(before.held.get(site), self.held.get(site), &policies);
            if !change.is_empty() {
                changes.insert(site.clone(), change);
            }
        }
        changes
    }
}

impl Plan {
    /// Policies whose class has another name than before. They are the same by the class's number, but
    /// routers are told the name.
    fn renamed(&self, before: &Self) -> impl Iterator<Item = PolicyName> {
        let has_other_name = |policy: &&Arc<Policy>| match policy.action {
            Action::Route(id) => self.class_name(id) != before.class_name(id),
            Action::Drop => false,
        };
        let renamed = self.policies.values().filter(has_other_name);
        renamed.map(|policy| policy.name.clone())
    }

    fn class_name(&self, id: ClassId) -> Option<&ClassName> {
        let class = self.classes.iter().find(|class| class.id == id);
        class.map(|class| &class.name)
    }

    /// Everything that a router is told.
    #[must_use]
    pub fn all(&self, site: &SiteId) -> Change {
        Change {
            own: true,
            sites: self.remotes(site).map(|remote| remote.id.clone()).collect(),
            policies: self
                .policies(site)
                .map(|policy| policy.name.clone())
                .collect(),
            ..Change::default()
        }
    }
}

fn same<T: ?Sized + PartialEq>(before: Option<&Arc<T>>, after: Option<&Arc<T>>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => Arc::ptr_eq(before, after) || before == after,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The keys whose values differ.
fn touched<K: Ord + Clone, V: PartialEq>(
    before: &BTreeMap<K, Arc<V>>,
    after: &BTreeMap<K, Arc<V>>,
) -> BTreeSet<K> {
    let keys = before.keys().chain(after.keys());
    let differs = |key: &&K| !same(before.get(*key), after.get(*key));
    keys.filter(differs).cloned().collect()
}

/// Of a site's members, those which are new or changed, and those which are no more.
fn members<K: Ord + Clone>(
    before: Option<&Arc<[K]>>,
    after: Option<&Arc<[K]>>,
    touched: &BTreeSet<K>,
) -> (BTreeSet<K>, BTreeSet<K>) {
    let list = |of: Option<&Arc<[K]>>| of.map_or_else(|| Arc::from(Vec::new()), Arc::clone);
    let (before, after) = (list(before), list(after));
    // Lists are sorted.
    let has = |list: &Arc<[K]>, key: &K| list.binary_search(key).is_ok();
    let mut put: BTreeSet<K> = touched
        .iter()
        .filter(|key| has(&after, key))
        .cloned()
        .collect();
    if Arc::ptr_eq(&before, &after) || before == after {
        return (put, BTreeSet::new());
    }
    put.extend(after.iter().filter(|key| !has(&before, key)).cloned());
    let gone = before.iter().filter(|key| !has(&after, key));
    (put, gone.cloned().collect())
}
