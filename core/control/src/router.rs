//! A router's side: one session after the other, with whichever controller answers.

mod link;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use patronus_identity::{
    ControllerUrl, IdentityError, PrivateKey, Request, SiteCertificate, SiteIdentity,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::clock::{Monotonic, WallClock};
use crate::dial::{Line, dial};
use crate::error::ConnectError;
use crate::session::{
    Configuration, Facts, FromRouter, Memory, RouterEffect, RouterEnd, RouterEvent, connect_after,
};
use crate::tls::{Trust, router_config};
use crate::wire::v1::control_client::ControlClient;
use crate::wire::{MOST_MESSAGE_BYTES, Opening, decode_controller, encode_router, v1};
use link::{Happened, Lane, Link, Open};

/// What a router does with what its controller says: the edge to its disk and its kernel.
pub trait Device: Send + Sync + 'static {
    /// This is to be on the disk, whole, in the place of what was there, also after a power cut.
    fn store(&self, memory: Memory) -> impl Future<Output = Result<(), String>> + Send;

    /// This is to run, whole. Of one that is refused nothing may be left once the next is applied.
    fn apply(
        &self,
        configuration: Option<Configuration>,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// This is who the router is from now on, also after a power cut.
    ///
    /// # Errors
    /// It cannot be written. The identity before it is used on.
    fn keep(&self, identity: &SiteIdentity) -> Result<(), IdentityError>;

    /// Something happened that people may want to know.
    fn report(&self, report: Report);
}

/// What people may want to know.
#[derive(Debug)]
pub enum Report {
    /// A controller is connected.
    Connected(ControllerUrl),
    /// None is, and why. It is tried again after this time.
    Disconnected {
        /// Why.
        reason: String,
        /// Whether it is of use to try again as long as nobody does anything.
        is_worth_a_retry: bool,
        /// After this time it is tried all the same.
        again_in: Duration,
    },
    /// Something became of a configuration.
    Event(RouterEvent),
    /// The certificate was renewed.
    Renewed,
    /// It was not.
    NotRenewed(String),
}

/// A session that lasted as long as this was a good one: the next failure is the first again.
const GOOD: Duration = Duration::from_secs(60);

/// How often it is looked whether the certificate is to be renewed.
const LOOK: Duration = Duration::from_secs(60);

/// After this time it is asked again for a certificate.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

/// How long a router that is stopped takes to say so.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// What a router is made of.
#[derive(Debug)]
pub struct Router<D> {
    /// What it does.
    pub device: Arc<D>,
    /// Who it is.
    pub identity: SiteIdentity,
    /// Where its controllers are. One is tried after the other.
    pub controllers: Vec<ControllerUrl>,
    /// What was on its disk.
    pub memory: Memory,
    /// What it says of its uplinks.
    pub facts: watch::Receiver<Facts>,
    /// What time it is.
    pub clock: WallClock,
}

impl<D: Device> Router<D> {
    /// Runs until `stop`. There is always a configuration, whether or not there is a controller.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut facts = self.facts;
        let told = facts.borrow_and_update().clone();
        let mut run = Run {
            end: RouterEnd::new(self.memory, told),
            stores: Lane::default(),
            applies: Lane::default(),
            link: Link::Idle(Instant::now()),
            monotonic: Monotonic::start(),
            identity: self.identity,
            device: self.device,
            controllers: self.controllers,
            clock: self.clock,
            failures: 0,
            turn: 0,
            renewing: None,
            asked: None,
            look: Instant::now() + LOOK,
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            run.work();
            tokio::select! {
                () = run.next() => {}
                Ok(()) = facts.changed() => {
                    let told = facts.borrow_and_update().clone();
                    run.end.tell(told);
                }
                () = &mut stop => break,
            }
        }
        run.leave().await;
    }
}

struct Run<D> {
    end: RouterEnd,
    stores: Lane<Memory>,
    applies: Lane<Option<Configuration>>,
    link: Link,
    monotonic: Monotonic,
    identity: SiteIdentity,
    device: Arc<D>,
    controllers: Vec<ControllerUrl>,
    clock: WallClock,
    failures: u32,
    /// Whose turn it is.
    turn: usize,
    /// The key for which a certificate was asked for.
    renewing: Option<PrivateKey>,
    /// When that was done last.
    asked: Option<Instant>,
    look: Instant,
}

impl<D: Device> Run<D> {
    /// Begins what is to be done.
    fn work(&mut self) {
        while let Some(effect) = self.end.poll_effect() {
            match effect {
                RouterEffect::Store { operation, memory } => {
                    self.stores.queue.push_back((operation, memory));
                }
                RouterEffect::Apply {
                    operation,
                    configuration,
                } => self.applies.queue.push_back((operation, configuration)),
                RouterEffect::Report(event) => self.device.report(Report::Event(event)),
                RouterEffect::Renewed(result) => self.renewed(result),
                RouterEffect::Close { reason, after } => self.lost(reason, true, after),
            }
        }
        let device = Arc::clone(&self.device);
        self.stores
            .go_on(|memory| async move { device.store(memory).await });
        let device = Arc::clone(&self.device);
        self.applies
            .go_on(|configuration| async move { device.apply(configuration).await });
        if let Link::Open(open) = &mut self.link
            && open.pending.is_none()
        {
            let next = self.end.poll_message();
            open.pending = next.and_then(|it| match it {
                FromRouter::Hello(hello) => Some(
                    Opening {
                        session: open.session,
                        site: self.identity.certificate().site.clone(),
                        clock_ms: self.clock.millis(),
                        hello,
                    }
                    .into(),
                ),
                other => encode_router(other),
            });
        }
    }

    /// Waits for the next thing that happens.
    async fn next(&mut self) {
        let wake = self.end.poll_timeout().map(|at| self.monotonic.at(at));
        let wake = wake.unwrap_or_else(|| Instant::now() + LOOK);
        tokio::select! {
            (operation, result) = self.stores.done() => {
                self.end.stored(self.monotonic.now(), operation, result);
            }
            (operation, result) = self.applies.done() => {
                self.end.applied(self.monotonic.now(), operation, result);
            }
            happened = self.link.next() => self.happened(happened),
            () = sleep_until(wake) => self.end.timeout(self.monotonic.now()),
            () = sleep_until(self.look) => self.look_at_certificate(),
        }
    }

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Dial => self.dial(),
            Happened::Dialed(url, Ok(line)) => self.open(url, line),
            Happened::Dialed(_, Err(error)) => {
                self.lost(error.to_string(), error.is_worth_a_retry(), None);
            }
            Happened::Said => {}
            Happened::Heard(message) => self.heard(message),
            Happened::Lost(status) => {
                let Link::Open(open) = &self.link else { return };
                let ended = Status::unavailable("the connection ended");
                let error = open.line.why(&status.unwrap_or(ended));
                self.lost(error.to_string(), error.is_worth_a_retry(), None);
            }
        }
    }

    fn dial(&mut self) {
        let count = self.controllers.len().max(1);
        let Some(url) = self.controllers.get(self.turn % count).cloned() else {
            self.lost("no controller is known".to_owned(), false, None);
            return;
        };
        self.turn = self.turn.wrapping_add(1);
        let trust = Trust::Authority(self.identity.authority().clone());
        let config = match router_config(trust, Some(&self.identity), &self.clock) {
            Ok(config) => Arc::new(config),
            Err(error) => {
                self.lost(error.to_string(), false, None);
                return;
            }
        };
        let clock = self.clock.clone();
        let to = url.clone();
        let dialing = async move { dial(&to, config, None, &clock).await };
        self.link = Link::Dialing(url, Box::pin(dialing));
    }

    fn open(&mut self, url: ControllerUrl, line: Line) {
        let (up, messages) = mpsc::channel(8);
        let channel = line.channel.clone();
        let down = stream::once(async move {
            let mut client =
                ControlClient::new(channel).max_decoding_message_size(MOST_MESSAGE_BYTES);
            let answer = client.session(ReceiverStream::new(messages)).await?;
            Ok::<_, Status>(answer.into_inner())
        });
        let session = random();
        self.link = Link::Open(Box::new(Open {
            url,
            line,
            session,
            up,
            down: down.try_flatten().boxed(),
            pending: None,
            since: Instant::now(),
            heard: false,
        }));
        self.end.connected(self.monotonic.now(), session);
    }

    fn heard(&mut self, message: v1::ControllerMessage) {
        let Link::Open(open) = &mut self.link else {
            return;
        };
        if !open.heard {
            open.heard = true;
            self.device.report(Report::Connected(open.url.clone()));
            self.look = Instant::now();
        }
        match decode_controller(message) {
            Ok(Some((session, message))) => {
                self.end.received(self.monotonic.now(), session, message);
            }
            Ok(None) => {}
            Err(source) => {
                let url = open.url.clone();
                let error = ConnectError::Invalid { url, source };
                self.lost(error.to_string(), error.is_worth_a_retry(), None);
            }
        }
    }

    /// There is no connection, and it is tried again later.
    fn lost(&mut self, reason: String, is_worth_a_retry: bool, after: Option<Duration>) {
        if let Link::Open(open) = &self.link
            && open.heard
            && open.since.elapsed() >= GOOD
        {
            self.failures = 0;
        }
        let again_in = connect_after(self.failures, random_share()).max(after.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.link = Link::Idle(Instant::now() + again_in);
        self.end.disconnected();
        self.device.report(Report::Disconnected {
            reason,
            is_worth_a_retry,
            again_in,
        });
    }

    fn look_at_certificate(&mut self) {
        self.look = Instant::now() + LOOK;
        let is_connected = matches!(&self.link, Link::Open(open) if open.heard);
        let asked = self.asked.is_some_and(|at| at.elapsed() < ASK_AGAIN);
        if !is_connected || asked || self.clock.now() < self.identity.renew_at() {
            return;
        }
        let made = PrivateKey::generate().and_then(|key| Ok((Request::make(&key)?, key)));
        match made {
            Ok((request, key)) => {
                self.renewing = Some(key);
                self.asked = Some(Instant::now());
                self.end.renew(request);
            }
            Err(error) => self.device.report(Report::NotRenewed(error.to_string())),
        }
    }

    fn renewed(&mut self, result: Result<Vec<u8>, String>) {
        let Some(key) = self.renewing.take() else {
            return;
        };
        let renewed = result.and_then(|der| {
            let identity = self.identity_of(key, der);
            identity.map_err(|error| error.to_string())
        });
        match renewed {
            Ok(identity) => {
                self.identity = identity;
                self.device.report(Report::Renewed);
                // From now on the new one is shown.
                self.failures = 0;
                self.lost("the certificate was renewed".to_owned(), true, None);
            }
            Err(reason) => self.device.report(Report::NotRenewed(reason)),
        }
    }

    /// The new identity, which is on the disk.
    fn identity_of(&self, key: PrivateKey, der: Vec<u8>) -> Result<SiteIdentity, IdentityError> {
        let certificate = SiteCertificate::from_der(&CertificateDer::from(der))?;
        if certificate.site != self.identity.certificate().site {
            return Err(IdentityError::NotSite("it is for another site"));
        }
        let authority = self.identity.authority().clone();
        let identity = SiteIdentity::new(key, certificate, authority)?;
        self.device.keep(&identity)?;
        Ok(identity)
    }

    /// Says that the router is stopped on purpose, as far as that can be said quickly.
    async fn leave(mut self) {
        self.end.leave();
        let say = async {
            loop {
                self.work();
                match &mut self.link {
                    Link::Open(open) if open.pending.is_some() => {
                        if let Happened::Lost(_) = open.next().await {
                            return;
                        }
                    }
                    Link::Open(open) => {
                        // The controller ends it, once it has heard that.
                        while let Happened::Heard(_) = open.next().await {}
                        return;
                    }
                    Link::Idle(_) | Link::Dialing(..) => return,
                }
            }
        };
        let _ = tokio::time::timeout(LEAVE_WITHIN, say).await;
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without chance, sessions are still told apart by their connections.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_be_bytes(bytes)
}

/// From 0 to 1.
fn random_share() -> f64 {
    let bits = u32::try_from(random() >> 32).unwrap_or(u32::MAX);
    f64::from(bits) / f64::from(u32::MAX)
}
