//! No packet of the overlay ever leaves an uplink in the clear, whatever dies.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON, which gives null for what is missing"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use patronus_e2e::network::{PATIENCE, STANDARD, VOICE, pause};
use patronus_e2e::{Family, Network};
use patronus_lab::traffic::{Capture, UdpStream};
use patronus_lab::{Cut, Signal};
use serde_json::Value;

/// Everything that only the overlay may carry.
const OVERLAY: &str = "net 10.0.0.0/8 or net fd00::/16";
const UPLINKS: [&str; 2] = ["fibre", "lte"];
const TOPOLOGY: &str = include_str!("../topologies/two-sites.yaml");
/// BGP's hold time is 9 s, and routes which nobody confirms are kept for a while after it.
const UNTIL_BGP_HAS_FORGOTTEN: Duration = Duration::from_secs(25);

/// A capture at the ISP's end of each uplink of each site.
struct Watch(BTreeMap<(String, String), Capture>);

impl Watch {
    fn start(network: &Network) -> Result<Self> {
        let mut captures = BTreeMap::new();
        for site in &network.lab.plan().sites {
            for uplink in &site.uplinks {
                let isp = network.lab.node(&uplink.isp)?;
                let capture = Capture::start(&isp, &uplink.link, OVERLAY)?;
                captures.insert((site.name.clone(), uplink.name.clone()), capture);
            }
        }
        Ok(Self(captures))
    }

    fn assert_nothing_seen(&self, when: &str) -> Result<()> {
        for ((site, uplink), capture) in &self.0 {
            let seen = capture.packets()?;
            assert!(
                seen.is_empty(),
                "{when}: {} packets on {uplink} of {site}: {:#?}",
                seen.len(),
                seen.first()
            );
        }
        Ok(())
    }

    /// How many packets of each family were seen on an uplink.
    fn seen(&self, site: &str, uplink: &str) -> Result<(usize, usize)> {
        let key = (site.to_owned(), uplink.to_owned());
        let packets = self.0.get(&key).context("no such capture")?.packets()?;
        let count = |family: &str| packets.iter().filter(|line| line.contains(family)).count();
        Ok((count(" IP "), count(" IP6 ")))
    }

    /// Fails when a capture has missed packets.
    fn stop(self) -> Result<()> {
        self.0
            .into_values()
            .try_for_each(|capture| capture.stop().map(drop))
    }
}

fn both_families(network: &Network) -> Result<[UdpStream; 2]> {
    Ok([
        network.stream("berlin", "lisbon", VOICE, Family::V4)?,
        network.stream("berlin", "lisbon", STANDARD, Family::V6)?,
    ])
}

fn everywhere(network: &Network, sites: &[&str], cut: Option<Cut>) -> Result<()> {
    for site in sites {
        for uplink in UPLINKS {
            match cut {
                Some(cut) => network.lab.cut(site, uplink, cut)?,
                None => network.lab.heal(site, uplink)?,
            }
        }
    }
    Ok(())
}

/// Lets something happen with traffic running and all captures open; afterwards all is healed.
fn during(
    network: &mut Network,
    watch: &Watch,
    what: &str,
    happen: impl FnOnce(&mut Network) -> Result<()>,
) -> Result<()> {
    let streams = both_families(network)?;
    pause(1);
    happen(network)?;
    for family in [Family::V4, Family::V6] {
        assert!(
            network.ping("berlin", "lisbon", family).is_err(),
            "{what}: still there in {family:?}, so nothing was tested"
        );
    }
    watch.assert_nothing_seen(what)?;
    everywhere(network, &["berlin", "lisbon"], None)?;
    network.patronus.wait_until_well(PATIENCE)?;
    network.wait_for_routes(PATIENCE)?;
    for stream in streams {
        let report = stream.stop();
        assert!(report.lost() > 1000, "{what}: {report:?}");
    }
    watch.assert_nothing_seen(&format!("healing after {what}"))
}

fn kill_the_daemon(network: &mut Network) -> Result<()> {
    let daemon = network.patronus.at("berlin")?.daemon()?;
    daemon.signal(Signal::SIGKILL)?;
    daemon.wait_for(Duration::from_secs(5)).map(drop)
}

fn survive_everything(network: &mut Network) -> Result<()> {
    let watch = Watch::start(network)?;
    let swallow = |network: &Network| everywhere(network, &["lisbon"], Some(Cut::Swallow));

    during(network, &watch, "all carriers lost", |network| {
        everywhere(network, &["berlin", "lisbon"], Some(Cut::Carrier))?;
        pause(5);
        // One end alone has carrier again: what it sends arrives nowhere.
        everywhere(network, &["berlin"], None)?;
        pause(10);
        Ok(())
    })?;
    during(network, &watch, "all paths swallowed", |network| {
        swallow(network)?;
        std::thread::sleep(UNTIL_BGP_HAS_FORGOTTEN);
        watch.assert_nothing_seen("all paths swallowed")?;
        let routes = network.patronus.at("berlin")?.json(&["routes"])?;
        let routes = routes.as_array().into_iter().flatten();
        let is_learned = |route: &&Value| route["origin"] == "bgp" || route["origin"] == "stale";
        let learned: Vec<_> = routes.filter(is_learned).collect();
        assert!(learned.is_empty(), "BGP has not forgotten {learned:?}");
        // A new daemon knows only from the kernel what there was, and still does after a reload.
        let berlin = network.patronus.at("berlin")?;
        berlin.daemon()?.stop(Duration::from_secs(5))?;
        berlin.start_daemon()?;
        berlin.config()["site"]["name"] = "another name".into();
        berlin.write_config()?;
        berlin.patronus(&["reload"])?;
        pause(5);
        Ok(())
    })?;
    during(
        network,
        &watch,
        "a dead daemon, then all paths",
        |network| {
            kill_the_daemon(network)?;
            swallow(network)?;
            std::thread::sleep(UNTIL_BGP_HAS_FORGOTTEN);
            watch.assert_nothing_seen("a dead daemon, then all paths")?;
            // The new one finds no path, and nobody who tells it of prefixes.
            network.patronus.at("berlin")?.start_daemon()?;
            pause(5);
            Ok(())
        },
    )?;
    during(
        network,
        &watch,
        "a dead daemon, then all its tunnels",
        |network| {
            kill_the_daemon(network)?;
            // Their interfaces go with them, and with these all routes that lead there.
            for pid in network.processes("berlin", "wireguard-go")? {
                network
                    .lab
                    .router("berlin")?
                    .node()
                    .run(["kill", "-9", &pid])?;
            }
            pause(3);
            let ping = network.ping("berlin", "lisbon", Family::V4);
            assert!(ping.is_err(), "the tunnels are still there");
            watch.assert_nothing_seen("a dead daemon, then all its tunnels")?;
            // So that it finds no other end when it is back.
            swallow(network)?;
            network.patronus.at("berlin")?.start_daemon()?;
            pause(5);
            Ok(())
        },
    )?;
    control(network, &watch)?;
    watch.stop()
}

/// The same traffic, on the same uplinks, by the same captures: without Patronus it is seen.
fn control(network: &mut Network, watch: &Watch) -> Result<()> {
    let berlin = network.patronus.at("berlin")?;
    berlin.daemon()?.stop(Duration::from_secs(5))?;
    berlin.patronus(&["teardown", "--yes"])?;
    let node = berlin.router().node().clone();
    node.sysctl(&[
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv6.conf.all.forwarding", "1"),
    ])?;
    for uplink in UPLINKS {
        let streams = both_families(network)?;
        pause(2);
        drop(streams);
        let (v4, v6) = watch.seen("berlin", uplink)?;
        assert!(v4 > 500 && v6 > 500, "{uplink}: {v4} and {v6} packets seen");
        // The default route of the other uplink is next.
        node.run(["ip", "route", "del", "default"])?;
        node.run(["ip", "-6", "route", "del", "default"])?;
    }
    Ok(())
}

/// Otherwise what was announced is kept for two minutes.
fn forget_soon(config: &mut Value) {
    config["bgp"]["graceful_restart"] = "off".into();
}

#[test]
fn nothing_leaves_in_the_clear_where_the_overlay_has_prefixes() -> Result<()> {
    let mut network = Network::up_with(TOPOLOGY, |_, config| forget_soon(config))?;
    survive_everything(&mut network)?;
    network.lab.stop()
}

#[test]
fn nothing_leaves_in_the_clear_where_prefixes_are_only_learned() -> Result<()> {
    let mut network = Network::up_with(TOPOLOGY, |_, config| {
        forget_soon(config);
        let overlay = config
            .pointer_mut("/overlay")
            .and_then(|it| it.as_object_mut());
        let prefixes = overlay.and_then(|overlay| overlay.remove("prefixes"));
        assert!(prefixes.is_some(), "there was nothing to remove");
    })?;
    survive_everything(&mut network)?;
    network.lab.stop()
}
