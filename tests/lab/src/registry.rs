//! `/run/patronus-lab/NAME`: the only place outside of a lab where a lab leaves a trace.
//!
//! A lab is alive exactly as long as somebody holds the lock on `NAME/lock`: its monitor and its
//! supervisor do. A directory whose lock can be taken belongs to a dead lab and may be removed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Where the directories of all labs are.
pub const ROOT: &str = "/run/patronus-lab";

/// Longest name of a lab: the path of its control socket must fit into 107 bytes.
pub const MAX_NAME: usize = 40;

/// The directory of a lab.
pub(crate) fn directory(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// The control socket of a lab.
pub(crate) fn control_socket(name: &str) -> PathBuf {
    directory(name).join("control")
}

/// Where the output of the programs of a lab goes.
pub(crate) fn logs(name: &str) -> PathBuf {
    directory(name).join("log")
}

/// Checks that a name can be a directory, a host name and part of a thread's name.
///
/// # Errors
/// Says which characters are valid.
pub fn check_name(kind: &str, name: &str, max: usize) -> Result<()> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !starts_well || name.len() > max || !name.chars().all(valid) {
        bail!(
            "{kind} name {name:?} is not valid: use 1 to {max} of a-z, 0-9 and '-', \
             starting with a letter or digit"
        );
    }
    Ok(())
}

/// The lock of a lab that is alive, held by this process.
#[derive(Debug)]
pub(crate) struct Claim {
    _lock: Flock<File>,
}

/// Makes the directory of a new lab and takes its lock; what a dead lab of that name left is
/// removed first.
///
/// # Errors
/// When a lab of that name is alive, or the directory cannot be made.
pub(crate) fn claim(name: &str) -> Result<Claim> {
    check_name("lab", name, MAX_NAME)?;
    let dir = directory(name);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("making {}", dir.display()))?;
    // Another process may remove a stale directory between open and lock, so the lock counts only
    // when the path still leads to the file which is locked.
    let mut busy = 0;
    for _ in 0..1000 {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)?;
        match lock(&dir)? {
            Locked::Yes(claim) => {
                clear(&dir)?;
                fs::create_dir(dir.join("log"))?;
                return Ok(claim);
            }
            // A sweep locks for a moment what it finds unlocked.
            Locked::Busy if busy < 20 => {
                busy += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            Locked::Busy => bail!("a lab named {name:?} is already up"),
            Locked::Moved => {}
        }
    }
    bail!(
        "{} is removed again and again by somebody else",
        dir.display()
    )
}

/// Removes the directory of a lab; the caller holds its lock.
pub(crate) fn remove(name: &str, claim: Claim) -> io::Result<()> {
    let dir = directory(name);
    let renamed = Path::new(ROOT).join(format!(".{name}.{}", std::process::id()));
    // Renamed first, so that a new lab of the same name never sees a half-removed directory.
    fs::rename(&dir, &renamed)?;
    let done = fs::remove_dir_all(&renamed);
    drop(claim);
    // Gone when this was the last lab; fails harmlessly when it was not.
    let _ = fs::remove_dir(ROOT);
    done
}

/// The names of all labs that are alive, sorted.
///
/// # Errors
/// When the directory exists but cannot be read.
pub fn alive() -> Result<Vec<String>> {
    let mut names: Vec<String> = entries()?
        .into_iter()
        .filter(|name| matches!(probe(&directory(name)), Ok(Locked::Busy)))
        .collect();
    names.sort();
    Ok(names)
}

/// The names of all labs that are alive and were offered to people (see [`crate::Lab::offer`]), sorted.
///
/// # Errors
/// Like [`alive`].
pub fn offered() -> Result<Vec<String>> {
    let mut names = alive()?;
    names.retain(|name| directory(name).join(OFFER).exists());
    Ok(names)
}

/// Lets commands on the command line choose this lab when none is named: the labs of running
/// tests, which are alive as well, are not theirs.
pub(crate) fn offer(name: &str) -> Result<()> {
    let path = directory(name).join(OFFER);
    fs::write(&path, "").with_context(|| format!("writing {}", path.display()))
}

const OFFER: &str = "offered";

/// Removes what dead labs left behind, and returns their names.
///
/// # Errors
/// When a directory cannot be removed.
pub fn sweep() -> Result<Vec<String>> {
    let mut swept = Vec::new();
    for name in entries()? {
        if let Ok(Locked::Yes(claim)) = probe(&directory(&name)) {
            remove(&name, claim).with_context(|| format!("removing what lab {name} left"))?;
            swept.push(name);
        }
    }
    finish_interrupted_removals();
    Ok(swept)
}

/// Removes directories whose removal was cut short by a kill after the renaming in [`remove`].
fn finish_interrupted_removals() {
    let Ok(entries) = fs::read_dir(ROOT) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // A removal which is still going on holds the lock, or finishes what is left itself.
        if hidden && !matches!(probe(&path), Ok(Locked::Busy)) {
            let _ = fs::remove_dir_all(&path);
        }
    }
    let _ = fs::remove_dir(ROOT);
}

fn entries() -> Result<Vec<String>> {
    let entries = match fs::read_dir(ROOT) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            bail!("{ROOT} is for root only: run this as root, e.g. with sudo")
        }
        Err(error) => return Err(error).with_context(|| format!("reading {ROOT}")),
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names
        .filter(|name| check_name("lab", name, MAX_NAME).is_ok())
        .collect())
}

enum Locked {
    Yes(Claim),
    Busy,
    /// The file was replaced while we waited.
    Moved,
}

/// Like [`lock`], but does not make the lock file of a directory that is being removed.
fn probe(dir: &Path) -> Result<Locked> {
    if dir.join("lock").exists() {
        lock(dir)
    } else {
        Ok(Locked::Moved)
    }
}

fn lock(dir: &Path) -> Result<Locked> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let file = match options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Locked::Moved),
        Err(error) => return Err(error).with_context(|| format!("opening {}", path.display())),
    };
    let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, Errno::EWOULDBLOCK)) => return Ok(Locked::Busy),
        Err((_, error)) => return Err(error).context("locking the directory of a lab"),
    };
    let same = match (lock.metadata(), fs::metadata(&path)) {
        (Ok(held), Ok(there)) => held.ino() == there.ino() && held.dev() == there.dev(),
        _ => false,
    };
    Ok(if same {
        Locked::Yes(Claim { _lock: lock })
    } else {
        Locked::Moved
    })
}

/// Empties a directory, keeping its lock.
fn clear(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if path.file_name().is_none_or(|name| name != "lock") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
