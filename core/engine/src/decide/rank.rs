//! In which order a class likes its paths.

use std::time::Duration;

use patronus_model::ids::UplinkName;
use patronus_model::path::PathState;
use patronus_model::policy::Strategy;

use super::Contender;

/// A better path must be faster by this and by a tenth to be worth a move.
const CLEARLY_FASTER: Duration = Duration::from_millis(2);

/// Whether a path is faster by enough to be worth a move.
pub(super) fn clearly_faster(current: Duration, better: Duration) -> bool {
    current.saturating_sub(better) >= CLEARLY_FASTER.max(current / 10)
}

/// Best first.
pub(super) fn ranked<'a>(strategy: &Strategy, options: &[Contender<'a>]) -> Vec<Contender<'a>> {
    let mut ranked = options.to_vec();
    ranked.sort_by_cached_key(|option| (tier(option), wish(strategy, option), option.id));
    ranked
}

/// How usable a path is, whatever the class wishes; lower is better. A hub is not left for a path
/// that flaps.
fn tier(option: &Contender<'_>) -> u8 {
    let health = option.health;
    match (health.state, health.suppressed, option.relay) {
        (PathState::Up, false, false) => 0,
        (PathState::Degraded, false, false) => 1,
        (PathState::Up, false, true) => 2,
        (PathState::Degraded, false, true) => 3,
        (PathState::Up, true, false) => 4,
        (PathState::Degraded, true, false) => 5,
        (PathState::Up, true, true) => 6,
        (PathState::Degraded, true, true) => 7,
        (PathState::Unknown, _, false) => 8,
        (PathState::Unknown, _, true) => 9,
        (PathState::Down, _, false) if health.uplink_usable => 10,
        (PathState::Down, _, false) => 11,
        (PathState::Down, _, true) => 12,
    }
}

/// Whether the cost of a path's uplink has a say in its place, or would have if it were well.
pub(super) fn cost_counts(
    strategy: &Strategy,
    option: &Contender<'_>,
    all: &[Contender<'_>],
) -> bool {
    match strategy {
        Strategy::Preference(order) => !order.contains(&option.spec.local),
        // Measured round trips are hardly ever the same; those which are not known yet are.
        Strategy::LeastLatency => {
            let wished = |option: &Contender<'_>| (tier(option), wish(strategy, option).0);
            let ties = |other: &&Contender<'_>| {
                other.spec.local != option.spec.local && wished(other) == wished(option)
            };
            let viable = matches!(option.health.state, PathState::Up | PathState::Degraded);
            viable && all.iter().any(|other| ties(&other))
        }
    }
}

/// What the class wishes; lower is better.
pub(super) fn wish(strategy: &Strategy, option: &Contender<'_>) -> (u128, u32, usize) {
    match strategy {
        Strategy::Preference(order) => {
            let place = |name: &UplinkName| order.iter().position(|o| o == name);
            (
                place(&option.spec.local).unwrap_or(order.len()) as u128,
                option.spec.cost,
                // Of the far end's uplinks, those come later that are ours by name and come later
                // here; what others are called means nothing.
                place(&option.spec.remote).unwrap_or(0),
            )
        }
        Strategy::LeastLatency => {
            let rtt = option
                .health
                .measured
                .rtt
                .map_or(u128::MAX, |rtt| rtt.as_micros());
            (rtt, option.spec.cost, 0)
        }
    }
}
