//! Steady traffic: nothing fails, so nothing may move and nothing may be lost.
//!
//! Two sites with a fibre and an LTE each, whose WAN loses nothing, and which are set up as a
//! configuration that says nothing about health: BFD, dampening and thresholds are the defaults.
//! UDP streams of 500 packets a second run in both directions, one of IPv4 in the class voice and
//! one of IPv6 in the class standard, and a TCP connection in each direction in the class bulk,
//! which is on the LTE. A move is one of any class at any site.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use patronus_e2e::network::{BULK, STANDARD, VOICE};
use patronus_e2e::{Family, Network};
use patronus_lab::traffic::TcpFlow;

use crate::network::{TWO_SITES, wait_until_best};
use crate::report::{Destination, Machine, Report, Row, Target, progress};

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How long the traffic is watched, in seconds.
    #[arg(long, default_value_t = SECONDS, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    #[command(flatten)]
    destination: Destination,
}

/// Ten minutes.
pub const SECONDS: u64 = 600;
/// Longer than any hold: what has not settled by then never will.
const SETTLING: Duration = Duration::from_secs(6);
/// How often it is said how it goes.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Measures, prints a table and writes the report.
///
/// # Errors
/// When the network does not come up, or a connection breaks.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    progress("bringing up two sites");
    let mut network = Network::up(TWO_SITES)?;
    wait_until_best(&mut network)?;
    std::thread::sleep(SETTLING);

    let carrying = [
        network.path_of("berlin", "lisbon", "voice")?,
        network.path_of("berlin", "lisbon", "standard")?,
    ];
    let carrying: BTreeSet<&str> = carrying.iter().flat_map(|path| path.split('→')).collect();
    let moves = network.all_moves()?;
    let by_the_wan = lost_by_the_wan(&network, &carrying)?;
    let streams = [
        network.stream("berlin", "lisbon", VOICE, Family::V4)?,
        network.stream("berlin", "lisbon", STANDARD, Family::V6)?,
    ];
    let connections = [
        network.connection("berlin", "lisbon", BULK)?,
        network.connection("lisbon", "berlin", BULK)?,
    ];
    let (started, all) = (Instant::now(), Duration::from_secs(arguments.seconds));
    while let Some(left) = all.checked_sub(started.elapsed()) {
        std::thread::sleep(left.min(REPORT_INTERVAL));
        let lost: u64 = streams.iter().map(|stream| stream.report().lost()).sum();
        let moved = network.all_moves()? - moves;
        progress(format!(
            "{:.0?} of {all:?}: {moved} moves, {lost} packets lost",
            started.elapsed()
        ));
    }
    let reports = streams.map(patronus_lab::traffic::UdpStream::stop);
    connections.into_iter().try_for_each(is_whole)?;
    let moved = network.all_moves()? - moves;
    let lost: u64 = reports.iter().map(|report| report.lost()).sum();
    let flows = reports
        .iter()
        .flat_map(|report| [Some(&report.a_to_b), report.b_to_a.as_ref()]);
    let sent: u64 = flows.flatten().map(|flow| flow.sent).sum();
    let by_the_wan = lost_by_the_wan(&network, &carrying)? - by_the_wan;
    network.lab.stop()?;

    let count = |metric: &str, value: u64| Row::new(metric, value as f64, "1");
    let results = vec![
        count("steady_moves", moved as u64).target(Target::AtMost(0.0)),
        count("steady_lost_packets", lost.saturating_sub(by_the_wan)).target(Target::AtMost(0.0)),
        count("steady_sent_packets", sent),
        count("steady_lost_by_the_wan", by_the_wan),
        Row::new("steady_seconds", arguments.seconds as f64, "s"),
    ];
    Report { machine, results }.publish(&arguments.destination, "steady")
}

fn is_whole(connection: TcpFlow) -> Result<()> {
    let report = connection.stop();
    let whole = report.broken.is_none() && report.damaged_at.is_none() && report.bytes > 0;
    ensure!(whole, "a connection did not go on: {report:?}");
    Ok(())
}

/// Packets of whatever kind for which the emulated WAN had no room on these uplinks of any site,
/// since the lab came up; it is told to lose none.
fn lost_by_the_wan(network: &Network, uplinks: &BTreeSet<&str>) -> Result<u64> {
    let states = network.lab.links().context("asking the WAN emulator")?;
    let links: BTreeSet<&str> = network
        .lab
        .plan()
        .uplinks()
        .filter(|(_, uplink)| uplinks.contains(uplink.name.as_str()))
        .map(|(_, uplink)| uplink.link.as_str())
        .collect();
    let ways = states
        .iter()
        .filter(|state| links.contains(state.link.as_str()))
        .flat_map(|state| [state.up, state.down]);
    Ok(ways
        .map(|way| way.lost + way.swallowed + way.overflowed)
        .sum())
}
