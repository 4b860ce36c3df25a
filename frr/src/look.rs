//! What the supervisor sees when it looks at the neighbours.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::state::SessionState;
use crate::status::NeighborStatus;
use crate::supervise::{FrrQuery, QueryError};

/// Neighbours that are asked about in detail at each look: some 4 kB of text for each, and a
/// thousand of them may be down at once.
const IN_DETAIL: usize = 16;

/// Neighbours by address.
type Neighbors = BTreeMap<IpAddr, NeighborStatus>;

/// Looks at the neighbours, again and again.
///
/// Why a session ended is only asked while it is down: once it is back, FRR 8.4 names the making of
/// the new connection instead.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// The neighbour that was asked about last.
    last: Option<IpAddr>,
}

impl Look {
    /// How all neighbours are doing. `before` is what the last look gave.
    pub(crate) async fn at(
        &mut self,
        query: &FrrQuery,
        before: &Neighbors,
    ) -> Result<Neighbors, QueryError> {
        let mut now: Neighbors = query
            .summary()
            .await?
            .peers()
            .map(|(who, peer)| (who, peer.into()))
            .collect();
        for (who, neighbor) in &mut now {
            let before = before.get(who);
            neighbor.last_error = before
                .and_then(|old| old.last_error.clone())
                .filter(|_| !is_up_for_the_first_time(neighbor));
        }
        for who in self.next(&now) {
            let details = query.neighbor(who).await?;
            let reason = details.0.get(&who).and_then(|detail| detail.why_down());
            if let (Some(neighbor), Some(reason)) = (now.get_mut(&who), reason) {
                let known = neighbor.last_error.take();
                neighbor.last_error = Some(more_telling(known, reason));
            }
        }
        Ok(now)
    }

    /// Those that are to be asked about, in turn.
    fn next(&mut self, now: &Neighbors) -> Vec<IpAddr> {
        let down = |(who, neighbor): (&IpAddr, &NeighborStatus)| {
            (neighbor.state != SessionState::Established).then_some(*who)
        };
        let down: Vec<IpAddr> = now.iter().filter_map(down).collect();
        let begin = down.partition_point(|who| self.last.is_some_and(|last| *who <= last));
        let (first, then) = down.split_at(begin);
        let chosen: Vec<IpAddr> = then.iter().chain(first).take(IN_DETAIL).copied().collect();
        self.last = chosen.last().copied();
        chosen
    }
}

/// What was said of it until now was not why it ended, but why it had not begun.
fn is_up_for_the_first_time(neighbor: &NeighborStatus) -> bool {
    neighbor.state == SessionState::Established && neighbor.established <= 1
}

/// While a session is down, FRR soon only says what it is waiting for (fixed in 2025).
fn more_telling(known: Option<String>, now: String) -> String {
    let waiting = |reason: &str| {
        reason.starts_with("Waiting for ") || reason == "No AFI/SAFI activated for peer"
    };
    match known {
        Some(known) if waiting(&now) && !waiting(&known) => known,
        Some(_) | None => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_a_reason_only_while_there_is_no_other() {
        let check = |known: Option<&str>, now: &str, expected: &str| {
            let known = known.map(str::to_owned);
            assert_eq!(more_telling(known, now.to_owned()), expected);
        };
        let (waiting, down) = ("Waiting for peer OPEN", "BFD down received");
        check(None, waiting, waiting);
        check(Some(waiting), down, down);
        check(Some(down), waiting, down);
        check(Some(down), "No AFI/SAFI activated for peer", down);
        check(Some(down), "Admin. shutdown", "Admin. shutdown");
    }

    #[test]
    fn those_that_are_down_are_asked_about_in_turn() {
        let neighbor = |n: u8, state| {
            let status = NeighborStatus {
                remote_asn: 65_001,
                state,
                changed: None,
                received: 0,
                sent: 0,
                established: 0,
                last_error: None,
            };
            (IpAddr::from([10, 255, 0, n]), status)
        };
        let mut all: Neighbors = (1..=20)
            .map(|n| neighbor(n, SessionState::Other("Active".to_owned())))
            .collect();
        all.extend([neighbor(3, SessionState::Established)]);
        let last = |chosen: Vec<IpAddr>| -> Vec<String> {
            let texts = chosen.iter().map(ToString::to_string);
            texts
                .map(|text| text.rsplit('.').next().unwrap_or_default().to_owned())
                .collect()
        };
        let mut look = Look::default();
        let first = last(look.next(&all));
        assert_eq!((first.len(), first[0].as_str()), (16, "1"));
        assert!(!first.contains(&"3".to_owned()), "it is up");
        let second = last(look.next(&all));
        assert_eq!(second[..4], ["18", "19", "20", "1"]);
        assert!(Look::default().next(&Neighbors::new()).is_empty());
    }
}
