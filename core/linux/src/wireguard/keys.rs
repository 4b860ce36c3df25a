//! The private keys of this router. They are made here and never leave.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use patronus_model::ids::UplinkName;
use patronus_model::wireguard::PublicKey;
use wireguard_control::Key;
use zeroize::{Zeroize as _, Zeroizing};

use crate::durable;
use crate::error::{Doing, Error};

/// A Curve25519 private key: wiped when dropped, never shown.
pub struct PrivateKey(Zeroizing<[u8; 32]>);

impl PrivateKey {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self::take(Key::generate_private())
    }

    fn take(mut key: Key) -> Self {
        let private = Self(Zeroizing::new(key.0));
        key.0.zeroize();
        private
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = self.lend();
        let public = PublicKey(key.get_public().0);
        key.0.zeroize();
        public
    }

    /// The form that `wireguard-control` takes, which does not wipe itself: the copy is in memory
    /// until that is used for something else.
    pub(crate) fn lend(&self) -> Key {
        Key(*self.0)
    }
}

/// A directory with one private key for each uplink, as `wg genkey` writes them.
#[derive(Clone)]
pub struct KeyStore {
    directory: PathBuf,
}

impl KeyStore {
    /// The store in a directory, which is created with the first key.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// The key of an uplink, if it has one.
    ///
    /// # Errors
    /// The file cannot be read, or holds no key.
    pub fn get(&self, uplink: &UplinkName) -> Result<Option<PublicKey>, Error> {
        let key = read(&self.directory.join(uplink.as_str()))?;
        Ok(key.map(|key| key.public()))
    }

    /// Whether it certainly holds no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match fs::read_dir(&self.directory) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// What others than the owner of a key's file may do with it, if anything, like `keys/fibre has
    /// mode 0644`.
    #[must_use]
    pub fn exposed(&self, uplink: &UplinkName) -> Option<String> {
        let file = self.directory.join(uplink.as_str());
        let mode = fs::metadata(&file).ok()?.permissions().mode() & 0o7777;
        let others = mode & 0o077;
        (others != 0).then(|| format!("{} has mode {mode:04o}", file.display()))
    }

    /// Keeps the key of an uplink that has none yet.
    ///
    /// # Errors
    /// The file cannot be written, or the uplink has a key by now: it is kept.
    pub fn put(&self, uplink: &UplinkName, key: &PrivateKey) -> Result<(), Error> {
        let file = self.directory.join(uplink.as_str());
        let mut lent = key.lend();
        let text = Zeroizing::new(format!("{}\n", lent.to_base64()));
        lent.0.zeroize();
        durable::create(&file, text.as_bytes())
    }

    /// The private half of a public key.
    ///
    /// # Errors
    /// It is not there, or the directory cannot be read.
    pub fn private(&self, public: &PublicKey) -> Result<PrivateKey, Error> {
        let missing = || Error::NoKey(public.to_string(), self.directory.display().to_string());
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing()),
            other => other.doing(|| format!("listing {}", self.directory.display()))?,
        };
        for entry in entries {
            let path = entry
                .doing(|| format!("listing {}", self.directory.display()))?
                .path();
            // Names of uplinks have no dots; drafts and editors' leftovers do.
            if path.extension().is_some() {
                continue;
            }
            // A file that holds no key says so when its own uplink is used.
            if let Ok(Some(key)) = read(&path)
                && key.public() == *public
            {
                return Ok(key);
            }
        }
        Err(missing())
    }
}

fn read(file: &Path) -> Result<Option<PrivateKey>, Error> {
    let text = match fs::read(file) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(|| format!("reading {}", file.display())),
    };
    let key = std::str::from_utf8(text.trim_ascii()).map(Key::from_base64);
    match key {
        Ok(Ok(key)) => Ok(Some(PrivateKey::take(key))),
        Ok(Err(_)) | Err(_) => Err(Error::BadFile {
            path: file.display().to_string(),
            problem: "not a private key".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_root_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("keys");
        let store = KeyStore::new(&place);
        let uplink: UplinkName = "fibre".parse().unwrap();
        assert_eq!(store.get(&uplink).unwrap(), None);
        assert!(!place.exists(), "asking makes nothing");
        let key = PrivateKey::generate();
        let public = key.public();
        store.put(&uplink, &key).unwrap();
        assert!(store.put(&uplink, &PrivateKey::generate()).is_err());
        assert_eq!(store.get(&uplink).unwrap(), Some(public));
        assert_eq!(store.private(&public).unwrap().public(), public);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&place.join("fibre"))), (0o700, 0o600));
        assert!(matches!(
            store.private(&PublicKey([1; 32])),
            Err(Error::NoKey(..))
        ));
    }

    #[test]
    fn keys_of_wg_are_taken_and_rubbish_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(dir.path());
        // From wireguard-control's own tests.
        let private = "SGb+ojrRNDuMePufwtIYhXzA//k6wF3R21tEBgKlzlM=\n";
        fs::write(dir.path().join("lte"), private).unwrap();
        let public = store.get(&"lte".parse().unwrap()).unwrap().unwrap();
        assert_eq!(
            public.to_string(),
            "DD5yKRfzExcV5+kDnTroDgCU15latdMjiQ59j1hEuk8="
        );
        for rubbish in [b"x".as_slice(), b"", b"\xff\xfe\x00"] {
            fs::write(dir.path().join("dsl"), rubbish).unwrap();
            let error = store.get(&"dsl".parse().unwrap()).unwrap_err();
            let said = error.to_string();
            assert!(said.ends_with("/dsl: not a private key"), "{said}");
        }
    }
}
