//! HMAC with SHA-256 (RFC 2104), and how jsonwebtoken gets it.
//!
//! jsonwebtoken takes its cryptography from a provider. Those that it comes with bring RSA and four
//! elliptic curves along; we make and accept one algorithm, HS256 (RFC 7518 section 3.2).

use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use sha2::Sha256;
use zeroize::Zeroizing;

/// RFC 7518 section 3.2: a key is at least as long as the hash.
pub(crate) const KEY_BYTES: usize = 32;

/// An HMAC without a message yet. Keys that are shorter than a block are filled up with zeros, here
/// as in RFC 2104, and thus nothing can fail.
pub(crate) fn hmac_sha256(key: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    Hmac::new((&*block).into())
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(hs256(algorithm, EncodingKey::as_bytes(key))?)),
    verifier_factory: |algorithm, key| {
        let key = DecodingKey::try_get_as_bytes(key)?;
        Ok(Box::new(hs256(algorithm, key)?))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes this the cryptography of jsonwebtoken, if nobody else has brought some along.
pub(crate) fn install() {
    let (Ok(()) | Err(_)) = PROVIDER.install_default();
}

struct Hs256(Hmac<Sha256>);

fn hs256(algorithm: &Algorithm, key: &[u8]) -> Result<Hs256, Error> {
    match (algorithm, key.try_into()) {
        (Algorithm::HS256, Ok(key)) => Ok(Hs256(hmac_sha256(key))),
        (Algorithm::HS256, Err(_)) => Err(new_error(ErrorKind::InvalidKeyFormat)),
        _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mac = self.0.clone().chain_update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// In constant time.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let mac = self.0.clone().chain_update(message);
        mac.verify_slice(signature)
            .map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// No key in RFC 4231 has 32 bytes; this is what Python's `hmac` says.
    #[test]
    fn it_is_the_hmac_of_others() {
        let mac = hmac_sha256(&[0x0b; 32]).chain_update(b"Hi There");
        assert_eq!(
            HEXLOWER.encode(&mac.finalize().into_bytes()),
            "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
        );
    }
}
