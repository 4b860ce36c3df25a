//! The same tests on SQLite and on PostgreSQL.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod on_both;
mod postgres;

use std::collections::BTreeMap;

use on_both::on_both;
use patronus_model::intent::{Allocations, Kind, ObjectId, UplinkFacts};
use patronus_model::layout::HubIndex;
use patronus_model::wireguard::PublicKey;
use patronus_store::{Confirmation, Draft, Edit, Store, StoreError};

fn class(name: &str) -> ObjectId {
    ObjectId::new(Kind::Class, name)
}

fn put(name: &str, base: Option<i64>, text: &str) -> Edit {
    Edit {
        id: class(name),
        base,
        text: Some(text.to_owned()),
    }
}

fn remove(name: &str, base: i64) -> Edit {
    Edit {
        id: class(name),
        base: Some(base),
        text: None,
    }
}

fn draft(checked_against: i64) -> Draft {
    Draft {
        author: "anna".to_owned(),
        comment: "because".to_owned(),
        at: 1000 + checked_against,
        reverts_to: None,
        confirm_by: None,
        checked_against,
    }
}

async fn commit(store: &Store, at: i64, edits: &[Edit]) -> Result<i64, StoreError> {
    store
        .commit(&draft(at), edits, &Allocations::default())
        .await
}

/// Name, since and text of the objects of a generation.
async fn objects(store: &Store, generation: i64) -> Vec<(String, i64, String)> {
    let objects = store.objects(generation).await.unwrap().into_iter();
    objects
        .map(|it| (it.id.name.to_string(), it.since, it.text))
        .collect()
}

fn row(name: &str, since: i64, text: &str) -> (String, i64, String) {
    (name.to_owned(), since, text.to_owned())
}

on_both! {
    async fn every_generation_stays_as_it_was(store: Store) {
        assert_eq!(store.head().await.unwrap(), None);
        assert_eq!(commit(&store, 0, &[put("a", None, "1"), put("b", None, "1")]).await.unwrap(), 1);
        assert_eq!(commit(&store, 1, &[put("a", Some(1), "2"), put("c", None, "1")]).await.unwrap(), 2);
        assert_eq!(commit(&store, 2, &[remove("b", 1)]).await.unwrap(), 3);
        assert_eq!(commit(&store, 3, &[put("b", None, "3")]).await.unwrap(), 4);
        assert_eq!(objects(&store, 0).await, []);
        assert_eq!(objects(&store, 1).await, [row("a", 1, "1"), row("b", 1, "1")]);
        assert_eq!(objects(&store, 2).await, [row("a", 2, "2"), row("b", 1, "1"), row("c", 2, "1")]);
        assert_eq!(objects(&store, 3).await, [row("a", 2, "2"), row("c", 2, "1")]);
        assert_eq!(objects(&store, 4).await, [row("a", 2, "2"), row("b", 4, "3"), row("c", 2, "1")]);
        let history = store.history(None, 3).await.unwrap();
        let numbers: Vec<i64> = history.iter().map(|it| it.number).collect();
        assert_eq!(numbers, [4, 3, 2]);
        assert_eq!(store.history(Some(2), 3).await.unwrap()[0].number, 1);
        assert_eq!(store.generation(2).await.unwrap(), history[2]);
        assert!(matches!(store.generation(5).await, Err(StoreError::NoGeneration(5))));
    }

    async fn whoever_is_second_hears_of_the_first(store: Store) {
        commit(&store, 0, &[put("a", None, "1"), put("b", None, "1")]).await.unwrap();
        commit(&store, 1, &[put("a", Some(1), "2"), remove("b", 1)]).await.unwrap();
        let late = [put("a", Some(1), "other"), put("b", Some(1), "other"), put("c", None, "1")];
        let Err(StoreError::Conflicts(conflicts)) = commit(&store, 1, &late).await else {
            panic!("two editors");
        };
        let words: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        let expected = [
            "class/a was changed by anna in generation 2",
            "class/b was changed by anna in generation 2",
        ];
        assert_eq!(words, expected);
        // An object that is new to both.
        assert!(matches!(
            commit(&store, 2, &[put("a", None, "new")]).await,
            Err(StoreError::Conflicts(_))
        ));
        assert_eq!(objects(&store, 2).await, [row("a", 2, "2")]);
        // Another object: no conflict, but what was checked is not what would be.
        assert!(matches!(
            commit(&store, 1, &[put("c", None, "1")]).await,
            Err(StoreError::Moved { now: 2 })
        ));
        commit(&store, 2, &[put("c", None, "1")]).await.unwrap();
    }

    async fn of_many_at_once_each_has_a_generation_of_its_own(store: Store) {
        let writers = (0..8).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..5 {
                    let edits = [put(&format!("w{writer}-{number}"), None, "1")];
                    let mut checked = 0;
                    loop {
                        match commit(&store, checked, &edits).await {
                            Ok(_) => break,
                            Err(StoreError::Moved { now }) => checked = now,
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let head = store.head().await.unwrap().unwrap();
        assert_eq!(head.number, 40);
        assert_eq!(objects(&store, 40).await.len(), 40);
    }

    async fn what_waits_for_confirmation_holds_up_the_rest(store: Store) {
        commit(&store, 0, &[put("a", None, "1")]).await.unwrap();
        assert!(!store.confirm(1, 5).await.unwrap(), "nobody asked for it");
        let waiting = Draft { confirm_by: Some(9000), ..draft(1) };
        let none = Allocations::default();
        store.commit(&waiting, &[put("a", Some(1), "2")], &none).await.unwrap();
        let head = store.head().await.unwrap().unwrap();
        assert_eq!(head.confirmation, Confirmation::Until(9000));
        let Err(StoreError::Unconfirmed { generation: 2, author }) =
            commit(&store, 2, &[put("b", None, "1")]).await
        else {
            panic!("it waits");
        };
        assert_eq!(author, "anna");
        assert!(store.confirm(2, 5000).await.unwrap());
        assert!(!store.confirm(2, 6000).await.unwrap(), "it is confirmed");
        let head = store.head().await.unwrap().unwrap();
        assert_eq!(head.confirmation, Confirmation::Confirmed(5000));
        commit(&store, 2, &[put("b", None, "1")]).await.unwrap();
        assert!(matches!(store.confirm(7, 1).await, Err(StoreError::NoGeneration(7))));
    }

    async fn there_is_a_way_back_to_every_generation(store: Store) {
        commit(&store, 0, &[put("a", None, "1"), put("b", None, "1")]).await.unwrap();
        commit(&store, 1, &[put("a", Some(1), "2"), put("c", None, "1")]).await.unwrap();
        commit(&store, 2, &[remove("b", 1), put("a", Some(2), "3")]).await.unwrap();
        assert_eq!(store.way_back(3).await.unwrap(), []);
        for to in [1, 2, 3, 1] {
            let back = store.way_back(to).await.unwrap();
            let head = store.head().await.unwrap().unwrap().number;
            let draft = Draft { reverts_to: Some(to), ..draft(head) };
            let now = store.commit(&draft, &back, &Allocations::default()).await.unwrap();
            let texts = |all: Vec<(String, i64, String)>| -> Vec<(String, String)> {
                all.into_iter().map(|(name, _, text)| (name, text)).collect()
            };
            assert_eq!(texts(objects(&store, now).await), texts(objects(&store, to).await));
        }
        assert!(matches!(store.way_back(99).await, Err(StoreError::NoGeneration(99))));
    }

    async fn a_commit_that_waits_can_be_taken_back(store: Store) {
        commit(&store, 0, &[put("a", None, "1")]).await.unwrap();
        let waiting = Draft { confirm_by: Some(9000), ..draft(1) };
        let none = Allocations::default();
        store.commit(&waiting, &[put("a", Some(1), "2")], &none).await.unwrap();
        let back = store.way_back(1).await.unwrap();
        let draft = Draft { reverts_to: Some(1), ..draft(2) };
        store.commit(&draft, &back, &none).await.unwrap();
        assert!(!store.confirm(2, 5000).await.unwrap(), "it is over");
        assert_eq!(objects(&store, 3).await, [row("a", 3, "1")]);
    }

    async fn what_is_not_committed_is_kept_for_its_editor(store: Store) {
        let edits = [put("a", Some(3), "x"), remove("b", 2)];
        for edit in &edits {
            store.put_edit("anna", edit, 1).await.unwrap();
        }
        store.put_edit("bert", &put("a", None, "y"), 1).await.unwrap();
        assert_eq!(store.edits("anna").await.unwrap(), edits);
        store.put_edit("anna", &put("b", Some(2), "back"), 2).await.unwrap();
        assert_eq!(store.edits("anna").await.unwrap()[1].text.as_deref(), Some("back"));
        assert_eq!(store.discard("anna", Some(&class("a"))).await.unwrap(), 1);
        assert_eq!(store.discard("anna", None).await.unwrap(), 1);
        assert_eq!(store.edits("anna").await.unwrap(), []);
        assert_eq!(store.edits("bert").await.unwrap().len(), 1);
    }

    async fn numbers_are_kept_with_the_commit_that_gave_them(store: Store) {
        let mut numbers = Allocations::default();
        let site = |name: &str| name.parse().unwrap();
        numbers.numbers.insert(site("berlin"), 1);
        numbers.numbers.insert(site("lisbon"), 2);
        numbers.hubs.insert(site("berlin"), HubIndex::new(1).unwrap());
        let uplink = |name: &str| (site("berlin"), name.parse().unwrap());
        let slot = |number| patronus_model::ids::Slot::new(number).unwrap();
        numbers.slots.insert(uplink("fibre"), slot(1));
        numbers.slots.insert(uplink("lte"), slot(2));
        store.commit(&draft(0), &[put("a", None, "1")], &numbers).await.unwrap();
        assert_eq!(store.allocations().await.unwrap(), numbers);
        // A slot is used again.
        numbers.slots.remove(&uplink("lte"));
        numbers.slots.insert(uplink("mpls"), slot(2));
        store.commit(&draft(1), &[put("b", None, "1")], &numbers).await.unwrap();
        assert_eq!(store.allocations().await.unwrap(), numbers);
        // A commit that fails gives none.
        let mut more = numbers.clone();
        more.numbers.insert(site("oslo"), 3);
        store.commit(&draft(1), &[put("b", None, "1")], &more).await.unwrap_err();
        assert_eq!(store.allocations().await.unwrap(), numbers);
        assert!(store.release(&site("berlin")).await.unwrap());
        assert!(!store.release(&site("berlin")).await.unwrap());
        let left = store.allocations().await.unwrap();
        assert_eq!(left.numbers, BTreeMap::from([(site("lisbon"), 2)]));
        assert!(left.hubs.is_empty() && left.slots.is_empty());
    }

    async fn a_router_says_all_of_its_uplinks_at_once(store: Store) {
        let facts = |key, address: Option<&str>| UplinkFacts {
            public_key: PublicKey([key; 32]),
            address: address.map(|it| it.parse().unwrap()),
        };
        let told = |pairs: &[(&str, UplinkFacts)]| -> BTreeMap<_, _> {
            pairs.iter().map(|(name, it)| (name.parse().unwrap(), *it)).collect()
        };
        let (berlin, lisbon) = ("berlin".parse().unwrap(), "lisbon".parse().unwrap());
        let first = told(&[("fibre", facts(1, Some("[2001:db8::1]:51820"))), ("lte", facts(2, None))]);
        store.tell(&berlin, &first, 1).await.unwrap();
        store.tell(&lisbon, &told(&[("fibre", facts(3, None))]), 1).await.unwrap();
        store.tell(&berlin, &told(&[("fibre", facts(4, None))]), 2).await.unwrap();
        let all = store.facts().await.unwrap().uplinks;
        let all: Vec<_> = all.into_iter().map(|((site, _), facts)| (site, facts)).collect();
        assert_eq!(all, [(berlin, facts(4, None)), (lisbon, facts(3, None))]);
    }
}
