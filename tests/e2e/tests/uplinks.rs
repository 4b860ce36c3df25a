//! Uplinks that are hard to live with: behind NAT, and with addresses that change.

use std::time::Duration;

use anyhow::{Context, Result};
use patronus_e2e::network::{BULK, PATIENCE, VOICE};
use patronus_e2e::{Family, Network, alone};
use patronus_lab::Cut;

#[test]
fn uplinks_behind_nat_and_on_dhcp_come_up_and_come_back() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/hard-uplinks.yaml"))?;
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    let bulk = network.connection("lisbon", "berlin", BULK)?;
    std::thread::sleep(Duration::from_secs(1));

    let new = network.lab.change_address("lisbon", "lte")?;
    let new = new.address.to_string();
    // Until then all may seem well because nobody has noticed.
    network.wait_until(PATIENCE, |network| {
        Ok(heard_from(network, "berlin", "pat-2-2")?.contains(&new))
    })?;
    network.patronus.wait_until_well(PATIENCE)?;

    network.lab.cut("lisbon", "fibre", Cut::Swallow)?;
    std::thread::sleep(Duration::from_secs(3));
    network.ping("berlin", "lisbon", Family::V4)?;
    network.lab.heal("lisbon", "fibre")?;
    network.patronus.wait_until_well(PATIENCE)?;

    let report = stream.stop();
    let blackout = report.longest_blackout_ms();
    assert!(blackout > 0.0 && blackout < 2000.0, "{report:?}");
    let report = bulk.stop();
    assert_eq!((report.broken, report.damaged_at), (None, None));
    network.lab.stop()
}

/// Where a router last heard each peer of a tunnel.
fn heard_from(network: &Network, site: &str, tunnel: &str) -> Result<String> {
    let node = network.lab.router(site)?.node().clone();
    node.run(["wg", "show", tunnel, "endpoints"])
}

#[test]
fn a_nat_that_forgets_its_bindings_is_passed_again_without_help() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/hard-uplinks.yaml"))?;
    std::thread::sleep(Duration::from_secs(6));
    let moves = (
        network.moves("berlin", "voice")?,
        network.moves("lisbon", "voice")?,
    );
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    std::thread::sleep(Duration::from_secs(1));

    // With traffic on it. What comes from outside is refused until something goes out again.
    let before = heard_from(&network, "berlin", "pat-1-1")?;
    assert!(network.lab.forget_nat("lisbon", "fibre")? > 0);
    network.wait_until(PATIENCE, |network| {
        Ok(heard_from(network, "berlin", "pat-1-1")? != before)
    })?;
    std::thread::sleep(Duration::from_secs(2));
    network.patronus.wait_until_well(Duration::ZERO)?;
    assert_eq!(network.path_of("berlin", "lisbon", "voice")?, "fibre→fibre");
    let after = (
        network.moves("berlin", "voice")?,
        network.moves("lisbon", "voice")?,
    );
    assert_eq!(after, moves, "a new binding is no reason to move");

    // While the path is down, so that both ends know nothing of each other that is still true.
    let before = heard_from(&network, "berlin", "pat-1-1")?;
    network.lab.cut("lisbon", "fibre", Cut::Swallow)?;
    std::thread::sleep(Duration::from_secs(3));
    assert!(network.lab.forget_nat("lisbon", "fibre")? > 0);
    network.lab.heal("lisbon", "fibre")?;
    network.patronus.wait_until_well(PATIENCE)?;
    assert_ne!(heard_from(&network, "berlin", "pat-1-1")?, before);
    network.wait_until(PATIENCE, |network| {
        Ok(network.path_of("berlin", "lisbon", "voice")? == "fibre→fibre")
    })?;

    let report = stream.stop();
    let blackout = report.longest_blackout_ms();
    assert!(blackout > 0.0 && blackout < 2000.0, "{report:?}");
    network.lab.stop()
}

#[test]
fn a_call_goes_on_when_the_address_of_its_path_changes() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up_with(
        include_str!("../topologies/hard-uplinks.yaml"),
        |_, config| {
            // Voice on the uplink whose address changes; bulk is there already.
            config["classes"][0]["strategy"] =
                serde_json::json!({ "preference": ["lte", "fibre"] });
        },
    )?;
    std::thread::sleep(Duration::from_secs(6));
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    let connections = [
        network.connection("berlin", "lisbon", BULK)?,
        network.connection("lisbon", "berlin", BULK)?,
    ];
    // Twice: the second address is of the network which the first one was of.
    for _ in 0..2 {
        for (from, to, class) in [
            ("berlin", "lisbon", "voice"),
            ("lisbon", "berlin", "voice"),
            ("lisbon", "berlin", "bulk"),
        ] {
            network.wait_until(PATIENCE, |network| {
                Ok(network.path_of(from, to, class)? == "lte→lte")
            })?;
        }
        std::thread::sleep(Duration::from_secs(1));
        let old = network.lab.leased_address("lisbon", "lte")?;
        let heard = heard_from(&network, "berlin", "pat-2-2")?;
        assert!(heard.contains(&old.context("a lease")?), "{heard}");
        let new = network.lab.change_address("lisbon", "lte")?;
        let new = new.address.to_string();
        network.wait_until(PATIENCE, |network| {
            Ok(heard_from(network, "berlin", "pat-2-2")?.contains(&new))
        })?;
        network.patronus.wait_until_well(PATIENCE)?;
    }
    let report = stream.stop();
    let blackout = report.longest_blackout_ms();
    assert!(
        blackout > 0.0,
        "the change was not felt, so nothing was tested"
    );
    assert!(blackout < 2000.0, "{report:?}");
    for connection in connections {
        let report = connection.stop();
        assert!(
            report.broken.is_none() && report.damaged_at.is_none() && report.bytes > 500_000,
            "{report:?}"
        );
    }
    network.lab.stop()
}

#[test]
fn each_underlay_has_its_own_family_and_tunnels_stay_within_it() -> Result<()> {
    let mut network = Network::up(include_str!("../topologies/ipv6-underlay.yaml"))?;
    let paths = network.patronus.at("berlin")?.json(&["paths"])?;
    assert_eq!(paths.as_array().map(Vec::len), Some(2), "{paths:#}");
    // The outer headers of IPv6 are 20 bytes longer.
    let node = network.lab.router("berlin")?.node().clone();
    for (tunnel, mtu) in [("pat-1-1", "mtu 1420"), ("pat-2-2", "mtu 1440")] {
        let link = node.run(["ip", "link", "show", tunnel])?;
        assert!(link.contains(mtu), "{link}");
    }
    // A connection that fills its packets passes both ways, so the MSS is right.
    let connection = network.connection("berlin", "lisbon", BULK)?;
    std::thread::sleep(Duration::from_secs(2));
    let report = connection.stop();
    assert!(
        report.bytes > 100_000 && report.broken.is_none(),
        "{report:?}"
    );
    network.lab.cut("berlin", "fibre", Cut::Swallow)?;
    std::thread::sleep(Duration::from_secs(1));
    network.ping("lisbon", "berlin", Family::V6)?;
    network.lab.stop()
}
