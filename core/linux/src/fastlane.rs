//! The fast lane: re-pointing nexthop objects without waiting for anything else.

use std::collections::{BTreeSet, HashMap};

use patronus_model::ids::IfName;
use patronus_model::layout::{KernelLayout, NexthopId};

use crate::error::{Doing, Error};
use crate::netlink::codec::Message;
use crate::netlink::{Netlink, nexthop};

/// A socket of its own, and the numbers of the interfaces that it has used.
///
/// Every route of a class to a site uses one nexthop object, so one message moves all of them:
/// some 5 µs for 10,000 routes when `net.ipv4.nexthop_compat_mode` is 0, and a thousand times as
/// much when it is 1.
pub struct FastLane {
    netlink: Netlink,
    protocol: u8,
    indices: HashMap<IfName, u32>,
    messages: Vec<Message>,
}

/// Nexthops that could not be moved: where they lead is unknown.
#[derive(Debug, Default)]
pub struct NotMoved {
    /// Which.
    pub ids: Vec<NexthopId>,
    /// Why; one for each, or one for all.
    pub errors: Vec<Error>,
}

impl FastLane {
    /// Opens the socket, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn open(layout: &KernelLayout) -> Result<Self, Error> {
        Ok(Self {
            netlink: Netlink::open()?,
            protocol: layout.protocol,
            indices: HashMap::new(),
            messages: Vec::new(),
        })
    }

    /// What names this lane in kernel notifications: tell the [`Follower`](crate::Follower), so
    /// that a move does not look like somebody else's doing.
    #[must_use]
    pub const fn port(&self) -> u32 {
        self.netlink.port()
    }

    /// Looks up interfaces beforehand, so that the first move does not have to.
    pub fn prepare<'a>(&mut self, interfaces: impl IntoIterator<Item = &'a IfName>) {
        for name in interfaces {
            let _ = self.index(name);
        }
    }

    /// Points nexthop objects at interfaces, creating those which are missing. All are tried.
    ///
    /// # Errors
    /// Those which were not moved.
    pub fn move_nexthops(&mut self, moves: &[(NexthopId, IfName)]) -> Result<(), NotMoved> {
        let failed = self.attempt_twice(moves).map_err(|error| NotMoved {
            ids: moves.iter().map(|(id, _)| *id).collect(),
            errors: vec![error],
        })?;
        if failed.is_empty() {
            return Ok(());
        }
        let mut not_moved = NotMoved::default();
        for (id, error) in failed {
            not_moved.ids.push(id);
            not_moved.errors.push(error);
        }
        Err(not_moved)
    }

    fn attempt_twice(
        &mut self,
        moves: &[(NexthopId, IfName)],
    ) -> Result<Vec<(NexthopId, Error)>, Error> {
        let mut failed = self.attempt(moves)?;
        // Perhaps the interface was made anew since we looked.
        let stale = |error: &Error| matches!(error.refusal(), Some(libc::EINVAL | libc::ENODEV));
        if failed.iter().any(|(_, error)| stale(error)) {
            self.indices.clear();
            let again: BTreeSet<NexthopId> = failed
                .extract_if(.., |(_, error)| stale(error))
                .map(|(id, _)| id)
                .collect();
            failed.extend(self.attempt(moves.iter().filter(|(id, _)| again.contains(id)))?);
        }
        Ok(failed)
    }

    /// Sends one message for each move. Returns what failed.
    fn attempt<'a>(
        &mut self,
        moves: impl IntoIterator<Item = &'a (NexthopId, IfName)>,
    ) -> Result<Vec<(NexthopId, Error)>, Error> {
        let mut failed = Vec::new();
        let mut sent = Vec::new();
        for (id, name) in moves {
            match self.index(name) {
                Ok(index) => {
                    self.messages.push(nexthop::put(self.protocol, id.0, index));
                    sent.push((*id, name));
                }
                Err(error) => failed.push((*id, error)),
            }
        }
        let refused = self.netlink.batch(&self.messages);
        self.messages.clear();
        for (number, source) in refused? {
            if let Some((id, name)) = sent.get(number) {
                let doing = format!("pointing nexthop {id} at {name}");
                failed.push((*id, Error::Refused { doing, source }));
            }
        }
        Ok(failed)
    }

    fn index(&mut self, name: &IfName) -> Result<u32, Error> {
        if let Some(index) = self.indices.get(name) {
            return Ok(*index);
        }
        let index = nix::net::if_::if_nametoindex(name.as_str())
            .doing(|| format!("looking for interface {name}"))?;
        self.indices.insert(name.clone(), index);
        Ok(index)
    }
}
