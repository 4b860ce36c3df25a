//! `patronus status`: is everything well, and what happened last?

use serde::Deserialize;
use serde_json::Value;

use super::{Shown, View, good, part, shape};
use crate::answers::{Lan, Neighbor, Router, Status as State, Tally, Uplink};
use crate::layout::{KEY_WIDTH, Page, Text, Tone};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct Status;

#[derive(Deserialize)]
struct Answer {
    router: Router,
    uplinks: Vec<Uplink>,
    bgp: Bgp,
}

#[derive(Deserialize)]
struct Bgp {
    neighbors: Vec<Neighbor>,
}

impl View for Status {
    fn query(&self) -> &'static str {
        "query Status {
            router {
                siteId name location labels { key value } version uptimeMs configuredMs settled well
                problems { status message }
                paths { up degraded down unknown total }
                sites sitesReachable sitesWithoutBgp
                lans { interface status prefixes addresses }
                lastMove { id kind time agoMs message }
            }
            uplinks {
                id name slot interface status fault because addresses gateways
                bandwidthUpBps bandwidthDownBps cost metered
                paths { up degraded down unknown total }
            }
            bgp {
                neighbors {
                    address description siteId remoteAsn state established sinceMs
                    prefixesReceived prefixesSent lastError meaning
                }
            }
        }"
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        Ok(data)
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let answer: Answer = part(data, "")?;
        let mut page = Page::default();
        page.split(title(&answer.router), verdict(&answer.router));
        if let Some(place) = place(&answer.router) {
            page.field("place", place);
        }
        page.field("uplinks", uplinks(&answer.uplinks));
        if !answer.router.lans.is_empty() {
            page.field("lans", lans(&answer.router.lans));
        }
        page.field("sites", sites(&answer.router));
        if !answer.bgp.neighbors.is_empty() {
            page.field("bgp", bgp(&answer.bgp.neighbors));
        }
        problems(&answer.router, &mut page);
        last_move(&answer.router, &mut page);
        Ok(Shown {
            page,
            well: answer.router.well,
        })
    }
}

fn title(router: &Router) -> Text {
    let name = if router.name == router.site_id {
        String::new()
    } else {
        format!("{}, ", router.name)
    };
    let (up, configured) = (
        units::span(router.uptime_ms),
        units::span(router.configured_ms),
    );
    let rest = format!("  {name}up {up}, configured {configured} ago");
    Text::toned(Tone::Strong, &router.site_id).then(rest)
}

/// Where the site is, and its labels.
fn place(router: &Router) -> Option<String> {
    let labels = router.labels.iter();
    let labels = labels.map(|label| format!("{}={}", label.key, label.value));
    let parts: Vec<String> = router.location.iter().cloned().chain(labels).collect();
    (!parts.is_empty()).then(|| parts.join("   "))
}

fn verdict(router: &Router) -> Text {
    let problems = router.problems.len();
    let worst = router
        .problems
        .first()
        .map_or(State::Unknown, |problem| problem.status);
    if router.well {
        Text::toned(Tone::Good, "● all well")
    } else {
        let count = u64::try_from(problems).unwrap_or(u64::MAX);
        shape(worst).then(units::count(count, "problem"))
    }
}

fn uplinks(uplinks: &[Uplink]) -> Text {
    let mut line = Text::default();
    for (at, uplink) in uplinks.iter().enumerate() {
        let gap = if at > 0 { "   " } else { "" };
        let (up, down) = (uplink.bandwidth_up_bps, uplink.bandwidth_down_bps);
        let bandwidth = match up.or(down) {
            Some(_) => format!(" {}", units::bandwidth(up, down)),
            None => String::new(),
        };
        let metered = if uplink.metered { " metered" } else { "" };
        let (status, word) = match uplink.status {
            State::Up if uplink.is_without_path() => (State::Degraded, " no path"),
            State::Up => (State::Up, ""),
            other => (other, " down"),
        };
        let text = format!("{}{word}{bandwidth}{metered}", uplink.name);
        line = line.then(gap).then(shape(status)).then(text);
    }
    line
}

fn lans(lans: &[Lan]) -> Text {
    let mut line = Text::default();
    for (at, lan) in lans.iter().enumerate() {
        let gap = if at > 0 { "   " } else { "" };
        line = line
            .then(gap)
            .then(shape(lan.status))
            .then(lan.interface.clone());
    }
    line
}

fn sites(router: &Router) -> String {
    let reachable = units::number(router.sites_reachable);
    let bgp = match router.sites_without_bgp {
        0 => String::new(),
        down => format!(", BGP down to {}", units::number(down)),
    };
    let sites = format!(
        "{reachable} reachable of {}{bgp}",
        units::number(router.sites)
    );
    format!("{sites}     paths {}", tally(&router.paths))
}

/// `46 up, 2 degraded`.
fn tally(tally: &Tally) -> String {
    let counts = [
        (tally.up, "up"),
        (tally.degraded, "degraded"),
        (tally.down, "down"),
        (tally.unknown, "unknown"),
    ];
    let present = counts
        .iter()
        .filter(|(count, word)| *count > 0 || *word == "up");
    let texts: Vec<String> = present
        .map(|(count, word)| format!("{} {word}", units::number(*count)))
        .collect();
    texts.join(", ")
}

fn bgp(neighbors: &[Neighbor]) -> Text {
    let established = neighbors
        .iter()
        .filter(|neighbor| neighbor.established)
        .count();
    let text = format!("{established} of {} sessions established", neighbors.len());
    if established == neighbors.len() {
        text.into()
    } else {
        shape(good(false)).then(text)
    }
}

/// Problems that are listed; the rest is counted.
const MOST_PROBLEMS: usize = 8;

fn problems(router: &Router, page: &mut Page) {
    for (at, problem) in router.problems.iter().take(MOST_PROBLEMS).enumerate() {
        let key = if at == 0 { "problems" } else { "" };
        let lead = Text::toned(Tone::Dim, format!("{key:<KEY_WIDTH$}"));
        page.hanging(lead.then(shape(problem.status)), problem.message.clone());
    }
    if let Some(more) = router
        .problems
        .len()
        .checked_sub(MOST_PROBLEMS)
        .filter(|n| *n > 0)
    {
        page.field(
            "",
            format!("and {more} more: `patronus sites`, `patronus paths`"),
        );
    }
}

fn last_move(router: &Router, page: &mut Page) {
    let Some(event) = &router.last_move else {
        return;
    };
    let ago = units::span(event.ago_ms);
    let hint = Text::whole(Tone::Dim, "`patronus explain last`");
    page.field(
        "moved",
        Text::from(format!("{ago} ago: {}   ", event.message)).then(hint),
    );
}
