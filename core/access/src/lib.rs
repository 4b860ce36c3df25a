//! Who may do what with a controller: passwords, roles, sessions, API tokens, limits of logins, and
//! the audit log.
//!
//! Nothing here reads a clock, makes randomness, or talks to anybody: times and random bytes are
//! passed in, and what is to be kept is handed out, hashed wherever a hash will do. Where things are
//! kept is `core/store`. What was decided, and why, is in `docs/adr/0027-sessions-tokens-and-the-log.md`.

mod access_token;
mod api_token;
pub mod audit;
mod digest;
mod hs256;
mod id;
pub mod limit;
mod opaque;
mod password;
mod role;
mod session;

pub use access_token::{
    ACCESS_LIFE, Access, AccessRefused, CLOCK_SKEW, KEY_LEAD, KEY_LIFE, KeyRing, NoSigningKey,
    SigningKey,
};
pub use api_token::{ApiToken, ApiTokenError, LONGEST_API_TOKEN, NewApiToken};
pub use digest::{Digest, InvalidDigest};
pub use id::{InvalidId, InvalidUserName, KeyId, SessionId, TokenId, UserId, UserName};
pub use opaque::{ApiSecret, OpaqueError, RefreshToken};
pub use password::{
    Check, HASH_MEMORY_KIB, HASH_PASSES, LEAST_CHARACTERS, MOST_BYTES, Password, PasswordError,
    PasswordHash, PasswordHashError, check,
};
pub use role::{Permission, Permissions, Role, UnknownPermission, UnknownRole};
pub use session::{
    Family, GRACE, Over, Presented, Replaced, Revoked, SESSION_IDLE, SESSION_LONGEST, Why,
};

pub use patronus_model::time::Millis;
