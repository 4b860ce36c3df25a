//! API tokens: for programs, with fewer rights than their owner, until they expire.

use crate::Millis;
use crate::digest::Digest;
use crate::id::{TokenId, UserId};
use crate::opaque::ApiSecret;
use crate::role::{Permission, Permissions, Role};

const MINUTE: Millis = 60 * 1000;

/// How long an API token is good for at most: a year and a day, so that a yearly round will do.
pub const LONGEST_API_TOKEN: Millis = 366 * 24 * 60 * MINUTE;

/// How exactly it is known when a token was used last. To write it down each time would make every
/// question to the API a change of the database.
const USE_IS_NOTED_EVERY: Millis = MINUTE;

/// The longest name of a token.
const LONGEST_NAME: usize = 64;

/// What is kept of an API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Which one; also a part of the token.
    pub id: TokenId,
    /// Whose it is.
    pub owner: UserId,
    /// What for, in the owner's words.
    pub name: String,
    /// What it may do, as long as its owner may.
    pub scopes: Permissions,
    /// What is kept of its secret.
    pub digest: Digest,
    /// When it was made.
    pub made_at: Millis,
    /// From when on it is good for nothing.
    pub expires_at: Millis,
    /// When it was used last, to the minute.
    pub used_at: Option<Millis>,
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiToken {
    /// For whom.
    pub owner: UserId,
    /// What for.
    pub name: String,
    /// What it may do.
    pub scopes: Permissions,
    /// How long it is to be good for.
    pub life: Millis,
}

/// Why there is no such token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiTokenError {
    /// It has no name, or a very long one.
    #[error(
        "the name of a token has 1 to {LONGEST_NAME} characters, none of them a control character"
    )]
    Name,
    /// It could do nothing.
    #[error("a token needs scopes: name at least one")]
    NoScopes,
    /// It could do what its owner cannot.
    #[error("a token of yours cannot have the scope {scope}: {}", why(.scope))]
    Scope {
        /// What it would be able to do.
        scope: Permission,
    },
    /// It would be good for nothing, or for too long.
    #[error("a token is good for at least a minute and at most 366 days")]
    Life,
}

fn why(scope: &Permission) -> &'static str {
    match scope.can_be_scope() {
        true => "you do not have that permission yourself",
        false => "no token can",
    }
}

impl NewApiToken {
    /// Makes the token, with all that is kept of it, from random bytes. Who makes it has `granted`,
    /// and can give no more than that.
    ///
    /// # Errors
    /// There is no such token.
    pub fn make(
        self,
        granted: Permissions,
        now: Millis,
        id: TokenId,
        random: [u8; 26],
    ) -> Result<(ApiToken, ApiSecret), ApiTokenError> {
        let Self {
            owner,
            name,
            scopes,
            life,
        } = self;
        let length = name.chars().count();
        if !(1..=LONGEST_NAME).contains(&length) || name.chars().any(char::is_control) {
            return Err(ApiTokenError::Name);
        }
        if scopes.is_empty() {
            return Err(ApiTokenError::NoScopes);
        }
        let bad = |scope: &Permission| !scope.can_be_scope() || !granted.has(*scope);
        if let Some(scope) = scopes.iter().find(bad) {
            return Err(ApiTokenError::Scope { scope });
        }
        if !(MINUTE..=LONGEST_API_TOKEN).contains(&life) {
            return Err(ApiTokenError::Life);
        }
        let secret = ApiSecret::new(id, random);
        let token = ApiToken {
            id,
            owner,
            name,
            scopes,
            digest: secret.digest(),
            made_at: now,
            expires_at: now.saturating_add(life),
            used_at: None,
        };
        Ok((token, secret))
    }
}

impl ApiToken {
    /// What somebody may do who sends this secret; `None` if it is not the right one, or not any
    /// more. What the owner may not do any more, the token may not either.
    #[must_use]
    pub fn permits(&self, secret: &ApiSecret, owner: Role, now: Millis) -> Option<Permissions> {
        let good = self.digest == secret.digest() && now < self.expires_at;
        good.then(|| self.scopes.and(owner.permissions()))
    }

    /// Whether it is to be noted that it is used now.
    #[must_use]
    pub fn use_is_news(&self, now: Millis) -> bool {
        let noted = self.used_at;
        noted.is_none_or(|at| now.saturating_sub(at) >= USE_IS_NOTED_EVERY)
    }
}
