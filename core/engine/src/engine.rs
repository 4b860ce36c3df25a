//! The state machine of a router. Inputs go in with the time at which they came, effects come out;
//! nothing else happens here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use patronus_model::Timestamp;
use patronus_model::bgp::BgpInstance;
use patronus_model::event::{Decision, Event, Reason};
use patronus_model::ids::{ClassId, IfName, PathId, SiteNumber};
use patronus_model::kernel::{
    ApplyOutcome, Environment, KernelState, LearnedDelta, Plan, RouteTarget,
};
use patronus_model::layout::NexthopId;
use patronus_model::path::{Liveness, Measurement, PathState};
use patronus_model::policy::TrafficClass;
use patronus_model::router::{Gateway, RouterConfig};
use patronus_model::wireguard::PublicKey;

use crate::decide::{Choice, Contender, Settling, account, decide};
use crate::desired::{Sources, desired, effective};
use crate::diff::diff;
use crate::health::PathHealth;
use crate::learned::Learned;
use crate::ownership::Ownership;
use crate::routing::bgp_instance;
use crate::topology::Topology;

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
    /// Nexthops have been moved; those which could not be are named.
    Moved(Vec<NexthopId>),
    /// Something of ours was touched.
    Touched,
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

/// The first wait after a plan failed; it doubles with each failure, up to 128 times this.
const BACKOFF: Duration = Duration::from_millis(250);

/// How many plans in a row may be needed to put things right: what the kernel takes along when it
/// deletes an interface is seen only afterwards.
const ROUNDS: u32 = 3;

/// How long a path may be down before its peer's configured address is tried again in place of the
/// one where it was last heard.
const ENDPOINT_REPAIR: Duration = Duration::from_secs(5);

/// The most that the time between two such attempts grows to.
const ENDPOINT_REPAIR_MAX: Duration = Duration::from_secs(60);

/// One router.
#[derive(Debug, Default)]
pub struct Engine {
    pub(crate) config: Option<Arc<RouterConfig>>,
    pub(crate) topology: Topology,
    pub(crate) environment: Option<Environment>,
    pub(crate) learned: Learned,
    pub(crate) ownership: Ownership,
    pub(crate) health: BTreeMap<PathId, PathHealth>,
    pub(crate) choices: BTreeMap<(SiteNumber, ClassId), Choice>,
    pub(crate) observed: Option<KernelState>,
    pub(crate) configured: Timestamp,
    /// Peers that are to be spoken to at their configured address, wherever they were heard last.
    forgotten: BTreeSet<(IfName, PublicKey)>,
    phase: Phase,
    /// Desired and observed state are to be compared.
    dirty: bool,
    /// A difference between them would be our own doing.
    expected: bool,
    /// Plans in a row after each of which the kernel still was not as desired, although nothing
    /// new was asked for.
    rounds: u32,
    failures: u32,
    next_tick: Timestamp,
    repair: Option<(Timestamp, Duration)>,
    effects: VecDeque<Effect>,
}

/// Where the engine stands between looking and acting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Observing {
        again: bool,
    },
    Applying {
        drift: bool,
    },
    BackingOff {
        until: Timestamp,
    },
}

impl Engine {
    /// Takes in one thing that happened. Cannot fail.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
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
                }
            }
            Input::RoutingDaemon(daemon, up) => self.routing_daemon(now, daemon, up),
            Input::Applied(outcome) => self.applied(now, outcome),
            Input::Moved(failed) => {
                if !failed.is_empty() {
                    self.observe();
                }
            }
            Input::Touched => self.observe(),
            Input::Tick => {}
        }
        self.pass_time(now);
        self.reconcile(now);
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Input::Tick`] is due at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let backing_off = match self.phase {
            Phase::BackingOff { until } => Some(until),
            Phase::Idle | Phase::Observing { .. } | Phase::Applying { .. } => None,
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

    /// Whether desired and observed state agreed when they were last compared, and nothing has
    /// changed since.
    pub(crate) fn settled(&self) -> bool {
        self.phase == Phase::Idle && !self.dirty && self.failures == 0
    }

    /// For each class towards each site: whether any path lives, and whether the chosen one does.
    /// A path that was adopted, or whose far end was stopped on purpose, gets the benefit of the
    /// doubt.
    pub fn liveness_by_choice(&self) -> impl Iterator<Item = (bool, bool)> + '_ {
        self.choices.iter().map(|((site, _), choice)| {
            let lives =
                |health: &PathHealth| matches!(health.state, PathState::Up | PathState::Degraded);
            let any = self.contenders(*site).iter().any(|c| lives(c.health));
            let chosen = choice.path.and_then(|path| self.health.get(&path));
            let doubtful = |health: &PathHealth| health.state == PathState::Unknown;
            (
                any,
                chosen.is_some_and(|health| lives(health) || doubtful(health)),
            )
        })
    }

    fn report(&mut self, event: Event) {
        self.effects.push_back(Effect::Report(event));
    }

    fn configure(&mut self, now: Timestamp, config: Arc<RouterConfig>) {
        let old = self.config.replace(Arc::clone(&config));
        self.configured = now;
        self.topology = Topology::new(&config);
        self.learned.configure(&config);
        self.health
            .retain(|path, _| self.topology.paths.contains_key(path));
        for path in self.topology.paths.keys() {
            let usable = usable(&config, self.environment.as_ref(), *path);
            self.health
                .entry(*path)
                .or_insert_with(|| PathHealth::new(now, usable));
        }
        self.note_changed_endpoints(old.as_deref(), &config);
        self.reset_choices(now, old.as_deref(), &config);
        self.own();
        self.report(Event::Configured {
            paths: self.topology.paths.len(),
            policies: config.policies.len(),
        });
        self.effects.push_back(Effect::Watch(self.watches(&config)));
        self.effects
            .push_back(Effect::Bgp(Box::new(bgp_instance(&config))));
        self.want_change();
        self.phase = match self.phase {
            Phase::BackingOff { .. } => Phase::Idle,
            phase @ (Phase::Idle | Phase::Observing { .. } | Phase::Applying { .. }) => phase,
        };
        self.next_tick = now;
        self.observe();
    }

    /// A peer whose configured address changed is spoken to at the new one, wherever it was heard
    /// before.
    fn note_changed_endpoints(&mut self, old: Option<&RouterConfig>, new: &RouterConfig) {
        let Some(old) = old else { return };
        let (before, after) = (configured_endpoints(old), configured_endpoints(new));
        let changed = after
            .into_iter()
            .filter(|(key, endpoint)| before.get(key).is_some_and(|old| old != endpoint));
        self.forgotten.extend(changed.map(|(key, _)| key));
    }

    fn reset_choices(&mut self, now: Timestamp, old: Option<&RouterConfig>, new: &RouterConfig) {
        let sites = self.topology.sites();
        let class = |id: ClassId| new.classes.iter().find(|class| class.id == id);
        self.choices
            .retain(|(site, id), _| sites.contains(site) && class(*id).is_some());
        for site in sites {
            for class in &new.classes {
                let choice = self
                    .choices
                    .entry((site, class.id))
                    .or_insert_with(|| Choice::none(now));
                let before = old.and_then(|old| old.classes.iter().find(|c| c.id == class.id));
                choice.reconsider |= before.is_some_and(|old| old.strategy != class.strategy);
            }
        }
    }

    fn watches(&self, config: &RouterConfig) -> Vec<Watch> {
        let watch = |(path, spec): (&PathId, &crate::topology::PathSpec)| {
            let site = config
                .remotes
                .iter()
                .find(|site| site.number == path.site)?;
            Some(Watch {
                path: *path,
                interface: spec.interface.clone(),
                local: config.overlay.ipv4.addr().into(),
                remote: site.ipv4.into(),
            })
        };
        self.topology.paths.iter().filter_map(watch).collect()
    }

    /// Works out anew whose each prefix is.
    fn own(&mut self) {
        let Some(config) = &self.config else { return };
        let ownership = Ownership::new(config, &self.learned);
        let news: Vec<_> = ownership
            .conflicts
            .difference(&self.ownership.conflicts)
            .copied()
            .collect();
        for (prefix, owner, loser) in news {
            self.report(Event::PrefixConflict {
                prefix,
                owner,
                loser,
            });
        }
        self.ownership = ownership;
        self.want_change();
    }

    fn want_change(&mut self) {
        self.dirty = true;
        self.expected = true;
    }

    fn observe(&mut self) {
        self.phase = match self.phase {
            Phase::Idle => {
                self.effects.push_back(Effect::Observe);
                Phase::Observing { again: false }
            }
            // Whatever changed may have changed before the dump reached it: look again.
            Phase::Observing { .. } => Phase::Observing { again: true },
            // It is observed after the plan, and after the wait, anyway.
            phase @ (Phase::Applying { .. } | Phase::BackingOff { .. }) => phase,
        };
    }

    fn observed(&mut self, now: Timestamp, state: KernelState) {
        let again = self.phase == Phase::Observing { again: true };
        self.phase = Phase::Idle;
        if again {
            self.observe();
        }
        if self.observed.is_none() {
            self.adopt(now, &state);
            self.next_tick = now;
        }
        self.observed = Some(state);
        self.dirty = true;
    }

    /// Takes over what an earlier instance of this daemon left in the kernel, so that a restart
    /// moves nothing.
    fn adopt(&mut self, now: Timestamp, state: &KernelState) {
        for (id, interface) in &state.nexthops {
            let Some((site, class)) = id.parts() else {
                continue;
            };
            let path = self
                .topology
                .paths_to(site)
                .find(|(_, spec)| spec.interface == *interface);
            let choice = self.choices.get_mut(&(site, class));
            if let (Some(choice), Some((path, _))) = (choice, path) {
                choice.path = Some(path);
                choice.reason = Reason::Adopted;
                choice.since = now;
            }
        }
        let mut news = false;
        for (key, target) in &state.routes {
            if let RouteTarget::Nexthop { id, .. } = target
                && let Some((site, _)) = id.parts()
                && !self.ownership.owners.contains_key(&key.prefix)
            {
                news |= self.learned.adopt(now, key.prefix, site);
            }
        }
        if news {
            self.own();
        }
    }

    fn surroundings(&mut self, now: Timestamp, environment: Environment) {
        let Some(config) = self.config.clone() else {
            self.environment = Some(environment);
            return;
        };
        let mut changed = BTreeSet::new();
        for uplink in &config.uplinks {
            let usable = |env: Option<&Environment>| {
                env.is_some_and(|e| uplink_usable(&config, e, uplink.slot))
            };
            let (before, after) = (
                usable(self.environment.as_ref()),
                usable(Some(&environment)),
            );
            if before != after || self.environment.is_none() {
                changed.insert(uplink.slot);
                self.report(Event::Uplink {
                    slot: uplink.slot,
                    usable: after,
                });
            }
        }
        self.environment = Some(environment);
        let mut sites = BTreeSet::new();
        for (path, health) in &mut self.health {
            if changed.contains(&path.local) {
                health.uplink_usable = usable(&config, self.environment.as_ref(), *path);
                sites.insert(path.site);
            }
        }
        self.judge(now, &sites);
        self.want_change();
    }

    fn liveness(&mut self, now: Timestamp, path: PathId, liveness: Liveness) {
        let Some(health) = self.health.get_mut(&path) else {
            return;
        };
        // A session that has not been up yet says nothing new by being down.
        if health.liveness.is_none() && matches!(liveness, Liveness::Silent | Liveness::NotHeard) {
            return;
        }
        health.liveness = Some(liveness);
        self.judge(now, &BTreeSet::from([path.site]));
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

    fn applied(&mut self, now: Timestamp, outcome: ApplyOutcome) {
        let drift = self.phase == Phase::Applying { drift: true };
        self.phase = Phase::Idle;
        if !outcome.failed.is_empty() {
            return self.back_off(now, outcome.failed.join("; "));
        }
        let event = match drift {
            true => Event::Drift {
                changes: outcome.done,
            },
            false => Event::Applied {
                changes: outcome.done,
                took: outcome.took,
            },
        };
        self.report(event);
        self.observe();
    }

    fn back_off(&mut self, now: Timestamp, reason: String) {
        let retry_in = BACKOFF * 2u32.pow(self.failures.min(7));
        self.failures += 1;
        self.phase = Phase::BackingOff {
            until: now + retry_in,
        };
        self.report(Event::ApplyFailed { reason, retry_in });
    }

    fn pass_time(&mut self, now: Timestamp) {
        if self.learned.expire(now) {
            self.own();
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

    /// While paths are down, their peers are spoken to at their configured addresses now and then:
    /// they may have been heard last at an address that they have left.
    fn repair_endpoints(&mut self, now: Timestamp) {
        let down = |path: &PathId| {
            self.health.get(path).is_some_and(|health| {
                health.state == PathState::Down
                    && health.uplink_usable
                    && now.since(health.since) >= ENDPOINT_REPAIR
            })
        };
        let down = self.topology.paths.iter().filter(|(path, _)| down(path));
        let peers: Vec<_> = down
            .map(|(_, spec)| (spec.interface.clone(), spec.peer))
            .collect();
        if peers.is_empty() {
            self.repair = None;
            return;
        }
        let (due, wait) = self.repair.unwrap_or((now, ENDPOINT_REPAIR));
        if due <= now {
            self.repair = Some((now + wait, (wait * 2).min(ENDPOINT_REPAIR_MAX)));
            self.forgotten.extend(peers);
            self.expected = true;
            self.observe();
        }
    }

    /// Draws conclusions about the paths to these sites, and moves traffic where it must.
    fn judge(&mut self, now: Timestamp, sites: &BTreeSet<SiteNumber>) {
        let Some(config) = self.config.clone() else {
            return;
        };
        if self.environment.is_none() {
            return;
        }
        for site in sites {
            self.judge_paths(now, &config, *site);
        }
        if self.observed.is_none() {
            return;
        }
        let mut moves = Vec::new();
        for site in sites {
            for class in &config.classes {
                moves.extend(self.choose(now, &config, *site, class));
            }
        }
        if !moves.is_empty() {
            self.effects.push_front(Effect::Move(moves));
        }
    }

    fn judge_paths(&mut self, now: Timestamp, config: &RouterConfig, site: SiteNumber) {
        let ids: Vec<PathId> = self.topology.paths_to(site).map(|(id, _)| id).collect();
        for path in ids {
            let Some(health) = self.health.get_mut(&path) else {
                continue;
            };
            let transition = health.evaluate(now, &config.health);
            let dampened = health.dampen(now, &config.health);
            if let Some(t) = transition {
                self.report(Event::Path {
                    path,
                    from: t.from,
                    to: t.to,
                    cause: t.cause,
                });
            }
            if let Some(suppressed) = dampened {
                self.report(Event::Dampened { path, suppressed });
            }
        }
    }

    /// Decides for one class towards one site. Returns the nexthop to be moved at once, if there is
    /// one in the kernel already.
    fn choose(
        &mut self,
        now: Timestamp,
        config: &RouterConfig,
        site: SiteNumber,
        class: &TrafficClass,
    ) -> Option<(NexthopId, IfName)> {
        let settling = Settling(config.health.start_grace);
        let choice = self.choices.get(&(site, class.id))?;
        let contenders = self.contenders(site);
        let decision = decide(now, class, choice, settling, &contenders)?;
        let mut new = choice.clone();
        new.moved = new.path.map(|_| now).or(new.moved);
        let from = new.path.replace(decision.to);
        (new.reason, new.since, new.reconsider) = (decision.reason, now, false);
        let candidates = account(now, class, &new, settling, &contenders);
        self.choices.insert((site, class.id), new);
        self.report(Event::Moved(Decision {
            site,
            class: class.id,
            from,
            to: decision.to,
            reason: decision.reason,
            candidates,
        }));
        self.point(NexthopId::new(site, class.id), decision.to)
    }

    pub(crate) fn contenders(&self, site: SiteNumber) -> Vec<Contender<'_>> {
        let contender = |(id, spec)| {
            Some(Contender {
                id,
                spec,
                health: self.health.get(&id)?,
            })
        };
        self.topology.paths_to(site).filter_map(contender).collect()
    }

    fn point(&mut self, id: NexthopId, path: PathId) -> Option<(NexthopId, IfName)> {
        let interface = self.topology.paths.get(&path)?.interface.clone();
        match self
            .observed
            .as_mut()
            .and_then(|state| state.nexthops.get_mut(&id))
        {
            // The move is confirmed or refuted by `Moved`; until then this is what we know.
            Some(known) => {
                let moved = *known != interface;
                known.clone_from(&interface);
                moved.then_some((id, interface))
            }
            None => {
                self.want_change();
                None
            }
        }
    }

    fn reconcile(&mut self, now: Timestamp) {
        if self.phase != Phase::Idle || !self.dirty {
            return;
        }
        let Some(config) = self.config.clone() else {
            return;
        };
        let endpoints = self.heard(&config);
        let (Some(environment), Some(observed)) = (&self.environment, &self.observed) else {
            return;
        };
        let choices = self
            .choices
            .iter()
            .filter_map(|(key, choice)| Some((*key, choice.path?)))
            .collect();
        let wanted = desired(Sources {
            config: &config,
            topology: &self.topology,
            environment,
            learned: &self.learned,
            ownership: &self.ownership,
            choices: &choices,
            endpoints: &endpoints,
        });
        let plan = diff(&wanted, observed);
        self.dirty = false;
        let drift = !std::mem::take(&mut self.expected);
        if plan.0.is_empty() {
            (self.failures, self.rounds) = (0, 0);
            return;
        }
        self.rounds = if drift { self.rounds + 1 } else { 0 };
        if self.rounds > ROUNDS {
            // Carried out without an error, and still not there: somebody works against us, or the
            // kernel means something else by it.
            let first = plan
                .0
                .first()
                .map(|change| format!("{change:?}"))
                .unwrap_or_default();
            return self.back_off(
                now,
                format!("{} changes had no effect: {first}", plan.0.len()),
            );
        }
        self.phase = Phase::Applying { drift };
        self.effects.push_back(Effect::Apply(plan));
    }

    /// Where peers were last heard. Of those that are to be forgotten nothing is known, so that
    /// they are spoken to at their configured address, and told it anew even if it was the same: a
    /// user-space WireGuard goes on using the source address that worked last until it is told.
    fn heard(&mut self, config: &RouterConfig) -> BTreeMap<(IfName, PublicKey), SocketAddr> {
        let forgotten = std::mem::take(&mut self.forgotten);
        let Some(observed) = &mut self.observed else {
            return BTreeMap::new();
        };
        for key in configured_endpoints(config)
            .into_keys()
            .filter(|key| forgotten.contains(key))
        {
            if let Some(peer) = observed.peers.get_mut(&key) {
                peer.endpoint = None;
            }
        }
        let heard = observed.peers.iter();
        heard
            .filter_map(|(key, peer)| Some((key.clone(), peer.endpoint?)))
            .collect()
    }
}

fn configured_endpoints(config: &RouterConfig) -> BTreeMap<(IfName, PublicKey), SocketAddr> {
    let of_site = |site| {
        crate::topology::pairs(config, site).filter_map(|(local, remote)| {
            let id = PathId {
                site: site.number,
                local: local.slot,
                remote: remote.slot,
            };
            let interface = config.layout.tunnel_interface(id.tunnel(site.hub));
            let endpoint = remote.tunnel_endpoint(config.hub, local.slot)?;
            Some(((interface, remote.public_key), endpoint))
        })
    };
    config.remotes.iter().flat_map(of_site).collect()
}

fn usable(config: &RouterConfig, environment: Option<&Environment>, path: PathId) -> bool {
    environment.is_none_or(|environment| uplink_usable(config, environment, path.local))
}

/// An uplink carries packets when it has carrier, an address and a gateway.
pub(crate) fn uplink_usable(
    config: &RouterConfig,
    environment: &Environment,
    slot: patronus_model::ids::Slot,
) -> bool {
    let uplink = config.uplinks.iter().find(|uplink| uplink.slot == slot);
    let state = environment.uplinks.get(&slot);
    uplink.zip(state).is_some_and(|(uplink, state)| {
        let gateway = effective(uplink.gateway4, state.gateway4)
            .or_else(|| effective(uplink.gateway6, state.gateway6));
        // On a point-to-point or flat underlay nobody configures a gateway.
        let flat = (uplink.gateway4, uplink.gateway6) == (Gateway::None, Gateway::None);
        state.carrier && !state.addresses.is_empty() && (gateway.is_some() || flat)
    })
}
