//! What others put into the way is told, by whom it is asked.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON, which gives null for what is missing"
)]

use anyhow::Result;
use patronus_e2e::network::PATIENCE;
use patronus_e2e::{Family, Network};

/// Whether Berlin's status has a problem that says this.
fn tells(network: &mut Network, words: &str) -> Result<bool> {
    let status = network.patronus.at("berlin")?.json(&["status"])?;
    let problems = status["router"]["problems"].as_array();
    let mut problems = problems.into_iter().flatten();
    Ok(problems.any(|it| it["message"].as_str().unwrap_or_default().contains(words)))
}

#[test]
fn a_firewall_of_others_that_drops_everything_is_in_the_status_while_it_is_there() -> Result<()> {
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    let berlin = network.lab.router("berlin")?.node().clone();
    network.ping("berlin", "lisbon", Family::V4)?;
    assert!(!tells(&mut network, "others are in the way")?);

    let chain = "add table inet foreign; \
                 add chain inet foreign others { type filter hook forward priority 0; policy drop; }";
    berlin.run(["nft", chain])?;
    assert!(network.ping("berlin", "lisbon", Family::V4).is_err());
    let found = "others are in the way: inet foreign others drops";
    network.wait_until(PATIENCE, |network| tells(network, found))?;
    let explained = network.patronus.at("berlin")?.json(&[
        "explain",
        "--src",
        "10.1.0.11",
        "--dst",
        "10.2.0.11",
    ])?;
    let obstacle = explained["obstacles"][0].as_str().unwrap_or_default();
    assert!(obstacle.contains("inet foreign others"), "{explained:#}");

    berlin.run(["nft", "delete table inet foreign"])?;
    network.ping("berlin", "lisbon", Family::V4)?;
    network.wait_until(PATIENCE, |network| {
        Ok(!tells(network, "others are in the way")?)
    })?;
    network.lab.stop()
}
