//! How often somebody may try to log in.
//!
//! Each attempt takes from three budgets: that of the account *from this network*, that of the
//! network, and that of the account from wherever. A network is an IPv4 address or an IPv6 /64. A
//! login that succeeds gets its attempt back.
//!
//! Limits of an account are a weapon: who knows a name could keep its owner out. So the budget of an
//! account from one network is smaller than that from everywhere, and a single network cannot use up
//! what others need. From a network where the owner has logged in lately ([`Limiter::succeeded`]) only
//! the first budget counts, which nobody elsewhere can touch. And nothing is ever locked: a budget
//! fills up again all the time.
//!
//! A budget is a generic cell rate algorithm (ITU-T I.371): one time for each key, which is when the
//! budget would be full again. A key whose time has come needs no entry, and where there are more than
//! [`MOST_KEYS`], the one that is next to be full goes: whoever wants to get rid of an entry of
//! his own has to make so many others that owe more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::Millis;
use crate::digest::Digest;

const SECOND: Millis = 1000;

/// How many keys each budget remembers; 10,000 take less than 2 MB.
pub const MOST_KEYS: usize = 10_000;

/// An account from one network: five at once, then two a minute.
pub const HERE: Rate = Rate {
    burst: 5,
    every: 30 * SECOND,
};

/// A network, whichever accounts: an office behind one address logs in on Monday morning.
pub const NETWORK: Rate = Rate {
    burst: 30,
    every: 6 * SECOND,
};

/// An account from anywhere: at most 14,400 guesses a day at a password of 15 characters, and more
/// than five networks at once to use it up.
pub const ANYWHERE: Rate = Rate {
    burst: 30,
    every: 6 * SECOND,
};

/// How long a network stays known where somebody has logged in: as long as a session may last.
pub const KNOWN_FOR: Millis = crate::SESSION_LONGEST;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So often at once.
    pub burst: u32,
    /// And once more each time that this has passed.
    pub every: Millis,
}

/// It is too early for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts to log in: try again in {} s", .wait.div_euclid(1000) + 1)]
pub struct TooEarly {
    /// How long to wait, milliseconds.
    pub wait: Millis,
}

/// An attempt that may be made.
#[derive(Debug)]
#[must_use = "an attempt that succeeds is given back"]
pub struct Attempt {
    here: (Account, Network),
    known: bool,
}

/// What a name is hashed to, so that long names take no more memory than short ones.
type Account = [u8; 16];

/// An IPv4 address, or the first half of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Network {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            // Whoever has one address of a /64 has them all (RFC 7421).
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Says who may try to log in, and when.
#[derive(Debug)]
pub struct Limiter {
    here: Budget<(Account, Network)>,
    network: Budget<Network>,
    anywhere: Budget<Account>,
    /// Until when each is known.
    known: Times<(Account, Network)>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new(MOST_KEYS)
    }
}

impl Limiter {
    /// One that remembers so many keys for each budget.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            here: Budget::new(HERE, most),
            network: Budget::new(NETWORK, most),
            anywhere: Budget::new(ANYWHERE, most),
            known: Times::new(most),
        }
    }

    /// Asks before a password is looked at, whether there is such a user or not. The attempt counts
    /// at once, so that many at the same time are many.
    ///
    /// # Errors
    /// Not now. Nothing was taken.
    pub fn attempt(&mut self, name: &str, from: IpAddr, now: Millis) -> Result<Attempt, TooEarly> {
        let (account, network) = (account(name), Network::from(from));
        let here = (account, network);
        let known = self.known.get(&here).is_some_and(|until| now < until);
        let mut wait = self.here.wait(&here, now);
        if !known {
            wait = wait.max(self.network.wait(&network, now));
            wait = wait.max(self.anywhere.wait(&account, now));
        }
        if wait > 0 {
            return Err(TooEarly { wait });
        }
        self.here.take(here, now);
        if !known {
            self.network.take(network, now);
            self.anywhere.take(account, now);
        }
        Ok(Attempt { here, known })
    }

    /// The password was right.
    pub fn succeeded(&mut self, attempt: Attempt, now: Millis) {
        let Attempt { here, known } = attempt;
        self.here.give_back(here, now);
        if !known {
            self.network.give_back(here.1, now);
            self.anywhere.give_back(here.0, now);
        }
        self.known.put(here, now.saturating_add(KNOWN_FOR), now);
    }

    /// How many entries there are in all.
    #[must_use]
    pub fn entries(&self) -> usize {
        let Self {
            here,
            network,
            anywhere,
            known,
        } = self;
        here.full_at.len() + network.full_at.len() + anywhere.full_at.len() + known.len()
    }
}

fn account(name: &str) -> Account {
    let digest = Digest::of("patronus login", &[name.as_bytes()]);
    let mut account = [0; 16];
    for (to, from) in account.iter_mut().zip(digest.bytes()) {
        *to = *from;
    }
    account
}

#[derive(Debug)]
struct Budget<K> {
    rate: Rate,
    full_at: Times<K>,
}

impl<K: Ord + Copy> Budget<K> {
    const fn new(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            full_at: Times::new(most),
        }
    }

    fn most_owed(&self) -> Millis {
        self.rate.every.saturating_mul(self.rate.burst.into())
    }

    /// When it is full again. If the clock went back, nobody waits for that: it is never emptier
    /// than empty.
    fn full_at(&self, key: &K, now: Millis) -> Millis {
        let at = self.full_at.get(key).unwrap_or(now);
        at.clamp(now, now.saturating_add(self.most_owed()))
    }

    /// How long until something can be taken.
    fn wait(&self, key: &K, now: Millis) -> Millis {
        let after = self.full_at(key, now).saturating_add(self.rate.every);
        after
            .saturating_sub(now.saturating_add(self.most_owed()))
            .max(0)
    }

    fn take(&mut self, key: K, now: Millis) {
        let after = self.full_at(&key, now).saturating_add(self.rate.every);
        self.full_at.put(key, after, now);
    }

    fn give_back(&mut self, key: K, now: Millis) {
        let after = self.full_at(&key, now).saturating_sub(self.rate.every);
        self.full_at.put(key, after, now);
    }
}

/// A time for each of some keys; those whose time has come are forgotten.
#[derive(Debug)]
struct Times<K> {
    most: usize,
    of: BTreeMap<K, Millis>,
    in_order: BTreeSet<(Millis, K)>,
}

impl<K: Ord + Copy> Times<K> {
    const fn new(most: usize) -> Self {
        Self {
            most,
            of: BTreeMap::new(),
            in_order: BTreeSet::new(),
        }
    }

    fn get(&self, key: &K) -> Option<Millis> {
        self.of.get(key).copied()
    }

    fn put(&mut self, key: K, at: Millis, now: Millis) {
        if let Some(old) = self.of.insert(key, at) {
            self.in_order.remove(&(old, key));
        }
        self.in_order.insert((at, key));
        while let Some(&(first, key)) = self.in_order.first() {
            if first > now && self.of.len() <= self.most {
                break;
            }
            self.in_order.remove(&(first, key));
            self.of.remove(&key);
        }
    }
}

impl<K> Times<K> {
    fn len(&self) -> usize {
        self.of.len()
    }
}
