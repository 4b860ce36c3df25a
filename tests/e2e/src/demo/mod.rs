//! The demo: three sites, real traffic, and things that go wrong.

mod screen;
mod summary;

use std::time::Duration;

use anyhow::{Context, Result};
use patronus_lab::plan::Plan;
use patronus_lab::traffic::{Endpoint, UdpStream, tcp_throughput};
use patronus_lab::{Cut, Degradation, Signal, Topology};
use serde_json::Value;

pub use screen::Screen;
pub use summary::Summary;

use crate::bare::BareTunnel;
use crate::network::{BULK, Family, Network, PATIENCE, VOICE};

/// The three sites.
const TOPOLOGY: &str = include_str!("../../topologies/demo.yaml");

/// How long a failure lasts: long enough to see that it is survived.
const FAILURE: Duration = Duration::from_secs(4);

/// Longer than the hold of 3 s and the cooldown, so that traffic is back where it belongs.
const RETURN: Duration = Duration::from_secs(6);

/// Runs the demo, telling what happens. Gives back the network, which is still up, and what was
/// measured.
///
/// # Errors
/// When something does not come up or cannot be measured.
pub fn run(screen: &mut Screen) -> Result<(Network, Summary)> {
    let mut network = start(screen)?;
    let mut summary = Summary {
        sites: network.lab.plan().sites.len(),
        ..Summary::default()
    };
    summary.paths_up = count_paths(&mut network)?;
    let calls = start_calls(&network)?;
    let bulk = network.connection("berlin", "lisbon", BULK)?;
    screen.say("calls between all sites (500 packets/s each way, class voice), a backup from berlin to lisbon (class bulk)");
    screen.watch(&mut network, Duration::from_secs(3))?;

    for (site, cut, what) in [
        (
            "berlin",
            Cut::Swallow,
            "a digger cuts berlin's fibre: the carrier stays, every packet vanishes",
        ),
        ("lisbon", Cut::Carrier, "lisbon's fibre loses its carrier"),
        (
            "oslo",
            Cut::Rx,
            "oslo's fibre still sends, but receives nothing",
        ),
    ] {
        screen.act(what);
        network.lab.cut(site, "fibre", cut)?;
        screen.watch(&mut network, FAILURE)?;
        screen.act("the fibre is repaired");
        network.lab.heal(site, "fibre")?;
        screen.watch(&mut network, RETURN)?;
    }
    degrade_lte(screen, &mut network)?;
    let before = lost(&calls);
    kill_daemon(screen, &mut network)?;
    summary.daemon_restart_lost = lost(&calls) - before;

    let report = bulk.stop();
    anyhow::ensure!(report.broken.is_none(), "the backup broke: {report:?}");
    summary.take_calls(calls.into_iter().map(UdpStream::stop).collect());
    screen.say(&format!(
        "the backup went on through all of it: {} MB, intact",
        report.bytes / 1_000_000
    ));
    summary.throughput_ratios = throughput(screen, &network)?;
    Ok((network, summary))
}

fn start(screen: &mut Screen) -> Result<Network> {
    let topology = Topology::parse(TOPOLOGY)?;
    screen.say(&describe(&Plan::derive(&topology)?));
    let network = Network::start(TOPOLOGY, |_, config| {
        // Three cuts in a minute would otherwise be taken for flapping.
        config["health"] = serde_json::json!({ "dampening": { "suppress": 5500 } });
    })?;
    let took = network.patronus.wait_until_well(PATIENCE)?;
    network.wait_for_routes(PATIENCE)?;
    screen.say(&format!(
        "all tunnels, BFD and BGP sessions are up after {:.1} s",
        took.as_secs_f64()
    ));
    Ok(network)
}

fn describe(plan: &Plan) -> String {
    let sites: Vec<&str> = plan.sites.iter().map(|site| site.name.as_str()).collect();
    format!(
        "{} with a fibre and an LTE uplink each; WireGuard over every pair of uplinks",
        sites.join(", ")
    )
}

fn count_paths(network: &mut Network) -> Result<usize> {
    let mut up = 0;
    for (_, router) in network.patronus.routers() {
        let paths = router.json(&["paths"])?;
        let list = paths.as_array().context("paths: no list")?;
        up += list.iter().filter(|path| path["status"] == "up").count();
    }
    Ok(up)
}

fn start_calls(network: &Network) -> Result<Vec<UdpStream>> {
    let each_once = network
        .pairs()
        .into_iter()
        .filter(|(a, b)| a < b)
        .zip(VOICE..);
    each_once
        .map(|((a, b), port)| network.stream(&a, &b, port, Family::V4))
        .collect()
}

fn lost(calls: &[UdpStream]) -> u64 {
    // What is under way at this moment is not lost yet.
    std::thread::sleep(Duration::from_millis(500));
    calls.iter().map(|call| call.report().lost()).sum()
}

fn degrade_lte(screen: &mut Screen, network: &mut Network) -> Result<()> {
    screen.act("berlin's LTE degrades: 200 ms more in each direction");
    let change = Degradation {
        delay: Some("220ms".parse()?),
        ..Degradation::default()
    };
    network.lab.degrade("berlin", "lte", &change)?;
    screen.watch(network, Duration::from_secs(8))?;
    screen.act("the LTE recovers");
    network.lab.heal("berlin", "lte")?;
    screen.watch(network, RETURN + Duration::from_secs(2))
}

fn kill_daemon(screen: &mut Screen, network: &mut Network) -> Result<()> {
    screen.act("kill -9 of patronusd in berlin; the kernel goes on forwarding");
    network
        .patronus
        .at("berlin")?
        .daemon()?
        .signal(Signal::SIGKILL)?;
    screen.watch(network, FAILURE)?;
    screen.act("patronusd starts again and adopts what is there");
    network.patronus.at("berlin")?.start_daemon()?;
    network.patronus.wait_until_well(PATIENCE)?;
    // Longer than routes which nobody confirms are kept: whatever was not adopted would show.
    screen.watch(network, Duration::from_secs(22))
}

/// TCP from router to router through the overlay, beside a bare WireGuard tunnel over the same
/// uplinks, in turn: each ratio is that of two neighbouring runs, so that both had the same machine.
fn throughput(screen: &mut Screen, network: &Network) -> Result<Vec<f64>> {
    let (a, b) = ("berlin", "lisbon");
    let node = |site: &str| -> Result<_> { Ok(network.lab.router(site)?.node().clone()) };
    let links: Vec<Value> =
        serde_json::from_str(&node(a)?.run(["ip", "-j", "link", "show", "pat-1-1"])?)?;
    let mtu = links
        .first()
        .and_then(|link| link["mtu"].as_u64())
        .context("the MTU of pat-1-1")?;
    let bare = BareTunnel::between(&network.lab, a, b, u32::try_from(mtu)?)?;
    let overlay = |site: &str| -> Result<_> {
        let addresses = &network.lab.plan().site(site)?.overlay;
        addresses
            .iter()
            .copied()
            .find(std::net::IpAddr::is_ipv4)
            .context("an overlay address")
    };
    let measure = |from, to| -> Result<f64> {
        let (from, to) = (
            Endpoint::new(&node(a)?, from, 0),
            Endpoint::new(&node(b)?, to, 9100),
        );
        Ok(tcp_throughput(&from, &to, 1, Duration::from_secs(2))?.mbit_per_s)
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(measure(overlay(a)?, overlay(b)?)?);
        theirs.push(measure(bare.a, bare.b)?);
    }
    let pairs = ours.iter().zip(&theirs);
    let ratios: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
    let (ours, theirs) = (summary::median(ours), summary::median(theirs));
    screen.say(&format!(
        "TCP over the fibre: {ours:.0} Mbit/s, bare WireGuard {theirs:.0} Mbit/s (medians): {}",
        summary::spread(&ratios)
    ));
    Ok(ratios)
}
