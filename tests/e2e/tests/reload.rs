//! Configurations that change while traffic flows.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON, which gives null for what is missing"
)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use patronus_e2e::network::{BULK, STANDARD, VOICE, pause};
use patronus_e2e::{Family, Network, State, alone};
use patronus_lab::Cut;
use serde_json::{Value, json};

/// A file that is broken, and what must be said about it.
struct Broken {
    what: &'static str,
    spoil: fn(&mut Value),
    said: &'static [&'static str],
}

/// Besides the line of the file, which each must name.
const BROKEN: [Broken; 4] = [
    Broken {
        what: "things that do not exist or cannot be",
        spoil: |config| {
            config["policies"][0]["class"] = "no-such-class".into();
            config["uplinks"][0]["slot"] = 99.into();
        },
        said: &[
            "no-such-class",
            "policies[0].class",
            "uplinks[0].slot",
            "99",
        ],
    },
    Broken {
        what: "a key that nobody knows, beside changes that would be good",
        spoil: |config| {
            config["sites"] = json!([]);
            config["bgp"]["colour"] = "blue".into();
        },
        said: &["bgp", "colour"],
    },
    Broken {
        what: "prefixes which overlap",
        spoil: |config| config["lans"][0]["prefixes"] = json!(["10.1.0.0/24", "10.1.0.0/25"]),
        said: &["lans[0].prefixes", "10.1.0.0/25"],
    },
    Broken {
        what: "no map at all",
        spoil: |config| *config = json!(["a", "list"]),
        said: &["list"],
    },
];

#[test]
fn a_broken_configuration_changes_nothing_loses_nothing_and_says_why() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    pause(6);
    let streams = [
        network.stream("berlin", "lisbon", VOICE, Family::V4)?,
        network.stream("berlin", "lisbon", STANDARD, Family::V6)?,
    ];
    let router = network.lab.router("berlin")?;
    let before = State::of(&router)?;
    let good = network.patronus.at("berlin")?.config().clone();
    for Broken { what, spoil, said } in BROKEN {
        let berlin = network.patronus.at("berlin")?;
        spoil(berlin.config());
        berlin.write_config()?;
        let error = berlin.patronus(&["reload"]).expect_err(what);
        let error = format!("{error:#}");
        for expected in said {
            assert!(
                error.contains(expected),
                "{what}: {expected} is not in: {error}"
            );
        }
        let names_line = |word: &str| {
            let line = word.split_once("config.yaml:").map(|(_, rest)| rest);
            line.is_some_and(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        };
        assert!(error.split_whitespace().any(names_line), "{what}: {error}");
        pause(1);
        assert_eq!(before.changes(&State::of(&router)?), [""; 0], "{what}");
        *network.patronus.at("berlin")?.config() = good.clone();
    }
    for stream in streams {
        let report = stream.stop();
        assert_eq!(report.lost(), 0, "{report:?}");
    }
    // The daemon is none the worse for it: the good file is accepted, and changes nothing either.
    let berlin = network.patronus.at("berlin")?;
    berlin.write_config()?;
    berlin.patronus(&["reload"])?;
    pause(1);
    assert_eq!(before.changes(&State::of(&router)?), [""; 0]);
    network.lab.stop()
}

#[test]
fn a_good_configuration_applies_only_the_difference() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/three-sites.yaml"))?;
    pause(6);
    // One stream on each of the paths to Oslo, which share their tunnels with those to Lisbon.
    let streams = [
        network.stream("berlin", "oslo", VOICE, Family::V4)?,
        network.stream("berlin", "oslo", STANDARD, Family::V6)?,
    ];
    let connection = network.connection("berlin", "oslo", BULK)?;
    pause(1);
    let router = network.lab.router("berlin")?;
    let before = State::of(&router)?;
    // Lisbon goes, and a policy that does not concern the streams comes.
    let berlin = network.patronus.at("berlin")?;
    let sites = berlin.config()["sites"].as_array_mut().expect("a list");
    let lisbon = sites.iter().find(|site| site["id"] == "lisbon").cloned();
    sites.retain(|site| site["id"] != "lisbon");
    let policies = berlin.config()["policies"].as_array_mut().expect("a list");
    policies.push(json!({
        "name": "no-telnet", "priority": 5, "action": "drop",
        "match": { "protocol": "tcp", "ports": 23 },
    }));
    berlin.write_config()?;
    berlin.patronus(&["reload"])?;
    pause(3);
    let changes = before.changes(&State::of(&router)?);
    for stream in streams {
        let report = stream.stop();
        assert_eq!(report.lost(), 0, "{report:?}");
    }
    let report = connection.stop();
    assert_eq!((report.broken, report.damaged_at), (None, None));
    assert!(
        network.ping("berlin", "lisbon", Family::V4).is_err(),
        "lisbon is gone"
    );
    let lisbon = words_of(&lisbon.context("berlin knew lisbon")?);
    let of_lisbon = |change: &str| lisbon.iter().any(|word| change.contains(word.as_str()));
    let id = |change: &str| change.split(' ').nth(3).map(str::to_owned);
    let nexthops: Vec<String> = changes
        .iter()
        .filter(|change| change.starts_with("- nexthop: "))
        .filter_map(|change| id(change))
        .collect();
    for change in &changes {
        let what = change.split(':').next().unwrap_or_default();
        let expected = match what {
            // The rules have a new epoch, so all of their marks are new.
            "- nftables" | "+ nftables" => true,
            "- nexthop" => changes.iter().any(|route| {
                let leads = id(change).is_some_and(|id| route.contains(&format!("nhid {id} ")));
                leads && route.starts_with("- route: ") && of_lisbon(route)
            }),
            "- wireguard" | "- route" | "- route6" | "- FRR" | "- frr.conf" => of_lisbon(change),
            _ => false,
        };
        assert!(expected, "{change}\nin {changes:#?}");
    }
    assert_eq!(nexthops.len(), 3, "one for each class: {changes:#?}");
    for gone in [
        "- wireguard: pat-2-1 ",
        "- FRR: ",
        "- frr.conf: ",
        "- route6: ",
    ] {
        let gone_there = changes.iter().any(|change| change.starts_with(gone));
        assert!(gone_there, "no {gone:?} in {changes:#?}");
    }
    network.lab.stop()
}

/// What only lines about this remote site contain: its addresses, networks and keys.
fn words_of(site: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let uplinks = site["uplinks"].as_array().into_iter().flatten();
    let keys = uplinks.map(|uplink| text(&uplink["public_key"]));
    let overlay = [
        text(&site["overlay"]["ipv4"]),
        text(&site["overlay"]["ipv6"]),
    ];
    let lans = ["10.2.0.0/24".to_owned(), "fd00:2::/64".to_owned()];
    keys.chain(overlay).chain(lans).collect()
}

#[test]
fn a_changed_policy_moves_flows_that_are_under_way() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    let stream = network.stream("berlin", "lisbon", STANDARD, Family::V4)?;
    pause(1);
    let count = |network: &Network| -> Result<u64> {
        Ok(network
            .tunnel_packets("berlin")?
            .get("pat-2-2")
            .map_or(0, |(_, tx)| *tx))
    };
    let before = count(&network)?;
    let berlin = network.patronus.at("berlin")?;
    let policies = berlin.config()["policies"].as_array_mut().expect("a list");
    policies.push(serde_json::json!({
        "name": "that-one", "priority": 7, "class": "bulk",
        "match": { "protocol": "udp", "ports": STANDARD },
    }));
    berlin.write_config()?;
    berlin.patronus(&["reload"])?;
    // A second of the stream; a busy machine may take its time over a reload.
    let deadline = Instant::now() + Duration::from_secs(15);
    while count(&network)? - before <= 500 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    let report = stream.stop();
    assert!(
        count(&network)? - before > 500,
        "the stream did not move to the path of bulk"
    );
    assert_eq!(report.lost(), 0, "{report:?}");
    network.lab.stop()
}

#[test]
fn an_uplink_that_a_reload_removes_is_left_by_the_far_end_at_once() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    pause(6);
    // It goes over the uplink that is removed.
    assert_eq!(network.path_of("lisbon", "berlin", "voice")?, "fibre→fibre");
    let stream = network.stream("lisbon", "berlin", VOICE, Family::V4)?;
    pause(1);
    let berlin = network.patronus.at("berlin")?;
    let uplinks = berlin.config()["uplinks"]
        .as_array_mut()
        .context("a list")?;
    uplinks.retain(|uplink| uplink["name"] != "fibre");
    let classes = berlin.config()["classes"]
        .as_array_mut()
        .context("a list")?;
    for class in classes {
        class["strategy"] = json!({ "preference": ["lte"] });
    }
    berlin.write_config()?;
    berlin.patronus(&["reload"])?;
    pause(5);
    let blackout = stream.stop().longest_blackout_ms();
    assert!(blackout < 2000.0, "{blackout} ms");
    assert_eq!(network.path_of("lisbon", "berlin", "voice")?, "fibre→lte");
    network.lab.stop()
}

#[test]
fn a_path_that_was_up_with_another_overlay_address_is_not_taken_to_be_up() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    pause(6);
    assert_eq!(network.path_of("berlin", "lisbon", "voice")?, "fibre→fibre");
    let states = |network: &mut Network| -> Result<Vec<String>> {
        let paths = network.patronus.at("berlin")?.json(&["paths"])?;
        let paths = paths.as_array().context("a list")?.iter();
        Ok(paths
            .map(|path| path["status"].as_str().unwrap_or_default().to_lowercase())
            .collect())
    };
    // While Lisbon does not know the new address, nothing can come up.
    network.lab.cut("berlin", "fibre", Cut::Swallow)?;
    let berlin = network.patronus.at("berlin")?;
    berlin.config()["overlay"]["ipv4"] = "10.255.0.9/16".into();
    berlin.write_config()?;
    let said = berlin.patronus(&["reload"])?;
    assert!(said.contains("the overlay address 10.255.0.1"), "{said}");
    network.wait_until(Duration::from_secs(15), |network| {
        Ok(states(network)?.iter().all(|state| state == "down"))
    })?;
    // It learns it, and what leads over the dead uplink stays down.
    let lisbon = network.patronus.at("lisbon")?;
    lisbon.config()["sites"][0]["overlay"]["ipv4"] = "10.255.0.9".into();
    lisbon.write_config()?;
    lisbon.patronus(&["reload"])?;
    network.wait_until(Duration::from_secs(15), |network| {
        let way = network.path_of("berlin", "lisbon", "voice")?;
        let up = states(network)?.iter().filter(|it| *it == "up").count();
        Ok(way.starts_with("lte→") && up == 2)
    })?;
    network.wait_for_routes(Duration::from_secs(30))?;
    network.lab.stop()
}
