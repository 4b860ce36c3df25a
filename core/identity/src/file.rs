//! Files that hold private keys: there whole or not at all, and for their owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::error::IdentityError;

/// More than a key and the certificates that belong to it have: what is larger is something else.
const MOST_BYTES: u64 = 64 * 1024;

/// What is in a file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, IdentityError> {
    let failed = |source| failed(path, "it cannot be read", source);
    let mut options = OpenOptions::new();
    // A pipe in the place of the file must not keep anybody waiting.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    let invalid = |what| failed(io::Error::new(io::ErrorKind::InvalidData, what));
    if !metadata.is_file() {
        return Err(invalid("it is not a file"));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    if metadata.len() > MOST_BYTES {
        return Err(invalid("it is too large to hold keys"));
    }
    // Room for all of it: text that is moved while it grows leaves copies of itself behind.
    let room = usize::try_from(MOST_BYTES).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(Some(text))
}

/// Makes a file, unless there is one: says whether it was made. Of several who do so at once one
/// succeeds.
pub(crate) fn create(path: &Path, text: &str) -> Result<bool, IdentityError> {
    let file = written(path, text)?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failed(path, "it cannot be made", error.error)),
    }
    settle(path)?;
    Ok(true)
}

/// Puts a file in the place of what may be there.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), IdentityError> {
    let file = written(path, text)?;
    file.persist(path)
        .map_err(|error| failed(path, "it cannot be replaced", error.error))?;
    settle(path)
}

/// A file beside the one that is meant, with all of the text on the disk. It has mode 0600 from the
/// beginning, which is what [`tempfile`] gives on Unix.
fn written(path: &Path, text: &str) -> Result<NamedTempFile, IdentityError> {
    let failed = |source| failed(path, "it cannot be written", source);
    let mut file = tempfile::Builder::new()
        .prefix(".identity-")
        .tempfile_in(folder(path))
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    Ok(file)
}

/// The name is on the disk, too.
fn settle(path: &Path) -> Result<(), IdentityError> {
    let synced = File::open(folder(path)).and_then(|folder| folder.sync_all());
    synced.map_err(|source| failed(path, "its folder cannot be written", source))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

fn failed(path: &Path, what: &'static str, source: io::Error) -> IdentityError {
    IdentityError::File {
        path: path.to_owned(),
        what,
        source,
    }
}
