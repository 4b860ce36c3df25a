//! Many BFD sessions: the CPU time they cost, and how many are lost for no reason.
//!
//! Both contenders play the same part, one after the other, in fresh namespaces: a hub with one
//! address and a session with each of N spokes behind one veth. The spokes are one process of
//! ours in both runs, so what is measured is the hub alone, and it cannot matter that the
//! contender's like is easier to talk to. To be fair to bfdd, which knows no such thing, the
//! spokes do not measure round trips; our hub does, as it does in production, and pays for it.
//! Neither has real-time priority.
//!
//! CPU time is user and system time of the hub's process. What the kernel does for it in soft
//! interrupts is not in there, for either. A session that leaves Up, at whichever end, is a false
//! alarm, as nothing ever fails here; both ends' are seen by the spokes. Hub and spokes share the
//! machine with whatever else runs on it, so a false alarm says that the two together were too
//! slow for it, and CPU time of a hub whose sessions keep falling is too low.

pub mod speaker;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use patronus_lab::{Node, Process, Sandbox};

use crate::bfdd::{Bfdd, Peer};
use crate::report::{self, Machine, Report, Row, Target};
use speaker::{HUB, Line, spoke};

const INTERFACE: &str = "eth0";

/// How long the sessions may take to come up once they are configured.
const COMING_UP: Duration = Duration::from_secs(60);

/// The Poll Sequences after coming up.
const SETTLING: Duration = Duration::from_secs(2);

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How many sessions.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub sessions: u16,
    /// Transmit and receive interval, in milliseconds.
    #[arg(long, default_value_t = 100)]
    pub millis: u32,
    /// Detection multiplier.
    #[arg(long, default_value_t = 3)]
    pub detect_mult: u8,
    /// How long each contender is measured, in seconds.
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Where the report goes.
    #[arg(long, default_value = report::DIRECTORY)]
    pub output: PathBuf,
}

/// What one contender did.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// CPU time per time, in percent of one core.
    cpu_percent: f64,
    false_downs: u64,
    /// Mean round trip in milliseconds, where the contender measures it.
    round_trip: Option<f64>,
}

/// Measures both, prints a table and writes the report.
///
/// # Errors
/// When something cannot be started, or the sessions do not come up.
#[expect(clippy::print_stdout, reason = "a command-line tool")]
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    let ours = measure_ours(arguments).context("measuring ours")?;
    let (name, theirs) = measure_bfdd(arguments).context("measuring bfdd")?;
    let report = Report {
        machine,
        results: rows(arguments.sessions, &ours, &name, &theirs),
    };
    println!("{report}");
    println!("{}", report.write(&arguments.output, "bfd")?.display());
    Ok(())
}

fn rows(sessions: u16, ours: &Measured, name: &str, theirs: &Measured) -> Vec<Row> {
    let metric = |text: &str| format!("bfd_{text}_{sessions}");
    let ratio = ours.cpu_percent / theirs.cpu_percent;
    let downs = |measured: &Measured| measured.false_downs as f64;
    let mut rows = vec![
        Row::new(metric("cpu_ratio_vs_bfdd"), ratio, "1").target(Target::AtMost(1.0)),
        Row::new(metric("cpu"), ours.cpu_percent, "% of a core").beside(name, theirs.cpu_percent),
        Row::new(metric("false_downs"), downs(ours), "1")
            .beside(name, downs(theirs))
            .target(Target::AtMost(0.0)),
    ];
    rows.extend(
        ours.round_trip
            .map(|time| Row::new(metric("round_trip"), time, "ms")),
    );
    rows
}

fn measure_ours(arguments: &Arguments) -> Result<Measured> {
    let stage = Stage::build(arguments)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bfd-speaker").arg("hub").arg("--rtt");
    let hub = stage.hub.spawn(common(&mut command, arguments))?;
    let mut measured = stage.measure(arguments, hub.pid())?;
    let line = last_line(&hub)?;
    ensure!(
        line.downs <= measured.false_downs,
        "the spokes have missed {line:?}"
    );
    if line.round_trips > 0 {
        let mean = line.round_trip_micros as f64 / line.round_trips as f64 / 1000.0;
        measured.round_trip = Some(mean);
    }
    Ok(measured)
}

fn measure_bfdd(arguments: &Arguments) -> Result<(String, Measured)> {
    let stage = Stage::build(arguments)?;
    let mut bfdd = Bfdd::start(&stage.hub)?;
    let (millis, detect_mult) = (arguments.millis, arguments.detect_mult);
    let peer = |number| Peer {
        remote: spoke(number),
        local: HUB,
        interface: INTERFACE,
        millis,
        detect_mult,
    };
    let peers: Vec<_> = (1..=arguments.sessions).map(peer).collect();
    bfdd.set_peers(&peers)?;
    let measured = stage.measure(arguments, bfdd.pid())?;
    Ok((bfdd.version()?, measured))
}

/// The link, the spokes at one end, and room for a hub at the other.
struct Stage {
    hub: Node,
    spokes: Process,
    _sandbox: Sandbox,
}

impl Stage {
    fn build(arguments: &Arguments) -> Result<Self> {
        let sandbox = Sandbox::new("bench-bfd")?;
        let (hub, spokes) = (sandbox.node("hub")?, sandbox.node("spokes")?);
        sandbox.link(("hub", INTERFACE), ("spokes", INTERFACE))?;
        hub.ip(&format!("address add {HUB}/8 dev {INTERFACE}\n"))?;
        let mut addresses = String::new();
        for number in 1..=arguments.sessions {
            writeln!(addresses, "address add {}/8 dev {INTERFACE}", spoke(number))?;
        }
        spokes.ip(&addresses)?;
        // One neighbour entry per spoke, which by default are 1,024 at most.
        hub.sysctl(&[
            ("net.ipv4.neigh.default.gc_thresh1", "16384"),
            ("net.ipv4.neigh.default.gc_thresh2", "32768"),
            ("net.ipv4.neigh.default.gc_thresh3", "65536"),
        ])
        .or_else(|_| lasting_neighbours(&hub, &spokes, arguments.sessions))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bfd-speaker").arg("spokes");
        let spokes = spokes.spawn(common(&mut command, arguments))?;
        Ok(Self {
            hub,
            spokes,
            _sandbox: sandbox,
        })
    }

    /// Waits until everything is up, and then measures the hub.
    fn measure(&self, arguments: &Arguments, hub: i32) -> Result<Measured> {
        let start = Instant::now();
        let all = i64::from(arguments.sessions);
        let mut line = Line::default();
        while line.up < all {
            ensure!(
                start.elapsed() < COMING_UP,
                "only {} of {all} sessions are up",
                line.up
            );
            std::thread::sleep(Duration::from_millis(20));
            line = last_line(&self.spokes)?;
        }
        std::thread::sleep(SETTLING);
        let (downs, cpu, start) = (
            last_line(&self.spokes)?.downs,
            cpu_time(hub)?,
            Instant::now(),
        );
        std::thread::sleep(Duration::from_secs(arguments.seconds));
        let (used, passed) = (cpu_time(hub)? - cpu, start.elapsed());
        Ok(Measured {
            cpu_percent: 100.0 * used.as_secs_f64() / passed.as_secs_f64(),
            false_downs: last_line(&self.spokes)?.downs - downs,
            round_trip: None,
        })
    }
}

/// Entries that are never collected, where the limits of a namespace cannot be raised.
fn lasting_neighbours(hub: &Node, spokes: &Node, sessions: u16) -> Result<()> {
    let mac = spokes.run(["cat", &format!("/sys/class/net/{INTERFACE}/address")])?;
    let mut batch = String::new();
    for number in 1..=sessions {
        let mac = mac.trim();
        let address = spoke(number);
        writeln!(
            batch,
            "neigh replace {address} lladdr {mac} nud permanent dev {INTERFACE}"
        )?;
    }
    hub.ip(&batch)
}

fn common<'a>(command: &'a mut Command, arguments: &Arguments) -> &'a Command {
    command
        .arg("--sessions")
        .arg(arguments.sessions.to_string())
        .arg("--millis")
        .arg(arguments.millis.to_string())
        .arg("--detect-mult")
        .arg(arguments.detect_mult.to_string())
        .arg("--interface")
        .arg(INTERFACE)
}

/// What a speaker said last.
fn last_line(speaker: &Process) -> Result<Line> {
    let output = speaker.stdout()?;
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let Some(line) = whole.lines().last() else {
        return Ok(Line::default());
    };
    serde_json::from_str(line).with_context(|| format!("a speaker said {line:?}"))
}

/// User and system time of a process so far.
fn cpu_time(pid: i32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may contain anything; utime and stime are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [utime, stime] = fields.get(11..13).context("too few fields in stat")? else {
        anyhow::bail!("too few fields in stat");
    };
    let ticks: u64 = utime.parse::<u64>()? + stime.parse::<u64>()?;
    let hertz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("no CLK_TCK")?;
    Ok(Duration::from_secs_f64(ticks as f64 / hertz as f64))
}
