//! What a router with 1,000 paths takes of memory.
//!
//! One site of a lab is configured with 250 others of two uplinks each, which makes 1,000 paths and
//! 4 tunnels of 250 peers. The far ends are one process ([`far_ends`]) which speaks WireGuard and
//! BFD for all of them, so every path is up when memory is looked at, before and after. They speak
//! no BGP: sessions are tried and refused, and what lives behind a site is configured. Resident
//! memory (VmRSS) is that of the whole process `patronusd`; FRR's and wireguard-go's are told
//! beside it.
//!
//! BFD's interval is a second, because a thousand paths at 100 ms are 20,000 packets a second
//! through user-space WireGuard at each end. What the daemon keeps of a path does not depend on it.

mod bfd_packet;
pub mod far_ends;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use patronus_e2e::{Deployed, Deployment};
use patronus_lab::{Lab, Node, Process, Topology};
use serde_json::{Value, json};

use far_ends::FarUplink;

use crate::report::{Destination, Machine, Report, Row, Target, progress};

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How long the daemon runs with all paths up before it is looked at, in seconds.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    #[command(flatten)]
    destination: Destination,
}

const ONE_SITE: &str = "
isps: [{ name: telco }, { name: mobile }]
sites:
  - name: berlin
    uplinks:
      - { name: fibre, isp: telco, direct: true }
      - { name: lte, isp: mobile, direct: true }
";
/// Other sites, each with two uplinks.
const SITES: u8 = 250;
/// So many paths that is, with two uplinks of our own.
const PATHS: usize = 1000;
const LIMIT_MB: f64 = 40.0;
const INTERVAL_MS: u64 = 1000;
/// TEST-NET-3 (RFC 5737), of which the lab's Internet has the first address already.
const FAR_NETWORK: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 0);
/// How long the paths may take to come up: BFD begins slowly.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures, prints a table and writes the report.
///
/// # Errors
/// When the daemon does not start, or not all paths come up and stay up.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    progress(format!("starting a router with {PATHS} paths"));
    let lab = Lab::up(&Topology::parse(ONE_SITE)?)?;
    let core = lab.plan().cores.first().context("no core")?;
    let internet = lab.node(&core.node)?;
    internet.ip(&format!("route add local {FAR_NETWORK}/24 dev lo\n"))?;
    let mut patronus = Deployment::prepare(&lab, |_, config| adjust(config))?;
    let _far = start_far_ends(&lab, &internet)?;
    let berlin = patronus.at("berlin")?;
    berlin.start_frr()?;
    berlin.start_daemon()?;
    wait_until_all_live(berlin)?;
    progress(format!("all paths are up; {} s more", arguments.seconds));
    std::thread::sleep(Duration::from_secs(arguments.seconds));
    let living = living(berlin)?;
    ensure!(living == PATHS, "only {living} paths are up in the end");
    let pid = berlin.daemon()?.pid();
    let (now, most) = (megabytes(pid, "VmRSS")?, megabytes(pid, "VmHWM")?);
    let node = berlin.router().node().clone();
    let row = |metric: &str, value| Row::new(metric, value, "MB");
    let results = vec![
        row("rss_mb_1000_paths", now).target(Target::AtMost(LIMIT_MB)),
        row("rss_peak_mb_1000_paths", most),
        row(
            "rss_wireguard_go_mb_1000_paths",
            others(&node, "wireguard-go")?,
        ),
        row("rss_bgpd_mb_1000_paths", others(&node, "bgpd")?),
    ];
    lab.stop()?;
    Report { machine, results }.publish(&arguments.destination, "memory")
}

/// Starts what answers for all other sites, and returns when it listens.
fn start_far_ends(lab: &Lab, node: &Node) -> Result<Process> {
    let berlin = lab.router("berlin")?.node().clone();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("far-ends");
    command.args(["--network", &FAR_NETWORK.to_string()]);
    command.args(["--sites", &SITES.to_string()]);
    command.args(["--millis", &INTERVAL_MS.to_string()]);
    for uplink in ["fibre", "lte"] {
        let script = format!("wg pubkey </var/lib/patronus/keys/{uplink}");
        let key = berlin.run(["sh", "-c", &script])?;
        command.args(["--key", key.trim()]);
    }
    let mut process = node.spawn(&command)?;
    process.wait_for_output(far_ends::READY, PATIENCE)?;
    Ok(process)
}

fn wait_until_all_live(berlin: &Deployed) -> Result<()> {
    let started = Instant::now();
    let mut before = 0;
    while before < PATHS {
        ensure!(started.elapsed() < PATIENCE, "only {before} paths come up");
        std::thread::sleep(Duration::from_secs(1));
        before = living(berlin)?;
    }
    Ok(())
}

/// How many paths BFD says are up. Fails when there are not as many as there should be.
fn living(berlin: &Deployed) -> Result<usize> {
    let sessions = berlin.json(&["bfd"])?;
    let sessions = sessions.as_array().context("bfd: no list")?;
    ensure!(
        sessions.len() == PATHS,
        "there are {} paths",
        sessions.len()
    );
    let up = sessions.iter().filter(|session| session["status"] == "up");
    Ok(up.count())
}

fn adjust(config: &mut Value) {
    let net = |place: &str| config.pointer(place)?.as_str()?.parse::<IpNet>().ok();
    let nets = [net("/overlay/ipv4"), net("/overlay/ipv6")];
    let sites: Vec<Value> = (1..=SITES).map(|far| site(far, nets)).collect();
    config["sites"] = json!(sites);
    config["health"] = json!({ "bfd": { "interval": format!("{INTERVAL_MS}ms") } });
}

fn site(far: u8, overlay: [Option<IpNet>; 2]) -> Value {
    // Berlin itself is number 1.
    let number = far + 1;
    let [ipv4, ipv6] = overlay.map(|net| net.map(|net| host(net, number)));
    let uplink = |name: &str, slot: u8| {
        let uplink = FarUplink { site: far, slot };
        json!({
            "name": name,
            "slot": slot,
            "underlay": "internet",
            "public_key": uplink.public_key().to_string(),
            "endpoint": uplink.endpoint(FAR_NETWORK).to_string(),
        })
    };
    json!({
        "id": format!("site-{number}"),
        "overlay": { "ipv4": ipv4, "ipv6": ipv6 },
        "asn": 64_512 + u32::from(number),
        "prefixes": [format!("172.16.{number}.0/24")],
        "uplinks": [uplink("fibre", 1), uplink("lte", 2)],
    })
}

/// An address of a network by its number.
fn host(net: IpNet, number: u8) -> String {
    match net.network() {
        IpAddr::V4(first) => Ipv4Addr::from(u32::from(first) + u32::from(number)).to_string(),
        IpAddr::V6(first) => Ipv6Addr::from(u128::from(first) + u128::from(number)).to_string(),
    }
}

/// A line of `/proc/PID/status`.
fn megabytes(pid: i32, line: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = status
        .lines()
        .filter_map(|text| text.strip_prefix(line)?.strip_prefix(':'))
        .filter_map(|value| value.split_whitespace().next()?.parse::<f64>().ok())
        .next();
    Ok(kilobytes.with_context(|| format!("no {line} of process {pid}"))? / 1024.0)
}

/// The resident memory of all processes of a name in the lab.
fn others(node: &Node, name: &str) -> Result<f64> {
    let listed = node.run(["ps", "-C", name, "-o", "rss="])?;
    let kilobytes = listed
        .lines()
        .filter_map(|line| line.trim().parse::<f64>().ok());
    Ok(kilobytes.sum::<f64>() / 1024.0)
}
