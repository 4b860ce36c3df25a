//! From a configuration that arrived to one that is kept, or given up.

use std::time::Duration;

use patronus_model::time::Timestamp;

use super::super::edition::Edition;
use super::super::incoming::Offer;
use super::super::message::{FromRouter, Refusal};
use super::super::snapshot::Configuration;
use super::{Operation, RouterEnd, RouterEvent, Trying};

/// How long to wait before something is tried again that has to succeed.
const AGAIN: Duration = Duration::from_secs(5);

/// Where a router stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// What is confirmed is being applied.
    Returning {
        /// What was given up, and is told when this is done.
        told: Option<Refusal>,
        /// It failed, and is tried again then.
        again: Option<Timestamp>,
    },
    /// What is confirmed runs.
    Settled,
    /// It is being written down that something is about to be tried.
    Preparing {
        offer: Offer,
        /// What runs meanwhile, if that is not confirmed.
        before: Option<Trial>,
    },
    /// It is being applied.
    Applying(Trial),
    /// It runs, and waits to be confirmed.
    Trying(Trial),
    /// It was confirmed, and that is being written down.
    Keeping,
}

/// A configuration that is not confirmed.
#[derive(Debug)]
pub(super) struct Trial {
    configuration: Configuration,
    attempts: u32,
    /// It is given up then.
    until: Timestamp,
    within: Duration,
}

impl Phase {
    pub(super) const fn returning(told: Option<Refusal>) -> Self {
        Self::Returning { told, again: None }
    }

    /// What is there beside what is confirmed.
    pub(super) fn tried(&self) -> Option<&Configuration> {
        match self {
            Self::Applying(trial) | Self::Trying(trial) => Some(&trial.configuration),
            Self::Preparing { before, .. } => before.as_ref().map(|trial| &trial.configuration),
            Self::Returning { .. } | Self::Settled | Self::Keeping => None,
        }
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        match self {
            Self::Applying(trial) | Self::Trying(trial) => Some(trial.until),
            Self::Preparing { before, .. } => before.as_ref().map(|trial| trial.until),
            Self::Returning { again, .. } => *again,
            Self::Settled | Self::Keeping => None,
        }
    }
}

impl RouterEnd {
    /// What was written down is on the disk, or not.
    pub fn stored(&mut self, now: Timestamp, operation: Operation, result: Result<(), String>) {
        if self.storing.take_if(|it| *it == operation).is_none() {
            return;
        }
        if let Err(reason) = result {
            self.not_stored(now, reason);
            return;
        }
        match self.take_phase() {
            Phase::Preparing { offer, before: _ } => self.prepared(now, offer),
            Phase::Keeping => {
                if let Some(kept) = self.memory.confirmed.as_ref().map(Configuration::edition) {
                    self.say(FromRouter::Kept(kept));
                    self.report(RouterEvent::Kept(kept));
                }
            }
            other => self.phase = other,
        }
        self.go_on(now);
    }

    fn not_stored(&mut self, now: Timestamp, reason: String) {
        self.report(RouterEvent::NotStored(reason.clone()));
        match self.take_phase() {
            // What cannot be given up after a restart is not begun.
            Phase::Preparing { offer, before } => {
                let edition = offer.configuration.edition();
                self.memory.trying = before.as_ref().map(|trial| Trying {
                    edition: trial.configuration.edition(),
                    attempts: trial.attempts,
                });
                if let Some(trial) = before {
                    self.phase = Phase::Trying(trial);
                }
                self.refuse(
                    edition,
                    format!("the router cannot write to its disk: {reason}"),
                );
            }
            other => self.phase = other,
        }
        self.store_again = Some(now + AGAIN);
        self.go_on(now);
    }

    /// What is to be tried is written down.
    fn prepared(&mut self, now: Timestamp, offer: Offer) {
        let edition = offer.configuration.edition();
        let trial = Trial {
            attempts: self.memory.trying.map_or(1, |it| it.attempts),
            until: now + offer.confirm_within,
            within: offer.confirm_within,
            configuration: offer.configuration,
        };
        if self.running.is_some_and(|it| it.digest == edition.digest) {
            self.runs(trial);
        } else {
            self.apply(Some(trial.configuration.clone()));
            self.phase = Phase::Applying(trial);
        }
    }

    /// What was to be applied runs, or not.
    pub fn applied(&mut self, now: Timestamp, operation: Operation, result: Result<(), String>) {
        if self.applying.take_if(|it| *it == operation).is_none() {
            return;
        }
        match (self.take_phase(), result) {
            (Phase::Applying(trial), Ok(())) => self.runs(trial),
            (Phase::Applying(trial), Err(reason)) => self.give_up(&trial, reason),
            (Phase::Returning { told, .. }, Ok(())) => {
                self.running = self.memory.confirmed.as_ref().map(Configuration::edition);
                if let Some(refusal) = told {
                    let running = self.running;
                    self.say(FromRouter::Refused { refusal, running });
                }
            }
            (Phase::Returning { told, .. }, Err(reason)) => {
                self.report(RouterEvent::NotReturned(reason));
                let again = Some(now + AGAIN);
                self.phase = Phase::Returning { told, again };
            }
            (other, _) => self.phase = other,
        }
        self.go_on(now);
    }

    fn runs(&mut self, trial: Trial) {
        let edition = trial.configuration.edition();
        self.running = Some(edition);
        self.phase = Phase::Trying(trial);
        self.say(FromRouter::Applied(edition));
        self.report(RouterEvent::Applied(edition));
    }

    /// Returns to what is confirmed.
    fn give_up(&mut self, trial: &Trial, reason: String) {
        let refusal = Refusal {
            edition: trial.configuration.edition(),
            attempts: trial.attempts,
            reason,
        };
        self.report(RouterEvent::GaveUp(refusal.clone()));
        self.memory.trying = None;
        self.memory.refused = Some(refusal.clone());
        self.store();
        self.apply(self.memory.confirmed.clone());
        self.phase = Phase::returning(Some(refusal));
    }

    pub(super) fn look_at_phase(&mut self, now: Timestamp) {
        match self.take_phase() {
            Phase::Applying(trial) | Phase::Trying(trial) if now >= trial.until => {
                self.overdue(now, &trial);
            }
            Phase::Preparing {
                offer,
                before: Some(trial),
            } if now >= trial.until => {
                self.next.get_or_insert(offer);
                self.overdue(now, &trial);
            }
            Phase::Returning {
                told,
                again: Some(at),
            } if now >= at => {
                self.apply(self.memory.confirmed.clone());
                self.phase = Phase::Returning { told, again: None };
            }
            other => self.phase = other,
        }
    }

    fn overdue(&mut self, now: Timestamp, trial: &Trial) {
        let mut reason = format!(
            "no controller confirmed it within {} s",
            trial.within.as_secs()
        );
        match &self.link {
            Some(link) => {
                let silence = now.since(link.pulse.last_heard()).as_secs();
                reason += &format!(", and one was heard last {silence} s ago");
            }
            None => reason += ", and none is connected",
        }
        self.give_up(trial, reason);
    }

    /// The controller says that a configuration is to be kept.
    pub(super) fn confirmed(&mut self, now: Timestamp, edition: Edition) {
        let is_it = |trial: &Trial| trial.configuration.edition() == edition;
        match self.take_phase() {
            // At its very end it may be over: that was not noticed yet.
            Phase::Trying(trial) if is_it(&trial) && now < trial.until => self.keep(trial),
            Phase::Preparing {
                offer,
                before: Some(trial),
            } if is_it(&trial) && now < trial.until => {
                self.next.get_or_insert(offer);
                self.keep(trial);
            }
            other => self.phase = other,
        }
    }

    fn keep(&mut self, trial: Trial) {
        self.memory.confirmed = Some(trial.configuration);
        self.memory.trying = None;
        self.memory.refused = None;
        self.store();
        self.phase = Phase::Keeping;
    }

    /// Begins with what came last, once nothing else is being done.
    pub(super) fn go_on(&mut self, now: Timestamp) {
        match &self.phase {
            Phase::Settled | Phase::Trying(_) => {}
            Phase::Returning { .. }
            | Phase::Preparing { .. }
            | Phase::Applying(_)
            | Phase::Keeping => return,
        }
        if let Some(offer) = self.next.take() {
            self.begin(now, offer);
        }
    }

    fn begin(&mut self, now: Timestamp, offer: Offer) {
        let edition = offer.configuration.edition();
        if let Some(seen) = self.memory.seen.filter(|seen| edition.version < *seen) {
            let reason = format!("it is older than {seen}, which this router has seen");
            self.refuse(edition, reason);
            return;
        }
        let before = match self.take_phase() {
            Phase::Trying(trial) if trial.configuration.edition() == edition => {
                self.phase = Phase::Trying(trial);
                self.say(FromRouter::Applied(edition));
                return;
            }
            Phase::Trying(trial) if now >= trial.until => {
                self.next = Some(offer);
                self.overdue(now, &trial);
                return;
            }
            Phase::Trying(trial) => Some(trial),
            // The same content in a later generation: there is nothing to be tried.
            _ if self.is_confirmed(edition) => {
                self.memory.seen = Some(edition.version);
                self.memory.refused = None;
                self.memory.confirmed = Some(offer.configuration);
                self.running = Some(edition);
                self.store();
                self.phase = Phase::Keeping;
                self.say(FromRouter::Applied(edition));
                return;
            }
            _ => None,
        };
        self.memory.seen = Some(edition.version);
        self.memory.trying = Some(Trying {
            edition,
            attempts: self.attempts(edition).saturating_add(1),
        });
        self.store();
        self.phase = Phase::Preparing { offer, before };
    }

    fn is_confirmed(&self, edition: Edition) -> bool {
        let confirmed = self.memory.confirmed.as_ref();
        confirmed.is_some_and(|it| it.snapshot.digest() == edition.digest)
    }

    fn take_phase(&mut self) -> Phase {
        std::mem::replace(&mut self.phase, Phase::Settled)
    }
}
