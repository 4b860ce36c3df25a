//! Configurations that change while traffic flows.

use std::time::Duration;

use anyhow::Result;
use patronus_e2e::network::{STANDARD, VOICE};
use patronus_e2e::{Family, Network, alone};

#[test]
fn a_broken_configuration_changes_nothing_and_says_why() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    let state = |network: &Network| -> Result<[String; 4]> {
        let node = network.lab.router("berlin")?.node().clone();
        let run = |argv: &[&str]| node.run(argv.iter().copied());
        Ok([
            run(&["ip", "rule"])?,
            run(&["ip", "route", "show", "table", "all"])?,
            run(&["nft", "-s", "list", "ruleset"])?,
            run(&["ip", "nexthop"])?,
        ])
    };
    let before = state(&network)?;
    let berlin = network.patronus.at("berlin")?;
    berlin.config()["policies"][0]["class"] = "no-such-class".into();
    berlin.config()["uplinks"][0]["slot"] = 99.into();
    berlin.write_config()?;
    let error = format!(
        "{:#}",
        berlin
            .patronus(&["reload"])
            .expect_err("a broken configuration")
    );
    for expected in [
        "no-such-class",
        "policies[0].class",
        "uplinks[0].slot",
        "99",
    ] {
        assert!(error.contains(expected), "{expected} is not in: {error}");
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(state(&network)?, before);
    network.lab.stop()
}

#[test]
fn a_good_configuration_applies_only_the_difference() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/three-sites.yaml"))?;
    std::thread::sleep(Duration::from_secs(6));
    let stream = network.stream("berlin", "oslo", VOICE, Family::V4)?;
    std::thread::sleep(Duration::from_secs(1));
    // Lisbon goes, and a policy that does not concern the stream comes.
    let berlin = network.patronus.at("berlin")?;
    let sites = berlin.config()["sites"].as_array_mut().expect("a list");
    sites.retain(|site| site["id"] != "lisbon");
    let policies = berlin.config()["policies"].as_array_mut().expect("a list");
    policies.push(serde_json::json!({
        "name": "no-telnet", "priority": 5, "action": "drop",
        "match": { "protocol": "tcp", "ports": 23 },
    }));
    berlin.write_config()?;
    berlin.patronus(&["reload"])?;
    std::thread::sleep(Duration::from_secs(3));
    let report = stream.stop();
    assert_eq!(report.lost(), 0, "{report:?}");
    assert!(
        network.ping("berlin", "lisbon", Family::V4).is_err(),
        "lisbon is gone"
    );
    network.lab.stop()
}

#[test]
fn a_changed_policy_moves_flows_that_are_under_way() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    let stream = network.stream("berlin", "lisbon", STANDARD, Family::V4)?;
    std::thread::sleep(Duration::from_secs(1));
    let count = |network: &Network| -> Result<u64> {
        Ok(network
            .tunnel_packets("berlin")?
            .get("pat-2-2")
            .map_or(0, |(_, tx)| *tx))
    };
    let before = count(&network)?;
    let berlin = network.patronus.at("berlin")?;
    let policies = berlin.config()["policies"].as_array_mut().expect("a list");
    policies.push(serde_json::json!({
        "name": "that-one", "priority": 7, "class": "bulk",
        "match": { "protocol": "udp", "ports": STANDARD },
    }));
    berlin.write_config()?;
    berlin.patronus(&["reload"])?;
    std::thread::sleep(Duration::from_secs(2));
    let report = stream.stop();
    assert!(
        count(&network)? - before > 500,
        "the stream did not move to the path of bulk"
    );
    assert_eq!(report.lost(), 0, "{report:?}");
    network.lab.stop()
}
