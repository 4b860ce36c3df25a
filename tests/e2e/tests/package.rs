//! The Debian package on a whole system.

use anyhow::Result;
use patronus_e2e::container::{packaging, with_package};

#[test]
fn the_package_installs_runs_survives_its_daemons_death_and_leaves_nothing_behind() -> Result<()> {
    let said = with_package(&packaging("test/package.sh"))?;
    assert!(said.ends_with("all is well\n"), "{said}");
    Ok(())
}
