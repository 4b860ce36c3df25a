//! Access tokens: JSON Web Tokens (RFC 7519) that say who somebody is, for a few minutes.
//!
//! They are signed with HS256. Whoever checks them is a controller, and every controller has the keys
//! from the same database, so that a signature which others could check too (EdDSA) would protect
//! nobody more. See ADR 0027.
//!
//! As RFC 8725 demands: one algorithm is accepted and no other, issuer and audience are checked, and
//! the `typ` is one of our own, so that no other kind of token can be taken for one.

use std::fmt;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode_header};
use patronus_model::secret::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Millis;
use crate::hs256::{self, KEY_BYTES};
use crate::id::{KeyId, SessionId, UserId};
use crate::role::Role;

const MINUTE: Millis = 60 * 1000;
const DAY: Millis = 24 * 60 * MINUTE;

/// How long an access token is good for. It cannot be revoked before, which is why it is short; a
/// client renews it with its refresh token.
pub const ACCESS_LIFE: Millis = 5 * MINUTE;

/// By how much the clocks of two controllers may differ.
pub const CLOCK_SKEW: Millis = MINUTE;

/// How long a key signs.
pub const KEY_LIFE: Millis = 30 * DAY;

/// How long before it signs a key is made. By then all controllers have read it, who look every few
/// minutes.
pub const KEY_LEAD: Millis = 60 * MINUTE;

/// RFC 8725 section 3.11.
const TYPE: &str = "patronus-access+jwt";

/// Ours have some 400 characters.
const LONGEST: usize = 2048;

/// A key that access tokens are signed with.
pub struct SigningKey {
    /// What tokens say which were signed with it.
    pub id: KeyId,
    /// From when on it signs, until the next one does.
    pub signs_from: Millis,
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

impl SigningKey {
    /// A key out of random bytes.
    #[must_use]
    pub fn new(id: KeyId, secret: [u8; KEY_BYTES], signs_from: Millis) -> Self {
        Self {
            id,
            signs_from,
            secret: Zeroizing::new(secret),
        }
    }

    /// The secret itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.secret
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, from {}, …)", self.id, self.signs_from)
    }
}

/// Who an access token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The user.
    pub user: UserId,
    /// The user's role when the token was made.
    pub role: Role,
    /// The session in which it was made.
    pub session: SessionId,
}

/// RFC 7519 section 4.1. What is in a token beside these is ignored, as section 4 demands.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    role: String,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
}

/// Why an access token is refused. Clients are told [`AccessRefused::Expired`], which they can do
/// something about, and of all others only that it is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefused {
    /// It was good, and is not any more.
    #[error("the access token has expired")]
    Expired,
    /// It was signed with a key that we do not have: it is forged, or old, or a controller made a key
    /// that this one has not heard of.
    #[error("the access token was signed with a key that is not known")]
    UnknownKey,
    /// It is not signed by us.
    #[error("the access token is not signed by this controller")]
    Signature,
    /// It is signed by us and not meant for us, or not for now.
    #[error("the access token is not for this controller: {0}")]
    Claims(&'static str),
    /// It is no access token.
    #[error("this is not an access token")]
    Malformed,
}

/// There is no key to sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no key to sign access tokens with: see KeyRing::next")]
pub struct NoSigningKey;

/// The keys that there are, and for whom they sign.
#[derive(Debug)]
pub struct KeyRing {
    /// By the time from which on they sign.
    keys: Vec<SigningKey>,
    issuer: String,
    audience: String,
}

impl KeyRing {
    /// Takes all keys that are kept. Issuer and audience are the same for all controllers of a
    /// database, and different from those of any other.
    #[must_use]
    pub fn new(mut keys: Vec<SigningKey>, issuer: String, audience: String) -> Self {
        keys.sort_by_key(|key| (key.signs_from, key.id));
        Self {
            keys,
            issuer,
            audience,
        }
    }

    /// When there must be a new key, and from when on it signs: at once if there is none, else when
    /// the last one has signed long enough.
    #[must_use]
    pub fn next(&self, now: Millis) -> Option<Millis> {
        let Some(last) = self.keys.last() else {
            return Some(now);
        };
        let due = last.signs_from.saturating_add(KEY_LIFE);
        let known_by = now.saturating_add(KEY_LEAD);
        (known_by >= due).then_some(known_by)
    }

    /// Keys that nothing can be signed with any more that would still be good.
    pub fn over(&self, now: Millis) -> impl Iterator<Item = KeyId> {
        let keys = self.keys.iter();
        keys.filter(move |key| self.good_until(key).is_some_and(|until| now >= until))
            .map(|key| key.id)
    }

    /// Until when a token can be good that was signed with this key; for ever, if no other follows.
    fn good_until(&self, key: &SigningKey) -> Option<Millis> {
        let mut later = self.keys.iter().skip_while(|other| other.id != key.id);
        let next = later.nth(1)?;
        // Another controller's clock may be late, and it signs with the old key for so long.
        Some(next.signs_from.saturating_add(ACCESS_LIFE + CLOCK_SKEW))
    }

    /// Makes a token.
    ///
    /// # Errors
    /// There is no key.
    pub fn sign(&self, access: &Access, now: Millis) -> Result<Secret, NoSigningKey> {
        hs256::install();
        let ready = self.keys.iter().rfind(|key| key.signs_from <= now);
        // The very first one, if this clock is late.
        let key = ready.or(self.keys.first()).ok_or(NoSigningKey)?;
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: access.user.to_string(),
            sid: access.session.to_string(),
            role: access.role.to_string(),
            iat: seconds(now),
            exp: seconds(now.saturating_add(ACCESS_LIFE)),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id.to_string());
        let secret = EncodingKey::from_secret(key.expose());
        let text = jsonwebtoken::encode(&header, &claims, &secret).map_err(|_| NoSigningKey)?;
        Ok(Secret::new(text))
    }

    /// Checks a token, and says who it speaks for.
    ///
    /// # Errors
    /// It is not good, or not any more.
    pub fn verify(&self, token: &str, now: Millis) -> Result<Access, AccessRefused> {
        hs256::install();
        if token.len() > LONGEST {
            return Err(AccessRefused::Malformed);
        }
        let header = decode_header(token).map_err(|_| AccessRefused::Malformed)?;
        let id: Option<KeyId> = header.kid.as_deref().and_then(|kid| kid.parse().ok());
        let id = id.ok_or(AccessRefused::Malformed)?;
        let key = self.keys.iter().find(|key| key.id == id);
        let key = key.filter(|key| self.good_until(key).is_none_or(|until| now < until));
        let key = key.ok_or(AccessRefused::UnknownKey)?;
        let secret = DecodingKey::from_secret(key.expose());
        let data = jsonwebtoken::decode::<Claims>(token, &secret, &self.validation());
        let data = data.map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => AccessRefused::Signature,
            ErrorKind::InvalidIssuer => AccessRefused::Claims("it has another issuer"),
            ErrorKind::InvalidAudience => AccessRefused::Claims("it has another audience"),
            _ => AccessRefused::Malformed,
        })?;
        if data.header.typ.as_deref() != Some(TYPE) {
            return Err(AccessRefused::Claims("it is of another type"));
        }
        self.at(&data.claims, now)?;
        let claims = data.claims;
        let malformed = AccessRefused::Malformed;
        Ok(Access {
            user: claims.sub.parse().map_err(|_| malformed)?,
            session: claims.sid.parse().map_err(|_| malformed)?,
            role: claims.role.parse().map_err(|_| malformed)?,
        })
    }

    /// jsonwebtoken reads a clock to see what has expired; this does not.
    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation
    }

    /// RFC 7519 section 4.1.4: not on or after its time. And never one that we would not have made.
    fn at(&self, claims: &Claims, now: Millis) -> Result<(), AccessRefused> {
        if claims.iat > seconds(now.saturating_add(CLOCK_SKEW)) {
            return Err(AccessRefused::Claims("it is of the future"));
        }
        if claims.exp.saturating_sub(claims.iat) > seconds(ACCESS_LIFE) {
            return Err(AccessRefused::Claims("it lasts too long"));
        }
        match seconds(now) >= claims.exp {
            true => Err(AccessRefused::Expired),
            false => Ok(()),
        }
    }
}

const fn seconds(at: Millis) -> i64 {
    at.div_euclid(1000)
}
