//! Tokens that say nothing but which they are: API tokens and refresh tokens.
//!
//! Each is `PREFIX` and 64 characters: 40 bytes in base 32 (RFC 4648, extended hex, lower case). The
//! prefix lets scanners of source code find tokens that were committed; the checksum tells them, and
//! us without asking the database, what is a token and what only looks like one.
//!
//! | bytes | API token | refresh token |
//! |---|---|---|
//! | 0..10 | its id, no secret | which session it belongs to, a secret |
//! | 10..36 | random | random |
//! | 36..40 | checksum | checksum |
//!
//! The checksum is the beginning of the SHA-256 of the prefix and the other bytes.

use std::fmt;

use data_encoding::BASE32_DNSSEC;
use hmac::Mac as _;
use patronus_model::secret::Secret;
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::hs256::hmac_sha256;
use crate::id::{TokenId, decode};

const API: &str = "patronus_api_";
const REFRESH: &str = "patronus_refresh_";

const SELECTOR: usize = 10;
/// 208 random bits.
const SECRET: usize = 26;
const CHECKSUM: usize = 4;
const BODY: usize = SELECTOR + SECRET;

/// Text is no token of the kind that was expected. What it is instead is not repeated: it may be a
/// secret for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// It does not look like one.
    #[error("this is not a token that begins with {expected:?}")]
    Prefix {
        /// What it should begin with.
        expected: &'static str,
    },
    /// It looks like one, but nobody has made it.
    #[error("this looks like a token, but characters of it are missing or wrong: copy it again")]
    Mistyped,
}

/// What both kinds are.
struct Opaque {
    selector: [u8; SELECTOR],
    secret: Zeroizing<[u8; SECRET]>,
}

impl Opaque {
    fn new(selector: [u8; SELECTOR], secret: [u8; SECRET]) -> Self {
        let secret = Zeroizing::new(secret);
        Self { selector, secret }
    }

    /// One whose secret is still to be filled in where it will stay.
    fn blank() -> Self {
        Self::new([0; SELECTOR], [0; SECRET])
    }

    fn checksum(&self, prefix: &str) -> Digest {
        let parts: [&[u8]; 2] = [&self.selector, &*self.secret];
        Digest::of(prefix, &parts)
    }

    fn text(&self, prefix: &str) -> Secret {
        let mut bytes = Zeroizing::new([0; BODY + CHECKSUM]);
        let checksum = self.checksum(prefix);
        let all = self.selector.iter().chain(&*self.secret);
        for (to, from) in bytes.iter_mut().zip(all.chain(checksum.bytes())) {
            *to = *from;
        }
        // Long enough from the beginning, so that no copy is left behind.
        let mut text = String::with_capacity(prefix.len() + BASE32_DNSSEC.encode_len(bytes.len()));
        text.push_str(prefix);
        BASE32_DNSSEC.encode_append(&*bytes, &mut text);
        Secret::new(text)
    }

    fn parse(prefix: &'static str, text: &str) -> Result<Self, OpaqueError> {
        let expected = OpaqueError::Prefix { expected: prefix };
        let body = text.strip_prefix(prefix).ok_or(expected)?;
        let bytes: Zeroizing<[u8; BODY + CHECKSUM]> = decode(body)
            .map(Zeroizing::new)
            .ok_or(OpaqueError::Mistyped)?;
        let mut found = Self::blank();
        let mut given = [0; CHECKSUM];
        let to = found.selector.iter_mut().chain(&mut *found.secret);
        for (to, from) in to.chain(&mut given).zip(&*bytes) {
            *to = *from;
        }
        let checksum = found.checksum(prefix);
        match checksum.bytes().starts_with(&given) {
            true => Ok(found),
            false => Err(OpaqueError::Mistyped),
        }
    }

    fn digest(&self, prefix: &str) -> Digest {
        let what = format!("{prefix} secret");
        let parts: [&[u8]; 2] = [&self.selector, &*self.secret];
        Digest::of(&what, &parts)
    }
}

/// An API token as its owner has it.
pub struct ApiSecret(Opaque);

impl ApiSecret {
    /// A new one, from random bytes.
    #[must_use]
    pub fn new(id: TokenId, random: [u8; SECRET]) -> Self {
        Self(Opaque::new(*id.bytes(), random))
    }

    /// Reads what somebody sends.
    ///
    /// # Errors
    /// It is none that was ever made.
    pub fn parse(text: &str) -> Result<Self, OpaqueError> {
        Opaque::parse(API, text).map(Self)
    }

    /// What its owner keeps. It is shown once.
    #[must_use]
    pub fn text(&self) -> Secret {
        self.0.text(API)
    }

    /// Which one it says it is.
    #[must_use]
    pub const fn id(&self) -> TokenId {
        TokenId::new(self.0.selector)
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest(API)
    }
}

/// A refresh token as a client has it (RFC 6749 section 1.5).
pub struct RefreshToken(Opaque);

impl RefreshToken {
    /// The first one of a session, from random bytes.
    pub(crate) fn new(selector: [u8; SELECTOR], secret: [u8; SECRET]) -> Self {
        Self(Opaque::new(selector, secret))
    }

    /// Reads what somebody sends.
    ///
    /// # Errors
    /// It is none that was ever made.
    pub fn parse(text: &str) -> Result<Self, OpaqueError> {
        Opaque::parse(REFRESH, text).map(Self)
    }

    /// What the client keeps.
    #[must_use]
    pub fn text(&self) -> Secret {
        self.0.text(REFRESH)
    }

    /// By what its session is found. The part that it is made from is in the session's tokens only,
    /// so that nobody else can make up a token that looks like a used one, and end the session by it.
    #[must_use]
    pub fn family(&self) -> Digest {
        let what = format!("{REFRESH} family");
        Digest::of(&what, &[&self.0.selector])
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest(REFRESH)
    }

    /// The token that takes the place of this one: always the same for the same salt, so that it can
    /// be made again from what the client sends and the database keeps, neither of which is enough.
    pub(crate) fn successor(&self, salt: &[u8; 32]) -> Self {
        let mut mac = hmac_sha256(salt);
        mac.update(b"patronus refresh successor");
        mac.update(&self.0.selector);
        mac.update(&*self.0.secret);
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(mac.finalize().into_bytes().into());
        let mut next = Opaque::blank();
        next.selector = self.0.selector;
        for (to, from) in next.secret.iter_mut().zip(&*bytes) {
            *to = *from;
        }
        Self(next)
    }
}

impl fmt::Debug for ApiSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiSecret({}, …)", self.id())
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}
