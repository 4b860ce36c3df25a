//! TLS 1.3 in both directions, and who is believed.

use std::fmt;
use std::sync::Arc;

use patronus_identity::{
    Fingerprint, IdentityError, Issued, PrivateKey, Revocations, SiteCertificate, SiteIdentity,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme,
};
use tokio::sync::watch;

use crate::clock::WallClock;

/// What both ends speak (RFC 9113, 3.1).
const ALPN: &[u8] = b"h2";

/// Whom a router believes.
#[derive(Clone, Debug)]
pub enum Trust {
    /// A controller whose authority has this key. That is all that a new router knows.
    Pinned(Fingerprint),
    /// A controller with a certificate from this authority.
    Authority(CertificateDer<'static>),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn failed(error: impl fmt::Display) -> IdentityError {
    IdentityError::Cryptography(error.to_string())
}

/// How a router connects. Only one that is enrolled shows a certificate.
///
/// # Errors
/// The router's certificate, or that of the authority, is none.
pub fn router_config(
    trust: Trust,
    identity: Option<&SiteIdentity>,
    clock: &WallClock,
) -> Result<ClientConfig, IdentityError> {
    let provider = provider();
    let verifier = Arc::new(ControllerVerifier {
        trust,
        provider: Arc::clone(&provider),
    });
    let builder = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()));
    let builder = builder
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from(identity.key.to_pkcs8());
            let chain = vec![identity.certificate().der().clone()];
            builder.with_client_auth_cert(chain, key).map_err(failed)?
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A session that is resumed shows no certificate, so none ever is.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// What the traits of both ends' verifiers ask of signatures is the same, and so is the answer: those
/// of TLS 1.3 are checked with what `self.provider` can, and there are no others.
macro_rules! signatures_of_tls13 {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            let algorithms = &self.provider.signature_verification_algorithms;
            algorithms.supported_schemes()
        }
    };
}

/// Believes what [`Trust`] says, and otherwise checks what is always checked: signatures, times, names
/// and that the certificate is one for servers.
#[derive(Debug)]
struct ControllerVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ControllerVerifier {
    /// The authority that counts, of those that the controller shows.
    fn authority(&self, shown: &[CertificateDer<'_>]) -> Option<CertificateDer<'static>> {
        match &self.trust {
            Trust::Authority(authority) => Some(authority.clone()),
            Trust::Pinned(pinned) => {
                let is_it = |it: &&CertificateDer<'_>| {
                    Fingerprint::of_certificate(it).is_ok_and(|found| found.matches(pinned))
                };
                shown.iter().find(is_it).map(|it| it.clone().into_owned())
            }
        }
    }
}

impl ServerCertVerifier for ControllerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = self
            .authority(intermediates)
            .ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let builder = WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&self.provider),
        );
        let verifier = builder
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        // The authority signs all by itself, so nothing is between it and the controller.
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    signatures_of_tls13!();
}

/// What a controller shows to routers. It can be replaced while it is used.
#[derive(Debug)]
pub struct Shown(Arc<CertifiedKey>);

impl Shown {
    /// Takes what was issued for a key.
    ///
    /// # Errors
    /// The key is not that of the certificate.
    pub fn new(issued: &Issued, key: &PrivateKey) -> Result<Self, IdentityError> {
        let key = PrivateKeyDer::from(key.to_pkcs8());
        let key = CertifiedKey::from_der(issued.chain.clone(), key, &provider());
        Ok(Self(Arc::new(key.map_err(failed)?)))
    }
}

#[derive(Debug)]
struct Shows(watch::Receiver<Shown>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.borrow().0))
    }
}

/// How a controller is connected to. Who shows no certificate gets in as well, and can do nothing but
/// enrol.
///
/// # Errors
/// The authority's certificate is none.
pub fn controller_config(
    shown: watch::Receiver<Shown>,
    authority: &CertificateDer<'static>,
    revocations: watch::Receiver<Arc<Revocations>>,
    clock: &WallClock,
) -> Result<ServerConfig, IdentityError> {
    let provider = provider();
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(failed)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build();
    let verifier = Arc::new(SiteVerifier {
        inner: verifier.map_err(failed)?,
        provider: Arc::clone(&provider),
        revocations,
    });
    let builder = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()));
    let mut config = builder
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Shows(shown)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A session that is resumed shows no certificate: one that was revoked would get in.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Takes certificates of sites that are not revoked.
#[derive(Debug)]
struct SiteVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
    revocations: watch::Receiver<Arc<Revocations>>,
}

impl ClientCertVerifier for SiteVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .inner
            .verify_client_cert(end_entity, intermediates, now)?;
        let certificate = SiteCertificate::from_der(end_entity)
            .map_err(|_| CertificateError::ApplicationVerificationFailure)?;
        let revoked = self.revocations.borrow().check(&certificate);
        revoked.map_err(|_| CertificateError::Revoked)?;
        Ok(verified)
    }

    signatures_of_tls13!();
}
