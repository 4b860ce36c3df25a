//! Every LAN reaches every LAN, and each class uses its path.

use std::time::Duration;

use anyhow::Result;
use patronus_e2e::network::{BULK, PATIENCE, STANDARD, VOICE};
use patronus_e2e::{Carried, Family, Network, alone};

#[test]
fn every_lan_reaches_every_lan_and_each_class_uses_its_path_in_both_directions() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up_with(
        include_str!("../topologies/three-sites.yaml"),
        |_, config| {
            // Another path than that of the default class, or nobody would miss the policy.
            config["classes"][0]["strategy"] =
                serde_json::json!({ "preference": ["lte", "fibre"] });
        },
    )?;
    for (from, to) in network.pairs() {
        network.ping(&from, &to, Family::V4)?;
        network.ping(&from, &to, Family::V6)?;
    }
    for family in [Family::V4, Family::V6] {
        for (port, expected) in [(VOICE, "pat-2-2"), (STANDARD, "pat-1-1")] {
            for (site, other) in [("berlin", "lisbon"), ("lisbon", "oslo"), ("oslo", "berlin")] {
                let carried = Carried::at(&network, site, || {
                    let stream = network.stream(site, other, port, family)?;
                    std::thread::sleep(Duration::from_secs(2));
                    let report = stream.stop();
                    assert_eq!(report.lost(), 0, "{report:?}");
                    Ok(())
                })?;
                for by in [carried.came_by(), carried.left_by()] {
                    assert_eq!(by, expected, "port {port} at {site}, {family:?}");
                }
            }
        }
    }
    for site in ["berlin", "lisbon"] {
        let carried = Carried::at(&network, site, || {
            let connection = network.connection("berlin", "lisbon", BULK)?;
            std::thread::sleep(Duration::from_secs(5));
            let report = connection.stop();
            assert!(report.bytes > 500_000, "{report:?}");
            Ok(())
        })?;
        for by in [carried.came_by(), carried.left_by()] {
            assert_eq!(by, "pat-2-2", "bulk at {site}");
        }
    }
    // Nor is anything wrong, by now that everything has settled.
    for (site, _) in network.pairs() {
        network.patronus.at(&site)?.patronus(&["status"])?;
    }
    network.lab.stop()
}

#[test]
fn a_prefix_that_two_sites_announce_is_said_to_be_missing_at_one_of_them() -> Result<()> {
    let three_sites = include_str!("../topologies/three-sites.yaml");
    let mut network = Network::up_with(three_sites, |site, config| {
        let prefixes = config["lans"][0]["prefixes"].as_array_mut();
        if let Some(prefixes) = prefixes.filter(|_| site != "berlin") {
            prefixes.push("10.77.0.0/24".into());
        }
    })?;
    // Of two routers that are otherwise alike, BGP prefers the one with the lower id.
    let lost = "site oslo: of the 3 prefixes received, only 2 are in force";
    network.wait_until(PATIENCE, |network| {
        let status = network.patronus.at("berlin")?.json(&["status"])?;
        Ok(status.to_string().contains(lost))
    })?;
    let status = network.patronus.at("berlin")?.json(&["status"])?;
    assert!(!status.to_string().contains("site lisbon"), "{status:#}");
    network.lab.stop()
}
