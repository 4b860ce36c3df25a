//! Traffic from the command line.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use patronus_lab::traffic::{Endpoint, FlowReport, UdpReport, UdpSpec, UdpStream, tcp_throughput};
use patronus_lab::{Lab, Plan, Span};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patronus-lab traffic berlin-h1 lisbon-h1 --time 30s
  patronus-lab traffic berlin lisbon --ipv6 --pps 50 --dscp 46
  patronus-lab traffic berlin lisbon@100.65.2.18 --tcp --connections 4")]
pub(super) struct Traffic {
    /// A host or router, NODE or NODE@ADDRESS
    from: String,
    /// The other end, likewise
    to: String,
    /// How long
    #[arg(long, default_value = "10s")]
    time: Span,
    /// Use IPv6
    #[arg(long)]
    ipv6: bool,
    /// Port at both ends
    #[arg(long, default_value_t = 7000)]
    port: u16,
    /// UDP: packets per second in each direction
    #[arg(long, default_value_t = 500)]
    pps: u32,
    /// UDP: bytes of payload
    #[arg(long, default_value_t = 160)]
    payload: usize,
    /// UDP: differentiated services code point
    #[arg(long, default_value_t = 0)]
    dscp: u8,
    /// Measure the throughput of TCP instead
    #[arg(long)]
    tcp: bool,
    /// TCP: parallel connections
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(lab: &Lab, traffic: &Traffic) -> Result<ExitCode> {
    let from = endpoint(lab, &traffic.from, traffic)?;
    let to = endpoint(lab, &traffic.to, traffic)?;
    if traffic.tcp {
        tcp(from, &to, traffic)
    } else {
        udp(from, to, traffic)
    }
}

fn endpoint(lab: &Lab, text: &str, traffic: &Traffic) -> Result<Endpoint> {
    let (node, address) = match text.split_once('@') {
        Some((node, address)) => {
            let parsed = address
                .parse()
                .with_context(|| format!("{address:?} is no address"))?;
            (node, Some(parsed))
        }
        None => (text, None),
    };
    let found = lab.node(node)?;
    let address = address.or_else(|| default_address(lab.plan(), node, traffic.ipv6));
    let family = if traffic.ipv6 { "IPv6" } else { "IPv4" };
    let address = address.with_context(|| {
        format!("{node} has no {family} address in the plan; write {node}@ADDRESS")
    })?;
    Ok(Endpoint::new(&found, address, traffic.port))
}

/// The address of a host, or the first uplink of a router.
fn default_address(plan: &Plan, node: &str, ipv6: bool) -> Option<IpAddr> {
    let host = plan
        .sites
        .iter()
        .flat_map(|site| site.hosts())
        .find(|host| host.node == node);
    if let Some(host) = host {
        return if ipv6 {
            host.ipv6().map(IpAddr::from)
        } else {
            host.ipv4().map(IpAddr::from)
        };
    }
    let uplinks = &plan.sites.iter().find(|site| site.name == node)?.uplinks;
    let attached = |uplink: &patronus_lab::plan::UplinkPlan| {
        if ipv6 { uplink.ipv6 } else { uplink.ipv4 }
    };
    uplinks
        .iter()
        .find_map(attached)
        .map(|attachment| attachment.address)
}

fn tcp(mut from: Endpoint, to: &Endpoint, traffic: &Traffic) -> Result<ExitCode> {
    from.port = 0;
    let result = tcp_throughput(&from, to, traffic.connections, traffic.time.0)?;
    if traffic.json {
        println!("{}", serde_json::to_string(&result)?);
    } else {
        println!(
            "{:.0} Mbit/s over {} connection(s) in {:.1} s, {:.2} cores busy",
            result.mbit_per_s, result.connections, result.seconds, result.busy_cores
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit status 1 when nothing arrived in a direction.
fn udp(from: Endpoint, to: Endpoint, traffic: &Traffic) -> Result<ExitCode> {
    let spec = UdpSpec {
        packets_per_second: traffic.pps,
        payload: traffic.payload,
        dscp: traffic.dscp,
        ..UdpSpec::new(from, to)
    };
    let stream = UdpStream::start(&spec)?;
    let live = std::io::stderr().is_terminal() && !traffic.json;
    let end = Instant::now() + traffic.time.0;
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::sleep(left.min(Duration::from_secs(1)));
        if live {
            report_live(&stream);
        }
    }
    let report = stream.stop();
    print(&report, traffic)?;
    let silent = |flow: &FlowReport| flow.received == 0;
    let dead = silent(&report.a_to_b) || report.b_to_a.as_ref().is_some_and(silent);
    Ok(if dead {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn report_live(stream: &UdpStream) {
    let sample = stream.sample();
    let describe = |sample: patronus_lab::traffic::Sample| {
        let delay = sample
            .delay_ms
            .map_or("–".to_owned(), |delay| format!("{delay:.1} ms"));
        format!("{} of {} lost, {delay}", sample.lost, sample.sent)
    };
    let back = sample
        .b_to_a
        .map(|back| format!("   ← {}", describe(back)))
        .unwrap_or_default();
    let seconds = stream.elapsed().as_secs();
    eprintln!("{seconds:4} s   → {}{back}", describe(sample.a_to_b));
}

fn print(report: &UdpReport, traffic: &Traffic) -> Result<()> {
    if traffic.json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    println!("{} → {}", traffic.from, traffic.to);
    print_flow(&report.a_to_b);
    if let Some(back) = &report.b_to_a {
        println!("{} → {}", traffic.to, traffic.from);
        print_flow(back);
    }
    Ok(())
}

fn print_flow(flow: &FlowReport) {
    println!(
        "  {} of {} packets lost ({:.2} %), {} duplicated, {} reordered",
        flow.lost, flow.sent, flow.loss_percent, flow.duplicates, flow.reordered
    );
    if let Some(delay) = flow.delay {
        println!(
            "  delay {:.1} ms (p99 {:.1}, max {:.1}), jitter {:.1} ms",
            delay.p50_ms, delay.p99_ms, delay.max_ms, flow.jitter_ms
        );
    }
    if let Some(blackout) = flow.longest_blackout {
        println!(
            "  longest blackout {:.0} ms ({} packets) at {:.1} s; {} of 5 packets or more",
            blackout.duration_ms,
            blackout.packets,
            blackout.start_ms / 1000.0,
            flow.blackouts.len()
        );
    }
}
