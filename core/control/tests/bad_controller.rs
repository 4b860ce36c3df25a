//! A controller that has its certificate and means harm, or is broken: no router takes harm from it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod net;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use net::{Skew, TestRouter, configuration, eventually, identity};
use patronus_control::WallClock;
use patronus_control::session::{Configuration, Memory, PROTOCOL};
use patronus_control::tls::{Shown, controller_config};
use patronus_control::wire::v1;
use patronus_control::wire::v1::control_server::{Control, ControlServer};
use patronus_control::wire::v1::controller_message::Message;
use patronus_identity::{Authority, ControllerName, ControllerUrl, PrivateKey, Revocations};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

/// Says the same to every router, whatever that says, and then nothing.
#[derive(Clone)]
struct Script(Arc<Vec<Message>>);

#[tonic::async_trait]
impl Control for Script {
    type SessionStream = ReceiverStream<Result<v1::ControllerMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::RouterMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (say, said) = mpsc::channel(64);
        let script = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut heard = request.into_inner();
            let Ok(Some(first)) = heard.message().await else {
                return;
            };
            let Some(v1::router_message::Message::Hello(hello)) = first.message else {
                return;
            };
            for message in script.iter() {
                let session = hello.session;
                let message = Some(message.clone());
                let _ = say
                    .send(Ok(v1::ControllerMessage { session, message }))
                    .await;
            }
            while let Ok(Some(_)) = heard.message().await {}
        });
        Ok(Response::new(ReceiverStream::new(said)))
    }
}

struct Io(TlsStream<TcpStream>);

impl Connected for Io {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn controller(authority: &Authority, script: Vec<Message>) -> ControllerUrl {
    let clock = WallClock::system();
    let key = PrivateKey::generate().unwrap();
    let names = [ControllerName::try_from("127.0.0.1").unwrap()];
    let issued = authority
        .issue_controller(&names, &key, clock.now())
        .unwrap();
    let (_, shown) = watch::channel(Shown::new(&issued, &key).unwrap());
    let (_, revoked) = watch::channel(Arc::new(Revocations::default()));
    let tls = controller_config(shown, authority.certificate(), revoked, &clock).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (ready, incoming) = mpsc::channel::<io::Result<Io>>(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = ready.send(Ok(Io(stream))).await;
            }
        }
    });
    let service = ControlServer::new(Script(Arc::new(script)));
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(ReceiverStream::new(incoming)));
    format!("https://{address}").parse().unwrap()
}

fn welcome() -> Message {
    Message::Welcome(v1::Welcome {
        protocol: PROTOCOL,
        heartbeat_ms: 60_000,
        clock_ms: 0,
    })
}

fn edition(configuration: &Configuration) -> v1::Edition {
    configuration.edition().into()
}

fn begin(configuration: &Configuration, base: &[u8]) -> Message {
    Message::Begin(v1::Begin {
        edition: Some(edition(configuration)),
        base: base.to_vec(),
        gone: vec![],
        confirm_within_ms: 60_000,
    })
}

fn pieces(configuration: &Configuration, count: usize) -> Message {
    let pieces = configuration.snapshot.pieces().iter().take(count);
    let pieces = pieces.map(|it| v1::Piece {
        id: Some(it.id().into()),
        text: it.text().to_owned(),
    });
    let of = configuration.snapshot.digest().as_bytes().to_vec();
    Message::Pieces(v1::Pieces {
        of,
        pieces: pieces.collect(),
    })
}

fn end(configuration: &Configuration) -> Message {
    let of = configuration.snapshot.digest().as_bytes().to_vec();
    Message::End(v1::End { of })
}

/// A router that runs generation 10, which it has confirmed, and what it makes of a controller.
async fn check(script: Vec<Message>, expected: &str) {
    let authority = Authority::create(WallClock::system().now()).unwrap();
    let url = controller(&authority, script).await;
    let ten = configuration(10);
    let memory = Memory {
        confirmed: Some(ten.clone()),
        seen: Some(ten.version),
        ..Memory::default()
    };
    let berlin = identity(&authority, "berlin");
    let router = TestRouter::start(berlin, &[&url], &Skew::default(), memory);
    let said = || router.reports().contains(expected);
    eventually(expected, said).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reports = router.reports();
    assert_eq!(
        router.device.kernel.lock().unwrap().clone(),
        Some(ten),
        "{reports}"
    );
    assert!(router.device.kept.lock().unwrap().is_empty());
    assert!(!reports.contains("Applied("), "{reports}");
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_ends_the_session_with_the_name_of_the_field() {
    let eleven = configuration(11);
    let huge = v1::Pieces {
        of: vec![7; 32],
        pieces: vec![v1::Piece {
            id: None,
            text: "x".repeat(5 << 20),
        }],
    };
    let fast = v1::Welcome {
        protocol: PROTOCOL,
        heartbeat_ms: 0,
        clock_ms: 0,
    };
    let later = v1::Welcome {
        protocol: 2,
        heartbeat_ms: 1000,
        clock_ms: 0,
    };
    let unnamed = v1::Begin {
        edition: None,
        ..v1::Begin::default()
    };
    let table = [
        (vec![begin(&eleven, &[])], "did not say who it is first"),
        (
            vec![Message::Welcome(fast)],
            "welcome.heartbeat_ms: 0 ms is not from 100",
        ),
        (
            vec![Message::Welcome(later)],
            "speaks version 2, and this router version 1",
        ),
        (
            vec![welcome(), Message::Begin(unnamed)],
            "begin.edition: it is missing",
        ),
        (
            vec![welcome(), begin(&eleven, &[1])],
            "begin.base: it has 1 bytes instead of 32",
        ),
        (
            vec![welcome(), Message::Pieces(huge)],
            "message length too large",
        ),
    ];
    for (script, expected) in table {
        check(script, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_whole_or_not_new_is_not_applied() {
    let (nine, eleven) = (configuration(9), configuration(11));
    let all = usize::MAX;
    let connected = "Connected(";
    let table = [
        // Without an end, without a beginning, with a part missing, of something else.
        vec![welcome(), begin(&eleven, &[]), pieces(&eleven, all)],
        vec![welcome(), pieces(&eleven, all), end(&eleven)],
        vec![
            welcome(),
            begin(&eleven, &[]),
            pieces(&eleven, 49),
            end(&eleven),
        ],
        vec![
            welcome(),
            begin(&eleven, &[]),
            pieces(&nine, all),
            end(&eleven),
        ],
        vec![
            welcome(),
            begin(&eleven, &[7; 32]),
            pieces(&eleven, all),
            end(&eleven),
        ],
        // An older one.
        vec![welcome(), begin(&nine, &[]), pieces(&nine, all), end(&nine)],
        // Confirmations of what is not tried.
        vec![
            welcome(),
            Message::Confirm(edition(&eleven)),
            Message::Confirm(edition(&nine)),
        ],
        // A certificate that was not asked for.
        vec![
            welcome(),
            Message::Renewed(v1::Renewed {
                certificate: vec![7; 600],
            }),
        ],
    ];
    for script in table {
        check(script, connected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_it_away_is_not_asked_without_a_pause() {
    let away = v1::GoAway {
        reason: "later".to_owned(),
        after_ms: 60_000,
    };
    let authority = Authority::create(WallClock::system().now()).unwrap();
    let url = controller(&authority, vec![welcome(), Message::GoAway(away)]).await;
    let berlin = identity(&authority, "berlin");
    let router = TestRouter::start(berlin, &[&url], &Skew::default(), Memory::default());
    eventually("it is sent away", || {
        router.reports().contains("lost (true): later")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let reports = router.reports();
    assert_eq!(reports.matches("Connected(").count(), 1, "{reports}");
}
