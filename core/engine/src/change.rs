//! What a configuration says otherwise than the one before it.

mod keys;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use patronus_model::bgp::BgpNeighbor;
use patronus_model::change::{Change, ConfigChange, ConfigPart};
use patronus_model::policy::{Policy, TrafficClass};
use patronus_model::router::{Bgp, Lan, RemoteSite, RouterConfig, Uplink};

use crate::ownership::{is_within, overlay_prefixes};
use keys::Keys;

/// The parts that are not as they were, in the order of the file's sections; of each kind what was
/// added or changed comes before what is gone.
#[must_use]
pub fn changes(old: &RouterConfig, new: &RouterConfig) -> Vec<ConfigChange> {
    let default_class = |config: &RouterConfig| {
        let mut classes = config.classes.iter();
        let class = classes.find(|class| class.id == config.default_class);
        class.map(|class| class.name.clone())
    };
    let own = (&old.site, old.hub) == (&new.site, new.hub);
    let bgp = same_but_neighbors(&old.bgp, &new.bgp);
    let default_class = default_class(old) == default_class(new);
    let (overlay, health) = (old.overlay == new.overlay, old.health == new.health);
    let (before, after) = (&old.bgp.neighbors, &new.bgp.neighbors);
    let mut found = Found::default();
    found.whole(ConfigPart::Own, own, || keys::own(old, new));
    found.whole(ConfigPart::Overlay, overlay, || {
        keys::overlay(&old.overlay, &new.overlay)
    });
    let name = |it: &Uplink| it.name.to_string();
    found.named(
        ConfigPart::Uplink,
        &old.uplinks,
        &new.uplinks,
        name,
        keys::uplink,
    );
    let name = |it: &Lan| it.interface.to_string();
    found.named(ConfigPart::Lan, &old.lans, &new.lans, name, keys::lan);
    let name = |it: &RemoteSite| it.id.to_string();
    found.named(
        ConfigPart::Site,
        &old.remotes,
        &new.remotes,
        name,
        keys::site,
    );
    found.whole(ConfigPart::Bgp, bgp, || keys::bgp(&old.bgp, &new.bgp));
    let name = |it: &BgpNeighbor| it.address.to_string();
    found.named(ConfigPart::Neighbor, before, after, name, keys::neighbor);
    let name = |it: &TrafficClass| it.name.to_string();
    found.named(
        ConfigPart::Class,
        &old.classes,
        &new.classes,
        name,
        keys::class,
    );
    found.whole(ConfigPart::DefaultClass, default_class, Vec::new);
    let name = |it: &Policy| it.name.to_string();
    found.named(
        ConfigPart::Policy,
        &old.policies,
        &new.policies,
        name,
        keys::policy,
    );
    found.whole(ConfigPart::Health, health, || {
        keys::health(&old.health, &new.health)
    });
    found.whole(ConfigPart::Kernel, old.layout == new.layout, Vec::new);
    found.0
}

#[derive(Default)]
struct Found(Vec<ConfigChange>);

impl Found {
    fn say(&mut self, part: ConfigPart, name: String, change: Change, keys: Keys) {
        self.0.push(ConfigChange {
            part,
            name,
            change,
            keys,
        });
    }

    fn whole(&mut self, part: ConfigPart, same: bool, keys: impl Fn() -> Keys) {
        if !same {
            self.say(part, String::new(), Change::Changed, keys());
        }
    }

    /// Of a list, what has another name is another thing.
    fn named<T: PartialEq>(
        &mut self,
        part: ConfigPart,
        old: &[T],
        new: &[T],
        name: impl Fn(&T) -> String,
        keys: impl Fn(&T, &T) -> Keys,
    ) {
        let before: BTreeMap<String, &T> = old.iter().map(|it| (name(it), it)).collect();
        let after: BTreeSet<String> = new.iter().map(&name).collect();
        for it in new {
            let name = name(it);
            match before.get(&name) {
                None => self.say(part, name, Change::Added, Vec::new()),
                Some(was) if *was != it => self.say(part, name, Change::Changed, keys(was, it)),
                Some(_) => {}
            }
        }
        for name in old.iter().map(&name).filter(|name| !after.contains(name)) {
            self.say(part, name, Change::Removed, Vec::new());
        }
    }
}

/// What a configuration names of what must not leave by an uplink in the clear.
pub(crate) fn guarded(config: &RouterConfig) -> BTreeSet<IpNet> {
    let declared = config.remotes.iter();
    let declared = declared.flat_map(RemoteSite::prefixes_and_addresses);
    let all = overlay_prefixes(config).chain(declared);
    let all = all.map(|prefix| prefix.trunc());
    all.filter(|prefix| prefix.prefix_len() > 0).collect()
}

/// What one configuration named of it and is not all within what is guarded now, whatever pieces that
/// is in, without what is part of another such prefix.
pub(crate) fn opened(old: &RouterConfig, guarded: &BTreeSet<IpNet>) -> Vec<IpNet> {
    let guarded = IpNet::aggregate(&guarded.iter().copied().collect());
    let guarded: BTreeSet<IpNet> = guarded.into_iter().collect();
    let old = self::guarded(old).into_iter();
    let open = old.filter(|prefix| !is_within(prefix, |wide| guarded.contains(wide)));
    let open: BTreeSet<IpNet> = open.collect();
    let is_part =
        |prefix: &&IpNet| is_within(prefix, |wide| wide != *prefix && open.contains(wide));
    open.iter().filter(|it| !is_part(it)).copied().collect()
}

fn same_but_neighbors(old: &Bgp, new: &Bgp) -> bool {
    let without = |bgp: &Bgp| Bgp {
        neighbors: Vec::new(),
        ..bgp.clone()
    };
    without(old) == without(new)
}
