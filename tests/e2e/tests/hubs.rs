//! Hubs and spokes.

use std::time::Duration;

use anyhow::Result;
use patronus_e2e::network::{PATIENCE, STANDARD, VOICE};
use patronus_e2e::{Carried, Family, Network, alone};
use serde_json::json;

const TWO_HUBS: &str = include_str!("../topologies/two-hubs.yaml");

/// What a spoke's tunnels carry of a stream to the other spoke.
fn streamed(network: &Network, at: &str, port: u16, family: Family) -> Result<Carried> {
    Carried::at(network, at, || {
        let stream = network.stream("oslo", "porto", port, family)?;
        std::thread::sleep(Duration::from_secs(2));
        let report = stream.stop();
        assert_eq!(report.lost(), 0, "{report:?}");
        Ok(())
    })
}

#[test]
fn spokes_reach_each_other_over_a_hub_and_each_class_uses_its_path() -> Result<()> {
    let _alone = alone();
    let network = Network::up_with(TWO_HUBS, |_, config| {
        // Another path than that of the default class, or nobody would miss the policy.
        config["classes"][0]["strategy"] = json!({ "preference": ["lte", "fibre"] });
    })?;
    for family in [Family::V4, Family::V6] {
        // The number of the hub is the last of a tunnel's name; either of the two will do.
        for (port, uplinks) in [(VOICE, "pat-2-2-"), (STANDARD, "pat-1-1-")] {
            for spoke in ["oslo", "porto"] {
                let carried = streamed(&network, spoke, port, family)?;
                for by in [carried.came_by(), carried.left_by()] {
                    assert!(
                        by.starts_with(uplinks),
                        "port {port} at {spoke}, {family:?}: {by} of {carried:?}"
                    );
                }
            }
        }
    }
    network.lab.stop()
}

#[test]
fn packets_may_go_by_one_hub_and_return_by_the_other() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up_with(TWO_HUBS, |site, config| {
        // A closer match than what hub-a announces.
        let sites = config["sites"].as_array_mut().into_iter().flatten();
        for hub in sites.filter(|hub| site == "porto" && hub["id"] == "hub-b") {
            hub["prefixes"] = json!(["10.3.0.0/25", "fd00:3::/65"]);
        }
    })?;
    for family in [Family::V4, Family::V6] {
        network.wait_until(PATIENCE, |network| {
            network.ping("oslo", "porto", family).map(|()| true)
        })?;
        let carried = streamed(&network, "porto", STANDARD, family)?;
        assert_eq!(carried.came_by(), "pat-1-1-1", "{family:?}");
        assert_eq!(carried.left_by(), "pat-1-1-2", "{family:?}");
    }
    network.lab.stop()
}

#[test]
fn a_hub_may_attract_everything_by_a_default_route() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up_with(TWO_HUBS, |site, config| {
        if site == "hub-a" {
            config["bgp"]["originate_default"] = true.into();
        }
    })?;
    let beyond = network.lab.host("hub-a", 1)?.node().clone();
    let hub = network.lab.router("hub-a")?.node().clone();
    let oslo = network.lab.host("oslo", 1)?.node().clone();
    // Something beyond the hub that no other route leads to.
    for (family, default, target, length) in [
        (Family::V4, "0.0.0.0/0", "198.51.100.1", "32"),
        (Family::V6, "::/0", "2001:db8:99::1", "128"),
    ] {
        network.wait_until(PATIENCE, |network| {
            let routes = network.patronus.at("oslo")?.json(&["routes"])?;
            let mut list = routes.as_array().into_iter().flatten();
            Ok(list.any(|route| route["prefix"] == default && route["siteId"] == "hub-a"))
        })?;
        let prefix = format!("{target}/{length}");
        beyond.run(["ip", "addr", "add", &prefix, "dev", "lo"])?;
        let via = network.address("hub-a", family)?.to_string();
        hub.run(["ip", "route", "add", &prefix, "via", &via])?;
        let carried = Carried::at(&network, "oslo", || {
            let ping = ["ping", "-n", "-c", "600", "-i", "0.005", "-W", "1", "-q"];
            oslo.run(ping.into_iter().chain([target])).map(drop)
        })?;
        assert_eq!(carried.came_by(), "pat-1-1-1", "{family:?}");
        assert_eq!(carried.left_by(), "pat-1-1-1", "{family:?}");
    }
    network.lab.stop()
}
