//! Processes that die by `kill -9` under traffic, and what that costs.
//!
//! A UDP stream of 500 packets a second runs in both directions between two sites. `patronusd` of
//! one of them is killed and started again, several times; nothing may be lost, neither while it is
//! dead nor when it returns. Then bgpd, zebra, and the wireguard-go of the tunnel that carries the
//! stream are killed, one after the other. They come back by themselves (watchfrr and patronusd
//! see to it), and all counts as well when every path is up, every BGP session is established, the
//! program is there again, and this has remained so for a while.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use patronus_e2e::network::{PATIENCE, VOICE};
use patronus_e2e::{Family, Network};

use crate::network::{TWO_SITES, recovery, wait_until_best};
use crate::report::{Destination, Machine, Report, Row, Target, progress};
use crate::samples::{Samples, millis};

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How often patronusd is killed.
    #[arg(long, default_value_t = 5)]
    pub kills: usize,
    #[command(flatten)]
    destination: Destination,
}

/// How long patronusd stays dead: ten times what BFD takes to notice.
const DEAD: Duration = Duration::from_secs(3);
/// How long all must remain well to count as well: BFD and BGP's next hop tracking need less to
/// find out that something is not.
const CALM: Duration = Duration::from_secs(2);
/// What must show while the stream runs on: packets are lost now, or not at all.
const AFTER: Duration = Duration::from_secs(2);

/// The others, and what the command line of each matches.
const OTHERS: [(&str, &str); 3] = [
    ("bgpd", "frr/bgpd"),
    ("zebra", "frr/zebra"),
    ("wireguard_go", "wireguard-go.* pat-1-1"),
];

/// Measures, prints a table and writes the report.
///
/// # Errors
/// When the network does not come up, or something does not come back.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    progress("bringing up two sites");
    let mut network = Network::up(TWO_SITES)?;
    let mut results = daemon(&mut network, arguments.kills).context("patronusd")?;
    for (name, pattern) in OTHERS {
        results.extend(other(&mut network, name, pattern).context(name)?);
    }
    network.lab.stop()?;
    Report { machine, results }.publish(&arguments.destination, "restart")
}

fn daemon(network: &mut Network, kills: usize) -> Result<Vec<Row>> {
    wait_until_best(network)?;
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    let mut lost_before = 0;
    let kill = |number| {
        let berlin = network.patronus.at("berlin")?;
        berlin.daemon()?.kill()?;
        std::thread::sleep(DEAD);
        let back = Instant::now();
        berlin.start_daemon()?;
        let took = network
            .patronus
            .wait_until_well(PATIENCE)
            .map(|_| back.elapsed())?;
        std::thread::sleep(AFTER);
        let lost = stream.report().lost();
        let new = lost - std::mem::replace(&mut lost_before, lost);
        progress(format!(
            "kill {number} of {kills}: {new} lost, well after {took:.1?}"
        ));
        Ok(millis(took))
    };
    let well = (1..=kills).map(kill).collect::<Result<Samples>>()?;
    let lost = stream.stop().lost();
    Ok(vec![
        Row::new("restart_lost_packets", lost as f64, "1").target(Target::AtMost(0.0)),
        Row::new("restart_well_ms_p50", well.p50(), "ms"),
        Row::new("restart_well_ms_max", well.max(), "ms"),
    ])
}

fn other(network: &mut Network, name: &str, pattern: &str) -> Result<[Row; 2]> {
    wait_until_best(network)?;
    let node = network.lab.router("berlin")?.node().clone();
    let old = pid(network, pattern)?;
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    std::thread::sleep(Duration::from_millis(500));
    node.run(["kill", "-9", &old])?;
    let killed = Instant::now();
    let back = returned(network, pattern, &old, killed)?;
    let took = recovery(network, killed, CALM)?.max(back);
    std::thread::sleep(AFTER);
    let lost = stream.stop().lost();
    progress(format!("{name}: {lost} lost, well after {took:.1?}"));
    Ok([
        Row::new(format!("{name}_recovery_ms"), millis(took), "ms"),
        Row::new(format!("{name}_lost_packets"), lost as f64, "1"),
    ])
}

/// When a program is there again.
fn returned(network: &Network, pattern: &str, old: &str, since: Instant) -> Result<Duration> {
    while pid(network, pattern).map_or(true, |new| new == old) {
        if since.elapsed() > PATIENCE {
            bail!("it has not been started again after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(since.elapsed())
}

fn pid(network: &Network, pattern: &str) -> Result<String> {
    let mut pids = network.processes("berlin", pattern)?;
    match (pids.pop(), pids.is_empty()) {
        (Some(pid), true) => Ok(pid),
        (None, _) => bail!("there is no process that matches {pattern}"),
        (Some(_), false) => bail!("several processes match {pattern}"),
    }
}
