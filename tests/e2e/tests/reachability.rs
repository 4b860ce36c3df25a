//! Every LAN reaches every LAN, and each class uses its path.

use std::time::Duration;

use anyhow::Result;
use patronus_e2e::network::{BULK, STANDARD, VOICE};
use patronus_e2e::{Family, Network};

/// Packets that each tunnel of a site carried while something happened, sent and received alike.
fn carried(
    network: &Network,
    site: &str,
    work: impl FnOnce() -> Result<()>,
) -> Result<Vec<(String, u64)>> {
    let before = network.tunnel_packets(site)?;
    work()?;
    let after = network.tunnel_packets(site)?;
    let grown = after.into_iter().map(|(name, (rx, tx))| {
        let (rx_before, tx_before) = before.get(&name).copied().unwrap_or_default();
        (name, (rx - rx_before).min(tx - tx_before))
    });
    Ok(grown.collect())
}

/// The tunnel that carried by far the most in both directions.
fn busiest(mut carried: Vec<(String, u64)>) -> String {
    carried.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
    let [(first, most), (_, next), ..] = carried.as_slice() else {
        panic!("fewer than two tunnels: {carried:?}")
    };
    assert!(
        *most > 500 && *most > next * 3,
        "no tunnel stands out: {carried:?}"
    );
    first.clone()
}

#[test]
fn every_lan_reaches_every_lan_and_each_class_uses_its_path_in_both_directions() -> Result<()> {
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
            for site in ["berlin", "lisbon"] {
                let seen = carried(&network, site, || {
                    let stream = network.stream("berlin", "lisbon", port, family)?;
                    std::thread::sleep(Duration::from_secs(2));
                    let report = stream.stop();
                    assert_eq!(report.lost(), 0, "{report:?}");
                    Ok(())
                })?;
                assert_eq!(busiest(seen), expected, "port {port} at {site}, {family:?}");
            }
        }
    }
    for site in ["berlin", "lisbon"] {
        let seen = carried(&network, site, || {
            let connection = network.connection("berlin", "lisbon", BULK)?;
            std::thread::sleep(Duration::from_secs(5));
            let report = connection.stop();
            assert!(report.bytes > 500_000, "{report:?}");
            Ok(())
        })?;
        assert_eq!(busiest(seen), "pat-2-2", "bulk at {site}");
    }
    network.lab.stop()
}
