//! What holds for every intent and every change of it.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod network;

use std::collections::{BTreeMap, BTreeSet};

use network::{Edit, World, any_edits};
use patronus_config::{Secrets, assemble, render_own, render_policy, render_site};
use patronus_model::ids::SiteId;
use patronus_planner::{Change, Plan};
use proptest::prelude::*;

/// The pieces of a router's configuration, by their keys.
type Pieces = BTreeMap<String, String>;

fn pieces(plan: &Plan, site: &SiteId) -> Pieces {
    let mut pieces = Pieces::new();
    let Some(own) = plan.own(site) else {
        return pieces;
    };
    let text = render_own(&own.config, Secrets::Written, &own.password_files);
    pieces.insert("own".to_owned(), text);
    for remote in plan.remotes(site) {
        pieces.insert(format!("site/{}", remote.id), render_site(remote));
    }
    for policy in plan.policies(site) {
        let text = render_policy(policy, &own.config.classes);
        pieces.insert(format!("policy/{}", policy.name), text);
    }
    pieces
}

fn file(pieces: &Pieces) -> String {
    let of = |kind: &'static str| {
        let of_kind = pieces.iter().filter(move |(key, _)| key.starts_with(kind));
        of_kind.map(|(_, text)| text.as_str())
    };
    assemble(pieces.get("own").unwrap(), of("site/"), of("policy/"))
}

/// What a router makes of a change.
fn apply(pieces: &mut Pieces, change: &Change, after: &Pieces) {
    let mut put = |key: String| {
        let text = after.get(&key).unwrap().clone();
        pieces.insert(key, text);
    };
    if change.own && after.contains_key("own") {
        put("own".to_owned());
    }
    change.sites.iter().for_each(|id| put(format!("site/{id}")));
    change
        .policies
        .iter()
        .for_each(|name| put(format!("policy/{name}")));
    if change.own && !after.contains_key("own") {
        pieces.clear();
    }
    for id in &change.sites_gone {
        pieces.remove(&format!("site/{id}"));
    }
    for name in &change.policies_gone {
        pieces.remove(&format!("policy/{name}"));
    }
}

proptest! {
    /// Whatever passes the checks is taken by every router, and is what was planned.
    #[test]
    fn routers_take_what_was_planned(edits in any_edits(25)) {
        let mut world = World::default();
        edits.iter().for_each(|edit| world.edit(edit));
        let (plan, _) = world.plan(None);
        for id in world.intent.sites.keys() {
            let text = file(&pieces(&plan, id));
            let found = patronus_config::check(&text, "planned.yaml");
            let errors: Vec<String> = found
                .iter()
                .filter(|it| it.severity == patronus_config::Severity::Error)
                .map(ToString::to_string)
                .collect();
            prop_assert_eq!(errors, Vec::<String>::new(), "{}", text);
            let again = network::parse(&text, &plan, id);
            prop_assert_eq!(Some(again), plan.config(id), "{}", text);
        }
    }

    /// A plan that was made from the one before is the one that would be made anew, and what it
    /// says of changes leads there.
    #[test]
    fn changes_lead_from_one_plan_to_the_next(edits in any_edits(25)) {
        let mut world = World::default();
        let (mut plan, _) = world.plan(None);
        for edit in &edits {
            let sites: BTreeSet<SiteId> = world.intent.sites.keys().cloned().collect();
            let before: BTreeMap<SiteId, Pieces> =
                sites.iter().map(|id| (id.clone(), pieces(&plan, id))).collect();
            world.edit(edit);
            let (next, _) = world.plan(Some(&plan));
            let (anew, _) = world.plan(None);
            let changes = next.changes(Some(&plan));
            for id in sites.iter().chain(world.intent.sites.keys()) {
                let after = pieces(&next, id);
                prop_assert_eq!(&after, &pieces(&anew, id));
                let mut router = before.get(id).cloned().unwrap_or_default();
                if let Some(change) = changes.get(id) {
                    apply(&mut router, change, &after);
                }
                prop_assert_eq!(&router, &after, "{:?} {:?}", edit, changes.get(id));
            }
            plan = next;
        }
    }

    /// Numbers are given once, and kept.
    #[test]
    fn numbers_are_for_ever(edits in any_edits(40)) {
        let mut world = World::default();
        let mut numbers: BTreeMap<u16, SiteId> = BTreeMap::new();
        for edit in &edits {
            world.edit(edit);
            let (plan, _) = world.plan(None);
            for (id, number) in &plan.inputs().allocations.numbers {
                let holder = numbers.entry(*number).or_insert_with(|| id.clone());
                prop_assert_eq!(&*holder, id);
            }
            for site in world.intent.sites.values() {
                let of_site = plan.inputs().allocations.slots.iter();
                let of_site = of_site.filter(|((id, _), _)| *id == site.id);
                let slots: Vec<_> = of_site.map(|(_, slot)| slot).collect();
                let unique: BTreeSet<_> = slots.iter().collect();
                prop_assert_eq!(slots.len(), unique.len());
            }
        }
    }
}

#[test]
fn one_policy_of_a_large_network_is_one_piece() {
    let mut world = World::default();
    for number in 0..200 {
        world.edit(&Edit::large_site(number));
    }
    world.edit(&Edit::policy("p", 10, ""));
    let (plan, problems) = world.plan(None);
    assert_eq!(problems, []);
    world.edit(&Edit::policy("p", 20, ""));
    let (next, _) = world.plan(Some(&plan));
    let changes = next.changes(Some(&plan));
    assert_eq!(changes.len(), 200);
    let only = Change {
        policies: BTreeSet::from(["p".parse().unwrap()]),
        ..Change::default()
    };
    assert!(changes.values().all(|change| *change == only));
    for id in world.intent.sites.keys() {
        let (before, after) = (plan.own(id).unwrap(), next.own(id).unwrap());
        assert!(std::sync::Arc::ptr_eq(before, after));
    }
    let last: SiteId = "site-199".parse().unwrap();
    world.edit(&Edit::Remove("site/site-199".to_owned()));
    let (fewer, _) = world.plan(Some(&next));
    let changes = fewer.changes(Some(&next));
    assert_eq!(changes.len(), 200);
    let others = changes.iter().filter(|(id, _)| **id != last);
    for (_, change) in others {
        let only = Change {
            sites_gone: BTreeSet::from([last.clone()]),
            ..Change::default()
        };
        assert_eq!(*change, only);
    }
}

#[test]
fn a_policy_whose_class_has_another_name_is_another_piece() {
    let mut world = World::default();
    let put = |world: &mut World, name: &str| {
        let text = format!(
            "kind: class\nname: {name}\nid: 9\nqos: standard\nstrategy: lowest_latency\n---\n\
             kind: policy\nname: p\npriority: 10\nclass: {name}\nmatch: {{protocol: udp}}\n"
        );
        let (manifests, _) = patronus_config::read_objects(&text, "").unwrap();
        for manifest in manifests {
            world.intent.put(manifest.object);
        }
    };
    world.edit(&Edit::large_site(1));
    put(&mut world, "one");
    let (plan, problems) = world.plan(None);
    assert_eq!(problems, []);
    // At once, as one commit does: the class, and what names it.
    put(&mut world, "other");
    world.edit(&Edit::Remove("class/one".to_owned()));
    let (next, problems) = world.plan(Some(&plan));
    assert_eq!(problems, []);
    let site: SiteId = "site-1".parse().unwrap();
    let mut router = pieces(&plan, &site);
    let after = pieces(&next, &site);
    let changes = next.changes(Some(&plan));
    apply(&mut router, &changes[&site], &after);
    assert_eq!(router, after);
}
