//! Keeps a desired configuration applied, whatever happens to FRR meanwhile.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant as Deadline, sleep_until};

use crate::apply::{Applied, ApplyError, Links, apply, is_applied};
use crate::board::Board;
use crate::bootstrap::FrrPaths;
use crate::daemon::Daemon;
use crate::drift::by_others;
use crate::line::Line;
use crate::link::{Link, LinkError, LinkEvent};
use crate::look::Look;
use crate::overflow;
use crate::render::{Config, Desired, render};
use crate::state::{BfdPeer, BgpSummary, NeighborDetails, StateError};
use crate::status::{ApplyStatus, DaemonStatus, FrrEvent, FrrStatus};

/// Events that wait to be fetched. When there are more, the newest are lost and logged; the status
/// is always true.
const EVENTS: usize = 1024;
/// Reports of links that wait for the supervisor; five daemons cannot flap faster than it applies.
const REPORTS: usize = 64;
/// Between looks at the neighbours, at least.
const REFRESH: Duration = Duration::from_secs(1);
/// Between looks at the neighbours, at most.
const LAST_REFRESH: Duration = Duration::from_secs(5);
/// The share of time spent on looking at neighbours is at most one in this.
const REFRESH_SHARE: u32 = 50;
/// Between comparisons of what is with what should be, when nothing seems to have happened.
const AUDIT: Duration = Duration::from_secs(15);
/// After a daemon came back, watchfrr lets vtysh read `frr.conf` into it. Applying in the middle of
/// that works, but what is newer than the file may be overwritten by it, so look again.
const SETTLE: Duration = Duration::from_secs(2);
/// First pause after a failure that may pass.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Longest pause.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The supervisor. It ends by itself when its shutdown future completes or the sender of desired
/// configurations is dropped; FRR goes on as it is.
#[derive(Debug)]
pub struct Frr;

/// What the rest of the program holds of the supervisor.
#[derive(Debug)]
pub struct FrrHandle {
    /// How FRR is doing, for as many as want to know.
    pub status: watch::Receiver<FrrStatus>,
    /// What happens, for one.
    pub events: mpsc::Receiver<FrrEvent>,
    /// For questions beside those that the status answers.
    pub query: FrrQuery,
    /// Ends after shutdown.
    pub task: JoinHandle<()>,
}

/// Asks FRR for details.
#[derive(Clone, Debug)]
pub struct FrrQuery {
    links: Links,
}

/// A question without an answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The daemon is not there.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It is, but makes no sense.
    #[error(transparent)]
    State(#[from] StateError),
}

impl FrrQuery {
    /// All BGP neighbours in detail: some 4 kB of text for each, so not every second.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn neighbors(&self) -> Result<NeighborDetails, QueryError> {
        let text = self.ask(Daemon::Bgpd, NeighborDetails::COMMAND).await?;
        Ok(NeighborDetails::parse(&text)?)
    }

    /// The sessions of FRR's own BFD daemon.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn bfd_peers(&self) -> Result<Vec<BfdPeer>, QueryError> {
        let text = self.ask(Daemon::Bfdd, BfdPeer::COMMAND).await?;
        Ok(BfdPeer::parse_all(&text)?)
    }

    /// One BGP neighbour in detail; none when there is no such neighbour.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn neighbor(&self, address: IpAddr) -> Result<NeighborDetails, QueryError> {
        let command = format!("show bgp neighbors {address} json");
        let text = self.ask(Daemon::Bgpd, &command).await?;
        Ok(NeighborDetails::parse(&text)?)
    }

    pub(crate) async fn summary(&self) -> Result<BgpSummary, QueryError> {
        let text = self.ask(Daemon::Bgpd, BgpSummary::COMMAND).await?;
        Ok(BgpSummary::parse(&text)?)
    }

    pub(crate) async fn ask(&self, daemon: Daemon, command: &str) -> Result<String, LinkError> {
        let reply = self.links.command(daemon, Line::new(command)).await?;
        Ok(reply.text.as_str().to_owned())
    }
}

impl Frr {
    /// Starts the supervisor. `None` as desired configuration means: leave FRR as it is.
    ///
    /// Must be called within a tokio runtime.
    pub fn spawn(
        paths: FrrPaths,
        desired: watch::Receiver<Option<Arc<Desired>>>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> FrrHandle {
        let (status, watcher) = watch::channel(FrrStatus::default());
        let (events, inbox) = mpsc::channel(EVENTS);
        let board = Board {
            status: Arc::new(status),
            events,
        };
        let (reports, reported) = mpsc::channel(REPORTS);
        let links = Links::new(Daemon::ALL.into_iter().map(|daemon| {
            let (board, reports) = (board.clone(), reports.clone());
            Link::spawn(daemon, paths.socket(daemon), move |event| {
                // Published from the link's own task, so that nothing that the supervisor is busy
                // with holds it up.
                board.daemon(&event);
                // When it is full the supervisor has plenty of reasons to look.
                let _ = reports.try_send(event);
            })
        }));
        let query = FrrQuery { links };
        let supervisor = Supervisor {
            paths,
            desired,
            reported,
            query: query.clone(),
            board,
            config: None,
            seen: None,
            schedule: Schedule::new(Deadline::now()),
            look: Look::default(),
        };
        let task = tokio::spawn(supervisor.run(shutdown));
        FrrHandle {
            status: watcher,
            events: inbox,
            query,
            task,
        }
    }
}

/// When to do what next.
#[derive(Debug)]
struct Schedule {
    /// Apply, or make sure that it is applied; `None` while there is no sense in it.
    check: Option<Deadline>,
    /// Look at the neighbours.
    refresh: Deadline,
    /// The pause after the next failure.
    retry: Duration,
}

impl Schedule {
    const fn new(now: Deadline) -> Self {
        Self {
            check: None,
            refresh: now,
            retry: FIRST_RETRY,
        }
    }

    fn check_within(&mut self, pause: Duration) {
        let at = Deadline::now() + pause;
        self.check = Some(self.check.map_or(at, |earlier| earlier.min(at)));
    }
}

struct Supervisor {
    paths: FrrPaths,
    desired: watch::Receiver<Option<Arc<Desired>>>,
    reported: mpsc::Receiver<LinkEvent>,
    query: FrrQuery,
    board: Board,
    config: Option<Config>,
    /// When `config` was last seen in force. What is different since then, in daemons that have
    /// been there since then, somebody else did.
    seen: Option<Instant>,
    schedule: Schedule,
    look: Look,
}

impl Supervisor {
    async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        self.take_desired();
        loop {
            let check = self
                .schedule
                .check
                .unwrap_or_else(|| Deadline::now() + AUDIT);
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                Some(event) = self.reported.recv() => self.link(&event),
                changed = self.desired.changed() => match changed {
                    Ok(()) => self.take_desired(),
                    Err(_) => return,
                },
                () = sleep_until(check) => self.check().await,
                () = sleep_until(self.schedule.refresh) => self.refresh().await,
            }
        }
    }

    fn take_desired(&mut self) {
        let desired = self.desired.borrow_and_update().clone();
        let config = desired.as_deref().map(render);
        if config.is_some() && config != self.config {
            self.schedule.retry = FIRST_RETRY;
            self.schedule.check_within(Duration::ZERO);
            self.seen = None;
        }
        self.config = config;
        self.expect();
    }

    fn expect(&self) {
        let wanted = self.config.as_ref().map(Config::daemons);
        self.board
            .expect(&wanted.unwrap_or_else(|| Daemon::REQUIRED.into()));
    }

    fn link(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::Up(daemon, version) => {
                tracing::debug!(%daemon, %version, "connected");
                self.schedule.retry = FIRST_RETRY;
                self.schedule.refresh = Deadline::now();
                if self.ready() {
                    self.schedule.check_within(Duration::ZERO);
                }
            }
            LinkEvent::Down(daemon, reason) => {
                tracing::debug!(%daemon, reason, "lost");
                if *daemon == Daemon::Bgpd {
                    self.board.neighbors(BTreeMap::new());
                }
                self.expect();
            }
            // The status says so; it is gone when it stays away for long.
            LinkEvent::Late(daemon, _) => tracing::debug!(%daemon, "owes an answer"),
            LinkEvent::InTime(daemon) => tracing::debug!(%daemon, "answers again"),
        }
    }

    fn is_up(&self, daemon: Daemon) -> bool {
        let status = self.board.status.borrow();
        status.daemons.get(&daemon).is_some_and(DaemonStatus::is_up)
    }

    fn ready(&self) -> bool {
        Daemon::REQUIRED
            .into_iter()
            .all(|daemon| self.is_up(daemon))
    }

    /// Whether a daemon came back so recently that `frr.conf` may still be read into it.
    fn settling(&self) -> bool {
        let status = self.board.status.borrow();
        status
            .daemons
            .values()
            .any(|daemon| daemon.is_up() && daemon.since.elapsed() < SETTLE)
    }

    /// Applies what is desired unless it is applied.
    async fn check(&mut self) {
        self.schedule.check = None;
        let Some(config) = &self.config else { return };
        if !self.ready() {
            return; // A link will report.
        }
        let mut daemons = config.daemons();
        daemons.retain(|daemon| self.is_up(*daemon));
        let start = Instant::now();
        let known_good = self
            .board
            .status
            .borrow()
            .last_apply
            .as_ref()
            .is_some_and(|last| last.outcome.is_ok());
        if known_good
            && matches!(
                is_applied(&self.query.links, config, &daemons).await,
                Ok(true)
            )
        {
            // `frr.conf` may have been written by a predecessor of ours, or not at all.
            return self.see();
        }
        let was_in_force = self.seen.is_some();
        let links = &self.query.links;
        let outcome = apply(links, &self.paths, config, &daemons, was_in_force).await;
        if let Ok(applied) = &outcome {
            // If bgpd is gone, so is what it remembered.
            let _ = overflow::try_again(&self.query, applied).await;
        }
        self.publish(start, outcome);
    }

    fn publish(&mut self, start: Instant, outcome: Result<Applied, ApplyError>) {
        let last = ApplyStatus {
            at: Instant::now(),
            took: start.elapsed(),
            outcome: outcome.map_err(Arc::new),
        };
        let outcome = last.outcome.clone();
        let altered = outcome.as_ref().map(|applied| {
            let seen = self.seen?;
            Some(by_others(applied, &self.board.status.borrow(), seen))
        });
        // First the state, then the news: whoever hears of it finds it true.
        self.board
            .status
            .send_modify(|status| status.last_apply = Some(last));
        match &outcome {
            Ok(applied) => {
                self.schedule.retry = FIRST_RETRY;
                self.see();
                if !applied.is_empty() {
                    tracing::debug!(commands = applied.commands.len(), "configuration applied");
                    self.board.tell(FrrEvent::Applied(applied.clone()));
                }
                if let Ok(Some(altered)) = altered
                    && !altered.is_empty()
                {
                    self.board.tell(FrrEvent::Altered(altered));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "configuration not applied");
                self.board.tell(FrrEvent::ApplyFailed(error.to_string()));
                self.seen = None;
                self.plan_retry(error.is_transient());
            }
        }
    }

    /// The configuration is in force.
    fn see(&mut self) {
        let settling = self.settling();
        self.schedule
            .check_within(if settling { SETTLE } else { AUDIT });
        if !settling {
            self.seen = Some(Instant::now());
        }
    }

    /// A refusal is tried again too, but rarely: what FRR objected to may be gone by then.
    fn plan_retry(&mut self, transient: bool) {
        let pause = if transient {
            self.schedule.retry
        } else {
            LAST_RETRY
        };
        self.schedule.retry = (self.schedule.retry * 2).min(LAST_RETRY);
        self.schedule.check_within(pause);
    }

    async fn refresh(&mut self) {
        let start = Instant::now();
        let before = self.board.status.borrow().neighbors.clone();
        match self.look.at(&self.query, &before).await {
            Ok(now) => self.board.neighbors(now),
            Err(QueryError::Link(_)) => {} // The link has reported it.
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "cannot look at the neighbours");
            }
        }
        let sessions = match self.query.bfd_peers().await {
            Ok(sessions) => sessions,
            Err(QueryError::Link(_)) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "cannot look at the BFD sessions");
                Vec::new()
            }
        };
        self.board.status.send_if_modified(|status| {
            let news = status.bfd != sessions;
            status.bfd = sessions;
            news
        });
        let pause = (start.elapsed() * REFRESH_SHARE).clamp(REFRESH, LAST_REFRESH);
        self.schedule.refresh = Deadline::now() + pause;
    }
}
