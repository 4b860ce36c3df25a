//! Who may speak for whom.

use std::time::Instant;

use anyhow::Result;
use patronus_e2e::{Family, Network};
use patronus_lab::traffic::Capture;

#[test]
fn a_mesh_site_that_sends_from_another_sites_prefix_is_dropped() -> Result<()> {
    let network = Network::up(include_str!("../topologies/three-sites.yaml"))?;
    for (family, bits) in [(Family::V4, 32), (Family::V6, 128)] {
        pretend(&network, family, bits)?;
    }
    network.lab.stop()
}

/// Lisbon pretends to be a host of Oslo's.
fn pretend(network: &Network, family: Family, bits: u8) -> Result<()> {
    let lisbon = network.lab.router("lisbon")?.node().clone();
    let berlin = network.lab.host("berlin", 1)?;
    let oslo = network.address("oslo", family)?.to_string();
    let target = network.address("berlin", family)?.to_string();
    let filter = format!("(icmp or icmp6) and src {oslo}");
    let capture = Capture::start(berlin.node(), "eth0", &filter)?;
    let sent = || -> Result<u64> {
        let tunnels = network.tunnel_packets("lisbon")?;
        Ok(tunnels.values().map(|(_, tx)| tx).sum())
    };

    let address = format!("{oslo}/{bits}");
    lisbon.run(["ip", "addr", "add", &address, "dev", "lo"])?;
    let before = sent()?;
    let started = Instant::now();
    let _ = lisbon.run([
        "ping", "-n", "-c", "200", "-i", "0.005", "-W", "1", "-I", &oslo, &target,
    ]);
    // Eight paths at 10 packets of BFD a second, and a few of BGP; the pings come on top.
    let others = u64::try_from(started.elapsed().as_millis())? / 100 * 8 * 2;
    assert!(
        sent()? - before > 200.max(others / 2),
        "{family:?}: nothing was sent, so nothing was tested"
    );
    assert_eq!(capture.packets()?, [""; 0], "{family:?}");
    // And the capture sees Oslo's own.
    lisbon.run(["ip", "addr", "del", &address, "dev", "lo"])?;
    network.ping("oslo", "berlin", family)?;
    assert!(!capture.stop()?.is_empty(), "{family:?}");
    Ok(())
}
