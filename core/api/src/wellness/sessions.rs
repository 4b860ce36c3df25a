//! BGP sessions that are down, with what to do about it where that is known.

use std::time::Duration;

use patronus_model::view::{BgpView, NeighborView};

use super::{Problem, problem};
use crate::snapshot::Snapshot;
use crate::types::path::PathStatus;
use crate::types::site;
use crate::words::{self, bgp::SHUT_DOWN};

/// BGP sessions that are down, unless their site is the problem, or bgpd, without which nothing is
/// known of any.
pub(super) fn down(from: &Snapshot, bgp: &BgpView) -> impl Iterator<Item = Problem> {
    let site_is_well = |id| {
        from.site_by_id(id)
            .is_none_or(|s| site::is_reachable(from, s))
    };
    let mut daemons = bgp.daemons.iter();
    let away = daemons.any(|it| it.name == "bgpd" && it.version.is_none());
    bgp.neighbors
        .iter()
        .filter(move |n| !away && !n.established && n.site.as_ref().is_none_or(site_is_well))
        .map(move |neighbor| {
            let name = &neighbor.description;
            let why = neighbor.last_error.as_ref();
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            let hint = other_family(bgp, neighbor)
                .or_else(|| bad_peer_as(bgp, neighbor))
                .or_else(|| too_many_prefixes(neighbor))
                .or_else(|| passwords(from, neighbor))
                .or_else(|| meaning(neighbor))
                .unwrap_or_default();
            let message = format!(
                "BGP session with {name} ({}) is down: {}{why}{hint}",
                neighbor.address, neighbor.state
            );
            problem(PathStatus::Down, message)
        })
}

/// What a state means which lasts, unlike those of a session that tries to come up.
fn meaning(neighbor: &NeighborView) -> Option<String> {
    let lasts = !matches!(neighbor.state.as_str(), "Idle" | "Connect" | "Active");
    let meaning = words::bgp::meaning(neighbor).filter(|_| lasts);
    meaning.map(|it| format!(". That is: {it}"))
}

/// What to compare when another session with the same site works: then bgpd runs there, and passwords
/// and AS numbers are right, whatever ended this session before.
fn other_family(bgp: &BgpView, neighbor: &NeighborView) -> Option<String> {
    let site = neighbor.site.as_ref()?;
    let connecting = matches!(neighbor.state.as_str(), "Idle" | "Connect" | "Active");
    let same = |it: &&NeighborView| it.established && it.site.as_ref() == Some(site);
    let other = bgp.neighbors.iter().find(same).filter(|_| connecting)?;
    Some(format!(
        ". The one with {} is up, so compare the overlay addresses in the files of both ends (here \
         {site} is {})",
        other.address, neighbor.address
    ))
}

/// What to compare when one end takes the other for another AS than it is. Which of the two is wrong,
/// neither can know.
fn bad_peer_as(bgp: &BgpView, neighbor: &NeighborView) -> Option<String> {
    let why = neighbor.last_error.as_deref()?;
    let (ours, _) = bgp.local.filter(|_| why.contains(BAD_PEER_AS))?;
    let theirs = neighbor.remote_asn;
    let compare = match &neighbor.site {
        Some(site) => format!("bgp.asn and sites in the file of {site}"),
        None => "what is configured there".to_owned(),
    };
    Some(format!(
        ". Here we are AS {ours} and it is AS {theirs}: compare that with {compare}"
    ))
}

/// What FRR calls a number that is not the one configured (RFC 4271 section 6.2): the same in 8.4 and
/// in 10.3.
const BAD_PEER_AS: &str = "Bad Peer AS";

/// Which limit was reached, and at which end.
fn too_many_prefixes(neighbor: &NeighborView) -> Option<String> {
    let why = neighbor.last_error.as_deref().unwrap_or_default();
    if neighbor.state.contains(OVERFLOW) {
        return Some(
            ". It announces more prefixes than bgp.maximum_prefixes allows here: announce fewer \
             there, or raise it and reload. Otherwise bgpd tries again after five minutes"
                .to_owned(),
        );
    }
    (why.contains(TOO_MANY) && why.contains("received")).then(|| {
        let limit = match &neighbor.site {
            Some(site) => format!("bgp.maximum_prefixes in the file of {site}"),
            None => "its limit".to_owned(),
        };
        format!(
            ". We announce more prefixes than {limit} allows: announce fewer, or have it raised \
             there. A patronusd there tries again after five minutes"
        )
    })
}

/// What FRR calls a session which it ended because of too many prefixes, until it tries again.
const OVERFLOW: &str = "PfxCt";

/// What it tells the other end (RFC 4486 section 4).
const TOO_MANY: &str = "Maximum Number of Prefixes Reached";

/// What to compare when connections come to nothing although packets pass. Segments whose TCP-MD5
/// signature is missing or wrong are dropped without an answer (RFC 2385 section 2.0), so that nobody
/// is told, and FRR names whatever ended the session before.
fn passwords(from: &Snapshot, neighbor: &NeighborView) -> Option<String> {
    let why = neighbor.last_error.as_deref().unwrap_or_default();
    let connecting = match neighbor.state.as_str() {
        "Connect" | "Active" => true,
        // Between two attempts.
        "Idle" | "OpenSent" => neighbor.password,
        _ => false,
    };
    let down_for = neighbor.since.unwrap_or(from.view.configured);
    (connecting && down_for >= CONNECTING && !why.contains(SHUT_DOWN)).then(|| {
        let here = match neighbor.password {
            true => "There is one here",
            false => "There is none here",
        };
        format!(
            ". Is bgpd running there, and do both ends have the same password? {here}, and packets \
             without the right one are dropped without a word"
        )
    })
}

/// How long a session may take to come up.
const CONNECTING: Duration = Duration::from_secs(30);
