//! From the moment at which BFD has to call a path down to the moment at which traffic is on
//! another one, with 10,000 prefixes learned from the far end.
//!
//! Both moments are seen from outside of the daemon, at the router whose fibre is cut:
//!
//! - BFD has to call a path down when the detection time has passed since the last control packet
//!   came in (RFC 5880 section 6.8.4). tcpdump on the tunnel notes the kernel's time of that
//!   packet; the detection time is three times the interval, as both ends have the same settings.
//! - Traffic has moved when the kernel says that the nexthop object of its class leads elsewhere:
//!   `ip monitor` prints its own time when it hears of that.
//!
//! So the difference holds everything that is ours: that BFD's timer fires late, the way to the
//! engine, the decision, the message to the kernel which moves the prefixes; and, against us, the
//! time until the watcher has the CPU.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use patronus_e2e::Network;
use patronus_e2e::network::PATIENCE;
use patronus_lab::{Cut, Node, Process};
use patronus_model::ids::{ClassId, Slot};
use patronus_model::layout::{KernelLayout, TunnelId};
use serde_json::{Value, json};

use crate::network::{TWO_SITES, hasty, wait_until_best};
use crate::report::{Row, Target, progress};
use crate::samples::{Samples, millis};

/// Prefixes that Lisbon announces, over and above its LANs.
const PREFIXES: u32 = 10_000;
const INTERVAL_MS: u64 = 100;
/// What is to be done within this once BFD has called a path down.
const LIMIT_MS: f64 = 5.0;
/// How long everything is left alone before a cut, so that nothing is still being put right.
const CALM: Duration = Duration::from_millis(500);
/// Longer than the detection time.
const CUT: Duration = Duration::from_millis(1000);
const DAY: f64 = 86_400.0;

/// Measures so many cuts; the slowest of them counts.
///
/// # Errors
/// When the network does not come up, or somebody does not see what happens.
pub(super) fn measure(cuts: usize) -> Result<[Row; 2]> {
    progress(format!("bringing up two sites, {PREFIXES} prefixes at one"));
    let mut network = Network::up_with(TWO_SITES, adjust)?;
    let node = network.lab.router("berlin")?.node().clone();
    network.wait_until(PATIENCE, |_| Ok(routes(&node)? >= PREFIXES as usize))?;
    progress("all prefixes are learned");
    let watch = Watch::start(&node)?;
    let moves = (1..=cuts).map(|number| {
        let took = watch.cut(&mut network)?;
        progress(format!("cut {number} of {cuts}: {took:.2} ms"));
        Ok(took)
    });
    let moves = moves.collect::<Result<Samples>>()?;
    network.lab.stop()?;
    let row = |name: &str, value| Row::new(name, value, "ms");
    Ok([
        row("bfd_down_to_moved_ms_10k_prefixes", moves.max()).target(Target::AtMost(LIMIT_MS)),
        row("bfd_down_to_moved_ms_p50_10k_prefixes", moves.p50()),
    ])
}

fn adjust(site: &str, config: &mut Value) {
    hasty(config, INTERVAL_MS);
    if site == "lisbon"
        && let Some(Value::Array(prefixes)) = config.pointer_mut("/lans/0/prefixes")
    {
        // Blocks of 64 addresses from 172.16.0.0/12, which has room for 16,384.
        let first = u32::from(Ipv4Addr::new(172, 16, 0, 0));
        let blocks = (0..PREFIXES).map(|number| Ipv4Addr::from(first + number * 64));
        prefixes.extend(blocks.map(|block| json!(format!("{block}/26"))));
    }
}

/// How many routes the class of voice has.
fn routes(node: &Node) -> Result<usize> {
    let table = KernelLayout::default().class_table(ClassId::new(VOICE)?);
    let listed = node.run(["ip", "route", "show", "table", &table.to_string()])?;
    Ok(listed.lines().count())
}

/// Number of the class that the streams of other recipes are in too.
const VOICE: u8 = 1;

/// What is seen of the daemon's work.
struct Watch {
    packets: Process,
    moves: Process,
}

impl Watch {
    fn start(node: &Node) -> Result<Self> {
        let slot = Slot::new(1)?;
        let tunnel = KernelLayout::default().tunnel_interface(TunnelId {
            hub: None,
            local: slot,
            remote: slot,
        });
        let mut tcpdump = command("tcpdump -n -l --immediate-mode -Q in -Z root");
        tcpdump.args(["-i", tunnel.as_str(), "udp port 3784"]);
        let mut packets = node.spawn(&tcpdump)?;
        packets
            .wait_for_output("listening on", Duration::from_secs(10))
            .context("tcpdump (Debian package tcpdump)")?;
        let moves = node.spawn(&command("ip -tshort monitor nexthop"))?;
        Ok(Self { packets, moves })
    }

    /// Cuts and heals Berlin's fibre. Returns the milliseconds from the end of the detection time
    /// to the move.
    fn cut(&self, network: &mut Network) -> Result<f64> {
        wait_until_best(network)?;
        std::thread::sleep(CALM);
        let before = self.moves.stdout()?.len();
        network.lab.cut("berlin", "fibre", Cut::Swallow)?;
        std::thread::sleep(CUT);
        let said = self.moves.stdout()?;
        let heard = self.packets.stdout()?;
        network.lab.heal("berlin", "fibre")?;
        let moved = said.get(before..).unwrap_or_default().lines();
        let moved = moved.into_iter().find_map(moved_at);
        let moved = moved.with_context(|| format!("nothing moved: {said}"))?;
        let newest_first = heard.lines().rev();
        let mut times = newest_first.filter_map(|line| time_of_day(line.get(..15)?));
        // What came in after the move would seem to be nearly a day old.
        let last = times.find(|at| since(*at, moved) < DAY / 2.0);
        let last = last.context("no control packet of BFD has come in")?;
        let detection = Duration::from_millis(3 * INTERVAL_MS);
        Ok(since(last, moved) * 1e3 - millis(detection))
    }
}

fn command(words: &str) -> Command {
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    // Both programs tell local time.
    command.args(words).env("TZ", "UTC");
    command
}

/// Seconds of the day from `10:52:43.123456`.
fn time_of_day(text: &str) -> Option<f64> {
    let mut parts = text.split(':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

/// When voice moved, from `[2026-11-20T10:52:43.123456] id 4026532609 dev pat-1-2 ...`.
fn moved_at(line: &str) -> Option<f64> {
    let (stamp, object) = line.strip_prefix('[')?.split_once("] id ")?;
    let id: u32 = object.split(' ').next()?.parse().ok()?;
    let (_, time) = stamp.split_once('T')?;
    (id & 0xff == u32::from(VOICE)).then(|| time_of_day(time))?
}

/// Seconds from one time of the day to a later one, perhaps of the next day.
fn since(earlier: f64, later: f64) -> f64 {
    (later - earlier).rem_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_read_from_what_ip_prints() {
        let line = "[2026-11-20T01:00:01.500000] id 4026532609 dev pat-1-2 scope link proto 80 ";
        assert_eq!(moved_at(line), Some(3601.5));
        assert_eq!(moved_at(&line.replace("2609", "2610")), None);
        assert_eq!(moved_at("id 4026532609 dev pat-1-2"), None);
    }

    #[test]
    fn midnight_does_not_matter() {
        assert_eq!(since(DAY - 1.0, 2.0), 3.0);
    }
}
