//! Where what is known of FRR is published: the state for all, the news for one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use crate::daemon::Daemon;
use crate::link::LinkEvent;
use crate::state::SessionState;
use crate::status::{DaemonStatus, FrrEvent, FrrStatus, NeighborStatus};

/// Where news go.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) status: Arc<watch::Sender<FrrStatus>>,
    pub(crate) events: mpsc::Sender<FrrEvent>,
}

impl Board {
    pub(crate) fn daemon(&self, event: &LinkEvent) {
        let since = Instant::now();
        let (daemon, version, news) = match event.clone() {
            LinkEvent::Late(daemon, since) => return self.late(daemon, Some(since)),
            LinkEvent::InTime(daemon) => return self.late(daemon, None),
            LinkEvent::Up(daemon, version) => (
                daemon,
                Some(version.clone()),
                FrrEvent::DaemonBack { daemon, version },
            ),
            LinkEvent::Down(daemon, reason) => {
                (daemon, None, FrrEvent::DaemonLost { daemon, reason })
            }
        };
        self.status.send_modify(|status| {
            let before = status.daemons.get(&daemon);
            // One that was given up because it hangs has been silent for longer.
            let silent = before.and_then(|it| it.late);
            let since = silent.filter(|_| version.is_none()).unwrap_or(since);
            let late = None;
            let now = DaemonStatus {
                version,
                since,
                late,
            };
            status.daemons.insert(daemon, now);
        });
        self.tell(news);
    }

    /// Publishes since when a daemon owes an answer; `None`: it has given it.
    fn late(&self, daemon: Daemon, since: Option<Instant>) {
        self.status.send_modify(|status| {
            if let Some(known) = status.daemons.get_mut(&daemon) {
                known.late = since;
            }
        });
    }

    /// Publishes which daemons should be there: those are shown also while they are not, the others
    /// only while they are.
    pub(crate) fn expect(&self, wanted: &[Daemon]) {
        self.status.send_modify(|status| {
            let unwanted =
                |daemon: &Daemon, it: &mut DaemonStatus| it.is_up() || wanted.contains(daemon);
            status.daemons.retain(unwanted);
            for daemon in wanted {
                let down = DaemonStatus {
                    version: None,
                    since: Instant::now(),
                    late: None,
                };
                status.daemons.entry(*daemon).or_insert(down);
            }
        });
    }

    /// Publishes neighbours and says which of them came or went.
    pub(crate) fn neighbors(&self, now: BTreeMap<IpAddr, NeighborStatus>) {
        let before = self.status.borrow().neighbors.clone();
        if before != now {
            self.status
                .send_modify(|status| status.neighbors.clone_from(&now));
        }
        let up = |neighbor: Option<&NeighborStatus>| {
            neighbor
                .filter(|it| it.state == SessionState::Established)
                .map(|it| it.established)
        };
        let all: std::collections::BTreeSet<IpAddr> =
            before.keys().chain(now.keys()).copied().collect();
        for who in all {
            match (up(before.get(&who)), up(now.get(&who))) {
                (None, Some(_)) => self.tell(FrrEvent::NeighborUp(who)),
                (Some(_), None) => self.tell(FrrEvent::NeighborDown {
                    address: who,
                    reason: now.get(&who).and_then(|it| it.last_error.clone()),
                }),
                (Some(old), Some(new)) if old != new => {
                    // Down and up again between two looks.
                    self.tell(FrrEvent::NeighborDown {
                        address: who,
                        reason: None,
                    });
                    self.tell(FrrEvent::NeighborUp(who));
                }
                _ => {}
            }
        }
    }

    pub(crate) fn tell(&self, event: FrrEvent) {
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!(%error, "nobody takes the events of FRR");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_daemon_that_is_given_up_has_been_silent_since_it_owed_an_answer() {
        let (events, _told) = mpsc::channel(8);
        let board = Board {
            status: Arc::new(watch::Sender::default()),
            events,
        };
        let since = || board.status.borrow().daemons[&Daemon::Bgpd].since;
        let asked = Instant::now().checked_sub(Duration::from_secs(25)).unwrap();
        let version = crate::state::Version::parse("FRRouting 8.4.4 (r1).").unwrap();
        board.daemon(&LinkEvent::Up(Daemon::Bgpd, version.clone()));
        board.daemon(&LinkEvent::Late(Daemon::Bgpd, asked));
        board.daemon(&LinkEvent::Down(Daemon::Bgpd, "no answer".to_owned()));
        assert_eq!(since(), asked);
        board.daemon(&LinkEvent::Up(Daemon::Bgpd, version));
        assert!(since() > asked);
    }
}
