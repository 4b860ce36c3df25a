//! A site to which no path is left, and a hub that still reaches it.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use patronus_e2e::network::{PATIENCE, STANDARD, VOICE, pause};
use patronus_e2e::stalls::LONG_MS;
use patronus_e2e::{Carried, Controls, Family, Network, alone};
use patronus_lab::traffic::Blackout;

const MESH_AND_HUB: &str = include_str!("../topologies/mesh-and-hub.yaml");
const SITES: [(&str, &str); 2] = [("berlin", "lisbon"), ("lisbon", "berlin")];
/// By which the hub relays what the sites send each other.
const LEGS: [(&str, &str); 2] = [("berlin", "hub"), ("hub", "lisbon")];
/// Its hold time is 9 s: what it has to say to a failure, it has said by then.
const UNTIL_BGP_HAS_NOTICED: u64 = 15;
/// How often it is waited for seconds in which the machine does not stall.
const ATTEMPTS: u32 = 6;

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

/// Says what is wrong for some seconds, unless the machine stalls in them: a path of which nothing is
/// heard for long enough is left then, as it should be.
fn holds(
    network: &mut Network,
    mut wrong: impl FnMut(&mut Network) -> Result<Option<String>>,
) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let controls = Controls::between(network, &LEGS, 9200)?;
        // Longer than a path has to be well before it is taken again.
        pause(4);
        let wrong = wrong(network)?;
        match (wrong, controls.stop().any()) {
            (None, _) => return Ok(()),
            (Some(_), true) => {}
            (Some(wrong), false) => bail!("{wrong}"),
        }
    }
    bail!("the machine stalls all the time")
}

#[test]
fn traffic_goes_by_a_hub_while_no_path_to_its_site_is_left_and_returns() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(MESH_AND_HUB)?;
    pause(6);
    // By the same tunnels as what the hub relays, and never relayed themselves.
    let controls = Controls::between(&network, &LEGS, 9100)?;
    let streams = [
        network.stream("berlin", "lisbon", VOICE, Family::V4)?,
        network.stream("berlin", "lisbon", STANDARD, Family::V6)?,
    ];
    let connections = [
        network.connection("berlin", "lisbon", STANDARD)?,
        network.connection("lisbon", "berlin", STANDARD)?,
    ];
    pause(1);
    let parting = Instant::now();
    part(&network, "berlin", "lisbon")?;
    let parted = Instant::now();
    pause(UNTIL_BGP_HAS_NOTICED);
    for (from, _) in SITES {
        holds(&mut network, |network| {
            let carried = Carried::at(network, from, || {
                pause(2);
                Ok(())
            })?;
            let by_the_hub = carried.is_by("pat-1-1-1");
            Ok((!by_the_hub).then(|| format!("at {from}: {carried:?}")))
        })?;
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
    let mut moves = network.all_moves()?;
    holds(&mut network, |network| {
        pause(1);
        let before = std::mem::replace(&mut moves, network.all_moves()?);
        Ok((moves != before).then(|| format!("{} moves without cause", moves - before)))
    })?;
    let streams = streams.map(|stream| (stream.begun(), stream.stop()));
    let stalls = controls.stop();
    for (begun, report) in &streams {
        for flow in [Some(&report.a_to_b), report.b_to_a.as_ref()] {
            let flow = flow.context("both ways")?;
            let since = |at: Instant| (at - *begun).as_secs_f64() * 1000.0;
            // The last packet before it was on its way, or in a queue, when they were parted.
            let felt = since(parting) - flow.delay.context("arrivals")?.max_ms..since(parted);
            let of_the_cut = |blackout: &Blackout| felt.contains(&blackout.start_ms);
            let cut = flow.blackouts.iter().filter(|it| of_the_cut(it));
            let cut = cut.map(|it| it.duration_ms).fold(0.0, f64::max);
            assert!(LONG_MS < cut && cut < 2000.0, "{cut} ms of {flow:?}");
            let mut others = stalls.unexplained(*begun, flow);
            others.retain(|blackout| !of_the_cut(blackout));
            assert_eq!(others, [], "with {stalls:?} and {flow:?}");
        }
    }
    for connection in connections {
        let report = connection.stop();
        assert_eq!((report.broken, report.damaged_at), (None, None));
    }
    network.lab.stop()
}
