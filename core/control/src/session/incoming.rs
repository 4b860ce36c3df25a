//! A configuration that is arriving at a router.

use std::sync::Arc;
use std::time::Duration;

use super::edition::{Digest, Edition};
use super::snapshot::{Changes, Configuration, MOST_BYTES, MOST_PIECES, Piece, PieceId, Snapshot};

/// A configuration that arrived whole.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) configuration: Configuration,
    pub(super) confirm_within: Duration,
}

/// One that is arriving.
#[derive(Debug)]
pub(super) struct Incoming {
    edition: Edition,
    base: Option<Snapshot>,
    changes: Changes,
    bytes: usize,
    confirm_within: Duration,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Arrived {
    /// It is whole.
    Whole(Offer),
    /// It came to something else, and is needed from the beginning.
    Resync(Edition),
    /// It cannot be taken.
    Refused(Edition, String),
}

impl Incoming {
    /// Begins. `base` is what it is made from, if it is not whole.
    pub(super) const fn new(
        edition: Edition,
        base: Option<Snapshot>,
        gone: Vec<PieceId>,
        confirm_within: Duration,
    ) -> Self {
        Self {
            edition,
            base,
            changes: Changes {
                put: Vec::new(),
                gone,
            },
            bytes: 0,
            confirm_within,
        }
    }

    pub(super) const fn digest(&self) -> Digest {
        self.edition.digest
    }

    /// Takes pieces in.
    pub(super) fn pieces(&mut self, pieces: Vec<Arc<Piece>>) -> Result<(), Arrived> {
        let bytes: usize = pieces.iter().map(|piece| piece.text().len()).sum();
        self.bytes = self.bytes.saturating_add(bytes);
        let count = self.changes.put.len().saturating_add(pieces.len());
        if self.bytes > MOST_BYTES || count > MOST_PIECES {
            let reason = format!(
                "it has more than {MOST_PIECES} pieces or {MOST_BYTES} bytes: it was not taken"
            );
            return Err(Arrived::Refused(self.edition, reason));
        }
        self.changes.put.extend(pieces);
        Ok(())
    }

    /// Puts it together.
    pub(super) fn end(self) -> Arrived {
        let is_whole = self.base.is_none();
        let snapshot = match Snapshot::changed(self.base.as_ref(), self.changes) {
            Ok(snapshot) if snapshot.digest() == self.edition.digest => snapshot,
            // What was there before may have been another one than the controller thought.
            Ok(_) | Err(_) if !is_whole => return Arrived::Resync(self.edition),
            Ok(_) => {
                let reason = "what arrived is not what was announced".to_owned();
                return Arrived::Refused(self.edition, reason);
            }
            Err(reason) => return Arrived::Refused(self.edition, reason.to_string()),
        };
        Arrived::Whole(Offer {
            configuration: Configuration {
                version: self.edition.version,
                snapshot,
            },
            confirm_within: self.confirm_within,
        })
    }
}
