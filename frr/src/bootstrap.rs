//! The pathspace: where FRR's files are, and what is in those from which it starts.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::daemon::Daemon;
use crate::directory::Directory;
use crate::render::FRR_CONF_HEAD;

const ETC_MODE: u32 = 0o750;
const RUN_MODE: u32 = 0o755;

/// The configuration from which daemons start.
pub(crate) const FRR_CONF: &str = "frr.conf";

/// The pathspace of production, as `frrinit.sh start patronus` takes it.
pub const PATHSPACE: &str = "patronus";

/// `daemons`, which `frrinit.sh` sources.
const DAEMONS: &str = "\
# Written by patronusd; changes are overwritten.
bgpd=yes
bfdd=no
vtysh_enable=yes

# No vty on TCP (-P 0). zebra keeps the routes of its predecessor for 30 s (-K), and replaces an
# IPv6 route in one step rather than delete and add it. Its netlink buffer is Debian's default.
zebra_options=\"-P 0 -K 30 --v6-rr-semantics -s 90000000\"
bgpd_options=\"-P 0\"
staticd_options=\"-P 0\"
mgmtd_options=\"-P 0\"
frr_global_options=\"--log syslog\"
frr_profile=\"traditional\"

# Look every second and restart at once. With watchfrr's own 60 s between restarts a daemon that
# dies within a minute of its start stays dead for the rest of it.
watchfrr_options=\"-i 1 -t 30 --min-restart-interval 1 --max-restart-interval 10\"

# The stock unit allows 1024 files, which bgpd with 1,000 neighbours exceeds.
MAX_FDS=65536
";

/// zebra reads this before it speaks to the kernel. The same line in `frr.conf` reaches it only
/// after it has replaced all routes of its predecessor by ones with nexthop objects.
const ZEBRA_CONF: &str = "no zebra nexthop kernel enable\n";

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrrPaths {
    /// Name of the pathspace.
    pub pathspace: String,
    /// Its directory of configuration, `/etc/frr/patronus`.
    pub etc: PathBuf,
    /// Its directory of sockets, `/run/frr/patronus`.
    pub run: PathBuf,
    /// The program that checks syntax; `None` leaves the check out.
    pub vtysh: Option<PathBuf>,
    /// User and group ids of FRR; `None` leaves files with their maker.
    pub owner: Option<Owner>,
}

/// A user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl FrrPaths {
    /// The paths of Debian's package. Files will belong to whom `/etc/frr` belongs to, which is
    /// the user that the package made.
    ///
    /// # Errors
    /// When `/etc/frr` is not there, so FRR is not installed.
    pub fn debian() -> io::Result<Self> {
        let parent = fs::metadata("/etc/frr")?;
        Ok(Self {
            pathspace: PATHSPACE.to_owned(),
            etc: Path::new("/etc/frr").join(PATHSPACE),
            run: Path::new("/run/frr").join(PATHSPACE),
            vtysh: Some(PathBuf::from("/usr/bin/vtysh")),
            owner: Some(Owner {
                uid: parent.uid(),
                gid: parent.gid(),
            }),
        })
    }

    /// The socket of a daemon.
    #[must_use]
    pub fn socket(&self, daemon: Daemon) -> PathBuf {
        self.run.join(format!("{daemon}.vty"))
    }

    /// The configuration from which daemons start.
    #[must_use]
    pub fn frr_conf(&self) -> PathBuf {
        self.etc.join(FRR_CONF)
    }
}

/// A file of the pathspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name in `etc`.
    pub name: &'static str,
    /// What is in it.
    pub content: &'static str,
    /// Whether it is only made when missing, because it is written to later.
    pub initial: bool,
}

/// The files from which FRR starts in the pathspace, before anything is configured.
#[must_use]
pub const fn files() -> [File; 4] {
    [
        File {
            name: "daemons",
            content: DAEMONS,
            initial: false,
        },
        File {
            name: "vtysh.conf",
            content: "service integrated-vtysh-config\n",
            initial: false,
        },
        File {
            name: "zebra.conf",
            content: ZEBRA_CONF,
            initial: false,
        },
        File {
            name: FRR_CONF,
            content: FRR_CONF_HEAD,
            initial: true,
        },
    ]
}

/// Makes the pathspace, or brings it up to date. Returns the names of the files that were written;
/// when it holds more than `frr.conf` and FRR is running, FRR wants a restart.
///
/// # Errors
/// When a directory or file cannot be made; what was written before stays.
pub fn install(paths: &FrrPaths) -> io::Result<Vec<&'static str>> {
    let etc = Directory::make(&paths.etc, ETC_MODE, paths.owner)?;
    Directory::make(&paths.run, RUN_MODE, paths.owner)?;
    let mut written = Vec::new();
    for file in files() {
        let there = etc.read(file.name)?;
        let good = there.is_some_and(|there| file.initial || there == file.content.as_bytes());
        if !good {
            etc.replace(file.name, file.content.as_bytes(), paths.owner)?;
            written.push(file.name);
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::FILE_MODE;
    use crate::render::ZEBRA_LINE;
    use std::os::unix::fs::PermissionsExt;

    fn paths(root: &Path) -> FrrPaths {
        FrrPaths {
            pathspace: PATHSPACE.to_owned(),
            etc: root.join("etc/patronus"),
            run: root.join("run/patronus"),
            vtysh: None,
            owner: None,
        }
    }

    #[test]
    fn installing_twice_writes_nothing_the_second_time() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path());
        let names = ["daemons", "vtysh.conf", "zebra.conf", "frr.conf"];
        assert_eq!(install(&paths).unwrap(), names);
        assert!(install(&paths).unwrap().is_empty());
        let mode = fs::metadata(paths.frr_conf()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, FILE_MODE);
    }

    #[test]
    fn a_configuration_that_is_there_survives() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path());
        install(&paths).unwrap();
        fs::write(paths.frr_conf(), "router bgp 1\n").unwrap();
        fs::write(paths.etc.join("daemons"), "bgpd=no\n").unwrap();
        assert_eq!(install(&paths).unwrap(), ["daemons"]);
        assert_eq!(
            fs::read_to_string(paths.frr_conf()).unwrap(),
            "router bgp 1\n"
        );
    }

    #[test]
    fn zebra_starts_with_what_it_is_told_later() {
        assert_eq!(ZEBRA_CONF.trim_end(), ZEBRA_LINE);
    }
}
