//! The audit log: who did what, in a chain that cannot be changed in the middle without a trace.
//!
//! Each entry has a SHA-256 of itself and of the hash before it. The exact bytes that are hashed:
//!
//! 1. the text `patronus audit 1` and a zero byte;
//! 2. the hash of the entry before, 32 bytes; 32 zeros for the first entry;
//! 3. the sequence number, 8 bytes, big-endian; the first entry has 1, and there is no gap;
//! 4. the time, milliseconds since 1970-01-01 UTC, 8 bytes, big-endian, two's complement;
//! 5. seven texts in this order: what kind the actor is, the actor, the address, the action, the
//!    object, the outcome, the detail. Each is its length in bytes, 8 bytes, big-endian, and then
//!    its UTF-8. What is not there is the empty text.
//!
//! Since every length is told, no two entries have the same bytes.
//!
//! What a chain cannot show by itself is that its end was cut off, or that all of it was written
//! anew by somebody who has the database. Both are found out by whoever has noted a [`Link`]
//! elsewhere: see [`Verifier::finish`].

use std::fmt;
use std::net::IpAddr;

use crate::Millis;
use crate::digest::Digest;

const DOMAIN: &str = "patronus audit 1";

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user, by name.
    User(String),
    /// An API token, by id.
    Token(String),
    /// A router, by its site.
    Router(String),
    /// The controller itself.
    Controller,
    /// Somebody who did not say who, or could not prove it.
    Nobody,
}

impl Actor {
    /// What kind it is, and which.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::User(name) => ("user", name),
            Self::Token(id) => ("token", id),
            Self::Router(site) => ("router", site),
            Self::Controller => ("controller", ""),
            Self::Nobody => ("nobody", ""),
        }
    }

    /// The reverse of [`Actor::parts`].
    #[must_use]
    pub fn from_parts(kind: &str, name: String) -> Option<Self> {
        Some(match kind {
            "user" => Self::User(name),
            "token" => Self::Token(name),
            "router" => Self::Router(name),
            "controller" if name.is_empty() => Self::Controller,
            "nobody" if name.is_empty() => Self::Nobody,
            _ => return None,
        })
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not permitted.
    Refused,
}

impl Outcome {
    /// As it is kept.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// The reverse of [`Outcome::as_str`].
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Done, Self::Refused]
            .into_iter()
            .find(|it| it.as_str() == text)
    }
}

/// Something that is to be remembered. No secret belongs in here, and no name that somebody typed
/// who is not known: people type passwords there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: Actor,
    /// From where.
    pub address: Option<IpAddr>,
    /// What: `user.create`, `intent.commit`, `login`.
    pub action: String,
    /// To what: `user/anna`, `generation/12`.
    pub object: String,
    /// Whether.
    pub outcome: Outcome,
    /// What else there is to say.
    pub detail: String,
}

/// Where a chain has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of an entry; 0 before the first.
    pub sequence: u64,
    /// The hash of it; zeros before the first.
    pub hash: Digest,
}

impl Link {
    /// Before the first entry.
    pub const START: Self = Self {
        sequence: 0,
        hash: Digest::ZERO,
    };
}

/// As `12:0f3a…`, which is what people note elsewhere.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the chain.
    pub link: Link,
    /// What it remembers.
    pub event: Event,
}

impl Entry {
    /// The entry that comes after `before`.
    #[must_use]
    pub fn new(before: &Link, event: Event) -> Self {
        let sequence = before.sequence.saturating_add(1);
        let hash = hash(&before.hash, sequence, &event);
        Self {
            link: Link { sequence, hash },
            event,
        }
    }
}

/// What is hashed is written down at the top of this module.
fn hash(before: &Digest, sequence: u64, event: &Event) -> Digest {
    let (kind, actor) = event.actor.parts();
    let address = event.address.map(|it| it.to_string()).unwrap_or_default();
    let texts = [
        kind,
        actor,
        &address,
        &event.action,
        &event.object,
        event.outcome.as_str(),
        &event.detail,
    ];
    let mut bytes = Vec::new();
    bytes.extend(before.bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(event.at.to_be_bytes());
    for text in texts {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    Digest::of(DOMAIN, &[&bytes])
}

/// The first entry of a log that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry, or its hash, or the one before it was changed.
    #[error("entry {sequence} of the audit log is not the one that was written: its hash is wrong")]
    Altered {
        /// Which one.
        sequence: u64,
    },
    /// There is a gap.
    #[error("entry {sequence} of the audit log is missing: entry {found} is in its place")]
    Missing {
        /// Which one is missing.
        sequence: u64,
        /// What is there instead.
        found: u64,
    },
    /// An entry comes later than it should, or twice.
    #[error("entry {found} of the audit log is out of order: it comes after entry {after}")]
    OutOfOrder {
        /// Which one.
        found: u64,
        /// What it comes after.
        after: u64,
    },
    /// The end is missing.
    #[error("the audit log ends at entry {last}, but it once had {sequence}: its end was cut off")]
    CutOff {
        /// The last one that there is.
        last: u64,
        /// One that is known to have been.
        sequence: u64,
    },
    /// The whole log was written anew.
    #[error(
        "entry {sequence} of the audit log is not the one that was noted: the log was written anew \
         from there or before"
    )]
    Rewritten {
        /// Which one was noted.
        sequence: u64,
    },
}

/// Goes over a log, entry by entry.
#[derive(Clone, Debug)]
pub struct Verifier {
    at: Link,
    noted: Option<Link>,
}

impl Verifier {
    /// From the beginning, or from after an entry that is known to be good. `noted` is an entry that
    /// somebody has written down elsewhere.
    #[must_use]
    pub const fn new(after: Link, noted: Option<Link>) -> Self {
        Self { at: after, noted }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// It is not the one that belongs here. Nothing after it can be trusted.
    pub fn check(&mut self, entry: &Entry) -> Result<(), Broken> {
        let found = entry.link.sequence;
        self.in_order(found)?;
        if hash(&self.at.hash, found, &entry.event) != entry.link.hash {
            return Err(Broken::Altered { sequence: found });
        }
        if self
            .noted
            .is_some_and(|it| it.sequence == found && it.hash != entry.link.hash)
        {
            return Err(Broken::Rewritten { sequence: found });
        }
        self.at = entry.link;
        Ok(())
    }

    fn in_order(&self, found: u64) -> Result<(), Broken> {
        let after = self.at.sequence;
        let sequence = after.saturating_add(1);
        if found > sequence {
            return Err(Broken::Missing { sequence, found });
        }
        if found < sequence {
            return Err(Broken::OutOfOrder { found, after });
        }
        Ok(())
    }

    /// What is wrong with an entry that has this number and cannot even be read.
    #[must_use]
    pub fn unreadable(&self, found: u64) -> Broken {
        self.in_order(found)
            .err()
            .unwrap_or(Broken::Altered { sequence: found })
    }

    /// There are no more. Says where the log ends, which somebody may note elsewhere.
    ///
    /// # Errors
    /// An entry that was noted is not there.
    pub fn finish(self) -> Result<Link, Broken> {
        let last = self.at.sequence;
        match self.noted.filter(|noted| noted.sequence > last) {
            Some(Link { sequence, .. }) => Err(Broken::CutOff { last, sequence }),
            None => Ok(self.at),
        }
    }
}
