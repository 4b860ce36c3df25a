//! What must never happen.

use std::time::Duration;

use anyhow::Result;
use patronus_e2e::network::{STANDARD, VOICE};
use patronus_e2e::{Family, Network};
use patronus_lab::Cut;
use patronus_lab::traffic::Capture;

/// Everything that only the overlay may carry.
const OVERLAY: &str = "net 10.0.0.0/8 or net fd00::/16";

#[test]
fn no_packet_of_the_overlay_leaves_in_the_clear_even_when_all_paths_are_down() -> Result<()> {
    let network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    let mut captures = Vec::new();
    for site in &network.lab.plan().sites {
        for uplink in &site.uplinks {
            let isp = network.lab.node(&uplink.isp)?;
            captures.push(Capture::start(&isp, &uplink.link, OVERLAY)?);
        }
    }
    let v4 = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    let v6 = network.stream("berlin", "lisbon", STANDARD, Family::V6)?;
    std::thread::sleep(Duration::from_secs(1));
    for uplink in ["fibre", "lte"] {
        network.lab.cut("lisbon", uplink, Cut::Swallow)?;
    }
    // Longer than BGP's hold time of 9 s and what lingers after it.
    std::thread::sleep(Duration::from_secs(25));
    assert!(
        network.ping("berlin", "lisbon", Family::V4).is_err(),
        "all paths are down"
    );
    let (v4, v6) = (v4.stop(), v6.stop());
    assert!(v4.lost() > 1000 && v6.lost() > 1000);
    for capture in captures {
        assert_eq!(capture.stop()?, Vec::<String>::new());
    }
    network.lab.stop()
}

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
