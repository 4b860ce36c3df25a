//! The configuration file and the objects of an intent: their formats, their checks, and their way
//! into the model.
//!
//! ```text
//! text ──tree──► values with positions ──read──► the file's types ──check──► RouterConfig
//!                                                     │
//!                                    shape ──► JSON Schema, reference
//! RouterConfig ──render──► text
//! ```
//!
//! There is no I/O here. What lies outside of the file, keys and password files, comes through
//! [`Outside`].
//!
//! Neither serde nor schemars is used: serde stops at the first error and loses positions, while
//! one `section!` per mapping in `file` gives a reader that goes on after each error, the JSON
//! Schema and the reference, from the same lines.

mod canonical;
mod check;
mod diagnostic;
mod file;
mod intent;
mod place;
mod read;
mod reference;
mod render;
mod schema;
mod section;
mod shape;
mod tree;
mod values;

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use patronus_model::ids::{IfName, UplinkName};
use patronus_model::router::RouterConfig;
use patronus_model::secret::Secret;
use patronus_model::wireguard::PublicKey;

pub use diagnostic::{Diagnostic, Severity};
pub use intent::{Manifest, default_classes, read_objects};
pub use reference::{intent_reference, reference};
pub use render::{Secrets, assemble, render, render_own, render_policy, render_site};
pub use schema::{intent_schema, json_schema};
pub use tree::MOST_BYTES;
pub use values::parse_dscp;

use diagnostic::Sink;
use place::{Place, Position};
use read::{At, Read};

/// What a configuration refers to, but does not hold.
pub struct Outside<'a> {
    /// The public half of the key of one of our uplinks.
    pub public_key: &'a dyn Fn(&UplinkName) -> Result<OwnKey, NoKey>,
    /// The content of a password file; white space at its end is ignored.
    pub password: &'a dyn Fn(&Path) -> Result<Secret, NoPassword>,
    /// The addresses of an interface here and now; none where that is not known, or not of interest.
    pub addresses: &'a dyn Fn(&IfName) -> Addresses,
    /// What is in force and is to be replaced, for warnings about what the step from one to the
    /// other means elsewhere; `None` where nothing is, or nobody knows.
    pub before: Option<&'a RouterConfig>,
}

/// The addresses of an interface, and those next to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Those of this router.
    pub own: Vec<IpAddr>,
    /// The networks that the interface is in. Of a link between two, each end is one.
    pub networks: Vec<IpNet>,
}

/// The key of one of our uplinks, as far as it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnKey {
    /// Its public half.
    pub public: PublicKey,
    /// What is not as it should be, although the configuration can be used.
    pub doubt: Option<KeyDoubt>,
}

impl From<PublicKey> for OwnKey {
    fn from(public: PublicKey) -> Self {
        Self {
            public,
            doubt: None,
        }
    }
}

/// What is not as it should be with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyDoubt {
    /// Others than its owner may use its file, in words like `keys/fibre has mode 0644`.
    Exposed(String),
    /// There is none yet, in words like `there is no file keys/fibre`.
    Missing(String),
    /// It cannot be looked at here and now, in words like `keys/fibre: permission denied`, which
    /// says nothing about the router.
    Unseen(String),
}

/// Why an uplink has no key, in words like `keys/fibre: permission denied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// What is kept as its key is none.
    Invalid(String),
    /// Its key cannot be read. It may well be good.
    Unreadable(String),
}

/// Why there is no password, in words like `permission denied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPassword {
    /// The router cannot read its file: the configuration cannot be used.
    Unreadable(String),
    /// Its file cannot be read here and now, which says nothing about the router.
    Elsewhere(String),
}

/// A configuration together with the warnings about it, in the order of the file.
pub type Parsed = (RouterConfig, Vec<Diagnostic>);

/// Reads a configuration.
///
/// `file_name` is only used in messages.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in the order of the file; at least one of
/// them is an error.
pub fn parse(
    text: &str,
    file_name: &str,
    outside: &Outside<'_>,
) -> Result<Parsed, Vec<Diagnostic>> {
    let mut sink = Sink::new(file_name);
    let config =
        read_file(text, &mut sink).and_then(|file| check::router(&file, outside, &mut sink));
    match config {
        Some(config) if !sink.failed() => Ok((config, sink.finish())),
        Some(_) => Err(sink.finish()),
        None => {
            if !sink.failed() {
                // Every way to have no configuration reports an error first; if one is ever
                // forgotten, the file is refused all the same.
                let problem = "it cannot be used, and Patronus does not know why";
                sink.error(&Place::file(Position::START), problem, "please report this");
            }
            Err(sink.finish())
        }
    }
}

/// Checks a configuration without its surroundings: keys and password files are taken to be good.
///
/// Gives errors and warnings in the order of the file.
#[must_use]
pub fn check(text: &str, file_name: &str) -> Vec<Diagnostic> {
    findings(parse_alone(text, file_name))
}

/// What is there to check a configuration against, where nobody is going to use it.
pub struct Surroundings<'a> {
    /// What is wrong with the key of one of our uplinks, of which no more need be known.
    pub key: &'a dyn Fn(&UplinkName) -> Result<Option<KeyDoubt>, NoKey>,
    /// As in [`Outside`].
    pub password: &'a dyn Fn(&Path) -> Result<Secret, NoPassword>,
    /// As in [`Outside`].
    pub addresses: &'a dyn Fn(&IfName) -> Addresses,
}

/// The same in its surroundings.
#[must_use]
pub fn check_in(text: &str, file_name: &str, surroundings: &Surroundings<'_>) -> Vec<Diagnostic> {
    let public_key = |uplink: &UplinkName| {
        let doubt = (surroundings.key)(uplink)?;
        let public = stand_in(uplink);
        Ok(OwnKey { public, doubt })
    };
    let outside = Outside {
        public_key: &public_key,
        password: surroundings.password,
        addresses: surroundings.addresses,
        before: None,
    };
    findings(parse(text, file_name, &outside))
}

fn findings(parsed: Result<Parsed, Vec<Diagnostic>>) -> Vec<Diagnostic> {
    match parsed {
        Ok((_, warnings)) => warnings,
        Err(found) => found,
    }
}

/// The configuration with every default written out, without its surroundings and without its
/// passwords, and the warnings about it.
///
/// # Errors
/// Like [`parse`].
pub fn effective(
    text: &str,
    file_name: &str,
) -> Result<(String, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (config, warnings) = parse_alone(text, file_name)?;
    Ok((render(&config, Secrets::LeftOut), warnings))
}

fn parse_alone(text: &str, file_name: &str) -> Result<Parsed, Vec<Diagnostic>> {
    parse(text, file_name, &outside_unknown())
}

/// What can be said where the router's surroundings are not known: all is well with them.
fn outside_unknown() -> Outside<'static> {
    Outside {
        public_key: &|name| Ok(OwnKey::from(stand_in(name))),
        password: &|_| Ok(Secret::new("stand-in".to_owned())),
        addresses: &|_| Addresses::default(),
        before: None,
    }
}

/// A key that no other uplink has; it is never shown.
fn stand_in(name: &UplinkName) -> PublicKey {
    let mut key = [0xff; 32];
    for (to, from) in key.iter_mut().zip(name.as_str().bytes()) {
        *to = from;
    }
    PublicKey(key)
}

/// The text of a file.
///
/// # Errors
/// Says where it is not UTF-8.
pub fn decode<'a>(bytes: &'a [u8], file_name: &str) -> Result<&'a str, Vec<Diagnostic>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        vec![Diagnostic {
            severity: Severity::Error,
            file: file_name.to_owned(),
            line: number(good.matches('\n').count()).saturating_add(1),
            column: number(good.chars().rev().take_while(|c| *c != '\n').count()).saturating_add(1),
            field: String::new(),
            value: None,
            problem: "not UTF-8".to_owned(),
            help: "save the file in the encoding UTF-8".to_owned(),
        }]
    })
}

fn read_file(text: &str, sink: &mut Sink) -> Option<At<file::File>> {
    let root = tree::read(text, sink)?;
    let place = Place::file(root.position);
    let value = file::File::read(&root, &place, sink)?;
    Some(At { value, place })
}
