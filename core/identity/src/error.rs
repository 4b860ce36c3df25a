//! What goes wrong with keys, certificates and the files that hold them.

use std::io;
use std::path::PathBuf;

use crate::time::UnixTime;

/// Why there is no key or certificate.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was done with it.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A file with a private key can be read by others.
    #[error(
        "{} can be read by others (its mode is {mode:03o}), so its private key may be known: make \
         new keys, or if you are sure that nobody read it: chmod 600 {}",
        path.display(),
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file holds something else.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        reason: Box<IdentityError>,
    },
    /// A text is not what it should be.
    #[error("this is not {expected}: {reason}")]
    NotPem {
        /// What it should be.
        expected: &'static str,
        /// Why not.
        reason: String,
    },
    /// A private key is none of ours.
    #[error("this is not a private key on the curve P-256 in PKCS #8, the only kind that is used")]
    NotKey,
    /// A certificate is not one of ours.
    #[error("the certificate is not one for a site: {0}")]
    NotSite(&'static str),
    /// A certificate is not that of an authority.
    #[error("the certificate is not that of an authority: {0}")]
    NotAuthority(&'static str),
    /// A key and a certificate do not belong together.
    #[error("the private key is not the one that the certificate is for")]
    OtherKey,
    /// A certificate is another authority's.
    #[error("the certificate was not signed by this authority")]
    OtherAuthority,
    /// A request for a certificate is not good.
    #[error("the request for a certificate is refused: {0}")]
    Request(&'static str),
    /// An authority is no more, or not yet.
    #[error("the authority is valid from {from} to {until}, and it is {now}: {advice}")]
    AuthorityNotValid {
        /// The beginning.
        from: UnixTime,
        /// The end.
        until: UnixTime,
        /// When it was asked.
        now: UnixTime,
        /// What to do.
        advice: &'static str,
    },
    /// A controller needs a name.
    #[error("a controller needs 1 to {most} names or addresses, and {given} are given")]
    Names {
        /// How many there are.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// A token needs to say where to go.
    #[error("a token needs 1 to {most} URLs of controllers, and {given} are given")]
    Urls {
        /// How many there are.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// The system gives no randomness, or a key cannot sign.
    #[error("cryptography failed: {0}")]
    Cryptography(String),
}
