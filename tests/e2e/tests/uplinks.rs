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
