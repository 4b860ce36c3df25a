//! Why a flow goes where it goes.

use async_graphql::{Enum, ID, SimpleObject};
use patronus_model::ids::PolicyName;
use patronus_model::policy::{self, Mismatch};
use patronus_model::view;

use super::choice::Choice;
use super::route::Origin;
use super::{BigInt, whole_ms};
use crate::snapshot::Snapshot;
use crate::words;

/// What happens to a flow, and why.
#[derive(SimpleObject)]
pub(crate) struct Explanation {
    /// The flow asked about.
    flow: Flow,
    /// The policies that were looked at, in order; the last one may have matched.
    policies: Vec<PolicyCheck>,
    /// What happens.
    outcome: Outcome,
    /// Why, in words.
    because: String,
    /// The policy that decided; `null` when none matched.
    policy: Option<String>,
    /// The class; `null` when the flow is dropped.
    class: Option<String>,
    /// How the class picks its paths, in words.
    strategy: Option<String>,
    /// The route that the destination follows, for `routed`, `no_path` and `in_doubt`.
    route: Option<String>,
    /// The site where it goes, for `routed`, `no_path` and `in_doubt`.
    dest_site_id: Option<ID>,
    /// Where that route is known from, for `routed`, `no_path` and `in_doubt`.
    route_origin: Option<Origin>,
    /// What was announced and is not any more, for `unreachable`, if the destination is in such a
    /// prefix.
    withdrawn: Option<WithdrawnPrefix>,
    /// The path, and why this one, for `routed`, `no_path` and `in_doubt`.
    choice: Option<Choice>,
    /// What holds for packets that answer, and for connections opened at the other site, in words;
    /// `null` where the class makes no difference to them.
    replies: Option<String>,
    /// What others have put into the way on this machine, which may concern it, in words.
    obstacles: Vec<String>,
}

impl Explanation {
    pub(crate) fn new(from: &Snapshot, explained: &view::Explanation) -> Self {
        let policies = explained.policies.iter();
        let matched = explained
            .policies
            .iter()
            .find(|(_, mismatch)| mismatch.is_none());
        let (outcome, class) = outcome(&explained.outcome);
        let routed = match &explained.outcome {
            view::Outcome::Routed {
                route,
                origin,
                site,
                choice,
                ..
            } => Some((route, site, choice, *origin)),
            view::Outcome::Dropped
            | view::Outcome::Own { .. }
            | view::Outcome::NotOverlay { .. }
            | view::Outcome::Unreachable { .. } => None,
        };
        let strategy = |name: &String| {
            let class = from
                .view
                .classes
                .iter()
                .find(|class| class.name.as_str() == name);
            class.map(|class| class.strategy.clone())
        };
        Self {
            flow: Flow::from(&explained.flow),
            policies: policies
                .map(|(name, miss)| PolicyCheck::new(from, name, *miss))
                .collect(),
            outcome,
            because: words::flow::because(&from.names, explained),
            policy: matched.map(|(name, _)| name.to_string()),
            strategy: class.as_ref().and_then(strategy),
            class,
            route: routed.map(|(route, ..)| route.to_string()),
            dest_site_id: routed.map(|(_, site, ..)| site.as_str().into()),
            route_origin: routed.map(|(.., origin)| origin.into()),
            withdrawn: match &explained.outcome {
                view::Outcome::Unreachable { withdrawn, .. } => {
                    withdrawn.as_ref().map(WithdrawnPrefix::from)
                }
                view::Outcome::Dropped
                | view::Outcome::Own { .. }
                | view::Outcome::NotOverlay { .. }
                | view::Outcome::Routed { .. } => None,
            },
            choice: routed.map(|(_, _, choice, _)| Choice::new(from, choice)),
            replies: words::flow::replies(&explained.outcome),
            obstacles: from
                .view
                .obstacles
                .iter()
                .map(words::obstacles::obstacle)
                .collect(),
        }
    }
}

fn outcome(outcome: &view::Outcome) -> (Outcome, Option<String>) {
    match outcome {
        view::Outcome::Dropped => (Outcome::Dropped, None),
        view::Outcome::Own { class } => (Outcome::Own, Some(class.to_string())),
        view::Outcome::NotOverlay { class, .. } => (Outcome::NotOverlay, Some(class.to_string())),
        view::Outcome::Unreachable { class, .. } => (Outcome::Unreachable, Some(class.to_string())),
        view::Outcome::Routed { class, choice, .. } => {
            let outcome = match (choice.is_lost(), choice.in_doubt().is_some()) {
                (_, true) => Outcome::InDoubt,
                (true, false) => Outcome::NoPath,
                (false, false) => Outcome::Routed,
            };
            (outcome, Some(class.to_string()))
        }
    }
}

/// What happens to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum Outcome {
    /// It travels to a site.
    Routed,
    /// It belongs to a site, but the path where its traffic is is down, or there is none: its packets
    /// are lost.
    NoPath,
    /// It belongs to a site whose patronusd, or that of the hub by which it is reached, was stopped on
    /// purpose and did not come back: whether the kernel there still forwards is not known here.
    InDoubt,
    /// A policy drops it.
    Dropped,
    /// Its destination is the router itself.
    Own,
    /// Its destination is not in the overlay: the main routing table decides.
    NotOverlay,
    /// It belongs to the overlay, but nobody has announced its destination, or it is in a LAN of
    /// this site whose interface is away: it is refused.
    Unreachable,
}

/// A prefix that was announced and is not any more.
#[derive(SimpleObject)]
pub(crate) struct WithdrawnPrefix {
    /// The prefix.
    prefix: String,
    /// Who announced it last; `null` where the site is not configured any more, or where it was
    /// guarded before patronusd started: then the configuration may have named it instead.
    site_id: Option<ID>,
    /// How long ago it ceased to; `null` as well.
    ago_ms: Option<BigInt>,
}

impl From<&view::WithdrawnView> for WithdrawnPrefix {
    fn from(withdrawn: &view::WithdrawnView) -> Self {
        let last = withdrawn.last.as_ref();
        Self {
            prefix: withdrawn.prefix.to_string(),
            site_id: last.map(|(site, _)| site.as_str().into()),
            ago_ms: last.map(|(_, ago)| whole_ms(*ago)),
        }
    }
}

/// A flow as it enters from a LAN.
#[derive(SimpleObject)]
pub(crate) struct Flow {
    /// Source address.
    source: String,
    /// Destination address.
    destination: String,
    /// Protocol by name, or by number where it has none.
    protocol: String,
    /// Source port.
    source_port: Option<u16>,
    /// Destination port.
    destination_port: Option<u16>,
    /// Code point.
    dscp: u8,
    /// The interface by which it comes.
    ingress: Option<String>,
}

impl From<&policy::Flow> for Flow {
    fn from(flow: &policy::Flow) -> Self {
        Self {
            source: flow.source.to_string(),
            destination: flow.destination.to_string(),
            protocol: flow.protocol.to_string(),
            source_port: flow.source_port,
            destination_port: flow.destination_port,
            dscp: flow.dscp.get(),
            ingress: flow.ingress.as_ref().map(ToString::to_string),
        }
    }
}

/// A policy that was looked at.
#[derive(SimpleObject)]
pub(crate) struct PolicyCheck {
    /// Its name.
    policy: String,
    /// Its priority.
    priority: Option<u32>,
    /// Whether it matched.
    matched: bool,
    /// The first condition that the flow does not meet, in words.
    mismatch: Option<String>,
}

impl PolicyCheck {
    fn new(from: &Snapshot, name: &PolicyName, mismatch: Option<Mismatch>) -> Self {
        let policy = from
            .view
            .policies
            .iter()
            .find(|policy| policy.name == *name);
        Self {
            policy: name.to_string(),
            priority: policy.map(|policy| policy.priority),
            matched: mismatch.is_none(),
            mismatch: mismatch.map(|mismatch| words::flow::mismatch(mismatch).to_owned()),
        }
    }
}
