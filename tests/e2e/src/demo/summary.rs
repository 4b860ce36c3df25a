//! What the demo measured.

use patronus_lab::traffic::UdpReport;
use serde_json::{Value, json};

/// Silences shorter than this are loss of the emulated LTE, not a failover.
const FAILOVER_MS: f64 = 50.0;

/// What the demo measured.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Sites.
    pub sites: usize,
    /// Paths that were up, counted at both ends.
    pub paths_up: usize,
    /// For each failure and call that felt it, how long nothing arrived.
    pub failovers_ms: Vec<f64>,
    /// Packets of all calls that did not arrive.
    pub lost_packets: u64,
    /// Packets of all calls that were sent.
    pub sent_packets: u64,
    /// Throughput of TCP beside bare WireGuard, of each pair of neighbouring runs.
    pub throughput_ratios: Vec<f64>,
    /// Packets lost while the daemon was dead and when it came back.
    pub daemon_restart_lost: u64,
}

impl Summary {
    /// Takes over what became of the calls.
    pub fn take_calls(&mut self, reports: Vec<UdpReport>) {
        for report in reports {
            self.lost_packets += report.lost();
            for flow in [Some(report.a_to_b), report.b_to_a].into_iter().flatten() {
                self.sent_packets += flow.sent;
                let long = flow.blackouts.iter().map(|blackout| blackout.duration_ms);
                self.failovers_ms
                    .extend(long.filter(|ms| *ms >= FAILOVER_MS));
            }
        }
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let max = self.failovers_ms.iter().copied().fold(0.0, f64::max);
        json!({
            "sites": self.sites,
            "paths_up": self.paths_up,
            "failover_ms": { "p50": median(self.failovers_ms.clone()).round(), "max": max.round() },
            "lost_packets": self.lost_packets,
            "throughput_ratio": (median(self.throughput_ratios.clone()) * 1000.0).round() / 1000.0,
            "daemon_restart_lost": self.daemon_restart_lost,
        })
    }

    /// A few lines for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let max = self.failovers_ms.iter().copied().fold(0.0, f64::max);
        format!(
            "  failover         {:.0} ms (median), {max:.0} ms (worst) of {} interruptions\n  \
             calls            {} of {} packets lost\n  \
             daemon killed    {} packets lost\n  \
             throughput       {} of bare WireGuard\n",
            median(self.failovers_ms.clone()),
            self.failovers_ms.len(),
            self.lost_packets,
            self.sent_packets,
            self.daemon_restart_lost,
            spread(&self.throughput_ratios),
        )
    }
}

/// The median of some ratios and, as single runs say little on a machine that does other things,
/// between which they were: `94 % (91 to 102 % in 3 runs)`.
pub(super) fn spread(ratios: &[f64]) -> String {
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min) * 100.0;
    let most = ratios.iter().copied().fold(0.0, f64::max) * 100.0;
    match ratios.len() {
        0 => "–".to_owned(),
        runs => {
            let median = median(ratios.to_vec()) * 100.0;
            format!("{median:.0} % ({least:.0} to {most:.0} % in {runs} runs)")
        }
    }
}

/// The middle value; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_a_median_with_its_spread() {
        let summary = Summary {
            throughput_ratios: vec![1.02, 0.6, 0.944],
            ..Summary::default()
        };
        assert_eq!(summary.to_json()["throughput_ratio"], 0.944);
        let said = "94 % (60 to 102 % in 3 runs) of bare WireGuard";
        assert!(summary.to_text().contains(said), "{}", summary.to_text());
    }
}
