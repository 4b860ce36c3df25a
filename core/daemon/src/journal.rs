//! The events of the recent past, in memory and in the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use patronus_api::{Names, Recorded};
use patronus_model::event::Event;
use patronus_model::ids::PathId;
use patronus_model::path::PathState;
use patronus_model::view::EventRecord;
use tracing::{info, warn};

/// Events that are kept: some days of a quiet router, some minutes of a very bad day.
const KEPT: usize = 10_000;

/// The journal.
#[derive(Debug, Default)]
pub struct Journal {
    names: Arc<Names>,
    records: VecDeque<Recorded>,
    sequence: u64,
}

impl Journal {
    /// Takes over what things are called from now on; what has happened keeps its names.
    pub fn rename(&mut self, names: Names) {
        self.names = Arc::new(names);
    }

    /// Takes an event down.
    pub fn record(&mut self, event: Event) {
        log(&self.names, &event);
        self.sequence += 1;
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let unix_millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(Recorded {
            record: EventRecord {
                sequence: self.sequence,
                unix_millis,
                event,
            },
            names: Arc::clone(&self.names),
        });
    }

    /// Up to `limit` events in their order: those after number `after`, or without that the last.
    #[must_use]
    pub fn read(&self, after: Option<u64>, limit: usize) -> Vec<Recorded> {
        match after {
            Some(after) => self
                .records
                .iter()
                .filter(|r| r.record.sequence > after)
                .take(limit)
                .cloned()
                .collect(),
            None => {
                let skip = self.records.len().saturating_sub(limit);
                self.records.iter().skip(skip).cloned().collect()
            }
        }
    }

    /// The newest event of a kind.
    pub fn newest(&self, wanted: impl Fn(&EventRecord) -> bool) -> Option<Recorded> {
        self.records
            .iter()
            .rev()
            .find(|recorded| wanted(&recorded.record))
            .cloned()
    }
}

/// One line for each event, in the words of the API, with the names that programs look for as
/// fields. A warning is what an operator should look at.
fn log(names: &Names, event: &Event) {
    let Fields {
        kind,
        path,
        class,
        site,
        what,
    } = fields(names, event);
    // Some words come from the far end, which must not write lines of its own.
    let message = patronus_api::in_words(names, event).replace(char::is_control, " ");
    if is_worrying(event) {
        warn!(kind, path, class, site, what, "{message}");
    } else {
        info!(kind, path, class, site, what, "{message}");
    }
}

/// Whether something is not as it should be since this event.
const fn is_worrying(event: &Event) -> bool {
    match event {
        Event::Path { to, .. } => matches!(to, PathState::Down | PathState::Degraded),
        Event::Dampened { suppressed, .. } => *suppressed,
        Event::Uplink { fault, .. } => fault.is_some(),
        Event::Lan { up: well, .. }
        | Event::RoutingDaemon { up: well, .. }
        | Event::BgpNeighbor {
            established: well, ..
        } => !*well,
        Event::ApplyFailed { .. }
        | Event::Drift { .. }
        | Event::PrefixConflict { .. }
        | Event::PrefixRefused { .. }
        | Event::ReloadRefused { .. }
        | Event::RoutingRefused { .. } => true,
        Event::Prefixes { announced, .. } => !*announced,
        // An operator wanted it.
        Event::Forgotten { .. } => false,
        Event::ForgottenTogether { asked, .. } => !*asked,
        // Why traffic moved is in the line before.
        Event::Moved(_) | Event::Configured { .. } | Event::Applied { .. } => false,
    }
}

#[derive(Default)]
struct Fields {
    /// As the API calls it.
    kind: &'static str,
    /// The API's id of the path.
    path: Option<String>,
    class: Option<String>,
    site: Option<String>,
    /// What else it is about: an uplink, an interface, a daemon, a neighbour, a prefix.
    what: Option<String>,
}

fn fields(names: &Names, event: &Event) -> Fields {
    let of_path = |kind, path: PathId| Fields {
        kind,
        path: Some(names.path_id(path)),
        site: Some(names.site(path.site)),
        ..Fields::default()
    };
    let of = |kind, what: String| Fields {
        kind,
        what: Some(what),
        ..Fields::default()
    };
    let alone = |kind| Fields {
        kind,
        ..Fields::default()
    };
    match event {
        Event::Configured { .. } => alone("configured"),
        Event::Path { path, .. } => of_path("path", *path),
        Event::Dampened { path, .. } => of_path("dampened", *path),
        Event::Uplink { slot, .. } => of("uplink", names.uplink(*slot)),
        Event::Lan { interface, .. } => of("lan", interface.to_string()),
        Event::Moved(decision) => Fields {
            class: Some(names.class(decision.class)),
            ..of_path("moved", decision.to)
        },
        Event::Applied { .. } => alone("applied"),
        Event::ApplyFailed { .. } => alone("apply_failed"),
        Event::Drift { .. } => alone("drift"),
        Event::RoutingDaemon { daemon, .. } => of("routing_daemon", daemon.clone()),
        Event::BgpNeighbor { neighbor, .. } => of("bgp_neighbor", neighbor.clone()),
        Event::PrefixConflict { prefix, owner, .. } => Fields {
            site: Some(names.site(*owner)),
            ..of("prefix_conflict", prefix.to_string())
        },
        Event::PrefixRefused { prefix, site } => Fields {
            site: Some(names.site(*site)),
            ..of("prefix_refused", prefix.to_string())
        },
        Event::Prefixes { site, .. } => Fields {
            site: Some(names.site(*site)),
            ..alone("prefixes")
        },
        Event::Forgotten { prefix, site, .. } => Fields {
            site: site.map(|site| names.site(site)),
            ..of("prefix_forgotten", prefix.to_string())
        },
        Event::ForgottenTogether { site, .. } => Fields {
            site: site.map(|site| names.site(site)),
            ..alone("prefixes_forgotten")
        },
        Event::ReloadRefused { .. } => alone("reload_refused"),
        Event::RoutingRefused { .. } => alone("routing_refused"),
    }
}

#[cfg(test)]
mod tests {
    use patronus_model::event::{Decision, Reason};
    use patronus_model::ids::{ClassId, SiteNumber, Slot};
    use patronus_model::path::PathCause;

    use super::*;
    use crate::log::tests::written;

    fn logged(events: Vec<Event>) -> String {
        written(|| {
            let mut journal = Journal::default();
            events.into_iter().for_each(|event| journal.record(event));
        })
    }

    #[test]
    fn an_event_is_one_line_in_the_words_of_the_api() {
        let path = |local| PathId {
            site: SiteNumber::new(2).unwrap(),
            local: Slot::new(local).unwrap(),
            remote: Slot::new(1).unwrap(),
        };
        let moved = Decision {
            site: path(1).site,
            class: ClassId::new(1).unwrap(),
            from: Some(path(1)),
            to: path(2),
            reason: Reason::PathDown(PathCause::Silent),
            candidates: Vec::new(),
        };
        let text = logged(vec![
            Event::Path {
                path: path(1),
                from: PathState::Up,
                to: PathState::Down,
                cause: PathCause::Silent,
            },
            Event::Moved(moved),
            Event::BgpNeighbor {
                neighbor: "lisbon (10.255.0.2)".to_owned(),
                established: false,
                reason: Some("Hold Timer Expired\nevil".to_owned()),
            },
            Event::RoutingDaemon {
                daemon: "bfdd".to_owned(),
                up: true,
            },
            Event::Forgotten {
                prefix: "10.6.0.0/24".parse().unwrap(),
                site: Some(path(1).site),
                within: None,
            },
        ]);
        expect_test::expect![[r#"
            <4> WARN patronus_daemon::journal: site 2 1 → 1 is down (was up): nothing is heard from the far end kind="path" path=".1~2.1" site="site 2"
            <6> INFO patronus_daemon::journal: class 1 to site 2 moved from 1 → 1 to 2 → 1: nothing is heard from the far end kind="moved" path=".2~2.1" class="class 1" site="site 2"
            <4> WARN patronus_daemon::journal: BGP session with lisbon (10.255.0.2) is down: Hold Timer Expired evil kind="bgp_neighbor" what="lisbon (10.255.0.2)"
            <6> INFO patronus_daemon::journal: bfdd answers kind="routing_daemon" what="bfdd"
            <6> INFO patronus_daemon::journal: 10.6.0.0/24, which site 2 had announced, was forgotten by an operator: packets for it go wherever the main table leads kind="prefix_forgotten" site="site 2" what="10.6.0.0/24"
        "#]].assert_eq(&text);
    }

    #[test]
    fn what_has_happened_keeps_its_names() {
        let file = include_str!("../../../docs/examples/minimal.yaml");
        let named = |uplink: &str| {
            let directory = tempfile::tempdir().unwrap();
            let file = file.replace(
                "name: fibre, interface",
                &format!("name: {uplink}, interface"),
            );
            let places = crate::places::tests::places(directory.path(), &file);
            let loaded = crate::load::load(&places).unwrap_or_else(|e| panic!("{e}"));
            Names::of_config(&loaded.parsed.0)
        };
        let mut journal = Journal::default();
        let slot = Slot::new(1).unwrap();
        written(|| {
            for name in ["fibre", "copper"] {
                journal.rename(named(name));
                journal.record(Event::Uplink { slot, fault: None });
            }
        });
        let told = journal.read(None, 9);
        let told = told.iter().map(|it| it.names.uplink(slot));
        assert_eq!(told.collect::<Vec<_>>(), ["fibre", "copper"]);
    }

    #[test]
    fn the_last_events_are_kept_and_found_by_number() {
        let mut journal = Journal::default();
        written(|| {
            for paths in 0..KEPT + 5 {
                journal.record(Event::Configured {
                    paths,
                    policies: 0,
                    changes: None,
                });
            }
        });
        let numbers = |after, limit| {
            journal
                .read(after, limit)
                .iter()
                .map(|r| r.record.sequence)
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(None, 2), [10_004, 10_005]);
        assert_eq!(numbers(Some(10_003), 1), [10_004]);
        assert_eq!(numbers(Some(0), 1), [6]);
        assert_eq!(numbers(Some(10_005), 9), Vec::<u64>::new());
    }
}
