//! Whether systemd runs this machine: advice to ask it is of no use where it does not.

use std::path::Path;

use patronus_frr::Daemon;

/// Whether systemd is PID 1 (sd_booted(3)).
pub(crate) fn runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The unit of the package that runs a routing daemon.
pub(crate) const fn unit(daemon: Daemon) -> &'static str {
    match daemon {
        Daemon::Bfdd => BFDD,
        Daemon::Zebra | Daemon::Bgpd | Daemon::Staticd | Daemon::Mgmtd => "patronus-frr",
    }
}

/// That of bfdd.
pub(crate) const BFDD: &str = "patronus-bfdd";
