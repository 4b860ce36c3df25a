//! What WireGuard says of paths on which BFD hears nothing: whether the tunnel or something inside
//! of it is to blame.

use std::time::Duration;

use patronus_model::path::{PathCause, PathState};
use patronus_model::view::{Handshake, Handshakes, PathView};

use crate::snapshot::Snapshot;
use crate::words::span;

/// Keys are used no longer than this (REJECT_AFTER_TIME, WireGuard paper, section 6.1). BFD never
/// stops to send, so where packets pass there is a handshake every two minutes.
const KEYS_EXPIRE: Duration = Duration::from_secs(180);

/// What is known of the tunnel under a path.
enum Tunnel {
    /// It does not pass: no handshake for so long, or ever.
    Blocked(Option<Duration>),
    /// It passed so long ago, when nothing was heard of BFD any more.
    Works(Duration),
    /// Its last handshake was before that, and too young to tell.
    Undecided(Duration),
}

/// Whether WireGuard could tell why a path is down. Where the cause is known, or the far end is
/// heard, it could not.
pub(super) fn is_asked(path: &PathView) -> bool {
    path.state == PathState::Down && matches!(path.cause, PathCause::NeverUp | PathCause::Silent)
}

fn tunnel(path: &PathView, handshakes: &Handshakes) -> Option<Tunnel> {
    if !is_asked(path) {
        return None;
    }
    let unheard = match path.cause {
        // However long it was given to come up, BFD was not heard in that time either.
        PathCause::NeverUp => Duration::MAX,
        _ => path.since,
    };
    Some(match handshakes.of(path) {
        Handshake::Unknown => return None,
        Handshake::Never => Tunnel::Blocked(None),
        Handshake::Ago(age) if age >= KEYS_EXPIRE => Tunnel::Blocked(Some(age)),
        Handshake::Ago(age) if age <= unheard => Tunnel::Works(age),
        Handshake::Ago(age) => Tunnel::Undecided(age),
    })
}

/// Whether a tunnel passes packets; `None` where that is not known.
pub(super) fn passes(path: &PathView, handshakes: &Handshakes) -> Option<bool> {
    match tunnel(path, handshakes)? {
        Tunnel::Works(_) => Some(true),
        Tunnel::Blocked(_) => Some(false),
        Tunnel::Undecided(_) => None,
    }
}

/// What to look at, to be put behind what is said of a path; empty where WireGuard tells nothing.
pub(super) fn of_path(from: &Snapshot, path: &PathView, handshakes: &Handshakes) -> String {
    match tunnel(path, handshakes) {
        None => String::new(),
        Some(Tunnel::Blocked(since)) => {
            let advice = match path.endpoint {
                Some(endpoint) => format!(
                    "compare the keys, and see whether {endpoint} is right and its UDP port open"
                ),
                None => "no endpoint of it is known here, so it has to begin: compare the keys, \
                         and see there whether our endpoint is right and our UDP port open"
                    .to_owned(),
            };
            format!("; {}: {advice}", missing(since))
        }
        Some(Tunnel::Works(age)) => {
            let ago = span(age);
            let inside = inside(from, &[path]);
            format!("; the last WireGuard handshake was {ago} ago, {inside}")
        }
        Some(Tunnel::Undecided(age)) => {
            format!("; the last WireGuard handshake was {} ago", span(age))
        }
    }
}

/// The same for several paths that are down, of which those that are asked about count.
pub(super) fn of_all(from: &Snapshot, paths: &[&PathView], handshakes: &Handshakes) -> String {
    let asked = paths.iter().copied().filter(|path| is_asked(path));
    let paths: Vec<&PathView> = asked.collect();
    if let [path] = paths.as_slice() {
        return of_path(from, path, handshakes);
    }
    let all: Option<Vec<Tunnel>> = paths.iter().map(|path| tunnel(path, handshakes)).collect();
    let all = all.unwrap_or_default();
    let works = |it: &&Tunnel| matches!(it, Tunnel::Works(_));
    let blocked: Option<Vec<Option<Duration>>> = all
        .iter()
        .map(|it| match it {
            Tunnel::Blocked(since) => Some(*since),
            Tunnel::Works(_) | Tunnel::Undecided(_) => None,
        })
        .collect();
    match (blocked, all.iter().filter(works).count()) {
        (Some(blocked), 0) if !blocked.is_empty() => {
            // That of none is younger; those that never were are older than any.
            let youngest = blocked.iter().flatten().min().copied();
            format!(
                "; {} on any of {}: compare the keys, the endpoints and the UDP ports that are open",
                missing(youngest),
                paths.len()
            )
        }
        (_, 0) => String::new(),
        (_, count) => {
            let total = paths.len();
            let inside = inside(from, &paths);
            format!("; WireGuard shakes hands on {count} of {total}, {inside}")
        }
    }
}

fn missing(since: Option<Duration>) -> String {
    match since {
        None => "no WireGuard handshake yet".to_owned(),
        Some(age) => format!("no WireGuard handshake for {}", span(age)),
    }
}

/// What to look at where tunnels work. An overlay address that is not the far end's own looks just
/// like a firewall: WireGuard drops what comes from another one than it expects of the peer.
fn inside(from: &Snapshot, paths: &[&PathView]) -> String {
    let mut ends: Vec<String> = Vec::new();
    for path in paths {
        let Some(site) = from.site(path.id.site) else {
            continue;
        };
        let addresses: Vec<String> = site.addresses.iter().map(ToString::to_string).collect();
        let end = format!("{} is {}", site.id, addresses.join(" and "));
        if !addresses.is_empty() && !ends.contains(&end) {
            ends.push(end);
        }
    }
    // Of many sites it is not the address of each that is wrong.
    let here = match ends.as_slice() {
        [end] => format!(" (here {end})"),
        _ => String::new(),
    };
    format!(
        "but no BFD comes through: do the files of both ends have the same overlay addresses{here}, \
         is UDP port 3784 blocked inside of the tunnel, or patronusd not running there?"
    )
}
