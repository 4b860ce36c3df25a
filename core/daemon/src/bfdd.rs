//! FRR's bfdd runs in a unit of its own, and only while a BGP neighbour wants BFD: its packet socket
//! costs every packet that the machine forwards.

use std::path::Path;

use tokio::process::Command;
use tracing::{info, warn};

const UNIT: &str = "patronus-bfdd.service";
/// There where systemd is PID 1 (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// What systemd was last told.
#[derive(Debug, Default)]
pub(crate) struct Bfdd {
    wanted: Option<bool>,
}

impl Bfdd {
    /// Has bfdd started or stopped unless that was done already. Whether it came up is for FRR's
    /// supervisor to see.
    pub(crate) fn want(&mut self, wanted: bool) {
        let before = self.wanted.replace(wanted);
        if before == Some(wanted) {
            return;
        }
        if Path::new(SYSTEMD).is_dir() {
            tokio::spawn(tell(if wanted { "start" } else { "stop" }));
        } else if wanted {
            info!(
                "a BGP neighbour wants BFD, and this machine has no systemd that could start bfdd: \
                 start it by hand, with `bfdd -N {}`",
                patronus_frr::bootstrap::PATHSPACE
            );
        }
    }
}

async fn tell(verb: &str) {
    let mut command = Command::new("systemctl");
    command.args(["--no-block", verb, UNIT]);
    match command.output().await {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            warn!(answer = words.trim(), "systemctl {verb} {UNIT} failed");
        }
        Err(error) => warn!(%error, "systemctl cannot be run"),
    }
}
