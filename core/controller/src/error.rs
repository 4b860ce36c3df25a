//! Why a change is refused.

use patronus_config::Diagnostic;
use patronus_identity::IdentityError;
use patronus_model::ids::{SiteId, UplinkName};
use patronus_model::intent::ObjectId;
use patronus_planner::Problem;
use patronus_store::StoreError;

/// Why something was not done. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A text is not made of objects.
    #[error("{}", lines(.0))]
    Text(Vec<Diagnostic>),
    /// Objects are good by themselves, but not together.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
    /// There is no network yet, and all else belongs to one.
    #[error(
        "there is no network yet: begin with an object of `kind: network`, which says what the \
         overlay's addresses are"
    )]
    NoNetwork,
    /// The network cannot be removed.
    #[error("the network cannot be removed, only changed")]
    NetworkStays,
    /// There is nothing to be removed.
    #[error("there is no {0}")]
    NoObject(ObjectId),
    /// There is nothing to be committed.
    #[error("nothing is changed")]
    NothingChanged,
    /// The first generation is to be confirmed.
    #[error("the first generation cannot wait to be confirmed: there is none to go back to")]
    NothingToGoBackTo,
    /// A router gives a key that another uplink has.
    #[error(
        "the key of uplink {uplink} is that of {other_uplink} at {other_site}: each uplink has a key \
         of its own, so it was probably copied with a disk; remove it there and make a new one"
    )]
    KeyTaken {
        /// The uplink.
        uplink: UplinkName,
        /// Who has it.
        other_site: SiteId,
        /// Its uplink.
        other_uplink: UplinkName,
    },
    /// What the store holds is not an intent.
    #[error("the store holds an object that cannot be read, {object}: {reason}")]
    Broken {
        /// The object.
        object: ObjectId,
        /// Why not.
        reason: String,
    },
    /// Something about a token or a certificate is wrong.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn lines<T: ToString>(all: &[T]) -> String {
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
