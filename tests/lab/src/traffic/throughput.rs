//! How much fits through, and what it costs.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::Endpoint;
use super::tcp::{TcpFlow, TcpSpec, mbit_per_s};

/// What TCP reached between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Throughput {
    /// All connections together.
    pub mbit_per_s: f64,
    /// Connections.
    pub connections: usize,
    /// Measured time in seconds, after a warm-up.
    pub seconds: f64,
    /// CPU cores which the whole machine used on average, everything included.
    pub busy_cores: f64,
}

/// Slow start is over after this long on the delays which labs have.
const WARM_UP: Duration = Duration::from_millis(500);

/// Sends for `duration` over `connections` parallel TCP connections, as fast as it goes. The port
/// of `to` is used by the first connection; the others take the following ones.
///
/// # Errors
/// When a connection cannot be made, breaks, or damages data.
pub fn tcp_throughput(
    from: &Endpoint,
    to: &Endpoint,
    connections: usize,
    duration: Duration,
) -> Result<Throughput> {
    let flows = (0..connections)
        .map(|index| {
            let mut to = to.clone();
            to.port = to
                .port
                .checked_add(u16::try_from(index)?)
                .context("too many connections")?;
            TcpFlow::start(&TcpSpec {
                from: from.clone(),
                to,
                rate: None,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    std::thread::sleep(WARM_UP);
    let (bytes_before, busy_before, started) = (received(&flows), busy_time()?, Instant::now());
    std::thread::sleep(duration);
    let (bytes_after, busy_after, time) = (received(&flows), busy_time()?, started.elapsed());
    for report in flows.into_iter().map(TcpFlow::stop) {
        if let Some(reason) = report.broken {
            bail!("a connection broke: {reason}");
        }
        if let Some(position) = report.damaged_at {
            bail!("byte {position} of a connection was not the one sent");
        }
    }
    Ok(Throughput {
        mbit_per_s: mbit_per_s(bytes_after - bytes_before, time),
        connections,
        seconds: time.as_secs_f64(),
        busy_cores: busy_after.saturating_sub(busy_before).as_secs_f64() / time.as_secs_f64(),
    })
}

fn received(flows: &[TcpFlow]) -> u64 {
    flows.iter().map(|flow| flow.report().bytes).sum()
}

/// CPU time which the machine has spent on anything: all of the first line of `/proc/stat` but
/// `idle` and `iowait` (fields 4 and 5), in ticks of 10 ms (proc(5)), without guests, which are
/// counted in `user` already.
fn busy_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    let busy = ticks
        .iter()
        .take(8)
        .enumerate()
        .filter(|(field, _)| ![3, 4].contains(field));
    Ok(Duration::from_millis(
        busy.map(|(_, ticks)| ticks * 10).sum(),
    ))
}
