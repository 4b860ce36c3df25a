//! What can go wrong, and the exit status that it means.

use std::io;
use std::path::PathBuf;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// What was asked about does not exist.
    #[error("{0}")]
    NotFound(String),
    /// What was asked is not valid.
    #[error("{0}")]
    Usage(String),
    /// There is no socket.
    #[error(
        "cannot reach patronusd: there is no socket {}. Is it running? See \
         `systemctl status patronus`; if its socket is elsewhere, use --socket", .0.display()
    )]
    NoSocket(PathBuf),
    /// The socket is there, but nobody is behind it.
    #[error(
        "cannot reach patronusd: nobody listens on {}. Has it stopped? See \
         `systemctl status patronus`", .0.display()
    )]
    NobodyListens(PathBuf),
    /// It is something else.
    #[error(
        "cannot reach patronusd: {} is not a socket. --socket takes the daemon's socket, by \
         default /run/patronus/patronus.sock", .0.display()
    )]
    NotASocket(PathBuf),
    /// We may not use it.
    #[error(
        "cannot reach patronusd: no permission to use {}. Use sudo, or become a member of the \
         group \"patronus\"", .0.display()
    )]
    Forbidden(PathBuf),
    /// Something else prevents the connection.
    #[error("cannot reach patronusd on {}: {}", .0.display(), .1)]
    Unreachable(PathBuf, String),
    /// It answered with an error that is not about the question.
    #[error("{0}")]
    Daemon(String),
    /// It answered something that we do not understand.
    #[error(
        "patronusd answers what this `patronus` does not understand: {}. Are they of the same \
         version? `patronus --version` is {}", .0, env!("CARGO_PKG_VERSION")
    )]
    NotUnderstood(String),
    /// The sibling program is missing.
    #[error("patronusd is not installed: it is neither beside this program, nor in the PATH")]
    NotInstalled,
    /// A file is not there.
    #[error(
        "there is no file {}. `patronus config example` prints one to begin with, and \
         `patronus config example --minimal` the shortest that works", .0.display()
    )]
    NoFile(PathBuf),
    /// A directory stands where a file is wanted.
    #[error("{} is a directory. Name the file in it, like {}", .0.display(), .0.join("config.yaml").display())]
    Directory(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// Output cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

impl Trouble {
    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            // Whoever read our output has seen enough; there is nothing wrong.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::NotFound(_)
            | Self::NoFile(_)
            | Self::Directory(_)
            | Self::File(..)
            | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::NoSocket(_)
            | Self::NobodyListens(_)
            | Self::NotASocket(_)
            | Self::Forbidden(_)
            | Self::Unreachable(..)
            | Self::Daemon(_)
            | Self::NotUnderstood(_)
            | Self::NotInstalled => 3,
        }
    }

    /// Whether it may be over in a moment, because the daemon is being restarted for example.
    pub(crate) const fn may_pass(&self) -> bool {
        match self {
            Self::NoSocket(_)
            | Self::NobodyListens(_)
            | Self::Unreachable(..)
            | Self::Daemon(_) => true,
            Self::NotFound(_)
            | Self::Usage(_)
            | Self::NotASocket(_)
            | Self::Forbidden(_)
            | Self::NotUnderstood(_)
            | Self::NotInstalled
            | Self::NoFile(_)
            | Self::Directory(_)
            | Self::File(..)
            | Self::Output(_) => false,
        }
    }
}
