//! A router with real FRR in a namespace.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use patronus_frr::apply::Applied;
use patronus_frr::status::FrrEvent;
use patronus_frr::{Daemon, Desired, Frr, FrrHandle, FrrPaths, bootstrap};
use patronus_lab::{Node, Sandbox};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::requirements::{FRRINIT, VTYSH, frr_root};

/// A router of the lab: FRR as in production, and the supervisor, which sits outside and reaches
/// in.
pub(crate) struct Router {
    pub(crate) node: Node,
    pub(crate) frr: FrrHandle,
    pub(crate) desired: watch::Sender<Option<Arc<Desired>>>,
    pub(crate) conf: std::path::PathBuf,
}

impl Router {
    /// Router `number` with an overlay interface. `ifb` is what the daemon takes where the kernel has no dummy.
    pub(crate) fn start(sandbox: &Sandbox, number: u8) -> Result<Self> {
        let node = sandbox.node(&format!("r{number}"))?;
        node.sysctl(&[
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv4.nexthop_compat_mode", "0"),
            ("net.ipv4.conf.all.rp_filter", "0"),
        ])?;
        node.ip(&format!(
            "link set lo up\n\
             link add ov0 type ifb\n\
             link set ov0 addrgenmode none\n\
             link set ov0 up\n\
             address add 10.255.0.{number}/16 dev ov0\n\
             address add fd00:ff::{number}/64 dev ov0 nodad\n\
             address add fe80::{number}/64 dev ov0 nodad\n\
             rule add pref 100 lookup 100\n"
        ))?;
        node.run(["ip", "-6", "rule", "add", "pref", "100", "lookup", "100"])?;
        let mut paths = FrrPaths {
            etc: node.outside_path("/etc/frr/patronus"),
            run: node.outside_path("/run/frr/patronus"),
            ..FrrPaths::debian()?
        };
        if let Some(root) = frr_root() {
            let root = root.to_str().context("PATRONUS_FRR_ROOT is not UTF-8")?;
            start_from(&node, root, &mut paths)?;
        } else {
            bootstrap::install(&paths)?;
            node.run([FRRINIT, "start", "patronus"])?;
        }
        let conf = paths.frr_conf();
        let (desired, wanted) = watch::channel(None);
        let frr = Frr::spawn(paths, wanted, std::future::pending());
        Ok(Self {
            node,
            frr,
            desired,
            conf,
        })
    }

    /// Starts bfdd, as its unit does for the daemon, and waits until it has been told something.
    pub(crate) async fn start_bfdd(&mut self) -> Result<()> {
        let words = "/usr/lib/frr/bfdd -N patronus -d -P 0 -F traditional --log syslog";
        self.run_frr(&words.split(' ').collect::<Vec<_>>())?;
        let told = |applied: &Applied| applied.commands.iter().any(|it| it.0 == Daemon::Bfdd);
        while !told(&self.applied().await?) {}
        Ok(())
    }

    /// Runs a program of FRR where FRR runs.
    fn run_frr(&self, words: &[&str]) -> Result<String> {
        let chroot = frr_root().map(|root| ["chroot".into(), root.into_os_string()]);
        let words = words.iter().map(OsString::from);
        self.node.run(chroot.into_iter().flatten().chain(words))
    }

    /// What FRR says that its configuration is.
    pub(crate) fn shows(&self) -> Result<String> {
        self.run_frr(&[VTYSH, "-N", "patronus", "-c", "show running-config"])
    }

    /// Changes its configuration behind the supervisor's back.
    pub(crate) fn configure(&self, commands: &[&str]) -> Result<()> {
        let mut words = vec![VTYSH, "-N", "patronus", "-c", "configure terminal"];
        words.extend(commands.iter().flat_map(|command| ["-c", *command]));
        self.run_frr(&words).map(drop)
    }

    /// Ends the supervisor, so that nobody puts back what a test changes.
    pub(crate) fn end_supervision(&mut self) {
        self.desired = watch::channel(None).0;
    }

    pub(crate) fn want(&self, desired: Desired) {
        self.desired.send_replace(Some(Arc::new(desired)));
    }

    /// Waits for the end of the attempt to apply what was wanted last.
    pub(crate) async fn applied(&mut self) -> Result<Applied> {
        loop {
            match self.event().await? {
                FrrEvent::Applied(applied) => return Ok(applied),
                FrrEvent::ApplyFailed(words) => bail!(words),
                _ => {}
            }
        }
    }

    pub(crate) async fn event(&mut self) -> Result<FrrEvent> {
        let event = timeout(Duration::from_secs(20), self.frr.events.recv()).await;
        event
            .context("nothing happens")?
            .context("the supervisor ended")
    }

    /// The learned routes as the kernel has them, `prefix via gateway`, sorted.
    pub(crate) fn learned(&self) -> Vec<String> {
        let table = crate::cases::TABLE.to_string();
        let mut routes = Vec::new();
        for family in ["-4", "-6"] {
            // A table that was never used does not exist.
            let list = [
                "ip", family, "route", "show", "proto", "bgp", "table", &table,
            ];
            let text = self.node.run(list).unwrap_or_default();
            routes.extend(
                text.lines()
                    .map(|line| line.split(" dev ").next().unwrap_or_default().to_owned()),
            );
        }
        routes.sort();
        routes
    }

    pub(crate) async fn learns(&self, expected: &[&str]) -> Result<()> {
        let mut expected: Vec<_> = expected.iter().map(|route| (*route).to_owned()).collect();
        expected.sort();
        let start = Instant::now();
        while self.learned() != expected {
            if start.elapsed() > Duration::from_secs(20) {
                bail!(
                    "{}: {:#?} instead of {expected:#?}",
                    self.node.name(),
                    self.learned()
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) fn kill(&self, daemon: Daemon) -> Result<()> {
        let script = format!("kill -9 $(cat /run/frr/patronus/{daemon}.pid)");
        self.node.run(["sh", "-c", &script]).map(drop)
    }
}

/// Starts the FRR of another root file system, with the node's directories in it.
fn start_from(node: &Node, root: &str, paths: &mut FrrPaths) -> Result<()> {
    let owner = std::fs::metadata(format!("{root}/etc/frr"))?;
    let (uid, gid) = (owner.uid(), owner.gid());
    paths.owner = Some(bootstrap::Owner { uid, gid });
    let script = format!(
        "chown {uid}:{gid} /etc/frr /run/frr && mkdir -p {root}/run/frr &&\
         for dir in /etc/frr /run/frr /proc /dev; do mount --rbind $dir {root}$dir || exit; done"
    );
    node.run(["sh", "-c", &script])?;
    bootstrap::install(paths)?;
    // The supervisor runs it outside, where neither that root nor its /dev is complete.
    let vtysh = format!(
        "#!/bin/sh\nexec nsenter --target {} --mount --pid chroot {root} {VTYSH} \"$@\"\n",
        node.pid()
    );
    let write = "cat >/run/frr/vtysh && chmod 755 /run/frr/vtysh";
    node.run_with_input(["sh", "-c", write], &vtysh)?;
    paths.vtysh = Some(node.outside_path("/run/frr/vtysh"));
    node.run(["chroot", root, FRRINIT, "start", "patronus"])
        .map(drop)
}

/// Joins two routers and routes their overlay addresses over the link, as the daemon would.
pub(crate) fn join(sandbox: &Sandbox, a: u8, b: u8) -> Result<()> {
    sandbox.link(
        (&format!("r{a}"), &format!("to{b}")),
        (&format!("r{b}"), &format!("to{a}")),
    )?;
    let subnet = a.max(b) * 10 + a.min(b);
    for (near, far) in [(a, b), (b, a)] {
        sandbox.find(&format!("r{near}"))?.ip(&format!(
            "address add 172.16.{subnet}.{near}/24 dev to{far}\n\
             address add fd01:{subnet}::{near}/64 dev to{far} nodad\n\
             route add 10.255.0.{far}/32 via 172.16.{subnet}.{far} src 10.255.0.{near} table 100\n\
             route add fd00:ff::{far}/128 via fd01:{subnet}::{far} src fd00:ff::{near} table 100\n"
        ))?;
    }
    Ok(())
}
