//! What can go wrong, in words that say what was being done.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// An answer of the kernel's netlink to one message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", io::Error::from_raw_os_error(*errno), said(message))]
pub struct Refusal {
    /// `errno`, positive.
    pub errno: i32,
    /// What the kernel added in words (`NETLINK_EXT_ACK`).
    pub message: Option<String>,
}

fn said(message: &Option<String>) -> String {
    message
        .as_ref()
        .map(|text| format!(": {text}"))
        .unwrap_or_default()
}

impl Refusal {
    /// A refusal that the kernel gave no words for.
    #[must_use]
    pub const fn new(errno: i32) -> Self {
        Self {
            errno,
            message: None,
        }
    }
}

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a netlink message.
    #[error("{doing}")]
    Refused {
        /// What was being done.
        doing: String,
        /// Its answer.
        #[source]
        source: Refusal,
    },
    /// An interface that something needs is not there.
    #[error("there is no interface {0}")]
    NoInterface(String),
    /// Something with one of our names was made by somebody else.
    #[error("interface {0} exists and is not ours; remove or rename it")]
    NotOurs(String),
    /// Another program listens where a tunnel should.
    #[error("UDP port {0} is taken by another program")]
    PortTaken(u16),
    /// A private key is not in the key store.
    #[error("no private key for public key {0} in {1}")]
    NoKey(String, String),
    /// A file holds something else than it should.
    #[error("{path}: {problem}")]
    BadFile {
        /// Which file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// nftables has no way to write the name of an interface.
    #[error("interface {0:?} has a name that nftables cannot write; rename it")]
    Unwritable(String),
    /// A command failed.
    #[error("{command} failed: {output}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        output: String,
    },
    /// Something took too long.
    #[error("{doing} took longer than {limit:?}")]
    TimedOut {
        /// What was being done.
        doing: String,
        /// How long it was given.
        limit: Duration,
    },
}

impl Error {
    /// The error and all its causes on one line.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        text
    }

    /// The errno of a refusal of the kernel.
    #[must_use]
    pub const fn refusal(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => Some(source.errno),
            _ => None,
        }
    }
}

/// Adds to an error what was being done.
pub(crate) trait Doing<T> {
    /// `doing` is only evaluated for an error.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            doing: doing(),
            source,
        })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(io::Error::from).doing(doing)
    }
}

impl<T> Doing<T> for Result<T, Refusal> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Refused {
            doing: doing(),
            source,
        })
    }
}
