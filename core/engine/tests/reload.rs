//! What is said of a configuration that follows another.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::sync::Arc;

use patronus_engine::{Input, changes};
use patronus_model::change::{Change, ConfigPart};
use patronus_model::event::Event;
use patronus_model::router::RouterConfig;
use support::*;

fn before() -> RouterConfig {
    config(2, vec![remote(2, 2, None), remote(3, 1, None)])
}

/// What is said after a change.
fn said(change: impl Fn(&mut RouterConfig)) -> Vec<(ConfigPart, String, Change)> {
    let (old, mut new) = (before(), before());
    change(&mut new);
    let found = changes(&old, &new).into_iter();
    found.map(|it| (it.part, it.name, it.change)).collect()
}

#[test]
fn each_part_that_is_not_as_it_was_is_named() {
    assert_eq!(said(|_| ()), []);
    let one = |part, name: &str, change| [(part, name.to_owned(), change)];
    let (changed, removed) = (Change::Changed, Change::Removed);
    let old = before();
    let (lost, kept) = (old.remotes[1].id.as_str(), old.remotes[0].id.as_str());
    assert_eq!(
        said(|it| drop(it.remotes.pop())),
        one(ConfigPart::Site, lost, removed)
    );
    assert_eq!(
        said(|it| it.remotes[0].uplinks[0].endpoint = None),
        one(ConfigPart::Site, kept, changed)
    );
    let uplink = old.uplinks[0].name.as_str();
    assert_eq!(
        said(|it| it.uplinks[0].cost += 1),
        one(ConfigPart::Uplink, uplink, changed)
    );
    // Another name is another thing.
    let class = old.classes[0].name.to_string();
    assert_eq!(
        said(|it| it.classes[0].name = "other".parse().unwrap()),
        [
            (ConfigPart::Class, "other".to_owned(), Change::Added),
            (ConfigPart::Class, class, removed),
        ]
    );
    assert_eq!(
        said(|it| it.bgp.maximum_prefixes += 1),
        one(ConfigPart::Bgp, "", changed)
    );
    assert_eq!(
        said(|it| it.health.bfd.detect_mult += 1),
        one(ConfigPart::Health, "", changed)
    );
}

#[test]
fn the_event_of_a_reload_has_its_changes_and_that_of_a_start_has_none() {
    let mut router = Router::new(before(), environment(2));
    let mut told = |config: RouterConfig| {
        router.events.clear();
        router.input(Input::Config(Arc::new(config)));
        let changes = router.events.iter().find_map(|event| match event {
            Event::Configured { changes, .. } => Some(changes.clone()),
            _ => None,
        });
        changes.unwrap().map(|changes| changes.len())
    };
    let mut other = before();
    other.remotes.pop();
    assert_eq!(told(other.clone()), Some(1));
    assert_eq!(told(other), Some(0));
    let first = Router::new(before(), environment(2));
    let first = first.events.into_iter().find_map(|event| match event {
        Event::Configured { changes, .. } => Some(changes),
        _ => None,
    });
    assert_eq!(first, Some(None));
}
