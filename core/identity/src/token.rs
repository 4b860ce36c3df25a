//! Enrolment tokens: what a person carries from the controller to a new router.
//!
//! A token is one word: `patronus1-` and, in base 32, a version, its whole length, id, secret, expiry,
//! the fingerprint of the authority, the controller's URLs, and a checksum of all that. The length is
//! told first, so that one which was cut off is told from one which was mistyped.

use std::fmt;
use std::str::FromStr;

use patronus_model::secret::Secret;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls_pki_types::ServerName;
use zeroize::{Zeroize as _, Zeroizing};

use crate::authority::ControllerName;
use crate::certificate::{Fingerprint, hexadecimal};
use crate::error::IdentityError;
use crate::text::{self, NotBytes};
use crate::time::UnixTime;

/// What every token begins with. Programs that look for secrets in texts find it by this.
const PREFIX: &str = "patronus1-";

const VERSION: u8 = 1;
const CHECKSUM: usize = 4;
/// Version and length.
const HEADER: usize = 3;

/// As many as a router keeps.
const MOST_URLS: usize = 8;

/// Which token. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(u64);

impl TokenId {
    /// As it was written somewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// As it is written somewhere.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.to_bytes(), f)
    }
}

/// What a token proves itself by. It is never printed, and wiped when dropped.
pub struct TokenSecret(Zeroizing<[u8; 16]>);

impl TokenSecret {
    /// Takes a secret over.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

/// Where a controller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerUrl {
    /// Its name or address, which its certificate has.
    pub name: ControllerName,
    /// Its TCP port.
    pub port: u16,
}

/// A text that says nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not where a controller can be: use https://NAME or https://NAME:PORT, for example \
     https://controller.example.net:8443 or https://[2001:db8::1]:8443"
)]
pub struct InvalidUrl(String);

/// The port of a URL that names none (RFC 9110, 4.2.2).
const HTTPS: u16 = 443;

impl FromStr for ControllerUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        parse_url(text).ok_or_else(|| InvalidUrl(text.to_owned()))
    }
}

fn parse_url(text: &str) -> Option<ControllerUrl> {
    let place = text.strip_prefix("https://")?;
    let place = place.strip_suffix('/').unwrap_or(place);
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.contains(':').then_some(())?;
            let port = (!port.is_empty()).then(|| port.strip_prefix(':'));
            (host, port.map_or(Some(None), |port| Some(Some(port?)))?)
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None => HTTPS,
        Some(port) => {
            let number: u16 = port.parse().ok()?;
            // Not `+443` or `0443`.
            (number > 0 && number.to_string() == port).then_some(number)?
        }
    };
    let name = ServerName::try_from(host.to_owned()).ok()?;
    Some(ControllerUrl { name, port })
}

impl fmt::Display for ControllerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.to_str();
        if name.contains(':') {
            write!(f, "https://[{name}]")?;
        } else {
            write!(f, "https://{name}")?;
        }
        match self.port {
            HTTPS => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

/// A token that enrols one router.
#[derive(Debug)]
pub struct Token {
    /// Which one.
    pub id: TokenId,
    /// What it proves itself by.
    pub secret: TokenSecret,
    /// From when on it is of no use. Only the controller decides by this.
    pub expires: UnixTime,
    /// The authority that the controller's certificate must be from.
    pub authority: Fingerprint,
    urls: Vec<ControllerUrl>,
}

/// Why a text is not a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It is something else.
    #[error("this is not an enrolment token, which begins with `{PREFIX}`")]
    Prefix,
    /// A character is none that tokens have.
    #[error(
        "the token is mistyped: its character number {place} is {character:?}, and there are only \
         digits and small letters without i, l, o and u after `{PREFIX}`"
    )]
    Character {
        /// The character.
        character: char,
        /// Its place, counted from 1.
        place: usize,
    },
    /// Its length is not what it says.
    #[error(
        "the token is not complete: it has {found} characters where {expected} are expected, so copy \
         it again, from its beginning to its end"
    )]
    Short {
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// Its length is not what it says.
    #[error(
        "the token is too long: it has {found} characters where {expected} are expected, so there is \
         something after its end, or it is mistyped"
    )]
    Long {
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// Its checksum is wrong.
    #[error("the token is mistyped: its characters do not fit together, so copy it again")]
    Checksum,
    /// It is of a later version.
    #[error("the token is of version {0}, and this program knows version {VERSION}: update it")]
    Version(u8),
    /// It holds something that it cannot.
    #[error("the token is complete, but {0}: it was made by another program")]
    Content(&'static str),
}

impl Token {
    /// Makes a token.
    ///
    /// # Errors
    /// [`IdentityError::Urls`] and [`IdentityError::Cryptography`].
    pub fn generate(
        authority: Fingerprint,
        urls: Vec<ControllerUrl>,
        expires: UnixTime,
    ) -> Result<Self, IdentityError> {
        if !(1..=MOST_URLS).contains(&urls.len()) {
            return Err(IdentityError::Urls {
                given: urls.len(),
                most: MOST_URLS,
            });
        }
        let mut id = [0; 8];
        let mut secret = [0; 16];
        let random = SystemRandom::new();
        let filled = random.fill(&mut id).and_then(|()| random.fill(&mut secret));
        let made = TokenSecret::new(secret);
        secret.zeroize();
        filled.map_err(|_| {
            IdentityError::Cryptography("the system gives no randomness".to_owned())
        })?;
        Ok(Self {
            id: TokenId::from_bytes(id),
            secret: made,
            expires,
            authority,
            urls,
        })
    }

    /// Where the controllers are, in the order in which they are tried.
    #[must_use]
    pub fn urls(&self) -> &[ControllerUrl] {
        &self.urls
    }

    /// The text that is copied.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let mut body = Zeroizing::new(Vec::with_capacity(1024));
        body.extend([VERSION, 0, 0]);
        body.extend(self.id.to_bytes());
        body.extend(self.secret.expose());
        body.extend(self.expires.as_seconds().to_be_bytes());
        body.extend(self.authority.as_bytes());
        body.push(u8::try_from(self.urls.len()).unwrap_or(u8::MAX));
        for url in &self.urls {
            let url = url.to_string();
            // A name has at most 253 characters (RFC 1035, 2.3.4), and the rest 14.
            body.extend(u16::try_from(url.len()).unwrap_or(u16::MAX).to_be_bytes());
            body.extend(url.as_bytes());
        }
        let length = u16::try_from(body.len() + CHECKSUM).unwrap_or(u16::MAX);
        for (to, from) in body.iter_mut().skip(1).zip(length.to_be_bytes()) {
            *to = from;
        }
        let sum = checksum(&body);
        body.extend(sum);
        let digits = Zeroizing::new(text::encode(&body));
        let mut text = String::with_capacity(PREFIX.len() + digits.len());
        text.push_str(PREFIX);
        text.push_str(&digits);
        Secret::new(text)
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    for (to, from) in sum.iter_mut().zip(digest(&SHA256, body).as_ref()) {
        *to = *from;
    }
    sum
}

impl FromStr for Token {
    type Err = InvalidToken;

    /// Reads a token. Blanks and line ends that came in by copying do not matter.
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let mut word = Zeroizing::new(String::with_capacity(text.len()));
        word.extend(text.chars().filter(|it| !it.is_ascii_whitespace()));
        let digits = word.strip_prefix(PREFIX).ok_or(InvalidToken::Prefix)?;
        let body = Zeroizing::new(body(digits)?);
        let mut fields = Fields(body.get(HEADER..).unwrap_or_default());
        let token = fields.token()?;
        if fields.0.is_empty() {
            Ok(token)
        } else {
            Err(InvalidToken::Content("it has more fields than it should"))
        }
    }
}

/// What is between the prefix and the checksum.
fn body(digits: &str) -> Result<Vec<u8>, InvalidToken> {
    let found = PREFIX.len() + digits.chars().count();
    let wrong = |character, place| InvalidToken::Character {
        character,
        place: PREFIX.len() + place + 1,
    };
    // The length stands in the first five characters.
    let short = |expected| InvalidToken::Short { found, expected };
    let (head, _) = match digits.char_indices().nth(text::length(HEADER)) {
        Some((end, _)) => digits.split_at(end),
        None => return Err(short(PREFIX.len() + text::length(HEADER + CHECKSUM))),
    };
    let bad = head.chars().enumerate().find(|(_, it)| {
        let mut one = [0; 4];
        matches!(
            text::decode(it.encode_utf8(&mut one)),
            Err(NotBytes::Character(..))
        )
    });
    if let Some((place, character)) = bad {
        return Err(wrong(character, place));
    }
    // The last of the five has a bit of what follows.
    let padded = format!("{head}000");
    let header = text::decode(&padded).map_err(|_| InvalidToken::Checksum)?;
    let (version, length) = match header.as_slice() {
        [version, high, low, ..] => (*version, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return Err(InvalidToken::Checksum),
    };
    let expected = PREFIX.len() + text::length(length);
    let decoded = match text::decode(digits) {
        Err(NotBytes::Character(character, place)) => return Err(wrong(character, place)),
        _ if found < expected => return Err(short(expected)),
        _ if found > expected => return Err(InvalidToken::Long { found, expected }),
        Err(NotBytes::Tail) => return Err(InvalidToken::Checksum),
        Ok(decoded) => Zeroizing::new(decoded),
    };
    let split = decoded.len().checked_sub(CHECKSUM);
    let (body, sum) = split
        .and_then(|at| decoded.split_at_checked(at))
        .ok_or(InvalidToken::Checksum)?;
    if sum != checksum(body) {
        return Err(InvalidToken::Checksum);
    }
    if version != VERSION {
        return Err(InvalidToken::Version(version));
    }
    Ok(body.to_vec())
}

/// What is left to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn token(&mut self) -> Result<Token, InvalidToken> {
        let id = TokenId::from_bytes(self.array()?);
        let secret = TokenSecret(Zeroizing::new(self.array()?));
        let expires = u64::from_be_bytes(self.array()?);
        let authority = Fingerprint::from_bytes(self.array()?);
        let [count] = self.array()?;
        let mut urls = Vec::new();
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes(self.array()?));
            let url = std::str::from_utf8(self.take(length)?).ok();
            let url = url.and_then(|url| url.parse::<ControllerUrl>().ok());
            urls.push(url.ok_or(InvalidToken::Content("one of its URLs is none"))?);
        }
        if !(1..=MOST_URLS).contains(&urls.len()) {
            return Err(InvalidToken::Content("its number of URLs is wrong"));
        }
        let late = UnixTime::from_seconds(expires);
        if late.as_seconds() != expires {
            return Err(InvalidToken::Content("it ends after the year 9999"));
        }
        Ok(Token {
            id,
            secret,
            expires: late,
            authority,
            urls,
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], InvalidToken> {
        let split = self.0.split_at_checked(length);
        let (taken, rest) = split.ok_or(InvalidToken::Content("a field is missing"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InvalidToken> {
        let taken = self.take(N)?.try_into();
        taken.map_err(|_| InvalidToken::Content("a field is missing"))
    }
}
