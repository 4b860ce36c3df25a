//! Certificates that count no more although they are valid.

use std::collections::{BTreeMap, BTreeSet};

use patronus_model::ids::SiteId;

use crate::certificate::{Enrolment, Serial, SiteCertificate};

/// Why a certificate does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Revoked {
    /// It was revoked by its number.
    #[error("the certificate {serial} of site {site} was revoked: enrol the router again")]
    Certificate {
        /// Its number.
        serial: Serial,
        /// Its site.
        site: SiteId,
    },
    /// All of an enrolment were.
    #[error(
        "the router of site {site} was revoked, or another one was enrolled in its place: it was \
         enrolled as number {enrolment}, and only {since} and later ones count"
    )]
    Site {
        /// The site.
        site: SiteId,
        /// The enrolment of the certificate.
        enrolment: Enrolment,
        /// The first that counts.
        since: Enrolment,
    },
}

/// What is revoked. It only grows: to undo a revocation is to enrol the router again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    serials: BTreeSet<Serial>,
    /// The first enrolment that counts, of sites of which some do not.
    sites: BTreeMap<SiteId, Enrolment>,
}

impl Revocations {
    /// Revokes one certificate.
    pub fn revoke(&mut self, serial: Serial) {
        self.serials.insert(serial);
    }

    /// Revokes all certificates of the enrolments of a site before `since`.
    pub fn revoke_before(&mut self, site: SiteId, since: Enrolment) {
        let known = self.sites.entry(site).or_insert(since);
        *known = (*known).max(since);
    }

    /// Whether a certificate counts.
    ///
    /// # Errors
    /// It is revoked.
    pub fn check(&self, certificate: &SiteCertificate) -> Result<(), Revoked> {
        let SiteCertificate {
            site,
            enrolment,
            serial,
            ..
        } = certificate;
        if let Some(since) = self.sites.get(site).filter(|since| *enrolment < **since) {
            return Err(Revoked::Site {
                site: site.clone(),
                enrolment: *enrolment,
                since: *since,
            });
        }
        if self.serials.contains(serial) {
            return Err(Revoked::Certificate {
                serial: *serial,
                site: site.clone(),
            });
        }
        Ok(())
    }
}
