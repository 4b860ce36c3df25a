//! Passwords: which are taken, and how they are kept.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use data_encoding::BASE32_DNSSEC;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::id::UserName;

/// Memory for one hash, KiB: with [`HASH_PASSES`] and one lane, the first choice of OWASP's Password
/// Storage Cheat Sheet for argon2id (19 MiB). RFC 9106 section 4 would take 64 MiB and four lanes,
/// three times as long, on a machine that has nothing else to do.
pub const HASH_MEMORY_KIB: u32 = 19 * 1024;

/// How often the memory is gone over.
pub const HASH_PASSES: u32 = 2;

const LANES: u32 = 1;
const HASH_BYTES: usize = 32;

/// More than this is nobody's choice but an attack on our memory by way of the database.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;

/// NIST SP 800-63B-4 section 3.1.1.2: where a password is all that is asked for, it has at least 15
/// characters. Which characters is up to people.
pub const LEAST_CHARACTERS: usize = 15;

/// So that nobody keeps us busy with normalising megabytes. NIST asks for 64 characters at least.
pub const MOST_BYTES: usize = 1024;

/// By how much UTF-8 grows at most under NFKC: U+FDFA does (Unicode FAQ, Normalization).
const NFKC_GROWTH: usize = 11;

/// A password that may be set.
pub struct Password(Zeroizing<String>);

/// Why a password may not be set. It is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error(
        "a password has at least {LEAST_CHARACTERS} characters, and this one has {characters}; \
         three or four words will do"
    )]
    Short {
        /// How many it has.
        characters: usize,
    },
    /// Too long.
    #[error("a password has at most {MOST_BYTES} bytes, and this one has {bytes}")]
    Long {
        /// How many it has.
        bytes: usize,
    },
    /// Nobody can type it into every place where it may be asked for.
    #[error("a password has no control characters, such as the end of a line")]
    Control,
    /// It would be among the first that anybody tries.
    #[error(
        "this password can be guessed: it is something short again and again, or hardly more than \
         the name of the user or of this program"
    )]
    Guessable,
}

impl Password {
    /// Takes a password that a user chose: by its length and by whether it is easily guessed, not by
    /// what kinds of characters are in it (NIST SP 800-63B-4 section 3.1.1.2).
    ///
    /// # Errors
    /// It may not be set.
    pub fn new(text: &str, user: &UserName) -> Result<Self, PasswordError> {
        if text.len() > MOST_BYTES {
            return Err(PasswordError::Long { bytes: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(PasswordError::Control);
        }
        let text = normalized(text);
        let characters = text.chars().count();
        if characters < LEAST_CHARACTERS {
            return Err(PasswordError::Short { characters });
        }
        match is_guessable(&text, user) {
            true => Err(PasswordError::Guessable),
            false => Ok(Self(text)),
        }
    }

    /// One that nobody has to think of, from random bytes: 120 bits, in groups that can be read out.
    /// It is shown once.
    #[must_use]
    pub fn generate(random: [u8; 15]) -> Self {
        let random = Zeroizing::new(random);
        let letters = Zeroizing::new(BASE32_DNSSEC.encode(&*random));
        let mut text = Zeroizing::new(String::with_capacity(letters.len() * 2));
        for (at, letter) in letters.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                text.push('-');
            }
            text.push(letter);
        }
        Self(text)
    }

    /// The text itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The same password typed on another keyboard is the same password (NIST SP 800-63B, UAX #15).
fn normalized(text: &str) -> Zeroizing<String> {
    // Long enough from the beginning, so that no copy is left behind.
    let mut result = Zeroizing::new(String::with_capacity(text.len() * NFKC_GROWTH));
    result.extend(text.nfkc());
    result
}

/// What anybody would try first, as far as that can be said without a list of a million passwords.
fn is_guessable(text: &str, user: &UserName) -> bool {
    let lower = Zeroizing::new(text.to_lowercase());
    let letters = Zeroizing::new(lower.chars().collect::<Vec<_>>());
    let pairs = |apart: usize| letters.iter().zip(letters.iter().skip(apart));
    let repeats = |period: usize| pairs(period).all(|(one, next)| one == next);
    let follows =
        |one: char, next: char| u32::from(next) == u32::from(one) + 1 || (one, next) == ('9', '0');
    let counts = pairs(1).all(|(one, next)| follows(*one, *next))
        || pairs(1).all(|(one, next)| follows(*next, *one));
    // Eight characters of one's own are what NIST asks for beside a second factor.
    let own = |known: &str| {
        let rest = Zeroizing::new(lower.replace(known, ""));
        rest.chars().count() < 8 && lower.contains(known)
    };
    let known = [user.as_str(), "patronus", "password"];
    (1..=5).any(repeats) || counts || known.into_iter().any(own)
}

/// A password as it is kept: argon2id (RFC 9106) in PHC string format.
#[derive(Clone)]
pub struct PasswordHash(phc::PasswordHash);

/// Why a password cannot be hashed, or text is no hash of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    /// There is not enough memory at the moment.
    #[error("the password cannot be hashed: {0}")]
    Failed(String),
    /// What is kept is no hash that we could have made.
    #[error("what is kept is not the hash of a password: {0}")]
    Foreign(String),
}

impl PasswordHash {
    /// Hashes a password with today's parameters, and a salt of random bytes. This takes as long and
    /// as much memory as it should: see [`HASH_MEMORY_KIB`].
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(password: &Password, salt: [u8; 16]) -> Result<Self, PasswordHashError> {
        hash(&password.0, &salt).map(Self)
    }

    /// Whether it was made with other parameters than today's. Who then has the password at hand
    /// makes a new one.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let today = parameters().ok();
        let its = Params::try_from(&self.0).ok();
        its.zip(today).is_none_or(|(its, today)| {
            let costs = |it: &Params| (it.m_cost(), it.t_cost(), it.p_cost());
            costs(&its) != costs(&today)
        })
    }

    /// The PHC string, for the database and nobody else.
    #[must_use]
    pub fn phc(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, PasswordHashError> {
        let foreign = |why: &str| PasswordHashError::Foreign(why.to_owned());
        let hash = phc::PasswordHash::new(text).map_err(|error| foreign(&error.to_string()))?;
        if hash.algorithm != Algorithm::Argon2id.ident() {
            return Err(foreign("its algorithm is not argon2id"));
        }
        if hash.version != Some(Version::V0x13.into()) {
            return Err(foreign("its version is not 19"));
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(foreign("it has no salt or no hash"));
        }
        let costs = Params::try_from(&hash).map_err(|error| foreign(&error.to_string()))?;
        if costs.m_cost() > MOST_MEMORY_KIB || costs.t_cost() > MOST_PASSES || costs.p_cost() > 4 {
            return Err(foreign(
                "it would take more memory or time than any of ours",
            ));
        }
        Ok(Self(hash))
    }
}

/// Whether a password is the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// No; or there is no such user, or the user has no password.
    Wrong,
    /// Yes.
    Right,
    /// Yes, and it should be hashed anew.
    Outdated,
}

/// Checks a password against what is kept of it. Where nothing is kept, because there is no such
/// user, it takes the same time: otherwise one could find out who is there (OWASP Authentication
/// Cheat Sheet). What is said to whoever asks must be the same too.
///
/// This takes 19 MiB and tens of milliseconds of a processor: the caller asks a
/// [`limit::Limiter`](crate::limit::Limiter) first, does it where nothing waits for it, and few at
/// once.
///
/// # Errors
/// There is not enough memory. That is no answer about the password.
pub fn check(kept: Option<&PasswordHash>, attempt: &str) -> Result<Check, PasswordHashError> {
    // One that is too long cannot be right, but that takes the same time too.
    let (kept, attempt) = match attempt.len() > MOST_BYTES {
        true => (None, ""),
        false => (kept, attempt),
    };
    let attempt = normalized(attempt);
    let Some(kept) = kept else {
        hash(&attempt, &[0; 16])?;
        return Ok(Check::Wrong);
    };
    // Compares in constant time.
    match argon2()?.verify_password(attempt.as_bytes(), &kept.0) {
        Ok(()) if kept.is_outdated() => Ok(Check::Outdated),
        Ok(()) => Ok(Check::Right),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Check::Wrong),
        Err(other) => Err(PasswordHashError::Failed(other.to_string())),
    }
}

fn hash(normalized: &str, salt: &[u8; 16]) -> Result<phc::PasswordHash, PasswordHashError> {
    let hash = argon2()?.hash_password_with_salt(normalized.as_bytes(), salt);
    hash.map_err(|error| PasswordHashError::Failed(error.to_string()))
}

fn argon2() -> Result<Argon2<'static>, PasswordHashError> {
    Ok(Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        parameters()?,
    ))
}

fn parameters() -> Result<Params, PasswordHashError> {
    Params::new(HASH_MEMORY_KIB, HASH_PASSES, LANES, Some(HASH_BYTES))
        .map_err(|error| PasswordHashError::Failed(error.to_string()))
}
