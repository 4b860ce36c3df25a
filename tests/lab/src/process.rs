//! A program that runs in a node.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::sys;
use crate::wire::{self, Reply};

/// A program that was started by [`crate::Node::spawn`].
///
/// Dropping the handle leaves the program running; it ends with its lab at the latest.
#[derive(Debug)]
pub struct Process {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) connection: OwnedFd,
    pub(crate) program: String,
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
    pub(crate) ended: Option<ExitStatus>,
}

impl Process {
    /// The pid outside of the lab, as `kill` in a terminal of the host takes it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal. A program that has ended already is left alone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match sys::pidfd_signal(self.pidfd.as_fd(), signal) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                Err(error).with_context(|| format!("sending {signal} to {}", self.program))
            }
            _ => Ok(()),
        }
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// When the program does not die within 10 s, or the lab has ended.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait_for(Duration::from_secs(10)).map(drop)
    }

    /// Asks the program to end (SIGTERM), and waits for at most `patience` before `kill -9`.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        if let Some(status) = self.wait_timeout(patience)? {
            return Ok(status);
        }
        self.kill()?;
        self.ended
            .with_context(|| format!("{} has not ended", self.program))
    }

    /// Waits for the end without limit.
    ///
    /// # Errors
    /// When the lab ends first.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_optional(None)?.context("waited without limit")
    }

    /// Waits for at most `limit`; `None` when the program still runs then.
    ///
    /// # Errors
    /// When the lab ends first.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        self.wait_optional(Some(limit))
    }

    /// Like [`Self::wait_timeout`], but it is an error when the program still runs.
    ///
    /// # Errors
    /// When it still runs or the lab ends first.
    pub fn wait_for(&mut self, limit: Duration) -> Result<ExitStatus> {
        let status = self.wait_timeout(limit)?;
        status.with_context(|| format!("{} has not ended after {limit:?}", self.program))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.wait_timeout(Duration::ZERO)?.is_none())
    }

    fn wait_optional(&mut self, limit: Option<Duration>) -> Result<Option<ExitStatus>> {
        if self.ended.is_some() {
            return Ok(self.ended);
        }
        if !wire::wait_readable(self.connection.as_fd(), limit)? {
            return Ok(None);
        }
        match wire::receive(self.connection.as_fd())? {
            Some((Reply::Exited { wait_status }, _)) => {
                self.ended = Some(ExitStatus::from_raw(wait_status));
                Ok(self.ended)
            }
            Some((other, _)) => bail!("unexpected message from the lab: {other:?}"),
            None => bail!("the lab has ended, and {} with it", self.program),
        }
    }

    /// What it has written to stdout so far.
    ///
    /// # Errors
    /// When the lab has ended, because its files go with it.
    pub fn stdout(&self) -> Result<String> {
        read_lossy(&self.stdout)
    }

    /// What it has written to stderr so far.
    ///
    /// # Errors
    /// When the lab has ended, because its files go with it.
    pub fn stderr(&self) -> Result<String> {
        read_lossy(&self.stderr)
    }

    /// The files which stdout and stderr are written to.
    #[must_use]
    pub fn output_files(&self) -> (&Path, &Path) {
        (&self.stdout, &self.stderr)
    }

    /// Waits until stdout or stderr contains `text`.
    ///
    /// # Errors
    /// When that does not happen within `limit` or the program ends before; with its output.
    pub fn wait_for_output(&mut self, text: &str, limit: Duration) -> Result<()> {
        let deadline = std::time::Instant::now() + limit;
        loop {
            let running = self.is_running()?;
            if self.stdout()?.contains(text) || self.stderr()?.contains(text) {
                return Ok(());
            }
            if !running || std::time::Instant::now() > deadline {
                let state = if running {
                    "has not said"
                } else {
                    "ended before it said"
                };
                bail!(
                    "{} {state} {text:?}:\n{}{}",
                    self.program,
                    self.stdout()?,
                    self.stderr()?
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn read_lossy(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
