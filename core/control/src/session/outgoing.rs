//! A configuration that is being sent to a router.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::edition::{Digest, Edition};
use super::message::FromController;
use super::snapshot::{Changes, Configuration, Piece, PieceId, Snapshot};

/// A message has about so many bytes of pieces: few enough that heartbeats are not held up.
const CHUNK: usize = 32 * 1024;

/// If more pieces are gone, all that are there are sent instead.
pub const MOST_GONE: usize = 1_000;

/// What is left to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    edition: Edition,
    base: Option<Digest>,
    confirm_within: Duration,
    /// Until the first message was sent.
    gone: Option<Vec<PieceId>>,
    put: VecDeque<Arc<Piece>>,
    ended: bool,
}

impl Outgoing {
    /// Sends a configuration to who has `base`.
    pub(super) fn new(
        configuration: &Configuration,
        base: Option<&Snapshot>,
        confirm_within: Duration,
    ) -> Self {
        let changes = |base| configuration.snapshot.changes(base);
        let few = |(_, changes): &(Digest, Changes)| changes.gone.len() <= MOST_GONE;
        let delta = base.map(|base| (base.digest(), changes(Some(base))));
        let (base, Changes { put, gone }) = match delta.filter(few) {
            Some((base, changes)) => (Some(base), changes),
            None => (None, changes(None)),
        };
        Self {
            edition: configuration.edition(),
            base,
            confirm_within,
            gone: Some(gone),
            put: put.into(),
            ended: false,
        }
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.base.is_none()
    }

    pub(super) fn next(&mut self) -> Option<FromController> {
        if let Some(gone) = self.gone.take() {
            return Some(FromController::Begin {
                edition: self.edition,
                base: self.base,
                gone,
                confirm_within: self.confirm_within,
            });
        }
        let of = self.edition.digest;
        let mut pieces = Vec::new();
        let mut bytes = 0;
        while bytes < CHUNK {
            let Some(piece) = self.put.pop_front() else {
                break;
            };
            bytes += piece.text().len();
            pieces.push(piece);
        }
        if !pieces.is_empty() {
            return Some(FromController::Pieces { of, pieces });
        }
        let ended = std::mem::replace(&mut self.ended, true);
        (!ended).then_some(FromController::End { of })
    }
}
