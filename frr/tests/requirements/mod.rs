//! What tests with real FRR need. Who lacks it must say that these tests shall not be run: a test
//! that passes though it did nothing is worse than none.

#![allow(clippy::print_stderr, reason = "tests that are skipped say so")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::PathBuf;

use anyhow::{Result, bail};

pub(crate) const FRRINIT: &str = "/usr/lib/frr/frrinit.sh";
pub(crate) const VTYSH: &str = "/usr/bin/vtysh";

const SKIP: &str = "PATRONUS_SKIP_ROOT_TESTS";
const ROOT: &str = "PATRONUS_FRR_ROOT";

/// The root file system whose FRR is to be used, if it is another than this machine's own.
pub(crate) fn frr_root() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}

/// Whether this test was asked not to run.
///
/// # Errors
/// It was not, and something that it needs is missing.
pub(crate) fn skipped() -> Result<bool> {
    let test = std::thread::current().name().unwrap_or("it").to_owned();
    match std::env::var(SKIP).as_deref() {
        Ok("1") => {
            eprintln!("{test}: skipped, because {SKIP}=1");
            return Ok(true);
        }
        Ok(other) => bail!("{SKIP}={other}: it must be 1, which skips {test}, or not be set"),
        Err(_) => {}
    }
    if let Some(root) = frr_root().filter(|root| !root.is_absolute()) {
        bail!("{ROOT}={}: it must be an absolute path", root.display());
    }
    let mut missing = Vec::new();
    if !is_root() {
        missing.push("root (run `make test`, which takes sudo)");
    }
    let root = frr_root().unwrap_or_else(|| "/".into());
    let within = |file: &&str| root.join(file.trim_start_matches('/')).exists();
    if ![FRRINIT, VTYSH].iter().all(within) {
        missing.push(match frr_root() {
            Some(_) => "FRR in PATRONUS_FRR_ROOT (packaging/test/other-frr.sh makes such a root)",
            None => "FRR (run `make setup`, or install the Debian package frr)",
        });
    }
    if missing.is_empty() {
        return Ok(false);
    }
    bail!("{test} needs {}; {SKIP}=1 skips it", missing.join(" and "))
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("Uid:\t0\t0")))
}
