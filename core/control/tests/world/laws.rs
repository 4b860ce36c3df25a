//! What both ends want, and what has to hold when they want it.

use patronus_control::session::{
    Configuration, ControllerEffect, FromController, FromRouter, Memory, RouterEffect, RouterEvent,
};

use super::World;
use super::contents::{cuts, digest};

impl World {
    /// Takes over what both ends want done and said.
    pub(super) fn pump(&mut self) {
        loop {
            let (mut busy, connected) = (false, self.controller.is_some());
            while let Some(effect) = self.router.poll_effect() {
                busy = true;
                self.router_wants(effect);
            }
            while let Some(message) = self.router.poll_message() {
                busy = true;
                self.router_says(&message);
                self.up.push_back(message);
            }
            let mut closed = false;
            if let Some(controller) = &mut self.controller {
                while let Some(message) = controller.poll_message() {
                    busy = true;
                    if let FromController::Confirm(_) = message {
                        assert!(self.store.held.is_none(), "nobody has confirmed it");
                    }
                    self.said.push((self.session, message.clone()));
                    self.down.push_back(message);
                }
                while let Some(effect) = controller.poll_effect() {
                    busy = true;
                    match effect {
                        ControllerEffect::Close(reason) => {
                            self.log.push(format!("{} closed: {reason}", self.now));
                            closed = true;
                        }
                        ControllerEffect::Status(status) => {
                            self.log.push(format!("{} {status:?}", self.now));
                        }
                        ControllerEffect::Told(_) | ControllerEffect::Renew(_) => {}
                    }
                }
            }
            if closed {
                self.disconnect();
            }
            if !busy || (!connected && self.controller.is_some()) {
                break;
            }
        }
    }

    fn router_wants(&mut self, effect: RouterEffect) {
        match effect {
            RouterEffect::Store { operation, memory } => {
                self.confirmation_was_heard(&memory);
                self.storing.push_back((operation, memory));
            }
            RouterEffect::Apply {
                operation,
                configuration,
            } => {
                let wanted = digest(configuration.as_ref());
                if wanted != digest(self.router.memory().confirmed.as_ref()) {
                    let it = configuration.as_ref().unwrap();
                    assert!(
                        Some(it.version) >= self.disk.seen,
                        "nothing older than what was seen is tried"
                    );
                    assert_eq!(
                        self.disk.trying.map(|it| it.edition),
                        Some(it.edition()),
                        "what is tried was written down before"
                    );
                    let edition = it.edition();
                    let within = self.within[&(edition.version, edition.digest)];
                    self.over = Some((edition.digest, self.now + within));
                }
                self.failed = false;
                self.applying.push_back((operation, configuration));
            }
            RouterEffect::Report(event) => {
                self.log.push(format!("{} {event:?}", self.now));
                // The same content once more, in a later generation, has its own time.
                if let RouterEvent::Applied(it) = event
                    && let Some((_, until)) = self.over
                {
                    let within = self.within[&(it.version, it.digest)];
                    self.over = Some((it.digest, until.max(self.now + within)));
                }
            }
            RouterEffect::Renewed(_) => {}
            RouterEffect::Close { reason, .. } => {
                self.log.push(format!("{} closed: {reason}", self.now));
                self.disconnect();
            }
        }
    }

    /// What is kept has been confirmed, or has the content that was.
    fn confirmation_was_heard(&self, memory: &Memory) {
        let before = self.storing.back().map_or(&self.disk, |(_, memory)| memory);
        if memory.confirmed == before.confirmed {
            return;
        }
        let edition = memory.confirmed.as_ref().unwrap().edition();
        let same = digest(before.confirmed.as_ref()) == Some(edition.digest);
        assert!(same || self.confirmed.contains(&edition), "{edition}");
    }

    /// Whatever a router says of itself is so when it says it.
    fn router_says(&mut self, message: &FromRouter) {
        match message {
            FromRouter::Applied(edition) => {
                assert_eq!(digest(self.kernel.as_ref()), Some(edition.digest));
                let key = (edition.version, edition.digest);
                assert!(self.editions.contains(&key));
            }
            FromRouter::Kept(edition) => {
                let kept = self.disk.confirmed.as_ref().map(Configuration::edition);
                assert_eq!(kept, Some(*edition), "what is kept is on the disk");
            }
            FromRouter::Hello(_)
            | FromRouter::Refused { .. }
            | FromRouter::Resync(_)
            | FromRouter::Heartbeat { .. }
            | FromRouter::Facts(_)
            | FromRouter::Renew(_)
            | FromRouter::Leaving => {}
        }
    }

    /// What holds at any time.
    pub(super) fn check(&self) {
        let confirmed = self.router.memory().confirmed.as_ref();
        assert!(!cuts(confirmed), "what cuts the router off is not kept");
        let last = self.applying.back().map(|(_, it)| it.as_ref());
        let will_run = digest(last.unwrap_or(self.kernel.as_ref()));
        if will_run == digest(confirmed) || self.failed {
            return;
        }
        let (tried, until) = self.over.expect("what is not confirmed is being tried");
        assert_eq!(will_run, Some(tried));
        assert!(
            self.now < until,
            "what is not confirmed is given up in time"
        );
    }
}
