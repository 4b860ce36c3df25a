//! What a controller keeps of a token, and what becomes of it.

use patronus_model::ids::SiteId;
use ring::digest::{Context, SHA256};
use subtle::ConstantTimeEq as _;

use crate::certificate::Fingerprint;
use crate::time::UnixTime;
use crate::token::{Token, TokenId, TokenSecret};

/// What a controller keeps of a token: not its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id, by which it is found.
    pub id: TokenId,
    /// The site whose router it enrols.
    pub site: SiteId,
    /// What [`TokenRecord::of`] made of its secret.
    pub hash: [u8; 32],
    /// From when on it is of no use.
    pub expires: UnixTime,
    /// What became of it.
    pub state: TokenState,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// Nothing yet.
    Unused,
    /// A router was enrolled with it.
    Redeemed {
        /// When.
        at: UnixTime,
        /// The router's key. Whoever holds it may ask again, in case the answer was lost.
        key: Fingerprint,
    },
    /// It was taken back.
    Withdrawn {
        /// When.
        at: UnixTime,
    },
}

/// Why nobody is enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRedeemed {
    /// The secret is another one. For a token that does not exist the answer is the same.
    #[error("there is no such token here: it may be one of another controller")]
    Unknown,
    /// It is too late.
    #[error("the token was good until {0}: make a new one")]
    Expired(UnixTime),
    /// It was used.
    #[error(
        "a router was enrolled with this token at {0}, and it is good for one only: make a new one. If \
         it was not you who enrolled a router then, revoke it"
    )]
    Used(UnixTime),
    /// It was taken back.
    #[error("the token was withdrawn at {0}: make a new one")]
    Withdrawn(UnixTime),
}

impl TokenRecord {
    /// What is to be kept of a token for the router of a site.
    #[must_use]
    pub fn of(token: &Token, site: SiteId) -> Self {
        Self {
            id: token.id,
            site,
            hash: hash(token.id, &token.secret),
            expires: token.expires,
            state: TokenState::Unused,
        }
    }

    /// Redeems a token for the router that has a key: gives the state that it is in from then on. The
    /// router is enrolled only once that is stored, which fails if somebody else has stored one
    /// meanwhile.
    ///
    /// Nothing of the record is told to who does not know the secret, and the time that comparing it
    /// takes does not depend on it.
    ///
    /// # Errors
    /// Why not.
    pub fn redeem(
        &self,
        id: TokenId,
        secret: &TokenSecret,
        key: Fingerprint,
        now: UnixTime,
    ) -> Result<TokenState, NotRedeemed> {
        let known: bool = hash(id, secret).ct_eq(&self.hash).into();
        if !known {
            return Err(NotRedeemed::Unknown);
        }
        match self.state {
            TokenState::Withdrawn { at } => Err(NotRedeemed::Withdrawn(at)),
            TokenState::Redeemed { at, key: other } if other != key => Err(NotRedeemed::Used(at)),
            TokenState::Unused | TokenState::Redeemed { .. } if now >= self.expires => {
                Err(NotRedeemed::Expired(self.expires))
            }
            TokenState::Unused => Ok(TokenState::Redeemed { at: now, key }),
            TokenState::Redeemed { .. } => Ok(self.state),
        }
    }
}

/// A secret is 128 random bits, so nothing slower than this is needed against guessing.
fn hash(id: TokenId, secret: &TokenSecret) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(b"patronus enrolment token\0");
    context.update(&id.to_bytes());
    context.update(secret.expose());
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    bytes
}
