//! Who may speak for whom.

use anyhow::Result;
use patronus_e2e::{Family, Network};
use patronus_lab::traffic::Capture;

#[test]
fn a_mesh_site_that_sends_from_another_sites_prefix_is_dropped() -> Result<()> {
    let network = Network::up(include_str!("../topologies/three-sites.yaml"))?;
    // Lisbon pretends to be a host of Oslo's.
    let lisbon = network.lab.router("lisbon")?.node().clone();
    let oslo = network.address("oslo", Family::V4)?;
    let berlin = network.lab.host("berlin", 1)?;
    let target = network.address("berlin", Family::V4)?.to_string();
    lisbon.run(["ip", "addr", "add", &format!("{oslo}/32"), "dev", "lo"])?;
    let capture = Capture::start(berlin.node(), "eth0", &format!("icmp and src {oslo}"))?;
    let from = oslo.to_string();
    let sent = |network: &Network| -> Result<u64> {
        Ok(network
            .tunnel_packets("lisbon")?
            .values()
            .map(|(_, tx)| tx)
            .sum())
    };
    let before = sent(&network)?;
    let started = std::time::Instant::now();
    let _ = lisbon.run([
        "ping", "-n", "-c", "200", "-i", "0.005", "-W", "1", "-I", &from, &target,
    ]);
    // Eight paths at 10 packets of BFD a second, and a few of BGP; the pings come on top.
    let others = u64::try_from(started.elapsed().as_millis())? / 100 * 8 * 2;
    assert!(
        sent(&network)? - before > 200.max(others / 2),
        "nothing was sent, so nothing was tested"
    );
    assert_eq!(capture.stop()?, Vec::<String>::new());
    // And the capture would have seen them.
    let capture = Capture::start(berlin.node(), "eth0", "icmp")?;
    network.ping("oslo", "berlin", Family::V4)?;
    assert!(!capture.stop()?.is_empty());
    network.lab.stop()
}
