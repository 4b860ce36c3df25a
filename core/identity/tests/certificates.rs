//! Certificates: what is issued, what is taken, and when it counts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::time::Duration;

use patronus_identity::{
    Authority, ControllerName, Enrolment, Fingerprint, IdentityError, PrivateKey, Request,
    Revocations, Revoked, Serial, SiteCertificate, SiteIdentity, UnixTime,
};
use patronus_model::ids::SiteId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    SanType,
};
use rustls_pki_types::CertificateDer;

const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn days(days: u32) -> Duration {
    DAY * days
}

fn site() -> SiteId {
    "berlin".parse().unwrap()
}

fn names() -> Vec<ControllerName> {
    ["controller.example.net", "192.0.2.1", "2001:db8::1"]
        .iter()
        .map(|name| ControllerName::try_from(name.to_string()).unwrap())
        .collect()
}

fn issue(authority: &Authority, key: &PrivateKey, enrolment: Enrolment) -> SiteCertificate {
    let request = Request::from_der(&Request::make(key).unwrap()).unwrap();
    let issued = authority.issue_site(&site(), enrolment, &request, NOW);
    issued.unwrap()
}

#[test]
fn a_router_gets_a_certificate_for_its_key_and_its_site() {
    let authority = Authority::create(NOW).unwrap();
    let key = PrivateKey::generate().unwrap();
    let enrolment = Enrolment::new(3).unwrap();
    let certificate = issue(&authority, &key, enrolment);
    assert_eq!(certificate.site, site());
    assert_eq!(certificate.enrolment, enrolment);
    assert_eq!(certificate.key, key.fingerprint());
    assert_eq!(certificate.not_before + DAY, NOW);
    assert_eq!(certificate.not_after, NOW + days(365));
    assert_eq!(certificate.renew_at() + DAY, NOW + days(366) * 2 / 3);
    let again = SiteCertificate::from_der(certificate.der()).unwrap();
    assert_eq!(again, certificate);
    assert_ne!(
        issue(&authority, &key, enrolment).serial,
        certificate.serial
    );
}

#[test]
fn a_certificate_counts_from_its_first_second_to_its_last() {
    let authority = Authority::create(NOW).unwrap();
    let certificate = issue(
        &authority,
        &PrivateKey::generate().unwrap(),
        Enrolment::FIRST,
    );
    let second = Duration::from_secs(1);
    let (from, until) = (certificate.not_before, certificate.not_after);
    let before = UnixTime::from_seconds(from.as_seconds() - 1);
    let table = [
        (before, false),
        (from, true),
        (NOW, true),
        (until, true),
        (until + second, false),
    ];
    for (at, expected) in table {
        assert_eq!(certificate.is_valid_at(at), expected, "{at}");
    }
}

#[test]
fn what_is_issued_does_not_outlive_its_authority() {
    let authority = Authority::create(NOW).unwrap();
    let key = PrivateKey::generate().unwrap();
    let request = Request::from_der(&Request::make(&key).unwrap()).unwrap();
    let issue = |now| authority.issue_site(&site(), Enrolment::FIRST, &request, now);
    let end = NOW + days(30 * 365);
    assert_eq!(issue(NOW + days(30 * 365 - 1)).unwrap().not_after, end);
    let table = [
        (NOW + days(30 * 365), "make a new authority"),
        (UnixTime::from_seconds(0), "set the clock of this machine"),
    ];
    for (now, advice) in table {
        let error = issue(now).unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
        let error = authority.issue_controller(&names(), &key, now).unwrap_err();
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn a_controller_gets_a_certificate_for_its_names() {
    let authority = Authority::create(NOW).unwrap();
    let key = PrivateKey::generate().unwrap();
    let issued = authority.issue_controller(&names(), &key, NOW).unwrap();
    assert_eq!(issued.renew_at, NOW + days(60));
    let [certificate, last] = issued.chain.as_slice() else {
        panic!("{} certificates", issued.chain.len());
    };
    assert_eq!(last, authority.certificate());
    assert_eq!(
        Fingerprint::of_certificate(last).unwrap(),
        authority.fingerprint()
    );
    assert_eq!(
        Fingerprint::of_certificate(certificate).unwrap(),
        key.fingerprint()
    );
    // It is not taken for a router's.
    let error = SiteCertificate::from_der(certificate).unwrap_err();
    assert!(error.to_string().contains("not for clients alone"));
    let one = names().remove(0);
    for given in [0, 33] {
        let names = vec![one.clone(); given];
        let error = authority.issue_controller(&names, &key, NOW).unwrap_err();
        assert!(matches!(error, IdentityError::Names { .. }), "{error}");
    }
}

/// A certificate like a router's, with one thing different.
fn odd(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "berlin");
    params.serial_number = Some(vec![0x40; 16].into());
    params.subject_alt_names = vec![uri("patronus:site:berlin:1")];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = PrivateKey::generate().unwrap();
    params.self_signed(&key).unwrap().der().clone()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.to_owned().try_into().unwrap())
}

#[test]
fn only_certificates_of_the_one_form_are_taken() {
    let common_name = |name: &str| {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, name);
        subject
    };
    assert!(SiteCertificate::from_der(&odd(|_| {})).is_ok());
    let table = [
        (
            odd(|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            "of an authority",
        ),
        (
            odd(|it| it.extended_key_usages.clear()),
            "not for clients alone",
        ),
        (
            odd(|it| {
                it.extended_key_usages
                    .push(ExtendedKeyUsagePurpose::ServerAuth)
            }),
            "not for clients alone",
        ),
        (
            odd(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]),
            "not for clients alone",
        ),
        (
            odd(|it| it.subject_alt_names.clear()),
            "one URI as its only name",
        ),
        (
            odd(|it| it.subject_alt_names.push(uri("patronus:site:paris:1"))),
            "one URI as its only name",
        ),
        (
            odd(|it| it.subject_alt_names = vec![SanType::DnsName("berlin".try_into().unwrap())]),
            "one URI as its only name",
        ),
        (
            odd(|it| it.subject_alt_names = vec![uri("patronus:site:berlin")]),
            "of the form patronus:site:SITE:ENROLMENT",
        ),
        (
            odd(|it| it.subject_alt_names = vec![uri("patronus:site:paris:1")]),
            "not the site that it names",
        ),
        (
            odd(|it| it.distinguished_name = DistinguishedName::new()),
            "not the site that it names",
        ),
        (
            odd(|it| it.distinguished_name = common_name("Berlin")),
            "not the site that it names",
        ),
        (
            odd(|it| it.distinguished_name.push(DnType::OrganizationName, "x")),
            "not the site that it names",
        ),
        (
            odd(|it| it.serial_number = Some(vec![1].into())),
            "does not have 16 bytes",
        ),
        (CertificateDer::from(vec![]), "not a certificate in DER"),
        (
            CertificateDer::from(vec![0x30; 100]),
            "not a certificate in DER",
        ),
        (
            CertificateDer::from([odd(|_| {}).as_ref(), &[0]].concat()),
            "something after its end",
        ),
    ];
    for (certificate, expected) in table {
        let error = SiteCertificate::from_der(&certificate).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("berlin");
    params.serial_number = Some(vec![0x40; 16].into());
    params.subject_alt_names = vec![uri("patronus:site:berlin:1")];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&other).unwrap();
    let error = SiteCertificate::from_der(certificate.der()).unwrap_err();
    assert!(
        error.to_string().contains("not on the curve P-256"),
        "{error}"
    );
}

#[test]
fn an_identity_is_of_one_key_and_one_authority() {
    let authority = Authority::create(NOW).unwrap();
    let other = Authority::create(NOW).unwrap();
    let key = || PrivateKey::generate().unwrap();
    let ours = key();
    let certificate = issue(&authority, &ours, Enrolment::FIRST);
    let put = |key, certificate: &SiteCertificate, authority: &Authority| {
        SiteIdentity::new(key, certificate.clone(), authority.certificate().clone())
    };
    assert!(matches!(
        put(key(), &certificate, &authority),
        Err(IdentityError::OtherKey)
    ));
    let again = PrivateKey::from_pem(&ours.to_pem()).unwrap();
    assert!(matches!(
        put(again, &certificate, &other),
        Err(IdentityError::OtherAuthority)
    ));
    let identity = put(ours, &certificate, &authority).unwrap();
    assert_eq!(identity.renew_at(), certificate.renew_at());
}

#[test]
fn an_authority_is_read_as_it_was_written() {
    let authority = Authority::create(NOW).unwrap();
    let again = Authority::from_pem(&authority.to_pem()).unwrap();
    assert_eq!(again.certificate(), authority.certificate());
    assert_eq!(again.fingerprint(), authority.fingerprint());
    // What the one has signed, the other vouches for.
    let key = PrivateKey::generate().unwrap();
    let certificate = issue(&again, &key, Enrolment::FIRST);
    let theirs = authority.certificate().clone();
    assert!(SiteIdentity::new(key, certificate, theirs).is_ok());
    let printed = format!("{authority:?}");
    assert_eq!(printed, format!("Authority({})", authority.fingerprint()));
}

#[test]
fn an_authority_has_its_own_key() {
    let one = Authority::create(NOW).unwrap().to_pem();
    let other = Authority::create(NOW).unwrap().to_pem();
    let (certificate, key) = (one.split_at(one.find("-----BEGIN PRIVATE").unwrap()).0, {
        other.split_at(other.find("-----BEGIN PRIVATE").unwrap()).1
    });
    let leaf = {
        let authority = Authority::create(NOW).unwrap();
        let key = PrivateKey::generate().unwrap();
        let der = issue(&authority, &key, Enrolment::FIRST);
        let block = pem::Pem::new("CERTIFICATE", der.der().as_ref());
        format!("{}{}", pem::encode(&block), *key.to_pem())
    };
    let table = [
        (
            format!("{certificate}{key}"),
            "not the one that the certificate is for",
        ),
        (certificate.to_owned(), "a block `PRIVATE KEY` is missing"),
        (
            key.to_owned(),
            "a block `PRIVATE KEY` is where `CERTIFICATE`",
        ),
        (format!("{}{key}", *one), "too many"),
        (leaf, "it may not sign others"),
    ];
    for (text, expected) in table {
        let error = Authority::from_pem(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn what_is_revoked_does_not_count_and_what_follows_does() {
    let authority = Authority::create(NOW).unwrap();
    let key = PrivateKey::generate().unwrap();
    let number = |number| Enrolment::new(number).unwrap();
    let [first, second, third] = [1, 2, 3].map(|it| issue(&authority, &key, number(it)));
    let renewed = issue(&authority, &key, number(2));

    let mut revoked = Revocations::default();
    assert_eq!(revoked.check(&second), Ok(()));
    revoked.revoke(second.serial);
    assert_eq!(
        revoked.check(&second),
        Err(Revoked::Certificate {
            serial: second.serial,
            site: site()
        })
    );
    assert_eq!(revoked.check(&renewed), Ok(()));

    revoked.revoke_before(site(), number(3));
    // An older message does not undo a newer one.
    revoked.revoke_before(site(), number(2));
    revoked.revoke_before("paris".parse().unwrap(), number(9));
    for (certificate, counts) in [(&first, false), (&renewed, false), (&third, true)] {
        assert_eq!(revoked.check(certificate).is_ok(), counts);
    }
    let error = revoked.check(&renewed).unwrap_err().to_string();
    assert!(
        error.contains("enrolled as number 2, and only 3"),
        "{error}"
    );
    let text = second.serial.to_string();
    assert_eq!(text.parse::<Serial>(), Ok(second.serial));
}
