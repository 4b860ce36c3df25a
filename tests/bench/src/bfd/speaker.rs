//! Our driver as a process of its own, so that its CPU time can be told from the bench's.

use std::io::{Write as _, stdout};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use patronus_daemon::bfd::{BfdConfig, BfdDriver, BfdEvent, SessionSpec};
use patronus_engine::bfd::{DEFAULT_RTT_INTERVAL, Event, State};
use patronus_model::bgp::BfdTimers;
use patronus_model::ids::{IfName, PathId, SiteNumber, Slot};
use serde::{Deserialize, Serialize};

/// How often the speaker says how it is.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// Which end of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Side {
    /// One address, a session with each of the many.
    Hub,
    /// Many addresses, a session from each to the hub.
    Spokes,
}

/// What the speaker is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Which end of the link.
    pub side: Side,
    /// How many sessions.
    #[arg(long)]
    pub sessions: u16,
    /// Transmit and receive interval, in milliseconds.
    #[arg(long)]
    pub millis: u32,
    /// Detection multiplier.
    #[arg(long)]
    pub detect_mult: u8,
    /// The interface.
    #[arg(long)]
    pub interface: IfName,
    /// Measure round trips.
    #[arg(long)]
    pub rtt: bool,
}

/// A line of the speaker's output.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Line {
    /// Sessions that are up.
    pub up: i64,
    /// Changes from up to something else, so far.
    pub downs: u64,
    /// Round trips measured, so far.
    pub round_trips: u64,
    /// Their sum in microseconds.
    pub round_trip_micros: u64,
}

/// The hub's address.
pub const HUB: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// The address of spoke `number`, which counts from 1.
#[must_use]
pub fn spoke(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 1, high, low))
}

#[derive(Debug, Default)]
struct Tally {
    up: AtomicI64,
    downs: AtomicU64,
    round_trips: AtomicU64,
    round_trip_micros: AtomicU64,
}

impl Tally {
    fn count(&self, event: &BfdEvent) {
        match event.event {
            Event::StateChanged(change) if change.to == State::Up => {
                self.up.fetch_add(1, Ordering::Relaxed);
            }
            Event::StateChanged(change) if change.from == State::Up => {
                self.up.fetch_sub(1, Ordering::Relaxed);
                self.downs.fetch_add(1, Ordering::Relaxed);
            }
            Event::Rtt(time) => {
                let micros = u64::try_from(time.as_micros()).unwrap_or_default();
                self.round_trips.fetch_add(1, Ordering::Relaxed);
                self.round_trip_micros.fetch_add(micros, Ordering::Relaxed);
            }
            Event::Made | Event::StateChanged(_) | Event::TimersNegotiated { .. } => {}
        }
    }

    fn line(&self) -> Line {
        Line {
            up: self.up.load(Ordering::Relaxed),
            downs: self.downs.load(Ordering::Relaxed),
            round_trips: self.round_trips.load(Ordering::Relaxed),
            round_trip_micros: self.round_trip_micros.load(Ordering::Relaxed),
        }
    }
}

/// Runs until it is killed.
///
/// # Errors
/// When the driver does not start.
pub fn run(arguments: &Arguments) -> Result<()> {
    // A spoke has two sockets.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let tally = Arc::new(Tally::default());
    let counting = Arc::clone(&tally);
    let config = BfdConfig {
        rtt_interval: arguments.rtt.then_some(DEFAULT_RTT_INTERVAL),
        // As bfdd: no better chance of being scheduled than anybody else.
        realtime: false,
        ..BfdConfig::default()
    };
    let driver = BfdDriver::spawn(config, move |event| counting.count(&event))?;
    let specs = (1..=arguments.sessions).map(|number| spec(arguments, number));
    driver.set_sessions(specs.collect::<Result<_>>()?)?;
    let mut output = stdout().lock();
    loop {
        std::thread::sleep(REPORT_INTERVAL);
        writeln!(output, "{}", serde_json::to_string(&tally.line())?)?;
        output.flush()?;
    }
}

fn spec(arguments: &Arguments, number: u16) -> Result<SessionSpec> {
    let interval = Duration::from_millis(u64::from(arguments.millis));
    let (local, remote) = match arguments.side {
        Side::Hub => (HUB, spoke(number)),
        Side::Spokes => (spoke(number), HUB),
    };
    let slot = Slot::new(1)?;
    Ok(SessionSpec {
        path: PathId {
            site: SiteNumber::new(number)?,
            local: slot,
            remote: slot,
        },
        interface: arguments.interface.clone(),
        local,
        remote,
        timers: BfdTimers {
            desired_min_tx: interval,
            required_min_rx: interval,
            detect_mult: arguments.detect_mult,
        },
    })
}
