//! Real-time scheduling of the driver's thread.

use std::process::{Command, Stdio};

use nix::unistd::gettid;

/// Asks for `SCHED_RR` at the lowest priority, for this thread.
///
/// By way of chrt(1) of util-linux, because no safe wrapper of `sched_setscheduler` exists in
/// nix 0.31 or rustix 1.1, and this crate does without `unsafe`. A thread that may not have it
/// goes on without.
pub(super) fn ask() {
    let done = Command::new("chrt")
        .args(["--rr", "--pid", "1", &gettid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match done {
        Ok(status) if status.success() => {}
        Ok(_) => tracing::debug!("no real-time scheduling for BFD: it needs CAP_SYS_NICE"),
        Err(error) => tracing::debug!(%error, "no real-time scheduling for BFD: chrt"),
    }
}
