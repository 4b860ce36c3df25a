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
use std::time::Duration;

use net::{Net, Raw, TestRouter, eventually, settings, target};
use patronus_control::WallClock;
use patronus_control::serve::ServeSettings;
use patronus_control::tls::{Trust, router_config};
use patronus_control::wire::v1;
use patronus_identity::{Authority, SiteIdentity};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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

async fn limited(change: impl FnOnce(&mut ServeSettings)) -> Net {
    let authority = Authority::create(WallClock::system().now()).unwrap();
    let mut settings = settings();
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

/// Whether the other end closes within some seconds.
async fn is_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> bool {
    let mut sink = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut sink));
    read.await.is_ok()
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
    let net = Net::start().await;
    let mut healthy = Healthy::start(&net).await;
    for seed in 0..20 {
        let mut tcp = TcpStream::connect(net.address).await.unwrap();
        tcp.write_all(&noise(500, seed)).await.unwrap();
        assert!(is_closed(&mut tcp).await, "{seed}");
    }
    let mut tcp = TcpStream::connect(net.address).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(is_closed(&mut tcp).await);
    healthy.goes_on(&net).await;
}

/// What every HTTP/2 connection begins with, and empty settings (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_http2_end_a_connection() {
    let net = Net::start().await;
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
        assert!(is_closed(&mut stream).await, "{seed}");
    }
    // Cut off in the middle of a frame.
    let mut stream = tls(&net, Some(&berlin)).await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&[0, 0x10, 0, 1, 4]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(is_closed(&mut stream).await);
    healthy.goes_on(&net).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_too_large_or_make_no_sense_end_a_session() {
    let net = Net::start().await;
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
    let net = limited(|it| {
        it.messages_per_second = 20;
        it.session.heartbeat = Duration::from_secs(1);
    })
    .await;
    let mut healthy = Healthy::start(&net).await;
    let raw = Raw::of(&net, &net.identity("berlin")).await;
    raw.say(Raw::hello("berlin")).await;
    let say = raw.say.clone();
    let flood = tokio::spawn(async move {
        for count in 0..100_000_u32 {
            let facts = v1::UplinkFacts {
                name: format!("uplink-{count}"),
                public_key: vec![7; 32],
                address: String::new(),
            };
            let facts = v1::Facts {
                uplinks: vec![facts],
            };
            let message = Some(v1::router_message::Message::Facts(facts));
            if say.send(v1::RouterMessage { message }).await.is_err() {
                break;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    healthy.goes_on(&net).await;
    let told = net.desk.told.lock().unwrap()[&net::site("berlin")].clone();
    let (last, _) = told.first_key_value().unwrap();
    let count: u32 = last.as_str().trim_start_matches("uplink-").parse().unwrap();
    assert!(count < 20 * 8, "{count} in a few seconds");
    assert!(!flood.is_finished());
    flood.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_not_finished_keep_nobody_out_for_long() {
    let within = Duration::from_millis(500);
    let net = limited(|it| {
        it.handshakes = 8;
        it.handshakes_per_address = 4;
        it.handshake_within = within;
    })
    .await;
    let mut healthy = Healthy::start(&net).await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(net.address).await.unwrap());
    }
    // Those beyond the limit of their address are closed at once, the others soon.
    let begun = std::time::Instant::now();
    for stream in &mut idle {
        assert!(is_closed(stream).await);
    }
    assert!(begun.elapsed() < within * 6, "{:?}", begun.elapsed());
    healthy.goes_on(&net).await;
    let late = net.router(net.identity("late"));
    eventually("it comes in", || net.desk.stands("late") == "NoTarget").await;
    late.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_certificate_has_little_room_and_little_time() {
    let net = limited(|it| {
        it.strangers = 3;
        it.stranger_for = Duration::from_millis(800);
    })
    .await;
    let mut healthy = Healthy::start(&net).await;
    let begun = std::time::Instant::now();
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(tls(&net, None).await);
    }
    // One more is not let in, and none stays.
    let mut more = tls(&net, None).await;
    assert!(is_closed(&mut more).await);
    assert!(
        begun.elapsed() < Duration::from_millis(700),
        "{:?}",
        begun.elapsed()
    );
    // A router has its room all the same.
    healthy.goes_on(&net).await;
    for stranger in &mut strangers {
        assert!(is_closed(stranger).await);
    }
    let token = net.token("berlin");
    net::enrolled(&token).await.unwrap();
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
    assert!(is_closed(&mut more).await);
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
    let net = limited(|it| it.messages_per_second = 1_000_000).await;
    *net.desk.takes.lock().unwrap() = Duration::from_millis(200);
    let mut raw = Raw::of(&net, &net.identity("berlin")).await;
    raw.say(Raw::hello("berlin")).await;
    assert!(raw.hear().await.is_some());
    for count in 0..200_u32 {
        let uplink = v1::UplinkFacts {
            name: format!("uplink-{count}"),
            public_key: vec![7; 32],
            address: String::new(),
        };
        let facts = v1::Facts {
            uplinks: vec![uplink],
        };
        let message = Some(v1::router_message::Message::Facts(facts));
        raw.say(v1::RouterMessage { message }).await;
    }
    let last = || {
        let told = net.desk.told.lock().unwrap();
        let facts = told.get(&net::site("berlin"));
        facts.is_some_and(|it| it.keys().any(|name| name.as_str() == "uplink-199"))
    };
    eventually("the last is told", last).await;
    let tells = net.desk.tells.load(std::sync::atomic::Ordering::SeqCst);
    assert!(tells <= 20, "{tells}");
}
