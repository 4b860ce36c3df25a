//! A controller, a router, and everything that can go wrong between and in them.

mod contents;
mod laws;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use patronus_control::session::{
    Configuration, ControllerEnd, ControllerSettings, Digest, Edition, Facts, FromController,
    FromRouter, Memory, Operation, RouterEnd, SessionId, Snapshot, Status, Target, Version,
};
use patronus_model::time::Timestamp;

use contents::{cuts, digest, snapshot};

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Somebody commits. Some contents cut the router off; some wait to be confirmed by a person.
    Commit { content: u8, cuts: bool, held: bool },
    /// A person confirms.
    Confirm,
    /// Another router has a new address.
    OtherMoved,
    /// So many messages arrive at the controller.
    Up(u8),
    /// So many messages arrive at the router.
    Down(u8),
    /// The connection ends, with what was on its way.
    Disconnect,
    /// The router connects.
    Connect,
    /// So many seconds pass.
    Wait(u8),
    /// What was asked first to be written is written, or cannot be.
    Stored(bool),
    /// What was asked first to be applied is applied, or cannot be.
    Applied(bool),
    /// The router is killed; what it was doing may have been done just before.
    KillRouter { stored: bool, applied: bool },
    /// The controller is killed.
    KillController,
    /// The controller's store is copied.
    Backup,
    /// The copy takes the place of the store.
    Restore,
    /// Somebody says that the controller is to go on from where it is.
    GoOn,
    /// A message of an earlier session, or an old one of this, arrives at the router.
    Replay(prop_index::Index),
    /// Somebody says that what was refused is to be offered again.
    Retry,
}

pub(crate) use proptest::sample as prop_index;

/// What the controller keeps.
#[derive(Clone, Debug, Default)]
struct Store {
    epoch: u64,
    contents: Vec<(u8, bool)>,
    held: Option<Timestamp>,
    moved: u8,
}

const SETTINGS: ControllerSettings = ControllerSettings {
    heartbeat: Duration::from_secs(5),
    settle: Duration::from_secs(2),
    confirm_within: Duration::from_secs(30),
};

/// How long a person has.
const HELD: Duration = Duration::from_secs(45);

pub(crate) struct World {
    now: Timestamp,
    store: Store,
    backup: Store,
    controller: Option<ControllerEnd>,
    router: RouterEnd,
    disk: Memory,
    kernel: Option<Configuration>,
    storing: VecDeque<(Operation, Memory)>,
    applying: VecDeque<(Operation, Option<Configuration>)>,
    session: SessionId,
    up: VecDeque<FromRouter>,
    down: VecDeque<FromController>,
    /// All that ever was said to the router.
    said: Vec<(SessionId, FromController)>,
    /// All that was ever committed for the router.
    committed: BTreeMap<Digest, Snapshot>,
    editions: BTreeSet<(Version, Digest)>,
    /// How long the router has, by what it was last told.
    within: BTreeMap<(Version, Digest), Duration>,
    /// What was confirmed to the router, in the session that it was tried in, since it was started.
    confirmed: Vec<Edition>,
    /// When what is being tried is over.
    over: Option<(Digest, Timestamp)>,
    /// The last thing that was to be applied could not be.
    failed: bool,
    /// What happened, for whoever has to find out.
    log: Vec<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            now: Timestamp::from_millis(1_000_000),
            store: Store::default(),
            backup: Store::default(),
            controller: None,
            router: RouterEnd::new(Memory::default(), Facts::new()),
            disk: Memory::default(),
            kernel: None,
            storing: VecDeque::new(),
            applying: VecDeque::new(),
            session: 0,
            up: VecDeque::new(),
            down: VecDeque::new(),
            said: Vec::new(),
            committed: BTreeMap::new(),
            editions: BTreeSet::new(),
            within: BTreeMap::new(),
            confirmed: Vec::new(),
            over: None,
            failed: false,
            log: Vec::new(),
        };
        world.pump();
        world
    }

    pub(crate) fn step(&mut self, step: &Step) {
        self.log.push(format!("{} {step:?}", self.now));
        match step {
            Step::Commit {
                content,
                cuts,
                held,
            } => {
                self.store.contents.push((*content, *cuts));
                // The first generation has nothing to go back to.
                let held = *held && self.store.contents.len() > 1;
                self.store.held = held.then(|| self.now + HELD);
                self.aim();
            }
            Step::Confirm => {
                self.store.held = None;
                self.aim();
            }
            Step::OtherMoved => {
                self.store.moved = self.store.moved.wrapping_add(1);
                self.aim();
            }
            Step::Up(count) => (0..*count).for_each(|_| self.deliver_up()),
            Step::Down(count) => (0..*count).for_each(|_| self.deliver_down()),
            Step::Disconnect => self.disconnect(),
            Step::Connect => self.connect(),
            Step::Wait(seconds) => self.wait(Duration::from_secs(u64::from(*seconds))),
            Step::Stored(ok) => self.stored(*ok),
            Step::Applied(ok) => self.applied(*ok),
            Step::KillRouter { stored, applied } => self.kill_router(*stored, *applied),
            Step::KillController => self.disconnect(),
            Step::Backup => self.backup = self.store.clone(),
            Step::Restore => {
                self.disconnect();
                self.store = self.backup.clone();
            }
            Step::GoOn => {
                // An epoch is later than all that anybody has heard of.
                let seen = match self.status() {
                    Some(Status::Behind(seen)) => seen.epoch,
                    _ => 0,
                };
                self.store.epoch = self.store.epoch.max(seen) + 1;
                self.aim();
            }
            Step::Replay(index) => {
                if !self.said.is_empty() {
                    let (session, message) = index.get(&self.said).clone();
                    self.hear(session, message);
                }
            }
            Step::Retry => {
                if let Some(controller) = &mut self.controller {
                    controller.retry(self.now);
                }
            }
        }
        self.pump();
        self.check();
    }

    fn target(&mut self) -> Option<Target> {
        let (content, cuts) = *self.store.contents.last()?;
        let configuration = Configuration {
            version: Version {
                epoch: self.store.epoch,
                generation: self.store.contents.len().try_into().unwrap(),
            },
            snapshot: snapshot(content, cuts, self.store.moved),
        };
        let digest = configuration.snapshot.digest();
        self.committed
            .insert(digest, configuration.snapshot.clone());
        self.editions.insert((configuration.version, digest));
        let held_until = self.store.held;
        Some(Target {
            configuration,
            held_until,
        })
    }

    fn aim(&mut self) {
        let target = self.target();
        if let Some(controller) = &mut self.controller {
            controller.aim(self.now, target);
        }
    }

    fn connect(&mut self) {
        self.disconnect();
        if cuts(self.kernel.as_ref()) {
            return;
        }
        self.session += 1;
        let target = self.target();
        // It remembers some of what it sent, as a controller does that was not restarted for long.
        let known = self.committed.values().take(2).cloned();
        let end = ControllerEnd::new(self.now, SETTINGS, target, known);
        self.controller = Some(end);
        self.router.connected(self.now, self.session);
    }

    fn disconnect(&mut self) {
        self.controller = None;
        self.up.clear();
        self.down.clear();
        self.router.disconnected();
    }

    fn deliver_up(&mut self) {
        if let (Some(controller), Some(message)) = (&mut self.controller, self.up.pop_front()) {
            controller.received(self.now, message);
        }
        self.pump();
    }

    fn deliver_down(&mut self) {
        if let Some(message) = self.down.pop_front() {
            self.hear(self.session, message);
        }
        self.pump();
    }

    fn hear(&mut self, session: SessionId, message: FromController) {
        match &message {
            FromController::Begin {
                edition,
                confirm_within,
                ..
            } if session == self.session => {
                let key = (edition.version, edition.digest);
                let within = self.within.entry(key).or_default();
                *within = (*within).max(*confirm_within);
            }
            FromController::Confirm(edition) if session == self.session => {
                self.confirmed.push(*edition);
            }
            _ => {}
        }
        self.router.received(self.now, session, message);
    }

    /// Time passes, and whoever asked to be woken is, in order.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut rounds = 0;
        loop {
            let controller = self
                .controller
                .as_ref()
                .and_then(ControllerEnd::poll_timeout);
            let wake = controller
                .into_iter()
                .chain(self.router.poll_timeout())
                .min();
            let Some(at) = wake.filter(|at| *at <= end) else {
                break;
            };
            rounds = if at > self.now { 0 } else { rounds + 1 };
            assert!(rounds < 5, "it does not come to rest");
            self.now = self.now.max(at);
            self.router.timeout(self.now);
            if let Some(controller) = &mut self.controller {
                controller.timeout(self.now);
            }
            self.pump();
            self.check();
        }
        self.now = end;
    }

    fn stored(&mut self, ok: bool) {
        if let Some((operation, memory)) = self.storing.pop_front() {
            let result = if ok {
                self.write(memory);
                Ok(())
            } else {
                Err("the disk is full".to_owned())
            };
            self.router.stored(self.now, operation, result);
        }
    }

    fn write(&mut self, memory: Memory) {
        let version = |memory: &Memory| memory.confirmed.as_ref().map(|it| it.version);
        assert!(
            version(&self.disk) <= version(&memory),
            "what is kept never becomes older"
        );
        self.disk = memory;
    }

    fn applied(&mut self, ok: bool) {
        if let Some((operation, configuration)) = self.applying.pop_front() {
            let result = if ok {
                self.run(configuration);
                Ok(())
            } else {
                Err("the kernel refuses".to_owned())
            };
            self.failed = !ok;
            self.router.applied(self.now, operation, result);
        }
    }

    /// Something runs. It is something that was committed, whole.
    fn run(&mut self, configuration: Option<Configuration>) {
        if let Some(it) = &configuration {
            let edition = it.edition();
            let committed = &self.committed[&edition.digest];
            assert_eq!(it.snapshot.pieces(), committed.pieces());
            assert!(self.editions.contains(&(edition.version, edition.digest)));
        }
        self.kernel = configuration;
        if cuts(self.kernel.as_ref()) {
            self.disconnect();
        }
    }

    fn kill_router(&mut self, stored: bool, applied: bool) {
        self.disconnect();
        if let Some((_, memory)) = self.storing.pop_front().filter(|_| stored) {
            self.write(memory);
        }
        if let Some((_, configuration)) = self.applying.pop_front().filter(|_| applied) {
            self.run(configuration);
        }
        self.storing.clear();
        self.applying.clear();
        self.over = None;
        self.failed = false;
        self.confirmed.clear();
        self.router = RouterEnd::new(self.disk.clone(), Facts::new());
    }

    /// Everything works from now on: both ends come to the same.
    pub(crate) fn settle(&mut self) {
        let step = |world: &mut Self, step| world.step(&step);
        if self.target().is_some() && !self.store.contents.last().unwrap().1 {
            step(self, Step::Confirm);
            step(self, Step::Connect);
            self.work(2);
            step(self, Step::Retry);
            self.run_on();
            let status = self.status();
            let good = matches!(status, Some(Status::Confirmed | Status::Behind(_)));
            assert!(good, "{status:?}\n{}", self.log.join("\n"));
        }
        // What cuts the router off is followed by something that does not.
        step(
            self,
            Step::Commit {
                content: 77,
                cuts: false,
                held: false,
            },
        );
        self.run_on();
        if let Some(Status::Behind(_)) = self.status() {
            // It has not been told anything, and runs what it kept.
            assert_eq!(
                digest(self.kernel.as_ref()),
                digest(self.disk.confirmed.as_ref())
            );
            step(self, Step::GoOn);
            self.run_on();
        }
        assert_eq!(self.status(), Some(Status::Confirmed));
        let target = self.target().unwrap().configuration;
        assert_eq!(digest(self.kernel.as_ref()), Some(target.snapshot.digest()));
        assert_eq!(self.disk.confirmed.as_ref(), Some(&target));
        assert_eq!(self.disk.trying, None);
    }

    fn run_on(&mut self) {
        // As long as what runs can be undone by the router itself, and be offered three times.
        for _ in 0..800 {
            if self.controller.is_none() {
                self.step(&Step::Connect);
            }
            for step in [
                Step::Stored(true),
                Step::Applied(true),
                Step::Up(9),
                Step::Down(9),
            ] {
                self.step(&step);
            }
            self.step(&Step::Wait(1));
            if self.status() == Some(Status::Confirmed) && self.disk.trying.is_none() {
                break;
            }
        }
    }

    fn status(&self) -> Option<Status> {
        self.controller.as_ref().map(|it| it.status().clone())
    }

    /// The version that runs.
    pub(crate) fn running(&self) -> Option<u64> {
        self.kernel.as_ref().map(|it| it.version.generation)
    }

    /// How the router stands, in the controller's eyes.
    pub(crate) fn stands(&self) -> String {
        self.status()
            .map_or_else(String::new, |it| format!("{it:?}"))
    }

    /// All that is wanted is done and said, for some seconds.
    pub(crate) fn work(&mut self, seconds: u8) {
        for _ in 0..seconds {
            for step in [
                Step::Stored(true),
                Step::Applied(true),
                Step::Up(9),
                Step::Down(9),
            ] {
                self.step(&step);
            }
            self.step(&Step::Wait(1));
        }
    }
}
