//! What the driver was told to watch, and how that differs from what it is told next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nix::errno::Errno;
use patronus_engine::bfd::LossWindow;
use patronus_model::ids::{IfName, PathId};

use super::links::LinkId;
use super::{SessionSpec, Stopped};

/// Sessions that cannot exist together, or at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSessions {
    /// Two sessions for one path.
    #[error("path {0} has two BFD sessions")]
    DuplicatePath(PathId),
    /// Two sessions between the same addresses of one interface.
    #[error("two BFD sessions on {interface} are between {local} and {remote}")]
    DuplicatePeer {
        /// The interface.
        interface: IfName,
        /// Our address.
        local: IpAddr,
        /// Theirs.
        remote: IpAddr,
    },
    /// One address is IPv4, the other IPv6.
    #[error("the BFD session of path {path} is from {local} to {remote}")]
    MixedFamilies {
        /// The path.
        path: PathId,
        /// Our address.
        local: IpAddr,
        /// Theirs.
        remote: IpAddr,
    },
    /// There is nobody to take them.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

pub(super) fn validate(sessions: &[SessionSpec]) -> Result<(), InvalidSessions> {
    let (mut paths, mut peers) = (BTreeSet::new(), BTreeSet::new());
    for SessionSpec {
        path,
        interface,
        local,
        remote,
        ..
    } in sessions
    {
        let (path, local, remote) = (*path, *local, *remote);
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(InvalidSessions::MixedFamilies {
                path,
                local,
                remote,
            });
        }
        if !paths.insert(path) {
            return Err(InvalidSessions::DuplicatePath(path));
        }
        if !peers.insert((interface, local, remote)) {
            let interface = interface.clone();
            return Err(InvalidSessions::DuplicatePeer {
                interface,
                local,
                remote,
            });
        }
    }
    Ok(())
}

/// What the driver keeps of a session beside the engine.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) spec: SessionSpec,
    pub(super) link: LinkId,
    pub(super) loss: Option<LossWindow>,
    pub(super) send_error: Option<Errno>,
}

/// What has to be done to the running sessions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// End these.
    pub(super) remove: Vec<PathId>,
    /// Give these other timers.
    pub(super) retime: Vec<SessionSpec>,
    /// Start these, after `remove`.
    pub(super) add: Vec<SessionSpec>,
}

pub(super) fn difference(running: &BTreeMap<PathId, Peer>, wanted: Vec<SessionSpec>) -> Difference {
    let mut difference = Difference::default();
    let paths: BTreeSet<_> = wanted.iter().map(|spec| spec.path).collect();
    difference
        .remove
        .extend(running.keys().filter(|path| !paths.contains(path)));
    for spec in wanted {
        match running.get(&spec.path).map(|peer| &peer.spec) {
            None => difference.add.push(spec),
            Some(old) if *old == spec => {}
            Some(old) if same_ends(old, &spec) => difference.retime.push(spec),
            Some(_) => {
                difference.remove.push(spec.path);
                difference.add.push(spec);
            }
        }
    }
    difference
}

fn same_ends(a: &SessionSpec, b: &SessionSpec) -> bool {
    (&a.interface, a.local, a.remote) == (&b.interface, b.local, b.remote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use patronus_model::bgp::BfdTimers;
    use patronus_model::ids::{SiteNumber, Slot};

    fn spec(site: u16, interface: &str, remote: &str) -> SessionSpec {
        let slot = Slot::new(1).unwrap();
        SessionSpec {
            path: PathId {
                site: SiteNumber::new(site).unwrap(),
                local: slot,
                remote: slot,
            },
            interface: interface.parse().unwrap(),
            local: if remote.contains(':') {
                "fd00::1"
            } else {
                "10.0.0.1"
            }
            .parse()
            .unwrap(),
            remote: remote.parse().unwrap(),
            timers: BfdTimers::default(),
        }
    }

    fn running(specs: &[SessionSpec]) -> BTreeMap<PathId, Peer> {
        let peer = |spec: &SessionSpec| Peer {
            spec: spec.clone(),
            link: 1,
            loss: None,
            send_error: None,
        };
        specs.iter().map(|spec| (spec.path, peer(spec))).collect()
    }

    #[test]
    fn sessions_that_stay_the_same_are_left_alone() {
        let specs = [spec(1, "a", "10.0.0.2"), spec(2, "a", "10.0.0.3")];
        let nothing = difference(&running(&specs), specs.to_vec());
        assert_eq!(nothing, Difference::default());
    }

    #[test]
    fn other_timers_are_a_change_and_other_ends_are_another_session() {
        let specs = [
            spec(1, "a", "10.0.0.2"),
            spec(2, "a", "10.0.0.3"),
            spec(3, "a", "10.0.0.4"),
        ];
        let mut slower = spec(1, "a", "10.0.0.2");
        slower.timers.detect_mult = 5;
        let moved = spec(2, "b", "10.0.0.3");
        let new = spec(4, "a", "fd00::2");
        let wanted = vec![slower.clone(), moved.clone(), new.clone()];
        let expected = Difference {
            remove: vec![specs[2].path, moved.path],
            retime: vec![slower],
            add: vec![moved, new],
        };
        assert_eq!(difference(&running(&specs), wanted), expected);
    }

    #[test]
    fn sessions_that_cannot_be_told_apart_are_refused() {
        let (one, two) = (spec(1, "a", "10.0.0.2"), spec(2, "a", "10.0.0.2"));
        assert!(validate(&[one.clone(), spec(2, "b", "10.0.0.2")]).is_ok());
        let duplicate = validate(&[one.clone(), two]);
        assert!(matches!(
            duplicate,
            Err(InvalidSessions::DuplicatePeer { .. })
        ));
        let duplicate = validate(&[one.clone(), spec(1, "b", "10.0.0.3")]);
        assert!(matches!(duplicate, Err(InvalidSessions::DuplicatePath(_))));
        let mixed = SessionSpec {
            local: "fd00::1".parse().unwrap(),
            ..one
        };
        let mixed = validate(&[mixed]);
        assert!(matches!(mixed, Err(InvalidSessions::MixedFamilies { .. })));
    }
}
