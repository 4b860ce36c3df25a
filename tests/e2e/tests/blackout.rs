//! An uplink fails in each of the ways in which uplinks fail, and traffic goes on.

use anyhow::Result;
use patronus_e2e::network::{BULK, STANDARD, VOICE, pause};
use patronus_e2e::{Family, Network, alone};
use patronus_lab::Cut;

/// What the issue asks of a machine that does other things as well; the benchmark reports what is
/// really reached.
const LIMIT_MS: f64 = 2000.0;

#[test]
fn streams_and_connections_survive_every_kind_of_cut_and_every_heal() -> Result<()> {
    let _alone = alone();
    let mut network =
        Network::up_with(include_str!("../topologies/two-sites.yaml"), |_, config| {
            // Eight cuts in two minutes would otherwise be taken for flapping.
            config["health"] =
                serde_json::json!({ "dampening": { "suppress": 1_000_000, "ceiling": 1_000_000 } });
        })?;
    let connection = network.connection("berlin", "lisbon", STANDARD)?;
    for cut in [Cut::Carrier, Cut::Swallow, Cut::Tx, Cut::Rx] {
        for family in [Family::V4, Family::V6] {
            let stream = network.stream("berlin", "lisbon", VOICE, family)?;
            pause(1);
            network.lab.cut("berlin", "fibre", cut)?;
            pause(3);
            assert_eq!(
                network
                    .path_of("berlin", "lisbon", "voice")?
                    .split('→')
                    .next(),
                Some("lte")
            );
            network.lab.heal("berlin", "fibre")?;
            network
                .patronus
                .wait_until_well(patronus_e2e::network::PATIENCE)?;
            // Longer than the hold of 3 s, so that traffic is back on the fibre.
            pause(5);
            let report = stream.stop();
            let blackout = report.longest_blackout_ms();
            assert!(
                blackout > 0.0,
                "{cut} {family:?}: the cut was not felt, so nothing was tested"
            );
            assert!(blackout < LIMIT_MS, "{cut} {family:?}: {blackout} ms");
            // One blackout for the cut, and none for the heal, in either direction.
            for flow in [Some(&report.a_to_b), report.b_to_a.as_ref()]
                .into_iter()
                .flatten()
            {
                let long = flow
                    .blackouts
                    .iter()
                    .filter(|blackout| blackout.duration_ms > 50.0);
                assert!(long.count() <= 1, "{cut} {family:?}: {:?}", flow.blackouts);
            }
            assert_eq!(network.path_of("berlin", "lisbon", "voice")?, "fibre→fibre");
        }
    }
    let report = connection.stop();
    assert_eq!((report.broken, report.damaged_at), (None, None));
    network.lab.stop()
}

#[test]
fn an_uplink_that_flaps_ten_times_a_minute_does_not_move_traffic_back_and_forth() -> Result<()> {
    let _alone = alone();
    let mut network =
        Network::up_with(include_str!("../topologies/two-sites.yaml"), |_, config| {
            // So short a hold that only dampening can keep traffic away.
            config["classes"][0]["failover"] =
                serde_json::json!({ "hold": "500ms", "cooldown": "0s" });
        })?;
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    pause(1);
    network.lab.cut("berlin", "fibre", Cut::FLAP)?;
    pause(24);
    let settled = network.moves("berlin", "voice")?;
    assert!(
        settled >= 1,
        "the flapping was not felt, so nothing was tested"
    );
    pause(24);
    assert_eq!(
        network.moves("berlin", "voice")?,
        settled,
        "it still moves after four flaps"
    );
    let path = network.path_of("berlin", "lisbon", "voice")?;
    assert_eq!(path.split('→').next(), Some("lte"));
    let report = stream.stop();
    assert!(report.longest_blackout_ms() < LIMIT_MS, "{report:?}");
    network.lab.stop()
}

#[test]
fn nothing_moves_without_cause() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    pause(6);
    let before = network.all_moves()?;
    let streams = [
        network.stream("berlin", "lisbon", VOICE, Family::V4)?,
        network.stream("berlin", "lisbon", STANDARD, Family::V6)?,
    ];
    let connection = network.connection("lisbon", "berlin", BULK)?;
    pause(60);
    let lost: u64 = streams.into_iter().map(|stream| stream.stop().lost()).sum();
    let report = connection.stop();
    assert_eq!((report.broken, report.damaged_at), (None, None));
    assert_eq!(network.all_moves()?, before);
    assert_eq!(lost, 0);
    network.lab.stop()
}
