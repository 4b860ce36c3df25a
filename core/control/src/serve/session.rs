//! The session of a router: from messages to its state machine, and back.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use patronus_identity::{Revocations, SiteCertificate, UnixTime};
use patronus_model::ids::SiteId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::admission::Peer;
use super::{Desk, ServeSettings};
use crate::clock::{Monotonic, WallClock};
use crate::session::{ControllerEffect, ControllerEnd, Facts, FromRouter, SessionId, Target};
use crate::wire::v1::control_server::Control;
use crate::wire::{Opening, decode_router, encode_controller, v1};

/// A router says who it is within this.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Messages that wait to be sent. Each has some 32 kB.
const WAITING: usize = 4;

/// A router that takes nothing for so long is not there.
const STUCK: Duration = Duration::from_secs(30);

/// When a controller stops, its routers come back within this, or go to another one.
const COME_BACK: Duration = Duration::from_secs(1);

/// A clock that differs by more than this is told of: half of what certificates are backdated by.
const SKEW: Duration = Duration::from_secs(12 * 60 * 60);

pub(super) struct Sessions<D> {
    pub(super) registry: Registry,
    pub(super) revocations: watch::Receiver<Arc<Revocations>>,
    pub(super) clock: WallClock,
    pub(super) monotonic: Monotonic,
    pub(super) settings: ServeSettings,
    pub(super) drain: watch::Receiver<bool>,
    pub(super) desk: Arc<D>,
}

/// Knows the last session of each site: a router has one, and the last one is the one that it means.
#[derive(Clone)]
pub(super) struct Registry(mpsc::Sender<(SiteId, oneshot::Sender<()>)>);

impl Registry {
    pub(super) fn start() -> Self {
        let (sender, mut receiver) = mpsc::channel::<(SiteId, oneshot::Sender<()>)>(64);
        tokio::spawn(async move {
            let mut last = HashMap::new();
            while let Some((site, session)) = receiver.recv().await {
                // The one before it notices that it is dropped.
                last.insert(site, session);
            }
        });
        Self(sender)
    }

    /// Resolves when there is a later session of the site.
    async fn enter(&self, site: &SiteId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let _ = self.0.send((site.clone(), sender)).await;
        receiver
    }
}

type Reply = Result<v1::ControllerMessage, Status>;

#[tonic::async_trait]
impl<D: Desk> Control for Sessions<D> {
    type SessionStream = ReceiverStream<Reply>;

    async fn session(
        &self,
        request: Request<Streaming<v1::RouterMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let peer = request.extensions().get::<Peer>();
        let certificate = peer.and_then(|peer| peer.certificate.clone());
        let certificate = certificate.ok_or_else(|| {
            Status::unauthenticated(
                "only a router that was enrolled and shows its certificate has a session",
            )
        })?;
        let (replies, receiver) = mpsc::channel(WAITING);
        let session = Session {
            certificate,
            messages: request.into_inner(),
            replies,
            revocations: self.revocations.clone(),
            clock: self.clock.clone(),
            monotonic: self.monotonic,
            settings: self.settings,
            drain: self.drain.clone(),
            registry: self.registry.clone(),
            desk: Arc::clone(&self.desk),
        };
        tokio::spawn(session.run());
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

struct Session<D> {
    certificate: Arc<SiteCertificate>,
    messages: Streaming<v1::RouterMessage>,
    replies: mpsc::Sender<Reply>,
    revocations: watch::Receiver<Arc<Revocations>>,
    clock: WallClock,
    monotonic: Monotonic,
    settings: ServeSettings,
    drain: watch::Receiver<bool>,
    registry: Registry,
    desk: Arc<D>,
}

/// How a session ends.
enum Ended {
    /// As sessions do.
    Quietly(String),
    /// The router is told why.
    Told(Status),
    /// Another session of the same site has taken its place.
    Replaced,
}

/// Waits for something, if there is something; otherwise for ever.
async fn done<T>(doing: &mut Option<BoxFuture<'_, T>>) -> T {
    match doing {
        Some(doing) => doing.await,
        None => pending().await,
    }
}

impl<D: Desk> Session<D> {
    async fn run(mut self) {
        let site = self.certificate.site.clone();
        let ended = match self.opening().await {
            Ok(opening) => {
                let replaced = self.registry.enter(&site).await;
                self.go_on(opening, replaced).await
            }
            Err(status) => Ended::Told(status),
        };
        let reason = match ended {
            Ended::Replaced => {
                tracing::info!(%site, "the router has another session now");
                let status = Status::aborted("this router has another session now");
                let _ = timeout(HELLO_WITHIN, self.replies.send(Err(status))).await;
                return;
            }
            Ended::Quietly(reason) => reason,
            Ended::Told(status) => {
                let reason = status.message().to_owned();
                let _ = timeout(HELLO_WITHIN, self.replies.send(Err(status))).await;
                reason
            }
        };
        tracing::info!(%site, reason, "the session of a router ended");
        self.desk.stands(&site, Err(&reason));
    }

    async fn opening(&mut self) -> Result<Opening, Status> {
        self.is_revoked()?;
        let first = timeout(HELLO_WITHIN, self.messages.message()).await;
        let late = |_| Status::deadline_exceeded("the router did not say who it is in time");
        let first = first.map_err(late)??;
        let first = first.ok_or_else(|| Status::cancelled("the router said nothing"))?;
        let opening = Opening::try_from(first)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let site = &self.certificate.site;
        if opening.site != *site {
            return Err(Status::permission_denied(format!(
                "the router says that it is at site {}, and its certificate is for site {site}: enrol \
                 it for the site that it is at",
                opening.site
            )));
        }
        let theirs = UnixTime::from_seconds(opening.clock_ms / 1000);
        let ours = self.clock.now();
        if theirs.since(ours).max(ours.since(theirs)) > SKEW {
            tracing::warn!(%site, %theirs, %ours, "the clock of a router is wrong");
        }
        Ok(opening)
    }

    fn is_revoked(&self) -> Result<(), Status> {
        let revoked = self.revocations.borrow().check(&self.certificate);
        revoked.map_err(|error| Status::permission_denied(error.to_string()))
    }

    async fn go_on(&mut self, opening: Opening, mut replaced: oneshot::Receiver<()>) -> Ended {
        let site = self.certificate.site.clone();
        let mut targets = self.desk.targets(&site);
        let target: Option<Target> = targets.borrow_and_update().clone();
        let known = self.desk.known(&site);
        let now = self.monotonic.now();
        let mut end = ControllerEnd::new(now, self.settings.session, target, known);
        end.received(now, FromRouter::Hello(opening.hello));
        let session: SessionId = opening.session;
        if *self.drain.borrow_and_update() {
            end.go_away("the controller is stopped", COME_BACK);
        }

        let desk = Arc::clone(&self.desk);
        let certificate = Arc::clone(&self.certificate);
        // One of each at a time, and of facts only the last, so that nothing piles up.
        let mut telling: Option<BoxFuture<'_, ()>> = None;
        let mut facts: Option<Facts> = None;
        let mut renewing: Option<BoxFuture<'_, Result<Vec<u8>, String>>> = None;
        let mut waiting: Option<v1::ControllerMessage> = None;
        let mut waits_since = Instant::now();
        let mut closing: Option<String> = None;
        let mut paused: Option<Instant> = None;
        let mut budget = Budget::new(self.settings.messages_per_second);
        let valid = self.certificate.not_after.since(self.clock.now());
        let expires = Instant::now() + valid.min(Duration::from_secs(365 * 24 * 3600));
        loop {
            while let Some(effect) = end.poll_effect() {
                match effect {
                    ControllerEffect::Told(told) => facts = Some(told),
                    ControllerEffect::Renew(request) if renewing.is_none() => {
                        renewing = Some(Box::pin(desk.renew(&certificate, request)));
                    }
                    ControllerEffect::Renew(_) => {
                        end.renewed(Err("another certificate is being made".to_owned()));
                    }
                    ControllerEffect::Status(status) => desk.stands(&site, Ok(&status)),
                    ControllerEffect::Close(reason) => closing = Some(reason),
                }
            }
            if telling.is_none()
                && let Some(facts) = facts.take()
            {
                telling = Some(Box::pin(desk.told(&site, facts)));
            }
            if waiting.is_none() {
                waits_since = Instant::now();
                let next = end.poll_message();
                waiting = next.map(|it| encode_controller(session, self.clock.millis(), it));
            }
            if waiting.is_none()
                && let Some(reason) = closing.take()
            {
                return Ended::Quietly(reason);
            }
            let wake = end.poll_timeout().map(|at| self.monotonic.at(at));
            let wake = wake.unwrap_or_else(|| Instant::now() + STUCK);
            tokio::select! {
                permit = self.replies.reserve(), if waiting.is_some() => match permit {
                    Ok(permit) => permit.send(Ok(waiting.take().unwrap_or_default())),
                    Err(_) => return Ended::Quietly("the connection ended".to_owned()),
                },
                () = sleep_until(waits_since + STUCK), if waiting.is_some() => {
                    return Ended::Quietly("the router takes nothing any more".to_owned());
                }
                message = self.messages.message(), if closing.is_none() && paused.is_none() => {
                    let message = match message {
                        Ok(Some(message)) => decode_router(message),
                        Ok(None) => return Ended::Quietly("the router ended it".to_owned()),
                        Err(status) => return Ended::Quietly(status.message().to_owned()),
                    };
                    match message {
                        Ok(Some(message)) => end.received(self.monotonic.now(), message),
                        Ok(None) => {}
                        Err(error) => {
                            return Ended::Told(Status::invalid_argument(error.to_string()));
                        }
                    }
                    // Whoever says more is heard more slowly.
                    paused = budget.spend().map(|pause| Instant::now() + pause);
                }
                () = sleep_until(paused.unwrap_or_else(Instant::now)), if paused.is_some() => {
                    paused = None;
                }
                () = done(&mut telling) => telling = None,
                result = done(&mut renewing) => {
                    renewing = None;
                    end.renewed(result);
                }
                changed = targets.changed() => {
                    let target = targets.borrow_and_update().clone();
                    if changed.is_err() {
                        return Ended::Quietly("the controller ended it".to_owned());
                    }
                    end.aim(self.monotonic.now(), target);
                }
                Ok(()) = self.revocations.changed() => {
                    if let Err(status) = self.is_revoked() {
                        return Ended::Told(status);
                    }
                }
                Ok(()) = self.drain.changed(), if closing.is_none() => {
                    end.go_away("the controller is stopped", COME_BACK);
                }
                _ = &mut replaced => return Ended::Replaced,
                () = sleep_until(expires) => {
                    let text = "the router's certificate is not valid any more: enrol it again";
                    return Ended::Told(Status::permission_denied(text));
                }
                () = sleep_until(wake) => end.timeout(self.monotonic.now()),
            }
        }
    }
}

/// How many messages there may be.
struct Budget {
    each_second: u32,
    since: Instant,
    spent: u32,
}

impl Budget {
    fn new(each_second: u32) -> Self {
        Self {
            each_second,
            since: Instant::now(),
            spent: 0,
        }
    }

    /// How long to wait before the next one.
    fn spend(&mut self) -> Option<Duration> {
        let second = Duration::from_secs(1);
        if self.since.elapsed() >= second {
            self.since = Instant::now();
            self.spent = 0;
        }
        self.spent += 1;
        (self.spent >= self.each_second).then(|| second.saturating_sub(self.since.elapsed()))
    }
}
