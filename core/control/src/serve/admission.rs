//! From a TCP connection to one of which is known whose it is. Whoever comes has to be quick, and no
//! address gets all the room.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use patronus_identity::SiteCertificate;
use patronus_model::ids::SiteId;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{Id, JoinSet};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::ServeSettings;

/// How long to wait when the system has no more file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// How long a connection that was refused is kept, for the other end to read why.
const LINGER: Duration = Duration::from_secs(1);

/// And how much is read of it meanwhile, in kB.
const LINGER_READS: usize = 64;

/// Whose a connection is.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// `None` for who showed none, and may only enrol.
    pub(super) certificate: Option<Arc<SiteCertificate>>,
}

/// A connection that was let in.
pub(super) struct Admitted {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// It is cut off then.
    until: Option<Pin<Box<Sleep>>>,
    /// Its place among those without a certificate, or of the same site.
    place: Option<OwnedSemaphorePermit>,
}

impl Admitted {
    /// Gives it its place among the connections of its site, if there is one.
    fn has_place(&mut self, sites: &mut HashMap<SiteId, Arc<Semaphore>>, most: usize) -> bool {
        let Some(certificate) = &self.peer.certificate else {
            return true;
        };
        let site = &certificate.site;
        let places = sites
            .entry(site.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(most)));
        self.place = Arc::clone(places).try_acquire_owned().ok();
        if self.place.is_none() {
            tracing::info!(%site, "too many connections of one router");
        }
        self.place.is_some()
    }
}

/// Whom an address is counted for: who has one IPv6 network has all addresses of it.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> 64)).into(),
    }
}

/// Lets connections in, until nobody wants them any more.
pub(super) async fn admit(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    settings: ServeSettings,
    ready: mpsc::Sender<io::Result<Admitted>>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let strangers = Arc::new(Semaphore::new(settings.strangers));
    let mut handshakes: JoinSet<Option<Admitted>> = JoinSet::new();
    let mut addresses: HashMap<Id, IpAddr> = HashMap::new();
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    // Certificates are not given to many sites, so this does not grow without end.
    let mut sites: HashMap<SiteId, Arc<Semaphore>> = HashMap::new();
    loop {
        tokio::select! {
            Some(done) = handshakes.join_next_with_id() => {
                let (id, admitted) = match done {
                    Ok((id, admitted)) => (id, admitted),
                    Err(error) => (error.id(), None),
                };
                if let Some(address) = addresses.remove(&id)
                    && let Some(count) = counts.get_mut(&address)
                {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&address);
                    }
                }
                if let Some(mut admitted) = admitted
                    && admitted.has_place(&mut sites, settings.connections_per_site)
                    && ready.send(Ok(admitted)).await.is_err()
                {
                    return;
                }
            }
            accepted = listener.accept(), if handshakes.len() < settings.handshakes => {
                let (stream, address) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "no connection can be accepted");
                        sleep(EXHAUSTED).await;
                        continue;
                    }
                };
                let address = counted(address.ip());
                let count = counts.entry(address).or_default();
                if *count >= settings.handshakes_per_address {
                    tracing::debug!(%address, "too many handshakes at once from this address");
                    continue;
                }
                *count += 1;
                let handshake =
                    handshake(stream, acceptor.clone(), settings, Arc::clone(&strangers));
                addresses.insert(handshakes.spawn(handshake).id(), address);
            }
        }
    }
}

async fn handshake(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    settings: ServeSettings,
    strangers: Arc<Semaphore>,
) -> Option<Admitted> {
    let address = stream.peer_addr().ok()?.ip().to_canonical();
    // Without this, a confirmation may wait for the acknowledgement of something else.
    stream.set_nodelay(true).ok()?;
    let accepted = acceptor.accept(stream).into_fallible();
    let stream = match timeout(settings.handshake_within, accepted).await {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, stream))) => {
            tracing::debug!(%address, %error, "a handshake failed");
            linger(stream).await;
            return None;
        }
        Err(_) => {
            tracing::debug!(%address, "a handshake took too long");
            return None;
        }
    };
    let (_, connection) = stream.get_ref();
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    let (certificate, place) = match shown {
        // It was checked in the handshake, so it can be read.
        Some(shown) => (Some(Arc::new(SiteCertificate::from_der(shown).ok()?)), None),
        None => match strangers.try_acquire_owned() {
            Ok(place) => (None, Some(place)),
            Err(_) => {
                tracing::debug!(%address, "too many connections without a certificate");
                return None;
            }
        },
    };
    let until = place
        .as_ref()
        .map(|_| Box::pin(sleep(settings.stranger_for)));
    Some(Admitted {
        stream,
        peer: Peer {
            address,
            certificate,
        },
        until,
        place,
    })
}

/// Closes a connection so that the other end gets to know why: what it has sent and is not read would
/// have the system throw away the alert as well (RFC 1122, 4.2.2.13).
async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut rest = [0; 1024];
    let read = async {
        let mut total = 0;
        while let Ok(1..) = stream.read(&mut rest).await {
            total += 1;
            if total > LINGER_READS {
                break;
            }
        }
    };
    let _ = timeout(LINGER, read).await;
}

impl Connected for Admitted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(until) = &mut self.until
            && until.as_mut().poll(cx).is_ready()
        {
            let error = io::Error::new(io::ErrorKind::TimedOut, "it was there for long enough");
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
