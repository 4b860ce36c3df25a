//! A directory which another user may write to: FRR's, in which root writes files and gives them
//! away. Whatever is in it, the directory itself included, may be exchanged for a link at any
//! moment, so nothing is changed by its path: links are not followed, and owner and mode are set
//! through descriptors.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, mkdir, unlinkat};

use crate::bootstrap::Owner;

/// Configuration may hold passwords: FRR reads it, others do not.
pub(crate) const FILE_MODE: u32 = 0o640;

pub(crate) struct Directory(OwnedFd);

impl Directory {
    /// Opens a directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match open(path, flags, Mode::empty()) {
            Ok(descriptor) => Ok(Self(descriptor)),
            Err(Errno::ELOOP | Errno::ENOTDIR) => Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is a link or a file; remove it", path.display()),
            )),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes a directory if it is not there, and gives it this mode and owner.
    pub(crate) fn make(path: &Path, mode: u32, owner: Option<Owner>) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match mkdir(path, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let directory = Self::open(path)?;
        let handle = File::from(directory.0.try_clone()?);
        own(&handle, owner)?;
        handle.set_permissions(Permissions::from_mode(mode))?;
        Ok(directory)
    }

    /// What is in a file; `None` when there is no such file, but perhaps something else.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        // Opening a pipe would wait for whoever writes to it.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mut file = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Replaces a file in one step, so that whoever reads it finds the old or the new one whole.
    /// Only FRR's group can read it, from its first byte on.
    pub(crate) fn replace(
        &self,
        name: &str,
        content: &[u8],
        owner: Option<Owner>,
    ) -> io::Result<()> {
        let draft = format!("{name}.patronus-new");
        self.remove(&draft)?;
        let outcome = self
            .draft(&draft, content, owner)
            .and_then(|()| Ok(renameat(&self.0, draft.as_str(), &self.0, name)?));
        if outcome.is_err() {
            // It may hold passwords. The first error is the one to be told.
            let _ = self.remove(&draft);
        }
        outcome
    }

    fn draft(&self, name: &str, content: &[u8], owner: Option<Owner>) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(openat(&self.0, name, flags, mode)?);
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        own(&file, owner)?;
        file.write_all(content)?;
        file.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn own(file: &File, owner: Option<Owner>) -> io::Result<()> {
    match owner {
        Some(owner) => fchown(file, Some(owner.uid), Some(owner.gid)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    #[test]
    fn a_directory_that_is_a_link_is_refused_and_what_it_leads_to_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (target, link) = (root.path().join("target"), root.path().join("link"));
        fs::create_dir(&target).unwrap();
        symlink(&target, &link).unwrap();
        let before = fs::metadata(&target).unwrap();
        let refused = Directory::make(&link, 0o777, None).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::NotADirectory);
        let after = fs::metadata(&target).unwrap();
        assert_eq!((before.mode(), before.uid()), (after.mode(), after.uid()));
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }

    #[test]
    fn links_among_the_files_are_replaced_and_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let victim = root.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let etc = root.path().join("etc");
        let directory = Directory::make(&etc, 0o750, None).unwrap();
        for name in ["daemons", "daemons.patronus-new"] {
            symlink(&victim, etc.join(name)).unwrap();
        }
        let owner = fs::metadata(&victim).unwrap();
        assert_eq!(directory.read("daemons").unwrap(), None);
        let owner = Owner {
            uid: owner.uid(),
            gid: owner.gid(),
        };
        directory
            .replace("daemons", b"bgpd=yes", Some(owner))
            .unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o644);
        assert!(fs::symlink_metadata(etc.join("daemons")).unwrap().is_file());
        assert_eq!(fs::read_dir(&etc).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_draft_that_cannot_become_the_file_is_not_left_behind() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        let directory = Directory::make(&etc, 0o750, None).unwrap();
        fs::create_dir(etc.join("frr.conf")).unwrap();
        assert!(directory.replace("frr.conf", b"password", None).is_err());
        assert_eq!(fs::read_dir(&etc).unwrap().count(), 1);
    }
}
