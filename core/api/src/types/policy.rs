//! Traffic classes and policies.

use async_graphql::{Enum, ID, SimpleObject};
use patronus_model::policy::Action;
use patronus_model::view::{ClassView, PolicyView};

use crate::snapshot::Snapshot;

/// What policies steer.
#[derive(SimpleObject)]
pub(crate) struct TrafficClass {
    /// Its number in packet marks, 1 to 127.
    id: ID,
    /// Its name.
    name: String,
    /// How it picks its paths, in words.
    strategy: String,
    /// Whether it takes what no policy matches.
    default: bool,
}

impl From<&ClassView> for TrafficClass {
    fn from(class: &ClassView) -> Self {
        Self {
            id: class.id.get().into(),
            name: class.name.to_string(),
            strategy: class.strategy.clone(),
            default: class.default,
        }
    }
}

/// What a policy does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum PolicyAction {
    /// It travels in a class.
    Route,
    /// It is dropped.
    Drop,
}

/// A rule of steering. The first match by priority decides.
#[derive(SimpleObject)]
pub(crate) struct Policy {
    /// Unique.
    id: ID,
    /// Its name.
    name: String,
    /// Lower is looked at earlier.
    priority: u32,
    /// What it matches, in words.
    matches: String,
    /// What it does.
    action: PolicyAction,
    /// The class, for `route`.
    class: Option<String>,
}

impl Policy {
    pub(crate) fn new(from: &Snapshot, policy: &PolicyView) -> Self {
        let (action, class) = match policy.action {
            Action::Route(class) => (PolicyAction::Route, Some(from.names.class(class))),
            Action::Drop => (PolicyAction::Drop, None),
        };
        Self {
            id: policy.name.as_str().into(),
            name: policy.name.to_string(),
            priority: policy.priority,
            matches: policy.matches.clone(),
            action,
            class,
        }
    }
}
