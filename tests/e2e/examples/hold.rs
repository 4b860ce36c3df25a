//! Brings a topology up with Patronus on its routers and keeps it until Ctrl-C: for poking at it
//! with `patronus-lab exec`.
#![allow(clippy::print_stdout, reason = "a tool for people")]

fn main() -> anyhow::Result<()> {
    let file = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "tests/e2e/topologies/two-sites.yaml".into());
    let network = patronus_e2e::Network::start(&std::fs::read_to_string(file)?, |_, _| {})?;
    println!("{} is up", network.lab.name());
    loop {
        std::thread::park();
    }
}
