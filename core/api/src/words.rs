//! Events and decisions in words. All phrasing for people is here, so that every surface says the
//! same thing in the same way.

pub(crate) mod bgp;
pub(crate) mod elsewhere;
pub(crate) mod flow;
pub(crate) mod obstacles;

use std::time::Duration;

use ipnet::IpNet;
use patronus_model::event::{Candidate, Decision, Event, Reason, Verdict};
use patronus_model::ids::SiteNumber;
use patronus_model::path::PathState;
use patronus_model::view::{ChoiceView, Pending};

use crate::names::Names;

pub(crate) mod reload;

/// An event in one line.
#[must_use]
pub fn event(names: &Names, event: &Event) -> String {
    match event {
        Event::Configured {
            paths,
            policies,
            changes,
        } => {
            let (paths, policies) = (
                count(*paths, "path"),
                counted(*policies as u64, "policy", "policies"),
            );
            let changes = changes
                .as_ref()
                .map_or_else(String::new, |it| format!(": {}", reload::changes(it)));
            format!("a configuration with {paths} and {policies} is in force{changes}")
        }
        Event::Path {
            path,
            from: was,
            to,
            cause,
        } => {
            let name = path_to(names, *path);
            format!("{name} is {to} (was {was}): {cause}")
        }
        Event::Dampened {
            path,
            suppressed: true,
        } => {
            let name = path_to(names, *path);
            format!("{name} flaps: no traffic moves to it until it calms down")
        }
        Event::Dampened {
            path,
            suppressed: false,
        } => {
            format!(
                "{} has calmed down: traffic may move to it again",
                path_to(names, *path)
            )
        }
        Event::Uplink { slot, fault } => {
            let name = names.uplink(*slot);
            match fault {
                None => format!("uplink {name} can be used"),
                Some(fault) => format!("uplink {name} cannot be used: {fault}"),
            }
        }
        Event::Lan {
            interface,
            up: true,
        } => format!("LAN {interface} is up"),
        Event::Lan {
            interface,
            up: false,
        } => format!("LAN {interface} is down or missing: nobody behind it can be reached"),
        Event::Moved(decision) => moved(names, decision),
        Event::Applied { changes, took } => {
            format!("{} applied in {}", count(*changes, "change"), span(*took))
        }
        Event::ApplyFailed { reason, retry_in } => {
            let again = match retry_in.is_zero() {
                true => "at once".to_owned(),
                false => format!("in {}", span(*retry_in)),
            };
            format!("not everything could be applied: {reason}; next attempt {again}")
        }
        Event::Drift {
            changes,
            altered,
            named,
        } => {
            let more = match altered.saturating_sub(named.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let (named, changes) = (named.join(", "), count(*changes, "change"));
            format!("somebody altered what is ours: {named}{more}; {changes} to put it back")
        }
        Event::RoutingDaemon { daemon, up: true } => format!("{daemon} answers"),
        Event::RoutingDaemon { daemon, up: false } => {
            format!("{daemon} is gone: the kernel keeps forwarding as it was")
        }
        Event::BgpNeighbor {
            neighbor,
            established: true,
            reason: _,
        } => {
            format!("BGP session with {neighbor} is established")
        }
        Event::BgpNeighbor {
            neighbor,
            established: false,
            reason,
        } => {
            let why = reason
                .as_ref()
                .map_or_else(String::new, |it| format!(": {it}"));
            format!("BGP session with {neighbor} is down{why}")
        }
        Event::PrefixConflict {
            prefix,
            owner,
            loser,
        } => {
            let (owner, loser) = (names.site(*owner), names.site(*loser));
            format!(
                "{owner} announces {prefix}, which is configured for {loser}: {owner} has it. \
                 Let one of them have it, or make one a hub"
            )
        }
        Event::PrefixRefused { prefix, site } => {
            let site = names.site(*site);
            format!(
                "{site} announces {prefix}, which is not believed: it overlaps a LAN of this site, or \
                 is of addresses that no other host can have. Correct it there, or, if it is an \
                 aggregate, declare {site} a hub"
            )
        }
        Event::Prefixes {
            site,
            announced,
            outdone,
            count,
            some,
        } => {
            let site = names.site(*site);
            let list = some_of(*count, some);
            match (announced, outdone) {
                (true, _) => format!("{site} announces {list}"),
                (false, true) => {
                    format!("{list} is not reached by {site} any more: somebody else has it now")
                }
                (false, false) => {
                    format!("{site} does not announce {list} any more: unreachable by it")
                }
            }
        }
        Event::Forgotten {
            prefix,
            site,
            within,
        } => {
            let who = had_announced(names, *site);
            let what = format!("{prefix}, which {who}, was forgotten by an operator");
            match within {
                Some(wide) => format!("{what}; it still belongs to the overlay, within {wide}"),
                None => format!("{what}: packets for it go wherever the main table leads"),
            }
        }
        Event::ForgottenTogether {
            asked,
            site,
            count,
            some,
        } => {
            let who = had_announced(names, *site);
            let list = some_of(*count, some);
            let why = match asked {
                true => "forgotten by an operator",
                false => {
                    "forgotten, as more are announced no more than are remembered \
                     (bgp.maximum_prefixes)"
                }
            };
            format!(
                "{list}, which {who}: {why}; what the configuration does not name goes \
                 wherever the main table leads"
            )
        }
        Event::ReloadRefused { problem } => {
            let (first, rest) = problem.split_once('\n').unwrap_or((problem, ""));
            let more = match rest.lines().count() {
                0 => String::new(),
                rest => format!(" (and {rest} more)"),
            };
            format!("the configuration was not reloaded: {first}{more}")
        }
        Event::RoutingRefused { reason } => {
            format!("FRR could not be configured, and is as it was: {reason}")
        }
    }
}

/// Whose a prefix was that nobody announces any more. Of one that an earlier patronusd guarded it is
/// not even known whether it had been announced.
fn had_announced(names: &Names, site: Option<SiteNumber>) -> String {
    match site {
        Some(site) => format!("{} had announced", names.site(site)),
        None => "a site had announced or the configuration had named".to_owned(),
    }
}

/// The first of some prefixes, and how many more they are.
fn some_of(count: usize, some: &[IpNet]) -> String {
    let more = count.saturating_sub(some.len());
    let more = (more > 0).then(|| format!("{more} more"));
    let list: Vec<String> = some.iter().map(ToString::to_string).chain(more).collect();
    list.join(", ")
}

fn moved(names: &Names, decision: &Decision) -> String {
    let who = format!(
        "{} to {}",
        names.class(decision.class),
        names.site(decision.site)
    );
    let way = |path| names.way(decision.site, path);
    let to = way(decision.to);
    let cause = short_reason(decision.reason);
    match (decision.from, decision.reason) {
        (_, Reason::Adopted) => format!("{who} stays on {to}: {cause}"),
        (None, _) => format!("{who} goes over {to}: {cause}"),
        // What its ends were called is known no more; others may have their numbers by now.
        (Some(_), Reason::PathGone) => format!("{who} moved to {to}: {cause}"),
        (Some(before), _) => format!("{who} moved from {} to {to}: {cause}", way(before)),
    }
}

/// Why traffic moved, for a sentence which has just named both paths.
fn short_reason(reason: Reason) -> String {
    match reason {
        Reason::Initial => "first choice".to_owned(),
        Reason::Adopted => "it was there when patronusd started".to_owned(),
        Reason::PathGone => "a reload removed the path that it was on".to_owned(),
        Reason::PathDown(cause) | Reason::PathDegraded(cause) => cause.to_string(),
        Reason::Arrived => "preferred, and up for the first time".to_owned(),
        Reason::Preferred { well_for } => format!("preferred, and well for {}", span(well_for)),
        Reason::Calmer { well_for } => {
            format!(
                "the old path flaps, this one is well for {}",
                span(well_for)
            )
        }
        Reason::AllSilent => "all paths fell silent at once".to_owned(),
        Reason::Faster { current, better } => {
            format!("{} instead of {}", latency(better), latency(current))
        }
        Reason::Reconfigured => "the class was configured anew".to_owned(),
    }
}

/// Why traffic is where it is. `before` names the path where it was.
pub(crate) fn reason(reason: Reason, before: Option<&str>) -> String {
    let before = before.unwrap_or("the path before it");
    match reason {
        Reason::Initial => "first choice after a start or a new configuration".to_owned(),
        Reason::Adopted => "its traffic was there already when patronusd started".to_owned(),
        Reason::PathGone => "a reload removed the path that its traffic was on".to_owned(),
        Reason::PathDown(cause) => format!("{before} went down: {cause}"),
        Reason::PathDegraded(cause) => format!("{before} was degraded: {cause}"),
        Reason::Arrived => "the class prefers it, and it came up for the first time".to_owned(),
        Reason::Preferred { well_for } => {
            format!(
                "the class prefers it, and it had been well for {}",
                span(well_for)
            )
        }
        Reason::Calmer { well_for } => {
            format!(
                "{before} flaps, and this one had been well for {}",
                span(well_for)
            )
        }
        Reason::AllSilent => {
            "every path fell silent at once, so it went back to where it had been: \
             patronusd there may only be restarting"
                .to_owned()
        }
        Reason::Faster { current, better } => {
            let (better, current) = (latency(better), latency(current));
            format!("it was clearly faster: {better} instead of {current}")
        }
        Reason::Reconfigured => "the class was configured anew".to_owned(),
    }
}

/// What became of a candidate, and why.
pub(crate) fn verdict(rank: u32, candidate: &Candidate) -> String {
    let (state, cause) = (candidate.state, candidate.cause);
    match (candidate.verdict, state) {
        (Verdict::Chosen, PathState::Up) => "chosen".to_owned(),
        (Verdict::Chosen, PathState::Degraded | PathState::Down | PathState::Unknown) => {
            format!("chosen, although {state}: {cause}")
        }
        (Verdict::NotViable, PathState::Down | PathState::Unknown) => format!("{state}: {cause}"),
        (Verdict::NotViable, PathState::Up | PathState::Degraded) => {
            "usable, but nothing has failed that would be worth a move".to_owned()
        }
        (Verdict::Suppressed, _) => "it flaps: not used until it calms down".to_owned(),
        (Verdict::RankedLower, PathState::Degraded) => {
            format!("degraded: {cause}; ranked {}", ordinal(rank))
        }
        (Verdict::RankedLower, PathState::Up | PathState::Unknown | PathState::Down) => {
            format!("{state}, but ranked {}", ordinal(rank))
        }
        (Verdict::HoldingDown { remaining }, _) => {
            format!("better, but not for long enough: {} more", span(remaining))
        }
        (Verdict::Outdone { remaining }, _) => {
            format!(
                "better, but one that is better still is coming up: waits for that {} more",
                span(remaining)
            )
        }
        (Verdict::Cooldown { remaining }, _) => {
            format!(
                "better, but traffic moved a moment ago: {} more",
                span(remaining)
            )
        }
        (Verdict::NotClearlyBetter, _) => "faster, but by too little to be worth a move".to_owned(),
    }
}

/// When traffic will leave its path for one which the class ranks higher, if it would.
pub(crate) fn back(names: &Names, choice: &ChoiceView) -> Option<String> {
    let candidates = &choice.candidates;
    let chosen = candidates
        .iter()
        .position(|c| c.verdict == Verdict::Chosen)?;
    let waiting = candidates.iter().take(chosen).find_map(|candidate| {
        let to = names.way(choice.site, candidate.path);
        match candidate.verdict {
            Verdict::HoldingDown { remaining } | Verdict::Cooldown { remaining } => Some(format!(
                "to {to} in {}, if it stays better",
                span(remaining)
            )),
            Verdict::Outdone { remaining } => Some(format!(
                "to {to} in {}, unless a better one comes up",
                span(remaining)
            )),
            Verdict::NotClearlyBetter => Some(format!("to {to} when it is clearly faster")),
            Verdict::Chosen | Verdict::NotViable | Verdict::Suppressed | Verdict::RankedLower => {
                None
            }
        }
    });
    waiting.or_else(|| after_failure(names, choice, candidates.get(chosen + 1..)?))
}

/// Candidates that are not well rank last whatever the class wishes, so it is only known that it
/// may want to return to them.
fn after_failure(names: &Names, choice: &ChoiceView, rest: &[Candidate]) -> Option<String> {
    let failed = match choice.reason {
        Reason::PathDown(_) | Reason::PathDegraded(_) | Reason::AllSilent => true,
        Reason::Initial
        | Reason::Adopted
        | Reason::PathGone
        | Reason::Preferred { .. }
        | Reason::Arrived
        | Reason::Calmer { .. }
        | Reason::Faster { .. }
        | Reason::Reconfigured => false,
    };
    let unwell = |candidate: &&Candidate| candidate.state != PathState::Up;
    let names: Vec<String> = rest
        .iter()
        .filter(unwell)
        .map(|candidate| names.way(choice.site, candidate.path))
        .collect();
    (failed && !names.is_empty()).then(|| {
        format!(
            "to {}, where the class prefers it, when it has stayed well for the hold time",
            names.join(" or ")
        )
    })
}

/// What the kernel does not have yet.
pub(crate) fn pending(pending: &Pending) -> String {
    let kinds = pending.kinds.iter().map(|(kind, number)| {
        let (one, many) = kind.words();
        counted(*number as u64, one, many)
    });
    let kinds: Vec<String> = kinds.collect();
    let kinds = kinds.join(", ");
    let lead = "the kernel does not yet have all that is configured";
    match &pending.reason {
        Some(reason) if kinds.is_empty() => {
            let failed = count(pending.failed, "change");
            format!("{lead}: {failed} failed and will be tried again: {reason}")
        }
        Some(reason) => format!(
            "{lead}: {kinds} to be changed, of which {} failed and will be tried again: {reason}",
            pending.failed
        ),
        None if kinds.is_empty() => format!("{lead}, as far as is known: it is being compared"),
        None => format!("{lead}: {kinds} under way"),
    }
}

fn path_to(names: &Names, path: patronus_model::ids::PathId) -> String {
    format!("{} {}", names.site(path.site), names.path(path))
}

fn count(number: usize, one: &str) -> String {
    counted(number as u64, one, &format!("{one}s"))
}

pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn latency(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// A duration with two digits or so: `840 ms`, `1.5 s`, `12 s`, `3 min`, `3 h 4 min`, `3 d 4 h`.
pub(crate) fn span(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    match seconds {
        0 if duration.as_micros() < 10_000 => latency(duration),
        0 => format!("{millis} ms"),
        1..10 if millis >= 50 => format!("{:.1} s", duration.as_secs_f64()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn two(major: u64, major_unit: &str, minor: u64, minor_unit: &str) -> String {
    match minor {
        0 => format!("{major} {major_unit}"),
        _ => format!("{major} {major_unit} {minor} {minor_unit}"),
    }
}

fn ordinal(number: u32) -> String {
    let suffix = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

#[cfg(test)]
mod tests;
