//! BFD over UDP (RFC 5881): the sockets and the clock that [`patronus_engine::bfd`] lacks.
//!
//! One thread of its own does everything, as liveness must not wait for whatever else the daemon
//! is busy with. [`BfdHandle::set_sessions`] says which sessions there should be; the thread
//! makes the difference so, and keeps trying where an interface or an address does not exist
//! yet, or has gone and will come back.

mod announcements;
mod batch;
mod clock;
mod driver;
mod links;
mod peers;
mod realtime;
mod sockets;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use nix::sys::eventfd::{EfdFlags, EventFd};
use patronus_engine::bfd::{DEFAULT_RTT_INTERVAL, Event, LossWindow, Status};
use patronus_model::bgp::BfdTimers;
use patronus_model::ids::{IfName, PathId};
use tokio::sync::watch;

pub use links::SocketProblem;
pub use peers::InvalidSessions;

/// UDP port of single-hop control packets (RFC 5881 section 4).
pub const CONTROL_PORT: u16 = 3784;

/// How the driver works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdConfig {
    /// How often each session measures a round trip; `None`: never.
    pub rtt_interval: Option<Duration>,
    /// How long each window is over which loss is estimated.
    pub loss_window: Duration,
    /// Ask for real-time scheduling at the lowest priority, so that a busy machine does not
    /// declare its own slowness a failure of the network.
    pub realtime: bool,
}

impl Default for BfdConfig {
    fn default() -> Self {
        Self {
            rtt_interval: Some(DEFAULT_RTT_INTERVAL),
            loss_window: Duration::from_secs(10),
            realtime: true,
        }
    }
}

/// A session that there should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSpec {
    /// Which path it watches.
    pub path: PathId,
    /// The interface that its packets leave and arrive by.
    pub interface: IfName,
    /// Our address on it.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
    /// Intervals and multiplier.
    pub timers: BfdTimers,
}

/// Something that happened to the session of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdEvent {
    /// The path.
    pub path: PathId,
    /// What happened.
    pub event: Event,
}

/// A session, for display.
#[derive(Clone, Debug)]
pub struct SessionSnapshot {
    /// What was asked for.
    pub spec: SessionSpec,
    /// States, reasons, negotiated times, round trip and counters.
    pub status: Status,
    /// When the state last changed.
    pub since: SystemTime,
    /// The last finished window.
    pub loss: Option<LossWindow>,
    /// Why the session has no socket; `None` when it has.
    pub socket_problem: Option<SocketProblem>,
    /// Why the last packet could not be sent; `None` when it could.
    pub send_error: Option<io::ErrorKind>,
}

/// Datagrams that were not taken, by reason, since the driver started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// TTL or hop limit below 255: it came from beyond the link (RFC 5881 section 5).
    pub distant: u64,
    /// Not a control packet.
    pub malformed: u64,
    /// From a peer without a session.
    pub unknown_peer: u64,
    /// For a session that does not exist, any more or yet.
    pub unknown_discriminator: u64,
    /// For the session with somebody else.
    pub foreign: u64,
}

/// Everything that the driver knows.
#[derive(Clone, Debug, Default)]
pub struct BfdSnapshot {
    /// The sessions in the order of their paths.
    pub sessions: Vec<SessionSnapshot>,
    /// What was dropped.
    pub dropped: Dropped,
}

/// What the peers are told at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// That this is intended: they report `RemoteAdminDown` and know that nothing has failed.
    AdminDown,
    /// Nothing: to them it is a crash, and so it should look if forwarding stops as well.
    Silence,
}

/// The driver's thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the BFD driver has stopped")]
pub struct Stopped;

/// What the thread is told.
enum Command {
    SetSessions(Vec<SessionSpec>),
    Stop(Farewell),
}

/// Starts drivers.
pub struct BfdDriver;

impl BfdDriver {
    /// Starts a driver without sessions in a thread of its own, which lives in the network
    /// namespace of the caller.
    ///
    /// `on_event` is called on that thread: it passes the event on and returns.
    ///
    /// # Errors
    /// When the kernel refuses a thread, an epoll, an event or a netlink descriptor.
    pub fn spawn(
        config: BfdConfig,
        on_event: impl FnMut(BfdEvent) + Send + 'static,
    ) -> io::Result<BfdHandle> {
        let (commands, inbox) = channel();
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let bell = Arc::new(EventFd::from_flags(flags)?);
        let (publish, published) = watch::channel(BfdSnapshot::default());
        let ends = driver::Ends {
            inbox,
            bell: Arc::clone(&bell),
            publish,
            on_event: Box::new(on_event),
        };
        let driver = driver::Driver::new(config, ends)?;
        let thread = std::thread::Builder::new()
            .name("bfd".into())
            .spawn(move || driver.run())?;
        Ok(BfdHandle {
            commands,
            bell,
            published,
            thread: Some(thread),
        })
    }
}

/// A running driver. Dropping it stops the driver without a word to the peers.
pub struct BfdHandle {
    commands: Sender<Command>,
    bell: Arc<EventFd>,
    published: watch::Receiver<BfdSnapshot>,
    thread: Option<JoinHandle<()>>,
}

impl BfdHandle {
    /// Makes these the sessions that there are.
    ///
    /// A session that stays the same is not disturbed. One whose timers change keeps its state
    /// and polls its peer. One whose interface or addresses change starts anew. One that is no
    /// longer wanted tells its peer once that its path is down: it is taken away, and whoever waited
    /// for it as for a daemon that is restarted would lose what goes there.
    ///
    /// # Errors
    /// [`InvalidSessions`]; nothing has changed then.
    pub fn set_sessions(&self, sessions: Vec<SessionSpec>) -> Result<(), InvalidSessions> {
        peers::validate(&sessions)?;
        self.tell(Command::SetSessions(sessions))
            .map_err(InvalidSessions::Stopped)
    }

    /// Every session as it was a moment ago: 20 ms after something happened, 200 ms otherwise. Does
    /// not wait for the driver, which may itself be waiting for whoever asks.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn snapshot(&self) -> Result<BfdSnapshot, Stopped> {
        self.published.has_changed().map_err(|_| Stopped)?;
        Ok(self.published.borrow().clone())
    }

    /// Stops the driver, and returns when it has: with [`Farewell::AdminDown`] after some 40 ms,
    /// in which each peer is told three times.
    pub fn shutdown(mut self, farewell: Farewell) {
        self.stop(farewell);
    }

    fn tell(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).map_err(|_| Stopped)?;
        self.bell.write(1).map(drop).map_err(|_| Stopped)
    }

    fn stop(&mut self, farewell: Farewell) {
        if let Some(thread) = self.thread.take() {
            // Either may fail because the thread has ended, which is what is wanted.
            let _ = self.tell(Command::Stop(farewell));
            let _ = thread.join();
        }
    }
}

impl Drop for BfdHandle {
    fn drop(&mut self) {
        self.stop(Farewell::Silence);
    }
}

impl fmt::Debug for BfdHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BfdHandle").finish_non_exhaustive()
    }
}
