//! Debian's systemd in a container on this machine's kernel, or in a virtual machine on Debian's own,
//! for what only a whole system shows. The work is done by the scripts of `packaging/test`.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::deploy::program;

/// What a whole system needs: the program, and the Debian package that has it.
const NEEDS: [(&str, &str); 8] = [
    ("mmdebstrap", "mmdebstrap"),
    ("dpkg-deb", "dpkg"),
    ("strip", "binutils"),
    ("unshare", "util-linux"),
    ("findmnt", "util-linux"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("cpio", "cpio"),
    ("depmod", "kmod"),
];

/// Where `cargo` puts what it builds, and the profile that this program was built with.
#[derive(Clone, Debug)]
struct Built {
    target: PathBuf,
    profile: String,
}

/// Builds the package from the programs of this profile, and runs a script in a container with the
/// package beside it. Returns what was printed.
///
/// # Errors
/// When something is missing that this takes, or the script fails; says what it printed, and what
/// the journal has about our units.
pub fn with_package(script: &Path) -> Result<String> {
    let (built, root) = prepared()?;
    let package = built.package("container")?;
    let mut container = Command::new(packaging("test/container.sh"));
    run(container.args([&root, script, &package]), "the container")
}

/// The same on the kernel of Debian, which has what the kernel of this machine may not have.
///
/// # Errors
/// As those of [`with_package`].
pub fn with_package_and_stock_kernel(script: &Path) -> Result<String> {
    let (built, root) = prepared()?;
    let package = built.package("vm")?;
    let kernel = root.with_extension("kernel");
    let mut make = Command::new(packaging("test/kernel.sh"));
    run(make.args([&root, &kernel]), "fetching Debian's kernel")?;
    let mut machine = Command::new(packaging("test/vm.sh"));
    run(
        machine.args([&kernel, script, &package]),
        "the virtual machine",
    )
}

fn prepared() -> Result<(Built, PathBuf)> {
    check_requirements()?;
    let built = Built::find()?;
    let root = root(&built.target)?;
    Ok((built, root))
}

/// A file of `packaging`.
#[must_use]
pub fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging")
        .join(name)
}

fn check_requirements() -> Result<()> {
    let uid = run(Command::new("id").arg("-u"), "id")?;
    ensure!(
        uid.trim() == "0",
        "a container takes root: run the tests with `make test`"
    );
    for (program, package) in NEEDS {
        ensure!(
            on_path(program),
            "{program} is missing: install the Debian package {package}, or run `make setup`"
        );
    }
    Ok(())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A minimal Debian, made once and kept with what cargo builds.
fn root(target: &Path) -> Result<PathBuf> {
    let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("/etc/os-release has no VERSION_CODENAME: is this Debian?")?;
    let root = target.join(format!("rootfs-{suite}"));
    let mut make = Command::new(packaging("test/rootfs.sh"));
    run(make.arg(&root), "making a Debian with mmdebstrap")?;
    Ok(root)
}

impl Built {
    fn find() -> Result<Self> {
        let daemon = program("patronusd")?;
        let folder = daemon.parent().context("programs lie in a folder")?;
        let profile = folder.file_name().context("profiles have names")?;
        let target = folder.parent().context("profiles lie in a folder")?;
        Ok(Self {
            target: target.to_owned(),
            profile: profile.to_string_lossy().into_owned(),
        })
    }

    /// Builds the package beside the programs, apart from the one that is to be given away.
    fn package(&self, purpose: &str) -> Result<PathBuf> {
        let mut build = Command::new(packaging("build-deb.sh"));
        build
            .arg(&self.target)
            .arg(&self.profile)
            .arg(self.target.join(&self.profile).join("deb").join(purpose));
        let said = run(&mut build, "building the package")?;
        let file = said.lines().last().context("build-deb.sh named no file")?;
        Ok(file.into())
    }
}

/// Runs a command to its end. Returns what it printed on both its outputs, in that order.
fn run(command: &mut Command, what: &str) -> Result<String> {
    let (mut reader, writer) = std::io::pipe().context("making a pipe")?;
    let copy = writer.try_clone().context("making a pipe")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(copy)
        .spawn()
        .with_context(|| format!("starting {what}"))?;
    // The command holds writing ends too: without this, reading would never come to an end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut text = Vec::new();
    reader.read_to_end(&mut text).context("reading")?;
    let status = child.wait().context("waiting")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(status.success(), "{what}: {status}\n{text}");
    Ok(text)
}
