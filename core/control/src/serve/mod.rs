//! The controller's side of all connections.

mod admission;
mod enrolment;
mod session;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use patronus_identity::{NotRedeemed, Revocations, SiteCertificate};
use patronus_model::ids::SiteId;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use crate::clock::{Monotonic, WallClock};
use crate::session::{ControllerSettings, Facts, Snapshot, Status, Target};
use crate::wire::v1::control_server::ControlServer;
use crate::wire::v1::enrolment_server::EnrolmentServer;
use crate::wire::{EnrolAnswer, EnrolAsk, MOST_MESSAGE_BYTES};
use admission::admit;
use enrolment::Enrolments;
use session::{Registry, Sessions};

/// What a controller does with what routers say: the edge to its store.
pub trait Desk: Send + Sync + 'static {
    /// Somebody wants to be enrolled.
    fn enrol(
        &self,
        ask: EnrolAsk,
        from: IpAddr,
    ) -> impl Future<Output = Result<EnrolAnswer, NotEnrolled>> + Send;

    /// What the router of a site is to have, and tells of every change of that.
    fn targets(&self, site: &SiteId) -> watch::Receiver<Option<Target>>;

    /// Configurations that it may have, the likeliest first.
    fn known(&self, site: &SiteId) -> Vec<Snapshot>;

    /// It says this of its uplinks.
    fn told(&self, site: &SiteId, facts: Facts) -> impl Future<Output = ()> + Send;

    /// It wants a new certificate for the key of this request: gives it in DER, or says why not.
    fn renew(
        &self,
        certificate: &SiteCertificate,
        request: Vec<u8>,
    ) -> impl Future<Output = Result<Vec<u8>, String>> + Send;

    /// How far it is; `None` when it is not connected any more, and why.
    fn stands(&self, site: &SiteId, status: Result<&Status, &str>);
}

/// Why somebody is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum NotEnrolled {
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] NotRedeemed),
    /// What is asked for is not.
    #[error("{0}")]
    Request(String),
    /// It may be so later.
    #[error("the controller cannot enrol anybody just now: {0}")]
    Later(String),
}

/// How much a controller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// The sessions.
    pub session: ControllerSettings,
    /// So many TLS handshakes are under way at once. One takes a millisecond of a core, and a
    /// thousand routers that come back at once are through in seconds.
    pub handshakes: usize,
    /// So many of them from one address; what is beyond that is not answered. A few routers may be
    /// behind one NAT.
    pub handshakes_per_address: usize,
    /// A handshake has to be done within this.
    pub handshake_within: Duration,
    /// So many connections of those who have no certificate are open at once.
    pub strangers: usize,
    /// And each for so long at most.
    pub stranger_for: Duration,
    /// So many connections of one router are open at once. It uses one; after failures some more may
    /// not have been noticed to be dead.
    pub connections_per_site: usize,
    /// So many messages of one router are taken in a second.
    pub messages_per_second: u32,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            session: ControllerSettings::default(),
            handshakes: 256,
            handshakes_per_address: 32,
            handshake_within: Duration::from_secs(10),
            strangers: 64,
            stranger_for: Duration::from_secs(30),
            connections_per_site: 8,
            messages_per_second: 50,
        }
    }
}

/// How often it is looked whether somebody is at the other end of a connection.
const LOOK: Duration = Duration::from_secs(20);

/// And how long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// When a controller is stopped, it waits so long for what is under way.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What a controller is made of.
#[derive(Debug)]
pub struct Controller<D> {
    /// What it does.
    pub desk: Arc<D>,
    /// How it is connected to: [`crate::tls::controller_config`].
    pub tls: Arc<ServerConfig>,
    /// Who is not let in any more. Who is in, is cut off when this changes.
    pub revocations: watch::Receiver<Arc<Revocations>>,
    /// What time it is.
    pub clock: WallClock,
    /// How much time passes: the clock of [`Target::held_until`].
    pub monotonic: Monotonic,
    /// How much it takes.
    pub settings: ServeSettings,
}

impl<D: Desk> Controller<D> {
    /// Serves routers until `stop`, and sends them away then.
    ///
    /// # Errors
    /// HTTP/2 cannot be served at all.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error> {
        let settings = self.settings;
        let (ready, incoming) = mpsc::channel(64);
        let (draining, drain) = watch::channel(false);
        let admission = tokio::spawn(admit(listener, Arc::clone(&self.tls), settings, ready));
        let sessions = Sessions {
            registry: Registry::start(),
            revocations: self.revocations,
            clock: self.clock,
            monotonic: self.monotonic,
            settings,
            drain: drain.clone(),
            desk: Arc::clone(&self.desk),
        };
        let control = ControlServer::new(sessions).max_decoding_message_size(MOST_MESSAGE_BYTES);
        let enrolment = EnrolmentServer::new(Enrolments { desk: self.desk })
            .max_decoding_message_size(MOST_MESSAGE_BYTES);
        let mut drained = drain;
        let server = Server::builder()
            .max_concurrent_streams(4)
            .concurrency_limit_per_connection(4)
            .http2_keepalive_interval(Some(LOOK))
            .http2_keepalive_timeout(Some(ANSWER_WITHIN))
            .http2_max_header_list_size(8 * 1024)
            .http2_max_pending_accept_reset_streams(Some(8))
            .add_service(control)
            .add_service(enrolment)
            .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move {
                let _ = drained.wait_for(|draining| *draining).await;
            });
        let mut server = std::pin::pin!(server);
        let ended = tokio::select! {
            result = &mut server => Some(result),
            () = stop => None,
        };
        admission.abort();
        match ended {
            Some(result) => result,
            None => {
                draining.send_replace(true);
                // Who does not end in time is cut off.
                tokio::time::timeout(END_WITHIN, server)
                    .await
                    .unwrap_or(Ok(()))
            }
        }
    }
}
