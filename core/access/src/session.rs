//! Sessions: what happens to refresh tokens.
//!
//! A refresh token is used once, and its answer holds the next one (RFC 9700 section 4.14.2). Whoever
//! presents one that was used before may be its thief, or its owner after a thief: nobody can tell,
//! and the session ends for both.
//!
//! An answer can get lost on its way, and the client then asks again with the token that it has. For
//! [`GRACE`] after its use a token is therefore answered with the same next token again, but only
//! while that one was not used. A thief who is that quick gets the token that the owner has too, and
//! is found out when both use it.

use std::fmt;

use crate::Millis;
use crate::digest::Digest;
use crate::id::{SessionId, UserId};
use crate::opaque::RefreshToken;

const SECOND: Millis = 1000;
const DAY: Millis = 24 * 60 * 60 * SECOND;

/// How long a lost answer may be asked for again: as long as a client waits for one, and then tries
/// again.
pub const GRACE: Millis = 10 * SECOND;

/// How long a session may rest.
pub const SESSION_IDLE: Millis = 7 * DAY;

/// How long a session lasts at most; then a password is asked for again.
pub const SESSION_LONGEST: Millis = 30 * DAY;

/// A session, and what is kept of its refresh tokens (the *family* of RFC 9700).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// What people call it by.
    pub session: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// What its tokens have in common: [`RefreshToken::family`].
    pub key: Digest,
    /// The token that was given last.
    pub current: Digest,
    /// The one before.
    pub replaced: Option<Replaced>,
    /// When it began.
    pub began_at: Millis,
    /// When it was used last.
    pub used_at: Millis,
    /// When and why it ended, if it did before its time.
    pub revoked: Option<Revoked>,
}

/// The token before the current one.
#[derive(Clone, PartialEq, Eq)]
pub struct Replaced {
    /// What is kept of it.
    pub digest: Digest,
    /// What makes the current one out of it.
    pub salt: [u8; 32],
    /// When it was used.
    pub at: Millis,
}

impl fmt::Debug for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, at, .. } = self;
        write!(f, "Replaced {{ digest: {digest:?}, salt: …, at: {at} }}")
    }
}

/// That a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When.
    pub at: Millis,
    /// Why.
    pub why: Why,
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its user logged out.
    LoggedOut,
    /// A token was presented that had been used: somebody else has a copy.
    Reused,
    /// Its user has another password, or may not log in any more.
    UserChanged,
    /// An administrator ended it, or its user from elsewhere.
    Ended,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::LoggedOut,
        Self::Reused,
        Self::UserChanged,
        Self::Ended,
    ];

    /// As it is kept.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged out",
            Self::Reused => "reused",
            Self::UserChanged => "user changed",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of a refresh token that somebody presented.
#[derive(Debug)]
pub enum Presented {
    /// It was used, and this one is for the next time.
    Rotated(RefreshToken),
    /// It had been used a moment ago, and the answer is the same as then.
    Repeated(RefreshToken),
    /// It had been used before, and the session is over now.
    Reused,
    /// The session is over.
    Refused(Over),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It rested too long, or lasted long enough.
    Expired,
    /// It was ended.
    Revoked(Why),
}

impl Family {
    /// A new session, and its first token, from random bytes that nobody else has.
    #[must_use]
    pub fn begin(
        user: UserId,
        session: SessionId,
        now: Millis,
        selector: [u8; 10],
        secret: [u8; 26],
    ) -> (Self, RefreshToken) {
        let token = RefreshToken::new(selector, secret);
        let family = Self {
            session,
            user,
            key: token.family(),
            current: token.digest(),
            replaced: None,
            began_at: now,
            used_at: now,
            revoked: None,
        };
        (family, token)
    }

    /// Until when it can be used, if it is not used before.
    #[must_use]
    pub fn expires_at(&self) -> Millis {
        let idle = self.used_at.saturating_add(SESSION_IDLE);
        idle.min(self.began_at.saturating_add(SESSION_LONGEST))
    }

    /// Why it is over, if it is.
    #[must_use]
    pub fn over(&self, now: Millis) -> Option<Over> {
        match self.revoked {
            Some(revoked) => Some(Over::Revoked(revoked.why)),
            None => (now >= self.expires_at()).then_some(Over::Expired),
        }
    }

    /// Uses a token. The caller has found this session by [`RefreshToken::family`], keeps what
    /// becomes of it, and lets nobody come between.
    ///
    /// `salt` must be random bytes that nobody else has.
    pub fn present(&mut self, token: &RefreshToken, now: Millis, salt: [u8; 32]) -> Presented {
        if let Some(over) = self.over(now) {
            return Presented::Refused(over);
        }
        let digest = token.digest();
        if digest == self.current {
            let next = token.successor(&salt);
            self.replaced = Some(Replaced {
                digest,
                salt,
                at: now,
            });
            self.current = next.digest();
            self.used_at = now.max(self.used_at);
            return Presented::Rotated(next);
        }
        // A clock that went back is no reason to end a session.
        let lost = self.replaced.as_ref().filter(|replaced| {
            replaced.digest == digest && now.saturating_sub(replaced.at) <= GRACE
        });
        if let Some(replaced) = lost {
            return Presented::Repeated(token.successor(&replaced.salt));
        }
        self.revoked = Some(Revoked {
            at: now,
            why: Why::Reused,
        });
        Presented::Reused
    }
}
