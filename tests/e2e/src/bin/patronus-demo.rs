//! Three sites with two uplinks each: cut one, degrade the other, and watch calls go on.
#![allow(
    clippy::print_stdout,
    reason = "showing things is all that a demo does"
)]

use std::io::IsTerminal;

use anyhow::Result;
use clap::Parser;
use patronus_e2e::demo::{Screen, run};

/// Shows what Patronus does, with real packets in network namespaces on this machine.
///
/// On a terminal the network stays up afterwards until Ctrl-C. Elsewhere the last line is a summary
/// in JSON.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// End when the demo is over, also on a terminal
    #[arg(long)]
    exit: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (network, summary) = run(&mut Screen::default())?;
    println!("\n{}", summary.to_text());
    if std::io::stdout().is_terminal() && !arguments.exit {
        explore(network.lab.name());
        loop {
            // Ctrl-C ends this process, and the lab with it.
            std::thread::park();
        }
    }
    network.lab.stop()?;
    println!("{}", summary.to_json());
    Ok(())
}

fn explore(lab: &str) {
    let tool = std::env::current_exe()
        .ok()
        .map(|path| path.with_file_name("patronus-lab"));
    let tool = tool.map_or_else(
        || "patronus-lab".to_owned(),
        |path| path.display().to_string(),
    );
    println!(
        "The network is up until Ctrl-C. In another terminal:\n\n  \
         export PATRONUS_LAB={lab}\n  \
         {tool} exec berlin patronus status\n  \
         {tool} exec berlin patronus paths --watch\n  \
         {tool} exec berlin patronus explain --src 10.1.0.11 --dst 10.2.0.11 --proto udp --dport 5060\n  \
         {tool} exec berlin-h1 ping 10.2.0.11\n  \
         {tool} cut berlin fibre --mode swallow\n  \
         {tool} heal berlin fibre\n"
    );
}
