//! Following the kernel: what is around us, what routing has learned, and whether somebody touched
//! what is ours.
//!
//! One thread owns the multicast sockets and a [`Mirror`]. It waits until a burst of events is over
//! and reports what has changed. A slow reader of the channel costs nothing: what is not yet taken
//! is merged with what comes after.

mod learned;
mod mirror;
mod socket;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

use patronus_model::ids::{IfName, Slot};
use patronus_model::kernel::{Environment, LearnedDelta};
use patronus_model::layout::KernelLayout;
use tokio::sync::mpsc as tokio_mpsc;

use crate::error::{Doing, Error};

/// Something that the owner has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// What is around us, whole, whenever something of it has changed.
    Environment(Environment),
    /// Something of ours may have been created, changed or deleted by somebody else, or by the
    /// kernel on its own: observe again. A device that loses its carrier takes nexthop objects and
    /// routes with it without a word, so this also comes with every such loss.
    OwnedChanged,
    /// What routing has learned or unlearned since the last time.
    Learned(LearnedDelta),
}

/// What to follow.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What is ours.
    pub layout: KernelLayout,
    /// The interfaces of the uplinks.
    pub uplinks: BTreeMap<Slot, IfName>,
    /// The interfaces of the LANs.
    pub lans: BTreeSet<IfName>,
    /// What names our own sockets ([`Kernel::port`](crate::Kernel::port),
    /// [`FastLane::port`](crate::FastLane::port)): what they do is no news.
    pub own_ports: Vec<u32>,
    /// Bytes of events that may wait for us in the kernel.
    pub receive_buffer: usize,
}

impl Watch {
    /// 64 MiB: followed 100,000 routes arriving within seconds without a loss (measured).
    pub const RECEIVE_BUFFER: usize = 64 << 20;
}

/// Notices that may wait for their reader before they are merged.
const CHANNEL: usize = 16;

/// The thread. It ends when this is dropped, or when the receiver of its notices is.
pub struct Follower {
    commands: mpsc::Sender<Command>,
    waker: UnixStream,
}

enum Command {
    Follow(BTreeMap<Slot, IfName>, BTreeSet<IfName>),
}

impl Follower {
    /// Starts to follow, in the network namespace of the calling thread. The first notices are the
    /// whole [`Environment`] and a full [`LearnedDelta`].
    ///
    /// # Errors
    /// A socket cannot be opened or subscribed, or the kernel refuses to list something.
    pub fn start(watch: Watch) -> Result<(Self, tokio_mpsc::Receiver<Notice>), Error> {
        let doing = || "starting to follow the kernel".to_owned();
        let (notices, receiver) = tokio_mpsc::channel(CHANNEL);
        let (commands, orders) = mpsc::channel();
        let (waker, wakened) = UnixStream::pair().doing(doing)?;
        wakened.set_nonblocking(true).doing(doing)?;
        let worker = thread::Worker::new(watch, notices, orders, wakened)?;
        std::thread::Builder::new()
            .name("patronus-follow".to_owned())
            .spawn(move || worker.run())
            .doing(doing)?;
        Ok((Self { commands, waker }, receiver))
    }

    /// Follows other uplinks and LANs from now on.
    pub fn follow(&self, uplinks: BTreeMap<Slot, IfName>, lans: BTreeSet<IfName>) {
        // Both fail only when the thread has ended, which the reader of the notices sees.
        let _ = self.commands.send(Command::Follow(uplinks, lans));
        let _ = (&self.waker).write(&[0]);
    }
}
