//! Our BFD and FRR's bfdd, over IPv4 and IPv6.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use patronus_bench::bfdd::{Bfdd, Peer};
use patronus_daemon::bfd::{
    BfdConfig, BfdDriver, BfdHandle, Farewell, SessionSnapshot, SessionSpec,
};
use patronus_engine::bfd::{Diagnostic, Liveness};
use patronus_lab::{Node, Sandbox};
use patronus_model::bgp::BfdTimers;
use patronus_model::ids::{PathId, SiteNumber, Slot};

/// Far longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Our address and theirs.
type Ends = (IpAddr, IpAddr);

fn families() -> [Ends; 2] {
    let ends = |ours: &str, theirs: &str| (ours.parse().unwrap(), theirs.parse().unwrap());
    [ends("10.0.0.1", "10.0.0.2"), ends("fd00::1", "fd00::2")]
}

struct Interop {
    theirs: Node,
    ours: BfdHandle,
    bfdd: Bfdd,
    _sandbox: Sandbox,
}

impl Interop {
    fn start() -> Result<Self> {
        let sandbox = Sandbox::new("bfd-interop")?;
        let (ours, theirs) = (sandbox.node("ours")?, sandbox.node("theirs")?);
        sandbox.link(("ours", "eth0"), ("theirs", "eth0"))?;
        for (node, host) in [(&ours, 1), (&theirs, 2)] {
            node.ip(&format!(
                "address add 10.0.0.{host}/24 dev eth0\n\
                 address add fd00::{host}/64 dev eth0 nodad\n"
            ))?;
        }
        let config = BfdConfig {
            rtt_interval: Some(Duration::from_millis(300)),
            ..BfdConfig::default()
        };
        let driver = ours.enter(|| BfdDriver::spawn(config, |_| {}))??;
        let bfdd = Bfdd::start(&theirs)?;
        let mut interop = Self {
            theirs,
            ours: driver,
            bfdd,
            _sandbox: sandbox,
        };
        interop.set_ours(100, 3)?;
        interop.set_theirs(100, 3)?;
        interop.wait_up()?;
        Ok(interop)
    }

    fn set_ours(&self, millis: u64, detect_mult: u8) -> Result<()> {
        let interval = Duration::from_millis(millis);
        let spec = |(site, (local, remote)): (u16, Ends)| SessionSpec {
            path: path(site),
            interface: "eth0".parse().unwrap(),
            local,
            remote,
            timers: BfdTimers {
                desired_min_tx: interval,
                required_min_rx: interval,
                detect_mult,
            },
        };
        Ok(self
            .ours
            .set_sessions((1..).zip(families()).map(spec).collect())?)
    }

    fn set_theirs(&mut self, millis: u32, detect_mult: u8) -> Result<()> {
        let interface = "eth0";
        let peer = |(remote, local)| Peer {
            remote,
            local,
            interface,
            millis,
            detect_mult,
        };
        self.bfdd.set_peers(&families().map(peer))
    }

    /// Waits until both sessions are what `done` says, as we and as bfdd see them.
    fn wait(
        &mut self,
        what: &str,
        done: impl Fn(&SessionSnapshot, &serde_json::Value) -> bool,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let sessions = self.ours.snapshot()?.sessions;
            let mut all = sessions.len() == 2;
            for session in &sessions {
                all &= done(session, &self.bfdd.peer(session.spec.local)?);
            }
            if all {
                return Ok(());
            }
            let peers = self.bfdd.peers()?;
            ensure!(
                start.elapsed() < PATIENCE,
                "never {what}: {sessions:#?} {peers:#?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_up(&mut self) -> Result<()> {
        self.wait("up", |ours, theirs| {
            ours.status.liveness() == Liveness::Up && theirs["status"] == "up"
        })
    }

    fn wait_liveness(&mut self, liveness: Liveness) -> Result<()> {
        self.wait(&format!("{liveness:?}"), |ours, _| {
            ours.status.liveness() == liveness
        })
    }

    fn downs(&self) -> Result<u64> {
        let sessions = self.ours.snapshot()?.sessions;
        Ok(sessions
            .iter()
            .map(|session| session.status.counters.downs)
            .sum())
    }

    /// Drops what `hook` of their node sees of BFD.
    fn block(&self, hook: &str) -> Result<()> {
        let rules = format!(
            "table inet block {{ chain c {{ type filter hook {hook} priority 0; \
             udp dport 3784 drop; }}; }}\n"
        );
        self.theirs
            .run_with_input(["nft", "-f", "-"], &rules)
            .map(drop)
    }

    fn unblock(&self) -> Result<()> {
        self.theirs
            .run(["nft", "delete", "table", "inet", "block"])
            .map(drop)
    }
}

fn path(site: u16) -> PathId {
    let slot = Slot::new(1).unwrap();
    PathId {
        site: SiteNumber::new(site).unwrap(),
        local: slot,
        remote: slot,
    }
}

#[test]
fn sessions_with_bfdd_come_up_measure_round_trips_and_negotiate_timers() -> Result<()> {
    let mut interop = Interop::start()?;
    interop.wait("measured", |ours, _| ours.status.rtt.is_some())?;
    // (ours, theirs), each milliseconds and multiplier
    for ((tx, mult), (their_tx, their_mult)) in [
        ((100, 3), (300, 4)),
        ((80, 5), (300, 4)),
        ((400, 3), (60, 5)),
        ((100, 3), (100, 3)),
    ] {
        interop.set_ours(u64::from(tx), mult)?;
        interop.set_theirs(their_tx, their_mult)?;
        let interval = Duration::from_millis(u64::from(tx.max(their_tx)));
        interop.wait("negotiated", |ours, theirs| {
            let agreed = [
                theirs["remote-receive-interval"] == tx,
                theirs["remote-transmit-interval"] == tx,
                theirs["remote-detect-multiplier"] == mult,
            ];
            ours.status.transmit == Some(interval)
                && ours.status.detection == Some(interval * u32::from(their_mult))
                && agreed == [true; 3]
        })?;
    }
    // Polling all the time has not disturbed it.
    std::thread::sleep(Duration::from_secs(3));
    interop.wait_up()?;
    assert_eq!(interop.downs()?, 0);
    Ok(())
}

#[test]
fn failures_in_either_direction_are_seen_for_what_they_are() -> Result<()> {
    let mut interop = Interop::start()?;
    interop.block("output")?;
    interop.wait_liveness(Liveness::Down(Diagnostic::ControlDetectionTimeExpired))?;
    interop.wait("down", |_, theirs| theirs["status"] != "up")?;
    interop.unblock()?;
    interop.wait_up()?;
    interop.block("input")?;
    interop.wait_liveness(Liveness::Down(Diagnostic::NeighborSignaledDown))?;
    interop.unblock()?;
    interop.wait_up()
}

#[test]
fn bfdd_shut_down_by_its_operator_is_told_from_a_bfdd_that_died() -> Result<()> {
    let mut interop = Interop::start()?;
    let shutdown = |command: &str| -> String {
        let block = |(ours, theirs): Ends| {
            format!("peer {ours} local-address {theirs} interface eth0\n{command}\nexit\n")
        };
        format!("bfd\n{}", families().map(block).concat())
    };
    interop.bfdd.configure(&shutdown("shutdown"))?;
    interop.wait_liveness(Liveness::RemoteAdminDown)?;
    interop.bfdd.configure(&shutdown("no shutdown"))?;
    interop.wait_up()?;
    let Interop {
        theirs,
        ours,
        bfdd,
        _sandbox,
    } = interop;
    bfdd.kill()?;
    let start = Instant::now();
    let expired = Liveness::Down(Diagnostic::ControlDetectionTimeExpired);
    while ours
        .snapshot()?
        .sessions
        .iter()
        .any(|ours| ours.status.liveness() != expired)
    {
        ensure!(start.elapsed() < PATIENCE, "never down");
        std::thread::sleep(Duration::from_millis(10));
    }
    let bfdd = Bfdd::start(&theirs)?;
    let mut interop = Interop {
        theirs,
        ours,
        bfdd,
        _sandbox,
    };
    interop.set_theirs(100, 3)?;
    interop.wait_up()
}

#[test]
fn bfdd_hears_of_our_planned_stop() -> Result<()> {
    let Interop {
        ours,
        mut bfdd,
        theirs: _node,
        _sandbox,
    } = Interop::start()?;
    ours.shutdown(Farewell::AdminDown);
    for (local, _) in families() {
        let start = Instant::now();
        loop {
            let peer = bfdd.peer(local)?;
            if peer["status"] == "down" && peer["remote-diagnostic"] == "administratively down" {
                break;
            }
            ensure!(start.elapsed() < PATIENCE, "never down: {peer:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}
