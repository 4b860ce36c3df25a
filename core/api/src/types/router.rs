//! The router as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};

use patronus_model::ids::SiteId;
use patronus_model::view::{Handshakes, NeighborView};

use super::event::Event;
use super::lan::Lan;
use super::path::PathTally;
use super::{BigInt, site, whole_ms};
use crate::request::Request;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::wellness::{self, Problem};

/// A label of a site.
#[derive(SimpleObject)]
pub(crate) struct Label {
    /// Its name.
    key: String,
    /// Its value.
    value: String,
}

impl From<(&String, &String)> for Label {
    fn from((key, value): (&String, &String)) -> Self {
        let (key, value) = (key.clone(), value.clone());
        Self { key, value }
    }
}

/// The router as a whole.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct Router {
    /// The site at which it is.
    site_id: ID,
    /// The site's name for people.
    name: String,
    /// Where the site is, for people.
    location: Option<String>,
    /// The site's labels, by which tools can select sites.
    labels: Vec<Label>,
    /// The version of patronusd.
    version: String,
    /// For how long the daemon has been running.
    uptime_ms: BigInt,
    /// For how long the configuration has been in force.
    configured_ms: BigInt,
    /// Whether what should be in the kernel is there, as far as is known.
    settled: bool,
    /// The networks behind the router.
    lans: Vec<Lan>,
    /// How the paths are doing.
    paths: PathTally,
    /// How many other sites there are.
    sites: BigInt,
    /// How many of them can be reached.
    sites_reachable: BigInt,
    #[graphql(skip)]
    from: Arc<Snapshot>,
}

#[ComplexObject]
impl Router {
    /// Whether there is no problem.
    async fn well(&self, context: &Context<'_>) -> Result<bool> {
        Ok(self.problems(context).await?.is_empty())
    }

    /// What is wrong, the worst first: causes, not all their consequences.
    async fn problems(&self, context: &Context<'_>) -> Result<Vec<Problem>> {
        let session = Session::of(context)?;
        let bgp = session.ask(Request::Bgp).await?;
        let nothing = Handshakes::default();
        let handshakes = match wellness::needs_handshakes(&self.from) {
            true => session.handshakes().await,
            false => &nothing,
        };
        Ok(wellness::problems(&self.from, &bgp, handshakes))
    }

    /// Of the sites that can be reached, those with BGP sessions of which none is established: what
    /// they would announce is not known.
    async fn sites_without_bgp(&self, context: &Context<'_>) -> Result<BigInt> {
        let bgp = Session::of(context)?.ask(Request::Bgp).await?;
        let (up, mut down): (BTreeSet<_>, BTreeSet<_>) = (
            sites_of(&bgp.neighbors, true),
            sites_of(&bgp.neighbors, false),
        );
        down.retain(|site| !up.contains(site));
        let sites = self.from.view.sites.iter();
        let reachable = sites.filter(|s| site::is_reachable(&self.from, s));
        Ok(reachable.filter(|s| down.contains(&s.id)).count().into())
    }

    /// The last time that traffic moved from one path to another.
    async fn last_move(&self, context: &Context<'_>) -> Result<Option<Event>> {
        let last = Session::of(context)?.ask(Request::LastMove).await?;
        Ok(last.as_ref().map(Event::new))
    }
}

/// Sites with a BGP session that is established, or with one that is not.
fn sites_of(neighbors: &[NeighborView], established: bool) -> BTreeSet<&SiteId> {
    let some = neighbors.iter().filter(|it| it.established == established);
    some.filter_map(|it| it.site.as_ref()).collect()
}

impl Router {
    pub(crate) fn new(from: Arc<Snapshot>) -> Self {
        let view = &from.view;
        let reachable = |s: &&patronus_model::view::SiteView| site::is_reachable(&from, s);
        Self {
            site_id: view.site.as_str().into(),
            name: view.name.clone(),
            location: view.location.clone(),
            labels: view.labels.iter().map(Label::from).collect(),
            lans: view.lans.iter().map(Lan::from).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: whole_ms(view.uptime),
            configured_ms: whole_ms(view.configured),
            settled: view.settled,
            paths: PathTally::of(view.paths.iter()),
            sites: view.sites.len().into(),
            sites_reachable: view.sites.iter().filter(reachable).count().into(),
            from,
        }
    }
}
