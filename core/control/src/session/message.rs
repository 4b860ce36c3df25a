//! What both ends say. Each is checked before it gets here: see `wire`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use patronus_model::ids::UplinkName;
use patronus_model::intent::UplinkFacts;

use super::edition::{Digest, Edition, Version};
use super::snapshot::{Piece, PieceId};

/// The version of the protocol. Ends of different versions do not speak to each other; what is added
/// within a version must be of no harm to who does not know it.
pub const PROTOCOL: u32 = 1;

/// What a router says of its uplinks.
pub type Facts = BTreeMap<UplinkName, UplinkFacts>;

/// Which of the sessions of a router. Chance gives it, so that no message of one is taken for one of
/// another.
pub type SessionId = u64;

/// A configuration that a router did not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which one.
    pub edition: Edition,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it is not kept.
    pub reason: String,
}

/// What a router begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the protocol that it speaks.
    pub protocol: u32,
    /// The latest generation that it ever began to apply.
    pub seen: Option<Version>,
    /// What it runs, unless it is about to run something else.
    pub running: Option<Edition>,
    /// What it runs when it is started without a controller.
    pub confirmed: Option<Edition>,
    /// The last one that it did not keep, unless it kept a later one.
    pub refused: Option<Refusal>,
    /// What it says of its uplinks.
    pub facts: Facts,
}

/// What routers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromRouter {
    /// Who it is, and where it stands.
    Hello(Hello),
    /// It runs this, and returns to what was confirmed unless it hears a confirmation.
    Applied(Edition),
    /// It will run this from now on, also when it is started without a controller.
    Kept(Edition),
    /// It did not keep this.
    Refused {
        /// Which one, how often, and why.
        refusal: Refusal,
        /// What it runs.
        running: Option<Edition>,
    },
    /// It does not have what this was to be made from, or came to something else.
    Resync(Edition),
    /// It is there.
    Heartbeat {
        /// What it runs, unless it is about to run something else.
        running: Option<Edition>,
    },
    /// What it says of its uplinks.
    Facts(Facts),
    /// It asks for a new certificate: a request (PKCS #10) in DER.
    Renew(Vec<u8>),
    /// It is stopped on purpose.
    Leaving,
}

/// What controllers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromController {
    /// The hello was heard.
    Welcome {
        /// How often each end says something.
        heartbeat: Duration,
    },
    /// Here comes a configuration.
    Begin {
        /// Which one.
        edition: Edition,
        /// What it is made from; `None` if it comes whole.
        base: Option<Digest>,
        /// Pieces of that which are not there any more.
        gone: Vec<PieceId>,
        /// It is given up unless it is confirmed within this time.
        confirm_within: Duration,
    },
    /// Pieces of it that are new or different.
    Pieces {
        /// The digest of what they belong to.
        of: Digest,
        /// The pieces.
        pieces: Vec<Arc<Piece>>,
    },
    /// That was all of it.
    End {
        /// Its digest.
        of: Digest,
    },
    /// It is to be kept.
    Confirm(Edition),
    /// It is there.
    Heartbeat,
    /// A new certificate in DER.
    Renewed(Vec<u8>),
    /// There is none, and why.
    NotRenewed(String),
    /// This controller stops: go to another, or come again later.
    GoAway {
        /// Why.
        reason: String,
        /// When to come again.
        after: Duration,
    },
}
