//! `patronus-bench`: one subcommand per recipe.

use clap::{Parser, Subcommand};
use patronus_bench::{
    all, bfd, engine, failover, memory, nexthop, restart, series, steady, throughput,
};

/// Measures Patronus beside other software on this machine, and writes target/bench/RECIPE.json.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Subcommand)]
enum Recipe {
    /// Everything below, and target/bench/bench.json with all results.
    All(all::Arguments),
    /// CPU and false alarms of many BFD sessions, ours and bfdd's.
    Bfd(bfd::Arguments),
    /// What the engine costs per tick, failure, decision and comparison.
    Engine(engine::Arguments),
    /// Moving one nexthop object, and replacing the routes that use it.
    Nexthop(nexthop::Arguments),
    /// How long traffic stands still when an uplink dies without a word.
    Failover(failover::Arguments),
    /// What fits through, ours beside bare WireGuard.
    Throughput(throughput::Arguments),
    /// What a router with 1,000 paths takes of memory.
    Memory(memory::Arguments),
    /// What it costs that a process dies under traffic.
    Restart(restart::Arguments),
    /// What the series of 1,000 paths cost in SQLite, and in PostgreSQL.
    Series(series::Arguments),
    /// Moves and losses in ten minutes in which nothing fails.
    Steady(steady::Arguments),
    /// Internal: the speaker that `bfd` starts in a namespace.
    #[command(hide = true)]
    BfdSpeaker(bfd::speaker::Arguments),
    /// Internal: the other sites that `memory` starts in a namespace.
    #[command(hide = true)]
    FarEnds(memory::far_ends::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().recipe {
        Recipe::Bfd(arguments) => bfd::run(&arguments),
        Recipe::Engine(arguments) => engine::run(&arguments),
        Recipe::Nexthop(arguments) => nexthop::run(&arguments),
        Recipe::Failover(arguments) => failover::run(&arguments),
        Recipe::Throughput(arguments) => throughput::run(&arguments),
        Recipe::Memory(arguments) => memory::run(&arguments),
        Recipe::Restart(arguments) => restart::run(&arguments),
        Recipe::Series(arguments) => series::run(&arguments),
        Recipe::Steady(arguments) => steady::run(&arguments),
        Recipe::All(arguments) => all::run(&arguments),
        Recipe::FarEnds(arguments) => memory::far_ends::run(&arguments),
        Recipe::BfdSpeaker(arguments) => bfd::speaker::run(&arguments),
    }
}
