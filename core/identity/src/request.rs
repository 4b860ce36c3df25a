//! What a router asks a certificate for. Only its key is taken from it: which site it is for is known
//! from the token, or from the certificate that is renewed.

use rcgen::{CertificateParams, DistinguishedName, SubjectPublicKeyInfo};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA256;
use x509_parser::prelude::FromDer as _;

use crate::certificate::{Fingerprint, p256};
use crate::error::IdentityError;
use crate::key::PrivateKey;

/// One has about 200 bytes; what is much larger brings something that is not wanted.
const MOST_BYTES: usize = 2048;

/// A request for a certificate (PKCS #10), signed by the key that it is for.
pub struct Request {
    pub(crate) public_key: SubjectPublicKeyInfo,
    key: Fingerprint,
}

impl Request {
    /// Makes a request for a key.
    ///
    /// # Errors
    /// [`IdentityError::Cryptography`].
    pub fn make(key: &PrivateKey) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(key).map_err(cryptography)?;
        Ok(request.der().to_vec())
    }

    /// Reads a request. Whoever sent it has the private key.
    ///
    /// # Errors
    /// [`IdentityError::Request`].
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let refused = IdentityError::Request;
        if der.len() > MOST_BYTES {
            return Err(refused("it is larger than 2,048 bytes"));
        }
        let (rest, request) = X509CertificationRequest::from_der(der)
            .map_err(|_| refused("it is not one in DER (PKCS #10)"))?;
        if !rest.is_empty() {
            return Err(refused("there is something after its end"));
        }
        let key = &request.certification_request_info.subject_pki;
        if p256(key).is_none() {
            return Err(refused("its key is not on the curve P-256"));
        }
        if request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256 {
            return Err(refused("it is not signed with ECDSA and SHA-256"));
        }
        request
            .verify_signature()
            .map_err(|_| refused("its signature is wrong"))?;
        let fingerprint = Fingerprint::of(key.raw);
        let public_key = SubjectPublicKeyInfo::from_der(key.raw)
            .map_err(|_| refused("its key cannot be read"))?;
        Ok(Self {
            public_key,
            key: fingerprint,
        })
    }

    /// Which key it is for.
    #[must_use]
    pub const fn key(&self) -> Fingerprint {
        self.key
    }
}

pub(crate) fn cryptography(error: rcgen::Error) -> IdentityError {
    IdentityError::Cryptography(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_proves_that_its_key_is_held() {
        let key = PrivateKey::generate().unwrap();
        let der = Request::make(&key).unwrap();
        assert_eq!(Request::from_der(&der).unwrap().key(), key.fingerprint());
    }

    #[test]
    fn no_flipped_bit_makes_it_a_request_for_another_key() {
        let key = PrivateKey::generate().unwrap();
        let der = Request::make(&key).unwrap();
        // Where the parser does not look, outside of what is signed, nothing follows from it.
        let same = |request: Request| request.key() == key.fingerprint();
        for bit in 0..der.len() * 8 {
            let mut der = der.clone();
            der[bit / 8] ^= 1 << (bit % 8);
            assert!(Request::from_der(&der).map_or(true, same), "bit {bit}");
        }
    }

    #[test]
    fn other_requests_are_refused_with_the_reason() {
        let der = Request::make(&PrivateKey::generate().unwrap()).unwrap();
        let made = |algorithm| {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let request = CertificateParams::default().serialize_request(&key);
            request.unwrap().der().to_vec()
        };
        let long = [der.clone(), vec![0; 2048]].concat();
        let table = [
            (vec![], "not one in DER"),
            (der[..der.len() - 1].to_vec(), "not one in DER"),
            ([der.clone(), vec![0]].concat(), "something after its end"),
            (long, "larger than 2,048 bytes"),
            (made(&rcgen::PKCS_ED25519), "not on the curve P-256"),
            (
                made(&rcgen::PKCS_ECDSA_P384_SHA384),
                "not on the curve P-256",
            ),
        ];
        for (der, expected) in table {
            let error = Request::from_der(&der).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
