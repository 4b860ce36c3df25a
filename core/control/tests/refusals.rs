//! Who is not who it should be, is told so in words, and gets nothing.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod net;

use std::sync::Arc;
use std::time::Duration;

use net::{
    Net, Raw, Skew, TestRouter, configuration, enrolled, eventually, identity, settings, target,
};
use patronus_control::session::{ControllerSettings, Memory};
use patronus_control::tls::{Shown, Trust, router_config};
use patronus_control::wire::v1;
use patronus_control::{ConnectError, WallClock, enrol};
use patronus_identity::{Authority, Enrolment, Issued, PrivateKey, Token};
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn authority() -> Arc<Authority> {
    Arc::new(Authority::create(WallClock::system().now()).unwrap())
}

/// What a router reports.
async fn reported(router: &TestRouter, expected: &str) {
    let is_said = || router.reports().contains(expected);
    eventually(expected, is_said).await;
    assert_eq!(router.running(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_the_token_is_not_from_gets_no_secret() {
    let net = Net::start().await;
    let impostor = Net::start().await;
    let token = net.token("berlin");
    // The same token, led elsewhere.
    let urls = vec![impostor.url.clone()];
    let led = Token::generate(net.authority.fingerprint(), urls, token.expires).unwrap();
    let errors = enrolled(&led).await.unwrap_err();
    assert!(
        matches!(errors[0], ConnectError::NotPinned { .. }),
        "{errors:?}"
    );
    let text = errors[0].to_string();
    assert!(
        text.contains("not the controller that the token is from"),
        "{text}"
    );
    assert!(
        text.contains(&net.authority.fingerprint().to_string()),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_not_good_enrol_nobody() {
    let net = Net::start().await;
    let token = net.token("berlin");
    enrolled(&token).await.unwrap();
    let unknown = {
        let urls = vec![net.url.clone()];
        Token::generate(net.authority.fingerprint(), urls, token.expires).unwrap()
    };
    let late = net.token("paris");
    let table = [
        (&token, "is good for one only: make a new one"),
        (&unknown, "there is no such token here"),
    ];
    for (token, expected) in table {
        let errors = enrolled(token).await.unwrap_err();
        assert!(errors[0].to_string().contains(expected), "{errors:?}");
        assert!(!errors[0].is_worth_a_retry());
    }
    net.desk.tokens.lock().unwrap()[1].expires = WallClock::system().now();
    let errors = enrolled(&late).await.unwrap_err();
    assert!(
        errors[0].to_string().contains("the token was good until"),
        "{errors:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_controllers_of_a_token_are_tried() {
    let net = Net::start().await;
    let mut gone = Net::start().await;
    gone.stop().await;
    let urls = vec![gone.url.clone(), net.url.clone()];
    let expires = WallClock::system().now() + Duration::from_secs(60);
    let token = Token::generate(net.authority.fingerprint(), urls, expires).unwrap();
    let site = "berlin".parse().unwrap();
    let record = patronus_identity::TokenRecord::of(&token, site);
    net.desk.tokens.lock().unwrap().push(record);
    enrolled(&token).await.unwrap();
    let only = Token::generate(net.authority.fingerprint(), vec![gone.url.clone()], expires);
    let errors = enrolled(&only.unwrap()).await.unwrap_err();
    assert!(
        errors[0].to_string().contains("it cannot be reached"),
        "{errors:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_believes_only_its_own_authority() {
    let net = Net::start().await;
    let stranger = identity(&authority(), "berlin");
    let router = net.router(stranger);
    reported(&router, "certificate is from another authority").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_believes_only_its_own_authority() {
    let net = Net::start().await;
    let stranger = identity(&authority(), "berlin");
    let mut raw = Raw::of(&net, &stranger).await;
    let error = raw.why().await;
    let text = error.to_string();
    assert!(
        text.contains("it was enrolled in another network"),
        "{text}"
    );
    assert!(!error.is_worth_a_retry());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_has_the_name_by_which_it_is_reached() {
    let names = ["controller.example.net", "192.0.2.1"];
    let net = Net::start_with(authority(), settings(), &names).await;
    let router = net.router(net.identity("berlin"));
    reported(&router, "the controller there is not called so, but").await;
    let said = router.reports();
    assert!(said.contains("controller.example.net"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_does_not_pass_for_a_controller() {
    let authority = authority();
    let paris = identity(&authority, "paris");
    let chain = vec![
        paris.certificate().der().clone(),
        authority.certificate().clone(),
    ];
    let renew_at = paris.renew_at();
    let shown = Shown::new(&Issued { chain, renew_at }, &paris.key).unwrap();
    let net = Net::show(Arc::clone(&authority), settings(), shown, Skew::default()).await;
    let router = net.router(net.identity("berlin"));
    reported(&router, "somebody passes for a controller").await;
    let key = PrivateKey::generate().unwrap();
    let facts = patronus_control::session::Facts::new();
    let clock = WallClock::system();
    assert!(
        enrol(&net.token("berlin"), &key, &facts, &clock)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_is_at_the_site_of_its_certificate() {
    let net = Net::start().await;
    net.desk.aim("paris", target(1));
    let mut raw = Raw::of(&net, &net.identity("berlin")).await;
    raw.say(Raw::hello("paris")).await;
    let text = raw.why().await.to_string();
    let expected = "says that it is at site paris, and its certificate is for site berlin";
    assert!(text.contains(expected), "{text}");
    assert_eq!(net.desk.stands("paris"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_no_certificate_has_no_session() {
    let net = Net::start().await;
    let trust = Trust::Authority(net.authority.certificate().clone());
    let config = router_config(trust, None, &WallClock::system()).unwrap();
    let mut raw = Raw::dial(&net.url, config).await.unwrap();
    let text = raw.why().await.to_string();
    assert!(text.contains("only a router that was enrolled"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_router_is_cut_off_at_once_and_stays_out() {
    let net = Net::start().await;
    net.desk.aim("berlin", target(1));
    net.desk.aim("paris", target(1));
    let (berlin, paris) = (net.identity("berlin"), net.identity("paris"));
    let serial = berlin.certificate().serial;
    let (berlin, paris) = (net.router(berlin), net.router(paris));
    for router in [&berlin, &paris] {
        eventually("it is kept", || router.confirmed() == Some(1)).await;
    }
    net.revoke(|revocations| revocations.revoke(serial));
    let gone = || {
        net.desk
            .stands("berlin")
            .contains("was revoked: enrol the router again")
    };
    eventually("it is cut off", gone).await;
    // It tries again, and is not let in.
    let said = "does not take this router's certificate: it was revoked";
    eventually("it knows", || berlin.reports().contains(said)).await;
    net.desk.aim("berlin", target(2));
    net.desk.aim("paris", target(2));
    eventually("the other goes on", || paris.confirmed() == Some(2)).await;
    assert_eq!(berlin.running(), Some(1), "it runs what it has");
    assert_eq!(
        berlin.device.kernel.lock().unwrap().clone(),
        Some(configuration(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_in_whose_place_another_was_enrolled_is_cut_off() {
    let net = Net::start().await;
    let router = net.router(net.identity("berlin"));
    eventually("a session", || net.desk.stands("berlin") == "NoTarget").await;
    let site = "berlin".parse().unwrap();
    net.revoke(|revocations| revocations.revoke_before(site, Enrolment::FIRST.next()));
    let said = "or another one was enrolled in its place";
    eventually("it knows", || router.reports().contains(said)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_while_a_connection_is_open_opens_no_session_on_it() {
    let net = Net::start().await;
    let identity = net.identity("berlin");
    let raw = Raw::of(&net, &identity).await;
    let serial = identity.certificate().serial;
    net.revoke(|revocations| revocations.revoke(serial));
    let mut client = v1::control_client::ControlClient::new(raw.line.channel.clone());
    let (say, said) = tokio::sync::mpsc::channel(1);
    say.send(Raw::hello("berlin")).await.unwrap();
    let said = tokio_stream::wrappers::ReceiverStream::new(said);
    let heard = client
        .session(said)
        .await
        .unwrap()
        .into_inner()
        .message()
        .await;
    assert!(heard.unwrap_err().message().contains("was revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_told_from_a_wrong_clock() {
    let net = Net::start().await;
    let identity = net.identity("berlin");
    net.skew.set(400);
    let router = net.router(identity);
    reported(
        &router,
        "it is not valid at the time that the controller's clock says",
    )
    .await;
    assert!(router.reports().contains("lost (false)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_does_not_outlive_the_certificate() {
    let net = Net::start().await;
    let identity = net.identity("berlin");
    net.skew.seconds(365 * 86_400 - 2);
    let router = net.router(identity);
    eventually("a session", || net.desk.stands("berlin") == "NoTarget").await;
    let gone = || {
        net.desk
            .stands("berlin")
            .contains("is not valid any more: enrol it again")
    };
    eventually("it ends", gone).await;
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tls_session_is_resumed() {
    let net = Net::start().await;
    let identity = net.identity("berlin");
    let trust = Trust::Authority(net.authority.certificate().clone());
    let mut config = router_config(trust, Some(&identity), &WallClock::system()).unwrap();
    // A router that would like to.
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let connector = TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let tcp = TcpStream::connect(net.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = connector.connect(name, tcp).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
        // Tickets come after the handshake, with the first data.
        let mut settings = [0; 9];
        stream.read_exact(&mut settings).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_with_a_wrong_clock_is_told_to_set_it() {
    let net = Net::start().await;
    let table = [
        (-30, "the controller's certificate is valid from"),
        (-20_000, "the controller's certificate is valid from"),
        (100, "the controller's certificate is valid until"),
    ];
    for (days, expected) in table {
        let skew = Skew::default();
        skew.set(days);
        let identity = net.identity("berlin");
        let router = TestRouter::start(identity, &[&net.url], &skew, Memory::default());
        reported(&router, expected).await;
        let said = router.reports();
        assert!(
            said.contains("by this router's clock: set the clock"),
            "{said}"
        );
        // As soon as the clock is right, it comes in.
        skew.set(0);
        eventually("a session", || net.desk.stands("berlin") == "NoTarget").await;
        router.stop().await;
        eventually("it is gone", || {
            net.desk.stands("berlin").starts_with("gone")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_by_hours_does_not_matter() {
    let net = Net::start().await;
    net.desk.aim("berlin", target(1));
    for hours in [-20, 20] {
        let skew = Skew::default();
        skew.hours(hours);
        let identity = net.identity("berlin");
        let router = TestRouter::start(identity, &[&net.url], &skew, Memory::default());
        eventually("it is kept", || router.confirmed() == Some(1)).await;
        router.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_has_one_session() {
    let net = Net::start().await;
    let identity = net.identity("berlin");
    let mut first = Raw::of(&net, &identity).await;
    first.say(Raw::hello("berlin")).await;
    assert!(first.hear().await.is_some());
    let mut second = Raw::of(&net, &identity).await;
    second.say(Raw::hello("berlin")).await;
    assert!(second.hear().await.is_some());
    let error = first.why().await;
    assert!(
        error.to_string().contains("has another session now"),
        "{error}"
    );
    // The end of the first does not make the router gone.
    assert_eq!(net.desk.stands("berlin"), "NoTarget");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_is_cut_off_by_what_it_applies_returns() {
    let within = Duration::from_secs(1);
    let mut settings = settings();
    settings.session = ControllerSettings {
        confirm_within: within,
        ..settings.session
    };
    let mut net = Net::start_with(authority(), settings, &["127.0.0.1"]).await;
    net.desk.aim("berlin", target(1));
    let router = net.router(net.identity("berlin"));
    eventually("it is kept", || router.confirmed() == Some(1)).await;
    let now = tokio::time::Instant::now();
    // The controller is not heard any more as soon as the router runs it.
    net.desk.aim("berlin", target(2));
    while router.running() != Some(2) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    net.stop().await;
    eventually("it returns", || router.running() == Some(1)).await;
    assert!(now.elapsed() >= within);
    assert_eq!(router.confirmed(), Some(1));
    assert!(
        router
            .reports()
            .contains("no controller confirmed it within 1 s")
    );
}
