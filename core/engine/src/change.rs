//! What a configuration says otherwise than the one before it.

use std::collections::BTreeSet;

use ipnet::IpNet;
use patronus_model::change::{Change, ConfigChange, ConfigPart};
use patronus_model::router::{Bgp, RemoteSite, RouterConfig};

use crate::ownership::{is_within, overlay_prefixes};

/// The parts that are not as they were, in the order of the file's sections; of each kind what was
/// added or changed comes before what is gone.
#[must_use]
pub fn changes(old: &RouterConfig, new: &RouterConfig) -> Vec<ConfigChange> {
    let whole = |part, same: bool| {
        (!same).then(|| ConfigChange {
            part,
            name: String::new(),
            change: Change::Changed,
        })
    };
    let default_class = |config: &RouterConfig| {
        let mut classes = config.classes.iter();
        let class = classes.find(|class| class.id == config.default_class);
        class.map(|class| class.name.clone())
    };
    let own = (&old.site, old.hub) == (&new.site, new.hub);
    let mut found = Vec::new();
    found.extend(whole(ConfigPart::Own, own));
    found.extend(whole(ConfigPart::Overlay, old.overlay == new.overlay));
    let list = &mut found;
    named(
        ConfigPart::Uplink,
        &old.uplinks,
        &new.uplinks,
        |it| it.name.to_string(),
        list,
    );
    named(
        ConfigPart::Lan,
        &old.lans,
        &new.lans,
        |it| it.interface.to_string(),
        list,
    );
    named(
        ConfigPart::Site,
        &old.remotes,
        &new.remotes,
        |it| it.id.to_string(),
        list,
    );
    found.extend(whole(
        ConfigPart::Bgp,
        same_but_neighbors(&old.bgp, &new.bgp),
    ));
    let (before, after) = (&old.bgp.neighbors, &new.bgp.neighbors);
    let list = &mut found;
    named(
        ConfigPart::Neighbor,
        before,
        after,
        |it| it.address.to_string(),
        list,
    );
    named(
        ConfigPart::Class,
        &old.classes,
        &new.classes,
        |it| it.name.to_string(),
        list,
    );
    found.extend(whole(
        ConfigPart::DefaultClass,
        default_class(old) == default_class(new),
    ));
    let list = &mut found;
    named(
        ConfigPart::Policy,
        &old.policies,
        &new.policies,
        |it| it.name.to_string(),
        list,
    );
    found.extend(whole(ConfigPart::Health, old.health == new.health));
    found.extend(whole(ConfigPart::Kernel, old.layout == new.layout));
    found
}

/// What a configuration names of what must not leave by an uplink in the clear.
pub(crate) fn guarded(config: &RouterConfig) -> BTreeSet<IpNet> {
    let declared = config.remotes.iter();
    let declared = declared.flat_map(RemoteSite::prefixes_and_addresses);
    let all = overlay_prefixes(config).chain(declared);
    let all = all.map(|prefix| prefix.trunc());
    all.filter(|prefix| prefix.prefix_len() > 0).collect()
}

/// What one configuration named of it and is not within anything that is guarded now, without what
/// is part of another such prefix.
pub(crate) fn opened(old: &RouterConfig, guarded: &BTreeSet<IpNet>) -> Vec<IpNet> {
    let old = self::guarded(old).into_iter();
    let open = old.filter(|prefix| !is_within(prefix, |wide| guarded.contains(wide)));
    let open: BTreeSet<IpNet> = open.collect();
    let is_part =
        |prefix: &&IpNet| is_within(prefix, |wide| wide != *prefix && open.contains(wide));
    open.iter().filter(|it| !is_part(it)).copied().collect()
}

/// Of a list, what has another name is another thing.
fn named<T: PartialEq>(
    part: ConfigPart,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> String,
    found: &mut Vec<ConfigChange>,
) {
    let before: std::collections::BTreeMap<String, &T> =
        old.iter().map(|it| (name(it), it)).collect();
    let after: std::collections::BTreeSet<String> = new.iter().map(&name).collect();
    let mut say = |name: String, change| found.push(ConfigChange { part, name, change });
    for it in new {
        let name = name(it);
        match before.get(&name) {
            None => say(name, Change::Added),
            Some(was) if *was != it => say(name, Change::Changed),
            Some(_) => {}
        }
    }
    for name in old.iter().map(&name).filter(|name| !after.contains(name)) {
        say(name, Change::Removed);
    }
}

fn same_but_neighbors(old: &Bgp, new: &Bgp) -> bool {
    let without = |bgp: &Bgp| Bgp {
        neighbors: Vec::new(),
        ..bgp.clone()
    };
    without(old) == without(new)
}
