//! How much fits through: bare WireGuard beside ours, forwarding between hosts of two sites.
//!
//! Two labs of one shape are up at the same time: two sites, one uplink each, no WAN emulator. In
//! one of them Patronus runs; in the other there is one wireguard-go tunnel of the same MTU between
//! the same routers, a route in the main table at either end, and one nftables rule which loads
//! conntrack, as ours does. Traffic runs through one and through the other by turns, which is what
//! makes the ratio trustworthy on a machine that does other things: each ratio is that of two
//! neighbouring runs, and the median of all ratios is reported. Patronus idles during the runs of
//! the other lab, and its BFD costs both the same.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use patronus_e2e::Network;
use patronus_e2e::bare::BareTunnel;
use patronus_e2e::network::STANDARD;
use patronus_lab::traffic::{Endpoint, UdpSpec, UdpStream, tcp_throughput};
use patronus_lab::{Lab, Node, Topology};

use crate::report::{Destination, Machine, Report, Row, Target, progress};
use crate::samples::Samples;

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Runs through each of the two. Many short ones: what else the machine does changes slowly.
    #[arg(long, default_value_t = 25)]
    pub runs: usize,
    /// How long each run is measured, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    pub millis: u64,
    /// Parallel TCP connections.
    #[arg(long, default_value_t = 2)]
    pub connections: usize,
    #[command(flatten)]
    destination: Destination,
}

const DIRECT: &str = "
isps: [{ name: telco }]
sites:
  - { name: berlin, uplinks: [{ name: fibre, isp: telco, direct: true }] }
  - { name: lisbon, uplinks: [{ name: fibre, isp: telco, direct: true }] }
";
/// Ours shall reach this share of what bare WireGuard reaches.
const RATIO: f64 = 0.95;
/// Bytes of a small packet.
const SMALL: usize = 100;
/// Small packets that are offered in a second: more than wireguard-go carries on two cores.
const OFFERED: u32 = 30_000;
/// No target hangs on small packets, so a part of the runs must do.
const FEWER: usize = 3;

/// Measures, prints a table and writes the report.
///
/// # Errors
/// When one of the labs does not come up, or a connection breaks.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    progress("bringing up two labs");
    let ours = Network::up_with(DIRECT, |_, _| {}).context("with Patronus")?;
    let mtu = tunnel_mtu(ours.lab.router("berlin")?.node())?;
    let theirs = Lab::up(&Topology::parse(DIRECT)?)?;
    let tunnel = BareTunnel::between(&theirs, "berlin", "lisbon", mtu);
    let tunnel = tunnel.context("bare WireGuard")?;
    tunnel.carry_lans()?;
    for lab in [&ours.lab, &theirs] {
        prefer_wireguard(lab)?;
    }
    let runs = Runs {
        ours: &ours.lab,
        theirs: &theirs,
    };
    let tcp = runs.alternate("TCP, Mbit/s", arguments.runs, |lab| tcp(lab, arguments))?;
    let fewer = arguments.runs.div_ceil(FEWER);
    let udp = runs.alternate("small UDP, packets/s", fewer, |lab| {
        small_packets(lab, arguments)
    })?;
    drop(tunnel);
    theirs.stop()?;
    ours.lab.stop()?;
    let results = [
        tcp.ratio("throughput_ratio").target(Target::AtLeast(RATIO)),
        tcp.row("throughput", "Mbit/s"),
        udp.ratio("small_packets_ratio"),
        udp.row("small_packets", "1/s"),
    ];
    let results = results.to_vec();
    Report { machine, results }.publish(&arguments.destination, "throughput")
}

/// The MTU of Patronus's tunnels on a router.
fn tunnel_mtu(node: &Node) -> Result<u32> {
    let interface = "pat-1-1";
    let mtu = node.run(["cat", &format!("/sys/class/net/{interface}/mtu")])?;
    mtu.trim()
        .parse()
        .with_context(|| format!("the MTU of {interface}"))
}

/// Lets user-space WireGuard run before whatever else this machine does, in both labs, as the ends
/// of the flows do; otherwise other people's work is what is measured.
fn prefer_wireguard(lab: &Lab) -> Result<()> {
    // Processes with a session of their own are a group for the scheduler where it has
    // autogroups (sched(7)), and then nothing but the niceness of the group matters.
    let script = "for pid in $(pgrep -x wireguard-go); do \
        [ ! -e /proc/$pid/autogroup ] || echo -15 > /proc/$pid/autogroup; \
        for task in $(ls /proc/$pid/task); do renice -n -15 -p $task > /dev/null; done; \
        done";
    // The processes of a lab see each other, whatever their node.
    let node = lab.router("berlin")?.node().clone();
    node.run(["sh", "-c", script]).map(drop)
}

/// What was reached, run by run.
struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    fn ratio(&self, metric: &str) -> Row {
        let ratios: Samples = self.0.iter().map(|(ours, theirs)| ours / theirs).collect();
        Row::new(metric, ratios.p50(), "1")
    }

    fn row(&self, metric: &str, unit: &str) -> Row {
        let ours: Samples = self.0.iter().map(|(ours, _)| *ours).collect();
        let theirs: Samples = self.0.iter().map(|(_, theirs)| *theirs).collect();
        Row::new(metric, ours.p50(), unit).beside("bare WireGuard", theirs.p50())
    }
}

/// The two labs.
struct Runs<'a> {
    ours: &'a Lab,
    theirs: &'a Lab,
}

impl Runs<'_> {
    /// One pair of runs after the other, each beginning where the one before ended, so that
    /// neither of the two is always the first.
    fn alternate(
        &self,
        what: &str,
        runs: usize,
        measure: impl Fn(&Lab) -> Result<f64>,
    ) -> Result<Pairs> {
        // Handshakes, neighbours and routes are in place after this.
        measure(self.ours)?;
        measure(self.theirs)?;
        let pair = |number| {
            let (ours, theirs) = if number % 2 == 0 {
                let theirs = measure(self.theirs)?;
                (measure(self.ours)?, theirs)
            } else {
                (measure(self.ours)?, measure(self.theirs)?)
            };
            progress(format!("{what}: {ours:.0}, bare {theirs:.0}"));
            Ok((ours, theirs))
        };
        (1..=runs).map(pair).collect::<Result<_>>().map(Pairs)
    }
}

fn ends(lab: &Lab) -> Result<(Endpoint, Endpoint)> {
    let (from, to) = (lab.host("berlin", 1)?, lab.host("lisbon", 1)?);
    Ok((from.ipv4(0)?, to.ipv4(STANDARD)?))
}

fn tcp(lab: &Lab, arguments: &Arguments) -> Result<f64> {
    let (from, to) = ends(lab)?;
    let time = Duration::from_millis(arguments.millis);
    Ok(tcp_throughput(&from, &to, arguments.connections, time)?.mbit_per_s)
}

/// Small packets that arrive in a second when too many are sent.
fn small_packets(lab: &Lab, arguments: &Arguments) -> Result<f64> {
    let (mut from, to) = ends(lab)?;
    from.port = STANDARD;
    let start = Instant::now();
    let stream = UdpStream::start(&UdpSpec {
        both_ways: false,
        packets_per_second: OFFERED,
        payload: SMALL,
        ..UdpSpec::new(from, to)
    })?;
    std::thread::sleep(Duration::from_millis(arguments.millis));
    let sent_for = start.elapsed();
    let received = stream.stop().a_to_b.received;
    Ok(received as f64 / sent_for.as_secs_f64())
}
