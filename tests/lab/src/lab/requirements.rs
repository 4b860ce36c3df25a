//! Says what is missing on this machine before anything is made.

use std::path::Path;

use anyhow::{Result, bail};

use crate::plan::Plan;
use crate::topology::Addressing;

/// Program and Debian package.
const ALWAYS: &[(&str, &str)] = &[("ip", "iproute2")];
const FOR_NAT: &[(&str, &str)] = &[("nft", "nftables")];
const FOR_DHCP: &[(&str, &str)] = &[("dnsmasq", "dnsmasq-base"), ("udhcpc", "udhcpc")];

/// Checks that the programs which a plan needs are installed.
///
/// # Errors
/// Names what is missing, and the packages.
pub(super) fn check(plan: &Plan) -> Result<()> {
    let mut needed = ALWAYS.to_vec();
    if plan
        .uplinks()
        .any(|(_, uplink)| uplink.nat || uplink.direct)
    {
        needed.extend(FOR_NAT);
    }
    if plan
        .uplinks()
        .any(|(_, uplink)| uplink.addressing == Addressing::Dhcp)
    {
        needed.extend(FOR_DHCP);
    }
    require(&needed)
}

/// Checks that programs are installed.
///
/// # Errors
/// Names what is missing, and the packages.
pub(crate) fn require(needed: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> = needed
        .iter()
        .filter(|(program, _)| !installed(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    bail!(
        "not installed: {}; run: apt-get install {}",
        programs.join(", "),
        packages.join(" ")
    )
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| is_program(&dir.join(program)))
        || is_program(Path::new(program))
}

fn is_program(path: &Path) -> bool {
    path.is_absolute() && path.is_file()
}
