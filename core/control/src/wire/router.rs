//! What routers say.

use patronus_model::ids::SiteId;

use super::fields::{
    InvalidMessage, at_most, edition, facts, from_facts, invalid, maybe_edition, present, refusal,
    version,
};
use super::v1;
use crate::session::{FromRouter, Hello, SessionId};

/// A request for a certificate has about 200 bytes.
pub(super) const MOST_REQUEST_BYTES: usize = 2048;

/// What a router begins a session with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The number of the session.
    pub session: SessionId,
    /// The site that the router believes to be at.
    pub site: SiteId,
    /// The milliseconds since 1970 by its clock.
    pub clock_ms: u64,
    /// Where it stands.
    pub hello: Hello,
}

impl From<Opening> for v1::RouterMessage {
    fn from(opening: Opening) -> Self {
        let hello = opening.hello;
        let hello = v1::Hello {
            protocol: hello.protocol,
            session: opening.session,
            site: opening.site.to_string(),
            seen: hello.seen.map(Into::into),
            running: hello.running.map(Into::into),
            confirmed: hello.confirmed.map(Into::into),
            refused: hello.refused.map(Into::into),
            facts: Some(from_facts(&hello.facts)),
            clock_ms: opening.clock_ms,
        };
        Self {
            message: Some(v1::router_message::Message::Hello(hello)),
        }
    }
}

impl TryFrom<v1::RouterMessage> for Opening {
    type Error = InvalidMessage;

    fn try_from(message: v1::RouterMessage) -> Result<Self, InvalidMessage> {
        let Some(v1::router_message::Message::Hello(it)) = message.message else {
            return Err(invalid("message", "a session begins with `hello`"));
        };
        let site: Result<SiteId, _> = it.site.parse();
        Ok(Self {
            session: it.session,
            site: site.map_err(|error| invalid("hello.site", error.to_string()))?,
            clock_ms: it.clock_ms,
            hello: Hello {
                protocol: it.protocol,
                seen: it.seen.map(|it| version("hello.seen", it)).transpose()?,
                running: maybe_edition("hello.running", it.running)?,
                confirmed: maybe_edition("hello.confirmed", it.confirmed)?,
                refused: it
                    .refused
                    .map(|it| refusal("hello.refused", it))
                    .transpose()?,
                facts: facts(it.facts)?,
            },
        })
    }
}

/// What a router says after its hello; `None` for a hello, which is an [`Opening`].
#[must_use]
pub fn encode_router(message: FromRouter) -> Option<v1::RouterMessage> {
    use v1::router_message::Message;
    let message = match message {
        FromRouter::Hello(_) => return None,
        FromRouter::Applied(edition) => Message::Applied(edition.into()),
        FromRouter::Kept(edition) => Message::Kept(edition.into()),
        FromRouter::Refused { refusal, running } => Message::Refused(v1::Refused {
            refusal: Some(refusal.into()),
            running: running.map(Into::into),
        }),
        FromRouter::Resync(edition) => Message::Resync(edition.into()),
        FromRouter::Heartbeat { running } => Message::Heartbeat(v1::RouterHeartbeat {
            running: running.map(Into::into),
        }),
        FromRouter::Facts(facts) => Message::Facts(from_facts(&facts)),
        FromRouter::Renew(certificate_request) => Message::Renew(v1::Renew {
            certificate_request,
        }),
        FromRouter::Leaving => Message::Leaving(v1::Leaving {}),
    };
    Some(v1::RouterMessage {
        message: Some(message),
    })
}

/// What a controller hears after the hello; `None` for what it does not know.
///
/// # Errors
/// Which field is not what it must be.
pub fn decode_router(message: v1::RouterMessage) -> Result<Option<FromRouter>, InvalidMessage> {
    use v1::router_message::Message;
    let Some(message) = message.message else {
        return Ok(None);
    };
    Ok(Some(match message {
        Message::Hello(_) => return Err(invalid("message", "`hello` is said only once")),
        Message::Applied(it) => FromRouter::Applied(edition("applied", it)?),
        Message::Kept(it) => FromRouter::Kept(edition("kept", it)?),
        Message::Refused(it) => FromRouter::Refused {
            refusal: refusal("refused.refusal", present("refused.refusal", it.refusal)?)?,
            running: maybe_edition("refused.running", it.running)?,
        },
        Message::Resync(it) => FromRouter::Resync(edition("resync", it)?),
        Message::Heartbeat(it) => FromRouter::Heartbeat {
            running: maybe_edition("heartbeat.running", it.running)?,
        },
        Message::Facts(it) => FromRouter::Facts(facts(Some(it))?),
        Message::Renew(it) => {
            let field = "renew.certificate_request";
            FromRouter::Renew(at_most(field, it.certificate_request, MOST_REQUEST_BYTES)?)
        }
        Message::Leaving(v1::Leaving {}) => FromRouter::Leaving,
    }))
}
