//! What people call the things that ids stand for.

use std::collections::HashMap;

use patronus_model::ids::{ClassId, PathId, SiteNumber, Slot};
use patronus_model::router::RouterConfig;
use patronus_model::view::RouterView;

/// What people call the things that ids stand for. An event may speak of something that is no
/// longer configured; then the number has to do.
#[derive(Clone, Debug, Default)]
pub struct Names {
    site: String,
    uplinks: HashMap<Slot, String>,
    sites: HashMap<SiteNumber, String>,
    remote_uplinks: HashMap<(SiteNumber, Slot), String>,
    classes: HashMap<ClassId, String>,
}

impl Names {
    /// Those of a configuration.
    #[must_use]
    pub fn of_config(config: &RouterConfig) -> Self {
        let remotes = &config.remotes;
        let remote_uplinks = remotes.iter().flat_map(|site| {
            let uplinks = site.uplinks.iter();
            uplinks.map(|uplink| ((site.number, uplink.slot), uplink.name.to_string()))
        });
        let uplinks = config.uplinks.iter();
        let classes = config.classes.iter();
        Self {
            site: config.site.id.to_string(),
            uplinks: uplinks.map(|it| (it.slot, it.name.to_string())).collect(),
            sites: remotes
                .iter()
                .map(|it| (it.number, it.id.to_string()))
                .collect(),
            remote_uplinks: remote_uplinks.collect(),
            classes: classes.map(|it| (it.id, it.name.to_string())).collect(),
        }
    }

    /// The same, and beside them what was known before of things that are configured no more:
    /// events may still speak of those.
    #[must_use]
    pub fn after(self, before: Self) -> Self {
        fn both<K: Eq + std::hash::Hash>(
            now: HashMap<K, String>,
            before: HashMap<K, String>,
        ) -> HashMap<K, String> {
            before.into_iter().chain(now).collect()
        }
        Self {
            site: self.site,
            uplinks: both(self.uplinks, before.uplinks),
            sites: both(self.sites, before.sites),
            remote_uplinks: both(self.remote_uplinks, before.remote_uplinks),
            classes: both(self.classes, before.classes),
        }
    }

    /// Those of a picture of the router.
    #[must_use]
    pub fn of_view(view: &RouterView) -> Self {
        let remote_uplinks = view.paths.iter().map(|path| {
            let uplink = (path.id.site, path.id.remote);
            (uplink, path.remote.to_string())
        });
        let uplinks = view.uplinks.iter();
        let sites = view.sites.iter();
        let classes = view.classes.iter();
        Self {
            site: view.site.to_string(),
            uplinks: uplinks.map(|it| (it.slot, it.name.to_string())).collect(),
            sites: sites.map(|it| (it.number, it.id.to_string())).collect(),
            remote_uplinks: remote_uplinks.collect(),
            classes: classes.map(|it| (it.id, it.name.to_string())).collect(),
        }
    }

    /// What a class is called.
    #[must_use]
    pub fn class(&self, id: ClassId) -> String {
        let name = self.classes.get(&id);
        name.map_or_else(|| format!("class {id}"), Clone::clone)
    }

    /// What a site is called.
    #[must_use]
    pub fn site(&self, number: SiteNumber) -> String {
        let name = self.sites.get(&number);
        name.map_or_else(|| format!("site {number}"), Clone::clone)
    }

    /// What one of our uplinks is called.
    #[must_use]
    pub fn uplink(&self, slot: Slot) -> String {
        let name = self.uplinks.get(&slot);
        name.map_or_else(|| slot.to_string(), Clone::clone)
    }

    /// The uplinks at the two ends of a path.
    pub(crate) fn path_ends(&self, id: PathId) -> (String, String) {
        let remote = self.remote_uplinks.get(&(id.site, id.remote));
        let remote = remote.map_or_else(|| id.remote.to_string(), Clone::clone);
        (self.uplink(id.local), remote)
    }

    /// A path as people read it: `fibre → lte`.
    pub(crate) fn path(&self, id: PathId) -> String {
        let (local, remote) = self.path_ends(id);
        format!("{local} → {remote}")
    }

    /// A path on which traffic goes to a site, perhaps by a hub: `fibre → lte by oslo`.
    pub(crate) fn way(&self, to: SiteNumber, id: PathId) -> String {
        let path = self.path(id);
        if id.site == to {
            path
        } else {
            format!("{path} by {}", self.site(id.site))
        }
    }

    /// A path as programs name it: `berlin.fibre~lisbon.lte`. Unique in the whole network, and
    /// made of characters that need no escaping in a URL.
    #[must_use]
    pub fn path_id(&self, id: PathId) -> String {
        let (local, remote) = self.path_ends(id);
        let site = self.sites.get(&id.site);
        let site = site.map_or_else(|| id.site.to_string(), Clone::clone);
        format!("{}.{local}~{site}.{remote}", self.site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(uplinks: &[(u8, &str)], sites: &[(u16, &str)]) -> Names {
        let uplinks = uplinks.iter();
        let sites = sites.iter();
        Names {
            uplinks: uplinks
                .filter_map(|(slot, name)| Some((Slot::new(*slot).ok()?, (*name).to_owned())))
                .collect(),
            sites: sites
                .filter_map(|(n, name)| Some((SiteNumber::new(*n).ok()?, (*name).to_owned())))
                .collect(),
            ..Names::default()
        }
    }

    #[test]
    fn what_was_removed_keeps_its_name_unless_another_has_its_number() {
        let before = names(&[(1, "fibre"), (2, "lte")], &[(2, "lisbon"), (3, "oslo")]);
        let after = names(&[(2, "5g")], &[(3, "oslo")]).after(before);
        let uplink = |slot| after.uplink(Slot::new(slot).unwrap());
        let site = |number| after.site(SiteNumber::new(number).unwrap());
        assert_eq!([uplink(1), uplink(2)], ["fibre", "5g"]);
        assert_eq!([site(2), site(3)], ["lisbon", "oslo"]);
    }
}
