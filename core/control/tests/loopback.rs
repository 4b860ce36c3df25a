//! Routers and a controller that mean each other well.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod net;

use std::time::Duration;

use net::{Net, Skew, TestRouter, configuration, enrolled, eventually, settings, site, target};
use patronus_control::session::{Facts, Memory};
use patronus_control::{Enrolled, WallClock, enrol};
use patronus_identity::{PrivateKey, SiteIdentity, Token};
use patronus_model::intent::UplinkFacts;
use patronus_model::wireguard::PublicKey;

async fn identity(token: &Token) -> SiteIdentity {
    let key = PrivateKey::generate().unwrap();
    let enrolled = enrol(token, &key, &Facts::new(), &WallClock::system()).await;
    enrolled.unwrap().identity(key).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_token_to_a_configuration_that_is_kept() {
    let net = Net::start().await;
    let identity = identity(&net.token("berlin")).await;
    assert_eq!(identity.certificate().site, site("berlin"));
    let router = net.router(identity);
    eventually("a session", || net.desk.stands("berlin") == "NoTarget").await;
    for generation in 1..4 {
        net.desk.aim("berlin", target(generation));
        eventually("it is kept", || router.confirmed() == Some(generation)).await;
        assert_eq!(router.running(), Some(generation));
        let kernel = router.device.kernel.lock().unwrap().clone().unwrap();
        assert_eq!(kernel, configuration(generation));
        eventually("that is known", || net.desk.stands("berlin") == "Confirmed").await;
    }
    router.stop().await;
    let gone = "gone: the router was stopped";
    eventually("it said so", || net.desk.stands("berlin") == gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_goes_on_where_it_was() {
    let mut net = Net::start().await;
    net.desk.aim("berlin", target(1));
    let router = net.router(net.identity("berlin"));
    eventually("it is kept", || router.confirmed() == Some(1)).await;
    let memory: Memory = router.device.disk.lock().unwrap().clone();
    router.kill().await;
    eventually("it is noticed", || {
        net.desk.stands("berlin").starts_with("gone")
    })
    .await;
    // Started without a controller, it runs what it kept.
    net.stop().await;
    let identity = net.identity("berlin");
    let router = TestRouter::start(identity, &[&net.url], &Skew::default(), memory);
    eventually("it runs", || router.running() == Some(1)).await;
    eventually("it says why", || {
        router.reports().contains("it cannot be reached")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_moves_over_to_another_controller() {
    let mut one = Net::start().await;
    let other = Net::start_with(one.authority.clone(), settings(), &["127.0.0.1"]).await;
    for net in [&one, &other] {
        net.desk.aim("berlin", target(1));
    }
    let urls = [&one.url, &other.url];
    let identity = one.identity("berlin");
    let router = TestRouter::start(identity, &urls, &Skew::default(), Memory::default());
    eventually("it is kept", || one.desk.stands("berlin") == "Confirmed").await;
    one.stop().await;
    eventually("it moves", || other.desk.stands("berlin") == "Confirmed").await;
    assert!(
        router.reports().contains("the controller is stopped"),
        "{}",
        router.reports()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_can_approve_a_router() {
    let net = Net::start().await;
    *net.desk.approves.lock().unwrap() = false;
    let token = net.token("berlin");
    let key = PrivateKey::generate().unwrap();
    let (facts, clock) = (Facts::new(), WallClock::system());
    let ask = || enrol(&token, &key, &facts, &clock);
    assert!(matches!(ask().await, Ok(Enrolled::Waiting(after)) if after == Duration::from_secs(7)));
    // Nobody else takes its place while it waits.
    let errors = enrolled(&token).await.unwrap_err();
    assert!(
        errors[0]
            .to_string()
            .contains("a router was enrolled with this token")
    );
    *net.desk.approves.lock().unwrap() = true;
    assert!(matches!(ask().await, Ok(Enrolled::Done { .. })));
    // The answer was lost: asked again, it is given again.
    assert!(matches!(ask().await, Ok(Enrolled::Done { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_are_told_at_first_and_when_they_change() {
    let net = Net::start().await;
    let router = net.router(net.identity("berlin"));
    let told = || net.desk.told.lock().unwrap().get(&site("berlin")).cloned();
    eventually("they are told", || told() == Some(Facts::new())).await;
    let fibre = UplinkFacts {
        public_key: PublicKey([7; 32]),
        address: Some("192.0.2.1:51820".parse().unwrap()),
    };
    let facts = Facts::from([("fibre".parse().unwrap(), fibre)]);
    router.facts.send_replace(facts.clone());
    eventually("they are told again", || told() == Some(facts.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_renews_itself() {
    let net = Net::start_in(300).await;
    let identity = net.identity("berlin");
    let before = identity.certificate().clone();
    let skew = Skew::default();
    skew.set(300);
    let router = TestRouter::start(identity, &[&net.url], &skew, Memory::default());
    let kept = || router.device.kept.lock().unwrap().clone();
    eventually("it is renewed", || kept().len() == 1).await;
    let after = kept().remove(0);
    assert_eq!(
        (&after.site, after.enrolment),
        (&before.site, before.enrolment)
    );
    assert_ne!(after.key, before.key, "the key is a new one");
    assert!(after.not_after > before.not_after);
    // The one before is of no use any more: it is the new one that is shown.
    net.revoke(|revocations| revocations.revoke(before.serial));
    net.desk.aim("berlin", target(1));
    eventually("it is connected", || router.confirmed() == Some(1)).await;
    assert_eq!(kept().len(), 1, "it is renewed once");
}
