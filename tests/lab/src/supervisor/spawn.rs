//! Starts programs in nodes, as children of the supervisor.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid};

use super::node::{self, Holder};
use crate::sys;
use crate::wire::Spawn;

/// A program which runs.
pub(super) struct Started {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
}

/// Starts a program; returns when it runs its own code.
///
/// # Errors
/// When it cannot be started; the message names the program.
pub(super) fn start(request: &Spawn, holder: &Holder, fds: &[OwnedFd]) -> Result<Started> {
    let [stdin, stdout, stderr] = fds else {
        bail!("a program needs three descriptors, got {}", fds.len())
    };
    let (from_child, to_parent) = pipe2(OFlag::O_CLOEXEC)?;
    match sys::fork_single_threaded()? {
        ForkResult::Child => {
            drop(from_child);
            let mut to_parent = File::from(to_parent);
            let Err(error) = become_program(request, holder, stdin, stdout, stderr);
            let _ = write!(to_parent, "{error:#}");
            sys::exit_now(127);
        }
        ForkResult::Parent { child } => {
            drop(to_parent);
            let pidfd = sys::pidfd_open(child)?;
            let mut problem = String::new();
            File::from(from_child).read_to_string(&mut problem)?;
            if !problem.is_empty() {
                bail!("{problem}");
            }
            Ok(Started { pid: child, pidfd })
        }
    }
}

/// Never returns when all goes well.
fn become_program(
    request: &Spawn,
    holder: &Holder,
    stdin: &OwnedFd,
    stdout: &OwnedFd,
    stderr: &OwnedFd,
) -> Result<std::convert::Infallible> {
    node::enter(holder)?;
    setsid()?;
    dup2_stdin(stdin)?;
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)?;
    // What the supervisor and Rust's runtime have changed for themselves.
    SigSet::all().thread_unblock()?;
    sys::reset_signal(Signal::SIGPIPE, SigHandler::SigDfl)?;
    let error = Command::new(&request.program)
        .args(&request.args)
        .env_clear()
        .envs(&request.env)
        .current_dir(request.directory.as_deref().unwrap_or("/"))
        .exec();
    Err(error).with_context(|| format!("starting {:?} in {}", request.program, request.node))
}
