//! What is kept of a secret, and the hashes of the audit log.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A SHA-256, which is what is kept of a token.
///
/// A fast hash will do for tokens, unlike for passwords: nobody tries out the 192 random bits of a
/// token. Compared in constant time, although who could time it would learn of a hash only.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

/// Text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 of the characters 0-9 and a-f, and this is not")]
pub struct InvalidDigest;

impl Digest {
    /// All zeros: what the first entry of a log follows.
    pub const ZERO: Self = Self([0; 32]);

    /// Of `parts`, one after the other, after a text that says what they are. All parts but the last
    /// must have a length that `what` determines.
    pub(crate) fn of(what: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(what.as_bytes());
        hash.update([0]);
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let bytes = HEXLOWER
            .decode(text.as_bytes())
            .map_err(|_| InvalidDigest)?;
        Ok(Self(bytes.try_into().map_err(|_| InvalidDigest)?))
    }
}
