//! Who a router is: its key, its certificate, and whom it believes.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::authority::{LABEL, certificate_pem, is_signed_by};
use crate::certificate::SiteCertificate;
use crate::error::IdentityError;
use crate::file;
use crate::key::{Blocks, PrivateKey, in_file};
use crate::time::UnixTime;

/// An enrolled router's identity. All of it is one file, so that a renewal is there whole or not at
/// all.
#[derive(Debug)]
pub struct SiteIdentity {
    /// Its private key.
    pub key: PrivateKey,
    certificate: SiteCertificate,
    authority: CertificateDer<'static>,
}

impl SiteIdentity {
    /// Puts together what an enrolment or a renewal gave.
    ///
    /// # Errors
    /// [`IdentityError::OtherKey`] and [`IdentityError::OtherAuthority`].
    pub fn new(
        key: PrivateKey,
        certificate: SiteCertificate,
        authority: CertificateDer<'static>,
    ) -> Result<Self, IdentityError> {
        if !certificate.key.matches(&key.fingerprint()) {
            return Err(IdentityError::OtherKey);
        }
        if !is_signed_by(certificate.der(), &authority) {
            return Err(IdentityError::OtherAuthority);
        }
        Ok(Self {
            key,
            certificate,
            authority,
        })
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &SiteCertificate {
        &self.certificate
    }

    /// The certificate of the authority that it believes.
    #[must_use]
    pub const fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// When it is to be renewed.
    #[must_use]
    pub fn renew_at(&self) -> UnixTime {
        self.certificate.renew_at()
    }

    /// Reads an identity from its file; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read, can be read by others, or holds something else.
    pub fn open(path: &Path) -> Result<Option<Self>, IdentityError> {
        let Some(text) = file::read(path)? else {
            return Ok(None);
        };
        let identity = Self::from_pem(&text).map_err(|reason| in_file(path, reason))?;
        Ok(Some(identity))
    }

    /// Puts it into its file, in the place of the one before.
    ///
    /// # Errors
    /// The file cannot be written. The one before is there then.
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        file::replace(path, &self.to_pem())
    }

    fn from_pem(text: &str) -> Result<Self, IdentityError> {
        let expected =
            "the identity of a router: its certificate, that of its authority, and its private key";
        let mut blocks = Blocks::read(text, expected)?;
        let certificate = CertificateDer::from(blocks.next(LABEL)?.to_vec());
        let certificate = SiteCertificate::from_der(&certificate)?;
        let authority = CertificateDer::from(blocks.next(LABEL)?.to_vec());
        let key = blocks.key()?;
        blocks.end()?;
        Self::new(key, certificate, authority)
    }

    fn to_pem(&self) -> Zeroizing<String> {
        let key = self.key.to_pem();
        let certificates =
            certificate_pem(self.certificate.der()) + &certificate_pem(&self.authority);
        let mut text = Zeroizing::new(String::with_capacity(certificates.len() + key.len()));
        text.push_str(&certificates);
        text.push_str(&key);
        text
    }
}
