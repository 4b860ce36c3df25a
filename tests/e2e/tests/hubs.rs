//! Hubs and spokes.

use anyhow::{Context, Result};
use patronus_e2e::network::PATIENCE;
use patronus_e2e::{Family, Network};
use serde_json::{Value, json};

const TWO_HUBS: &str = include_str!("../topologies/two-hubs.yaml");

/// Packets received and sent by a spoke on its tunnel to a hub, by the hub's number.
fn carried(network: &Network, spoke: &str, hub: u8) -> Result<(u64, u64)> {
    let all = network.tunnel_packets(spoke)?;
    all.get(&format!("pat-1-1-{hub}"))
        .copied()
        .context("no tunnel to that hub")
}

#[test]
fn spokes_reach_each_other_over_a_hub() -> Result<()> {
    let network = Network::up(TWO_HUBS)?;
    network.ping("oslo", "porto", Family::V4)?;
    network.ping("porto", "oslo", Family::V6)?;
    let tunnels = network.tunnel_packets("oslo")?;
    assert!(
        tunnels.keys().all(|name| name.starts_with("pat-1-1-")),
        "{tunnels:?}"
    );
    network.lab.stop()
}

#[test]
fn packets_may_go_by_one_hub_and_return_by_the_other() -> Result<()> {
    let mut network = Network::up_with(TWO_HUBS, |site, config| {
        // A closer match than what hub-a announces.
        let sites = config["sites"].as_array_mut().into_iter().flatten();
        for hub in sites.filter(|hub| site == "porto" && hub["id"] == "hub-b") {
            hub["prefixes"] = json!(["10.3.0.0/25"]);
        }
    })?;
    network.wait_until(PATIENCE, |network| {
        network.ping("oslo", "porto", Family::V4).map(|()| true)
    })?;
    let before = (
        carried(&network, "porto", 1)?,
        carried(&network, "porto", 2)?,
    );
    let host = network.lab.host("oslo", 1)?.node().clone();
    let target = network.address("porto", Family::V4)?.to_string();
    host.run([
        "ping", "-n", "-c", "300", "-i", "0.01", "-W", "1", "-q", &target,
    ])?;
    let after = (
        carried(&network, "porto", 1)?,
        carried(&network, "porto", 2)?,
    );
    // Some 10 packets a second of BFD are in all four numbers.
    let (came_by_a, sent_by_a) = (after.0.0 - before.0.0, after.0.1 - before.0.1);
    let (came_by_b, sent_by_b) = (after.1.0 - before.1.0, after.1.1 - before.1.1);
    assert!(came_by_a > came_by_b + 200, "{before:?} {after:?}");
    assert!(sent_by_b > sent_by_a + 200, "{before:?} {after:?}");
    network.lab.stop()
}

#[test]
fn a_hub_may_attract_everything_by_a_default_route() -> Result<()> {
    let mut network = Network::up_with(TWO_HUBS, |site, config| {
        if site == "hub-a" {
            config["bgp"]["originate_default"] = true.into();
        }
    })?;
    network.wait_until(PATIENCE, |network| {
        let routes = network.patronus.at("oslo")?.json(&["routes"])?;
        let list = routes.as_array().map(Vec::as_slice).unwrap_or_default();
        let leads_to_hub =
            |route: &&Value| route["prefix"] == "0.0.0.0/0" && route["siteId"] == "hub-a";
        Ok(list.iter().any(|route| leads_to_hub(&route)))
    })?;
    // Something beyond the hub that no other route leads to.
    let beyond = network.lab.host("hub-a", 1)?;
    beyond
        .node()
        .run(["ip", "addr", "add", "198.51.100.1/32", "dev", "lo"])?;
    let via = network.address("hub-a", Family::V4)?.to_string();
    network.lab.router("hub-a")?.node().run([
        "ip",
        "route",
        "add",
        "198.51.100.1/32",
        "via",
        &via,
    ])?;
    let host = network.lab.host("oslo", 1)?.node().clone();
    let before = carried(&network, "oslo", 1)?;
    host.run([
        "ping",
        "-n",
        "-c",
        "50",
        "-i",
        "0.02",
        "-W",
        "1",
        "-q",
        "198.51.100.1",
    ])?;
    let after = carried(&network, "oslo", 1)?;
    assert!(
        after.1 - before.1 >= 50 && after.0 - before.0 >= 50,
        "{before:?} {after:?}"
    );
    network.lab.stop()
}
