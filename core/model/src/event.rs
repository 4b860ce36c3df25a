//! What happened and why, in the words of the people who will ask.

use std::fmt;
use std::time::Duration;

use crate::change::Changes;
use crate::ids::{ClassId, IfName, PathId, SiteNumber, Slot};
use crate::path::{Measurement, PathCause, PathState};

/// Something that happened on a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A configuration came into force.
    Configured {
        /// Paths that it describes.
        paths: usize,
        /// Policies that it has.
        policies: usize,
        /// What it says otherwise than the one before it; `None` for the first.
        changes: Option<Changes>,
    },
    /// A path changed its state.
    Path {
        /// The path.
        path: PathId,
        /// What it was.
        from: PathState,
        /// What it is.
        to: PathState,
        /// Why.
        cause: PathCause,
    },
    /// A path flapped so often that nobody moves to it for a while, or it has calmed down.
    Dampened {
        /// The path.
        path: PathId,
        /// Whether it is suppressed now.
        suppressed: bool,
    },
    /// An uplink can be used, or cannot any more.
    Uplink {
        /// The uplink.
        slot: Slot,
        /// What keeps it from being used now.
        fault: Option<UplinkFault>,
    },
    /// A LAN's interface came up, or went down or away.
    Lan {
        /// Its interface.
        interface: IfName,
        /// Whether it is up and has a carrier now.
        up: bool,
    },
    /// A decision that moved traffic, or gave it its first path.
    Moved(Decision),
    /// A plan was carried out.
    Applied {
        /// Steps that it had.
        changes: usize,
        /// How long it took.
        took: Duration,
    },
    /// A plan was carried out only in part; it will be tried again.
    ApplyFailed {
        /// What went wrong.
        reason: String,
        /// When it will be tried again.
        retry_in: Duration,
    },
    /// Something of ours was altered or deleted by somebody else, and is put back.
    Drift {
        /// Steps that put it back.
        changes: usize,
        /// How many things were altered. What went with them is not counted.
        altered: usize,
        /// The first of them and what became of each, like `IPv4 rule 1010 removed`.
        named: Vec<String>,
    },
    /// A routing daemon died or came back.
    RoutingDaemon {
        /// Its name.
        daemon: String,
        /// Whether it is there now.
        up: bool,
    },
    /// A BGP session changed.
    BgpNeighbor {
        /// Who.
        neighbor: String,
        /// Whether it is established now.
        established: bool,
        /// Why it is not, in the daemon's words, where it says.
        reason: Option<String>,
    },
    /// An ordinary site announces a prefix that is configured for another one; only one of them can
    /// have it. Where neither is configured to have it, bgpd chooses and tells nobody of the other:
    /// then the numbers of prefixes announced and in force differ, which is a problem of the router.
    PrefixConflict {
        /// The prefix.
        prefix: ipnet::IpNet,
        /// Who has it.
        owner: SiteNumber,
        /// Who does not.
        loser: SiteNumber,
    },
    /// A site announces a prefix that overlaps one of our LANs; it is not believed.
    PrefixRefused {
        /// The prefix.
        prefix: ipnet::IpNet,
        /// Who announces it.
        site: SiteNumber,
    },
    /// A site announces prefixes, or no longer does.
    Prefixes {
        /// The site.
        site: SiteNumber,
        /// Whether it announces them now.
        announced: bool,
        /// Whether somebody else has them now: of all paths to a prefix bgpd hands on the best one
        /// only, so the site may announce them still.
        outdone: bool,
        /// How many they are.
        count: usize,
        /// The first of them.
        some: Vec<ipnet::IpNet>,
    },
    /// An operator had a prefix forgotten that no site announced any more.
    Forgotten {
        /// The prefix.
        prefix: ipnet::IpNet,
        /// Who announced it, as far as is known.
        site: Option<SiteNumber>,
        /// What it is part of that belongs to the overlay all the same; `None`: packets for it go
        /// wherever the main table leads.
        within: Option<ipnet::IpNet>,
    },
    /// Prefixes that no site announced any more were forgotten: there were more of them than are
    /// remembered, or an operator had them forgotten together.
    ForgottenTogether {
        /// Whether an operator wanted it.
        asked: bool,
        /// Who announced them; `None`: that is not known, or several did.
        site: Option<SiteNumber>,
        /// How many they are.
        count: usize,
        /// The first of them.
        some: Vec<ipnet::IpNet>,
    },
    /// A configuration file was read again and refused; nothing has changed.
    ReloadRefused {
        /// What is wrong with it, one finding in each line.
        problem: String,
    },
    /// FRR could not be configured; it is as it was.
    RoutingRefused {
        /// Why, in FRR's words where it says.
        reason: String,
    },
}

/// What keeps an uplink from carrying packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UplinkFault {
    /// Nothing is known of it yet.
    Unknown,
    /// There is no such interface.
    Missing,
    /// The interface is switched off, or has no carrier.
    Down,
    /// The interface has no address of global scope.
    NoAddress,
    /// No gateway is configured, and none was learned.
    NoGateway,
}

impl fmt::Display for UplinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "nothing is known of it yet",
            Self::Missing => "there is no such interface",
            Self::Down => "it is off or has no carrier",
            Self::NoAddress => "it has no address",
            Self::NoGateway => "it has no gateway: no default route leads out by it",
        })
    }
}

/// A decision of one class towards one site, with all that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The remote site.
    pub site: SiteNumber,
    /// The class.
    pub class: ClassId,
    /// Where its traffic went before.
    pub from: Option<PathId>,
    /// Where it goes now.
    pub to: PathId,
    /// Why it moved.
    pub reason: Reason,
    /// All candidates in the order in which the class ranks them, the chosen one included.
    pub candidates: Vec<Candidate>,
}

/// Why traffic is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The first choice after start or after a new configuration.
    Initial,
    /// It was there already when we started.
    Adopted,
    /// Its path does not exist any more.
    PathGone,
    /// Its path went down.
    PathDown(PathCause),
    /// Its path has been degraded for longer than the threshold.
    PathDegraded(PathCause),
    /// A path that the class prefers has been well for longer than the hold.
    Preferred {
        /// How long it has been well.
        well_for: Duration,
    },
    /// A path that the class prefers came up for the first time: it has nothing to prove.
    Arrived,
    /// The present path has flapped too often, and another has been well for longer than the hold.
    Calmer {
        /// How long it has been well.
        well_for: Duration,
    },
    /// Every path fell silent at once, so it went back to where it was before: the daemon at the
    /// far end may only be restarting.
    AllSilent,
    /// A path is clearly faster than the present one.
    Faster {
        /// Round-trip time of the present path.
        current: Duration,
        /// Round-trip time of the better one.
        better: Duration,
    },
    /// The policy of the class changed.
    Reconfigured,
}

/// One path that a decision looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The path.
    pub path: PathId,
    /// Its state at that time.
    pub state: PathState,
    /// Why it was in that state.
    pub cause: PathCause,
    /// What had been measured.
    pub measured: Measurement,
    /// The cost of its uplink, where that has a say in the order of the class.
    pub cost: Option<u32>,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Chosen.
    Chosen,
    /// Down or of unknown state while another is not.
    NotViable,
    /// Flaps too often.
    Suppressed,
    /// Worse than the chosen one in the order of the class.
    RankedLower,
    /// Better, but it has to be well for this much longer.
    HoldingDown {
        /// Until it may be used again.
        remaining: Duration,
    },
    /// Better, but one that is better still is coming up, and traffic need not go through them all.
    Outdone {
        /// Until it is not waited for any longer.
        remaining: Duration,
    },
    /// Better, but traffic moved only a moment ago.
    Cooldown {
        /// Until traffic may move again.
        remaining: Duration,
    },
    /// Faster, but not by enough to be worth a move.
    NotClearlyBetter,
}
