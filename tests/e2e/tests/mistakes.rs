//! What somebody announces by mistake harms nobody for longer than the mistake lasts.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON, which gives null for what is missing"
)]

use anyhow::Result;
use patronus_e2e::network::{PATIENCE, pause};
use patronus_e2e::{Family, Network};

/// What Berlin knows of a prefix: where it knows it from, if at all.
fn origin(network: &mut Network, prefix: &str) -> Result<Option<String>> {
    let routes = network.patronus.at("berlin")?.json(&["routes"])?;
    let mut routes = routes.as_array().into_iter().flatten();
    let route = routes.find(|route| route["prefix"] == prefix);
    Ok(route
        .and_then(|route| route["origin"].as_str())
        .map(str::to_owned))
}

#[test]
fn a_prefix_around_the_ends_of_tunnels_cuts_none_when_it_is_withdrawn() -> Result<()> {
    let mut network =
        Network::up_with(include_str!("../topologies/two-sites.yaml"), |_, config| {
            config["bgp"]["graceful_restart"] = "off".into()
        })?;
    pause(3);
    // Lisbon's uplinks are in these.
    let prefixes = ["100.65.2.0/24", "100.66.2.0/24"];
    let lisbon = network.lab.router("lisbon")?.node().clone();
    let announce = "vtysh -N patronus -c 'configure terminal' -c 'router bgp' \
                    -c 'address-family ipv4 unicast' -c 'network 100.65.2.0/24 route-map patronus-own' \
                    -c 'network 100.66.2.0/24 route-map patronus-own'";
    lisbon.run(["sh", "-c", announce])?;
    for prefix in prefixes {
        network.wait_until(PATIENCE, |network| {
            Ok(origin(network, prefix)?.as_deref() == Some("bgp"))
        })?;
    }
    // Patronus over there puts its FRR in order.
    for prefix in prefixes {
        network.wait_until(PATIENCE, |network| {
            Ok(origin(network, prefix)?.as_deref() == Some("withdrawn"))
        })?;
    }
    let moves = network.all_moves()?;
    pause(5);
    network.patronus.wait_until_well(PATIENCE)?;
    assert_eq!(network.all_moves()?, moves);
    for family in [Family::V4, Family::V6] {
        network.ping("berlin", "lisbon", family)?;
    }
    network.lab.stop()
}
