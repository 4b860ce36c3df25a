//! Whether everything is well, and if not, what is wrong: the causes, not all their consequences.

mod handshakes;
mod paths;
mod sessions;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use async_graphql::SimpleObject;
use ipnet::IpNet;
use patronus_model::ids::{SiteId, SiteNumber};
use patronus_model::path::{PathCause, PathState};
use patronus_model::view::{
    BgpView, ChoiceView, CutView, Handshakes, LanState, NeighborView, RouteOrigin,
    RoutingDaemonView, SiteView,
};

use crate::snapshot::Snapshot;
use crate::types::path::PathStatus;
use crate::types::site;
use crate::words;

/// Something that is not well.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub(crate) struct Problem {
    /// How bad it is.
    status: PathStatus,
    /// What it is, in words.
    message: String,
}

/// What is wrong, the worst first.
pub(crate) fn problems(from: &Snapshot, bgp: &BgpView, handshakes: &Handshakes) -> Vec<Problem> {
    let mut problems: Vec<Problem> = uplinks(from)
        .chain(lans(from))
        .chain(sites(from, handshakes))
        .chain(paths::unwell(from, handshakes))
        .chain(daemons(bgp))
        .chain(late(bgp))
        .chain(sessions::down(from, bgp))
        .chain(silent(from, bgp))
        .chain(misrouted(from))
        .chain(obstacles(from))
        .chain(cuts(from))
        .chain(agreement(from, bgp))
        .collect();
    problems.sort_by_key(|problem| severity(problem.status));
    problems
}

/// Whether WireGuard's handshakes could tell more about a problem.
pub(crate) fn needs_handshakes(from: &Snapshot) -> bool {
    from.view.paths.iter().any(handshakes::is_asked)
}

const fn severity(status: PathStatus) -> u8 {
    match status {
        PathStatus::Down => 0,
        PathStatus::Degraded => 1,
        PathStatus::Unknown => 2,
        PathStatus::Up => 3,
    }
}

fn problem(status: PathStatus, message: String) -> Problem {
    Problem { status, message }
}

/// What only may be in the way is for `patronus doctor` to tell: many firewalls let us pass.
fn obstacles(from: &Snapshot) -> impl Iterator<Item = Problem> {
    let certain = from.view.obstacles.iter().filter(|it| it.certain);
    certain.map(|it| {
        let what = words::obstacles::obstacle(it);
        problem(PathStatus::Down, format!("others are in the way: {what}"))
    })
}

fn uplinks(from: &Snapshot) -> impl Iterator<Item = Problem> {
    from.view.uplinks.iter().filter_map(|uplink| {
        let (name, interface, fault) = (&uplink.name, &uplink.interface, uplink.fault?);
        let message = format!("uplink {name} ({interface}) cannot be used: {fault}");
        Some(problem(PathStatus::Down, message))
    })
}

fn lans(from: &Snapshot) -> impl Iterator<Item = Problem> {
    from.view.lans.iter().filter_map(|lan| {
        let interface = &lan.interface;
        let message = match lan.state {
            LanState::Up | LanState::Unknown => return None,
            LanState::Down => format!("LAN {interface} is down: it is off or has no carrier"),
            LanState::Missing => format!("LAN {interface} is missing: no such interface"),
        };
        Some(problem(PathStatus::Down, message))
    })
}

/// Of a site whose far end was stopped on purpose it is known why nothing is known.
fn unknown(from: &Snapshot, site: &SiteView) -> String {
    let mut paths = from.view.paths.iter().filter(|path| path.site == site.id);
    match paths.any(|path| path.cause == PathCause::AdminDown) {
        true => format!(
            "site {}: patronusd there was stopped on purpose; its kernel may forward",
            site.id
        ),
        false => format!("site {}: nothing is known of any path yet", site.id),
    }
}

/// What is known of a site whose traffic is on a path whose far end, that site or a hub, was stopped
/// on purpose and did not come back.
fn stopped(from: &Snapshot, site: &SiteView, end: SiteNumber) -> String {
    let there = match end == site.number {
        true => "patronusd there".to_owned(),
        false => format!(
            "no path to it is up, and patronusd at {}, by which it is reached,",
            from.names.site(end)
        ),
    };
    format!(
        "site {}: {there} was stopped on purpose and did not come back; its kernel may still forward, \
         but nothing moves away from what fails",
        site.id
    )
}

fn sites(from: &Snapshot, handshakes: &Handshakes) -> impl Iterator<Item = Problem> {
    let unreachable = |s: &&SiteView| !site::is_reachable(from, s);
    from.view.sites.iter().filter(unreachable).map(|s| {
        let status = PathStatus::from(site::best(from, s));
        let why = || paths::why(from, from.paths_to(s.number), handshakes);
        let message = match (status, relay(from, s)) {
            (PathStatus::Unknown, _) => unknown(from, s),
            (PathStatus::Up | PathStatus::Degraded | PathStatus::Down, Some(hub)) => {
                let message = format!(
                    "no path to site {} is up: it is reached by {hub}{}",
                    s.id,
                    why().map_or_else(String::new, |why| format!(". On its own paths: {why}"))
                );
                return problem(PathStatus::Degraded, message);
            }
            (PathStatus::Up | PathStatus::Degraded | PathStatus::Down, None) => {
                // As `explain` has it: what counts is where traffic is.
                let mut in_doubt = s.choices.iter().filter_map(ChoiceView::in_doubt);
                if let Some(path) = in_doubt.next() {
                    return problem(status, stopped(from, s, path.path.site));
                }
                let why = why().unwrap_or_else(|| format!("there is no path to it: {NO_PATH}"));
                format!("site {} is unreachable: {why}", s.id)
            }
        };
        problem(status, message)
    })
}

/// What a path needs.
const NO_PATH: &str = "it takes one of our uplinks and one of theirs on the same underlay, and an \
                       endpoint at one end";

/// The hub to which the traffic of a site goes in its place, if packets pass there.
fn relay(from: &Snapshot, site: &SiteView) -> Option<String> {
    let hubs = site.choices.iter().filter_map(|choice| choice.path);
    let mut hubs = hubs.filter(|path| path.site != site.number);
    let lives = |state| matches!(state, PathState::Up | PathState::Degraded);
    let hub = hubs.find(|path| {
        let mut paths = from.paths_to(path.site);
        paths.any(|view| view.id == *path && lives(view.state))
    });
    hub.map(|path| from.names.site(path.site))
}

fn daemons(bgp: &BgpView) -> impl Iterator<Item = Problem> {
    let mut units: Vec<(Option<&str>, Vec<&RoutingDaemonView>)> = Vec::new();
    for daemon in bgp.daemons.iter().filter(|it| it.version.is_none()) {
        let unit = daemon.unit.as_deref();
        match units.iter_mut().find(|(known, _)| *known == unit) {
            Some((_, away)) => away.push(daemon),
            None => units.push((unit, vec![daemon])),
        }
    }
    units.into_iter().map(|(unit, away)| {
        let names: Vec<&str> = away.iter().map(|it| it.name.as_str()).collect();
        let (names, have) = match names.as_slice() {
            [rest @ .., last] if !rest.is_empty() => {
                (format!("{} and {last}", rest.join(", ")), "have")
            }
            all => (all.concat(), "has"),
        };
        let longest = away.iter().map(|it| it.since).max().unwrap_or_default();
        let since = words::span(longest);
        let see = see(unit);
        problem(
            PathStatus::Down,
            format!("{names} {have} not answered for {since}: {see}"),
        )
    })
}

/// Where to look for a routing daemon.
fn see(unit: Option<&str>) -> String {
    match unit {
        Some(unit) => format!("see `systemctl status {unit}`"),
        None => {
            "does it run, and what does the log of FRR say? There is no systemd here that would \
                 start it again"
                .to_owned()
        }
    }
}

/// Daemons that have taken a question, and not answered it for unusually long.
fn late(bgp: &BgpView) -> impl Iterator<Item = Problem> {
    bgp.daemons.iter().filter_map(|daemon| {
        let (name, late) = (&daemon.name, words::span(daemon.late?));
        daemon.version.as_ref()?;
        let see = see(daemon.unit.as_deref());
        let message = format!(
            "{name} has not answered for {late}: it is busy, or hangs, and what is said of routing is \
             as old: {see}"
        );
        Some(problem(PathStatus::Degraded, message))
    })
}

/// How long prefixes may take to come after a BGP session is established, and to get into force.
const CONVERGENCE: Duration = Duration::from_secs(10);

/// Sites whose BGP sessions are established and yet nothing is routed to them, or less than they
/// announce: of two ordinary sites that announce the same prefix by BGP, one loses, and only the
/// numbers tell, as bgpd hands on nothing but its best path. A hub may be a mere spare for another
/// one, so that nothing of it is in force.
fn silent(from: &Snapshot, bgp: &BgpView) -> impl Iterator<Item = Problem> {
    let mut in_force: HashMap<&SiteId, InForce> = HashMap::new();
    for route in &from.view.routes {
        let Some(id) = &route.site else { continue };
        let site = from.site_by_id(id);
        let ours = |address: &IpAddr| IpNet::from(*address) == route.prefix;
        if !site.is_some_and(|site| site.addresses.iter().any(ours)) {
            let counted = in_force.entry(id).or_default();
            match route.origin {
                RouteOrigin::Configured => counted.all += 1,
                RouteOrigin::Bgp | RouteOrigin::Stale => {
                    counted.all += 1;
                    counted.learned += 1;
                }
                // Two sites may have the same provider behind them.
                RouteOrigin::Local => counted.learned += 1,
                // These are among all that neighbours serve.
                RouteOrigin::Neighbor | RouteOrigin::Withdrawn => {}
            }
        }
    }
    let of_neighbors = from.view.of_neighbors as u64;
    let ordinary = from.view.sites.iter().filter(|site| !site.hub);
    ordinary.filter_map(move |site| {
        let sessions = || {
            bgp.neighbors
                .iter()
                .filter(|n| n.site.as_ref() == Some(&site.id))
        };
        let settled = |n: &NeighborView| n.established && n.since >= Some(CONVERGENCE);
        if sessions().count() == 0 || !sessions().all(settled) {
            return None;
        }
        let received: u64 = sessions().map(|n| n.received).sum();
        let in_force = in_force.get(&site.id).copied().unwrap_or_default();
        let id = &site.id;
        let all = words::counted(received, "prefix", "prefixes");
        let suspects = "Does another site, or a network of our own, have them?";
        match (received, in_force) {
            (0, InForce { all: 0, .. }) => Some(problem(
                PathStatus::Degraded,
                format!("site {id} announces no prefix: nobody behind it can be reached"),
            )),
            (_, InForce { all: 0, .. }) => Some(problem(
                PathStatus::Down,
                format!("site {id}: none of the {all} received is in force. {suspects}"),
            )),
            // Of what a neighbour has too, with the better path, bgpd does not say whose it is.
            (_, InForce { learned, .. }) if learned + of_neighbors < received => Some(problem(
                PathStatus::Degraded,
                format!(
                    "site {id}: of the {all} received, only {learned} in force. {suspects} \
                     Announce each at one site, or make one a hub",
                    learned = words::counted(learned, "is", "are"),
                ),
            )),
            _ => None,
        }
    })
}

/// Routes to a site, besides those to its own addresses.
#[derive(Clone, Copy, Default)]
struct InForce {
    all: u64,
    /// Those by BGP, and what it announces while this machine has it as well.
    learned: u64,
}

/// What belongs to the overlay while somebody would lead it out of an uplink.
fn misrouted(from: &Snapshot) -> impl Iterator<Item = Problem> {
    let misrouted = from.view.misrouted.iter();
    misrouted.map(|(prefix, by)| {
        problem(
            PathStatus::Degraded,
            words::elsewhere::misrouted(prefix, by),
        )
    })
}

/// How many parts of sites' prefixes are named one by one.
const CUTS: usize = 5;

/// Parts of sites' prefixes that go elsewhere.
fn cuts(from: &Snapshot) -> impl Iterator<Item = Problem> {
    let all = from.view.cuts.iter();
    // What is refused at an uplink is told as that.
    let misrouted = |cut: &&CutView| {
        let mut misrouted = from.view.misrouted.iter();
        misrouted.any(|(prefix, _)| *prefix == cut.part)
    };
    let all: Vec<&CutView> = all.filter(|cut| !misrouted(cut)).collect();
    let more = all.len().saturating_sub(CUTS);
    let rest = (more > 0).then(|| {
        let more = words::counted(more as u64, "more part", "more parts");
        format!("{more} of sites' prefixes go elsewhere: `patronus routes` lists those of sites")
    });
    let named = all.into_iter().take(CUTS).map(words::elsewhere::cut);
    let lines: Vec<String> = named.chain(rest).collect();
    lines
        .into_iter()
        .map(|line| problem(PathStatus::Degraded, line))
}

/// Whether the kernel and FRR have what they should have.
fn agreement(from: &Snapshot, bgp: &BgpView) -> impl Iterator<Item = Problem> {
    let kernel = (!from.view.settled)
        .then(|| problem(PathStatus::Degraded, words::pending(&from.view.pending)));
    let routing = bgp.problem.as_ref().map(|why| {
        problem(
            PathStatus::Degraded,
            format!("BGP is not as configured: {why}"),
        )
    });
    let file = from.view.refused.as_ref().map(|why| {
        let first = why.lines().next().unwrap_or_default();
        let message = format!(
            "the configuration file was refused when it was read last, and patronusd would not start \
             with it: {first}"
        );
        problem(PathStatus::Degraded, message)
    });
    kernel.into_iter().chain(routing).chain(file)
}

#[cfg(test)]
mod tests;
