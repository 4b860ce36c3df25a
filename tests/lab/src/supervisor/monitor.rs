//! The process outside of the lab: starts the supervisor, and cleans up when it is gone.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, getpgrp, getpid, pipe2, setsid};

use super::serve::{Supervisor, Watched};
use crate::registry;
use crate::sys;

/// When set to a directory, the output of a lab's programs is copied there when the lab ends.
const KEEP_LOGS: &str = "PATRONUS_LAB_KEEP_LOGS";

/// Runs the monitor of the lab `name` until the lab has ended. Prints `ready` or the reason why
/// there is no lab on stdout, one line.
///
/// # Errors
/// When the lab cannot be made; the reason has been printed.
pub(crate) fn run(name: &str) -> Result<()> {
    match start(name) {
        Ok(lab) => watch(name, lab),
        Err(error) => {
            let mut out = std::io::stdout();
            let _ = writeln!(out, "{}", format!("{error:#}").replace('\n', " "));
            Err(error)
        }
    }
}

struct Running {
    supervisor: Pid,
    claim: registry::Claim,
    /// Closed by the kernel when the monitor dies, which ends the supervisor.
    _alive: OwnedFd,
}

fn start(name: &str) -> Result<Running> {
    // A Ctrl-C in the terminal of the creator reaches us by the creator's death, not by itself.
    if getpgrp() != getpid() {
        setsid()?;
    }
    let claim = registry::claim(name)?;
    let control = listen_on(&registry::control_socket(name))?;
    let log = File::create(registry::logs(name).join("supervisor"))?;
    let (alive, _alive) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // The signals below are waited for in `watch`; blocked now, so that none is missed.
    monitored_signals().thread_block()?;
    unshare(CloneFlags::CLONE_NEWPID)
        .context("making a PID namespace (labs need root and CAP_SYS_ADMIN)")?;
    match sys::fork_single_threaded()? {
        ForkResult::Child => {
            drop(_alive);
            let watched = Watched {
                monitor: alive,
                control,
            };
            let status = match Supervisor::prepare(watched, &log) {
                Ok(supervisor) => supervisor.run(),
                Err(error) => fail_before_ready(&error),
            };
            sys::exit_now(status);
        }
        ForkResult::Parent { child } => {
            // The supervisor alone reports and serves from now on.
            let null = File::options().read(true).write(true).open("/dev/null")?;
            nix::unistd::dup2_stdin(&null)?;
            dup2_stdout(&null)?;
            dup2_stderr(&log)?;
            Ok(Running {
                supervisor: child,
                claim,
                _alive,
            })
        }
    }
}

fn fail_before_ready(error: &anyhow::Error) -> i32 {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{}", format!("{error:#}").replace('\n', " "));
    1
}

fn listen_on(path: &Path) -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let control = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    bind(
        std::os::fd::AsRawFd::as_raw_fd(&control),
        &UnixAddr::new(path)?,
    )
    .with_context(|| format!("binding {}", path.display()))?;
    listen(&control.as_fd(), Backlog::new(64)?)?;
    Ok(control)
}

fn monitored_signals() -> SigSet {
    [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
    ]
    .into_iter()
    .collect()
}

/// Waits for the end of the supervisor, whatever causes it, and removes the lab's directory.
fn watch(name: &str, lab: Running) -> Result<()> {
    let signals = monitored_signals();
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                let state = waitpid(lab.supervisor, Some(WaitPidFlag::WNOHANG))?;
                if state.pid().is_some() {
                    break;
                }
            }
            // The kernel reports PID 1's death to us only when the whole namespace is gone.
            _ => nix::sys::signal::kill(lab.supervisor, Signal::SIGKILL)?,
        }
    }
    if let Some(target) = std::env::var_os(KEEP_LOGS) {
        // Losing a log must not keep the directory from being removed.
        let _ = copy_tree(&registry::logs(name), &Path::new(&target).join(name));
    }
    registry::remove(name, lab.claim).with_context(|| format!("removing what lab {name} left"))
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)?.flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
