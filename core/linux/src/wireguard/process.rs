//! The `wireguard-go` processes: one for each tunnel, started by us, outliving us.
//!
//! A process belongs to its interface, not to us: when `patronusd` dies or is replaced, the tunnels
//! go on, and the next `patronusd` finds each process by asking the kernel who listens on the
//! interface's control socket. (Under systemd that takes `KillMode=process` in our unit.)

#![allow(
    unsafe_code,
    reason = "a child leaves our session and our descriptors between fork and exec"
)]

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Pid;

use crate::error::{Doing, Error};

/// Where `wireguard-go` puts its sockets (`ipc/uapi_linux.go`; `/var/run` there).
const SOCKETS: &str = "/run/wireguard";

/// A start takes some 30 ms; a machine that swaps may take seconds.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks whether it has started.
const START_POLL: Duration = Duration::from_millis(2);
/// How long a process may take to end before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Starts a process for an interface, and returns when it can be configured.
pub(super) fn start(program: &Path, log_dir: &Path, name: &str) -> Result<Child, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(SOCKETS)
        .doing(|| format!("creating {SOCKETS}"))?;
    // Left behind by a process that was killed.
    let _ = fs::remove_file(socket_path(name));
    let mut child = spawn(program, log_dir, name)?;
    let started = Instant::now();
    loop {
        if UnixStream::connect(socket_path(name)).is_ok() {
            return Ok(child);
        }
        let ended = child.try_wait().doing(|| format!("starting {name}"))?;
        let late = started.elapsed() > START_LIMIT;
        if let Some(status) = ended {
            return Err(Error::Command {
                command: format!("{} {name}", program.display()),
                output: format!("{status}; see {}", log_path(log_dir, name).display()),
            });
        }
        if late {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::TimedOut {
                doing: format!("starting {} {name}", program.display()),
                limit: START_LIMIT,
            });
        }
        std::thread::sleep(START_POLL);
    }
}

fn spawn(program: &Path, log_dir: &Path, name: &str) -> Result<Child, Error> {
    let (out, err) = outputs(log_dir, name)?;
    let mut command = Command::new(program);
    command
        .args(["--foreground", name])
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("LOG_LEVEL", "error")
        // Without it, it begins with a box of advice to use the kernel's WireGuard, which
        // `patronus doctor` gives too, once.
        .env("WG_PROCESS_FOREGROUND", "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; setsid and
    // close_range are bare system calls, and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(leave);
    }
    command
        .spawn()
        .doing(|| format!("starting {}", program.display()))
}

/// Leaves our session, so that no signal to it arrives, and marks every descriptor to be closed by
/// exec. Marks, for Rust reports a failed exec through one of them.
fn leave() -> std::io::Result<()> {
    nix::unistd::setsid()?;
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: close_range takes three numbers and touches no memory of ours.
    let result = unsafe { libc::close_range(3, libc::c_uint::MAX, flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// The journal, if that is where we write ourselves. Otherwise a file: a pipe would kill the
/// process with SIGPIPE as soon as its reader is gone.
fn outputs(log_dir: &Path, name: &str) -> Result<(Stdio, Stdio), Error> {
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        return Ok((Stdio::inherit(), Stdio::inherit()));
    }
    let path = log_path(log_dir, name);
    let doing = || format!("writing {}", path.display());
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(log_dir)
        .doing(doing)?;
    let file = fs::File::create(&path).doing(doing)?;
    let copy = file.try_clone().doing(doing)?;
    Ok((file.into(), copy.into()))
}

fn log_path(log_dir: &Path, name: &str) -> PathBuf {
    log_dir.join(format!("wireguard-go-{name}.log"))
}

/// Removes the log of a process that was stopped on purpose.
pub(super) fn forget_log(log_dir: &Path, name: &str) {
    let _ = fs::remove_file(log_path(log_dir, name));
}

fn socket_path(name: &str) -> PathBuf {
    Path::new(SOCKETS).join(format!("{name}.sock"))
}

/// The process that serves an interface, whoever started it.
pub(super) fn pid_of(name: &str) -> Option<Pid> {
    let socket = UnixStream::connect(socket_path(name)).ok()?;
    let peer = getsockopt(&socket, sockopt::PeerCredentials).ok()?;
    (peer.pid() > 0).then(|| Pid::from_raw(peer.pid()))
}

/// Ends the process that serves an interface, and with it the interface. Returns when it has ended.
/// Does nothing when there is none.
pub(super) fn stop(name: &str) -> Result<(), Error> {
    let doing = || format!("ending wireguard-go of {name}");
    if let Some(process) = pid_of(name).and_then(Process::open) {
        process.signal(libc::SIGTERM).doing(doing)?;
        if !process.ends_within(STOP_LIMIT).doing(doing)? {
            process.signal(libc::SIGKILL).doing(doing)?;
            process.ends_within(STOP_LIMIT).doing(doing)?;
        }
    }
    let _ = fs::remove_file(socket_path(name));
    Ok(())
}

/// A process, held by a descriptor: its number may come to mean another one, this cannot.
struct Process(OwnedFd);

impl Process {
    /// `None` when it has ended.
    fn open(pid: Pid) -> Option<Self> {
        // SAFETY: pidfd_open takes two numbers and touches no memory of ours.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        let fd = i32::try_from(result).ok().filter(|fd| *fd >= 0)?;
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        Some(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn signal(&self, signal: libc::c_int) -> std::io::Result<()> {
        let info: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: without siginfo, pidfd_send_signal takes numbers only.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                info,
                0,
            )
        };
        let error = std::io::Error::last_os_error();
        // ESRCH: it has just ended.
        if result == 0 || error.raw_os_error() == Some(libc::ESRCH) {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Waits for its end. Returns whether it has come.
    fn ends_within(&self, limit: Duration) -> std::io::Result<bool> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        Ok(poll(&mut fds, timeout)? > 0)
    }
}
