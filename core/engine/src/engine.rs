//! The state machine of a router. Inputs go in with the time at which they came, effects come out;
//! nothing else happens here.

mod configuration;
mod paths;
mod reconciliation;
mod relays;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use patronus_model::Timestamp;
use patronus_model::bgp::BgpInstance;
use patronus_model::change::Changes;
use patronus_model::event::Event;
use patronus_model::ids::{ClassId, IfName, PathId, SiteNumber};
use patronus_model::kernel::{ApplyOutcome, Environment, KernelState, LearnedDelta, Plan};
use patronus_model::layout::NexthopId;
use patronus_model::path::{Liveness, Measurement, PathCause, PathState};
use patronus_model::router::RouterConfig;
use patronus_model::view::Pending;
use patronus_model::wireguard::PublicKey;

use crate::decide::{Choice, is_given_time};
use crate::desired::Remembered;
use crate::health::PathHealth;
use crate::learned::Learned;
use crate::ownership::Ownership;
use crate::topology::Topology;

pub(crate) use paths::uplink_fault;

/// What can happen to a router.
#[derive(Clone, Debug)]
pub enum Input {
    /// It is told what to do.
    Config(Arc<RouterConfig>),
    /// What is ours in the kernel.
    Observed(Box<KernelState>),
    /// What is around it.
    Environment(Environment),
    /// BFD says something about a path.
    Liveness(PathId, Liveness),
    /// Something was measured on a path.
    Measured(PathId, Measurement),
    /// Routing has learned or forgotten something.
    Learned(LearnedDelta),
    /// A routing daemon came (`true`) or went.
    RoutingDaemon(String, bool),
    /// A plan has been carried out.
    Applied(ApplyOutcome),
    /// Nexthops have been moved, except for these.
    Moved(Vec<NexthopId>),
    /// Something of ours was touched.
    Touched,
    /// A prefix that no site announces any more is to be forgotten, and guarded no longer.
    Forget(IpNet),
    /// The same of all such prefixes within one; `None`: of all.
    ForgetWithin(Option<IpNet>),
    /// Time has passed.
    Tick,
}

/// What a router wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look at what is ours in the kernel, and answer with [`Input::Observed`].
    Observe,
    /// Carry out a plan, and answer with [`Input::Applied`].
    Apply(Plan),
    /// The fast lane: move these nexthops at once, and answer with [`Input::Moved`].
    Move(Vec<(NexthopId, IfName)>),
    /// Watch exactly these paths.
    Watch(Vec<Watch>),
    /// BGP should be exactly this.
    Bgp(Box<BgpInstance>),
    /// Tell people.
    Report(Event),
}

/// A path to be watched by BFD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The path.
    pub path: PathId,
    /// Its interface.
    pub interface: IfName,
    /// Our overlay address.
    pub local: IpAddr,
    /// Theirs.
    pub remote: IpAddr,
}

/// How often health and decisions are looked at when nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// One router.
#[derive(Debug, Default)]
pub struct Engine {
    pub(crate) config: Option<Arc<RouterConfig>>,
    pub(crate) topology: Topology,
    pub(crate) environment: Option<Environment>,
    /// What was last seen of the uplinks' and LANs' interfaces: whether they can be used.
    interfaces: BTreeMap<IfName, bool>,
    pub(crate) learned: Learned,
    pub(crate) ownership: Ownership,
    pub(crate) health: BTreeMap<PathId, PathHealth>,
    pub(crate) choices: BTreeMap<(SiteNumber, ClassId), Choice>,
    /// When all paths to a site last fell silent at once.
    silences: BTreeMap<SiteNumber, Timestamp>,
    pub(crate) observed: Option<KernelState>,
    pub(crate) configured: Timestamp,
    /// Peers that are to be spoken to at their configured address, wherever they were heard last.
    forgotten: BTreeSet<(IfName, PublicKey)>,
    phase: Phase,
    /// Desired and observed state are to be compared.
    dirty: bool,
    /// A difference between them would be our own doing.
    expected: bool,
    /// What the plan under way puts back, if somebody else altered it.
    drift: Option<Event>,
    /// The last plan changed things with which the kernel changes others.
    stirred: bool,
    /// Plans in a row that were carried out, and after each of which the kernel still was not as
    /// desired, although nothing new was asked for.
    rounds: u32,
    failures: u32,
    /// What the last plan was to do, and what came of it, until nothing is left to be done.
    pub(crate) pending: Pending,
    next_tick: Timestamp,
    /// For each path that is down: when its peer's address is set again, and how long after that.
    repairs: BTreeMap<PathId, (Timestamp, Duration)>,
    effects: VecDeque<Effect>,
    remembered: Option<Remembered>,
    /// What the configuration says otherwise than the one before it.
    changes: Option<Changes>,
    /// Nexthops to be moved at once.
    moves: BTreeMap<NexthopId, IfName>,
    /// Nexthops that were moved after the kernel was asked what is there: an answer that is under
    /// way may be older than they are.
    moved: BTreeMap<NexthopId, IfName>,
    /// When the last input came.
    now: Timestamp,
}

/// Where the engine stands between looking and acting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Observing {
        again: bool,
    },
    Applying,
    BackingOff {
        until: Timestamp,
    },
}

impl Engine {
    /// Takes in one thing that happened. Cannot fail.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.now = now;
        match input {
            Input::Config(config) => self.configure(now, config),
            Input::Observed(state) => self.observed(now, *state),
            Input::Environment(environment) => self.surroundings(now, environment),
            Input::Liveness(path, liveness) => self.liveness(now, path, liveness),
            Input::Measured(path, measured) => {
                if let Some(health) = self.health.get_mut(&path) {
                    health.measured = measured;
                }
            }
            Input::Learned(delta) => {
                if self.learned.update(now, &delta) {
                    self.own();
                    self.tell_of_prefixes();
                }
            }
            Input::RoutingDaemon(daemon, up) => self.routing_daemon(now, daemon, up),
            Input::Applied(outcome) => self.applied(now, outcome),
            Input::Moved(failed) => self.not_moved(&failed),
            Input::Touched => self.observe(),
            Input::Forget(prefix) => self.forget(&prefix),
            Input::ForgetWithin(wide) => self.forget_within(wide.as_ref()),
            Input::Tick => {}
        }
        self.pass_time(now);
    }

    /// What is to be done next. Moves come before everything else, and desired and observed state
    /// are compared only when nothing else is left to do: that takes time in proportion to the
    /// number of routes, for which a failover must not wait.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if !self.moves.is_empty() {
            let moves = std::mem::take(&mut self.moves);
            return Some(Effect::Move(moves.into_iter().collect()));
        }
        if self.effects.is_empty() {
            self.reconcile(self.now);
        }
        self.effects.pop_front()
    }

    /// When [`Input::Tick`] is due at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let backing_off = match self.phase {
            Phase::BackingOff { until } => Some(until),
            Phase::Idle | Phase::Observing { .. } | Phase::Applying => None,
        };
        let ticking = self.config.as_ref().map(|_| self.next_tick);
        [ticking, backing_off, self.learned.next_expiry()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What it is told to do at present.
    #[must_use]
    pub fn config(&self) -> Option<&Arc<RouterConfig>> {
        self.config.as_ref()
    }

    /// What it is told otherwise than before; `None` for the first configuration.
    #[must_use]
    pub fn last_changes(&self) -> Option<&Changes> {
        self.changes.as_ref()
    }

    /// Whether desired and observed state agreed when they were last compared, and nothing has
    /// changed since.
    pub(crate) fn settled(&self) -> bool {
        self.phase == Phase::Idle && !self.dirty && self.failures == 0
    }

    /// For each class towards each site: whether any path lives, and whether the chosen one does.
    /// A path that was adopted, whose far end was stopped on purpose, or which is given time to come
    /// back with it, gets the benefit of the doubt.
    pub fn liveness_by_choice(&self) -> impl Iterator<Item = (bool, bool)> + '_ {
        self.choices.iter().map(|((site, _), choice)| {
            let lives =
                |health: &PathHealth| matches!(health.state, PathState::Up | PathState::Degraded);
            let contenders = self.contenders(*site, choice.path);
            let chosen = choice.path.and_then(|path| self.health.get(&path));
            // A hub is no way out when the far end was stopped on purpose: see ADR 0018.
            let stopped = chosen.is_some_and(|health| health.cause == PathCause::StayedAway);
            let any = contenders
                .iter()
                .any(|c| lives(c.health) && !(stopped && c.relay));
            let doubtful = |health: &PathHealth| health.state == PathState::Unknown;
            let current = contenders.iter().find(|c| Some(c.id) == choice.path);
            let given_time =
                current
                    .zip(self.config.as_deref())
                    .is_some_and(|(current, config)| {
                        let circumstances = self.circumstances(config, *site);
                        is_given_time(self.now, current, circumstances, &contenders)
                    });
            (
                any,
                given_time || chosen.is_some_and(|health| lives(health) || doubtful(health)),
            )
        })
    }

    fn report(&mut self, event: Event) {
        self.effects.push_back(Effect::Report(event));
    }

    fn routing_daemon(&mut self, now: Timestamp, daemon: String, up: bool) {
        let keep = self
            .config
            .as_ref()
            .and_then(|config| config.bgp.graceful_restart);
        self.learned
            .daemon(now, &daemon, up, keep.unwrap_or_default());
        self.report(Event::RoutingDaemon { daemon, up });
    }

    fn pass_time(&mut self, now: Timestamp) {
        if self.learned.expire(now) {
            self.own();
            self.tell_of_prefixes();
        }
        if let Phase::BackingOff { until } = self.phase
            && until <= now
        {
            self.phase = Phase::Idle;
            self.observe();
        }
        if self.next_tick <= now {
            self.next_tick = now + TICK;
            let sites = self.topology.sites();
            self.judge(now, &sites);
            self.repair_endpoints(now);
        }
    }
}
