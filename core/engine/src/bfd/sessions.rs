//! Many sessions: which one a packet is for, and which timer is due next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use patronus_model::Timestamp;
use patronus_model::bgp::BfdTimers;

use super::packet::{Discriminator, Packet};
use super::report::Event;
use super::rng::Rng;
use super::session::{Session, SessionConfig};

/// Where a packet came from, and thereby what a session that knows no discriminator yet is
/// found by (RFC 5881 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The shell's number for the interface. Its choice, but for as long as a session lives the
    /// same: an `ifindex` is not, when the interface comes and goes.
    pub interface: u32,
    /// The source address.
    pub remote: IpAddr,
}

/// Why a packet is for none of the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unroutable {
    /// It names a session that does not exist: the peer may not have noticed our restart yet.
    #[error("no session has the discriminator {0}")]
    UnknownDiscriminator(Discriminator),
    /// It names none, and there is none with this peer.
    #[error("no session with {remote} on interface {interface}", remote = .0.remote, interface = .0.interface)]
    UnknownPeer(Origin),
    /// It names a session with somebody else. RFC 5880 would take it; but the interface and the
    /// address are what a tunnel has authenticated, and without this check one site could keep
    /// alive a path to another that is dead.
    #[error("session {0} is not with this peer")]
    ForeignOrigin(Discriminator),
}

/// There is a session with this key or this origin already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session with the same key, or the same interface and remote address, exists")]
pub struct Taken;

#[derive(Debug)]
struct Slot<K> {
    key: K,
    origin: Origin,
    session: Session,
    /// The session's entry in the queue; older entries for it do not count.
    queued: Option<Timestamp>,
}

/// A set of sessions, each known to the shell by a key of its choice.
///
/// Used like a [`Session`]. The timers are a binary heap whose entries are allowed to be early:
/// a packet that puts a deadline off, which is what nearly every packet does, costs nothing until
/// the old deadline comes.
#[derive(Debug)]
pub struct Sessions<K> {
    slots: Vec<Option<Slot<K>>>,
    free: Vec<usize>,
    keys: BTreeMap<K, usize>,
    discriminators: BTreeMap<Discriminator, usize>,
    origins: BTreeMap<Origin, usize>,
    queue: BinaryHeap<Reverse<(Timestamp, usize)>>,
    rng: Rng,
    transmits: VecDeque<(K, Packet)>,
    events: VecDeque<(K, Event)>,
}

impl<K: Copy + Ord> Sessions<K> {
    /// No sessions. `seed` should not be guessable from outside: discriminators come from it.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            keys: BTreeMap::new(),
            discriminators: BTreeMap::new(),
            origins: BTreeMap::new(),
            queue: BinaryHeap::new(),
            rng: Rng::new(seed),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Starts a session; its discriminator is drawn here.
    ///
    /// # Errors
    /// [`Taken`]; nothing has changed then.
    pub fn insert(
        &mut self,
        now: Timestamp,
        key: K,
        origin: Origin,
        timers: BfdTimers,
        rtt_interval: Option<Duration>,
    ) -> Result<Discriminator, Taken> {
        if self.keys.contains_key(&key) || self.origins.contains_key(&origin) {
            return Err(Taken);
        }
        let local_discriminator = self.draw_discriminator();
        let config = SessionConfig {
            local_discriminator,
            timers,
            rtt_interval,
        };
        let session = Session::new(config, now, self.rng.next());
        let slot = Slot {
            key,
            origin,
            session,
            queued: None,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.keys.insert(key, index);
        self.discriminators.insert(local_discriminator, index);
        self.origins.insert(origin, index);
        if let Some(place) = self.slots.get_mut(index) {
            *place = Some(slot);
        }
        // In order with what an earlier session with this key has told and nobody has taken yet.
        self.events.push_back((key, Event::Made));
        self.settle(index);
        Ok(local_discriminator)
    }

    /// Ends a session without a word to the peer.
    pub fn remove(&mut self, key: K) -> Option<Session> {
        let index = self.keys.remove(&key)?;
        let slot = self.slots.get_mut(index)?.take()?;
        self.discriminators
            .remove(&slot.session.local_discriminator());
        self.origins.remove(&slot.origin);
        self.free.push(index);
        Some(slot.session)
    }

    /// One session.
    #[must_use]
    pub fn get(&self, key: K) -> Option<&Session> {
        let slot = self.slots.get(*self.keys.get(&key)?)?.as_ref()?;
        Some(&slot.session)
    }

    /// Does something to one session, for example [`Session::set_timers`]; `None` when there is
    /// no such session.
    pub fn with<T>(&mut self, key: K, change: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let index = *self.keys.get(&key)?;
        let slot = self.slots.get_mut(index)?.as_mut()?;
        let answer = change(&mut slot.session);
        self.settle(index);
        Some(answer)
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.keys.keys().copied()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Hands a packet to the session that it is for, and says which one that was
    /// (RFC 5880 section 6.3).
    ///
    /// # Errors
    /// [`Unroutable`]: it is for none of them, and was dropped.
    pub fn handle_packet(
        &mut self,
        now: Timestamp,
        origin: Origin,
        packet: &Packet,
    ) -> Result<K, Unroutable> {
        let index = match packet.your_discriminator {
            Some(yours) => *self
                .discriminators
                .get(&yours)
                .ok_or(Unroutable::UnknownDiscriminator(yours))?,
            None => *self
                .origins
                .get(&origin)
                .ok_or(Unroutable::UnknownPeer(origin))?,
        };
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return Err(Unroutable::UnknownPeer(origin));
        };
        if slot.origin != origin {
            return Err(Unroutable::ForeignOrigin(
                slot.session.local_discriminator(),
            ));
        }
        let key = slot.key;
        slot.session.handle_packet(now, packet);
        self.settle(index);
        Ok(key)
    }

    /// Does everything that is due at `now`.
    ///
    /// Everything that had arrived by `now` must have been handed in before; otherwise a shell
    /// that was not scheduled in time takes its own delay for the peer's silence.
    pub fn handle_timeouts(&mut self, now: Timestamp) {
        while let Some(&Reverse((due, index))) = self.queue.peek() {
            if due > now {
                break;
            }
            self.queue.pop();
            if let Some(slot) = self.queued_at(index, due) {
                slot.queued = None;
                slot.session.handle_timeout(now);
                self.settle(index);
            }
        }
    }

    /// When [`Self::handle_timeouts`] must be called next.
    pub fn poll_timeout(&mut self) -> Option<Timestamp> {
        while let Some(&Reverse((due, index))) = self.queue.peek() {
            if let Some(slot) = self.queued_at(index, due) {
                if slot.session.poll_timeout() == Some(due) {
                    return Some(due);
                }
                slot.queued = None;
            }
            self.queue.pop();
            self.enqueue(index);
        }
        None
    }

    /// The next packet to be sent, and the session that sends it.
    pub fn poll_transmit(&mut self) -> Option<(K, Packet)> {
        self.transmits.pop_front()
    }

    /// The next thing that happened, and the session it happened to.
    pub fn poll_event(&mut self) -> Option<(K, Event)> {
        self.events.pop_front()
    }

    fn draw_discriminator(&mut self) -> Discriminator {
        loop {
            let high = u32::try_from(self.rng.next() >> 32).unwrap_or_default();
            if let Ok(drawn) = Discriminator::try_from(high)
                && !self.discriminators.contains_key(&drawn)
            {
                return drawn;
            }
        }
    }

    fn queued_at(&mut self, index: usize, due: Timestamp) -> Option<&mut Slot<K>> {
        self.slots
            .get_mut(index)?
            .as_mut()
            .filter(|slot| slot.queued == Some(due))
    }

    /// After anything was done to a session: collects what it puts out, and queues its timer.
    fn settle(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let key = slot.key;
        while let Some(packet) = slot.session.poll_transmit() {
            self.transmits.push_back((key, packet));
        }
        while let Some(event) = slot.session.poll_event() {
            self.events.push_back((key, event));
        }
        self.enqueue(index);
    }

    fn enqueue(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let Some(wanted) = slot.session.poll_timeout() else {
            return;
        };
        if slot.queued.is_none_or(|queued| wanted < queued) {
            slot.queued = Some(wanted);
            self.queue.push(Reverse((wanted, index)));
        }
    }
}
