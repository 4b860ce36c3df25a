//! Removing the router role.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use patronus_e2e::network::PATIENCE;
use patronus_e2e::{Deployment, Network, State};
use patronus_lab::{Lab, Node, Process, Signal, Topology};

/// What somebody else has on this machine, and what of it looks as much like ours as it can: names,
/// numbers and protocols that we use, each without the rest of our mark.
const FOREIGN: &str = "
    ip link add patbr0 type bridge
    ip link set patbr0 up
    ip address add 198.51.100.1/24 dev patbr0
    ip address add 2001:db8:77::1/64 dev patbr0 nodad
    ip route add 203.0.113.0/24 dev patbr0
    ip route add 198.18.0.0/15 dev lan1 table 7050
    ip route add 198.18.0.0/15 dev lan1 table 6050 proto 80
    ip -6 route add 2001:db8:88::/48 dev lan1 table 7050
    ip -6 route add 2001:db8:88::/48 dev lan1 table 6050 proto 80
    ip rule add pref 1050 fwmark 0x77 lookup 7050
    ip rule add pref 2050 fwmark 0x78 lookup 6050 protocol 80
    ip -6 rule add pref 1050 fwmark 0x77 lookup 7050
    ip -6 rule add pref 2050 fwmark 0x78 lookup 6050 protocol 80
    ip nexthop add id 4026597633 dev lan1
    nft add table inet somebody
    nft add chain inet somebody forward '{ type filter hook forward priority 5; }'
    nft add rule inet somebody forward ip daddr 203.0.113.9 counter drop
    nft add table ip patronus
    sysctl -qw net.ipv4.conf.lan1.rp_filter=1
    sysctl -qw net.ipv4.conf.lan1.log_martians=1
    umask 077
    wg genkey >/run/foreign.key
    wg set pat-8-8 private-key /run/foreign.key listen-port 40404 fwmark 0x8 \
       peer $(wg genkey | wg pubkey) endpoint 203.0.113.7:40404 allowed-ips 203.0.113.128/25
    ip address add 192.0.2.1/24 dev pat-8-8
    ip link set pat-8-8 up
";

fn place_foreign_things(node: &Node) -> Result<Process> {
    let mut wireguard = Command::new("wireguard-go");
    let process = node.spawn(wireguard.args(["-f", "pat-8-8"]))?;
    node.run([
        "sh",
        "-c",
        "until wg show pat-8-8 >/dev/null 2>&1; do sleep 0.05; done",
    ])?;
    node.run(["sh", "-ec", FOREIGN])?;
    Ok(process)
}

/// For each kind of thing, what a line of ours contains.
const OURS: [(&str, &str); 14] = [
    ("link", "pat-1-1"),
    ("address", "pat0"),
    ("rule", "proto 80"),
    ("rule6", "proto 80"),
    ("route", "proto 80"),
    ("route6", "proto 80"),
    ("route", "proto bgp"),
    ("route6", "proto bgp"),
    ("nexthop", "proto 80"),
    ("nftables", "table inet patronus"),
    ("wireguard", "pat-2-2"),
    ("wireguard socket", "pat-1-2.sock"),
    ("sysctl", "net.ipv4.nexthop_compat_mode = 0"),
    ("process", "wireguard-go"),
];

fn count(state: &State, kind: &str, what: &str) -> usize {
    let lines = state.lines(kind).iter();
    lines.filter(|line| line.contains(what)).count()
}

#[test]
fn teardown_leaves_nothing_of_ours_and_everything_of_others() -> Result<()> {
    let lab = Lab::up(&Topology::parse(include_str!(
        "../topologies/two-sites.yaml"
    ))?)?;
    let mut patronus = Deployment::prepare(&lab, |_, _| {})?;
    for (_, deployed) in patronus.routers() {
        deployed.start_frr()?;
    }
    let router = lab.router("berlin")?;
    let mut foreign = place_foreign_things(router.node())?;
    patronus.at("lisbon")?.start_daemon()?;
    let before = State::of_kernel(&router)?;
    let mut network = Network::of(lab, patronus);
    for death in ["stopped", "killed"] {
        network.patronus.at("berlin")?.start_daemon()?;
        network.patronus.wait_until_well(PATIENCE)?;
        network.wait_for_routes(PATIENCE)?;

        let running = State::of_kernel(&router)?;
        for (kind, what) in OURS {
            let (then, now) = (count(&before, kind, what), count(&running, kind, what));
            assert!(now > then, "no {kind} with {what:?} came: {running:#?}");
        }
        let taken: Vec<String> = before.changes(&running);
        let taken: Vec<&String> = taken.iter().filter(|line| line.starts_with('-')).collect();
        // Of what there was, only parameters have changed.
        assert!(
            taken.iter().all(|line| line.starts_with("- sysctl: ")),
            "{taken:#?}"
        );

        let berlin = network.patronus.at("berlin")?;
        let refusal = berlin.patronus(&["teardown", "--yes"]);
        let refusal = format!("{:#}", refusal.expect_err("the daemon runs"));
        assert!(refusal.contains("running"), "{refusal}");
        assert_eq!(running.changes(&State::of_kernel(&router)?), [""; 0]);

        if death == "stopped" {
            berlin.daemon()?.stop(Duration::from_secs(5))?;
        } else {
            berlin.daemon()?.signal(Signal::SIGKILL)?;
            berlin.daemon()?.wait_for(Duration::from_secs(5))?;
        }
        berlin.patronus(&["teardown", "--yes"])?;
        // zebra takes back by itself what it had learned, once the next hops are gone.
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut left = before.changes(&State::of_kernel(&router)?);
        while left.iter().any(|line| line.contains("proto bgp")) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
            left = before.changes(&State::of_kernel(&router)?);
        }
        assert_eq!(left, [""; 0], "{death}");
        // Once more does nothing, says so, and is no error.
        let said = berlin.patronus(&["teardown"])?;
        assert!(
            said.contains("there is nothing of ours in the kernel"),
            "{said}"
        );
        assert_eq!(before.changes(&State::of_kernel(&router)?), [""; 0]);
    }
    assert!(foreign.is_running()?, "somebody's WireGuard was ended");
    network.lab.stop()
}
