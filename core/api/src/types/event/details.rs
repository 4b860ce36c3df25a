//! What each kind of event says, for programs.

use async_graphql::{ID, SimpleObject, Union};
use patronus_model::event;

use crate::names::Names;
use crate::types::choice::{Candidate, MoveReason};
use crate::types::path::{PathRef, PathStatus};
use crate::types::reload::{ConfigChange, prefixes};
use crate::types::uplink::UplinkFault;
use crate::types::{BigInt, ms, whole_ms};
use crate::words;

/// What happened, for programs.
#[derive(Union)]
pub(crate) enum EventDetails {
    Configured(Configured),
    Path(PathChanged),
    Dampened(PathDampened),
    Uplink(UplinkChanged),
    Lan(LanChanged),
    Moved(Move),
    Applied(Applied),
    ApplyFailed(ApplyFailed),
    Drift(Drift),
    RoutingDaemon(RoutingDaemonChanged),
    BgpNeighbor(BgpNeighborChanged),
    PrefixConflict(PrefixConflict),
    PrefixRefused(PrefixRefused),
    Prefixes(PrefixesChanged),
    Forgotten(PrefixForgotten),
    ForgottenTogether(PrefixesForgotten),
    ReloadRefused(ReloadRefused),
    RoutingRefused(RoutingRefused),
}

/// A configuration came into force.
#[derive(SimpleObject)]
pub(crate) struct Configured {
    /// Paths that it describes.
    path_count: BigInt,
    /// Policies that it has.
    policy_count: BigInt,
    /// What it says otherwise than the one before it; `null` for the first.
    changes: Option<Vec<ConfigChange>>,
    /// What sites had announced that are not there any more: unreachable until somebody announces it
    /// again, or it is forgotten.
    kept_prefixes: Vec<String>,
    /// What the one before kept from leaving by an uplink in the clear, and nothing does any more.
    opened_prefixes: Vec<String>,
}

/// A path changed its state.
#[derive(SimpleObject)]
pub(crate) struct PathChanged {
    /// The path.
    path: PathRef,
    /// The site at its far end.
    dest_site_id: ID,
    /// What it was.
    from_status: PathStatus,
    /// What it is.
    to_status: PathStatus,
    /// Why, in words.
    because: String,
}

/// A path flaps too often to be moved to, or has calmed down.
#[derive(SimpleObject)]
pub(crate) struct PathDampened {
    /// The path.
    path: PathRef,
    /// The site at its far end.
    dest_site_id: ID,
    /// Whether no traffic moves to it.
    dampened: bool,
}

/// An uplink can be used, or cannot any more.
#[derive(SimpleObject)]
pub(crate) struct UplinkChanged {
    /// The uplink.
    uplink: String,
    /// Whether it can be used.
    usable: bool,
    /// What keeps it from being used; `null` when nothing does.
    fault: Option<UplinkFault>,
}

/// The interface of a LAN came up, or went down or away.
#[derive(SimpleObject)]
pub(crate) struct LanChanged {
    /// The interface.
    interface: String,
    /// Whether it is up and has a carrier.
    up: bool,
}

/// Traffic of a class to a site moved, or got its first path.
#[derive(SimpleObject)]
pub(crate) struct Move {
    /// The class.
    class: String,
    /// The site.
    dest_site_id: ID,
    /// Where it went before; `null` for the first path.
    from: Option<PathRef>,
    /// Where it goes now.
    to: PathRef,
    /// Why, for programs.
    reason: MoveReason,
    /// Why, in words.
    because: String,
    /// All paths in the order in which the class ranked them.
    candidates: Vec<Candidate>,
}

/// Changes were carried out.
#[derive(SimpleObject)]
pub(crate) struct Applied {
    /// How many.
    changes: BigInt,
    /// How long it took.
    took_ms: f64,
}

/// Changes were carried out only in part.
#[derive(SimpleObject)]
pub(crate) struct ApplyFailed {
    /// What went wrong.
    error: String,
    /// When it will be tried again.
    retry_in_ms: BigInt,
}

/// Something of ours was altered by somebody else, and is put back.
#[derive(SimpleObject)]
pub(crate) struct Drift {
    /// Changes that put it back.
    changes: BigInt,
    /// How many things were altered. What went with them is not counted.
    altered: BigInt,
    /// The first of them and what became of each, like `IPv4 rule 1010 removed`.
    named: Vec<String>,
}

/// A routing daemon died or came back.
#[derive(SimpleObject)]
pub(crate) struct RoutingDaemonChanged {
    /// Its name.
    daemon: String,
    /// Whether it is there.
    up: bool,
}

/// A BGP session changed.
#[derive(SimpleObject)]
pub(crate) struct BgpNeighborChanged {
    /// With whom.
    neighbor: String,
    /// Whether it is established.
    established: bool,
    /// Why it is not, in the daemon's words, where it says.
    because: Option<String>,
}

/// Two ordinary sites announce the same prefix; only one of them can have it.
#[derive(SimpleObject)]
pub(crate) struct PrefixConflict {
    /// The prefix.
    prefix: String,
    /// Who has it.
    owner_site_id: ID,
    /// Who does not.
    loser_site_id: ID,
}

/// A site announces a prefix that overlaps one of our LANs; it is not believed.
#[derive(SimpleObject)]
pub(crate) struct PrefixRefused {
    /// The prefix.
    prefix: String,
    /// Who announces it.
    site_id: ID,
}

/// A site announces prefixes, or no longer does.
#[derive(SimpleObject)]
pub(crate) struct PrefixesChanged {
    /// The site.
    site_id: ID,
    /// Whether it announces them now.
    announced: bool,
    /// Whether somebody else has them now, with a better path; then the site may announce them still.
    outdone: bool,
    /// How many they are.
    count: BigInt,
    /// The first of them.
    some: Vec<String>,
}

/// An operator had a prefix forgotten that no site announced any more.
#[derive(SimpleObject)]
pub(crate) struct PrefixForgotten {
    /// The prefix.
    prefix: String,
    /// Who announced it; `null` where the site is not configured any more, or where it was
    /// guarded before patronusd started: then the configuration may have named it instead.
    site_id: Option<ID>,
    /// What it is part of that belongs to the overlay all the same; `null` where packets for it go
    /// wherever the main table leads.
    within: Option<String>,
}

/// Prefixes that no site announced any more were forgotten: there were more of them than are
/// remembered, or an operator had them forgotten together.
#[derive(SimpleObject)]
pub(crate) struct PrefixesForgotten {
    /// Whether an operator wanted it.
    asked: bool,
    /// Who announced them; `null` where that is not known, or several did.
    site_id: Option<ID>,
    /// How many they are.
    count: BigInt,
    /// The first of them.
    some: Vec<String>,
}

/// A configuration file was read again and refused; nothing has changed.
#[derive(SimpleObject)]
pub(crate) struct ReloadRefused {
    /// What is wrong with it, one finding in each line.
    problem: String,
}

/// FRR could not be configured; it is as it was.
#[derive(SimpleObject)]
pub(crate) struct RoutingRefused {
    /// Why.
    error: String,
}

/// What an event says, for programs.
pub(super) fn details(names: &Names, event: &event::Event) -> EventDetails {
    use event::Event as E;
    match event {
        E::Configured {
            paths,
            policies,
            changes,
        } => EventDetails::Configured(Configured {
            path_count: (*paths).into(),
            policy_count: (*policies).into(),
            changes: changes.as_ref().map(|it| ConfigChange::all(&it.parts)),
            kept_prefixes: prefixes(changes.iter().flat_map(|it| &it.kept)),
            opened_prefixes: prefixes(changes.iter().flat_map(|it| &it.opened)),
        }),
        E::Path {
            path,
            from: was,
            to,
            cause,
        } => EventDetails::Path(PathChanged {
            path: PathRef::new(names, *path),
            dest_site_id: names.site(path.site).into(),
            from_status: (*was).into(),
            to_status: (*to).into(),
            because: cause.to_string(),
        }),
        E::Dampened { path, suppressed } => EventDetails::Dampened(PathDampened {
            path: PathRef::new(names, *path),
            dest_site_id: names.site(path.site).into(),
            dampened: *suppressed,
        }),
        E::Uplink { slot, fault } => EventDetails::Uplink(UplinkChanged {
            uplink: names.uplink(*slot),
            usable: fault.is_none(),
            fault: fault.map(UplinkFault::from),
        }),
        E::Lan { interface, up } => EventDetails::Lan(LanChanged {
            interface: interface.to_string(),
            up: *up,
        }),
        E::Moved(decision) => EventDetails::Moved(moved(names, decision)),
        E::Applied { changes, took } => EventDetails::Applied(Applied {
            changes: (*changes).into(),
            took_ms: ms(*took),
        }),
        E::ApplyFailed { reason, retry_in } => EventDetails::ApplyFailed(ApplyFailed {
            error: reason.clone(),
            retry_in_ms: whole_ms(*retry_in),
        }),
        E::Drift {
            changes,
            altered,
            named,
        } => EventDetails::Drift(Drift {
            changes: (*changes).into(),
            altered: (*altered).into(),
            named: named.clone(),
        }),
        E::RoutingDaemon { daemon, up } => EventDetails::RoutingDaemon(RoutingDaemonChanged {
            daemon: daemon.clone(),
            up: *up,
        }),
        E::BgpNeighbor {
            neighbor,
            established,
            reason,
        } => EventDetails::BgpNeighbor(BgpNeighborChanged {
            neighbor: neighbor.clone(),
            established: *established,
            because: reason.clone(),
        }),
        E::PrefixConflict {
            prefix,
            owner,
            loser,
        } => EventDetails::PrefixConflict(PrefixConflict {
            prefix: prefix.to_string(),
            owner_site_id: names.site(*owner).into(),
            loser_site_id: names.site(*loser).into(),
        }),
        E::PrefixRefused { prefix, site } => EventDetails::PrefixRefused(PrefixRefused {
            prefix: prefix.to_string(),
            site_id: names.site(*site).into(),
        }),
        E::Prefixes {
            site,
            announced,
            outdone,
            count,
            some,
        } => EventDetails::Prefixes(PrefixesChanged {
            site_id: names.site(*site).into(),
            announced: *announced,
            outdone: *outdone,
            count: (*count).into(),
            some: some.iter().map(ToString::to_string).collect(),
        }),
        E::Forgotten {
            prefix,
            site,
            within,
        } => EventDetails::Forgotten(PrefixForgotten {
            prefix: prefix.to_string(),
            site_id: site.map(|site| names.site(site).into()),
            within: within.map(|wide| wide.to_string()),
        }),
        E::ForgottenTogether {
            asked,
            site,
            count,
            some,
        } => EventDetails::ForgottenTogether(PrefixesForgotten {
            asked: *asked,
            site_id: site.map(|site| names.site(site).into()),
            count: (*count).into(),
            some: some.iter().map(ToString::to_string).collect(),
        }),
        E::ReloadRefused { problem } => EventDetails::ReloadRefused(ReloadRefused {
            problem: problem.clone(),
        }),
        E::RoutingRefused { reason } => EventDetails::RoutingRefused(RoutingRefused {
            error: reason.clone(),
        }),
    }
}

fn moved(names: &Names, decision: &event::Decision) -> Move {
    let to = decision.site;
    let before = decision.from.map(|path| names.way(to, path));
    Move {
        class: names.class(decision.class),
        dest_site_id: names.site(decision.site).into(),
        from: decision.from.map(|path| PathRef::towards(names, to, path)),
        to: PathRef::towards(names, to, decision.to),
        reason: decision.reason.into(),
        because: words::reason(decision.reason, before.as_deref()),
        candidates: Candidate::all(names, to, &decision.candidates),
    }
}
