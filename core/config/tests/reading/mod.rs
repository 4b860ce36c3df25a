//! Reads configurations as a router does whose keys and password files are all good.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module of several tests, which may panic and do not all use all of it"
)]

use std::fs;
use std::path::Path;

use patronus_config::{Addresses, Diagnostic, Outside, Parsed, parse};
use patronus_model::ids::UplinkName;
use patronus_model::router::RouterConfig;
use patronus_model::secret::Secret;
use patronus_model::wireguard::PublicKey;

/// One of the files in `docs/examples`.
pub fn example(name: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    fs::read_to_string(examples.join(name)).unwrap()
}

/// The key that an uplink of this name has.
pub fn key(name: &UplinkName) -> PublicKey {
    PublicKey([name.as_str().len() as u8; 32])
}

/// What lies outside of a file: all is well with it.
pub fn outside(before: Option<&RouterConfig>) -> Outside<'_> {
    Outside {
        public_key: &|name| Ok(key(name).into()),
        password: &|_| Ok(Secret::new("secret\n".to_owned())),
        addresses: &|_| Addresses::default(),
        before,
    }
}

/// What a file becomes, with the warnings about it; it is called `c` in these.
pub fn parsed(text: &str, before: Option<&RouterConfig>) -> Parsed {
    let parsed = parse(text, "c", &outside(before));
    parsed.unwrap_or_else(|found| panic!("{text}\n{found:#?}"))
}

/// What a file becomes that nothing is to be said about.
pub fn read(text: &str) -> RouterConfig {
    let (config, warnings) = parsed(text, None);
    assert_eq!(warnings, []);
    config
}

/// What a reload of a file warns of.
pub fn warnings_after(text: &str, before: &RouterConfig) -> Vec<String> {
    lines(&parsed(text, Some(before)).1)
}

/// Findings, each as it is printed in one line.
pub fn lines(found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}
