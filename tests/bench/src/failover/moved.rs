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
//!
//! Then the fibre loses its carrier instead, which the kernel tells at once, with much else for the
//! daemon to put right: addresses and routes come and go with it. What is measured then begins when
//! `ip monitor` prints that the carrier is lost. The far end has only BFD, so it decides how long
//! traffic stands still. A stream runs in both directions during all of these cuts.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use patronus_e2e::network::{PATIENCE, VOICE as VOICE_PORT};
use patronus_e2e::{Family, Network};
use patronus_lab::{Cut, Node, Process};
use patronus_model::ids::{ClassId, Slot};
use patronus_model::layout::{KernelLayout, TunnelId};
use serde_json::{Value, json};

use crate::network::{TWO_SITES, hasty, wait_until_best};
use crate::report::{Row, Target, progress};
use crate::samples::Samples;

/// Prefixes that Lisbon announces, over and above its LANs.
const PREFIXES: u32 = 10_000;
const INTERVAL_MS: u64 = 100;
/// What is to be done within this once BFD has called a path down.
const LIMIT_MS: f64 = 5.0;
/// As without prefixes.
const BLACKOUT_LIMIT_MS: f64 = 400.0;
/// How long everything is left alone before a cut, so that nothing is still being put right.
const CALM: Duration = Duration::from_millis(500);
/// Longer than the detection time.
const CUT: Duration = Duration::from_millis(1000);
const DAY: f64 = 86_400.0;

/// Measures so many cuts of each kind; the slowest of them counts.
///
/// # Errors
/// When the network does not come up, or somebody does not see what happens.
pub(super) fn measure(cuts: usize) -> Result<Vec<Row>> {
    progress(format!("bringing up two sites, {PREFIXES} prefixes at one"));
    let mut network = Network::up_with(TWO_SITES, adjust)?;
    let node = network.lab.router("berlin")?.node().clone();
    network.wait_until(PATIENCE, |_| Ok(routes(&node)? >= PREFIXES as usize))?;
    progress("all prefixes are learned");
    let watch = Watch::start(&network)?;
    let mut all = |what: Cut| {
        let observed = (1..=cuts).map(|number| {
            let seen = watch.cut(&mut network, what)?;
            let Seen { moved, blackout } = seen;
            progress(format!(
                "{what} {number} of {cuts}: moved after {moved:.2} ms, blackout {blackout:.0} ms"
            ));
            Ok(seen)
        });
        let observed = observed.collect::<Result<Vec<Seen>>>()?;
        let moved: Samples = observed.iter().map(|seen| seen.moved).collect();
        let blackout: Samples = observed.iter().map(|seen| seen.blackout).collect();
        Ok::<_, anyhow::Error>((moved, blackout))
    };
    let (moved, blackout) = all(Cut::Swallow)?;
    let (after_carrier, carrier_blackout) = all(Cut::Carrier)?;
    network.lab.stop()?;
    let row = |name: &str, value| Row::new(format!("{name}_10k_prefixes"), value, "ms");
    let moved_limit = Target::AtMost(LIMIT_MS);
    let blackout_limit = Target::AtMost(BLACKOUT_LIMIT_MS);
    Ok(vec![
        row("bfd_down_to_moved_ms", moved.max()).target(moved_limit),
        row("bfd_down_to_moved_ms_p50", moved.p50()),
        row("blackout_ms_max", blackout.max()).target(blackout_limit),
        row("blackout_ms_p50", blackout.p50()),
        row("carrier_to_moved_ms_max", after_carrier.max()),
        row("carrier_to_moved_ms_p50", after_carrier.p50()),
        row("carrier_blackout_ms_max", carrier_blackout.max()).target(blackout_limit),
        row("carrier_blackout_ms_p50", carrier_blackout.p50()),
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
    kernel: Process,
    /// Berlin's end of its fibre.
    uplink: String,
}

/// What one cut came to, in milliseconds.
struct Seen {
    /// From the moment at which the cut could be known to the move.
    moved: f64,
    /// The longer one of both directions.
    blackout: f64,
}

impl Watch {
    fn start(network: &Network) -> Result<Self> {
        let node = network.lab.router("berlin")?.node().clone();
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
        let kernel = node.spawn(&command("ip -tshort -o monitor link nexthop"))?;
        let uplink = network.lab.plan().uplink("berlin", "fibre")?;
        Ok(Self {
            packets,
            kernel,
            uplink: uplink.interface.clone(),
        })
    }

    /// Cuts and heals Berlin's fibre.
    fn cut(&self, network: &mut Network, cut: Cut) -> Result<Seen> {
        wait_until_best(network)?;
        let stream = network.stream("berlin", "lisbon", VOICE_PORT, Family::V4)?;
        std::thread::sleep(CALM);
        let before = self.kernel.stdout()?.len();
        network.lab.cut("berlin", "fibre", cut)?;
        std::thread::sleep(CUT);
        let said = self.kernel.stdout()?;
        let heard = self.packets.stdout()?;
        let report = stream.stop();
        network.lab.heal("berlin", "fibre")?;

        let said = said.get(before..).unwrap_or_default();
        let moved = said.lines().find_map(moved_at);
        let moved = moved.with_context(|| format!("nothing moved: {said}"))?;
        let begun = if cut == Cut::Carrier {
            let lost = said
                .lines()
                .find_map(|line| carrier_lost_at(line, &self.uplink));
            lost.with_context(|| format!("no carrier was lost: {said}"))?
        } else {
            let newest_first = heard.lines().rev();
            let mut times = newest_first.filter_map(|line| time_of_day(line.get(..15)?));
            // What came in after the move would seem to be nearly a day old.
            let last = times.find(|at| since(*at, moved) < DAY / 2.0);
            let detection = Duration::from_millis(3 * INTERVAL_MS);
            last.context("no control packet of BFD has come in")? + detection.as_secs_f64()
        };
        let blackout = report.longest_blackout_ms();
        ensure!(blackout > 0.0, "the cut was not felt: {report:?}");
        // It can be known before BFD is certain, so the difference may be less than nothing.
        let moved = (since(begun, moved) + DAY / 2.0).rem_euclid(DAY) - DAY / 2.0;
        Ok(Seen {
            moved: moved * 1e3,
            blackout,
        })
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

/// When an interface lost its carrier, from `[...T10:52:43.123456] 5: wan1@if4: <NO-CARRIER,...`.
fn carrier_lost_at(line: &str, interface: &str) -> Option<f64> {
    let (stamp, link) = line.strip_prefix('[')?.split_once("] ")?;
    let (name, flags) = link.split_once(": ")?.1.split_once(": <")?;
    let lost = name.split('@').next()? == interface && flags.starts_with("NO-CARRIER");
    let (_, time) = stamp.split_once('T')?;
    lost.then(|| time_of_day(time))?
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
    fn a_lost_carrier_is_read_from_what_ip_prints() {
        let line = "[2026-11-20T01:00:01.500000] 5: wan1@if4: <NO-CARRIER,BROADCAST,UP> mtu 1500";
        assert_eq!(carrier_lost_at(line, "wan1"), Some(3601.5));
        assert_eq!(carrier_lost_at(line, "wan2"), None);
        assert_eq!(
            carrier_lost_at(&line.replace("NO-CARRIER,", ""), "wan1"),
            None
        );
    }

    #[test]
    fn midnight_does_not_matter() {
        assert_eq!(since(DAY - 1.0, 2.0), 3.0);
    }
}
