//! The fast lane: re-pointing nexthop objects without waiting for anything else.

use std::collections::HashMap;

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

    /// Points nexthop objects at interfaces, creating those which are missing. All are tried;
    /// returns what failed.
    ///
    /// # Errors
    /// One for each move that was not made.
    pub fn move_nexthops(&mut self, moves: &[(NexthopId, IfName)]) -> Result<(), Vec<Error>> {
        let mut failed = self.attempt(moves.iter())?;
        // Perhaps the interface was made anew since we looked.
        let stale = |error: &Error| matches!(error.refusal(), Some(libc::EINVAL | libc::ENODEV));
        if failed.iter().any(|(_, error)| stale(error)) {
            self.indices.clear();
            let again: Vec<usize> = failed
                .extract_if(.., |(_, error)| stale(error))
                .map(|(place, _)| place)
                .collect();
            failed.extend(self.attempt(again.into_iter().filter_map(|place| moves.get(place)))?);
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.into_iter().map(|(_, error)| error).collect())
        }
    }

    /// Sends one message for each move. Returns what failed, with its place.
    fn attempt<'a>(
        &mut self,
        moves: impl Iterator<Item = &'a (NexthopId, IfName)>,
    ) -> Result<Vec<(usize, Error)>, Vec<Error>> {
        let mut failed = Vec::new();
        let mut sent = Vec::new();
        for (place, (id, name)) in moves.enumerate() {
            match self.index(name) {
                Ok(index) => {
                    self.messages.push(nexthop::put(self.protocol, id.0, index));
                    sent.push((place, *id, name));
                }
                Err(error) => failed.push((place, error)),
            }
        }
        let refused = self.netlink.batch(&self.messages);
        self.messages.clear();
        for (number, source) in refused.map_err(|error| vec![error])? {
            if let Some((place, id, name)) = sent.get(number) {
                let doing = format!("pointing nexthop {id} at {name}");
                failed.push((*place, Error::Refused { doing, source }));
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
