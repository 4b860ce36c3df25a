//! A site to which no path is left, and a hub that still reaches it.

use anyhow::{Context, Result};
use patronus_e2e::network::{PATIENCE, STANDARD, VOICE, pause};
use patronus_e2e::{Carried, Family, Network, alone};

const MESH_AND_HUB: &str = include_str!("../topologies/mesh-and-hub.yaml");
const SITES: [(&str, &str); 2] = [("berlin", "lisbon"), ("lisbon", "berlin")];
/// Its hold time is 9 s: what it has to say to a failure, it has said by then.
const UNTIL_BGP_HAS_NOTICED: u64 = 15;

/// Lets the providers drop what two sites send each other, while each still reaches everybody else.
fn part(network: &Network, a: &str, b: &str) -> Result<()> {
    let addresses = |name: &str| -> Result<String> {
        let mut sites = network.lab.plan().sites.iter();
        let site = sites.find(|site| site.name == name).context("a site")?;
        let uplinks = site.uplinks.iter().filter_map(|uplink| uplink.ipv4);
        let addresses: Vec<String> = uplinks.map(|it| it.address.to_string()).collect();
        Ok(addresses.join(", "))
    };
    let (a, b) = (addresses(a)?, addresses(b)?);
    let rules = format!(
        "table ip parted {{ chain forward {{ type filter hook forward priority 0; \
         ip saddr {{ {a} }} ip daddr {{ {b} }} drop; ip saddr {{ {b} }} ip daddr {{ {a} }} drop; \
         }}; }}\n"
    );
    at_providers(network, &["nft", "-f", "-"], &rules)
}

fn join(network: &Network) -> Result<()> {
    at_providers(network, &["nft", "delete", "table", "ip", "parted"], "")
}

fn at_providers(network: &Network, command: &[&str], input: &str) -> Result<()> {
    for isp in ["telco", "mobile"] {
        let node = network.lab.node(isp)?;
        node.run_with_input(command.iter().copied(), input)?;
    }
    Ok(())
}

#[test]
fn traffic_goes_by_a_hub_while_no_path_to_its_site_is_left_and_returns() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(MESH_AND_HUB)?;
    pause(6);
    let streams = [
        network.stream("berlin", "lisbon", VOICE, Family::V4)?,
        network.stream("berlin", "lisbon", STANDARD, Family::V6)?,
    ];
    let connections = [
        network.connection("berlin", "lisbon", STANDARD)?,
        network.connection("lisbon", "berlin", STANDARD)?,
    ];
    pause(1);
    part(&network, "berlin", "lisbon")?;
    pause(UNTIL_BGP_HAS_NOTICED);
    for (from, _) in SITES {
        let carried = Carried::at(&network, from, || {
            pause(2);
            Ok(())
        })?;
        for by in [carried.came_by(), carried.left_by()] {
            assert_eq!(by, "pat-1-1-1", "at {from}: {carried:?}");
        }
    }
    // The hub has carried the BGP sessions on as well, so that it still knows whose each prefix is.
    let bgp = network.patronus.at("berlin")?.json(&["bgp"])?;
    let mut neighbors = bgp["neighbors"].as_array().context("no list")?.iter();
    assert!(neighbors.all(|it| it["established"] == true), "{bgp:#}");
    let routes = network.patronus.at("berlin")?.json(&["routes"])?;
    let mut routes = routes.as_array().context("no list")?.iter();
    assert!(routes.any(|it| it["prefix"] == "10.2.0.0/24" && it["siteId"] == "lisbon"));
    join(&network)?;
    network.patronus.wait_until_well(PATIENCE)?;
    let best = [
        ("voice", "fibre→fibre"),
        ("standard", "fibre→fibre"),
        ("bulk", "lte→lte"),
    ];
    for (from, to) in SITES {
        for (class, path) in best {
            network.wait_until(PATIENCE, |network| {
                Ok(network.path_of(from, to, class)? == path)
            })?;
        }
    }
    let moves = network.all_moves()?;
    pause(5);
    for stream in streams {
        let report = stream.stop();
        for flow in [Some(&report.a_to_b), report.b_to_a.as_ref()] {
            let blackouts = &flow.context("both ways")?.blackouts;
            let long: Vec<f64> = blackouts
                .iter()
                .map(|blackout| blackout.duration_ms)
                .filter(|ms| *ms > 50.0)
                .collect();
            assert!(
                matches!(long.as_slice(), [once] if *once < 2000.0),
                "{long:?} ms"
            );
        }
    }
    assert_eq!(network.all_moves()?, moves);
    for connection in connections {
        let report = connection.stop();
        assert_eq!((report.broken, report.damaged_at), (None, None));
    }
    network.lab.stop()
}
