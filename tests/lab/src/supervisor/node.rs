//! A node: a network, a mount and a UTS namespace, and the process which holds them.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Group, Pid, User, pause, pipe2, sethostname, setsid};

use super::serve::make_mounts_private;
use crate::sys;

/// The process which keeps the namespaces of a node alive.
#[derive(Debug)]
pub(crate) struct Holder {
    /// Its pid inside the lab.
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
}

/// Makes a node.
///
/// # Errors
/// When a namespace or a mount is refused.
pub(crate) fn create(name: &str) -> Result<Holder> {
    let owner = FrrOwner::find();
    let (from_child, to_parent) = pipe2(OFlag::O_CLOEXEC)?;
    match sys::fork_single_threaded()? {
        ForkResult::Child => {
            drop(from_child);
            let mut to_parent = fs::File::from(to_parent);
            if let Err(error) = furnish(name, &owner) {
                let _ = write!(to_parent, "{error:#}");
                sys::exit_now(1);
            }
            hold()
        }
        ForkResult::Parent { child } => {
            drop(to_parent);
            let mut problem = String::new();
            fs::File::from(from_child).read_to_string(&mut problem)?;
            if !problem.is_empty() {
                bail!("making node {name}: {problem}");
            }
            Ok(Holder {
                pid: child,
                pidfd: sys::pidfd_open(child)?,
            })
        }
    }
}

/// Keeps the namespaces until it is killed with the lab. Closing its descriptors tells the
/// supervisor that the node is ready.
fn hold() -> ! {
    let _ = prctl::set_name(c"lab-node");
    let _ = setsid();
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    if let Ok(null) = fs::File::options().read(true).write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(&null);
        let _ = nix::unistd::dup2_stdout(&null);
        let _ = nix::unistd::dup2_stderr(&null);
    }
    sys::close_from(3);
    loop {
        pause();
    }
}

/// Makes the namespaces, and a file system in which the node can write where it likes: fresh
/// `/run`, `/etc/frr` and `/var/tmp`, and copy-on-write `/etc` and `/var`. `/tmp` stays shared, so
/// that tests can hand files to their nodes.
fn furnish(name: &str, frr: &FrrOwner) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
        .context("making namespaces")?;
    make_mounts_private()?;
    sethostname(name)?;
    sys::set_link("lo", true)?;
    // sysfs shows the interfaces of the namespace in which it was mounted.
    mount(
        Some("sysfs"),
        "/sys",
        Some("sysfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("mounting /sys")?;
    tmpfs("/run", "mode=755")?;
    for dir in ["wireguard", "patronus", "lock", "frr", "lab/etc", "lab/var"] {
        fs::create_dir_all(Path::new("/run").join(dir))?;
    }
    copy_on_write("/etc")?;
    copy_on_write("/var")?;
    for dir in [
        "/etc/frr",
        "/etc/patronus",
        "/var/lib/patronus",
        "/var/log/frr",
        "/var/tmp",
    ] {
        fs::create_dir_all(dir).with_context(|| format!("making {dir}"))?;
    }
    tmpfs("/etc/frr", "mode=750")?;
    tmpfs("/etc/patronus", "mode=755")?;
    tmpfs("/var/lib/patronus", "mode=700")?;
    tmpfs("/var/log", "mode=755")?;
    tmpfs("/var/tmp", "mode=1777")?;
    for dir in ["/var/log/frr", "/var/log/patronus"] {
        fs::create_dir_all(dir)?;
    }
    fs::set_permissions("/run/lock", fs::Permissions::from_mode(0o1777))?;
    for dir in ["/run/frr", "/etc/frr", "/var/log/frr"] {
        chown(dir, frr.user, frr.group).with_context(|| format!("giving {dir} to frr"))?;
    }
    fs::write("/etc/hostname", format!("{name}\n"))?;
    Ok(())
}

fn tmpfs(path: &str, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("lab"), path, Some("tmpfs"), flags, Some(options))
        .with_context(|| format!("mounting a tmpfs on {path}"))
}

/// Writes below `path` go to the node's own memory from now on.
fn copy_on_write(path: &str) -> Result<()> {
    let (upper, work) = (
        format!("/run/lab{path}/upper"),
        format!("/run/lab{path}/work"),
    );
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let options = format!("lowerdir={path},upperdir={upper},workdir={work}");
    mount(
        Some("lab"),
        path,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .with_context(|| format!("mounting an overlay on {path}"))
}

/// Who owns FRR's directories; root where FRR is not installed.
struct FrrOwner {
    user: Option<u32>,
    group: Option<u32>,
}

impl FrrOwner {
    fn find() -> Self {
        let user = User::from_name("frr")
            .ok()
            .flatten()
            .map(|user| user.uid.as_raw());
        let group = Group::from_name("frr")
            .ok()
            .flatten()
            .map(|group| group.gid.as_raw());
        Self { user, group }
    }
}

/// Enters the namespaces of a node with the whole (single-threaded) process.
pub(super) fn enter(holder: &Holder) -> Result<()> {
    let all = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    nix::sched::setns(&holder.pidfd, all)
        .with_context(|| format!("entering the node (pidfd {})", holder.pidfd.as_raw_fd()))
}
