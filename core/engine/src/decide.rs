//! Which path a class uses towards a site: quick to leave a bad one, slow to return, never towards
//! one that is not better, never without a target.

mod rank;

use std::time::Duration;

use patronus_model::Timestamp;
use patronus_model::event::{Candidate, Reason, Verdict};
use patronus_model::ids::PathId;
use patronus_model::path::{PathCause, PathState};
use patronus_model::policy::{Strategy, TrafficClass};

use crate::health::PathHealth;
use crate::topology::PathSpec;

use rank::{clearly_faster, cost_counts, ranked, wish};

/// What is remembered of one class towards one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where its traffic goes.
    pub path: Option<PathId>,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Timestamp,
    /// When this site and class came to be.
    pub created: Timestamp,
    /// When it last moved without being forced to.
    pub moved: Option<Timestamp>,
    /// Its strategy was changed: the next decision need not wait.
    pub reconsider: bool,
    /// Where its traffic was, and when, before paths began to fall silent one after the other.
    pub fled: Option<(PathId, Timestamp)>,
}

impl Choice {
    /// Nothing chosen yet.
    #[must_use]
    pub const fn none(now: Timestamp) -> Self {
        Self {
            path: None,
            reason: Reason::Initial,
            since: now,
            created: now,
            moved: None,
            reconsider: false,
            fled: None,
        }
    }

    /// What is remembered after a move.
    #[must_use]
    pub fn after(&self, now: Timestamp, decision: &Move) -> Self {
        let flees = decision.reason == Reason::PathDown(PathCause::Silent);
        let flees_on = self.reason == Reason::PathDown(PathCause::Silent);
        let started = self.path.map(|path| (path, now));
        let fled = self
            .fled
            .filter(|(_, since)| flees_on && now.since(*since) <= AT_ONCE);
        Self {
            path: Some(decision.to),
            reason: decision.reason,
            since: now,
            created: self.created,
            moved: if is_forced(decision.reason) {
                self.moved
            } else {
                Some(now)
            },
            reconsider: false,
            fled: fled.or(started).filter(|_| flees),
        }
    }
}

/// Whether a move for this reason needs no cooldown before it and starts none.
const fn is_forced(reason: Reason) -> bool {
    match reason {
        Reason::PathDown(_)
        | Reason::PathGone
        | Reason::Initial
        | Reason::Adopted
        | Reason::AllSilent
        | Reason::Reconfigured => true,
        Reason::PathDegraded(_)
        | Reason::Preferred { .. }
        | Reason::Arrived
        | Reason::Calmer { .. }
        | Reason::Faster { .. } => false,
    }
}

/// One path with what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Contender<'a> {
    /// The path.
    pub id: PathId,
    /// As configured.
    pub spec: &'a PathSpec,
    /// As observed.
    pub health: &'a PathHealth,
    /// Whether it leads to a hub, which carries on what it is sent, rather than to the site itself.
    pub relay: bool,
}

/// What else a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Time within which paths come up after start, and nothing has to hold before it is preferred.
    pub settling: Duration,
    /// When all paths to the site fell silent at once, the last time that they did.
    pub silence: Option<Timestamp>,
}

/// When the last of all paths to a site fell silent, and which did so with it, if they did so at
/// once: then it was not the paths that died but the daemon or the router at the far end. Paths that
/// had been down before say nothing about it.
#[must_use]
pub fn silence(options: &[Contender<'_>]) -> Option<(Timestamp, Vec<PathId>)> {
    let silent = options.iter().filter(|option| is_silent(option));
    let last = silent.clone().map(|option| option.health.since).max()?;
    let together = silent.filter(|option| last.since(option.health.since) <= AT_ONCE);
    let together: Vec<PathId> = together.map(|option| option.id).collect();
    let nothing_lives = options.iter().all(|o| o.health.state == PathState::Down);
    (together.len() > 1 && nothing_lives).then_some((last, together))
}

fn is_silent(option: &Contender<'_>) -> bool {
    (option.health.state, option.health.cause) == (PathState::Down, PathCause::Silent)
}

/// Whether a path fell silent together with all others to its site, and has not come back.
fn waits_for_far_end(current: &Contender<'_>, circumstances: Circumstances) -> bool {
    let since = current.health.since;
    let silence = circumstances.silence;
    is_silent(current)
        && !current.relay
        && silence.is_some_and(|last| since <= last && last.since(since) <= AT_ONCE)
}

/// Whether traffic stays on a path that fell silent together with all others, because those which
/// came back have not been there for so long that it must be given up: see ADR 0020.
#[must_use]
pub fn is_given_time(
    now: Timestamp,
    current: &Contender<'_>,
    circumstances: Circumstances,
    options: &[Contender<'_>],
) -> bool {
    let too_long = |option: &Contender<'_>| {
        let viable = matches!(option.health.state, PathState::Up | PathState::Degraded);
        viable && now.since(option.health.since) >= COME_BACK
    };
    waits_for_far_end(current, circumstances) && !options.iter().any(too_long)
}

/// Paths that fall silent within this time fell silent at once. Detection takes 300 ms by default,
/// and packets have jitter, so that of paths which died together one is missed up to that much later
/// than another.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How much later than the first of them the path that is in use may come back, when all fell
/// silent at once. BFD starts slowly, with a packet a second (RFC 5880 section 6.8.3).
const COME_BACK: Duration = Duration::from_secs(2);

/// A move to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where to.
    pub to: PathId,
    /// Why.
    pub reason: Reason,
}

/// Decides. `None` means that traffic stays where it is.
#[must_use]
pub fn decide(
    now: Timestamp,
    class: &TrafficClass,
    choice: &Choice,
    circumstances: Circumstances,
    options: &[Contender<'_>],
) -> Option<Move> {
    let ranked = ranked(&class.strategy, options);
    let best = ranked.first()?;
    let current = choice
        .path
        .and_then(|path| ranked.iter().find(|o| o.id == path));
    let Some(current) = current else {
        let reason = if choice.path.is_some() {
            Reason::PathGone
        } else {
            Reason::Initial
        };
        return Some(Move {
            to: best.id,
            reason,
        });
    };
    let judge = Judge {
        now,
        class,
        choice,
        circumstances,
        current: *current,
        options,
    };
    if let Some(home) = judge.home(&ranked) {
        return Some(Move {
            to: home,
            reason: Reason::AllSilent,
        });
    }
    let better = ranked.iter().take_while(|option| option.id != current.id);
    better
        .filter_map(|option| Some((option, judge.reason(option)?)))
        .find_map(|(option, reason)| {
            judge.verdict(option, reason).is_none().then_some(Move {
                to: option.id,
                reason,
            })
        })
}

/// The candidates as ranked, with what became of each when traffic was where `choice` says, and went
/// to `chosen`; `None`: it stays.
#[must_use]
pub fn account(
    now: Timestamp,
    class: &TrafficClass,
    choice: &Choice,
    circumstances: Circumstances,
    options: &[Contender<'_>],
    chosen: Option<PathId>,
) -> Vec<Candidate> {
    let ranked = ranked(&class.strategy, options);
    let chosen = chosen.or(choice.path);
    let current = ranked
        .iter()
        .find(|option| Some(option.id) == choice.path)
        .copied();
    let place = ranked.iter().position(|option| Some(option.id) == chosen);
    let verdict = |index: usize, option: &Contender<'_>| match (current, place) {
        (_, Some(place)) if index == place => Verdict::Chosen,
        (Some(current), Some(place)) if index < place => Judge {
            now,
            class,
            choice,
            circumstances,
            current,
            options,
        }
        .refusal(option),
        _ => behind(option),
    };
    let candidate = |(index, option): (usize, &Contender<'_>)| Candidate {
        path: option.id,
        state: option.health.state,
        cause: option.health.cause,
        measured: option.health.measured,
        cost: cost_counts(&class.strategy, option, &ranked).then_some(option.spec.cost),
        verdict: verdict(index, option),
    };
    ranked.iter().enumerate().map(candidate).collect()
}

/// What is said of a path that ranks behind the chosen one.
fn behind(option: &Contender<'_>) -> Verdict {
    match option.health.state {
        PathState::Down | PathState::Unknown => Verdict::NotViable,
        PathState::Up | PathState::Degraded if option.health.suppressed => Verdict::Suppressed,
        PathState::Up | PathState::Degraded => Verdict::RankedLower,
    }
}

/// The questions that are asked about each path which ranks before the present one.
struct Judge<'a> {
    now: Timestamp,
    class: &'a TrafficClass,
    choice: &'a Choice,
    circumstances: Circumstances,
    current: Contender<'a>,
    options: &'a [Contender<'a>],
}

impl Judge<'_> {
    /// Where traffic was before every path to the site fell silent at once. If it was only the
    /// daemon there that died, the kernel goes on forwarding, and traffic is best where it was.
    fn home(&self, options: &[Contender<'_>]) -> Option<PathId> {
        let (home, since) = self.choice.fled?;
        let silence = self.circumstances.silence?;
        let home = options.iter().find(|option| option.id == home)?;
        let is_it = silence >= since && silence.since(since) <= AT_ONCE && is_silent(home);
        let nothing_lives = options.iter().all(|o| o.health.state == PathState::Down);
        (is_it && nothing_lives && home.id != self.current.id).then_some(home.id)
    }

    /// Why traffic should move to this path, if anything speaks for it.
    fn reason(&self, option: &Contender<'_>) -> Option<Reason> {
        let (current, better) = (self.current.health, option.health);
        let viable = matches!(better.state, PathState::Up | PathState::Degraded);
        match current.state {
            // What became of a path whose far end stays away, became of all that it said good-bye
            // on: there is no point in going through them one after the other.
            // A hub knows no better, and the kernel over there may forward for ever.
            PathState::Down if current.cause == PathCause::StayedAway => {
                (viable && !option.relay).then_some(Reason::PathDown(current.cause))
            }
            // A path that is known to be dead is left for anything that is not. Where a daemon was
            // stopped, the kernel may forward for ever; over an uplink that is gone, nothing does.
            PathState::Down => {
                let hope =
                    current.cause == PathCause::UplinkDown && better.cause == PathCause::StayedAway;
                (better.state != PathState::Down || hope).then_some(Reason::PathDown(current.cause))
            }
            // A far end that was stopped on purpose moves nothing; a path that was adopted from
            // the kernel is kept until something is known of it.
            PathState::Unknown if current.cause == PathCause::AdminDown => None,
            PathState::Unknown if self.choice.reason == Reason::Adopted => None,
            PathState::Unknown => viable.then_some(Reason::Initial),
            // Onto a path that flaps, traffic is only forced.
            PathState::Degraded | PathState::Up if better.suppressed => None,
            PathState::Degraded if better.state == PathState::Up => {
                Some(Reason::PathDegraded(current.cause))
            }
            // A path that is suppressed but well is not left for one that is worse.
            PathState::Degraded | PathState::Up => {
                (better.state == PathState::Up).then(|| self.preference(option))
            }
        }
    }

    fn preference(&self, option: &Contender<'_>) -> Reason {
        if self.choice.reconsider {
            return Reason::Reconfigured;
        }
        if self.settling_in() {
            return Reason::Initial;
        }
        let well_for = option.health.well_for(self.now);
        if self.current.health.suppressed && !option.health.suppressed {
            return Reason::Calmer { well_for };
        }
        match (
            &self.class.strategy,
            self.current.health.measured.rtt,
            option.health.measured.rtt,
        ) {
            (Strategy::LeastLatency, Some(current), Some(better)) => {
                Reason::Faster { current, better }
            }
            _ if self.arrives(option) => Reason::Arrived,
            _ => Reason::Preferred { well_for },
        }
    }

    fn arrives(&self, option: &Contender<'_>) -> bool {
        // Of a path that we left when we ran before, we do not know how often it had fallen.
        self.choice.reason != Reason::Adopted && option.health.has_never_fallen()
    }

    /// Whether traffic has a path that works, and one that the class prefers even to this is still
    /// coming up.
    fn may_be_outdone(&self, option: &Contender<'_>) -> bool {
        let works = matches!(
            self.current.health.state,
            PathState::Up | PathState::Degraded
        );
        let strategy = &self.class.strategy;
        let comes = |rival: &Contender<'_>| {
            rival.health.cause == PathCause::Starting
                && !rival.relay
                && wish(strategy, rival) < wish(strategy, option)
        };
        works && self.options.iter().any(comes)
    }

    fn settling_in(&self) -> bool {
        // What was adopted had settled before we started.
        self.choice.reason != Reason::Adopted
            && self.now.since(self.choice.created) < self.circumstances.settling
    }

    /// What forbids a move for this reason, if anything does.
    fn verdict(&self, option: &Contender<'_>, reason: Reason) -> Option<Verdict> {
        let failover = &self.class.failover;
        let rest =
            |least: Duration, have: Duration| least.checked_sub(have).filter(|d| !d.is_zero());
        let cooldown = || {
            let since = self.choice.moved.map(|at| self.now.since(at));
            since.and_then(|since| rest(failover.cooldown, since))
        };
        let wait = match reason {
            Reason::PathDown(_) if waits_for_far_end(&self.current, self.circumstances) => {
                rest(COME_BACK, self.now.since(option.health.since))
                    .map(|remaining| Verdict::HoldingDown { remaining })
            }
            // Paths come up one after the other; traffic need not go through them all.
            Reason::Initial if self.may_be_outdone(option) => rest(
                self.circumstances.settling,
                self.now.since(self.choice.created),
            )
            .map(|remaining| Verdict::Outdone { remaining }),
            Reason::PathDown(_)
            | Reason::PathGone
            | Reason::Initial
            | Reason::Adopted
            | Reason::AllSilent
            | Reason::Reconfigured => None,
            Reason::PathDegraded(_) => rest(
                failover.threshold,
                self.now.since(self.current.health.since),
            )
            .map(|remaining| Verdict::HoldingDown { remaining }),
            // A path that is up for the first time has nothing to prove: otherwise one that came a
            // moment after the others, and after the grace, would lie idle for the whole hold.
            Reason::Arrived => None,
            Reason::Calmer { .. } if self.arrives(option) => None,
            Reason::Preferred { .. } | Reason::Calmer { .. } | Reason::Faster { .. } => {
                rest(failover.hold, option.health.well_for(self.now))
                    .map(|remaining| Verdict::HoldingDown { remaining })
            }
        };
        let not_clear = || {
            let Reason::Faster { current, better } = reason else {
                return None;
            };
            (!clearly_faster(current, better)).then_some(Verdict::NotClearlyBetter)
        };
        let cooling = || {
            if is_forced(reason) {
                None
            } else {
                cooldown().map(|remaining| Verdict::Cooldown { remaining })
            }
        };
        wait.or_else(not_clear).or_else(cooling)
    }

    fn refusal(&self, option: &Contender<'_>) -> Verdict {
        match self.reason(option) {
            None if option.health.suppressed => behind(option),
            None => Verdict::NotViable,
            Some(reason) => self.verdict(option, reason).unwrap_or(Verdict::RankedLower),
        }
    }
}
