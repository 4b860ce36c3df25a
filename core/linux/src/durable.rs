//! Files that are whole whatever happens, also after a power cut.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error};

/// Writes a file so that a reader sees the old one or the new one, readable for us alone. Makes
/// its directory, for us alone, too.
///
/// # Errors
/// The file cannot be written; the old one is still there then.
pub fn replace(file: &Path, content: &[u8]) -> Result<(), Error> {
    publish(file, content, |draft| fs::rename(draft, file))
}

/// The same, but a file that is there is left as it is, which is an error.
///
/// # Errors
/// The file cannot be written, or exists.
pub fn create(file: &Path, content: &[u8]) -> Result<(), Error> {
    publish(file, content, |draft| fs::hard_link(draft, file))
}

fn publish(
    file: &Path,
    content: &[u8],
    put: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), Error> {
    let doing = || format!("writing {}", file.display());
    let directory = file.parent().unwrap_or(Path::new("."));
    if !directory.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .doing(doing)?;
    }
    // Two who write the same file at the same time do not write the same draft.
    let draft = file.with_extension(format!("new-{}", std::process::id()));
    let outcome = write(&draft, content).and_then(|()| put(&draft));
    // After a rename it is not there any more; after a failure it must not be left.
    let _ = fs::remove_file(&draft);
    outcome.doing(doing)?;
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .doing(doing)
}

/// A file that was not there before: whatever a predecessor left may be readable for others.
fn write(draft: &PathBuf, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    out.write_all(content)?;
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_draft_that_somebody_left_is_neither_followed_nor_used() {
        let dir = tempfile::tempdir().unwrap();
        let (file, victim) = (dir.path().join("key"), dir.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        let draft = file.with_extension(format!("new-{}", std::process::id()));
        symlink(&victim, &draft).unwrap();
        replace(&file, b"secret").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&file).unwrap(), "secret");
        let mode = fs::symlink_metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(fs::symlink_metadata(&draft).is_err(), "no draft is left");
    }

    #[test]
    fn what_is_there_is_not_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        create(&file, b"first").unwrap();
        assert!(create(&file, b"second").is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
