//! The controller's end of the session of one router.

use std::collections::VecDeque;
use std::time::Duration;

use patronus_model::time::Timestamp;

use super::backoff::{MOST_ATTEMPTS, offer_after};
use super::edition::{Edition, Version};
use super::link::Pulse;
use super::message::{Facts, FromController, FromRouter, Hello, PROTOCOL, Refusal};
use super::outgoing::Outgoing;
use super::snapshot::{Configuration, Snapshot};

/// So many of the configurations that a router may have are remembered.
const KNOWN: usize = 4;

/// What is the same for all routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerSettings {
    /// How often each end says something.
    pub heartbeat: Duration,
    /// How long after a router has applied something it has to be heard, before that is confirmed.
    pub settle: Duration,
    /// How long a router waits for the confirmation.
    pub confirm_within: Duration,
}

impl Default for ControllerSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            settle: Duration::from_secs(2),
            confirm_within: Duration::from_secs(60),
        }
    }
}

/// What a router is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The configuration.
    pub configuration: Configuration,
    /// A person has to confirm it until then: no router hears a confirmation before. Routers which can
    /// no longer be told in time are not told at all.
    pub held_until: Option<Timestamp>,
}

/// How far a router is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has not said who it is.
    Greeting,
    /// There is nothing for it yet.
    NoTarget,
    /// It has seen a later generation than there is here: this is an old copy of the controller, or it
    /// does not know yet what another one has committed. The router is told nothing.
    Behind(Version),
    /// It was not told everything, or has not answered.
    Pending,
    /// It runs what it should, and will return if that is not confirmed.
    Applied,
    /// It runs what it should, and will do so without a controller.
    Confirmed,
    /// It does not run what it should.
    Refused {
        /// Why not.
        refusal: Refusal,
        /// When it is offered again, if it is.
        again: Option<Timestamp>,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControllerEffect {
    /// The router says this of its uplinks.
    Told(Facts),
    /// It asks for a certificate: [`ControllerEnd::renewed`].
    Renew(Vec<u8>),
    /// It stands elsewhere than before.
    Status(Status),
    /// The session is to be ended, once what was said is sent.
    Close(String),
}

/// The controller's end of a session. It lives as long as the session.
#[derive(Debug)]
pub struct ControllerEnd {
    settings: ControllerSettings,
    target: Option<Target>,
    known: VecDeque<Snapshot>,
    pulse: Pulse,
    peer: Option<Peer>,
    outgoing: Option<Outgoing>,
    status: Status,
    closed: bool,
    messages: VecDeque<FromController>,
    effects: VecDeque<ControllerEffect>,
}

/// What the router has said.
#[derive(Debug)]
struct Peer {
    seen: Option<Version>,
    running: Option<Edition>,
    confirmed: Option<Edition>,
    refused: Option<(Refusal, Timestamp)>,
    /// What it was offered, and has not answered.
    offered: Option<Edition>,
    /// What was offered whole, because changes did not do.
    whole: Option<Edition>,
    /// Since when it is known to run what it runs.
    since: Timestamp,
    /// What was confirmed.
    told: Option<Edition>,
}

impl ControllerEnd {
    /// Begins a session. `known` are configurations that the router may have.
    #[must_use]
    pub fn new(
        now: Timestamp,
        settings: ControllerSettings,
        target: Option<Target>,
        known: impl IntoIterator<Item = Snapshot>,
    ) -> Self {
        let mut end = Self {
            pulse: Pulse::new(now, settings.heartbeat),
            settings,
            target: None,
            known: known.into_iter().take(KNOWN).collect(),
            peer: None,
            outgoing: None,
            status: Status::Greeting,
            closed: false,
            messages: VecDeque::new(),
            effects: VecDeque::new(),
        };
        end.aim(now, target);
        end
    }

    /// How far the router is.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// From now on the router is to have this.
    pub fn aim(&mut self, now: Timestamp, target: Option<Target>) {
        if let Some(target) = &target {
            let snapshot = &target.configuration.snapshot;
            self.known.retain(|it| it.digest() != snapshot.digest());
            self.known.push_front(snapshot.clone());
            self.known.truncate(KNOWN);
        }
        self.target = target;
        self.consider(now);
    }

    /// What the router refused is offered once more.
    pub fn retry(&mut self, now: Timestamp) {
        if let Some(peer) = &mut self.peer {
            peer.refused = None;
        }
        self.consider(now);
    }

    /// There is a certificate, or none for a reason.
    pub fn renewed(&mut self, result: Result<Vec<u8>, String>) {
        self.messages.push_back(match result {
            Ok(certificate) => FromController::Renewed(certificate),
            Err(reason) => FromController::NotRenewed(reason),
        });
    }

    /// Sends the router away.
    pub fn go_away(&mut self, reason: &str, after: Duration) {
        let message = FromController::GoAway {
            reason: reason.to_owned(),
            after,
        };
        self.messages.push_back(message);
        self.close(reason.to_owned());
    }

    /// The next message. Ask only when it can be sent: what is large is not made before.
    pub fn poll_message(&mut self) -> Option<FromController> {
        self.messages
            .pop_front()
            .or_else(|| self.outgoing.as_mut()?.next())
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<ControllerEffect> {
        self.effects.pop_front()
    }

    /// When [`ControllerEnd::timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.closed {
            return None;
        }
        let again = match &self.status {
            Status::Refused { again, .. } => *again,
            Status::Greeting
            | Status::NoTarget
            | Status::Behind(_)
            | Status::Pending
            | Status::Applied
            | Status::Confirmed => None,
        };
        again.into_iter().chain([self.pulse.wake_at()]).min()
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Timestamp) {
        if self.closed {
            return;
        }
        if self.pulse.is_dead(now) {
            let silence = now.since(self.pulse.last_heard()).as_secs();
            self.close(format!("the router said nothing for {silence} s"));
            return;
        }
        if self.pulse.is_due(now) && self.peer.is_some() {
            self.messages.push_back(FromController::Heartbeat);
        }
        self.consider(now);
    }

    /// A message came.
    pub fn received(&mut self, now: Timestamp, message: FromRouter) {
        if self.closed {
            return;
        }
        self.pulse.heard(now);
        let Some(peer) = &mut self.peer else {
            match message {
                FromRouter::Hello(hello) => self.greeted(now, hello),
                _ => self.close("the router did not say who it is first".to_owned()),
            }
            return;
        };
        match message {
            FromRouter::Hello(_) => {
                self.close("the router said twice who it is".to_owned());
                return;
            }
            FromRouter::Applied(edition) => {
                peer.answered(edition);
                peer.seen = peer.seen.max(Some(edition.version));
                peer.runs(now, Some(edition));
            }
            FromRouter::Kept(edition) => {
                peer.runs(now, Some(edition));
                peer.confirmed = Some(edition);
                peer.refused = None;
            }
            FromRouter::Refused { refusal, running } => {
                peer.runs(now, running);
                peer.refuses(now, refusal);
            }
            FromRouter::Resync(edition) => {
                let was_whole = self.outgoing.take().is_some_and(|it| it.is_whole());
                if was_whole || peer.whole == Some(edition) {
                    let reason = "it does not get what it was sent".to_owned();
                    let attempts = 0;
                    peer.refuses(
                        now,
                        Refusal {
                            edition,
                            attempts,
                            reason,
                        },
                    );
                } else {
                    peer.answered(edition);
                    peer.whole = Some(edition);
                }
            }
            FromRouter::Heartbeat { running: None } => {}
            FromRouter::Heartbeat { running } => peer.runs(now, running),
            FromRouter::Facts(facts) => self.effects.push_back(ControllerEffect::Told(facts)),
            FromRouter::Renew(request) => {
                self.effects.push_back(ControllerEffect::Renew(request));
            }
            FromRouter::Leaving => {
                self.close("the router was stopped".to_owned());
                return;
            }
        }
        self.consider(now);
    }

    fn greeted(&mut self, now: Timestamp, hello: Hello) {
        if hello.protocol != PROTOCOL {
            let reason = format!(
                "the router speaks version {} of the protocol, and this controller version \
                 {PROTOCOL}: update the older of the two",
                hello.protocol
            );
            self.go_away(&reason, Duration::from_secs(300));
            return;
        }
        self.peer = Some(Peer {
            seen: hello.seen,
            running: hello.running,
            confirmed: hello.confirmed,
            refused: hello.refused.map(|refusal| (refusal, now)),
            offered: None,
            whole: None,
            since: now,
            told: None,
        });
        self.messages.push_back(FromController::Welcome {
            heartbeat: self.settings.heartbeat,
        });
        self.effects.push_back(ControllerEffect::Told(hello.facts));
        self.consider(now);
    }

    /// Finds out what there is to be said.
    fn consider(&mut self, now: Timestamp) {
        if self.closed {
            return;
        }
        let status = self.next_step(now);
        if status != self.status {
            self.status = status.clone();
            self.effects.push_back(ControllerEffect::Status(status));
        }
    }

    fn next_step(&mut self, now: Timestamp) -> Status {
        let Some(peer) = &mut self.peer else {
            return Status::Greeting;
        };
        let Some(Target {
            configuration,
            held_until,
        }) = &self.target
        else {
            self.outgoing = None;
            return Status::NoTarget;
        };
        if let Some(seen) = peer.seen.filter(|seen| *seen > configuration.version) {
            self.outgoing = None;
            return Status::Behind(seen);
        }
        let wanted = configuration.edition();
        if peer.running == Some(wanted) {
            self.outgoing = None;
            if peer.confirmed == Some(wanted) {
                return Status::Confirmed;
            }
            let settled = self.pulse.last_heard() >= peer.since + self.settings.settle;
            if held_until.is_none() && settled && peer.told != Some(wanted) {
                peer.told = Some(wanted);
                self.messages.push_back(FromController::Confirm(wanted));
            }
            return Status::Applied;
        }
        if peer.offered == Some(wanted) {
            return Status::Pending;
        }
        let refused = peer.refused.as_ref();
        if let Some((refusal, at)) = refused.filter(|(it, _)| it.edition == wanted) {
            let again = *at + offer_after(refusal.attempts);
            let again = (refusal.attempts < MOST_ATTEMPTS).then_some(again);
            if again.is_none_or(|again| now < again) {
                self.outgoing = None;
                let refusal = refusal.clone();
                return Status::Refused { refusal, again };
            }
        }
        let within = match held_until {
            None => self.settings.confirm_within,
            Some(until) => until.since(now),
        };
        if within < Duration::from_secs(1) {
            self.outgoing = None;
            return Status::Pending;
        }
        peer.offered = Some(wanted);
        let has = [peer.running, peer.confirmed].into_iter().flatten();
        let mut has = has.filter(|_| peer.whole != Some(wanted));
        let known = |it: Edition| self.known.iter().find(|known| known.digest() == it.digest);
        let base = has.find_map(known);
        self.outgoing = Some(Outgoing::new(configuration, base, within));
        Status::Pending
    }

    fn close(&mut self, reason: String) {
        if !self.closed {
            self.closed = true;
            self.outgoing = None;
            self.effects.push_back(ControllerEffect::Close(reason));
        }
    }
}

impl Peer {
    /// The router said something of what it was offered.
    fn answered(&mut self, edition: Edition) {
        self.offered.take_if(|offered| *offered == edition);
    }

    fn runs(&mut self, now: Timestamp, running: Option<Edition>) {
        if self.running != running {
            self.running = running;
            self.since = now;
        }
    }

    fn refuses(&mut self, now: Timestamp, mut refusal: Refusal) {
        let edition = refusal.edition;
        self.answered(edition);
        self.told.take_if(|told| *told == edition);
        self.whole.take_if(|whole| *whole == edition);
        self.seen = match refusal.attempts {
            0 => self.seen,
            _ => self.seen.max(Some(edition.version)),
        };
        // What it did not even try counts as well, or it would be offered without end.
        let known = self
            .refused
            .as_ref()
            .filter(|(it, _)| it.edition == edition);
        let before = known.map_or(0, |(it, _)| it.attempts);
        refusal.attempts = refusal.attempts.max(before.saturating_add(1));
        self.refused = Some((refusal, now));
    }
}
