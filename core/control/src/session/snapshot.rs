//! Configurations as pieces (ADR 0023), and what changes from one to the next.

use std::fmt;
use std::sync::Arc;

use patronus_model::ids::{PolicyName, SiteId};

use super::edition::{Digest, Edition, Version};

/// A piece of a configuration has at most this many bytes. What a router is told of itself is the
/// largest; with 64 networks and 200 neighbours it has 40 kB.
pub const MOST_PIECE_BYTES: usize = 128 * 1024;

/// A configuration has at most this many pieces: one for each of 65,534 sites would be 20 MB, and
/// routers are not made for a tenth of that.
pub const MOST_PIECES: usize = 16_384;

/// A configuration has at most this many bytes.
pub const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Which piece.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PieceId {
    /// What the router is told of itself.
    Own,
    /// What it is told of another site.
    Site(SiteId),
    /// A policy.
    Policy(PolicyName),
}

impl fmt::Display for PieceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("the router's own part"),
            Self::Site(site) => write!(f, "site {site}"),
            Self::Policy(policy) => write!(f, "policy {policy}"),
        }
    }
}

/// A piece of a configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    id: PieceId,
    text: Box<str>,
    digest: Digest,
}

/// What is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWhole {
    /// A piece is too large.
    #[error("{id} has {bytes} bytes, and a piece has {MOST_PIECE_BYTES} at most")]
    LargePiece {
        /// Which piece.
        id: PieceId,
        /// How many it has.
        bytes: usize,
    },
    /// There are too many.
    #[error("the configuration has {0} pieces, and {MOST_PIECES} are the most")]
    ManyPieces(usize),
    /// They are too much.
    #[error("the configuration has {0} bytes, and {MOST_BYTES} are the most")]
    Large(usize),
    /// A piece is there twice.
    #[error("{0} is there twice")]
    Twice(PieceId),
    /// What the router is told of itself is missing.
    #[error("{} is missing", PieceId::Own)]
    NoOwn,
}

impl Piece {
    /// Takes a text over.
    ///
    /// # Errors
    /// [`NotWhole::LargePiece`].
    pub fn new(id: PieceId, text: impl Into<Box<str>>) -> Result<Self, NotWhole> {
        let text = text.into();
        if text.len() > MOST_PIECE_BYTES {
            let bytes = text.len();
            return Err(NotWhole::LargePiece { id, bytes });
        }
        let (kind, name): (&[u8], &str) = match &id {
            PieceId::Own => (b"own", ""),
            PieceId::Site(site) => (b"site", site.as_str()),
            PieceId::Policy(policy) => (b"policy", policy.as_str()),
        };
        let digest = Digest::of([kind, name.as_bytes(), text.as_bytes()]);
        Ok(Self { id, text, digest })
    }

    /// Which one it is.
    #[must_use]
    pub const fn id(&self) -> &PieceId {
        &self.id
    }

    /// What it says.
    #[must_use]
    pub const fn text(&self) -> &str {
        &self.text
    }
}

/// A whole configuration. Cloning it copies nothing, and configurations of many routers share their
/// pieces.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// In the order of their ids.
    pieces: Arc<[Arc<Piece>]>,
    digest: Digest,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Snapshot({} pieces, {:?})",
            self.pieces.len(),
            self.digest
        )
    }
}

/// How to get from one configuration to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is new or different.
    pub put: Vec<Arc<Piece>>,
    /// What is not there any more.
    pub gone: Vec<PieceId>,
}

/// The texts of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts<'a> {
    /// What the router is told of itself.
    pub own: &'a str,
    /// What it is told of other sites, by their ids.
    pub sites: Vec<&'a str>,
    /// The policies, by their names.
    pub policies: Vec<&'a str>,
}

impl Snapshot {
    /// Puts pieces together.
    ///
    /// # Errors
    /// [`NotWhole`].
    pub fn new(pieces: impl IntoIterator<Item = Arc<Piece>>) -> Result<Self, NotWhole> {
        let mut pieces: Vec<Arc<Piece>> = pieces.into_iter().collect();
        pieces.sort_by(|one, other| one.id.cmp(&other.id));
        if pieces.len() > MOST_PIECES {
            return Err(NotWhole::ManyPieces(pieces.len()));
        }
        let bytes = pieces.iter().map(|piece| piece.text.len()).sum();
        if bytes > MOST_BYTES {
            return Err(NotWhole::Large(bytes));
        }
        for (one, next) in pieces.iter().zip(pieces.iter().skip(1)) {
            if one.id == next.id {
                return Err(NotWhole::Twice(one.id.clone()));
            }
        }
        if pieces.first().is_none_or(|first| first.id != PieceId::Own) {
            return Err(NotWhole::NoOwn);
        }
        let digests = pieces
            .iter()
            .map(|piece| piece.digest.as_bytes().as_slice());
        Ok(Self {
            digest: Digest::of(digests),
            pieces: pieces.into(),
        })
    }

    /// The digest of all of it.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Its pieces, in the order of their ids.
    #[must_use]
    pub fn pieces(&self) -> &[Arc<Piece>] {
        &self.pieces
    }

    /// The texts of what the router is told of itself, of each site, and of each policy.
    #[must_use]
    pub fn texts(&self) -> Texts<'_> {
        let mut texts = Texts::default();
        for piece in self.pieces.iter() {
            match piece.id {
                PieceId::Own => texts.own = &piece.text,
                PieceId::Site(_) => texts.sites.push(&piece.text),
                PieceId::Policy(_) => texts.policies.push(&piece.text),
            }
        }
        texts
    }

    /// How to get from `base` to this.
    #[must_use]
    pub fn changes(&self, base: Option<&Self>) -> Changes {
        let mut changes = Changes::default();
        let mut before = base.map_or(&[][..], |base| &base.pieces).iter().peekable();
        for piece in self.pieces.iter() {
            // Both are sorted: what is before this one is gone.
            while let Some(gone) = before.next_if(|it| it.id < piece.id) {
                changes.gone.push(gone.id.clone());
            }
            match before.next_if(|it| it.id == piece.id) {
                Some(same) if Arc::ptr_eq(same, piece) || same.digest == piece.digest => {}
                Some(_) | None => changes.put.push(Arc::clone(piece)),
            }
        }
        changes.gone.extend(before.map(|it| it.id.clone()));
        changes
    }

    /// What `base` becomes by changes.
    ///
    /// # Errors
    /// [`NotWhole`].
    pub fn changed(base: Option<&Self>, changes: Changes) -> Result<Self, NotWhole> {
        let Changes { mut put, mut gone } = changes;
        put.sort_by(|one, other| one.id.cmp(&other.id));
        gone.sort();
        let stays = |piece: &&Arc<Piece>| {
            let new = put.binary_search_by(|it| it.id.cmp(&piece.id));
            new.is_err() && gone.binary_search(&piece.id).is_err()
        };
        let kept = base.map_or(&[][..], |base| &base.pieces).iter();
        let kept: Vec<Arc<Piece>> = kept.filter(stays).cloned().collect();
        Self::new(kept.into_iter().chain(put))
    }
}

/// A configuration that follows from a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The generation.
    pub version: Version,
    /// What it says.
    pub snapshot: Snapshot,
}

impl Configuration {
    /// Which edition it is.
    #[must_use]
    pub const fn edition(&self) -> Edition {
        Edition {
            version: self.version,
            digest: self.snapshot.digest(),
        }
    }
}
