//! Paths that are not well, and why: one line for each cause, not one for each path that it hits.

use patronus_model::ids::{SiteNumber, Slot};
use patronus_model::path::{PathCause, PathState};
use patronus_model::view::{Handshakes, PathView};

use super::{Problem, handshakes, problem};
use crate::snapshot::Snapshot;
use crate::types::path::PathStatus;
use crate::types::site;
use crate::words;

/// Paths that are not well or not trusted, unless their uplink or their site is the problem.
pub(super) fn unwell(from: &Snapshot, handshakes: &Handshakes) -> impl Iterator<Item = Problem> {
    let own = |path: &&PathView| {
        let reachable = from
            .site(path.id.site)
            .is_some_and(|s| site::is_reachable(from, s));
        let well = path.state == PathState::Up && path.suppressed.is_none();
        !well && path.cause != PathCause::UplinkDown && reachable
    };
    let mut rest: Vec<&PathView> = from.view.paths.iter().filter(own).collect();
    let mut found = Vec::new();
    for end in ends(&rest) {
        let (ours, others): (Vec<_>, Vec<_>) =
            rest.iter().copied().partition(|path| end.is_of(path));
        let all = || from.view.paths.iter().filter(|path| end.is_of(path));
        let dead = all().all(|path| path.state == PathState::Down);
        if dead && ours.len() > 1 && alike(&ours, handshakes) {
            rest = others;
            found.push(problem(
                PathStatus::Down,
                together(from, end, all().count(), &ours, handshakes),
            ));
        }
    }
    let alone = rest.into_iter().map(|path| alone(from, path, handshakes));
    found.extend(alone.collect::<Vec<_>>());
    found.into_iter()
}

/// What several paths have in common, and what may be to blame for all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// An uplink of ours.
    Here(Slot),
    /// An uplink of another site.
    There(SiteNumber, Slot),
}

impl End {
    fn is_of(self, path: &PathView) -> bool {
        match self {
            Self::Here(slot) => path.id.local == slot,
            Self::There(site, slot) => (path.id.site, path.id.remote) == (site, slot),
        }
    }
}

/// All ends of these paths, ours first: what is down for all sites is down here.
fn ends(paths: &[&PathView]) -> Vec<End> {
    let here = paths.iter().map(|path| End::Here(path.id.local));
    let there = paths
        .iter()
        .map(|path| End::There(path.id.site, path.id.remote));
    let mut ends: Vec<End> = Vec::new();
    for end in here.chain(there) {
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    ends
}

/// Whether all that is known of these paths may come from one cause. A key that is wrong and a
/// firewall are two, also where they happen to hit all paths of an uplink.
fn alike(paths: &[&PathView], handshakes: &Handshakes) -> bool {
    let cause = |path: &PathView| match path.cause {
        // It has been silent from the beginning.
        PathCause::NeverUp => PathCause::Silent,
        cause => cause,
    };
    let passes = |path: &&PathView| handshakes::passes(path, handshakes);
    let mut passing = paths.iter().filter_map(passes);
    let first = passing.next();
    passing.all(|it| Some(it) == first)
        && paths
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if cause(a) == cause(b)))
}

/// An uplink of which no path is up.
fn together(
    from: &Snapshot,
    end: End,
    total: usize,
    paths: &[&PathView],
    handshakes: &Handshakes,
) -> String {
    let what = match (end, paths.first()) {
        (End::Here(_), Some(path)) => {
            let uplinks = from.view.uplinks.iter();
            let mut uplinks = uplinks.filter(|uplink| uplink.slot == path.id.local);
            let interface = uplinks
                .next()
                .map_or_else(String::new, |it| format!(" ({})", it.interface));
            format!("uplink {}{interface}: none of its", path.local)
        }
        (End::There(..), Some(path)) => {
            format!("uplink {} of {}: none of its", path.remote, path.site)
        }
        (_, None) => String::new(),
    };
    let why = why(from, paths.iter().copied(), handshakes).unwrap_or_default();
    let ask = match end {
        End::Here(slot) => gateway(from, slot, paths),
        End::There(..) => String::new(),
    };
    let flap = match paths.iter().filter(|it| it.suppressed.is_some()).count() {
        0 => String::new(),
        1 => "; one of them flaps".to_owned(),
        several => format!("; {several} of them flap"),
    };
    format!("{what} {total} paths is up: {why}{ask}{flap}")
}

/// What to try first where an uplink has all that it needs, and nothing comes by it.
fn gateway(from: &Snapshot, slot: Slot, paths: &[&PathView]) -> String {
    let silent = |it: &&&PathView| {
        use PathCause::{NeverUp, NotHeard, Silent};
        matches!(it.cause, Silent | NeverUp | NotHeard)
    };
    let mut uplinks = from.view.uplinks.iter();
    let uplink = uplinks.find(|uplink| uplink.slot == slot);
    let gateway = uplink.and_then(|uplink| uplink.gateways.first());
    match gateway {
        Some(gateway) if paths.iter().filter(silent).count() == paths.len() => {
            format!("; does its gateway {gateway} answer?")
        }
        _ => String::new(),
    }
}

fn alone(from: &Snapshot, path: &PathView, handshakes: &Handshakes) -> Problem {
    let (site, local, remote) = (&path.site, &path.local, &path.remote);
    let (state, cause) = (path.state, path.cause);
    let name = format!("{site} {local} → {remote}");
    let flaps = path.suppressed.map(|rest| {
        let rest = words::span(rest);
        format!("flaps: for another {rest} no traffic moves to it unless it must")
    });
    if let (PathState::Up, Some(flaps)) = (state, &flaps) {
        return problem(PathStatus::Degraded, format!("{name} {flaps}"));
    }
    let hint = handshakes::of_path(from, path, handshakes);
    let flaps = flaps.map_or_else(String::new, |flaps| format!("; it {flaps}"));
    problem(
        state.into(),
        format!("{name} is {state}: {cause}{hint}{flaps}"),
    )
}

/// Why none of these paths is up, and what to look at; `None` where there are none.
pub(super) fn why<'a>(
    from: &Snapshot,
    paths: impl Iterator<Item = &'a PathView>,
    handshakes: &Handshakes,
) -> Option<String> {
    let paths: Vec<&PathView> = paths.collect();
    let mut causes: Vec<(u8, String, usize)> = Vec::new();
    for path in &paths {
        let cause = match path.cause {
            PathCause::UplinkDown => format!("our uplink {} cannot be used", path.local),
            cause => cause.to_string(),
        };
        match causes.iter_mut().find(|(_, known, _)| *known == cause) {
            Some((_, _, count)) => *count += 1,
            None => causes.push((telling(path.cause), cause, 1)),
        }
    }
    causes.sort_by_key(|(rank, ..)| *rank);
    let told: Vec<String> = match causes.as_slice() {
        [] => return None,
        [(_, cause, _)] => vec![cause.clone()],
        several => several
            .iter()
            .map(|(_, cause, count)| {
                let count = words::counted(*count as u64, "path", "paths");
                format!("{cause} ({count})")
            })
            .collect(),
    };
    let hint = handshakes::of_all(from, &paths, handshakes);
    Some(format!("{}{hint}", told.join(", ")))
}

/// How much a cause tells of what is to be done, the most telling first.
const fn telling(cause: PathCause) -> u8 {
    match cause {
        PathCause::UplinkDown => 0,
        PathCause::GivenUp => 1,
        PathCause::StayedAway => 2,
        PathCause::AdminDown => 3,
        PathCause::NotHeard => 4,
        PathCause::Silent => 5,
        PathCause::NeverUp => 6,
        PathCause::Starting => 7,
        PathCause::Latency { .. } | PathCause::Loss { .. } | PathCause::Alive => 8,
    }
}
