//! Why a router and a controller do not come together, in words that say what to do.

use std::io;
use std::time::Duration;

use patronus_identity::{ControllerUrl, Fingerprint, IdentityError, UnixTime};
use rustls::{AlertDescription, CertificateError};
use tonic::{Code, Status};

use crate::wire::InvalidMessage;

/// Why a router does not come to its controller.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is nobody.
    #[error("{url}: it cannot be reached: {source}")]
    Unreachable {
        /// Where.
        url: ControllerUrl,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody answers.
    #[error("{url}: no answer within {} s", within.as_secs())]
    Silent {
        /// Where.
        url: ControllerUrl,
        /// How long it was waited for.
        within: Duration,
    },
    /// It is another controller.
    #[error(
        "{url}: this is not the controller that the token is from: its authority is not {pinned}. \
         Either the URL leads elsewhere, or somebody is in between"
    )]
    NotPinned {
        /// Where.
        url: ControllerUrl,
        /// Who should be there.
        pinned: Fingerprint,
    },
    /// It is another controller.
    #[error(
        "{url}: this is not a controller of the network that this router was enrolled in: its \
         certificate is from another authority"
    )]
    OtherAuthority {
        /// Where.
        url: ControllerUrl,
    },
    /// It has another name.
    #[error(
        "{url}: the controller there is not called so, but {}: use one of these names, or add this \
         one to the controller's names", presented.join(", ")
    )]
    OtherName {
        /// Where.
        url: ControllerUrl,
        /// How it is called.
        presented: Vec<String>,
    },
    /// It is not a controller at all.
    #[error(
        "{url}: what is there shows a certificate of this network that is not one for controllers, so \
         somebody passes for a controller"
    )]
    NotController {
        /// Where.
        url: ControllerUrl,
    },
    /// A clock is wrong.
    #[error(
        "{url}: the controller's certificate is valid {limit}, and it is {now} by this router's \
         clock: set the clock, or that of the controller"
    )]
    Clock {
        /// Where.
        url: ControllerUrl,
        /// From or until when.
        limit: String,
        /// What time it is here.
        now: UnixTime,
    },
    /// The controller does not take the router's certificate.
    #[error("{url}: the controller does not take this router's certificate: {reason}")]
    NotAccepted {
        /// Where.
        url: ControllerUrl,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// TLS fails otherwise.
    #[error("{url}: TLS failed: {reason}")]
    Tls {
        /// Where.
        url: ControllerUrl,
        /// Why.
        reason: String,
    },
    /// The controller says no.
    #[error("{url}: {reason}")]
    Refused {
        /// Where.
        url: ControllerUrl,
        /// What it says.
        reason: String,
        /// Whether another controller, or the same one later, may say something else.
        again: bool,
    },
    /// What the controller says cannot be.
    #[error("{url}: the controller says something that cannot be: {source}")]
    Invalid {
        /// Where.
        url: ControllerUrl,
        /// What.
        #[source]
        source: InvalidMessage,
    },
    /// The router's own certificate or key is not good, or the one that it got.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl ConnectError {
    /// Whether it is worth trying again without anybody doing anything.
    #[must_use]
    pub const fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Clock { .. }
            | Self::Tls { .. } => true,
            Self::Refused { again, .. } => *again,
            Self::NotPinned { .. }
            | Self::OtherAuthority { .. }
            | Self::NotController { .. }
            | Self::OtherName { .. }
            | Self::NotAccepted { .. }
            | Self::Invalid { .. }
            | Self::Identity(_) => false,
        }
    }

    pub(crate) fn of_tls(
        url: &ControllerUrl,
        pinned: Option<Fingerprint>,
        now: UnixTime,
        error: &rustls::Error,
    ) -> Self {
        let url = url.clone();
        let date = |at: &rustls::pki_types::UnixTime| UnixTime::from_seconds(at.as_secs());
        let rustls::Error::InvalidCertificate(reason) = error else {
            return match error {
                rustls::Error::AlertReceived(alert) => Self::of_alert(url, *alert),
                other => Self::Tls {
                    url,
                    reason: other.to_string(),
                },
            };
        };
        match (reason, pinned) {
            (CertificateError::NotValidYetContext { not_before, .. }, _) => Self::Clock {
                url,
                limit: format!("from {}", date(not_before)),
                now,
            },
            (CertificateError::ExpiredContext { not_after, .. }, _) => Self::Clock {
                url,
                limit: format!("until {}", date(not_after)),
                now,
            },
            (CertificateError::NotValidForNameContext { presented, .. }, _) => Self::OtherName {
                url,
                presented: presented.clone(),
            },
            (CertificateError::UnknownIssuer | CertificateError::BadSignature, Some(pinned)) => {
                Self::NotPinned { url, pinned }
            }
            (CertificateError::UnknownIssuer | CertificateError::BadSignature, None) => {
                Self::OtherAuthority { url }
            }
            (
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
                _,
            ) => Self::NotController { url },
            (other, _) => Self::Tls {
                url,
                reason: format!("the controller's certificate is not good: {other:?}"),
            },
        }
    }

    fn of_alert(url: ControllerUrl, alert: AlertDescription) -> Self {
        let reason = match alert {
            AlertDescription::CertificateRevoked => {
                "it was revoked, or another router was enrolled in its place. Enrol it again if it is \
                 to be part of the network"
            }
            AlertDescription::CertificateExpired => {
                "it is not valid at the time that the controller's clock says. If that is right, enrol \
                 the router again"
            }
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                "it is from another authority, so it was enrolled in another network"
            }
            AlertDescription::AccessDenied
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::BadCertificate => "it is not the certificate of a router",
            other => {
                return Self::Tls {
                    url,
                    reason: format!("the controller ended it: {other:?}"),
                };
            }
        };
        Self::NotAccepted { url, reason }
    }

    pub(crate) fn of_status(url: &ControllerUrl, status: &Status) -> Self {
        let again = matches!(
            status.code(),
            Code::Unavailable
                | Code::Unknown
                | Code::Aborted
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::ResourceExhausted
        );
        let mut reason = status.message().to_owned();
        if reason.is_empty() {
            reason = format!("the controller ended it: {}", status.code().description());
        }
        Self::Refused {
            url: url.clone(),
            reason,
            again,
        }
    }
}
