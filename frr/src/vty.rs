//! A client of one daemon's vty socket.
//!
//! The protocol is the one that `vtysh` speaks: a command ended by a NUL, then the answer, three
//! NULs and a status byte. A command takes 0.03–0.05 ms (`vtysh -c`: 24 ms). One command is in
//! flight at a time. The daemon closes the socket when it dies, which is the first that anyone
//! learns of it.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::line::{Line, redact};

/// What ends an answer, before the status byte.
const TERMINATOR: [u8; 3] = [0, 0, 0];

/// Most bytes of an answer that are kept; a full table of 100,000 routes is 31 MB and never asked
/// for.
const ANSWER_LIMIT: usize = 64 << 20;

/// An answer of a daemon.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it printed; may hold passwords when configuration was asked for.
    pub text: Zeroizing<String>,
    /// How it went.
    pub status: Status,
}

/// What the status byte of an answer says (`CMD_*` in FRR's `lib/command.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Success,
    /// Done or not; what was printed says.
    Warning,
    /// There is no such command in this context.
    NoMatch,
    /// Not done: the configuration does not allow it.
    ConfigFailed,
    /// Another code.
    Other(u8),
}

impl From<u8> for Status {
    fn from(code: u8) -> Self {
        match code {
            0 => Self::Success,
            1 => Self::Warning,
            2 => Self::NoMatch,
            13 => Self::ConfigFailed,
            other => Self::Other(other),
        }
    }
}

/// A connection that is of no use any more. After any of these a new one is needed.
#[derive(Debug, thiserror::Error)]
pub enum VtyError {
    /// The socket could not be reached.
    #[error("cannot connect to {path}")]
    Connect {
        /// The socket.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The daemon closed the connection; as a rule it died.
    #[error("the daemon closed the connection")]
    Closed,
    /// Reading or writing failed.
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    /// No answer in time. The answer to another command must not be taken for this one's.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Bytes where none belong, or an endless answer.
    #[error("the daemon does not speak the vty protocol")]
    Garbled,
    /// A line that would be two, or none.
    #[error("a command cannot hold a line break or a NUL")]
    Command,
}

/// A connection to the vty of one daemon.
#[derive(Debug)]
pub struct Vty {
    stream: UnixStream,
    patience: Duration,
}

impl Vty {
    /// Connects, and waits at most `patience` for that and for each answer later.
    ///
    /// # Errors
    /// [`VtyError::Connect`], [`VtyError::Timeout`].
    pub async fn connect(path: &Path, patience: Duration) -> Result<Self, VtyError> {
        let stream = timeout(patience, UnixStream::connect(path))
            .await
            .map_err(|_| VtyError::Timeout(patience))?
            .map_err(|source| VtyError::Connect {
                path: path.display().to_string(),
                source,
            })?;
        Ok(Self { stream, patience })
    }

    /// Sends a command and returns the answer, whatever its status.
    ///
    /// Must not be cancelled: half an answer would be left for the next command to read.
    ///
    /// # Errors
    /// All of [`VtyError`] but `Connect`.
    pub async fn command(&mut self, line: &Line) -> Result<Reply, VtyError> {
        let text = line.expose();
        if text.is_empty() || text.contains(['\0', '\n', '\r']) {
            return Err(VtyError::Command);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        let patience = self.patience;
        let exchange = async {
            self.stream.write_all(&bytes).await.map_err(broken)?;
            self.answer().await
        };
        timeout(patience, exchange)
            .await
            .map_err(|_| VtyError::Timeout(patience))?
    }

    /// Completes when the daemon closes the connection, or sends what nobody asked for. May be
    /// cancelled.
    pub async fn closed(&mut self) -> VtyError {
        loop {
            if let Err(error) = self.stream.readable().await {
                return VtyError::Io(error);
            }
            match self.stream.try_read(&mut [0]) {
                Ok(0) => return VtyError::Closed,
                Ok(_) => return VtyError::Garbled,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return broken(error),
            }
        }
    }

    async fn answer(&mut self) -> Result<Reply, VtyError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
        let mut scanned = 0;
        loop {
            if let Some(end) = find_terminator(&bytes, scanned)
                && let Some(code) = bytes.get(end + TERMINATOR.len())
            {
                let status = Status::from(*code);
                if bytes.len() > end + TERMINATOR.len() + 1 {
                    return Err(VtyError::Garbled);
                }
                let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
                return Ok(Reply {
                    text: Zeroizing::new(text.into_owned()),
                    status,
                });
            }
            scanned = bytes.len().saturating_sub(TERMINATOR.len());
            if bytes.len() > ANSWER_LIMIT {
                return Err(VtyError::Garbled);
            }
            if self.stream.read_buf(&mut *bytes).await.map_err(broken)? == 0 {
                return Err(VtyError::Closed);
            }
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("text", &redact(&self.text))
            .field("status", &self.status)
            .finish()
    }
}

/// A daemon that is killed while it owes an answer resets the connection.
fn broken(error: std::io::Error) -> VtyError {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => VtyError::Closed,
        _ => VtyError::Io(error),
    }
}

fn find_terminator(bytes: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    tail.windows(TERMINATOR.len())
        .position(|window| window == TERMINATOR)
        .map(|at| from + at)
}
