//! Processes die, and forwarding does not.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use patronus_e2e::network::{PATIENCE, VOICE, pause};
use patronus_e2e::{Family, Network, alone};
use patronus_lab::{Cut, Signal};

#[test]
fn a_killed_patronusd_loses_no_packet_neither_dead_nor_when_it_returns() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    pause(6);
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    pause(1);
    network
        .patronus
        .at("berlin")?
        .daemon()?
        .signal(Signal::SIGKILL)?;
    pause(5);
    network.patronus.at("berlin")?.start_daemon()?;
    network.patronus.wait_until_well(PATIENCE)?;
    // Longer than routes which nobody confirms are kept.
    pause(25);
    let report = stream.stop();
    assert_eq!(report.lost(), 0, "{report:?}");

    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    pause(1);
    network.lab.cut("berlin", "fibre", Cut::Swallow)?;
    pause(3);
    let path = network.path_of("berlin", "lisbon", "voice")?;
    assert_eq!(path.split('→').next(), Some("lte"));
    let blackout = stream.stop().longest_blackout_ms();
    assert!(
        blackout > 0.0 && blackout < 2000.0,
        "it still fails over: {blackout} ms"
    );
    network.lab.stop()
}

#[test]
fn a_second_patronusd_is_refused_and_the_first_goes_on() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    let berlin = network.patronus.at("berlin")?;
    let error = berlin
        .patronusd(&["--runtime-dir", "/run/other"])
        .expect_err("a second daemon");
    assert!(
        format!("{error:#}").contains("another patronusd is running"),
        "{error:#}"
    );
    berlin.patronus(&["status"])?;
    network.lab.stop()
}

#[test]
fn a_planned_stop_moves_nothing_at_the_far_end() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    pause(6);
    let path = network.path_of("lisbon", "berlin", "voice")?;
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    pause(1);
    network
        .patronus
        .at("berlin")?
        .daemon()?
        .stop(Duration::from_secs(5))?;
    pause(4);
    assert_eq!(network.path_of("lisbon", "berlin", "voice")?, path);
    let moves = network.moves("lisbon", "voice")?;
    network.patronus.at("berlin")?.start_daemon()?;
    network.patronus.wait_until_well(PATIENCE)?;
    // Longer than a path that does not come back is waited for.
    pause(6);
    let report = stream.stop();
    assert_eq!(report.lost(), 0, "{report:?}");
    assert_eq!(network.path_of("lisbon", "berlin", "voice")?, path);
    assert_eq!(network.moves("lisbon", "voice")?, moves, "nor its return");
    network.lab.stop()
}

#[test]
fn forwarding_that_somebody_switches_off_is_switched_on_again() -> Result<()> {
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    let berlin = network.lab.router("berlin")?.node().clone();
    berlin.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=0"])?;
    let took = network.wait_until(PATIENCE, |network| {
        network.ping("berlin", "lisbon", Family::V4).map(|()| true)
    })?;
    assert!(took < Duration::from_secs(10), "{took:?}");
    let events = network.patronus.at("berlin")?.json(&["events"])?;
    let mut events = events.as_array().into_iter().flatten();
    let named = |event: &serde_json::Value| event["details"]["named"].to_string();
    assert!(
        events
            .any(|event| event["kind"] == "drift" && named(event).contains("ip_forward set to 0"))
    );
    network.lab.stop()
}

#[test]
fn what_somebody_else_alters_is_put_back_and_named() -> Result<()> {
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    pause(3);
    let berlin = network.lab.router("berlin")?.node().clone();
    berlin.run(["ip", "rule", "delete", "pref", "1000"])?;
    berlin.run(["nft", "delete", "table", "inet", "patronus"])?;
    let peer = "wg set pat-1-1 peer $(wg show pat-1-1 peers | head -n 1) remove";
    berlin.run(["sh", "-c", peer])?;
    let told = [
        "rule 1000 removed",
        "nftables table inet patronus changed or removed",
        "(lisbon) of tunnel pat-1-1 removed",
        "bgpd: \"bgp router-id ",
    ];
    network.wait_until(PATIENCE, |network| {
        // Until FRR has been found in order once, what is altered there is nobody's doing.
        let vtysh = "vtysh -N patronus -c 'configure terminal' -c 'router bgp' \
                     -c 'bgp router-id 192.0.2.1'";
        berlin.run(["sh", "-c", vtysh])?;
        pause(1);
        let events = network.patronus.at("berlin")?.json(&["events"])?;
        let all = events.as_array().into_iter().flatten();
        let messages: Vec<_> = all
            .filter(|event| event["kind"] == "drift")
            .filter_map(|event| event["message"].as_str())
            .collect();
        let missing = told
            .iter()
            .find(|words| !messages.iter().any(|it| it.contains(**words)));
        missing.map_or(Ok(true), |it| bail!("{it:?} is not in {messages:#?}"))
    })?;
    network.patronus.wait_until_well(PATIENCE)?;
    network.lab.stop()
}

/// Kills a program of a site's router by name, and says how long until another has taken its place
/// and all is well again.
fn kill(network: &mut Network, site: &str, pattern: &str) -> Result<Duration> {
    let node = network.lab.router(site)?.node().clone();
    let pids = network.processes(site, pattern)?;
    let [pid] = pids.as_slice() else {
        bail!("{pids:?} instead of one process that matches {pattern}")
    };
    let killed = Instant::now();
    node.run(["kill", "-9", pid])?;
    network.wait_until(PATIENCE, |network| {
        let pids = network.processes(site, pattern)?;
        Ok(pids.len() == 1 && !pids.contains(pid))
    })?;
    pause(1);
    network.patronus.wait_until_well(PATIENCE)?;
    Ok(killed.elapsed())
}

#[test]
fn killed_routing_daemons_return_and_no_packet_is_lost_meanwhile() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    pause(6);
    for daemon in ["frr/bgpd", "frr/zebra"] {
        let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
        pause(1);
        let took = kill(&mut network, "berlin", daemon)?;
        // Longer than stale routes are kept: whatever was not learned again would be gone.
        pause(22);
        let report = stream.stop();
        assert_eq!(
            report.lost(),
            0,
            "{daemon}, back after {took:?}: {report:?}"
        );
    }
    // What a daemon that came back did not know, nobody has altered.
    let events = network.patronus.at("berlin")?.json(&["events"])?;
    let mut events = events.as_array().into_iter().flatten();
    let drift = events.find(|event| event["kind"] == "drift");
    assert!(drift.is_none(), "{drift:?}");
    network.lab.stop()
}

#[test]
fn a_killed_user_space_wireguard_is_replaced() -> Result<()> {
    let _alone = alone();
    let mut network = Network::up(include_str!("../topologies/two-sites.yaml"))?;
    pause(6);
    let stream = network.stream("berlin", "lisbon", VOICE, Family::V4)?;
    pause(1);
    let took = kill(&mut network, "berlin", "wireguard-go.*pat-1-1")?;
    pause(5);
    let report = stream.stop();
    let blackout = report.longest_blackout_ms();
    assert!(
        blackout > 0.0 && blackout < 2000.0,
        "back after {took:?}: {report:?}"
    );
    assert_eq!(network.path_of("berlin", "lisbon", "voice")?, "fibre→fibre");
    network.lab.stop()
}
