//! Stalls of the machine, told apart from losses that we cause.
//!
//! User-space WireGuard that gets no turn for some hundred milliseconds has no room for what comes
//! meanwhile, and drops packets of all streams alike. So controls run beside the streams under test:
//! through the same tunnels, between sites whose ways to each other are not touched by what is tested.
//! What both lose in the same moments, the machine has lost.

use std::time::{Duration, Instant};

use anyhow::Result;
use patronus_lab::traffic::{Blackout, FlowReport, UdpReport, UdpStream};

use crate::network::{Family, Network};

/// A machine that drops packets because it stalls has others wait, of the same stream. Far more than
/// the links of labs take, far less than it takes to fill a queue of 500 packets with some streams.
const LATE_MS: f64 = 100.0;

/// Longer than what a move from one path to another may cost.
pub const LONG_MS: f64 = 50.0;

/// Streams that what is tested does not touch.
pub struct Controls(Vec<UdpStream>);

impl Controls {
    /// Starts one in both directions between the sites of each pair, from this port on.
    ///
    /// # Errors
    /// When there is no such site.
    pub fn between(network: &Network, pairs: &[(&str, &str)], port: u16) -> Result<Self> {
        let streams = pairs
            .iter()
            .zip(port..)
            .map(|((a, b), port)| network.stream(a, b, port, Family::V4));
        Ok(Self(streams.collect::<Result<_>>()?))
    }

    /// Ends them.
    #[must_use]
    pub fn stop(self) -> Stalls {
        let ended = self.0.into_iter().map(|stream| {
            let begun = stream.begun();
            (begun, stream.stop())
        });
        Stalls::of(ended)
    }
}

/// When the machine stalled.
#[derive(Debug)]
pub struct Stalls {
    /// How late the latest packet of a control was.
    late_ms: f64,
    /// When it dropped packets, in the order of time.
    lost: Vec<(Instant, Instant)>,
}

impl Stalls {
    fn of(controls: impl Iterator<Item = (Instant, UdpReport)>) -> Self {
        let mut lost = Vec::new();
        let (mut late_ms, mut latest_ms): (f64, f64) = (0.0, 0.0);
        for (begun, report) in controls {
            for flow in [Some(&report.a_to_b), report.b_to_a.as_ref()] {
                let (Some(flow), Some(delay)) = (flow, flow.and_then(|flow| flow.delay)) else {
                    continue;
                };
                late_ms = late_ms.max(delay.max_ms - delay.min_ms);
                // What is lost without anything being late, we have lost.
                if delay.max_ms - delay.min_ms >= LATE_MS {
                    latest_ms = latest_ms.max(delay.max_ms);
                    lost.extend(flow.blackouts.iter().map(|blackout| span(begun, blackout)));
                }
            }
        }
        // What comes to the same full queue by another way was sent so much earlier or later.
        let late = Duration::from_secs_f64(latest_ms / 1000.0);
        let wider = |(from, to): (Instant, Instant)| (from.checked_sub(late), to + late);
        let mut lost: Vec<_> = lost
            .into_iter()
            .map(wider)
            .filter_map(|(from, to)| Some((from?, to)))
            .collect();
        lost.sort_unstable();
        Self { late_ms, lost }
    }

    /// Whether it stalled at all, so that the ends of a path may not have heard each other in time.
    #[must_use]
    pub fn any(&self) -> bool {
        self.late_ms >= LATE_MS
    }

    /// The blackouts of a flow, of a stream that began then, which no stalls explain: all of them but
    /// [`LONG_MS`] at the most.
    #[must_use]
    pub fn unexplained(&self, begun: Instant, flow: &FlowReport) -> Vec<Blackout> {
        let unexplained = |blackout: &&Blackout| {
            let (mut from, to) = span(begun, blackout);
            let mut left = Duration::ZERO;
            for (stalled, until) in &self.lost {
                left += stalled.min(&to).saturating_duration_since(from);
                from = from.max(*until).min(to);
            }
            left += to.saturating_duration_since(from);
            left > Duration::from_secs_f64(LONG_MS / 1000.0)
        };
        flow.blackouts.iter().filter(unexplained).copied().collect()
    }
}

fn span(begun: Instant, blackout: &Blackout) -> (Instant, Instant) {
    let from = begun + Duration::from_secs_f64(blackout.start_ms / 1000.0);
    (
        from,
        from + Duration::from_secs_f64(blackout.duration_ms / 1000.0),
    )
}

#[cfg(test)]
mod tests {
    use patronus_lab::traffic::Delay;

    use super::*;

    /// A flow with these blackouts, of which the last packet came so late.
    fn flow(late_ms: f64, blackouts: &[(f64, f64)]) -> FlowReport {
        let delay = Delay {
            min_ms: 2.0,
            p50_ms: 2.0,
            p99_ms: late_ms,
            max_ms: late_ms,
        };
        let blackout = |&(start_ms, duration_ms): &(f64, f64)| Blackout {
            start_ms,
            duration_ms,
            first: 0,
            packets: 5,
        };
        FlowReport {
            sent: 1000,
            received: 900,
            lost: 100,
            loss_percent: 10.0,
            duplicates: 0,
            reordered: 0,
            refused: 0,
            longest_blackout: None,
            blackouts: blackouts.iter().map(blackout).collect(),
            longest_silence_ms: 0.0,
            delay: Some(delay),
            jitter_ms: 0.0,
            missing: Vec::new(),
        }
    }

    fn unexplained(control: FlowReport, blackouts: &[(f64, f64)]) -> Vec<f64> {
        let begun = Instant::now() + Duration::from_secs(60);
        let report = UdpReport {
            a_to_b: flow(3.0, &[]),
            b_to_a: Some(control),
        };
        // The control began a second before.
        let second = Duration::from_secs(1);
        let stalls = Stalls::of([(begun - second, report)].into_iter());
        let left = stalls.unexplained(begun, &flow(3.0, blackouts));
        left.iter().map(|blackout| blackout.start_ms).collect()
    }

    #[test]
    fn what_the_control_loses_as_well_is_explained_and_nothing_else_is() {
        let control = || flow(200.0, &[(3000.0, 100.0), (5000.0, 60.0)]);
        // At 2000 to 2100, and 4000 to 4060, and 200 ms around both.
        let blackouts = [(1900.0, 300.0), (3000.0, 60.0), (4000.0, 100.0)];
        assert_eq!(unexplained(control(), &blackouts), [3000.0]);
        // More of it than a move may take is outside, before or after or between.
        let blackouts = [(1700.0, 300.0), (2250.0, 101.0), (1900.0, 2200.0)];
        assert_eq!(unexplained(control(), &blackouts), [1700.0, 2250.0, 1900.0]);
    }

    #[test]
    fn a_control_that_loses_packets_of_which_none_is_late_explains_nothing() {
        let control = flow(30.0, &[(3000.0, 100.0)]);
        assert_eq!(unexplained(control, &[(2000.0, 100.0)]), [2000.0]);
    }

    #[test]
    fn what_is_as_short_as_a_move_needs_no_explanation() {
        assert_eq!(unexplained(flow(3.0, &[]), &[(2000.0, 50.0)]), [0.0; 0]);
    }
}
