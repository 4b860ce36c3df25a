//! What controllers say.

use std::sync::Arc;
use std::time::Duration;

use super::fields::{
    InvalidMessage, at_most, digest, edition, invalid, millis, piece_id, present, text, to_millis,
};
use super::v1;
use crate::session::{FromController, MOST_GONE, PROTOCOL, Piece, SessionId};

/// A certificate of ours has about 600 bytes.
pub(super) const MOST_CERTIFICATE_BYTES: usize = 8192;

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const HEARTBEAT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));
const CONFIRM_WITHIN: (Duration, Duration) = (Duration::from_secs(1), WEEK);

/// What a controller says in a session.
#[must_use]
pub fn encode_controller(
    session: SessionId,
    clock_ms: u64,
    message: FromController,
) -> v1::ControllerMessage {
    use v1::controller_message::Message;
    let message = match message {
        FromController::Welcome { heartbeat } => Message::Welcome(v1::Welcome {
            protocol: PROTOCOL,
            heartbeat_ms: to_millis(heartbeat, u32::MAX),
            clock_ms,
        }),
        FromController::Begin {
            edition,
            base,
            gone,
            confirm_within,
        } => Message::Begin(v1::Begin {
            edition: Some(edition.into()),
            base: base.map_or_else(Vec::new, |base| base.as_bytes().to_vec()),
            gone: gone.iter().map(Into::into).collect(),
            confirm_within_ms: to_millis(confirm_within.min(WEEK), u64::MAX),
        }),
        FromController::Pieces { of, pieces } => {
            let pieces = pieces.iter().map(|piece| v1::Piece {
                id: Some(piece.id().into()),
                text: piece.text().to_owned(),
            });
            Message::Pieces(v1::Pieces {
                of: of.as_bytes().to_vec(),
                pieces: pieces.collect(),
            })
        }
        FromController::End { of } => Message::End(v1::End {
            of: of.as_bytes().to_vec(),
        }),
        FromController::Confirm(edition) => Message::Confirm(edition.into()),
        FromController::Heartbeat => Message::Heartbeat(v1::ControllerHeartbeat {}),
        FromController::Renewed(certificate) => Message::Renewed(v1::Renewed { certificate }),
        FromController::NotRenewed(reason) => Message::NotRenewed(v1::NotRenewed {
            reason: text(&reason),
        }),
        FromController::GoAway { reason, after } => Message::GoAway(v1::GoAway {
            reason: text(&reason),
            after_ms: to_millis(after.min(WEEK), u64::MAX),
        }),
    };
    v1::ControllerMessage {
        session,
        message: Some(message),
    }
}

/// What a router hears; `None` for what it does not know.
///
/// # Errors
/// Which field is not what it must be.
pub fn decode_controller(
    message: v1::ControllerMessage,
) -> Result<Option<(SessionId, FromController)>, InvalidMessage> {
    use v1::controller_message::Message;
    let session = message.session;
    let Some(message) = message.message else {
        return Ok(None);
    };
    let message = match message {
        Message::Welcome(it) if it.protocol != PROTOCOL => {
            let problem = format!(
                "the controller speaks version {}, and this router version {PROTOCOL}: update the \
                 older of the two",
                it.protocol
            );
            return Err(invalid("welcome.protocol", problem));
        }
        Message::Welcome(it) => FromController::Welcome {
            heartbeat: millis("welcome.heartbeat_ms", it.heartbeat_ms.into(), HEARTBEAT)?,
        },
        Message::Begin(it) => {
            if it.gone.len() > MOST_GONE {
                let problem = format!("there are {}, and {MOST_GONE} are the most", it.gone.len());
                return Err(invalid("begin.gone", problem));
            }
            let gone = it.gone.into_iter();
            let gone = gone.map(|id| piece_id("begin.gone", Some(id)));
            FromController::Begin {
                edition: edition("begin.edition", present("begin.edition", it.edition)?)?,
                base: match it.base.as_slice() {
                    [] => None,
                    base => Some(digest("begin.base", base)?),
                },
                gone: gone.collect::<Result<_, _>>()?,
                confirm_within: millis(
                    "begin.confirm_within_ms",
                    it.confirm_within_ms,
                    CONFIRM_WITHIN,
                )?,
            }
        }
        Message::Pieces(it) => {
            let pieces = it.pieces.into_iter().map(|piece| {
                let id = piece_id("pieces.pieces.id", piece.id)?;
                let piece = Piece::new(id, piece.text);
                let wrong = |error: crate::session::NotWhole| {
                    invalid("pieces.pieces.text", error.to_string())
                };
                piece.map(Arc::new).map_err(wrong)
            });
            FromController::Pieces {
                of: digest("pieces.of", &it.of)?,
                pieces: pieces.collect::<Result<_, _>>()?,
            }
        }
        Message::End(it) => FromController::End {
            of: digest("end.of", &it.of)?,
        },
        Message::Confirm(it) => FromController::Confirm(edition("confirm", it)?),
        Message::Heartbeat(v1::ControllerHeartbeat {}) => FromController::Heartbeat,
        Message::Renewed(it) => {
            let field = "renewed.certificate";
            FromController::Renewed(at_most(field, it.certificate, MOST_CERTIFICATE_BYTES)?)
        }
        Message::NotRenewed(it) => FromController::NotRenewed(text(&it.reason)),
        Message::GoAway(it) => FromController::GoAway {
            reason: text(&it.reason),
            after: millis("go_away.after_ms", it.after_ms, (Duration::ZERO, WEEK))?,
        },
    };
    Ok(Some((session, message)))
}
