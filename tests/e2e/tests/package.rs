//! The Debian package on a whole system.

use anyhow::Result;
use patronus_e2e::container::{packaging, with_package, with_package_and_stock_kernel};

#[test]
fn the_package_installs_runs_survives_its_daemons_death_and_leaves_nothing_behind() -> Result<()> {
    let said = with_package(&packaging("test/package.sh"))?;
    assert!(said.ends_with("all is well\n"), "{said}");
    Ok(())
}

#[test]
fn on_a_stock_kernel_the_package_uses_its_wireguard() -> Result<()> {
    let said = with_package_and_stock_kernel(&packaging("test/package.sh"))?;
    assert!(
        said.contains("tunnels are of the kernel's WireGuard"),
        "{said}"
    );
    assert!(said.ends_with("all is well\n"), "{said}");
    Ok(())
}
