//! Every LAN reaches every LAN, and each class uses its path.

use std::time::Duration;

use anyhow::Result;
use patronus_e2e::network::{BULK, STANDARD, VOICE};
use patronus_e2e::{Carried, Family, Network, alone};

#[test]
fn every_lan_reaches_every_lan_and_each_class_uses_its_path_in_both_directions() -> Result<()> {
    let _alone = alone();
    let network = Network::up_with(
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
    network.lab.stop()
}
