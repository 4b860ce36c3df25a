//! A picture of the router in which things are found by the ids that others use for them.

use std::collections::HashMap;
use std::sync::Arc;

use patronus_model::ids::{SiteId, SiteNumber};
use patronus_model::view::{PathView, RouterView, SiteView};

use crate::names::Names;

pub(crate) struct Snapshot {
    pub(crate) view: Arc<RouterView>,
    pub(crate) names: Names,
    paths_to: HashMap<SiteNumber, Vec<usize>>,
    sites: HashMap<SiteNumber, usize>,
    site_ids: HashMap<SiteId, usize>,
}

impl Snapshot {
    pub(crate) fn new(view: Arc<RouterView>) -> Self {
        let sites = view.sites.iter().enumerate();
        let mut paths_to: HashMap<SiteNumber, Vec<usize>> = HashMap::new();
        for (at, path) in view.paths.iter().enumerate() {
            paths_to.entry(path.id.site).or_default().push(at);
        }
        Self {
            paths_to,
            sites: sites.clone().map(|(at, site)| (site.number, at)).collect(),
            names: Names::of_view(&view),
            site_ids: sites.map(|(at, site)| (site.id.clone(), at)).collect(),
            view,
        }
    }

    pub(crate) fn site(&self, number: SiteNumber) -> Option<&SiteView> {
        self.view.sites.get(*self.sites.get(&number)?)
    }

    pub(crate) fn site_by_id(&self, id: &SiteId) -> Option<&SiteView> {
        self.view.sites.get(*self.site_ids.get(id)?)
    }

    pub(crate) fn paths_to(&self, site: SiteNumber) -> impl Iterator<Item = &PathView> {
        let places = self.paths_to.get(&site).into_iter().flatten();
        places.filter_map(|at| self.view.paths.get(*at))
    }
}
