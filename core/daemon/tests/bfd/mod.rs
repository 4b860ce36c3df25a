//! What the tests of the BFD driver share.

#![allow(dead_code, reason = "not every test file needs everything")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use patronus_daemon::bfd::{
    BfdConfig, BfdDriver, BfdEvent, BfdHandle, SessionSnapshot, SessionSpec,
};
use patronus_engine::bfd::{Event, Liveness, State};
use patronus_model::bgp::BfdTimers;
use patronus_model::ids::{PathId, SiteNumber, Slot};

/// Far longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A driver and everything that it reported.
pub(crate) struct Router {
    pub(crate) handle: BfdHandle,
    events: Arc<Mutex<Vec<BfdEvent>>>,
}

impl Router {
    pub(crate) fn start() -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let config = BfdConfig {
            rtt_interval: Some(Duration::from_millis(300)),
            ..BfdConfig::default()
        };
        let on_event = move |event| sink.lock().unwrap().push(event);
        Self {
            handle: BfdDriver::spawn(config, on_event).unwrap(),
            events,
        }
    }

    pub(crate) fn watch(&self, sessions: impl Into<Vec<SessionSpec>>) {
        self.handle.set_sessions(sessions.into()).unwrap();
    }

    pub(crate) fn session(&self, path: PathId) -> SessionSnapshot {
        let found = || {
            let sessions = self.handle.snapshot().unwrap().sessions;
            sessions.into_iter().find(|s| s.spec.path == path)
        };
        // What is published follows what was asked for by a moment.
        wait_until("a session", || found().is_some(), String::new);
        found().unwrap()
    }

    /// What the session of `path` went through, in order.
    pub(crate) fn history(&self, path: PathId) -> Vec<Liveness> {
        let events = self.events.lock().unwrap();
        let ours = events.iter().filter(|event| event.path == path);
        ours.filter_map(|event| match event.event {
            Event::StateChanged(change) => Some(change.liveness()),
            Event::Made | Event::Rtt(_) | Event::TimersNegotiated { .. } => None,
        })
        .collect()
    }

    /// How many sessions there have been for `path`.
    pub(crate) fn made(&self, path: PathId) -> usize {
        let events = self.events.lock().unwrap();
        let made = |event: &&BfdEvent| event.path == path && event.event == Event::Made;
        events.iter().filter(made).count()
    }

    pub(crate) fn wait(&self, path: PathId, what: &str, done: impl Fn(&SessionSnapshot) -> bool) {
        wait_until(
            what,
            || done(&self.session(path)),
            || format!("{:#?}", self.session(path)),
        );
    }

    pub(crate) fn wait_up(&self, path: PathId) {
        self.wait(path, "up", |session| {
            session.status.state == State::Up && session.status.remote_state == State::Up
        });
    }

    pub(crate) fn wait_liveness(&self, path: PathId, liveness: Liveness) {
        let what = format!("{liveness:?}");
        self.wait(path, &what, |session| session.status.liveness() == liveness);
    }
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool, state: impl Fn() -> String) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < PATIENCE,
            "never: {what}; instead: {}",
            state()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn timers(millis: u64, detect_mult: u8) -> BfdTimers {
    let interval = Duration::from_millis(millis);
    BfdTimers {
        desired_min_tx: interval,
        required_min_rx: interval,
        detect_mult,
    }
}

pub(crate) fn path(site: u16) -> PathId {
    let slot = Slot::new(1).unwrap();
    PathId {
        site: SiteNumber::new(site).unwrap(),
        local: slot,
        remote: slot,
    }
}

pub(crate) fn spec(site: u16, interface: &str, local: &str, remote: &str) -> SessionSpec {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    SessionSpec {
        path: path(site),
        interface: interface.parse().unwrap(),
        local: address(local),
        remote: address(remote),
        timers: timers(50, 4),
    }
}
