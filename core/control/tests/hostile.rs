//! Whoever means harm does none, and the others do not notice.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod net;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use net::{Net, PATIENCE, Raw, TestRouter, eventually, settings, target};
use patronus_control::serve::ServeSettings;
use patronus_control::session::Facts;
use patronus_control::tls::{Trust, router_config};
use patronus_control::wire::v1;
use patronus_control::{WallClock, enrol};
use patronus_identity::{Authority, PrivateKey, SiteIdentity};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A router that goes on, whatever happens beside it.
struct Healthy {
    router: TestRouter,
    generation: u64,
}

impl Healthy {
    async fn start(net: &Net) -> Self {
        let router = net.router(net.identity("healthy"));
        let mut healthy = Self {
            router,
            generation: 0,
        };
        healthy.goes_on(net).await;
        healthy
    }

    async fn goes_on(&mut self, net: &Net) {
        self.generation += 1;
        net.desk.aim("healthy", target(self.generation));
        let kept = || self.router.confirmed() == Some(self.generation);
        eventually("the healthy router goes on", kept).await;
        let lost = self.router.reports().contains("lost");
        assert!(!lost, "{}", self.router.reports());
    }
}

/// Longer than any test: what ends before that has not ended because of it.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// A controller that nobody is lost to because the machine stood still for seconds.
async fn patient() -> Net {
    limited(|_| {}).await
}

async fn limited(change: impl FnOnce(&mut ServeSettings)) -> Net {
    let authority = Authority::create(WallClock::system().now()).unwrap();
    let mut settings = settings();
    settings.session.heartbeat = Duration::from_secs(2);
    settings.session.confirm_within = Duration::from_secs(60);
    change(&mut settings);
    Net::start_with(Arc::new(authority), settings, &["127.0.0.1"]).await
}

/// TLS without anything above it.
async fn tls(net: &Net, identity: Option<&SiteIdentity>) -> TlsStream<TcpStream> {
    let trust = Trust::Authority(net.authority.certificate().clone());
    let config = router_config(trust, identity, &WallClock::system()).unwrap();
    let tcp = TcpStream::connect(net.address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, tcp).await.unwrap()
}

/// Waits until the other end has closed.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut sink = Vec::new();
    // It does not matter whether by an error.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut sink));
    let _ = read.await.expect("the other end closes");
}

/// Whether the other end has not closed.
fn is_open(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut sink = [0; 1024];
    loop {
        match stream.read(&mut sink).now_or_never() {
            None => return true,
            Some(Ok(1..)) => {}
            Some(Ok(0) | Err(_)) => return false,
        }
    }
}

fn facts(number: u32) -> v1::RouterMessage {
    let uplink = v1::UplinkFacts {
        name: format!("uplink-{number}"),
        public_key: vec![7; 32],
        address: String::new(),
    };
    let facts = v1::Facts {
        uplinks: vec![uplink],
    };
    let message = Some(v1::router_message::Message::Facts(facts));
    v1::RouterMessage { message }
}

/// Which [`facts`] of Berlin the controller was told last.
fn told(net: &Net) -> Option<u32> {
    let told = net.desk.told.lock().unwrap();
    let (uplink, _) = told.get(&net::site("berlin"))?.first_key_value()?;
    let number = uplink.as_str().strip_prefix("uplink-").unwrap();
    Some(number.parse().unwrap())
}

/// A number that differs from call to call, and is the same in each run.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_tls_end_a_connection() {
    let net = patient().await;
    let mut healthy = Healthy::start(&net).await;
    for seed in 0..20 {
        let mut tcp = TcpStream::connect(net.address).await.unwrap();
        tcp.write_all(&noise(500, seed)).await.unwrap();
        closed(&mut tcp).await;
    }
    let mut tcp = TcpStream::connect(net.address).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    closed(&mut tcp).await;
    healthy.goes_on(&net).await;
}

/// What every HTTP/2 connection begins with, and empty settings (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_http2_end_a_connection() {
    let net = patient().await;
    let mut healthy = Healthy::start(&net).await;
    let berlin = net.identity("berlin");
    for seed in 0..20 {
        let mut stream = tls(&net, Some(&berlin)).await;
        let mut bytes = if seed % 2 == 0 {
            Vec::new()
        } else {
            PREFACE.to_vec()
        };
        // The length of the first frame is more than is allowed.
        bytes.extend([0xff; 3]);
        bytes.extend(noise(2_000, seed));
        let _ = stream.write_all(&bytes).await;
        closed(&mut stream).await;
    }
    // Cut off in the middle of a frame.
    let mut stream = tls(&net, Some(&berlin)).await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&[0, 0x10, 0, 1, 4]).await.unwrap();
    stream.shutdown().await.unwrap();
    closed(&mut stream).await;
    healthy.goes_on(&net).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_too_large_or_make_no_sense_end_a_session() {
    let net = patient().await;
    let mut healthy = Healthy::start(&net).await;
    let berlin = net.identity("berlin");
    let renew = |length| {
        let certificate_request = vec![0; length];
        let renew = v1::Renew {
            certificate_request,
        };
        v1::router_message::Message::Renew(renew)
    };
    let applied = v1::router_message::Message::Applied(v1::Edition::default());
    let hello = Raw::hello("berlin").message.unwrap();
    let table = [
        (renew(5 << 20), "message"),
        (
            renew(4_000),
            "renew.certificate_request: it has 4000 bytes, and 2048 are the most",
        ),
        (applied, "applied: it is missing"),
        (hello, "message: `hello` is said only once"),
    ];
    for (message, expected) in table {
        let mut raw = Raw::of(&net, &berlin).await;
        raw.say(Raw::hello("berlin")).await;
        assert!(raw.hear().await.is_some());
        let message = Some(message);
        raw.say(v1::RouterMessage { message }).await;
        match expected {
            // The stream ends with an error of the layer below, which has no name for the field.
            "message" => {
                while raw.hear().await.is_some() {}
                let gone = || {
                    net.desk
                        .stands("berlin")
                        .contains("message length too large")
                };
                eventually("it is known why", gone).await;
            }
            expected => {
                let error = raw.why().await.to_string();
                assert!(error.contains(expected), "{error}");
            }
        }
        healthy.goes_on(&net).await;
    }
    // It does not begin with who it is.
    let mut raw = Raw::of(&net, &berlin).await;
    let leaving = v1::router_message::Message::Leaving(v1::Leaving {});
    raw.say(v1::RouterMessage {
        message: Some(leaving),
    })
    .await;
    let error = raw.why().await.to_string();
    assert!(error.contains("a session begins with `hello`"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_says_nothing_is_left() {
    let net = Net::start().await;
    let mut raw = Raw::of(&net, &net.identity("berlin")).await;
    raw.say(Raw::hello("berlin")).await;
    while raw.hear().await.is_some() {}
    let gone = || {
        net.desk
            .stands("berlin")
            .starts_with("gone: the router said nothing for")
    };
    eventually("it is left", gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_says_too_much_is_heard_slowly_and_the_others_as_before() {
    const EACH_SECOND: u32 = 20;
    let net = limited(|it| {
        it.messages_per_second = EACH_SECOND;
    })
    .await;
    let mut healthy = Healthy::start(&net).await;
    let begun = Instant::now();
    let raw = Raw::of(&net, &net.identity("berlin")).await;
    raw.say(Raw::hello("berlin")).await;
    let say = raw.say.clone();
    let flood = tokio::spawn(async move {
        for count in 0..100_000 {
            if say.send(facts(count)).await.is_err() {
                break;
            }
        }
    });
    eventually("it has been made to wait", || {
        told(&net) > Some(EACH_SECOND)
    })
    .await;
    healthy.goes_on(&net).await;
    let taken = told(&net).unwrap() + 1;
    // However long all of this has taken.
    let seconds = u32::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!(taken <= EACH_SECOND * seconds, "{taken} within {seconds} s");
    assert!(!flood.is_finished());
    flood.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_beyond_the_room_of_an_address_are_ended_and_others_are_not() {
    let net = limited(|it| {
        it.handshakes = 8;
        it.handshakes_per_address = 4;
        it.handshake_within = NEVER;
    })
    .await;
    let mut healthy = Healthy::start(&net).await;
    let mut within = Vec::new();
    for _ in 0..40 {
        within.push(TcpStream::connect(net.address).await.unwrap());
    }
    for beyond in &mut within.split_off(4) {
        closed(beyond).await;
    }
    healthy.goes_on(&net).await;
    assert!(within.iter_mut().all(is_open));
    // When they leave, their room is another's.
    drop(within);
    let late = net.router(net.identity("late"));
    eventually("it comes in", || net.desk.stands("late") == "NoTarget").await;
    late.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_not_finished_do_not_keep_their_room() {
    let net = limited(|it| {
        it.handshakes_per_address = 4;
        it.handshake_within = Duration::from_millis(500);
    })
    .await;
    let begun = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(net.address).await.unwrap());
    }
    for stream in &mut idle {
        closed(stream).await;
    }
    let usual = ServeSettings::default().handshake_within;
    assert!(begun.elapsed() < usual, "it is not what was set");
    let late = net.router(net.identity("late"));
    eventually("it comes in", || net.desk.stands("late") == "NoTarget").await;
    late.stop().await;
}

/// Enrols, as soon as there is room for who has no certificate.
async fn is_enrolled(net: &Net) {
    let (token, key) = (net.token("berlin"), PrivateKey::generate().unwrap());
    let begun = Instant::now();
    while let Err(errors) = enrol(&token, &key, &Facts::new(), &WallClock::system()).await {
        assert!(begun.elapsed() < PATIENCE, "{errors:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_certificate_has_little_room() {
    let net = limited(|it| {
        it.strangers = 3;
        it.stranger_for = NEVER;
    })
    .await;
    let mut healthy = Healthy::start(&net).await;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(tls(&net, None).await);
    }
    let mut more = tls(&net, None).await;
    closed(&mut more).await;
    // A router has its room all the same.
    healthy.goes_on(&net).await;
    assert!(strangers.iter_mut().all(is_open));
    drop(strangers);
    is_enrolled(&net).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_certificate_has_little_time() {
    let net = limited(|it| {
        it.strangers = 3;
        it.stranger_for = Duration::from_millis(800);
    })
    .await;
    let mut healthy = Healthy::start(&net).await;
    let begun = Instant::now();
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(tls(&net, None).await);
    }
    for stranger in &mut strangers {
        closed(stranger).await;
    }
    let usual = ServeSettings::default().stranger_for;
    assert!(begun.elapsed() < usual, "it is not what was set");
    // A router has all the time.
    healthy.goes_on(&net).await;
    is_enrolled(&net).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_has_few_connections() {
    let net = limited(|it| it.connections_per_site = 3).await;
    let mut healthy = Healthy::start(&net).await;
    let berlin = net.identity("berlin");
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(tls(&net, Some(&berlin)).await);
    }
    let mut more = tls(&net, Some(&berlin)).await;
    closed(&mut more).await;
    healthy.goes_on(&net).await;
    // One that ends leaves its place to another.
    drop(open.pop());
    let known = || net.desk.stands("berlin") == "NoTarget";
    let router = net.router(berlin);
    eventually("it comes in", known).await;
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_faster_than_it_is_taken_in_does_not_pile_up() {
    let net = limited(|it| {
        it.messages_per_second = 1_000_000;
        it.session.heartbeat = NEVER;
    })
    .await;
    net.desk.takes_in.send_replace(false);
    let mut raw = Raw::of(&net, &net.identity("berlin")).await;
    raw.say(Raw::hello("berlin")).await;
    assert!(raw.hear().await.is_some());
    for count in 0..200 {
        raw.say(facts(count)).await;
    }
    // When this is answered, all that was said before it has been heard.
    let renew = v1::Renew {
        certificate_request: vec![0; 100],
    };
    let message = Some(v1::router_message::Message::Renew(renew));
    raw.say(v1::RouterMessage { message }).await;
    let is_answer = |said: v1::ControllerMessage| {
        let message = said.message.expect("a message");
        matches!(message, v1::controller_message::Message::NotRenewed(_))
    };
    while !is_answer(raw.hear().await.expect("an answer")) {}
    net.desk.takes_in.send_replace(true);
    eventually("the last is told", || told(&net) == Some(199)).await;
    // What was being taken in meanwhile, and the last.
    let tells = net.desk.tells.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(tells, 2);
}
