//! A picture of the router in which things are found by the ids that others use for them.

use std::collections::HashMap;
use std::sync::Arc;

use patronus_model::ids::{ClassId, PathId, SiteId, SiteNumber, Slot};
use patronus_model::view::{ClassView, PathView, RouterView, SiteView};

pub(crate) struct Snapshot {
    pub(crate) view: Arc<RouterView>,
    paths: HashMap<PathId, usize>,
    paths_to: HashMap<SiteNumber, Vec<usize>>,
    sites: HashMap<SiteNumber, usize>,
    site_ids: HashMap<SiteId, usize>,
}

impl Snapshot {
    pub(crate) fn new(view: Arc<RouterView>) -> Self {
        let paths = view.paths.iter().enumerate();
        let sites = view.sites.iter().enumerate();
        let mut paths_to: HashMap<SiteNumber, Vec<usize>> = HashMap::new();
        for (at, path) in paths.clone() {
            paths_to.entry(path.id.site).or_default().push(at);
        }
        Self {
            paths: paths.map(|(at, path)| (path.id, at)).collect(),
            paths_to,
            sites: sites.clone().map(|(at, site)| (site.number, at)).collect(),
            site_ids: sites.map(|(at, site)| (site.id.clone(), at)).collect(),
            view,
        }
    }

    pub(crate) fn path(&self, id: PathId) -> Option<&PathView> {
        self.view.paths.get(*self.paths.get(&id)?)
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

    pub(crate) fn class(&self, id: ClassId) -> Option<&ClassView> {
        self.view.classes.iter().find(|class| class.id == id)
    }

    /// What a class is called; an event may speak of one that is no longer configured.
    pub(crate) fn class_name(&self, id: ClassId) -> String {
        self.class(id)
            .map_or_else(|| format!("class {id}"), |class| class.name.to_string())
    }

    /// What a site is called.
    pub(crate) fn site_name(&self, number: SiteNumber) -> String {
        self.site(number)
            .map_or_else(|| format!("site {number}"), |site| site.id.to_string())
    }

    /// What one of our uplinks is called.
    pub(crate) fn uplink_name(&self, slot: Slot) -> String {
        let uplink = self.view.uplinks.iter().find(|uplink| uplink.slot == slot);
        uplink.map_or_else(|| slot.to_string(), |uplink| uplink.name.to_string())
    }

    /// The two ends of a path; the numbers of their slots for one that no longer exists.
    pub(crate) fn path_ends(&self, id: PathId) -> (String, String) {
        match self.path(id) {
            Some(path) => (path.local.to_string(), path.remote.to_string()),
            None => (self.uplink_name(id.local), id.remote.to_string()),
        }
    }

    /// A path as people read it: `fibre → lte`.
    pub(crate) fn path_name(&self, id: PathId) -> String {
        let (local, remote) = self.path_ends(id);
        format!("{local} → {remote}")
    }

    /// A path as programs name it: `berlin.fibre~lisbon.lte`. Unique in the whole network, and
    /// made of characters that need no escaping in a URL.
    pub(crate) fn path_id(&self, id: PathId) -> String {
        let (local, remote) = self.path_ends(id);
        let site = match self.site(id.site) {
            Some(site) => site.id.to_string(),
            None => id.site.to_string(),
        };
        format!("{}.{local}~{site}.{remote}", self.view.site)
    }
}
