//! Every recipe, one after the other, each in a process of its own so that none can spoil the
//! others; then all results together.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::report::{Destination, Machine, Report};
use crate::steady;

/// What is to be run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How long `steady` watches, in seconds.
    #[arg(long, default_value_t = steady::SECONDS)]
    steady_seconds: u64,
    #[command(flatten)]
    destination: Destination,
}

/// Quick ones first.
const RECIPES: [&str; 9] = [
    "engine",
    "nexthop",
    "memory",
    "series",
    "throughput",
    "bfd",
    "failover",
    "restart",
    "steady",
];

/// The name of the report on all recipes.
const ALL: &str = "bench";

/// Runs everything, and writes `bench.json`. A missed target is no error.
///
/// # Errors
/// Names the recipes that could not run.
#[expect(clippy::print_stdout, reason = "a command-line tool")]
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = &arguments.destination.output;
    let machine = Machine::here();
    let started = Instant::now();
    let mut results = Vec::new();
    let mut failures = Vec::new();
    for (number, recipe) in (1..).zip(RECIPES) {
        println!("[{number}/{}] {recipe}", RECIPES.len());
        let seconds = arguments.steady_seconds.to_string();
        let options: &[&str] = match recipe {
            "steady" => &["--seconds", &seconds],
            _ => &[],
        };
        match one(recipe, options, directory) {
            Ok(report) => results.extend(report.results),
            Err(error) => {
                println!("  {recipe} could not run: {error:#}");
                failures.push(recipe);
            }
        }
    }
    let report = Report { machine, results };
    println!("All together, after {:.0?}:\n", started.elapsed());
    report.publish(&arguments.destination, ALL)?;
    for row in report.missed() {
        println!("MISSED: {} is {:.3} {}", row.metric, row.value, row.unit);
    }
    if !failures.is_empty() {
        bail!("could not run: {}", failures.join(", "));
    }
    Ok(())
}

fn one(recipe: &str, options: &[&str], directory: &Path) -> Result<Report> {
    // A report of yesterday must not pass for one of today.
    match fs::remove_file(directory.join(recipe).with_extension("json")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error)?,
        _ => {}
    }
    let status = Command::new(std::env::current_exe()?)
        .arg(recipe)
        .args(options)
        .arg("--output")
        .arg(directory)
        .status()
        .context("starting it")?;
    if !status.success() {
        bail!("{status}; it says above why");
    }
    Report::read(directory, recipe)
}
