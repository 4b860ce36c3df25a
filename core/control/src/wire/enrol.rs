//! How a router asks to become one of the network.

use std::fmt;
use std::time::Duration;

use patronus_identity::{TokenId, TokenSecret};
use zeroize::Zeroize as _;

use super::controller::MOST_CERTIFICATE_BYTES;
use super::fields::{
    InvalidMessage, at_most, bytes, facts, from_facts, invalid, millis, present, to_millis,
};
use super::router::MOST_REQUEST_BYTES;
use super::v1;
use crate::session::{Facts, PROTOCOL};

/// How long a router may be told to wait.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// A router asks for a certificate.
#[derive(Debug)]
pub struct EnrolAsk {
    /// By which token.
    pub token: TokenId,
    /// What that proves itself by.
    pub secret: TokenSecret,
    /// A request (PKCS #10) in DER.
    pub request: Vec<u8>,
    /// What it says of its uplinks.
    pub facts: Facts,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrolAnswer {
    /// It is enrolled.
    Enrolled {
        /// Its certificate, in DER.
        certificate: Vec<u8>,
        /// The authority's, in DER.
        authority: Vec<u8>,
    },
    /// A person has to approve it. It asks again after this time.
    Waiting(Duration),
}

impl fmt::Debug for v1::EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest")
            .field("protocol", &self.protocol)
            .field("token_id", &self.token_id)
            .finish_non_exhaustive()
    }
}

impl From<&EnrolAsk> for v1::EnrolRequest {
    fn from(ask: &EnrolAsk) -> Self {
        Self {
            protocol: PROTOCOL,
            token_id: ask.token.to_bytes().to_vec(),
            token_secret: ask.secret.expose().to_vec(),
            certificate_request: ask.request.clone(),
            facts: Some(from_facts(&ask.facts)),
        }
    }
}

impl TryFrom<v1::EnrolRequest> for EnrolAsk {
    type Error = InvalidMessage;

    fn try_from(mut it: v1::EnrolRequest) -> Result<Self, InvalidMessage> {
        let secret = bytes("token_secret", &it.token_secret).map(TokenSecret::new);
        it.token_secret.zeroize();
        if it.protocol != PROTOCOL {
            let problem = format!(
                "the router speaks version {}, and this controller version {PROTOCOL}: update the \
                 older of the two",
                it.protocol
            );
            return Err(invalid("protocol", problem));
        }
        let request = it.certificate_request;
        Ok(Self {
            token: TokenId::from_bytes(bytes("token_id", &it.token_id)?),
            secret: secret?,
            request: at_most("certificate_request", request, MOST_REQUEST_BYTES)?,
            facts: facts(it.facts)?,
        })
    }
}

impl From<EnrolAnswer> for v1::EnrolResponse {
    fn from(answer: EnrolAnswer) -> Self {
        use v1::enrol_response::Outcome;
        let outcome = match answer {
            EnrolAnswer::Enrolled {
                certificate,
                authority,
            } => Outcome::Enrolled(v1::Enrolled {
                certificate,
                authority,
            }),
            EnrolAnswer::Waiting(after) => Outcome::Waiting(v1::Waiting {
                retry_after_ms: to_millis(after.clamp(WAIT.0, WAIT.1), u32::MAX),
            }),
        };
        Self {
            outcome: Some(outcome),
        }
    }
}

impl TryFrom<v1::EnrolResponse> for EnrolAnswer {
    type Error = InvalidMessage;

    fn try_from(it: v1::EnrolResponse) -> Result<Self, InvalidMessage> {
        use v1::enrol_response::Outcome;
        let certificate = |field, it| at_most(field, it, MOST_CERTIFICATE_BYTES);
        Ok(match present("outcome", it.outcome)? {
            Outcome::Enrolled(it) => Self::Enrolled {
                certificate: certificate("enrolled.certificate", it.certificate)?,
                authority: certificate("enrolled.authority", it.authority)?,
            },
            Outcome::Waiting(it) => {
                let field = "waiting.retry_after_ms";
                Self::Waiting(millis(field, it.retry_after_ms.into(), WAIT)?)
            }
        })
    }
}
