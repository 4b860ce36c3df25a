//! What can go wrong, and the exit status that it means.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
        "cannot reach patronusd: there is no socket {}. Is it running? {}; if its socket is \
         elsewhere, use --socket", .0.display(), see(systemd())
    )]
    NoSocket(PathBuf),
    /// The socket is there, but nobody is behind it.
    #[error(
        "cannot reach patronusd: nobody listens on {}. Has it stopped? {}", .0.display(),
        see(systemd())
    )]
    NobodyListens(PathBuf),
    /// It has taken the connection, and says nothing.
    #[error("{}", silent(.socket, *.patience, .process.as_ref(), systemd()))]
    Silent {
        /// Where it listens.
        socket: PathBuf,
        /// How long we waited.
        patience: Duration,
        /// Who listens there, where that is known.
        process: Option<Process>,
    },
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
            | Self::Silent { .. }
            | Self::Unreachable(..)
            | Self::Daemon(_)
            | Self::NotUnderstood(_)
            | Self::NotInstalled => 3,
        }
    }

    /// A word for programs; what the API knows as well has its codes.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) | Self::NoFile(_) => "NOT_FOUND",
            Self::Usage(_) => "BAD_INPUT",
            Self::NoSocket(_)
            | Self::NobodyListens(_)
            | Self::NotASocket(_)
            | Self::Silent { .. }
            | Self::Unreachable(..)
            | Self::Daemon(_) => "UNAVAILABLE",
            Self::Forbidden(_) => "FORBIDDEN",
            Self::NotUnderstood(_) => "NOT_UNDERSTOOD",
            Self::NotInstalled => "NOT_INSTALLED",
            Self::Directory(_) | Self::File(..) => "UNREADABLE",
            Self::Output(_) => "UNWRITABLE",
        }
    }

    /// Whether it may be over in a moment, because the daemon is being restarted for example.
    pub(crate) const fn may_pass(&self) -> bool {
        match self {
            Self::NoSocket(_)
            | Self::NobodyListens(_)
            | Self::Silent { .. }
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

/// Whether systemd is PID 1 (sd_booted(3)): advice to ask it is of no use where it is not.
fn systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Where to look for a daemon that is not there.
const fn see(systemd: bool) -> &'static str {
    match systemd {
        true => "See `systemctl status patronus`",
        false => {
            "There is no systemd here: see the log of whatever starts patronusd, or start it by \
             hand to see what it says"
        }
    }
}

/// The process that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    id: i32,
    stopped: bool,
}

impl Process {
    /// Looks at it.
    pub(crate) fn of(id: i32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name before it is in brackets, and may have any in it (proc_pid_stat(5)).
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        let stopped = matches!(state, Some('T' | 't'));
        Self { id, stopped }
    }
}

/// What is said of a daemon that takes a question and does not answer.
fn silent(socket: &Path, patience: Duration, process: Option<&Process>, systemd: bool) -> String {
    let who = process.map_or_else(String::new, |it| format!(" (process {})", it.id));
    let waited = patience.as_secs_f64();
    let socket = socket.display();
    let lead = format!("patronusd{who} does not answer on {socket}: waited {waited} s");
    let restart = match systemd {
        true => "`systemctl restart patronus` starts it anew",
        false => "end it with SIGKILL and start it anew",
    };
    match process {
        Some(Process { id, stopped: true }) => format!(
            "{lead}. It is stopped, by SIGSTOP or a debugger: `kill -CONT {id}` lets it go on"
        ),
        _ => format!(
            "{lead}. It hangs, or has much to do: --timeout waits longer. The kernel forwards on \
             meanwhile, but nothing moves away from a path that fails. If it goes on, {restart}, \
             which interrupts no traffic"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_about_what_there_is() {
        let socket = Path::new("/run/socket");
        let silent = |process: Option<Process>, systemd| {
            silent(socket, Duration::from_secs(6), process.as_ref(), systemd)
        };
        let hangs = Process {
            id: 7,
            stopped: false,
        };
        let said = silent(Some(hangs), true);
        let lead = "patronusd (process 7) does not answer on /run/socket: waited 6 s. It hangs";
        assert!(said.starts_with(lead), "{said}");
        assert!(said.contains("systemctl restart"), "{said}");
        for said in [&silent(None, false), see(false)] {
            assert!(!said.contains("systemctl"), "{said}");
        }
        assert!(see(true).contains("systemctl"));
    }
}
