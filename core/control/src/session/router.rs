//! The router's end.

mod phase;

use std::collections::VecDeque;
use std::time::Duration;

use patronus_model::time::Timestamp;

use super::edition::{Edition, Version};
use super::incoming::{Arrived, Incoming, Offer};
use super::link::Pulse;
use super::message::{Facts, FromController, FromRouter, Hello, PROTOCOL, Refusal, SessionId};
use super::snapshot::{Configuration, Snapshot};
use phase::Phase;

/// Until the controller has said how often each end speaks. It has to say that within three times
/// this.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);

/// What a router keeps on its disk, as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What it runs when it is started.
    pub confirmed: Option<Configuration>,
    /// The latest generation that it ever began to apply. It takes none that is older.
    pub seen: Option<Version>,
    /// What it is about to apply, or runs until it is confirmed.
    pub trying: Option<Trying>,
    /// The last one that it did not keep, unless it kept a later one.
    pub refused: Option<Refusal>,
}

/// A configuration that is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trying {
    /// Which one.
    pub edition: Edition,
    /// The how manieth attempt this is.
    pub attempts: u32,
}

/// Names something that was asked for, so that its result is known to be its.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation(u64);

/// What is to be done. Whatever is stored is stored in the order in which it is asked for, one after
/// the other, and so it is with what is applied; the two do not wait for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterEffect {
    /// This is to be on the disk, in the place of what was there: [`RouterEnd::stored`].
    Store {
        /// By which its result is known.
        operation: Operation,
        /// What.
        memory: Memory,
    },
    /// This is to run: [`RouterEnd::applied`].
    Apply {
        /// By which its result is known.
        operation: Operation,
        /// What; `None` where the router is to be as it was before it ever had a configuration.
        configuration: Option<Configuration>,
    },
    /// Something happened that people may want to know.
    Report(RouterEvent),
    /// A certificate came, or the reason why none does.
    Renewed(Result<Vec<u8>, String>),
    /// The connection is to be ended.
    Close {
        /// Why.
        reason: String,
        /// When to connect again, if the controller said so.
        after: Option<Duration>,
    },
}

/// What people may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterEvent {
    /// A configuration runs, and waits to be confirmed.
    Applied(Edition),
    /// It is confirmed.
    Kept(Edition),
    /// One was not kept.
    GaveUp(Refusal),
    /// Nothing can be written to the disk.
    NotStored(String),
    /// The confirmed one cannot be applied. It is tried again.
    NotReturned(String),
}

/// The router's end of its sessions.
#[derive(Debug)]
pub struct RouterEnd {
    memory: Memory,
    phase: Phase,
    /// What runs; `None` while that changes, and where nothing does.
    running: Option<Edition>,
    /// A configuration that came while another one was being applied or written down.
    next: Option<Offer>,
    facts: Facts,
    link: Option<Link>,
    operations: u64,
    storing: Option<Operation>,
    applying: Option<Operation>,
    store_again: Option<Timestamp>,
    messages: VecDeque<FromRouter>,
    effects: VecDeque<RouterEffect>,
}

#[derive(Debug)]
struct Link {
    session: SessionId,
    welcomed: bool,
    pulse: Pulse,
    incoming: Option<Incoming>,
}

impl RouterEnd {
    /// Starts with what was on the disk. The first thing to be done is to apply what is confirmed.
    #[must_use]
    pub fn new(mut memory: Memory, facts: Facts) -> Self {
        let tried = memory.trying.take();
        let mut end = Self {
            memory,
            phase: Phase::returning(None),
            running: None,
            next: None,
            facts,
            link: None,
            operations: 0,
            storing: None,
            applying: None,
            store_again: None,
            messages: VecDeque::new(),
            effects: VecDeque::new(),
        };
        if let Some(Trying { edition, attempts }) = tried {
            let reason = "the router was started again before it was confirmed".to_owned();
            end.memory.refused = Some(Refusal {
                edition,
                attempts,
                reason,
            });
            end.store();
        }
        end.apply(end.memory.confirmed.clone());
        end
    }

    /// What is on the disk, or about to be.
    #[must_use]
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// A controller was reached. `session` is a number that chance gave.
    pub fn connected(&mut self, now: Timestamp, session: SessionId) {
        self.messages.clear();
        // What was not begun yet is offered again, if it is still wanted. Begun after the hello, it
        // could be later than anything that this controller knows of, without its knowing.
        self.next = None;
        self.link = Some(Link {
            session,
            welcomed: false,
            pulse: Pulse::new(now, FIRST_INTERVAL),
            incoming: None,
        });
        let hello = Hello {
            protocol: PROTOCOL,
            seen: self.memory.seen,
            running: self.running,
            confirmed: self.memory.confirmed.as_ref().map(Configuration::edition),
            refused: self.memory.refused.clone(),
            facts: self.facts.clone(),
        };
        self.say(FromRouter::Hello(hello));
    }

    /// The connection ended.
    pub fn disconnected(&mut self) {
        self.link = None;
        self.messages.clear();
    }

    /// What the router says of its uplinks is this from now on.
    pub fn tell(&mut self, facts: Facts) {
        if facts != self.facts {
            self.facts.clone_from(&facts);
            self.say(FromRouter::Facts(facts));
        }
    }

    /// Asks for a certificate. Without a connection nothing is asked.
    pub fn renew(&mut self, request: Vec<u8>) {
        self.say(FromRouter::Renew(request));
    }

    /// Says that the router is stopped on purpose.
    pub fn leave(&mut self) {
        self.say(FromRouter::Leaving);
    }

    /// The next message, if there is a connection.
    pub fn poll_message(&mut self) -> Option<FromRouter> {
        self.messages.pop_front()
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<RouterEffect> {
        self.effects.pop_front()
    }

    /// When [`RouterEnd::timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let link = self.link.as_ref().map(|link| link.pulse.wake_at());
        let phase = self.phase.wake_at();
        link.into_iter().chain(phase).chain(self.store_again).min()
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Timestamp) {
        self.look_at_phase(now);
        if self.store_again.is_some_and(|at| now >= at) {
            self.store();
        }
        let Some(link) = &mut self.link else { return };
        if link.pulse.is_dead(now) {
            let silence = now.since(link.pulse.last_heard()).as_secs();
            self.close(format!("the controller said nothing for {silence} s"), None);
        } else if link.pulse.is_due(now) && link.welcomed {
            let running = self.running;
            self.say(FromRouter::Heartbeat { running });
        }
    }

    /// A message came. What belongs to another session than the last one is not looked at.
    pub fn received(&mut self, now: Timestamp, session: SessionId, message: FromController) {
        let Some(link) = self.link.as_mut().filter(|it| it.session == session) else {
            return;
        };
        link.pulse.heard(now);
        match message {
            FromController::Welcome { heartbeat } => {
                link.welcomed = true;
                link.pulse.keep_to(now, heartbeat);
            }
            FromController::GoAway { reason, after } => self.close(reason, Some(after)),
            _ if !link.welcomed => {
                self.close(
                    "the controller did not say who it is first".to_owned(),
                    None,
                );
            }
            FromController::Begin {
                edition,
                base,
                gone,
                confirm_within,
            } => {
                let found = base.map(|digest| self.snapshot(digest).ok_or(()));
                let Some(link) = &mut self.link else { return };
                match found.transpose() {
                    Ok(base) => {
                        link.incoming = Some(Incoming::new(edition, base, gone, confirm_within));
                    }
                    Err(()) => {
                        link.incoming = None;
                        self.say(FromRouter::Resync(edition));
                    }
                }
            }
            FromController::Pieces { of, pieces } => {
                let Some(incoming) = link.incoming.as_mut().filter(|it| it.digest() == of) else {
                    return;
                };
                if let Err(arrived) = incoming.pieces(pieces) {
                    link.incoming = None;
                    self.arrived(now, arrived);
                }
            }
            FromController::End { of } => {
                if let Some(incoming) = link.incoming.take_if(|it| it.digest() == of) {
                    self.arrived(now, incoming.end());
                }
            }
            FromController::Confirm(edition) => self.confirmed(now, edition),
            FromController::Heartbeat => {}
            FromController::Renewed(certificate) => {
                self.effects
                    .push_back(RouterEffect::Renewed(Ok(certificate)));
            }
            FromController::NotRenewed(reason) => {
                self.effects.push_back(RouterEffect::Renewed(Err(reason)));
            }
        }
    }

    fn arrived(&mut self, now: Timestamp, arrived: Arrived) {
        match arrived {
            Arrived::Whole(offer) => {
                self.next = Some(offer);
                self.go_on(now);
            }
            Arrived::Resync(edition) => self.say(FromRouter::Resync(edition)),
            Arrived::Refused(edition, reason) => self.refuse(edition, reason),
        }
    }

    /// Says that something is not tried at all.
    fn refuse(&mut self, edition: Edition, reason: String) {
        let refusal = Refusal {
            edition,
            attempts: self.attempts(edition),
            reason,
        };
        let running = self.running;
        self.say(FromRouter::Refused { refusal, running });
    }

    /// How often something was tried.
    fn attempts(&self, edition: Edition) -> u32 {
        let refused = self.memory.refused.as_ref();
        let same = refused.filter(|it| it.edition == edition);
        same.map_or(0, |it| it.attempts)
    }

    /// A configuration that is there whole.
    fn snapshot(&self, digest: super::edition::Digest) -> Option<Snapshot> {
        let confirmed = self.memory.confirmed.as_ref();
        let next = self.next.as_ref().map(|offer| &offer.configuration);
        let known = confirmed.into_iter().chain(self.phase.tried()).chain(next);
        let mut snapshots = known.map(|it| &it.snapshot);
        snapshots.find(|it| it.digest() == digest).cloned()
    }

    fn close(&mut self, reason: String, after: Option<Duration>) {
        self.disconnected();
        self.effects
            .push_back(RouterEffect::Close { reason, after });
    }

    fn say(&mut self, message: FromRouter) {
        if self.link.is_some() {
            self.messages.push_back(message);
        }
    }

    fn report(&mut self, event: RouterEvent) {
        self.effects.push_back(RouterEffect::Report(event));
    }

    fn operation(&mut self) -> Operation {
        self.operations += 1;
        Operation(self.operations)
    }

    fn store(&mut self) {
        let operation = self.operation();
        self.storing = Some(operation);
        self.store_again = None;
        let memory = self.memory.clone();
        self.effects
            .push_back(RouterEffect::Store { operation, memory });
    }

    fn apply(&mut self, configuration: Option<Configuration>) {
        let operation = self.operation();
        self.applying = Some(operation);
        self.running = None;
        self.effects.push_back(RouterEffect::Apply {
            operation,
            configuration,
        });
    }
}
