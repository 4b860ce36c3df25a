//! What a change would come to.

use std::fmt::Write as _;
use std::sync::Arc;

use patronus_model::intent::{Allocations, ObjectId};
use patronus_planner::{Change, Changes, Problem};
use patronus_store::Edit;
use similar::TextDiff;

/// What a change would come to: it was checked, and can be committed.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The generation that it was checked against.
    pub against: i64,
    /// What changes in the intent.
    pub objects: Vec<ObjectChange>,
    /// What changes on which router.
    pub routers: Changes,
    /// What is odd about the intent as it would be.
    pub warnings: Vec<Problem>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) numbers: Arc<Allocations>,
}

/// What changes in one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectChange {
    /// The object.
    pub id: ObjectId,
    /// Its text until now; `None` if it is new.
    pub before: Option<String>,
    /// Its text from then on; `None` if it is removed.
    pub after: Option<String>,
}

impl ObjectChange {
    /// `added`, `removed` or `changed`.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "added",
            (Some(_), None) => "removed",
            (Some(_), Some(_)) => "changed",
        }
    }

    /// The lines that differ, each after `+` or `-`, with three lines around them.
    #[must_use]
    pub fn diff(&self) -> String {
        let (before, after) = (
            self.before.as_deref().unwrap_or_default(),
            self.after.as_deref().unwrap_or_default(),
        );
        let diff = TextDiff::from_lines(before, after);
        let mut text = String::new();
        for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
            for change in hunk.iter_changes() {
                let _ = write!(text, "{}{change}", change.tag());
            }
        }
        text
    }
}

impl Proposal {
    /// Everything that it would come to, as people read it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for object in &self.objects {
            let _ = writeln!(text, "{} is {}", object.id, object.verb());
            for line in object.diff().lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        if self.routers.is_empty() {
            text.push_str("no router changes\n");
        }
        for (site, change) in &self.routers {
            let _ = writeln!(text, "router of {site}: {}", words(change));
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "{warning}");
        }
        text
    }
}

/// What changes on a router, in words.
fn words(change: &Change) -> String {
    let Change {
        own,
        sites,
        sites_gone,
        policies,
        policies_gone,
    } = change;
    let mut parts = Vec::new();
    if *own {
        parts.push("its own part".to_owned());
    }
    parts.extend(named("site", sites.iter(), ""));
    parts.extend(named("site", sites_gone.iter(), " removed"));
    parts.extend(named("policy", policies.iter(), ""));
    parts.extend(named("policy", policies_gone.iter(), " removed"));
    parts.join(", ")
}

/// How many names are told.
const NAMED: usize = 5;

fn named<T: ToString>(
    what: &str,
    all: impl ExactSizeIterator<Item = T>,
    how: &str,
) -> Option<String> {
    let count = all.len();
    let names: Vec<String> = all.take(NAMED).map(|it| it.to_string()).collect();
    let more = match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (count > 0).then(|| format!("{what} {}{more}{how}", names.join(", ")))
}
