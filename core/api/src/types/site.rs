//! Sites.

use std::sync::Arc;

use async_graphql::{ComplexObject, ID, SimpleObject};
use patronus_model::path::PathState;
use patronus_model::view::SiteView;

use super::choice::Choice;
use super::path::{Path, PathStatus, PathTally};
use crate::snapshot::Snapshot;

/// A remote site.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct Site {
    /// Lasts for ever.
    id: ID,
    /// For people; may change.
    name: String,
    /// Its number in the overlay.
    number: u16,
    /// Whether it forwards for other sites.
    hub: bool,
    /// Its overlay addresses.
    addresses: Vec<String>,
    /// The best state that any path to it has.
    best_path_status: PathStatus,
    /// How the paths to it are doing.
    path_tally: PathTally,
    #[graphql(skip)]
    from: Arc<Snapshot>,
    #[graphql(skip)]
    view: SiteView,
}

#[ComplexObject]
impl Site {
    /// The paths to it.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn paths(&self) -> Vec<Path> {
        let path = |path| Path::new(&self.from, path);
        self.from.paths_to(self.view.number).map(path).collect()
    }

    /// Where each traffic class goes, in the order of their ids.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn choices(&self) -> Vec<Choice> {
        let choice = |choice| Choice::new(&self.from, choice);
        self.view.choices.iter().map(choice).collect()
    }
}

impl Site {
    pub(crate) fn new(from: &Arc<Snapshot>, site: &SiteView) -> Self {
        Self {
            id: site.id.as_str().into(),
            name: site.name.clone(),
            number: site.number.get(),
            hub: site.hub,
            addresses: site.addresses.iter().map(ToString::to_string).collect(),
            best_path_status: best(from, site).into(),
            path_tally: PathTally::of(from.paths_to(site.number)),
            from: Arc::clone(from),
            view: site.clone(),
        }
    }
}

/// The best state of any path to a site. A path that is known to be down is worse than one of
/// which nothing is known.
pub(crate) fn best(from: &Snapshot, site: &SiteView) -> PathState {
    let states = from.paths_to(site.number).map(|path| path.state);
    // `PathState` is ordered from the best to the worst.
    states.min().unwrap_or(PathState::Down)
}

/// Whether packets pass to a site.
pub(crate) fn is_reachable(from: &Snapshot, site: &SiteView) -> bool {
    matches!(best(from, site), PathState::Up | PathState::Degraded)
}
