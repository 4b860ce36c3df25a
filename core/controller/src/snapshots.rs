//! What routers are sent: the plan as texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use patronus_config::{Secrets, render_own, render_policy, render_site};
use patronus_control::session::{Changes, NotWhole, Piece, PieceId, Snapshot};
use patronus_model::ids::{ClassName, PolicyName, SiteId};
use patronus_model::policy::{Action, Policy};
use patronus_model::router::RemoteSite;
use patronus_planner::{Change, Plan};

/// The configurations of all routers, as they are sent to them. Pieces that are the same for many
/// routers are there once, also from one plan to the next.
#[derive(Clone, Debug)]
pub struct Snapshots {
    plan: Plan,
    pieces: Pieces,
    sites: BTreeMap<SiteId, Result<Snapshot, NotWhole>>,
}

type Made = Result<Arc<Piece>, NotWhole>;

/// Pieces that routers share, with what they were made from.
#[derive(Clone, Debug, Default)]
struct Pieces {
    sites: BTreeMap<SiteId, (Arc<RemoteSite>, Made)>,
    policies: BTreeMap<PolicyName, (Arc<Policy>, Option<ClassName>, Made)>,
}

impl Snapshots {
    /// Works all of them out. Given those of an earlier plan, only what changed since is made again.
    #[must_use]
    pub fn new(plan: Plan, before: Option<&Self>) -> Self {
        let mut pieces = before.map(|it| it.pieces.clone()).unwrap_or_default();
        pieces.sites.retain(|id, _| plan.remote(id).is_some());
        pieces.policies.retain(|id, _| plan.policy(id).is_some());
        let mut sites = before.map(|it| it.sites.clone()).unwrap_or_default();
        for (site, change) in plan.changes(before.map(|it| &it.plan)) {
            // Of one that could not be put together there is nothing to be changed.
            let made = match sites.remove(&site) {
                Some(Ok(base)) => pieces.changed(&plan, &site, &change, Some(&base)),
                Some(Err(_)) | None => pieces.changed(&plan, &site, &plan.all(&site), None),
            };
            if let Some(made) = made {
                sites.insert(site, made);
            }
        }
        Self {
            plan,
            pieces,
            sites,
        }
    }

    /// The sites that there are.
    pub fn sites(&self) -> impl Iterator<Item = &SiteId> {
        self.sites.keys()
    }

    /// What the router of a site is sent, or why it cannot be; `None` where there is no such site.
    #[must_use]
    pub fn get(&self, site: &SiteId) -> Option<Result<&Snapshot, &NotWhole>> {
        self.sites.get(site).map(Result::as_ref)
    }
}

impl Pieces {
    /// The configuration of one router; `None` where there is none any more.
    fn changed(
        &mut self,
        plan: &Plan,
        site: &SiteId,
        change: &Change,
        base: Option<&Snapshot>,
    ) -> Option<Result<Snapshot, NotWhole>> {
        let own = plan.own(site)?;
        let own = change.own.then(|| {
            let text = render_own(&own.config, Secrets::Written, &own.password_files);
            Piece::new(PieceId::Own, text).map(Arc::new)
        });
        let sites = change.sites.iter();
        let sites: Vec<Made> = sites.filter_map(|id| self.site(plan, id)).collect();
        let policies = change.policies.iter();
        let policies = policies.filter_map(|name| self.policy(plan, name));
        let put = own.into_iter().chain(sites).chain(policies);
        let put: Vec<Arc<Piece>> = match put.collect() {
            Ok(put) => put,
            Err(error) => return Some(Err(error)),
        };
        let sites = change.sites_gone.iter().cloned().map(PieceId::Site);
        let policies = change.policies_gone.iter().cloned().map(PieceId::Policy);
        let gone = sites.chain(policies).collect();
        Some(Snapshot::changed(base, Changes { put, gone }))
    }

    fn site(&mut self, plan: &Plan, id: &SiteId) -> Option<Made> {
        let remote = plan.remote(id)?;
        let known = self.sites.get(id);
        if let Some((_, made)) = known.filter(|(of, _)| Arc::ptr_eq(of, remote)) {
            return Some(made.clone());
        }
        let made = Piece::new(PieceId::Site(id.clone()), render_site(remote)).map(Arc::new);
        let known = (Arc::clone(remote), made.clone());
        self.sites.insert(id.clone(), known);
        Some(made)
    }

    fn policy(&mut self, plan: &Plan, name: &PolicyName) -> Option<Made> {
        let policy = plan.policy(name)?;
        let class = match policy.action {
            Action::Route(id) => plan.classes().iter().find(|class| class.id == id),
            Action::Drop => None,
        };
        // Policies are told the name of their class, and have its number.
        let class = class.map(|class| class.name.clone());
        let known = self.policies.get(name);
        let is_it = |(of, with, _): &&(Arc<Policy>, Option<ClassName>, Made)| {
            Arc::ptr_eq(of, policy) && *with == class
        };
        if let Some((_, _, made)) = known.filter(is_it) {
            return Some(made.clone());
        }
        let text = render_policy(policy, plan.classes());
        let made = Piece::new(PieceId::Policy(name.clone()), text).map(Arc::new);
        let known = (Arc::clone(policy), class, made.clone());
        self.policies.insert(name.clone(), known);
        Some(made)
    }
}
