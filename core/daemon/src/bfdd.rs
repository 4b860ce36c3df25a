//! FRR's bfdd runs in a unit of its own, and only while a BGP neighbour wants BFD: its packet socket
//! costs every packet that the machine forwards.

use std::time::Duration;

use patronus_frr::{Daemon, FrrPaths};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::systemd::{self, BFDD};

/// Between attempts to have it started or stopped.
const RETRY: Duration = Duration::from_secs(10);

/// Has bfdd started and stopped. Whether it came up is for FRR's supervisor to see.
#[derive(Debug)]
pub(crate) struct Bfdd(watch::Sender<bool>);

impl Bfdd {
    /// Must be called within a tokio runtime.
    pub(crate) fn start() -> Self {
        let (sender, wanted) = watch::channel(false);
        if systemd::runs() {
            tokio::spawn(follow(wanted));
        }
        Self(sender)
    }

    /// Says whether it should run.
    pub(crate) fn want(&self, wanted: bool) {
        let before = self.0.send_replace(wanted);
        if wanted && !before && self.0.is_closed() {
            info!(
                "a BGP neighbour wants BFD, and this machine has no systemd that could start bfdd: \
                 start it by hand, with `bfdd -N {}`",
                patronus_frr::bootstrap::PATHSPACE
            );
        }
    }
}

/// Tells systemd one thing after the other, until it has done the last.
async fn follow(mut wanted: watch::Receiver<bool>) {
    // What a predecessor has started may go on for nobody; its socket stays behind either way.
    let was_there = FrrPaths::debian().is_ok_and(|paths| paths.socket(Daemon::Bfdd).exists());
    let mut runs = if was_there { None } else { Some(false) };
    loop {
        let want = *wanted.borrow_and_update();
        let mut pause = Duration::MAX;
        if runs != Some(want) {
            match tell(if want { "start" } else { "stop" }).await {
                Ok(()) => runs = Some(want),
                Err(answer) => {
                    warn!("systemctl cannot start or stop {BFDD}: {answer}");
                    pause = RETRY;
                }
            }
        }
        // Either something new is wanted or it is time to try again.
        if let Ok(Err(_)) = timeout(pause, wanted.changed()).await {
            return;
        }
    }
}

async fn tell(verb: &str) -> Result<(), String> {
    let mut command = Command::new("systemctl");
    command.args(["--no-block", verb, BFDD]);
    let output = command.output().await.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
