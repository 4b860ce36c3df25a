//! Private keys.

use std::fmt;
use std::path::Path;

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use crate::certificate::Fingerprint;
use crate::error::IdentityError;
use crate::file;

/// A private key on the curve P-256: what both ends of every connection here sign with.
///
/// It is neither cloned nor printed. Its text is wiped when dropped; ring, which signs with it, keeps
/// a copy of its own that is not.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
}

/// How PEM names a private key in PKCS #8 (RFC 7468, 10).
pub(crate) const LABEL: &str = "PRIVATE KEY";

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| {
            IdentityError::Cryptography("the system gives no randomness".to_owned())
        })?;
        Self::from_pkcs8(Zeroizing::new(made.as_ref().to_vec()))
    }

    /// Reads a key from a file that holds it alone, or makes one there.
    ///
    /// # Errors
    /// The file cannot be read or made, can be read by others, or holds something else.
    pub fn open_or_create(path: &Path) -> Result<Self, IdentityError> {
        loop {
            if let Some(text) = file::read(path)? {
                return Self::from_pem(&text).map_err(|reason| in_file(path, reason));
            }
            let key = Self::generate()?;
            if file::create(path, &key.to_pem())? {
                return Ok(key);
            }
            // Somebody else was faster, so it is his that counts.
        }
    }

    pub(crate) fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, IdentityError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random);
        let pair = pair.map_err(|_| IdentityError::NotKey)?;
        Ok(Self { pkcs8, pair })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`IdentityError::NotPem`] and [`IdentityError::NotKey`].
    pub fn from_pem(text: &str) -> Result<Self, IdentityError> {
        let mut blocks = Blocks::read(text, "a private key in PEM")?;
        let key = blocks.key()?;
        blocks.end()?;
        Ok(key)
    }

    /// The key as a file has it. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        // `encode` makes a copy of what it is given; the one that is left is wiped.
        let block = pem::Pem::new(LABEL, self.pkcs8.as_slice());
        let text = Zeroizing::new(pem::encode(&block));
        drop(Zeroizing::new(block.into_contents()));
        text
    }

    /// The key as TLS takes it. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn to_pkcs8(&self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8.to_vec())
    }

    /// The fingerprint of its public half.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.subject_public_key_info())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.fingerprint())
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signed = self.pair.sign(&SystemRandom::new(), message);
        let signature = signed.map_err(|_| rcgen::Error::RingUnspecified)?;
        Ok(signature.as_ref().to_vec())
    }
}

pub(crate) fn in_file(path: &Path, reason: IdentityError) -> IdentityError {
    IdentityError::Content {
        path: path.to_owned(),
        reason: Box::new(reason),
    }
}

/// The blocks of a text in PEM, in their order. All of them have to be taken, and there is nothing
/// else between them.
pub(crate) struct Blocks {
    expected: &'static str,
    left: std::vec::IntoIter<pem::Pem>,
}

impl Blocks {
    pub(crate) fn read(text: &str, expected: &'static str) -> Result<Self, IdentityError> {
        let blocks = pem::parse_many(text).map_err(|error| IdentityError::NotPem {
            expected,
            reason: error.to_string(),
        })?;
        Ok(Self {
            expected,
            left: blocks.into_iter(),
        })
    }

    /// The next block, which has this label.
    pub(crate) fn next(&mut self, label: &str) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        let Some(block) = self.left.next() else {
            return Err(self.refused(format!("a block `{label}` is missing")));
        };
        let found = block.tag().to_owned();
        let contents = Zeroizing::new(block.into_contents());
        if found == label {
            Ok(contents)
        } else {
            Err(self.refused(format!("a block `{found}` is where `{label}` should be")))
        }
    }

    pub(crate) fn key(&mut self) -> Result<PrivateKey, IdentityError> {
        PrivateKey::from_pkcs8(self.next(LABEL)?)
    }

    pub(crate) fn end(mut self) -> Result<(), IdentityError> {
        match self.left.next() {
            None => Ok(()),
            Some(block) => {
                Err(self.refused(format!("there is a block `{}` too many", block.tag())))
            }
        }
    }

    fn refused(&self, reason: String) -> IdentityError {
        IdentityError::NotPem {
            expected: self.expected,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let key = PrivateKey::generate().unwrap();
        let text = format!("{key:?} {key:#?}");
        assert!(text.starts_with("PrivateKey(of "), "{text}");
        let pem = key.to_pem();
        for line in pem.lines().filter(|line| !line.starts_with('-')) {
            assert!(!text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = PrivateKey::generate().unwrap();
        let again = PrivateKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
        assert_ne!(
            PrivateKey::generate().unwrap().fingerprint(),
            key.fingerprint()
        );
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        let key = PrivateKey::generate().unwrap().to_pem();
        let certificate = key.replace("PRIVATE KEY", "CERTIFICATE");
        let damaged = key.replacen("MIGH", "MIGI", 1);
        let twice = format!("{}{}", *key, *key);
        // Ed25519, as `openssl genpkey -algorithm ed25519` makes it.
        let other = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
            -----END PRIVATE KEY-----\n";
        let table = [
            ("", "a block `PRIVATE KEY` is missing"),
            ("something", "a block `PRIVATE KEY` is missing"),
            (&certificate, "a block `CERTIFICATE` is where `PRIVATE KEY`"),
            (&twice, "there is a block `PRIVATE KEY` too many"),
            (&damaged, "not a private key on the curve P-256"),
            (other, "not a private key on the curve P-256"),
        ];
        for (text, expected) in table {
            let error = PrivateKey::from_pem(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }
}
