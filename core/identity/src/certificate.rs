//! The certificates of routers, and what identifies keys and certificates.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use patronus_model::ids::SiteId;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls_pki_types::CertificateDer;
use subtle::ConstantTimeEq as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use crate::error::IdentityError;
use crate::time::UnixTime;

/// The SHA-256 of a SubjectPublicKeyInfo: which key something is about, whatever certificate it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of the key with this SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn of(public_key: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest(&SHA256, public_key).as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// That of the key of a certificate.
    ///
    /// # Errors
    /// [`IdentityError::NotAuthority`] if this is none at all.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        match X509Certificate::from_der(certificate) {
            Ok(([], it)) => Ok(Self::of(it.public_key().raw)),
            Ok(_) | Err(_) => Err(IdentityError::NotAuthority("it is no certificate")),
        }
    }

    /// As it was written somewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is written somewhere.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether they are the same, found in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

pub(crate) fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The serial number of a certificate: 128 random bits, of which the first is never set, so that it is
/// positive, and the second always, so that it has one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; 16]);

impl Serial {
    pub(crate) fn random() -> Result<Self, IdentityError> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_| {
            IdentityError::Cryptography("the system gives no randomness".to_owned())
        })?;
        bytes[0] = bytes[0] & 0x3f | 0x40;
        Ok(Self(bytes))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

/// A text that is no serial number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the serial number of a certificate: use its 32 hexadecimal digits")]
pub struct InvalidSerial(String);

impl FromStr for Serial {
    type Err = InvalidSerial;

    fn from_str(text: &str) -> Result<Self, InvalidSerial> {
        let invalid = || InvalidSerial(text.to_owned());
        let digit = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(digit) {
            return Err(invalid());
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| invalid())?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// How often a site has been enrolled, counted from 1. All certificates of one enrolment have its
/// number, so that the ones of earlier enrolments can be told from them without comparing clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Enrolment(NonZeroU32);

impl Enrolment {
    /// The first of a site.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// Parses a number; `None` for 0.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The one after it. The last one there can be is its own successor.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the name in a router's certificate begins with.
const SCHEME: &str = "patronus:site:";

/// The name in a router's certificate: a URI, so that it can never be taken for that of a host.
pub(crate) fn uri(site: &SiteId, enrolment: Enrolment) -> String {
    format!("{SCHEME}{site}:{enrolment}")
}

fn named(uri: &str) -> Option<(SiteId, Enrolment)> {
    let (site, number) = uri.strip_prefix(SCHEME)?.split_once(':')?;
    let enrolment = Enrolment::new(number.parse().ok()?)?;
    // Without this, `+1` and `01` would be other spellings of the same.
    (enrolment.to_string() == number).then_some(())?;
    Some((site.parse().ok()?, enrolment))
}

/// A router's certificate. That it can be read says nothing of who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteCertificate {
    /// Of which site.
    pub site: SiteId,
    /// Of which of its enrolments.
    pub enrolment: Enrolment,
    /// Its serial number.
    pub serial: Serial,
    /// For which key.
    pub key: Fingerprint,
    /// From when on it is valid.
    pub not_before: UnixTime,
    /// Until when.
    pub not_after: UnixTime,
    der: CertificateDer<'static>,
}

impl SiteCertificate {
    /// Reads a certificate, which must have the form that [`crate::Authority::issue_site`] gives.
    ///
    /// # Errors
    /// [`IdentityError::NotSite`].
    pub fn from_der(der: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let refused = IdentityError::NotSite;
        let (rest, it) = X509Certificate::from_der(der)
            .map_err(|_| refused("it is not a certificate in DER"))?;
        if !rest.is_empty() {
            return Err(refused("there is something after its end"));
        }
        if it.version() != X509Version::V3 {
            return Err(refused("it is not one of version 3"));
        }
        if it.is_ca() {
            return Err(refused("it is that of an authority"));
        }
        let usage = it.extended_key_usage().ok().flatten();
        let for_clients = usage.is_some_and(|usage| {
            let usage = usage.value;
            usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty()
        });
        if !for_clients {
            return Err(refused("it is not for clients alone"));
        }
        let names = it.subject_alternative_name().ok().flatten();
        let uri = match names.map(|names| names.value.general_names.as_slice()) {
            Some([GeneralName::URI(uri)]) => *uri,
            Some(_) | None => return Err(refused("it does not have one URI as its only name")),
        };
        let (site, enrolment) = named(uri).ok_or(refused(
            "its name is not of the form patronus:site:SITE:ENROLMENT",
        ))?;
        let mut subject = it.subject().iter_attributes();
        let common = subject.next().and_then(|it| it.as_str().ok());
        if common != Some(site.as_str()) || subject.next().is_some() {
            return Err(refused("its subject is not the site that it names"));
        }
        let serial = it.raw_serial().try_into().map(Serial);
        let point = p256(it.public_key());
        Ok(Self {
            site,
            enrolment,
            serial: serial.map_err(|_| refused("its serial number does not have 16 bytes"))?,
            key: point
                .map(|()| Fingerprint::of(it.public_key().raw))
                .ok_or(refused("its key is not on the curve P-256"))?,
            not_before: unix(it.validity().not_before).ok_or(refused("it is dated before 1970"))?,
            not_after: unix(it.validity().not_after).ok_or(refused("it ended before 1970"))?,
            der: der.clone().into_owned(),
        })
    }

    /// As TLS takes it.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// When a new one is to be asked for: after two thirds of its life.
    #[must_use]
    pub fn renew_at(&self) -> UnixTime {
        renew_at(self.not_before, self.not_after)
    }

    /// Whether it is valid at a time, both ends included (RFC 5280, 4.1.2.5).
    #[must_use]
    pub fn is_valid_at(&self, now: UnixTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

pub(crate) fn renew_at(from: UnixTime, until: UnixTime) -> UnixTime {
    from + Duration::from_secs(until.since(from).as_secs() / 3 * 2)
}

pub(crate) fn unix(time: ASN1Time) -> Option<UnixTime> {
    u64::try_from(time.timestamp())
        .ok()
        .map(UnixTime::from_seconds)
}

/// Says whether a key is on the curve P-256 and written as it always is here (RFC 5480, 2).
pub(crate) fn p256(key: &SubjectPublicKeyInfo<'_>) -> Option<()> {
    let algorithm = &key.algorithm;
    let curve = algorithm.parameters.as_ref()?.as_oid().ok()?;
    let point = &key.subject_public_key;
    let good = algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
        && curve == OID_EC_P256
        && point.unused_bits == 0
        && point.data.len() == 65
        && point.data.first() == Some(&4);
    good.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        let site: SiteId = "berlin".parse().unwrap();
        let seven = Enrolment::new(7).unwrap();
        assert_eq!(named(&uri(&site, seven)), Some((site, seven)));
        for bad in [
            "",
            "berlin:7",
            "patronus:site:berlin",
            "patronus:site:berlin:",
            "patronus:site:berlin:0",
            "patronus:site:berlin:07",
            "patronus:site:berlin:+7",
            "patronus:site:berlin:4294967296",
            "patronus:site:berlin:7:7",
            "patronus:site::7",
            "patronus:site:Berlin:7",
            "patronus:site:berlin.example:7",
            "Patronus:site:berlin:7",
            " patronus:site:berlin:7",
        ] {
            assert_eq!(named(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn serial_numbers_are_positive_and_have_one_length() {
        for _ in 0..1000 {
            let serial = Serial::random().unwrap();
            assert!((0x40..0x80).contains(&serial.0[0]), "{serial}");
            assert_eq!(serial.to_string().parse(), Ok(serial));
        }
        for bad in ["", "40", &"g".repeat(32), &"A".repeat(32), &"0".repeat(33)] {
            assert!(bad.parse::<Serial>().is_err(), "{bad}");
        }
    }

    #[test]
    fn it_is_renewed_after_two_thirds() {
        let at = UnixTime::from_seconds;
        assert_eq!(renew_at(at(1000), at(1900)), at(1600));
        assert_eq!(renew_at(at(1000), at(1000)), at(1000));
        assert_eq!(renew_at(at(1000), at(900)), at(1000));
    }
}
