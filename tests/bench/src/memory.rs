//! What a router with 1,000 paths takes of memory.
//!
//! One site of a lab is configured with 250 others of two uplinks each, which makes 1,000 paths and
//! 4 tunnels of 250 peers. The others do not exist, so all paths are watched and none comes up, and
//! every BGP session is tried. Resident memory (VmRSS) is that of the whole process `patronusd`;
//! FRR's and wireguard-go's are told beside it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use patronus_e2e::Network;
use patronus_lab::Node;
use patronus_model::wireguard::PublicKey;
use serde_json::{Value, json};

use crate::report::{Destination, Machine, Report, Row, Target, progress};

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How long the daemon runs before it is looked at, in seconds.
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

/// Measures, prints a table and writes the report.
///
/// # Errors
/// When the daemon does not start, or does not have all paths.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    progress(format!("starting a router with {PATHS} paths"));
    let mut network = Network::start(ONE_SITE, |_, config| add_sites(config))?;
    std::thread::sleep(Duration::from_secs(arguments.seconds));
    let berlin = network.patronus.at("berlin")?;
    let paths = berlin.json(&["paths"])?;
    let paths = paths.as_array().context("paths: no list")?.len();
    ensure!(paths == PATHS, "there are {paths} paths");
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
    network.lab.stop()?;
    Report { machine, results }.publish(&arguments.destination, "memory")
}

fn add_sites(config: &mut Value) {
    let net = |place: &str| config.pointer(place)?.as_str()?.parse::<IpNet>().ok();
    let nets = [net("/overlay/ipv4"), net("/overlay/ipv6")];
    // Berlin itself is number 1.
    let sites: Vec<Value> = (2..2 + SITES).map(|number| site(number, nets)).collect();
    config["sites"] = json!(sites);
}

fn site(number: u8, overlay: [Option<IpNet>; 2]) -> Value {
    let [ipv4, ipv6] = overlay.map(|net| net.map(|net| host(net, number)));
    let uplink = |name: &str, slot: u8| {
        let mut key = [slot; 32];
        key[0] = number;
        json!({
            "name": name,
            "slot": slot,
            "underlay": "internet",
            "public_key": PublicKey(key).to_string(),
            // TEST-NET-3 (RFC 5737): nobody answers.
            "endpoint": format!("203.0.113.{number}:{}", 51_820 + 64 * u16::from(slot - 1)),
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
