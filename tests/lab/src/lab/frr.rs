//! FRR in a node, started the way its packages start it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::requirements;
use crate::node::Node;

/// The pathspace which a Patronus router uses.
pub(super) const PATHSPACE: &str = "patronus";

const INIT: &str = "/usr/lib/frr/frrinit.sh";

/// What `/etc/frr/patronus/daemons` says unless the test has written one.
const DAEMONS: &str = "zebra=yes\nbgpd=yes\nstaticd=yes\nbfdd=no\nvtysh_enable=yes\n\
zebra_options=\"-s 90000000\"\nbgpd_options=\"\"\nstaticd_options=\"\"\nbfdd_options=\"\"\n\
MAX_FDS=65536\n";

/// Daemons whose control sockets must answer.
const EXPECTED: [&str; 4] = ["zebra", "bgpd", "staticd", "bfdd"];

pub(super) fn start(node: &Node) -> Result<()> {
    requirements::require(&[(INIT, "frr"), ("vtysh", "frr")])?;
    let dir = format!("/etc/frr/{PATHSPACE}");
    let host = node.name();
    let defaults = [
        ("daemons", DAEMONS.to_owned()),
        ("vtysh.conf", "service integrated-vtysh-config\n".to_owned()),
        (
            "frr.conf",
            format!("frr defaults traditional\nhostname {host}\nlog syslog informational\n"),
        ),
    ];
    for (file, content) in defaults {
        let path = format!("{dir}/{file}");
        if node.read_file(&path).is_err() {
            node.write_file(&path, content)?;
        }
    }
    let prepare = format!(
        "install -d -o frr -g frr -m 750 {dir} && install -d -o frr -g frr -m 755 /run/frr/{PATHSPACE} \
         && chown frr:frr {dir}/* && chmod 640 {dir}/*"
    );
    node.run(["sh", "-c", &prepare])?;
    node.run([INIT, "start", PATHSPACE])
        .context("starting FRR")?;
    wait_until_ready(node)
}

fn wait_until_ready(node: &Node) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let enabled = node.read_file(format!("/etc/frr/{PATHSPACE}/daemons"))?;
    let wanted: Vec<&str> = EXPECTED
        .into_iter()
        .filter(|daemon| {
            enabled
                .lines()
                .any(|line| line.trim() == format!("{daemon}=yes"))
        })
        .collect();
    loop {
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|daemon| !answers(node, daemon))
            .copied()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "FRR on {}: no answer from {}",
                node.name(),
                missing.join(", ")
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether somebody listens on the vty socket of a daemon.
fn answers(node: &Node, daemon: &str) -> bool {
    let path = node.outside_path(format!("/run/frr/{PATHSPACE}/{daemon}.vty"));
    std::os::unix::net::UnixStream::connect(path).is_ok()
}
