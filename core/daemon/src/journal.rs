//! The events of the recent past, in memory and in the log.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use patronus_model::event::Event;
use patronus_model::view::EventRecord;
use tracing::{info, warn};

/// Events that are kept: some days of a quiet router, some minutes of a very bad day.
const KEPT: usize = 10_000;

/// The journal.
#[derive(Debug, Default)]
pub struct Journal {
    records: VecDeque<EventRecord>,
    sequence: u64,
}

impl Journal {
    /// Takes an event down.
    pub fn record(&mut self, event: Event) {
        log(&event);
        self.sequence += 1;
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let unix_millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(EventRecord {
            sequence: self.sequence,
            unix_millis,
            event,
        });
    }

    /// Up to `limit` events in their order: those after number `after`, or without that the last.
    #[must_use]
    pub fn read(&self, after: Option<u64>, limit: usize) -> Vec<EventRecord> {
        match after {
            Some(after) => self
                .records
                .iter()
                .filter(|r| r.sequence > after)
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
    pub fn newest(&self, wanted: impl Fn(&EventRecord) -> bool) -> Option<EventRecord> {
        self.records
            .iter()
            .rev()
            .find(|record| wanted(record))
            .cloned()
    }
}

fn log(event: &Event) {
    match event {
        Event::ApplyFailed { reason, retry_in } => {
            warn!(
                reason,
                ?retry_in,
                "the kernel could not be brought to what it should be"
            );
        }
        Event::Drift { changes } => warn!(changes, "put back what somebody else had changed"),
        Event::RoutingDaemon { daemon, up: false } => warn!(daemon, "routing daemon lost"),
        Event::PrefixConflict {
            prefix,
            owner,
            loser,
        } => warn!(
            %prefix, %owner, %loser,
            "two sites announce the same prefix; declare one of them a hub, or correct it"
        ),
        Event::Path {
            path,
            from,
            to,
            cause,
        } => info!(%path, %from, %to, %cause, "path"),
        Event::Moved(decision) => info!(
            site = %decision.site, class = %decision.class, to = %decision.to,
            from = decision.from.map(tracing::field::display), reason = ?decision.reason, "moved"
        ),
        Event::Uplink { slot, usable } => info!(%slot, usable, "uplink"),
        Event::Configured { .. }
        | Event::Dampened { .. }
        | Event::Applied { .. }
        | Event::RoutingDaemon { .. }
        | Event::BgpNeighbor { .. } => info!(?event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_kept_and_found_by_number() {
        let mut journal = Journal::default();
        for changes in 0..KEPT + 5 {
            journal.record(Event::Drift { changes });
        }
        let numbers = |after, limit| {
            journal
                .read(after, limit)
                .iter()
                .map(|r| r.sequence)
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(None, 2), [10_004, 10_005]);
        assert_eq!(numbers(Some(10_003), 1), [10_004]);
        assert_eq!(numbers(Some(0), 1), [6]);
        assert_eq!(numbers(Some(10_005), 9), Vec::<u64>::new());
    }
}
