//! The router role: one engine, and everything that feeds it and does its bidding.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Arc;
use std::sync::mpsc as jobs;
use std::time::Duration;

use anyhow::Context as _;
use patronus_api::{Names, ReloadOutcome};
use patronus_config::{Diagnostic, Parsed};
use patronus_engine::{Effect, Engine, Input};
use patronus_frr::{Desired, FrrHandle};
use patronus_linux::{FastLane, Follower, Notice};
use patronus_model::Timestamp;
use patronus_model::change::Changes;
use patronus_model::event::Event;
use patronus_model::ids::{IfName, Slot};
use patronus_model::layout::NexthopId;
use patronus_model::router::RouterConfig;
use patronus_model::view::ObstacleView;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::bfd::{BfdConfig, BfdDriver, BfdHandle, Farewell};
use crate::bfdd::Bfdd;
use crate::clock;
use crate::handshakes::{self, Asker};
use crate::journal::Journal;
use crate::kernel::{self, Job};
use crate::layout;
use crate::liveness::{MEASURE_EVERY, measurement, pass_on, session};
use crate::load::{self, LoadError, load};
use crate::obstacles;
use crate::places::Places;
use crate::routing;
use crate::signals::{Asked, Signals};
use crate::systemd;

/// Inputs that may wait for the engine. More than all paths of a large router going down at once.
const INPUTS: usize = 8192;

/// Runs the role until the daemon is told to stop. The kernel goes on forwarding then.
///
/// # Errors
/// The configuration is not valid, or something that the role cannot do without is not there.
pub async fn run(places: Places) -> anyhow::Result<()> {
    let signals = Signals::new()?;
    std::fs::create_dir_all(&places.runtime_dir)
        .with_context(|| format!("creating {}", places.runtime_dir.display()))?;
    let _lock = lock()?;
    let loaded = load(&places)?;
    // A configuration error it is not: systemd may try again.
    let kept = loaded.keep(&places);
    let (config, warnings) = kept.map_err(|error| anyhow::anyhow!("{error}"))?;
    warnings.iter().for_each(|warning| warn!("{warning}"));
    layout::record(&places, &config.layout)?;
    let (inputs, inbox) = mpsc::channel(INPUTS);
    Router::start(places, Arc::new(config), inputs)?
        .serve(inbox, signals)
        .await
}

/// Two daemons of one router would undo each other's work. What they fight over is the network
/// namespace, so the lock is an abstract socket, of which each namespace has its own.
fn lock() -> anyhow::Result<UnixListener> {
    let name = SocketAddr::from_abstract_name("patronusd")?;
    UnixListener::bind_addr(&name).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            let stop = match systemd::runs() {
                true => "`systemctl stop patronus` stops it",
                false => "SIGTERM stops it",
            };
            anyhow::anyhow!(
                "another patronusd is running in this network namespace; `patronus status` asks \
                 it, {stop}"
            )
        }
        _ => anyhow::Error::new(error).context("taking the lock"),
    })
}

/// Who wants to know what came of a reload.
type Reply = Option<oneshot::Sender<ReloadOutcome>>;

/// To read the configuration that is to follow this one.
type Rereading = (Arc<RouterConfig>, Reply);

/// A configuration that has been read again.
type Reread = (Result<Parsed, LoadError>, Reply);

/// What came of a configuration that is in force now.
pub(crate) struct Reloaded {
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) changes: Changes,
}

pub(crate) struct Router {
    places: Places,
    pub(crate) config: Arc<RouterConfig>,
    /// What was in force before the last reload: sessions of what that removed end later.
    pub(crate) before: Option<Arc<RouterConfig>>,
    pub(crate) engine: Engine,
    pub(crate) started: Timestamp,
    pub(crate) journal: Journal,
    lane: FastLane,
    pub(crate) jobs: jobs::Sender<Job>,
    pub(crate) handshakes: jobs::SyncSender<Asker>,
    pub(crate) bfd: BfdHandle,
    follower: Follower,
    notices: mpsc::Receiver<Notice>,
    pub(crate) bgp: watch::Sender<Option<Arc<Desired>>>,
    pub(crate) frr: Option<FrrHandle>,
    pub(crate) bfdd: Bfdd,
    /// When to announce the overlay's addresses; earliest first.
    pub(crate) announcements: VecDeque<Timestamp>,
    /// Why the configuration file was refused when it was read last.
    pub(crate) refused: Option<String>,
    /// What others have put into the way.
    pub(crate) obstacles: watch::Receiver<Vec<ObstacleView>>,
    /// Configurations that are being read come back here.
    reread: (jobs::Sender<Rereading>, mpsc::Receiver<Reread>),
}

impl Router {
    fn start(
        places: Places,
        config: Arc<RouterConfig>,
        inputs: mpsc::Sender<Input>,
    ) -> anyhow::Result<Self> {
        let layout = config.layout.clone();
        let (jobs, kernel_port) =
            kernel::start(layout.clone(), places.kernel(), inputs.clone()).map_err(reported)?;
        let handshakes = handshakes::start(layout.clone()).map_err(reported)?;
        let obstacles = obstacles::start(layout.clone())
            .context("starting a thread that looks for obstacles")?;
        let lane = FastLane::open(&layout).map_err(reported)?;
        let (follower, notices) = Follower::start(patronus_linux::Watch {
            own_ports: vec![kernel_port, lane.port()],
            uplinks: uplinks(&config),
            lans: lans(&config),
            receive_buffer: patronus_linux::Watch::RECEIVE_BUFFER,
            layout,
        })
        .map_err(reported)?;
        let bfd = BfdDriver::spawn(BfdConfig::default(), move |event| pass_on(&event, &inputs))
            .context("starting BFD")?;
        let (bgp, desired) = watch::channel(None);
        let frr = routing::start(desired)
            .inspect_err(|error| warn!(%error, "FRR cannot be used: no routes are exchanged"))
            .ok();
        let mut journal = Journal::default();
        journal.rename(Names::of_config(&config));
        let reread = start_reader(places.clone())
            .context("starting a thread that reads the configuration")?;
        Ok(Self {
            places,
            config,
            before: None,
            engine: Engine::default(),
            started: clock::now(),
            journal,
            lane,
            jobs,
            handshakes,
            bfd,
            follower,
            notices,
            bgp,
            frr,
            bfdd: Bfdd::start(),
            announcements: VecDeque::new(),
            refused: None,
            obstacles,
            reread,
        })
    }

    /// Lets the engine know its surroundings before it is told what to do, so that it adopts what
    /// is there instead of putting it right twice.
    async fn first_look(&mut self) -> anyhow::Result<()> {
        let (mut environment, mut learned) = (false, false);
        while !(environment && learned) {
            let notice = self.notices.recv().await.context("following the kernel")?;
            match &notice {
                Notice::Environment(_) => environment = true,
                Notice::Learned(_) => learned = true,
                Notice::OwnedChanged => {}
            }
            self.handle(input(notice));
        }
        self.handle(Input::Config(Arc::clone(&self.config)));
        Ok(())
    }

    async fn serve(
        mut self,
        mut inbox: mpsc::Receiver<Input>,
        mut signals: Signals,
    ) -> anyhow::Result<()> {
        let mut frr_events = self
            .frr
            .as_mut()
            .map(|frr| std::mem::replace(&mut frr.events, mpsc::channel(1).1));
        let (requests, mut asked) = mpsc::channel(16);
        let (_closing, shutdown) = watch::channel(());
        let server = crate::desk::serve(&self.places, requests, shutdown)?;
        self.first_look().await?;
        crate::notify::ready();
        let mut measure = every(MEASURE_EVERY);
        loop {
            let announcement = self.announcements.front().copied();
            let timeout = self
                .engine
                .poll_timeout()
                .into_iter()
                .chain(announcement)
                .min();
            tokio::select! {
                biased;
                Some(input) = inbox.recv() => self.handle(input),
                notice = self.notices.recv() => {
                    self.handle(input(notice.context("following the kernel has ended")?));
                }
                Some(event) = next(&mut frr_events) => self.routing(event),
                signal = signals.next() => match signal {
                    Asked::Stop => break,
                    Asked::Reload => self.reload(None),
                },
                Some(request) = asked.recv() => self.answer(request),
                Some((result, reply)) = self.reread.1.recv() => {
                    let outcome = crate::desk::outcome(self.reloaded(result));
                    if let Some(reply) = reply {
                        // Whoever asked may have gone away.
                        let _ = reply.send(outcome);
                    }
                }
                _ = measure.tick() => self.measure(),
                () = until(timeout) => {
                    self.announce();
                    self.handle(Input::Tick);
                }
            }
        }
        info!("stopping; the kernel goes on forwarding");
        crate::notify::stopping();
        server.abort();
        // Threads which wait for room among the inputs must not wait for ever: nobody reads on.
        drop(inbox);
        // Whoever asks now shall hear that nobody is there.
        let _ = std::fs::remove_file(self.places.socket());
        self.bfd.shutdown(Farewell::AdminDown);
        Ok(())
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.engine.handle(clock::now(), input);
        while let Some(effect) = self.engine.poll_effect() {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Move(moves) => {
                let failed = self.move_now(&moves);
                self.engine.handle(clock::now(), Input::Moved(failed));
            }
            // The thread ends only with us.
            Effect::Observe => drop(self.jobs.send(Job::Observe)),
            Effect::Apply(plan) => drop(self.jobs.send(Job::Apply(plan))),
            Effect::Watch(watches) => {
                self.lane
                    .prepare(watches.iter().map(|watch| &watch.interface));
                let timers = self.config.health.bfd;
                let sessions = watches
                    .into_iter()
                    .map(|watch| session(watch, timers))
                    .collect();
                if let Err(error) = self.bfd.set_sessions(sessions) {
                    warn!(%error, "BFD");
                }
            }
            Effect::Bgp(instance) => self.publish(*instance),
            Effect::Report(event) => self.journal.record(event),
        }
    }

    fn move_now(&mut self, moves: &[(NexthopId, IfName)]) -> Vec<NexthopId> {
        let Err(not_moved) = self.lane.move_nexthops(moves) else {
            return Vec::new();
        };
        for error in not_moved.errors {
            warn!(error = error.report(), "a nexthop was not moved");
        }
        not_moved.ids
    }

    fn measure(&mut self) {
        let Ok(snapshot) = self.bfd.snapshot() else {
            return;
        };
        for session in &snapshot.sessions {
            let input = Input::Measured(session.spec.path, measurement(session));
            self.engine.handle(clock::now(), input);
        }
        self.handle(Input::Tick);
    }

    /// Reads the configuration again, aside: files may be slow, and failover must not wait.
    pub(crate) fn reload(&self, reply: Option<oneshot::Sender<ReloadOutcome>>) {
        // The thread ends only with us.
        drop(self.reread.0.send((Arc::clone(&self.config), reply)));
    }

    /// Puts a configuration into force. A broken one changes nothing.
    fn reloaded(&mut self, result: Result<Parsed, LoadError>) -> Result<Reloaded, LoadError> {
        self.refused = result.as_ref().err().map(ToString::to_string);
        let (config, warnings) = result.inspect_err(|error| {
            let problem = error.to_string();
            // The event's line in the log has the first of them.
            let rest: Vec<String> = problem.lines().skip(1).map(str::to_owned).collect();
            self.journal.record(Event::ReloadRefused { problem });
            rest.iter().for_each(|finding| warn!("{finding}"));
        })?;
        warnings.iter().for_each(|warning| warn!("{warning}"));
        let before = std::mem::replace(&mut self.config, Arc::new(config));
        // What the reload removes goes down now, and its BGP sessions when FRR has done its part.
        let names = Names::of_config(&self.config).after(Names::of_config(&before));
        self.journal.rename(names);
        self.before = Some(before);
        self.follower
            .follow(uplinks(&self.config), lans(&self.config));
        self.handle(Input::Config(Arc::clone(&self.config)));
        let changes = self.engine.last_changes().cloned().unwrap_or_default();
        Ok(Reloaded { warnings, changes })
    }
}

/// Reads the configuration whenever it is asked to, one time after the other: what was read last is
/// what is in force.
fn start_reader(
    places: Places,
) -> std::io::Result<(jobs::Sender<Rereading>, mpsc::Receiver<Reread>)> {
    let (asked, asking) = jobs::channel::<Rereading>();
    let (back, reread) = mpsc::channel(4);
    let read = move || {
        for (running, reply) in asking {
            let result = load::reload(&places, &running);
            if back.blocking_send((result, reply)).is_err() {
                return; // We are stopping.
            }
        }
    };
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(read)?;
    Ok((asked, reread))
}

fn input(notice: Notice) -> Input {
    match notice {
        Notice::Environment(environment) => Input::Environment(environment),
        Notice::OwnedChanged => Input::Touched,
        Notice::Learned(delta) => Input::Learned(delta),
    }
}

fn lans(config: &RouterConfig) -> BTreeSet<IfName> {
    let interfaces = config.lans.iter().map(|lan| lan.interface.clone());
    interfaces.collect()
}

fn uplinks(config: &RouterConfig) -> BTreeMap<Slot, IfName> {
    config
        .uplinks
        .iter()
        .map(|uplink| (uplink.slot, uplink.interface.clone()))
        .collect()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn reported(error: patronus_linux::Error) -> anyhow::Error {
    anyhow::anyhow!(error.report())
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn until(deadline: Option<Timestamp>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(clock::now())).await,
        None => std::future::pending().await,
    }
}

async fn next<T>(receiver: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}
