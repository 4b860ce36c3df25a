//! What happened to each packet of one direction of a stream, and what follows from it.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

/// A packet that has not arrived after this long counts as lost in reports about a stream which
/// still runs.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// Runs of at least this many lost packets are listed as blackouts.
const BLACKOUT_PACKETS: u64 = 5;

/// What one direction of a stream has come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlowReport {
    /// Packets sent (and old enough to have arrived).
    pub sent: u64,
    /// Different packets received.
    pub received: u64,
    /// Packets that did not arrive.
    pub lost: u64,
    /// Share of the packets that did not arrive, in percent.
    pub loss_percent: f64,
    /// Packets that arrived again.
    pub duplicates: u64,
    /// Packets that arrived after one which was sent later.
    pub reordered: u64,
    /// Packets that the sender's own kernel refused (no route, for example); they count as lost.
    pub refused: u64,
    /// The longest run of lost packets, however short.
    pub longest_blackout: Option<Blackout>,
    /// All runs of at least 5 lost packets in the order of time.
    pub blackouts: Vec<Blackout>,
    /// Longest time without any arrival, in milliseconds. Longer than the blackout when packets
    /// were late, or the machine was busy.
    pub longest_silence_ms: f64,
    /// One-way delay of the packets that arrived.
    pub delay: Option<Delay>,
    /// Mean difference between the delays of consecutive packets in milliseconds (RFC 3550, 6.4.1).
    pub jitter_ms: f64,
    /// Sequence numbers of lost packets, as inclusive ranges.
    pub missing: Vec<RangeInclusive<u64>>,
}

/// A run of lost packets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Blackout {
    /// When the last packet before it was sent, in milliseconds since the start of the stream.
    pub start_ms: f64,
    /// From then to the sending of the first packet which arrived again, in milliseconds.
    pub duration_ms: f64,
    /// Sequence number of the first lost packet.
    pub first: u64,
    /// How many packets were lost.
    pub packets: u64,
}

/// One-way delay in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delay {
    /// The shortest.
    pub min_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// Exceeded by one packet in a hundred.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What happened since the previous sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// Packets sent (and old enough to have arrived).
    pub sent: u64,
    /// Of these, packets that did not arrive.
    pub lost: u64,
    /// Mean one-way delay of those that arrived, in milliseconds.
    pub delay_ms: Option<f64>,
    /// Time since the last arrival, in milliseconds.
    pub silent_ms: f64,
}

/// A sent packet: 16 bytes, so an hour at 500 packets a second takes 29 MB.
struct Packet {
    /// Since the start of the stream.
    sent_ns: u64,
    delay_us: u32,
    copies: u32,
}

/// Everything about one direction. `now` and all times count from the start of the stream.
#[derive(Default)]
pub(super) struct Records {
    packets: Vec<Packet>,
    highest: Option<u64>,
    reordered: u64,
    duplicates: u64,
    refused: u64,
    last_arrival: Option<Duration>,
    longest_silence: Duration,
    previous_delay_us: Option<u32>,
    jitter_us: f64,
    /// First packet of the next sample.
    sampled: usize,
}

impl Records {
    /// Notes a packet that is about to be sent; returns its sequence number.
    pub(super) fn sent(&mut self, now: Duration) -> u64 {
        let sequence = self.packets.len() as u64;
        self.packets.push(Packet {
            sent_ns: nanos(now),
            delay_us: 0,
            copies: 0,
        });
        sequence
    }

    pub(super) fn refused(&mut self) {
        self.refused += 1;
    }

    pub(super) fn received(&mut self, sequence: u64, now: Duration) {
        let index = usize::try_from(sequence).unwrap_or(usize::MAX);
        let Some(packet) = self.packets.get_mut(index) else {
            return;
        };
        packet.copies += 1;
        if packet.copies > 1 {
            self.duplicates += 1;
            return;
        }
        let delay_us = nanos(now).saturating_sub(packet.sent_ns) / 1000;
        packet.delay_us = u32::try_from(delay_us).unwrap_or(u32::MAX);
        if let Some(previous) = self.previous_delay_us.replace(packet.delay_us) {
            let difference = f64::from(previous.abs_diff(packet.delay_us));
            self.jitter_us += (difference - self.jitter_us) / 16.0;
        }
        if self.highest.is_some_and(|highest| sequence < highest) {
            self.reordered += 1;
        } else {
            self.highest = Some(sequence);
        }
        let silence = now.saturating_sub(self.last_arrival.unwrap_or(now));
        self.longest_silence = self.longest_silence.max(silence);
        self.last_arrival = Some(now);
    }

    /// True when nothing is under way any more.
    pub(super) fn all_arrived(&self) -> bool {
        self.packets
            .iter()
            .rev()
            .take(1000)
            .all(|packet| packet.copies > 0)
    }

    pub(super) fn silent_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_arrival.unwrap_or_default())
    }

    /// Reports about packets sent before `until`, and those that have arrived since.
    pub(super) fn report(&self, until: Duration) -> FlowReport {
        let counted = self.counted(until);
        let missing = missing(counted);
        let lost: u64 = missing.iter().map(|run| run.end() - run.start() + 1).sum();
        let sent = counted.len() as u64;
        let blackouts: Vec<Blackout> = missing
            .iter()
            .map(|run| Blackout {
                packets: run.end() - run.start() + 1,
                first: *run.start(),
                ..span(counted, run, until)
            })
            .collect();
        let longest = blackouts
            .iter()
            .max_by(|a, b| a.duration_ms.total_cmp(&b.duration_ms));
        FlowReport {
            sent,
            received: sent - lost,
            lost,
            loss_percent: if sent == 0 {
                0.0
            } else {
                lost as f64 / sent as f64 * 100.0
            },
            duplicates: self.duplicates,
            reordered: self.reordered,
            refused: self.refused,
            longest_blackout: longest.copied(),
            longest_silence_ms: millis(self.longest_silence),
            delay: delay(counted),
            jitter_ms: self.jitter_us / 1000.0,
            blackouts: blackouts
                .into_iter()
                .filter(|blackout| blackout.packets >= BLACKOUT_PACKETS)
                .collect(),
            missing,
        }
    }

    pub(super) fn sample(&mut self, now: Duration) -> Sample {
        let counted = self.counted(now.saturating_sub(GRACE)).len();
        let new = self.packets.get(self.sampled..counted).unwrap_or_default();
        let arrived = new.iter().filter(|packet| packet.copies > 0);
        let (mut count, mut sum) = (0u64, 0.0);
        for packet in arrived {
            count += 1;
            sum += f64::from(packet.delay_us);
        }
        let sample = Sample {
            sent: new.len() as u64,
            lost: new.len() as u64 - count,
            delay_ms: (count > 0).then(|| sum / count as f64 / 1000.0),
            silent_ms: millis(self.silent_for(now)),
        };
        self.sampled = self.sampled.max(counted);
        sample
    }

    /// The packets whose fate is known.
    fn counted(&self, until: Duration) -> &[Packet] {
        let until = nanos(until);
        let end = self
            .packets
            .partition_point(|packet| packet.sent_ns < until);
        self.packets.get(..end).unwrap_or_default()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn missing(packets: &[Packet]) -> Vec<RangeInclusive<u64>> {
    let mut runs: Vec<RangeInclusive<u64>> = Vec::new();
    for (packet, sequence) in packets.iter().zip(0u64..) {
        if packet.copies > 0 {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end() + 1 == sequence => *run = *run.start()..=sequence,
            _ => runs.push(sequence..=sequence),
        }
    }
    runs
}

/// When a run of lost packets began and how long it took; one that lasts still ends `now`.
fn span(packets: &[Packet], run: &RangeInclusive<u64>, now: Duration) -> Blackout {
    let sent = |sequence: u64| {
        let index = usize::try_from(sequence).ok()?;
        packets.get(index).map(|packet| packet.sent_ns as f64 / 1e6)
    };
    let before = run.start().checked_sub(1).and_then(sent);
    let start_ms = before.or_else(|| sent(*run.start())).unwrap_or(0.0);
    let end_ms = sent(run.end() + 1).unwrap_or_else(|| millis(now));
    Blackout {
        start_ms,
        duration_ms: end_ms - start_ms,
        first: 0,
        packets: 0,
    }
}

fn delay(packets: &[Packet]) -> Option<Delay> {
    let arrived = packets.iter().filter(|packet| packet.copies > 0);
    let mut delays: Vec<u32> = arrived.map(|packet| packet.delay_us).collect();
    delays.sort_unstable();
    let at = |share: f64| {
        let index = ((delays.len().saturating_sub(1)) as f64 * share).round() as usize;
        delays.get(index).map(|delay| f64::from(*delay) / 1000.0)
    };
    Some(Delay {
        min_ms: at(0.0)?,
        p50_ms: at(0.5)?,
        p99_ms: at(0.99)?,
        max_ms: at(1.0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Sends a packet every 2 ms, of which those for which `arrives` holds arrive 10 ms later.
    fn stream(count: u64, arrives: impl Fn(u64) -> bool) -> Records {
        let mut records = Records::default();
        for sequence in 0..count {
            records.sent(ms(sequence * 2));
        }
        for sequence in (0..count).filter(|sequence| arrives(*sequence)) {
            records.received(sequence, ms(sequence * 2 + 10));
        }
        records
    }

    #[test]
    fn a_run_of_lost_packets_is_a_blackout_from_the_last_before_to_the_first_after_it() {
        let report = stream(1000, |n| !(100..350).contains(&n)).report(ms(5000));
        let blackout = report.longest_blackout.unwrap();
        assert_eq!(
            (report.sent, report.lost, report.missing),
            (1000, 250, vec![100..=349])
        );
        assert_eq!((blackout.start_ms, blackout.duration_ms), (198.0, 502.0));
        assert_eq!((blackout.first, blackout.packets), (100, 250));
        assert_eq!(report.longest_silence_ms, 502.0);
        assert_eq!(report.delay.unwrap().p50_ms, 10.0);
    }

    #[test]
    fn a_blackout_that_lasts_still_ends_now() {
        let report = stream(1000, |n| n < 500).report(ms(2000));
        assert_eq!(report.longest_blackout.unwrap().duration_ms, 2000.0 - 998.0);
    }

    #[test]
    fn duplicates_and_reordering_are_counted_and_are_no_loss() {
        let mut records = stream(10, |n| n != 3);
        records.received(3, ms(40));
        records.received(3, ms(41));
        let report = records.report(ms(100));
        assert_eq!(
            (report.lost, report.reordered, report.duplicates),
            (0, 1, 1)
        );
        assert_eq!(report.longest_blackout, None);
    }

    #[test]
    fn a_sample_counts_each_packet_once_and_not_before_its_time() {
        let mut records = stream(1000, |n| n % 2 == 0);
        let first = records.sample(ms(1500));
        let second = records.sample(ms(5000));
        assert_eq!((first.sent, first.lost), (500, 250));
        assert_eq!((second.sent, second.lost), (500, 250));
        assert_eq!(second.delay_ms, Some(10.0));
    }
}
