//! Uplinks that are hard to live with: behind NAT, and with addresses that change.

use std::time::Duration;

use anyhow::Result;
use patronus_e2e::network::{BULK, PATIENCE, VOICE};
use patronus_e2e::{Family, Network};
use patronus_lab::Cut;

#[test]
fn uplinks_behind_nat_and_on_dhcp_come_up_and_come_back() -> Result<()> {
    let network = Network::up(include_str!("../topologies/hard-uplinks.yaml"))?;
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    let bulk = network.connection("lisbon", "berlin", BULK)?;
    std::thread::sleep(Duration::from_secs(1));

    network.lab.change_address("lisbon", "lte")?;
    network.patronus.wait_until_well(PATIENCE)?;

    network.lab.cut("lisbon", "fibre", Cut::Swallow)?;
    std::thread::sleep(Duration::from_secs(3));
    network.ping("berlin", "lisbon", Family::V4)?;
    network.lab.heal("lisbon", "fibre")?;
    network.patronus.wait_until_well(PATIENCE)?;

    let report = stream.stop();
    assert!(report.longest_blackout_ms() < 2000.0, "{report:?}");
    let report = bulk.stop();
    assert_eq!((report.broken, report.damaged_at), (None, None));
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
