//! Changes from the first text to the rollback.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use expect_test::{Expect, expect};
use patronus_controller::{Commit, Controller, Refused};
use patronus_model::intent::{Kind, ObjectId, UplinkFacts};
use patronus_model::wireguard::PublicKey;
use patronus_store::{Store, StoreError};

const EXAMPLE: &str = include_str!("../../../docs/examples/network.yaml");

async fn new() -> (tempfile::TempDir, Store, Controller) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/controller.db", folder.path().display());
    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    let controller = Controller::open(store.clone()).await.unwrap();
    (folder, store, controller)
}

fn by(author: &str) -> Commit {
    Commit {
        author: author.to_owned(),
        comment: "because".to_owned(),
        confirm_within: None,
    }
}

/// Stages a text for somebody and commits it. Returns the number of the generation.
async fn commit(controller: &Controller, who: &str, text: &str) -> Result<i64, Refused> {
    controller.stage(who, text, "text", 0).await?;
    let generation = controller.commit(who, &by(who), 0).await?;
    Ok(generation.number)
}

/// A controller with the example, whose routers have told their keys.
async fn example() -> (tempfile::TempDir, Store, Controller) {
    let (folder, store, controller) = new().await;
    assert_eq!(commit(&controller, "anna", EXAMPLE).await.unwrap(), 1);
    for (number, site) in ["berlin", "frankfurt", "lisbon"].into_iter().enumerate() {
        tell(&controller, site, number as u8).await.unwrap();
    }
    (folder, store, controller)
}

async fn tell(controller: &Controller, site: &str, key: u8) -> Result<(), Refused> {
    let site = site.parse().unwrap();
    let plan = controller.state();
    let uplinks = &plan.plan.as_ref().unwrap().inputs().intent.sites[&site].uplinks;
    let facts = uplinks.iter().enumerate().map(|(index, uplink)| {
        let facts = UplinkFacts {
            public_key: PublicKey([key * 16 + index as u8 + 1; 32]),
            address: None,
        };
        (uplink.name.clone(), facts)
    });
    controller
        .tell(&site, &facts.collect::<BTreeMap<_, _>>(), 0)
        .await
}

async fn proposed(controller: &Controller, who: &str, expected: Expect) {
    let proposal = controller.propose(who).await.unwrap();
    expected.assert_eq(&proposal.to_text());
}

#[tokio::test]
async fn a_change_says_what_it_does_where_before_it_does_it() {
    let (_folder, _, controller) = example().await;
    let text = EXAMPLE
        .split("---\n")
        .find(|it| it.contains("name: erp"))
        .unwrap();
    let text = text.replace("10.100.8.0/24", "10.100.9.0/24");
    let (staged, _) = controller
        .stage("bert", &text, "erp.yaml", 0)
        .await
        .unwrap();
    assert_eq!(staged, [ObjectId::new(Kind::Policy, "erp")]);
    controller
        .stage_removal("bert", &ObjectId::new(Kind::Policy, "no-telnet"), 0)
        .await
        .unwrap();
    proposed(
        &controller,
        "bert",
        expect![[r#"
        policy/erp is changed
             name: erp
             priority: 20
             sites: {kind: office}
            -match: {to: 10.100.8.0/24, protocol: tcp, ports: 443}
            +match: {to: 10.100.9.0/24, protocol: tcp, ports: 443}
             class: business
        policy/no-telnet is removed
            -kind: policy
            -name: no-telnet
            -priority: 30
            -sites: [berlin, lisbon]
            -match: {protocol: tcp, ports: 23}
            -action: drop
        router of berlin: policy erp, policy no-telnet removed
        router of lisbon: policy erp, policy no-telnet removed
    "#]],
    )
    .await;
    assert_eq!(controller.state().number(), 1, "nothing is committed");
    controller.commit("bert", &by("bert"), 0).await.unwrap();
    assert_eq!(controller.state().number(), 2);
    assert!(matches!(
        controller.commit("bert", &by("bert"), 0).await,
        Err(Refused::NothingChanged)
    ));
}

#[tokio::test]
async fn a_new_site_is_news_for_those_who_have_paths_to_it() {
    let (_folder, _, controller) = example().await;
    let oslo = "kind: site\nid: oslo\nlabels: {region: eu}\nuplinks: [{name: fibre, interface: wan0, \
                gateway: 192.0.2.129, endpoint: 192.0.2.130}]\n";
    controller
        .stage("anna", oslo, "oslo.yaml", 0)
        .await
        .unwrap();
    proposed(
        &controller,
        "anna",
        expect![[r#"
        site/oslo is added
            +kind: site
            +id: oslo
            +labels: {region: eu}
            +uplinks: [{name: fibre, interface: wan0, gateway: 192.0.2.129, endpoint: 192.0.2.130}]
        router of oslo: its own part, site berlin, frankfurt, lisbon, policy voice-first
    "#]],
    )
    .await;
    controller.commit("anna", &by("anna"), 0).await.unwrap();
    let before = controller.state();
    tell(&controller, "oslo", 9).await.unwrap();
    let after = controller.state();
    let changes = after.plan.as_ref().unwrap().changes(before.plan.as_ref());
    let sites: Vec<&str> = changes.keys().map(|site| site.as_str()).collect();
    assert_eq!(sites, ["berlin", "frankfurt", "lisbon", "oslo"]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_whole() {
    let (_folder, store, controller) = example().await;
    let text = "kind: policy\nname: p\npriority: 10\nclass: nope\n---\nkind: site\nid: oslo\n\
                uplinks: [{name: fibre, interface: wan0, gateway: 10.255.0.9}]\n\
                lans: [{interface: lan0, prefixes: 10.1.4.0/24}]\n";
    controller.stage("anna", text, "text", 0).await.unwrap();
    let refused = controller.commit("anna", &by("anna"), 0).await.unwrap_err();
    expect![[r#"
        site/oslo: lans[0].prefixes: 10.1.4.0/24 overlaps with 10.1.0.0/16 of berlin: each address belongs to one LAN of one site
        site/oslo: uplinks[0].gateway: 10.255.0.9 is inside the overlay 10.255.0.0/16: use an address of the underlay
        policy/p: class: there is no class nope: use business, standard or voice
        policy/voice-first: priority: 10 is also the priority of p: give each policy a priority of its own"#]].assert_eq(&refused.to_string());
    assert_eq!(controller.state().number(), 1);
    assert_eq!(
        store.edits("anna").await.unwrap().len(),
        2,
        "the work is kept"
    );
    let refused = controller
        .stage("anna", "kind: site\nid: A\n", "a.yaml", 0)
        .await;
    assert!(matches!(refused, Err(Refused::Text(_))));
    let missing = ObjectId::new(Kind::Site, "nowhere");
    let refused = controller.stage_removal("anna", &missing, 0).await;
    assert!(matches!(refused, Err(Refused::NoObject(_))));
    let refused = controller
        .stage_removal("anna", &ObjectId::network(), 0)
        .await;
    assert!(matches!(refused, Err(Refused::NetworkStays)));
}

#[tokio::test]
async fn of_two_editors_of_one_object_the_second_hears_of_the_first() {
    let (_folder, store, controller) = example().await;
    let other = Controller::open(store).await.unwrap();
    let class = |hold: &str| {
        format!("kind: class\nid: 3\nname: standard\nqos: standard\nfailover: {{hold: {hold}}}\n")
    };
    controller.stage("anna", &class("1m"), "", 0).await.unwrap();
    other.stage("bert", &class("2m"), "", 0).await.unwrap();
    // A third one changes something else.
    let policy = "kind: policy\nname: p\npriority: 77\nclass: voice\n";
    assert_eq!(commit(&other, "carl", policy).await.unwrap(), 2);
    controller.commit("anna", &by("anna"), 0).await.unwrap();
    assert_eq!(controller.state().number(), 3, "that was no conflict");
    let Err(Refused::Store(StoreError::Conflicts(conflicts))) =
        other.commit("bert", &by("bert"), 0).await
    else {
        panic!("anna's change is lost");
    };
    assert_eq!(conflicts[0].author, "anna");
    // What is not good together any more is refused, though nobody changed the same object.
    let late = "kind: policy\nname: q\npriority: 77\nclass: voice\n";
    let refused = commit(&other, "dora", late).await.unwrap_err();
    assert!(
        refused.to_string().contains("77 is also the priority of p"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_not_confirmed_is_taken_back() {
    let (_folder, _, controller) = example().await;
    let before = controller.state().export();
    let remove = ObjectId::new(Kind::Policy, "erp");
    controller.stage_removal("anna", &remove, 0).await.unwrap();
    let careful = Commit {
        confirm_within: Some(Duration::from_secs(60)),
        ..by("anna")
    };
    let waiting = controller.commit("anna", &careful, 1000).await.unwrap();
    assert_eq!(waiting.number, 2);
    assert_eq!(controller.expire(60_999).await.unwrap(), None);
    let back = controller.expire(61_000).await.unwrap().unwrap();
    assert_eq!((back.number, back.reverts_to), (3, Some(1)));
    assert_eq!(controller.state().export(), before);
    assert_eq!(controller.expire(99_000).await.unwrap(), None);
    // One that is confirmed stays.
    controller.stage_removal("anna", &remove, 0).await.unwrap();
    let waiting = controller.commit("anna", &careful, 1000).await.unwrap();
    assert!(controller.confirm(waiting.number, 2000).await.unwrap());
    assert_eq!(controller.expire(99_000).await.unwrap(), None);
    assert!(!controller.state().objects.contains_key(&remove));
    let back = controller.roll_back(1, &by("anna"), 3000).await.unwrap();
    assert_eq!(back.number, 5);
    assert_eq!(controller.state().export(), before);
}

#[tokio::test]
async fn an_exported_intent_is_read_as_what_it_was() {
    let (_folder, _, controller) = example().await;
    let text = controller.state().export();
    let (_other_folder, _, other) = new().await;
    commit(&other, "anna", &text).await.unwrap();
    assert_eq!(other.state().export(), text);
    let (staged, _) = controller.stage("anna", &text, "", 0).await.unwrap();
    assert_eq!(staged, [], "nothing is different");
}

#[tokio::test]
async fn no_router_takes_the_key_of_another() {
    let (_folder, _, controller) = example().await;
    let refused = tell(&controller, "lisbon", 0).await;
    assert!(
        matches!(refused, Err(Refused::KeyTaken { .. })),
        "{refused:?}"
    );
    tell(&controller, "berlin", 0).await.unwrap();
}

#[tokio::test]
async fn without_a_network_there_is_nothing() {
    let (_folder, _, controller) = new().await;
    let class = "kind: class\nid: 1\nname: a\nqos: standard\n";
    let refused = commit(&controller, "anna", class).await;
    assert!(matches!(refused, Err(Refused::NoNetwork)), "{refused:?}");
    let network = "kind: network\noverlay: {ipv4: 10.255.0.0/24}\n";
    let careful = Commit {
        confirm_within: Some(Duration::from_secs(60)),
        ..by("anna")
    };
    controller.stage("anna", network, "", 0).await.unwrap();
    let refused = controller.commit("anna", &careful, 0).await;
    assert!(
        matches!(refused, Err(Refused::NothingToGoBackTo)),
        "{refused:?}"
    );
    // The class is still there.
    assert_eq!(
        controller
            .commit("anna", &by("anna"), 0)
            .await
            .unwrap()
            .number,
        1
    );
    assert_eq!(controller.state().objects.len(), 2);
}
