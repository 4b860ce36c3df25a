//! BGP neighbours outside the overlay: a router in a LAN that announces what a site announces too.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON, which gives null for what is missing"
)]

use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context, Result};
use patronus_e2e::network::{PATIENCE, pause};
use patronus_e2e::{Family, Network};
use patronus_lab::{Node, Process};
use serde_json::json;

/// In a LAN of Lisbon, and behind a router in the LAN of Berlin.
const SHARED: &str = "10.99.0.0/24";
/// A host in it that only Lisbon has.
const OF_LISBON: &str = "10.99.0.10";
/// The first host of Berlin.
const HOST: &str = "10.1.0.11";
/// Around everything in the LANs, and so nearer to nothing.
const AROUND: &str = "10.0.0.0/9";

/// A BGP speaker without a kernel's routes of its own.
struct Speaker {
    node: Node,
    _bgpd: Process,
}

impl Speaker {
    /// Starts it beside a router: of what all announce alike, what it announces is preferred.
    fn start(node: &Node, router: IpAddr, asn: &str) -> Result<Self> {
        let config = format!(
            "router bgp 65077\n bgp router-id 1.1.1.1\n no bgp ebgp-requires-policy\n \
             no bgp network import-check\n neighbor {router} remote-as {asn}\n \
             neighbor {router} timers 3 9\n neighbor {router} timers connect 1\n"
        );
        node.write_file("/etc/frr/speaker/bgpd.conf", config)?;
        node.run(["mkdir", "-p", "/run/frr/speaker"])?;
        let mut bgpd = Command::new("/usr/lib/frr/bgpd");
        bgpd.args(["--no_zebra", "--skip_runas", "--vty_port", "0"])
            .args(["--config_file", "/etc/frr/speaker/bgpd.conf"])
            .args(["--pid_file", "/run/frr/speaker/bgpd.pid"])
            .args(["--vty_socket", "/run/frr/speaker"]);
        Ok(Self {
            node: node.clone(),
            _bgpd: node.spawn(&bgpd)?,
        })
    }

    fn configure(&self, line: &str) -> Result<()> {
        let vtysh = ["vtysh", "--vty_socket", "/run/frr/speaker", "-d", "bgpd"];
        let lines = [
            "configure terminal",
            "router bgp 65077",
            "address-family ipv4 unicast",
            line,
        ];
        let lines = lines.iter().flat_map(|line| ["-c", line]);
        self.node.run(vtysh.into_iter().chain(lines)).map(drop)
    }
}

/// By which interface Berlin sends a packet from its LAN.
fn way(network: &Network, to: &str) -> Result<String> {
    let router = network.lab.router("berlin")?;
    let lan = &router.plan().lans[0].interface;
    let from = network.address("berlin", Family::V4)?.to_string();
    let asked = ["ip", "-j", "route", "get", to, "from", &from, "iif", lan];
    let said: serde_json::Value = serde_json::from_str(&router.node().run(asked)?)?;
    let by = said[0]["dev"].as_str().context("no interface")?;
    Ok(by.to_owned())
}

#[test]
fn the_best_path_of_a_prefix_may_change_between_a_site_and_a_neighbour() -> Result<()> {
    let speaker = std::cell::Cell::new(None);
    let mut network = Network::start(
        include_str!("../topologies/two-sites.yaml"),
        |site, config| {
            if site == "lisbon" {
                let prefixes = config["lans"][0]["prefixes"].as_array_mut();
                prefixes.expect("a list").push(SHARED.into());
            } else {
                speaker.set(Some(config["bgp"]["asn"].clone()));
                config["bgp"]["neighbors"] = json!([{ "address": HOST, "asn": 65077 }]);
            }
        },
    )?;
    let lisbon = network.lab.host("lisbon", 1)?;
    lisbon
        .node()
        .run(["ip", "address", "add", OF_LISBON, "dev", "lo"])?;
    let via = network.address("lisbon", Family::V4)?.to_string();
    let router = network.lab.router("lisbon")?.node().clone();
    router.run(["ip", "route", "add", SHARED, "via", &via])?;

    let host = network.lab.host("berlin", 1)?;
    let asn = speaker.take().context("a number")?.to_string();
    let gateway = network.lab.router("berlin")?;
    let mut gateways = gateway.plan().lans[0].router.iter().map(|it| it.address);
    let gateway = gateways.find(IpAddr::is_ipv4).context("an address")?;
    let speaker = Speaker::start(host.node(), gateway, &asn)?;
    network.patronus.wait_until_well(PATIENCE)?;

    let lan = network.lab.router("berlin")?.plan().lans[0]
        .interface
        .clone();
    let overlay = |way: &str| way.starts_with("pat-");
    network.wait_until(PATIENCE, |network| Ok(overlay(&way(network, OF_LISBON)?)))?;
    for _ in 0..2 {
        speaker.configure(&format!("network {SHARED}"))?;
        network.wait_until(PATIENCE, |network| Ok(way(network, OF_LISBON)? == lan))?;
        // The session stays, and Lisbon's is the best path again.
        speaker.configure(&format!("no network {SHARED}"))?;
        network.wait_until(PATIENCE, |network| Ok(overlay(&way(network, OF_LISBON)?)))?;
    }
    network.patronus.wait_until_well(PATIENCE)?;
    host.node()
        .run(["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", OF_LISBON])?;

    // A part of it goes to the neighbour, which is right and hardly wanted.
    speaker.configure("network 10.99.0.0/25")?;
    network.wait_until(PATIENCE, |network| Ok(way(network, OF_LISBON)? == lan))?;
    let status = network.patronus.at("berlin")?.json(&["status"])?;
    assert!(
        status
            .to_string()
            .contains("10.99.0.0/25 goes to 10.1.0.11 on"),
        "{status:#}"
    );
    speaker.configure("no network 10.99.0.0/25")?;
    network.wait_until(PATIENCE, |network| Ok(overlay(&way(network, OF_LISBON)?)))?;
    network.patronus.wait_until_well(PATIENCE)?;

    // What it has that nobody else has goes to it; what is nearer does not.
    speaker.configure(&format!("network {AROUND}"))?;
    network.wait_until(PATIENCE, |network| Ok(way(network, "10.77.0.1")? == lan))?;
    network.ping("berlin", "lisbon", Family::V4)?;
    let explained = ["explain", "--src", "10.1.0.77", "--dst", "10.77.0.1"];
    let explained = network.patronus.at("berlin")?.json(&explained)?;
    let because = explained["because"].as_str().unwrap_or_default();
    assert!(because.contains("BGP neighbour"), "{explained:#}");

    // Nothing of it is left when it is gone, and nobody else has it.
    speaker.configure(&format!("no network {AROUND}"))?;
    network.wait_until(PATIENCE, |network| Ok(way(network, "10.77.0.1").is_err()))?;
    pause(1);
    assert!(way(&network, "10.77.0.1").is_err());
    network.lab.stop()
}
