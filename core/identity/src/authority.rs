//! The controller's certificate authority.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use patronus_model::ids::SiteId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, ServerName};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use crate::certificate::{
    Enrolment, Fingerprint, Serial, SiteCertificate, p256, renew_at, unix, uri,
};
use crate::error::IdentityError;
use crate::file;
use crate::key::{Blocks, PrivateKey, in_file};
use crate::request::{Request, cryptography};
use crate::time::UnixTime;

/// How PEM names a certificate (RFC 7468, 5).
pub(crate) const LABEL: &str = "CERTIFICATE";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How much earlier than now whatever is issued begins: a router whose clock is late by less than this
/// can connect all the same. The key did not exist before, so nothing is gained by being stricter.
const BACKDATED: Duration = DAY;

/// An authority cannot be replaced without enrolling every router again, so it outlives them.
const AUTHORITY_LIFE: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A router that was away for four months still gets in. What is no longer wanted is revoked, which
/// acts at once, so a short life would add nothing.
const SITE_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A controller renews its own certificate without asking anybody.
const SERVER_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Names of one controller.
const MOST_NAMES: usize = 32;

/// A name or an address by which routers reach a controller.
pub type ControllerName = ServerName<'static>;

/// Signs the certificates of controllers and routers.
pub struct Authority {
    certificate: CertificateDer<'static>,
    fingerprint: Fingerprint,
    not_before: UnixTime,
    not_after: UnixTime,
    issuer: Issuer<'static, PrivateKey>,
}

/// A certificate for a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// It, and that of the authority, as TLS presents them.
    pub chain: Vec<CertificateDer<'static>>,
    /// When a new one is to be issued: after two thirds of its life.
    pub renew_at: UnixTime,
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Errors
    /// [`IdentityError::Cryptography`].
    pub fn create(now: UnixTime) -> Result<Self, IdentityError> {
        let key = PrivateKey::generate()?;
        let serial = Serial::random()?;
        // Two authorities have two names, so that neither is tried in the place of the other.
        let name: String = key.fingerprint().to_string().chars().take(16).collect();
        let mut params = params(&format!("Patronus {name}"), &serial, now, AUTHORITY_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(cryptography)?;
        Self::new(certificate.der().clone(), key)
    }

    /// Reads the authority from a file, or makes one there. Of several processes that do so at once,
    /// all have the same one then.
    ///
    /// # Errors
    /// The file cannot be read or made, can be read by others, or holds something else.
    pub fn open_or_create(path: &Path, now: UnixTime) -> Result<Self, IdentityError> {
        loop {
            if let Some(text) = file::read(path)? {
                return Self::from_pem(&text).map_err(|reason| in_file(path, reason));
            }
            let authority = Self::create(now)?;
            if file::create(path, &authority.to_pem())? {
                return Ok(authority);
            }
        }
    }

    fn new(certificate: CertificateDer<'static>, key: PrivateKey) -> Result<Self, IdentityError> {
        let refused = IdentityError::NotAuthority;
        let (rest, it) = X509Certificate::from_der(&certificate)
            .map_err(|_| refused("it is not a certificate in DER"))?;
        let usage = it.key_usage().ok().flatten();
        if !rest.is_empty() {
            return Err(refused("there is something after its end"));
        }
        if !it.is_ca() || !usage.is_some_and(|usage| usage.value.key_cert_sign()) {
            return Err(refused("it may not sign others"));
        }
        if p256(it.public_key()).is_none() {
            return Err(refused("its key is not on the curve P-256"));
        }
        let fingerprint = Fingerprint::of(it.public_key().raw);
        if !fingerprint.matches(&key.fingerprint()) {
            return Err(IdentityError::OtherKey);
        }
        if it.verify_signature(None).is_err() {
            return Err(refused("it is not signed by itself"));
        }
        let (from, until) = (it.validity().not_before, it.validity().not_after);
        let (not_before, not_after) = unix(from)
            .zip(unix(until))
            .ok_or(refused("it is dated before 1970"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(cryptography)?;
        Ok(Self {
            certificate,
            fingerprint,
            not_before,
            not_after,
            issuer,
        })
    }

    /// Reads what [`Authority::to_pem`] gave.
    ///
    /// # Errors
    /// It is something else, or the key is not that of the certificate.
    pub fn from_pem(text: &str) -> Result<Self, IdentityError> {
        let mut blocks = Blocks::read(text, "an authority: its certificate and its private key")?;
        let certificate = CertificateDer::from(blocks.next(LABEL)?.to_vec());
        let key = blocks.key()?;
        blocks.end()?;
        Self::new(certificate, key)
    }

    /// Its certificate and its private key. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let key = self.issuer.key().to_pem();
        let certificate = certificate_pem(&self.certificate);
        // Of the length that it will have, so that no copy is left when it grows.
        let mut text = Zeroizing::new(String::with_capacity(certificate.len() + key.len()));
        text.push_str(&certificate);
        text.push_str(&key);
        text
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What tokens pin it by.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Issues a certificate for a controller with these names.
    ///
    /// # Errors
    /// [`IdentityError::Names`], [`IdentityError::AuthorityNotValid`] and
    /// [`IdentityError::Cryptography`].
    pub fn issue_controller(
        &self,
        names: &[ControllerName],
        key: &PrivateKey,
        now: UnixTime,
    ) -> Result<Issued, IdentityError> {
        if !(1..=MOST_NAMES).contains(&names.len()) {
            return Err(IdentityError::Names {
                given: names.len(),
                most: MOST_NAMES,
            });
        }
        let serial = Serial::random()?;
        let mut params = self.end_params("patronus controller", &serial, now, SERVER_LIFE)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(match name {
                ServerName::DnsName(name) => {
                    let name = name.as_ref().to_owned().try_into();
                    SanType::DnsName(name.map_err(cryptography)?)
                }
                ServerName::IpAddress(address) => SanType::IpAddress((*address).into()),
                other => {
                    let text = format!("{other:?} is neither a name nor an address");
                    return Err(IdentityError::Cryptography(text));
                }
            });
        }
        let renew_at = renew_at(now, self.end(now, SERVER_LIFE));
        let certificate = self.sign(&params, key)?;
        Ok(Issued {
            chain: vec![certificate, self.certificate.clone()],
            renew_at,
        })
    }

    /// Issues a certificate for the router of a site.
    ///
    /// # Errors
    /// [`IdentityError::AuthorityNotValid`] and [`IdentityError::Cryptography`].
    pub fn issue_site(
        &self,
        site: &SiteId,
        enrolment: Enrolment,
        request: &Request,
        now: UnixTime,
    ) -> Result<SiteCertificate, IdentityError> {
        let serial = Serial::random()?;
        let mut params = self.end_params(site.as_str(), &serial, now, SITE_LIFE)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let name = uri(site, enrolment).try_into().map_err(cryptography)?;
        params.subject_alt_names = vec![SanType::URI(name)];
        SiteCertificate::from_der(&self.sign(&params, &request.public_key)?)
    }

    /// What is the same in all certificates but its own.
    fn end_params(
        &self,
        name: &str,
        serial: &Serial,
        now: UnixTime,
        life: Duration,
    ) -> Result<CertificateParams, IdentityError> {
        if !(self.not_before..self.not_after).contains(&now) {
            let advice = if now < self.not_before {
                "set the clock of this machine"
            } else {
                "if the clock of this machine is right, make a new authority and enrol all routers"
            };
            return Err(IdentityError::AuthorityNotValid {
                from: self.not_before,
                until: self.not_after,
                now,
                advice,
            });
        }
        let mut params = params(name, serial, now, life);
        params.not_after = self.end(now, life).date();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    /// Nothing outlives who vouches for it.
    fn end(&self, now: UnixTime, life: Duration) -> UnixTime {
        (now + life).min(self.not_after)
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, IdentityError> {
        let certificate = params.signed_by(key, &self.issuer).map_err(cryptography)?;
        Ok(certificate.der().clone())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.fingerprint)
    }
}

fn params(name: &str, serial: &Serial, now: UnixTime, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.not_before = now.before(BACKDATED).date();
    params.not_after = (now + life).date();
    params
}

pub(crate) fn certificate_pem(certificate: &CertificateDer<'_>) -> String {
    pem::encode(&pem::Pem::new(LABEL, certificate.as_ref()))
}

/// Says whether a certificate was signed by an authority. Nothing is said of when it is valid.
pub(crate) fn is_signed_by(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
) -> bool {
    let certificate = X509Certificate::from_der(certificate);
    let authority = X509Certificate::from_der(authority);
    let (Ok((_, certificate)), Ok((_, authority))) = (certificate, authority) else {
        return false;
    };
    authority.is_ca()
        && certificate.issuer() == authority.subject()
        && certificate
            .verify_signature(Some(authority.public_key()))
            .is_ok()
}
