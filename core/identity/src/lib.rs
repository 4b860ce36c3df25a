//! Who a controller and its routers are.
//!
//! ```text
//! controller                                   router
//! Authority::create                            PrivateKey::open_or_create
//!     │ fingerprint                                │
//! Token ───────── copied by a person ────────► Token::from_str
//! TokenRecord::redeem ◄──── secret, Request ───────┤
//!     │                                            │
//! Authority::issue_site ──── certificate ────► SiteIdentity
//! Revocations::check                           SiteIdentity::renew_at
//! ```
//!
//! Whatever is true only at a time is asked with that time: nothing here reads a clock.

mod authority;
mod certificate;
mod error;
mod file;
mod key;
mod redeem;
mod request;
mod revocation;
mod site;
mod text;
mod time;
mod token;

pub use authority::{Authority, ControllerName, Issued};
pub use certificate::{Enrolment, Fingerprint, Serial, SiteCertificate};
pub use error::IdentityError;
pub use key::PrivateKey;
pub use redeem::{NotRedeemed, TokenRecord, TokenState};
pub use request::Request;
pub use revocation::{Revocations, Revoked};
pub use site::SiteIdentity;
pub use time::UnixTime;
pub use token::{ControllerUrl, InvalidToken, InvalidUrl, Token, TokenId, TokenSecret};
