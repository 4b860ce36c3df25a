//! How a router reaches a controller, and enrols there.

use std::fmt::Display;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use patronus_identity::{
    ControllerUrl, Fingerprint, IdentityError, PrivateKey, Request, SiteCertificate, SiteIdentity,
    Token,
};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::clock::WallClock;
use crate::error::ConnectError;
use crate::session::Facts;
use crate::tls::{Trust, router_config};
use crate::wire::v1::enrolment_client::EnrolmentClient;
use crate::wire::{EnrolAnswer, EnrolAsk, MOST_MESSAGE_BYTES, v1};

/// For each of: a TCP connection, a TLS handshake, the answer to an enrolment.
const WITHIN: Duration = Duration::from_secs(10);

/// A connection to a controller.
pub struct Line {
    /// For calls.
    pub channel: Channel,
    url: ControllerUrl,
    pinned: Option<Fingerprint>,
    clock: WallClock,
    /// A certificate that is not taken is noticed only when something is read (RFC 8446, 4.4.2.4 and
    /// appendix E.1.1), and by then several layers have made a text of the error.
    noted: Arc<OnceLock<rustls::Error>>,
}

impl Line {
    /// Why a call failed.
    #[must_use]
    pub fn why(&self, status: &Status) -> ConnectError {
        match self.noted.get() {
            Some(error) => ConnectError::of_tls(&self.url, self.pinned, self.clock.now(), error),
            None => ConnectError::of_status(&self.url, status),
        }
    }
}

/// Connects.
///
/// # Errors
/// There is no controller that is believed.
pub async fn dial(
    url: &ControllerUrl,
    config: Arc<ClientConfig>,
    pinned: Option<Fingerprint>,
    clock: &WallClock,
) -> Result<Line, ConnectError> {
    let silent = |_| ConnectError::Silent {
        url: url.clone(),
        within: WITHIN,
    };
    let unreachable = |source| ConnectError::Unreachable {
        url: url.clone(),
        source,
    };
    let host = url.name.to_str();
    let tcp = timeout(WITHIN, TcpStream::connect((host.as_ref(), url.port)));
    let tcp = tcp.await.map_err(silent)?.map_err(unreachable)?;
    // Messages are small, and some are waited for.
    tcp.set_nodelay(true).map_err(unreachable)?;
    let tls = TlsConnector::from(config).connect(url.name.clone(), tcp);
    let stream = match timeout(WITHIN, tls).await.map_err(silent)? {
        Ok(stream) => stream,
        Err(error) => {
            return Err(match rustls_error(&error) {
                Some(error) => ConnectError::of_tls(url, pinned, clock.now(), error),
                None => unreachable(error),
            });
        }
    };
    let noted = Arc::new(OnceLock::new());
    let stream = Noting {
        stream,
        noted: Arc::clone(&noted),
    };
    let broken = |error: &dyn Display| ConnectError::Tls {
        url: url.clone(),
        reason: error.to_string(),
    };
    let endpoint = Endpoint::from_shared(url.to_string()).map_err(|error| broken(&error))?;
    let mut stream = Some(TokioIo::new(stream));
    // There is one connection; when it ends, so does all that was built on it.
    let connector = service_fn(move |_| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| io::Error::other("the connection has ended")) }
    });
    let endpoint = endpoint.connect_timeout(WITHIN);
    let channel = match endpoint.connect_with_connector(connector).await {
        Ok(channel) => channel,
        Err(error) => {
            return Err(match noted.get() {
                Some(error) => ConnectError::of_tls(url, pinned, clock.now(), error),
                None => broken(&error),
            });
        }
    };
    Ok(Line {
        channel,
        url: url.clone(),
        pinned,
        clock: clock.clone(),
        noted,
    })
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Remembers what TLS says before others make a text of it.
struct Noting {
    stream: TlsStream<TcpStream>,
    noted: Arc<OnceLock<rustls::Error>>,
}

impl Noting {
    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result
            && let Some(error) = rustls_error(error)
        {
            // The first one is the reason for all others.
            let _ = self.noted.set(error.clone());
        }
        result
    }
}

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.note(result)
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buffer);
        self.note(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note(result)
    }
}

/// What became of an enrolment.
#[derive(Debug)]
pub enum Enrolled {
    /// The router has a certificate for its key, from the authority that the token pins.
    Done {
        /// It.
        certificate: SiteCertificate,
        /// The authority's.
        authority: CertificateDer<'static>,
    },
    /// A person has to approve it. Ask again after this time, with the same key.
    Waiting(Duration),
}

impl Enrolled {
    /// The router's identity, if there is one.
    ///
    /// # Errors
    /// The key is another one than the router asked with.
    pub fn identity(self, key: PrivateKey) -> Result<Option<SiteIdentity>, IdentityError> {
        match self {
            Self::Done {
                certificate,
                authority,
            } => SiteIdentity::new(key, certificate, authority).map(Some),
            Self::Waiting(_) => Ok(None),
        }
    }
}

/// Enrols a router at the first of the token's controllers that answers.
///
/// # Errors
/// The reasons of all controllers that were tried. The last one has said no, or was the last.
pub async fn enrol(
    token: &Token,
    key: &PrivateKey,
    facts: &Facts,
    clock: &WallClock,
) -> Result<Enrolled, Vec<ConnectError>> {
    let mut errors = Vec::new();
    for url in token.urls() {
        match enrol_at(url, token, key, facts, clock).await {
            Ok(enrolled) => return Ok(enrolled),
            Err(error) => {
                // Whoever has the token has decided.
                let decided = matches!(&error, ConnectError::Refused { again: false, .. });
                errors.push(error);
                if decided {
                    break;
                }
            }
        }
    }
    Err(errors)
}

async fn enrol_at(
    url: &ControllerUrl,
    token: &Token,
    key: &PrivateKey,
    facts: &Facts,
    clock: &WallClock,
) -> Result<Enrolled, ConnectError> {
    let config = router_config(Trust::Pinned(token.authority), None, clock)?;
    let line = dial(url, Arc::new(config), Some(token.authority), clock).await?;
    let ask = EnrolAsk {
        token: token.id,
        secret: patronus_identity::TokenSecret::new(*token.secret.expose()),
        request: Request::make(key)?,
        facts: facts.clone(),
    };
    let mut client =
        EnrolmentClient::new(line.channel.clone()).max_decoding_message_size(MOST_MESSAGE_BYTES);
    let call = client.enrol(v1::EnrolRequest::from(&ask));
    let silent = |_| ConnectError::Silent {
        url: url.clone(),
        within: WITHIN,
    };
    let answer = timeout(WITHIN, call).await.map_err(silent)?;
    let answer = answer.map_err(|status| line.why(&status))?.into_inner();
    let invalid = |source| ConnectError::Invalid {
        url: url.clone(),
        source,
    };
    match EnrolAnswer::try_from(answer).map_err(invalid)? {
        EnrolAnswer::Waiting(after) => Ok(Enrolled::Waiting(after)),
        EnrolAnswer::Enrolled {
            certificate,
            authority,
        } => {
            let authority = CertificateDer::from(authority);
            if !Fingerprint::of_certificate(&authority)?.matches(&token.authority) {
                return Err(IdentityError::OtherAuthority.into());
            }
            let certificate = SiteCertificate::from_der(&CertificateDer::from(certificate))?;
            Ok(Enrolled::Done {
                certificate,
                authority,
            })
        }
    }
}
