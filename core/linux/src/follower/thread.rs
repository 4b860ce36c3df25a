//! The thread: waiting, reading, and reporting what is left when a burst is over.

use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use patronus_model::kernel::{Environment, LearnedDelta};
use tokio::sync::mpsc as tokio_mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::learned::merge;
use super::mirror::Mirror;
use super::socket::{Heard, Listener};
use super::{Command, Notice, Watch};
use crate::error::{Doing, Error};
use crate::netlink::Netlink;
use crate::netlink::codec::messages;

/// A burst is over when nothing came for this long.
const QUIET: Duration = Duration::from_millis(10);
/// A burst that does not end is reported in pieces.
const LONGEST: Duration = Duration::from_millis(100);
/// When the channel is full, or listing failed, this passes before the next attempt.
const RETRY: Duration = Duration::from_millis(20);
/// Datagrams read before looking at the clock.
const CHUNK: usize = 256;

/// What has not been taken yet.
#[derive(Default)]
struct Pending {
    environment: Option<Environment>,
    owned: bool,
    learned: Option<LearnedDelta>,
}

pub(super) struct Worker {
    mirror: Mirror,
    netlink: Netlink,
    routes: Listener,
    nftables: Option<Listener>,
    notices: tokio_mpsc::Sender<Notice>,
    commands: mpsc::Receiver<Command>,
    wakened: UnixStream,
    buffer: Vec<u8>,
    /// The first and the last event of the burst.
    burst: Option<(Instant, Instant)>,
    overrun: bool,
    pending: Pending,
    reported: Option<Environment>,
}

impl Worker {
    /// Subscribes and lists, so that a failure is the caller's to see.
    pub(super) fn new(
        watch: Watch,
        notices: tokio_mpsc::Sender<Notice>,
        commands: mpsc::Receiver<Command>,
        wakened: UnixStream,
    ) -> Result<Self, Error> {
        let routes = Listener::routes(watch.receive_buffer)?;
        let nftables = Listener::nftables()
            .inspect_err(|error| {
                tracing::warn!(error = %error.report(), "changes of nftables are not followed");
            })
            .ok();
        let mut worker = Self {
            mirror: Mirror::new(watch),
            netlink: Netlink::open()?,
            routes,
            nftables,
            notices,
            commands,
            wakened,
            buffer: Listener::buffer(),
            burst: None,
            overrun: false,
            pending: Pending::default(),
            reported: None,
        };
        worker.mirror.list(&mut worker.netlink)?;
        worker.mirror.settle();
        worker.pending.learned = Some(worker.mirror.everything_learned());
        worker.note_environment();
        Ok(worker)
    }

    pub(super) fn run(mut self) {
        if let Err(error) = self.follow() {
            tracing::error!(error = %error.report(), "the kernel is not followed any more");
        }
    }

    /// Returns when nobody listens any more.
    fn follow(&mut self) -> Result<(), Error> {
        loop {
            if !self.deliver() {
                return Ok(());
            }
            self.wait()?;
            if !self.obey() {
                return Ok(());
            }
            self.read()?;
            if self.mirror.wants.urgent {
                self.mirror.wants.urgent = false;
                self.note_environment();
            }
            if self.is_over() {
                self.settle();
            }
        }
    }

    fn wait(&self) -> Result<(), Error> {
        let burst = self
            .burst
            .map(|(first, last)| (last + QUIET).min(first + LONGEST));
        let until = burst.map(|until| until.saturating_duration_since(Instant::now()));
        let retry = self.pending.any().then_some(RETRY);
        let timeout = [until, retry].into_iter().flatten().min();
        // Rounded up, so that the time has come when the wait is over.
        let timeout = timeout.map_or(PollTimeout::NONE, |time| {
            let millis = time.as_micros().div_ceil(1000);
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        });
        let mut sockets = vec![
            PollFd::new(self.routes.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.wakened.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(nftables) = &self.nftables {
            sockets.push(PollFd::new(nftables.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut sockets, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error).doing(|| "waiting for kernel events".to_owned()),
        }
    }

    /// Carries out what the owner asked for. Returns whether there still is an owner.
    fn obey(&mut self) -> bool {
        let mut bytes = [0; 16];
        let owned = loop {
            match (&self.wakened).read(&mut bytes) {
                Ok(0) => break false,
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        while let Ok(Command::Follow(uplinks, lans)) = self.commands.try_recv() {
            self.mirror.follow(uplinks, lans);
            self.note_environment();
        }
        owned
    }

    fn read(&mut self) -> Result<(), Error> {
        for _ in 0..CHUNK {
            match self.routes.hear(&mut self.buffer)? {
                Heard::Silence => break,
                Heard::Overrun => {
                    tracing::warn!("kernel events were lost; listing everything again");
                    self.overrun = true;
                    self.mirror.wants.list = true;
                    self.mirror.wants.owned = true;
                    self.touch();
                }
                Heard::Datagram(len) => {
                    let datagram = self.buffer.get(..len).unwrap_or_default();
                    messages(datagram).for_each(|event| self.mirror.take(&event));
                    self.touch();
                }
            }
        }
        self.read_nftables()
    }

    fn read_nftables(&mut self) -> Result<(), Error> {
        let Some(nftables) = &self.nftables else {
            return Ok(());
        };
        let mut heard = false;
        for _ in 0..CHUNK {
            match nftables.hear(&mut self.buffer)? {
                Heard::Silence => break,
                Heard::Overrun => self.mirror.wants.owned = true,
                Heard::Datagram(len) => {
                    let datagram = self.buffer.get(..len).unwrap_or_default();
                    messages(datagram).for_each(|event| self.mirror.take_nftables(&event));
                }
            }
            heard = true;
        }
        if heard && self.mirror.wants.owned {
            self.touch();
        }
        Ok(())
    }

    fn touch(&mut self) {
        let now = Instant::now();
        let first = self.burst.map_or(now, |(first, _)| first);
        self.burst = Some((first, now));
    }

    fn is_over(&self) -> bool {
        self.burst
            .is_some_and(|(first, last)| last.elapsed() >= QUIET || first.elapsed() >= LONGEST)
    }

    fn settle(&mut self) {
        self.burst = None;
        if self.mirror.wants.list {
            if let Err(error) = self.mirror.list(&mut self.netlink) {
                tracing::warn!(error = %error.report(), "listing failed; it is tried again");
                self.touch();
                return;
            }
            self.mirror.wants.list = false;
        }
        let delta = self.mirror.settle();
        if std::mem::take(&mut self.overrun) {
            self.pending.learned = Some(self.mirror.everything_learned());
        } else if delta != LearnedDelta::default() {
            match &mut self.pending.learned {
                Some(earlier) => merge(earlier, delta),
                None => self.pending.learned = Some(delta),
            }
        }
        self.pending.owned |= std::mem::take(&mut self.mirror.wants.owned);
        self.note_environment();
    }

    fn note_environment(&mut self) {
        let environment = self.mirror.environment();
        if self.reported.as_ref() != Some(&environment) {
            self.reported = Some(environment.clone());
            self.pending.environment = Some(environment);
        }
    }

    /// Hands over what waits, as far as there is room. Returns whether anybody listens.
    fn deliver(&mut self) -> bool {
        while let Some(notice) = self.pending.take() {
            match self.notices.try_send(notice) {
                Ok(()) => {}
                Err(TrySendError::Full(notice)) => {
                    self.pending.put_back(notice);
                    return true;
                }
                Err(TrySendError::Closed(_)) => return false,
            }
        }
        true
    }
}

impl Pending {
    const fn any(&self) -> bool {
        self.environment.is_some() || self.owned || self.learned.is_some()
    }

    fn take(&mut self) -> Option<Notice> {
        if let Some(environment) = self.environment.take() {
            return Some(Notice::Environment(environment));
        }
        if let Some(learned) = self.learned.take() {
            return Some(Notice::Learned(learned));
        }
        std::mem::take(&mut self.owned).then_some(Notice::OwnedChanged)
    }

    fn put_back(&mut self, notice: Notice) {
        match notice {
            Notice::Environment(environment) => self.environment = Some(environment),
            Notice::Learned(learned) => self.learned = Some(learned),
            Notice::OwnedChanged => self.owned = true,
        }
    }
}
