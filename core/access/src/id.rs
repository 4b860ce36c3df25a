//! Names of users, and ids of what is made for them.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_DNSSEC;
use zeroize::Zeroizing;

/// 80 random bits: nobody has to guess them, and of a million no two are the same.
const ID_BYTES: usize = 10;

/// Text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the id of a {what}: those are 16 of the characters 0-9 and a-v")]
pub struct InvalidId {
    /// What it should be.
    pub what: &'static str,
    /// The text.
    pub text: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident: $what:literal)+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; ID_BYTES]);

        impl $name {
            /// A new one, from random bytes.
            #[must_use]
            pub const fn new(random: [u8; ID_BYTES]) -> Self {
                Self(random)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&BASE32_DNSSEC.encode(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let bytes = decode(text).ok_or_else(|| InvalidId {
                    what: $what,
                    text: text.to_owned(),
                })?;
                Ok(Self(bytes))
            }
        }
    )+ };
}

ids! {
    /// Which user something is about, whatever the user is called now.
    UserId: "user"
    /// Which session something is about; it says nothing about the session's tokens.
    SessionId: "session"
    /// Which API token something is about; it is a part of the token that is no secret.
    TokenId: "token"
    /// Which key an access token was signed with.
    KeyId: "key"
}

impl TokenId {
    pub(crate) const fn bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }
}

/// The bytes of base 32 in the one form that we write it in. They may be a secret.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = Zeroizing::new(BASE32_DNSSEC.decode(text.as_bytes()).ok()?);
    // Capitals are read as well, and one thing shall have one name.
    let again = Zeroizing::new(BASE32_DNSSEC.encode(&bytes));
    (*again == text).then_some(())?;
    bytes.as_slice().try_into().ok()
}

/// What a user is called: 1 to 64 of `a-z`, `0-9` and `.-_@`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Box<str>);

/// The longest name of a user.
const LONGEST_NAME: usize = 64;

/// Text is no name of a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} cannot be the name of a user: 1 to 64 lower-case letters, digits and .-_@ can be, \
     with a letter or digit at the beginning"
)]
pub struct InvalidUserName {
    /// The text, or its beginning.
    pub text: String,
}

impl UserName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, InvalidUserName> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let good = text.len() <= LONGEST_NAME
            && text.starts_with(plain)
            && text.chars().all(|c| plain(c) || ".-_@".contains(c));
        match good {
            true => Ok(Self(text.into())),
            false => Err(InvalidUserName {
                text: text.chars().take(LONGEST_NAME).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form() {
        let id = UserId::new([7; 10]);
        let text = id.to_string();
        assert_eq!(text.len(), 16);
        assert_eq!(text.parse(), Ok(id));
        for wrong in [
            text.to_uppercase(),
            text.replace('0', "z"),
            format!("{text}00"),
            String::new(),
        ] {
            assert!(wrong.parse::<UserId>().is_err(), "{wrong}");
        }
        assert_eq!(
            "x".parse::<KeyId>().unwrap_err().to_string(),
            "\"x\" is not the id of a key: those are 16 of the characters 0-9 and a-v"
        );
    }

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "anna", "anna.b-c_d@example.org", "7", &"a".repeat(64)] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        for bad in ["", "Anna", "-a", "a b", "ä", "a\n", "a/b", &"a".repeat(65)] {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?}");
        }
    }
}
