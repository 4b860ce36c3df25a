//! Fields that several messages have.

use std::net::SocketAddr;
use std::time::Duration;

use patronus_model::intent::UplinkFacts;
use patronus_model::wireguard::PublicKey;

use super::v1;
use crate::session::{Digest, Edition, Facts, PieceId, Refusal, Version};

/// A message that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidMessage {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

pub(super) fn invalid(field: &'static str, problem: impl Into<String>) -> InvalidMessage {
    let problem = problem.into();
    InvalidMessage { field, problem }
}

pub(super) fn present<T>(field: &'static str, value: Option<T>) -> Result<T, InvalidMessage> {
    value.ok_or_else(|| invalid(field, "it is missing"))
}

/// Texts for people.
const MOST_TEXT: usize = 4096;

/// What is shown to people is cut off rather than refused, and has nothing in it that moves cursors.
pub(super) fn text(text: &str) -> String {
    let shown = |it: char| match it {
        '\n' => it,
        _ if it.is_control() => '\u{fffd}',
        _ => it,
    };
    let mut clean = String::new();
    for character in text.chars().map(shown) {
        if clean.len() + character.len_utf8() > MOST_TEXT {
            break;
        }
        clean.push(character);
    }
    clean
}

pub(super) fn bytes<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], InvalidMessage> {
    let wrong = |_| {
        invalid(
            field,
            format!("it has {} bytes instead of {N}", bytes.len()),
        )
    };
    bytes.try_into().map_err(wrong)
}

pub(super) fn at_most(
    field: &'static str,
    bytes: Vec<u8>,
    most: usize,
) -> Result<Vec<u8>, InvalidMessage> {
    match bytes.len() {
        0 => Err(invalid(field, "it is missing")),
        length if length > most => {
            let problem = format!("it has {length} bytes, and {most} are the most");
            Err(invalid(field, problem))
        }
        _ => Ok(bytes),
    }
}

pub(super) fn digest(field: &'static str, it: &[u8]) -> Result<Digest, InvalidMessage> {
    bytes(field, it).map(Digest::from_bytes)
}

pub(super) fn millis(
    field: &'static str,
    value: u64,
    (least, most): (Duration, Duration),
) -> Result<Duration, InvalidMessage> {
    let duration = Duration::from_millis(value);
    if (least..=most).contains(&duration) {
        return Ok(duration);
    }
    let (least, most) = (least.as_millis(), most.as_millis());
    let problem = format!("{value} ms is not from {least} to {most} ms");
    Err(invalid(field, problem))
}

/// What cannot be told so exactly, or at all, is as long as can be.
pub(super) fn to_millis<T: TryFrom<u128>>(duration: Duration, most: T) -> T {
    T::try_from(duration.as_millis()).unwrap_or(most)
}

impl From<Version> for v1::Version {
    fn from(Version { epoch, generation }: Version) -> Self {
        Self { epoch, generation }
    }
}

pub(super) fn version(field: &'static str, it: v1::Version) -> Result<Version, InvalidMessage> {
    let v1::Version { epoch, generation } = it;
    if generation == 0 {
        return Err(invalid(field, "generations are counted from 1"));
    }
    Ok(Version { epoch, generation })
}

impl From<Edition> for v1::Edition {
    fn from(edition: Edition) -> Self {
        Self {
            version: Some(edition.version.into()),
            digest: edition.digest.as_bytes().to_vec(),
        }
    }
}

pub(super) fn edition(field: &'static str, it: v1::Edition) -> Result<Edition, InvalidMessage> {
    Ok(Edition {
        version: version(field, present(field, it.version)?)?,
        digest: digest(field, &it.digest)?,
    })
}

pub(super) fn maybe_edition(
    field: &'static str,
    it: Option<v1::Edition>,
) -> Result<Option<Edition>, InvalidMessage> {
    it.map(|it| edition(field, it)).transpose()
}

impl From<Refusal> for v1::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self {
            edition: Some(refusal.edition.into()),
            attempts: refusal.attempts,
            reason: text(&refusal.reason),
        }
    }
}

pub(super) fn refusal(field: &'static str, it: v1::Refusal) -> Result<Refusal, InvalidMessage> {
    Ok(Refusal {
        edition: edition(field, present(field, it.edition)?)?,
        attempts: it.attempts,
        reason: text(&it.reason),
    })
}

/// As many as there are slots.
const MOST_UPLINKS: usize = 8;

pub(super) fn from_facts(facts: &Facts) -> v1::Facts {
    let uplinks = facts.iter().map(|(name, facts)| v1::UplinkFacts {
        name: name.to_string(),
        public_key: facts.public_key.0.to_vec(),
        address: facts.address.map(|it| it.to_string()).unwrap_or_default(),
    });
    v1::Facts {
        uplinks: uplinks.collect(),
    }
}

pub(super) fn facts(it: Option<v1::Facts>) -> Result<Facts, InvalidMessage> {
    const FIELD: &str = "facts.uplinks";
    let uplinks = it.unwrap_or_default().uplinks;
    if uplinks.len() > MOST_UPLINKS {
        let problem = format!(
            "there are {}, and {MOST_UPLINKS} are the most",
            uplinks.len()
        );
        return Err(invalid(FIELD, problem));
    }
    let mut facts = Facts::new();
    for uplink in uplinks {
        let name: Result<_, _> = uplink.name.parse();
        let name = name.map_err(|error| invalid("facts.uplinks.name", format!("{error}")))?;
        let address = match uplink.address.as_str() {
            "" => None,
            address => {
                let wrong = |_| {
                    let problem = format!("{address:?} is not ADDRESS:PORT");
                    invalid("facts.uplinks.address", problem)
                };
                Some(address.parse::<SocketAddr>().map_err(wrong)?)
            }
        };
        let public_key = PublicKey(bytes("facts.uplinks.public_key", &uplink.public_key)?);
        let told = UplinkFacts {
            public_key,
            address,
        };
        if let Some(name) = facts.insert(name, told).map(|_| uplink.name) {
            return Err(invalid(FIELD, format!("{name} is there twice")));
        }
    }
    Ok(facts)
}

impl From<&PieceId> for v1::PieceId {
    fn from(id: &PieceId) -> Self {
        use v1::piece_id::Id;
        let id = match id {
            PieceId::Own => Id::Own(v1::Own {}),
            PieceId::Site(site) => Id::Site(site.to_string()),
            PieceId::Policy(policy) => Id::Policy(policy.to_string()),
        };
        Self { id: Some(id) }
    }
}

pub(super) fn piece_id(
    field: &'static str,
    it: Option<v1::PieceId>,
) -> Result<PieceId, InvalidMessage> {
    use v1::piece_id::Id;
    let wrong = |error: patronus_model::ids::InvalidName| invalid(field, error.to_string());
    Ok(match present(field, it.and_then(|it| it.id))? {
        Id::Own(v1::Own {}) => PieceId::Own,
        Id::Site(site) => PieceId::Site(site.parse().map_err(wrong)?),
        Id::Policy(policy) => PieceId::Policy(policy.parse().map_err(wrong)?),
    })
}
