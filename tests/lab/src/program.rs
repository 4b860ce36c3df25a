//! Finds the `patronus-lab` binary, from which supervisors and relays are started.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

/// Names the helper binary explicitly.
const VARIABLE: &str = "PATRONUS_LAB_BIN";

/// What the sources of this library hash to; the helper must have been built from the same.
pub const FINGERPRINT: &str = env!("PATRONUS_LAB_FINGERPRINT");

/// The path of the helper binary, checked once per process.
///
/// # Errors
/// When it is missing or was built from other sources; the message says what to run.
pub(crate) fn path() -> Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    found.clone().map_err(|message| anyhow!(message))
}

fn find() -> Result<PathBuf> {
    let this = env::current_exe().context("finding the running program")?;
    if this.file_name().is_some_and(|name| name == "patronus-lab") {
        return Ok(this);
    }
    let path = match env::var_os(VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => beside(&this)?,
    };
    let answer = Command::new(&path)
        .arg("fingerprint")
        .output()
        .with_context(|| format!("running {}", path.display()))?;
    if String::from_utf8_lossy(&answer.stdout).trim() != FINGERPRINT {
        bail!(
            "{} was built from other sources than this program; run: cargo build -p patronus-lab",
            path.display()
        );
    }
    Ok(path)
}

/// Tests live in `target/PROFILE/deps`, binaries in `target/PROFILE`.
fn beside(this: &std::path::Path) -> Result<PathBuf> {
    let candidates: Vec<PathBuf> = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("patronus-lab"))
        .collect();
    candidates
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .with_context(|| {
            let looked: Vec<String> = candidates
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            format!(
                "the binary patronus-lab is missing (looked for {}); \
             run: cargo build -p patronus-lab, or set {VARIABLE}",
                looked.join(" and ")
            )
        })
}
