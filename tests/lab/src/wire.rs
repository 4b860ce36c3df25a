//! Messages between the creator of a lab and its supervisor: JSON with descriptors attached, one
//! message per packet of a Unix SOCK_SEQPACKET socket, one connection per request.

use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sys;

/// The default send buffer of Linux (212,992 bytes) takes this much in one packet.
const MAX_MESSAGE: usize = 200_000;

/// What a client asks of the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Make a node; answered by [`Reply::Node`] with a pidfd of its holder.
    AddNode { name: String },
    /// Find a node; answered like `AddNode`.
    Node { name: String },
    /// List the nodes; answered by [`Reply::Nodes`].
    Nodes,
    /// Start a program, with stdin, stdout and stderr attached; answered by [`Reply::Started`]
    /// with a pidfd, and when it ends by [`Reply::Exited`] on the same connection.
    Spawn(Spawn),
    /// From now on the lab outlives its creator.
    Detach,
    /// End the lab.
    Shutdown,
}

/// A program to start in a node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spawn {
    pub(crate) node: String,
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    /// The whole environment.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) directory: Option<String>,
    /// Kill the program when the connection of the request is closed.
    pub(crate) kill_on_close: bool,
}

/// What the supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Done.
    Ok,
    /// A node; `inner_pid` is the pid of its holder inside the lab.
    Node { inner_pid: i32 },
    /// The names of the nodes in the order of their creation.
    Nodes(Vec<String>),
    /// The program runs.
    Started,
    /// The program ended with this wait status.
    Exited { wait_status: i32 },
    /// The request failed.
    Failed(String),
}

/// Sends one message.
pub(crate) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MAX_MESSAGE {
        bail!(
            "a request of {} bytes is longer than {MAX_MESSAGE}",
            bytes.len()
        );
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() {
        &rights[..0]
    } else {
        &rights[..]
    };
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(&bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Receives one message; `None` when the other end has closed the connection.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0u8; MAX_MESSAGE];
    let mut control = nix::cmsg_space!([RawFd; 4]);
    let (length, fds) = {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let message = loop {
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags) {
                Ok(message) => break message,
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        let mut raw = Vec::new();
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = part {
                raw.extend(fds);
            }
        }
        (message.bytes, sys::adopt_received(raw))
    };
    if length == 0 {
        return Ok(None);
    }
    let bytes = bytes.get(..length).unwrap_or_default();
    let message = serde_json::from_slice(bytes).context("a message of the lab is malformed")?;
    Ok(Some((message, fds)))
}

/// Waits until `fd` is readable or hung up; `None` waits without limit. True when it is.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, limit: Option<Duration>) -> Result<bool> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // Round up, or the last millisecond would be spent spinning.
                let millis = left.as_micros().div_ceil(1000);
                PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
