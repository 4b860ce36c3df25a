//! Where a class goes, and why.

use std::time::Duration;

use async_graphql::{Enum, SimpleObject};
use patronus_model::event;
use patronus_model::ids::SiteNumber;
use patronus_model::view::ChoiceView;

use super::path::{PathRef, PathStatus};
use super::{BigInt, ms, percent, whole_ms};
use crate::names::Names;
use crate::snapshot::Snapshot;
use crate::words;

/// Where the traffic of a class goes at a site, and why.
#[derive(SimpleObject)]
pub(crate) struct Choice {
    /// The class.
    class: String,
    /// The path; `null` when there is none to the site.
    path: Option<PathRef>,
    /// Why, for programs.
    reason: MoveReason,
    /// Why, in words.
    because: String,
    /// For how long.
    since_ms: BigInt,
    /// All paths to the site in the order in which the class ranks them now; those to hubs are among
    /// them while its own are down.
    candidates: Vec<Candidate>,
    /// When traffic will go to a path that the class prefers, in words; `null` when it is on the
    /// best one already.
    back: Option<String>,
}

impl Choice {
    pub(crate) fn new(from: &Snapshot, choice: &ChoiceView) -> Self {
        Self {
            class: from.names.class(choice.class),
            path: choice
                .path
                .map(|path| PathRef::towards(&from.names, choice.site, path)),
            reason: choice.reason.into(),
            because: words::reason(choice.reason, None),
            since_ms: whole_ms(choice.since),
            candidates: Candidate::all(&from.names, choice.site, &choice.candidates),
            back: words::back(&from.names, choice),
        }
    }
}

/// Why traffic is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum MoveReason {
    /// The first choice after start or after a new configuration.
    Initial,
    /// It was there already when patronusd started.
    Adopted,
    /// Its path does not exist any more.
    PathGone,
    /// Its path went down.
    PathDown,
    /// Its path was degraded for longer than the threshold.
    PathDegraded,
    /// A path that the class prefers has been well for longer than the hold.
    Preferred,
    /// A path that the class prefers came up for the first time.
    Arrived,
    /// The path before it flaps, and this one has been well for longer than the hold.
    Calmer,
    /// Every path fell silent at once: it is where it was before, as patronusd at the far end may
    /// only be restarting.
    AllSilent,
    /// A path is clearly faster.
    Faster,
    /// The class was configured anew.
    Reconfigured,
}

impl From<event::Reason> for MoveReason {
    fn from(reason: event::Reason) -> Self {
        use event::Reason;
        match reason {
            Reason::Initial => Self::Initial,
            Reason::Adopted => Self::Adopted,
            Reason::PathGone => Self::PathGone,
            Reason::PathDown(_) => Self::PathDown,
            Reason::PathDegraded(_) => Self::PathDegraded,
            Reason::Preferred { .. } => Self::Preferred,
            Reason::Arrived => Self::Arrived,
            Reason::Calmer { .. } => Self::Calmer,
            Reason::AllSilent => Self::AllSilent,
            Reason::Faster { .. } => Self::Faster,
            Reason::Reconfigured => Self::Reconfigured,
        }
    }
}

/// A path that a decision looked at, as it was then.
#[derive(SimpleObject)]
pub(crate) struct Candidate {
    /// The path.
    path: PathRef,
    /// Its place in the order of the class, from 1.
    rank: u32,
    /// Its state.
    status: PathStatus,
    /// Round-trip time.
    latency_ms: Option<f64>,
    /// Packets lost.
    packet_loss_pct: Option<f64>,
    /// The cost of our uplink; `null` where it has no say in the order of the class: a preference
    /// names the uplink, or the round trips differ.
    cost: Option<u32>,
    /// What became of it.
    verdict: Verdict,
    /// Why, in words.
    why: String,
    /// How long it takes until this verdict can change, where that is known.
    remaining_ms: Option<BigInt>,
}

impl Candidate {
    pub(crate) fn all(names: &Names, to: SiteNumber, candidates: &[event::Candidate]) -> Vec<Self> {
        let ranks = 1_u32..;
        let candidates = ranks.zip(candidates);
        candidates
            .map(|(rank, candidate)| Self::new(names, to, rank, candidate))
            .collect()
    }

    fn new(names: &Names, to: SiteNumber, rank: u32, candidate: &event::Candidate) -> Self {
        Self {
            path: PathRef::towards(names, to, candidate.path),
            rank,
            status: candidate.state.into(),
            latency_ms: candidate.measured.rtt.map(ms),
            packet_loss_pct: candidate.measured.loss_permille.map(percent),
            cost: candidate.cost,
            verdict: candidate.verdict.into(),
            why: words::verdict(rank, candidate),
            remaining_ms: remaining(candidate.verdict).map(whole_ms),
        }
    }
}

fn remaining(verdict: event::Verdict) -> Option<Duration> {
    use event::Verdict as V;
    match verdict {
        V::HoldingDown { remaining } | V::Outdone { remaining } | V::Cooldown { remaining } => {
            Some(remaining)
        }
        V::Chosen | V::NotViable | V::Suppressed | V::RankedLower | V::NotClearlyBetter => None,
    }
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum Verdict {
    /// Chosen.
    Chosen,
    /// Down or of unknown state while another is not.
    NotViable,
    /// Flaps too often.
    Dampened,
    /// Worse than the chosen one in the order of the class.
    RankedLower,
    /// Better, but it has to be well for some time first.
    HoldingDown,
    /// Better, but one that is better still is coming up.
    Outdone,
    /// Better, but traffic moved only a moment ago.
    Cooldown,
    /// Faster, but not by enough to be worth a move.
    NotClearlyBetter,
}

impl From<event::Verdict> for Verdict {
    fn from(verdict: event::Verdict) -> Self {
        use event::Verdict as V;
        match verdict {
            V::Chosen => Self::Chosen,
            V::NotViable => Self::NotViable,
            V::Suppressed => Self::Dampened,
            V::RankedLower => Self::RankedLower,
            V::HoldingDown { .. } => Self::HoldingDown,
            V::Outdone { .. } => Self::Outdone,
            V::Cooldown { .. } => Self::Cooldown,
            V::NotClearlyBetter => Self::NotClearlyBetter,
        }
    }
}
