//! Reads the configuration file and what it refers to.

use std::fs;
use std::path::Path;

use patronus_config::{Diagnostic, Outside, Parsed};
use patronus_linux::KeyStore;
use patronus_model::Secret;
use patronus_model::ids::UplinkName;
use patronus_model::wireguard::PublicKey;

use crate::places::Places;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{file}: {reason}. Create it; `patronus config example` prints one to begin with.")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The file is not a valid configuration.
    #[error("{}", display(.0))]
    Invalid(Vec<Diagnostic>),
    /// What marks our kernel objects cannot be changed while they are there.
    #[error(
        "the section `kernel` has changed: what is in the kernel would not be recognised any more. \
         Stop patronusd, run `patronus teardown`, and start it again"
    )]
    NeedsRestart,
}

fn display(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Reads the configuration. Keys of uplinks that are new are generated.
///
/// # Errors
/// [`LoadError`]; nothing has been changed then, except that keys may have been generated.
pub fn load(places: &Places) -> Result<Parsed, LoadError> {
    let file = places.config.display().to_string();
    let bytes = fs::read(&places.config).map_err(|reason| LoadError::Unreadable {
        file: file.clone(),
        reason,
    })?;
    let text = patronus_config::decode(&bytes, &file).map_err(LoadError::Invalid)?;
    let keys = KeyStore::new(&places.keys());
    let public_key = |uplink: &UplinkName| -> Result<PublicKey, String> {
        keys.get_or_create(uplink).map_err(|error| error.report())
    };
    let password = |file: &Path| {
        let text = fs::read_to_string(places.beside_config(file)).map_err(|e| e.to_string())?;
        Ok(Secret::new(text))
    };
    let outside = Outside {
        public_key: &public_key,
        password: &password,
    };
    patronus_config::parse(text, &file, &outside).map_err(LoadError::Invalid)
}
