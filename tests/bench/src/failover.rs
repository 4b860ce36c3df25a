//! How long traffic stands still when an uplink dies without a word.
//!
//! Two sites with a fibre and an LTE each; a UDP stream of 500 packets a second in both directions
//! runs on the fibres. Then the fibre of one site, the sites taking turns, swallows every packet in
//! both directions while its carrier stays, so that only BFD can notice, at both ends. A blackout
//! is counted from the last packet sent before the gap that arrived to the first sent after it that
//! did; of the two directions the longer one counts. Between cuts everything returns.
//!
//! [`moved`] looks at what of that is our own doing, with 10,000 learned prefixes.

mod moved;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use patronus_e2e::network::VOICE;
use patronus_e2e::{Family, Network};
use patronus_lab::Cut;

use crate::network::{TWO_SITES, hasty, wait_until_best};
use crate::report::{Destination, Machine, Report, Row, Target, progress};
use crate::samples::Samples;

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Cuts for each setting.
    #[arg(long, default_value_t = 20)]
    pub cuts: usize,
    /// Cuts of each kind with 10,000 prefixes.
    #[arg(long, default_value_t = 10)]
    pub cuts_with_prefixes: usize,
    #[command(flatten)]
    destination: Destination,
}

/// BFD intervals in milliseconds, each with the longest blackout that is allowed with it.
const SETTINGS: [(u64, f64); 2] = [(100, 400.0), (50, 250.0)];
/// What runs before a cut and after the traffic has gone on, so that a gap has two ends.
const LEAD: Duration = Duration::from_millis(300);
/// Longer than any blackout that is expected; a longer one is still measured, as this long.
const CUT: Duration = Duration::from_millis(1000);

/// Measures, prints a table and writes the report.
///
/// # Errors
/// When the network does not come up, or does not return after a cut.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    let mut results = Vec::new();
    for (millis, limit) in SETTINGS {
        let blackouts = blackouts(millis, arguments.cuts)
            .with_context(|| format!("with BFD at {millis} ms"))?;
        results.extend(rows(millis, limit, &blackouts));
    }
    results.extend(moved::measure(arguments.cuts_with_prefixes).context("with many prefixes")?);
    Report { machine, results }.publish(&arguments.destination, "failover")
}

fn rows(millis: u64, limit: f64, blackouts: &Samples) -> [Row; 3] {
    let row = |what, value| Row::new(format!("blackout_ms_{what}_{millis}x3"), value, "ms");
    [
        row("p50", blackouts.p50()),
        row("p95", blackouts.p95()),
        row("max", blackouts.max()).target(Target::AtMost(limit)),
    ]
}

fn blackouts(millis: u64, cuts: usize) -> Result<Samples> {
    progress(format!("bringing up two sites with BFD at {millis} ms × 3"));
    let mut network = Network::up_with(TWO_SITES, |_, config| hasty(config, millis))?;
    let sites = ["berlin", "lisbon"].into_iter().cycle();
    let blackouts = sites.take(cuts).zip(1..).map(|(site, number)| {
        let blackout = blackout(&mut network, site)?;
        progress(format!("cut {number} of {cuts}, {site}: {blackout:.0} ms"));
        Ok(blackout)
    });
    let blackouts = blackouts.collect::<Result<Samples>>()?;
    network.lab.stop()?;
    Ok(blackouts)
}

/// Cuts and heals the fibre of a site. Returns the longest blackout in milliseconds.
fn blackout(network: &mut Network, site: &str) -> Result<f64> {
    wait_until_best(network)?;
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    std::thread::sleep(LEAD);
    network.lab.cut(site, "fibre", Cut::Swallow)?;
    std::thread::sleep(CUT);
    let report = stream.stop();
    network.lab.heal(site, "fibre")?;
    let blackout = report.longest_blackout_ms();
    ensure!(blackout > 0.0, "the cut was not felt: {report:?}");
    Ok(blackout)
}
