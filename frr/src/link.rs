//! One task for each daemon, which owns its socket: connects, reconnects, hands commands over one
//! by one, and notices at once when the daemon is gone.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::daemon::Daemon;
use crate::line::Line;
use crate::state::Version;
use crate::vty::{Reply, Vty, VtyError};

/// First pause between attempts to connect: watchfrr has a daemon back within about a second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const LAST_PAUSE: Duration = Duration::from_millis(800);
/// Commands that may wait for their turn. The supervisor sends one at a time; callers of
/// [`crate::FrrHandle`] may stand beside it.
const QUEUE: usize = 8;
/// How long a daemon may take to answer. bgpd with 1,000 neighbours is busy for seconds at times.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between questions, at most: a daemon that hangs is found also while nobody wants anything of it.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// An answer that takes so long is worth knowing of before it is given up.
const LATE: Duration = Duration::from_secs(5);

/// What a link reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// The daemon answers.
    Up(Daemon, Version),
    /// The daemon is gone, with the reason.
    Down(Daemon, String),
    /// The daemon owes an answer since then: it is busy, or hangs.
    Late(Daemon, Instant),
    /// It has given that answer.
    InTime(Daemon),
}

/// A command without a connection to send it on, or whose connection broke.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The daemon is not there.
    #[error("{0} is not running")]
    Down(Daemon),
    /// The connection failed while the command was under way, which may have been carried out.
    #[error("lost {daemon} while a command was under way")]
    Lost {
        /// The daemon.
        daemon: Daemon,
        /// How.
        #[source]
        source: VtyError,
    },
}

struct Request {
    line: Line,
    reply: oneshot::Sender<Result<Reply, LinkError>>,
}

/// Sends commands to one daemon.
#[derive(Clone, Debug)]
pub struct Link {
    daemon: Daemon,
    requests: mpsc::Sender<Request>,
}

impl Link {
    /// Starts the task; it ends when every `Link` is dropped.
    pub(crate) fn spawn(daemon: Daemon, socket: PathBuf, report: impl Report) -> Self {
        let (requests, inbox) = mpsc::channel(QUEUE);
        tokio::spawn(
            Task {
                daemon,
                socket,
                inbox,
                report,
            }
            .run(),
        );
        Self { daemon, requests }
    }

    /// The daemon at the far end.
    #[must_use]
    pub const fn daemon(&self) -> Daemon {
        self.daemon
    }

    /// Sends a command. Fails at once when the daemon is not there.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn command(&self, line: Line) -> Result<Reply, LinkError> {
        let (reply, answer) = oneshot::channel();
        let down = |_| LinkError::Down(self.daemon);
        self.requests
            .send(Request { line, reply })
            .await
            .map_err(|_| LinkError::Down(self.daemon))?;
        answer.await.map_err(down)?
    }
}

/// Takes what a link reports; must not block.
pub(crate) trait Report: Fn(LinkEvent) + Send + 'static {}
impl<F: Fn(LinkEvent) + Send + 'static> Report for F {}

struct Task<R> {
    daemon: Daemon,
    socket: PathBuf,
    inbox: mpsc::Receiver<Request>,
    report: R,
}

impl<R: Report> Task<R> {
    async fn run(mut self) {
        while let Some((vty, version)) = self.connect().await {
            (self.report)(LinkEvent::Up(self.daemon, version));
            let Some(why) = self.serve(vty).await else {
                return;
            };
            (self.report)(LinkEvent::Down(self.daemon, why));
        }
    }

    /// Tries until it succeeds; `None` when nobody is left to serve.
    async fn connect(&mut self) -> Option<(Vty, Version)> {
        let mut pause = FIRST_PAUSE;
        loop {
            let socket = self.socket.clone();
            match self.refuse_until(open(&socket)).await? {
                Ok(open) => return Some(open),
                Err(error) => {
                    tracing::trace!(daemon = %self.daemon, ?error, "not connected");
                }
            }
            self.refuse_until(sleep(pause)).await?;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Waits for something, and answers requests meanwhile, as a daemon that hangs lets itself be
    /// connected to; `None` when nobody is left to make any.
    async fn refuse_until<T>(&mut self, done: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return Some(done),
                request = self.inbox.recv() => {
                    let refusal = Err(LinkError::Down(self.daemon));
                    drop(request?.reply.send(refusal));
                }
            }
        }
    }

    /// Sends a command, and reports an answer that is long in coming.
    async fn ask(&mut self, vty: &mut Vty, line: &Line) -> Result<Reply, VtyError> {
        let asked = Instant::now();
        let answer = vty.command(line);
        tokio::pin!(answer);
        if let Ok(answer) = timeout(LATE, &mut answer).await {
            return answer;
        }
        (self.report)(LinkEvent::Late(self.daemon, asked));
        let answer = answer.await;
        if answer.is_ok() {
            (self.report)(LinkEvent::InTime(self.daemon));
        }
        answer
    }

    /// Carries out requests until the connection breaks, and says why; `None` when nobody is left.
    async fn serve(&mut self, mut vty: Vty) -> Option<String> {
        loop {
            let request = tokio::select! {
                biased;
                error = vty.closed() => return Some(error.to_string()),
                request = self.inbox.recv() => Some(request?),
                () = sleep(HEARTBEAT) => None,
            };
            let line = request.as_ref().map(|it| &it.line);
            let heartbeat = Line::new(Version::COMMAND);
            let answer = self.ask(&mut vty, line.unwrap_or(&heartbeat)).await;
            let broken = answer.as_ref().err().map(ToString::to_string);
            let usable = matches!(answer, Ok(_) | Err(VtyError::Command));
            let daemon = self.daemon;
            let answer = answer.map_err(|source| LinkError::Lost { daemon, source });
            if let Some(request) = request {
                drop(request.reply.send(answer));
            }
            if !usable {
                return broken;
            }
        }
    }
}

/// Connects and becomes privileged; a daemon that says its version is a daemon that is up.
async fn open(socket: &std::path::Path) -> Result<(Vty, Version), OpenError> {
    let mut vty = Vty::connect(socket, PATIENCE).await?;
    vty.command(&Line::new("enable")).await?;
    let reply = vty.command(&Line::new(Version::COMMAND)).await?;
    Ok((vty, Version::parse(&reply.text)?))
}

#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Vty(#[from] VtyError),
    #[error(transparent)]
    Version(#[from] crate::state::StateError),
}
