//! What a router shows of itself: a consistent picture at one instant, for the API.

mod pending;
mod route;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::bgp::Asn;
use crate::event::{Candidate, Event, Reason, UplinkFault};
use crate::ids::{
    ClassId, ClassName, IfName, PathId, PolicyName, SiteId, SiteNumber, Slot, UplinkName,
};
use crate::kernel::Foreign;
use crate::path::{Measurement, PathCause, PathState};
use crate::policy::{Action, Flow, Mismatch};
use crate::wireguard::PublicKey;

pub use pending::{Kind, Pending};
pub use route::{CutView, Holder, RouteOrigin, RouteView};

/// A whole router. Durations say how long ago something happened.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterView {
    /// Our id.
    pub site: SiteId,
    /// Our name for people.
    pub name: String,
    /// Where we are, for people.
    pub location: Option<String>,
    /// Our labels, for selectors.
    pub labels: BTreeMap<String, String>,
    /// Since when the daemon has been running.
    pub uptime: Duration,
    /// Since when the configuration has been in force.
    pub configured: Duration,
    /// Whether what should be in the kernel is there, as far as is known.
    pub settled: bool,
    /// What is missing there, unless it is settled.
    pub pending: Pending,
    /// Why the configuration file was refused when it was read last; what is in force is older.
    pub refused: Option<String>,
    /// What others have put into the way of our packets on this machine.
    pub obstacles: Vec<ObstacleView>,
    /// Our uplinks.
    pub uplinks: Vec<UplinkView>,
    /// Our LANs.
    pub lans: Vec<LanView>,
    /// The other sites.
    pub sites: Vec<SiteView>,
    /// All paths.
    pub paths: Vec<PathView>,
    /// Traffic classes in the order of their ids.
    pub classes: Vec<ClassView>,
    /// Policies in the order in which they are looked at.
    pub policies: Vec<PolicyView>,
    /// What is routed into the overlay.
    pub routes: Vec<RouteView>,
    /// Prefixes within what belongs to the overlay which the main table, or a BGP neighbour, would
    /// lead out of an uplink all the same: their packets do not leave there.
    pub misrouted: Vec<(IpNet, Foreign)>,
    /// Parts of sites' prefixes that go elsewhere, because a longer prefix wins.
    pub cuts: Vec<CutView>,
    /// How many prefixes BGP neighbours outside the overlay serve.
    pub of_neighbors: usize,
}

/// Rules or firewalls of others that our packets meet before or beside ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObstacleView {
    /// What was found, in words.
    pub found: Vec<String>,
    /// Whether it certainly leads packets astray; otherwise it may.
    pub certain: bool,
    /// What happens to which packets, in words.
    pub cost: String,
    /// What to do about it.
    pub remedy: String,
}

/// An uplink.
#[derive(Clone, Debug, PartialEq)]
pub struct UplinkView {
    /// Its name.
    pub name: UplinkName,
    /// Its number.
    pub slot: Slot,
    /// Its interface.
    pub interface: IfName,
    /// What keeps it from carrying packets.
    pub fault: Option<UplinkFault>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Its gateways.
    pub gateways: Vec<IpAddr>,
    /// Bits per second up and down, where configured.
    pub bandwidth: (Option<u64>, Option<u64>),
    /// Its cost; the lower is preferred where nothing else decides.
    pub cost: u32,
    /// Whether bytes cost money.
    pub metered: bool,
}

/// A network behind the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanView {
    /// Its interface.
    pub interface: IfName,
    /// Its prefixes, which this site announces.
    pub prefixes: Vec<IpNet>,
    /// How its interface is.
    pub state: LanState,
    /// Our addresses on it.
    pub addresses: Vec<IpNet>,
}

/// How the interface of a LAN is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LanState {
    /// Nothing is known of it yet.
    Unknown,
    /// Up, with a carrier.
    Up,
    /// Switched off, or without a carrier.
    Down,
    /// There is no such interface.
    Missing,
}

/// A remote site.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteView {
    /// Its id.
    pub id: SiteId,
    /// Its name for people.
    pub name: String,
    /// Its number.
    pub number: SiteNumber,
    /// Whether it is a hub.
    pub hub: bool,
    /// Its overlay addresses.
    pub addresses: Vec<IpAddr>,
    /// Where each class goes, in the order of their ids.
    pub choices: Vec<ChoiceView>,
}

/// Where a class goes at a site, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoiceView {
    /// The site.
    pub site: SiteNumber,
    /// The class.
    pub class: ClassId,
    /// The path, if there is any: to the site, or to a hub that carries on to it.
    pub path: Option<PathId>,
    /// Why.
    pub reason: Reason,
    /// For how long.
    pub since: Duration,
    /// All paths as this class ranks them now.
    pub candidates: Vec<Candidate>,
}

impl ChoiceView {
    /// The path where its traffic is, if that is down. One of which nothing is known may carry
    /// packets, as it does while the far end's daemon is restarted.
    #[must_use]
    pub fn dead(&self) -> Option<&Candidate> {
        let mut candidates = self.candidates.iter();
        candidates.find(|it| Some(it.path) == self.path && it.state == PathState::Down)
    }

    /// The path where its traffic is, if nobody knows what becomes of packets there: patronusd at
    /// the far end, the site or a hub, was stopped on purpose and did not come back, and its kernel
    /// forwards for as long as nobody tears it down.
    #[must_use]
    pub fn in_doubt(&self) -> Option<&Candidate> {
        self.dead().filter(|it| it.cause == PathCause::StayedAway)
    }

    /// Whether its packets are lost, as far as is known, as it has no path or one that is down.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.path.is_none() || self.dead().is_some()
    }
}

/// A path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathView {
    /// The path.
    pub id: PathId,
    /// The far site.
    pub site: SiteId,
    /// Our uplink.
    pub local: UplinkName,
    /// Theirs.
    pub remote: UplinkName,
    /// Its tunnel.
    pub interface: IfName,
    /// The far end's key.
    pub peer: PublicKey,
    /// Where the peer was last heard, or is configured to be.
    pub endpoint: Option<SocketAddr>,
    /// Its state.
    pub state: PathState,
    /// Why.
    pub cause: PathCause,
    /// For how long.
    pub since: Duration,
    /// How much longer it is not moved to because it flaps, if it goes down no more; `None`: it may
    /// be moved to.
    pub suppressed: Option<Duration>,
    /// What has been measured.
    pub measured: Measurement,
    /// The cost of our uplink, where a class goes by it.
    pub cost: Option<u32>,
    /// Classes that travel on it.
    pub classes: Vec<ClassId>,
}

/// When WireGuard last agreed on keys with each peer of each tunnel that answers; `None`: never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshakes(pub BTreeMap<(IfName, PublicKey), Option<Duration>>);

impl Handshakes {
    /// That of a path.
    #[must_use]
    pub fn of(&self, path: &PathView) -> Handshake {
        match self.0.get(&(path.interface.clone(), path.peer)) {
            None => Handshake::Unknown,
            Some(None) => Handshake::Never,
            Some(Some(age)) => Handshake::Ago(*age),
        }
    }
}

/// When WireGuard last agreed on keys with the far end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The tunnel or the peer is not there, or does not answer.
    Unknown,
    /// Not since the peer was set up.
    Never,
    /// So long ago.
    Ago(Duration),
}

/// A traffic class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassView {
    /// Its number.
    pub id: ClassId,
    /// Its name.
    pub name: ClassName,
    /// Its strategy, in words.
    pub strategy: String,
    /// Whether it takes what no policy matches.
    pub default: bool,
}

/// A policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyView {
    /// Its name.
    pub name: PolicyName,
    /// Lower is looked at earlier.
    pub priority: u32,
    /// What it matches, in words; "everything" for no condition.
    pub matches: String,
    /// What it does.
    pub action: Action,
}

/// An event with its place in the sequence and the wall-clock time at which the shell saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// Counts up from 1 since the daemon started.
    pub sequence: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub unix_millis: u64,
    /// What happened.
    pub event: Event,
}

/// Why a flow goes where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The flow asked about.
    pub flow: Flow,
    /// The policies that were looked at, in order, with what kept each from matching; the last one
    /// matched if its mismatch is `None`.
    pub policies: Vec<(PolicyName, Option<Mismatch>)>,
    /// What happens to the flow.
    pub outcome: Outcome,
}

/// What happens to a flow.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A policy drops it.
    Dropped,
    /// Its destination is the router itself.
    Own {
        /// The class that it has all the same.
        class: ClassName,
    },
    /// The overlay does not carry it.
    NotOverlay {
        /// The class that it has all the same.
        class: ClassName,
        /// What is known of its route; `None`: the main table decides, perhaps by its default.
        foreign: Option<(IpNet, Foreign)>,
    },
    /// It belongs to the overlay, but nobody has announced its destination: it is refused rather
    /// than sent in the clear.
    Unreachable {
        /// The class.
        class: ClassName,
        /// What was announced and is not any more, if the destination is in such a prefix.
        withdrawn: Option<WithdrawnView>,
        /// The LAN of ours that it is in, whose interface is not as it should be.
        lan: Option<LanView>,
        /// The route that would lead it out of an uplink.
        misrouted: Option<(IpNet, Foreign)>,
    },
    /// It travels to a site.
    Routed {
        /// The class.
        class: ClassName,
        /// The route that its destination follows.
        route: IpNet,
        /// Where that is known from.
        origin: RouteOrigin,
        /// The site.
        site: SiteId,
        /// The path, and why this one.
        choice: ChoiceView,
    },
}

/// A prefix that was announced and is not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawnView {
    /// The prefix.
    pub prefix: IpNet,
    /// Who announced it, and how long ago it ceased to; `None`: it was guarded before the daemon
    /// started, perhaps because the configuration named it, or the site is not configured any more.
    pub last: Option<(SiteId, Duration)>,
    /// Whether the configuration guards it as well, so that to forget it makes no difference.
    pub configured: bool,
}

/// What a BFD session watches, and who runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BfdWatched {
    /// A path, by us.
    Path {
        /// The path.
        path: PathId,
        /// The far site.
        site: SiteId,
        /// Our uplink.
        local_uplink: UplinkName,
        /// Theirs.
        remote_uplink: UplinkName,
    },
    /// A BGP neighbour outside of the overlay, by FRR's bfdd.
    Neighbor {
        /// What the configuration calls it.
        description: String,
    },
}

/// A BFD session (RFC 5880).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdView {
    /// What it watches.
    pub watched: BfdWatched,
    /// The interface that its packets leave and arrive by; `None` where it is bound to none.
    pub interface: Option<String>,
    /// Our address; `None` where the kernel picks one.
    pub local: Option<IpAddr>,
    /// The peer's address.
    pub remote: IpAddr,
    /// Our state.
    pub state: BfdState,
    /// The state in the peer's last packet; bfdd does not tell.
    pub remote_state: Option<BfdState>,
    /// Why our state last changed, in words; `None` for no reason.
    pub diagnostic: Option<String>,
    /// The reason in the peer's last packet, in words; `None` for no reason.
    pub remote_diagnostic: Option<String>,
    /// How often we send; `None` when the peer wants no packets.
    pub transmit: Option<Duration>,
    /// How long the peer may be silent; `None` while nothing is known of it.
    pub detection: Option<Duration>,
    /// The last round trip.
    pub rtt: Option<Duration>,
    /// Packets; `None` where bfdd counts them for itself.
    pub counted: Option<BfdCounters>,
    /// For how long it has been in its state, where that is known.
    pub since: Option<Duration>,
    /// What keeps it from sending, in words: no socket, no route; `None` when nothing does.
    pub problem: Option<String>,
}

/// What a BFD session has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdCounters {
    /// Packets sent.
    pub sent: u64,
    /// Packets taken.
    pub received: u64,
    /// How often it went down.
    pub downs: u64,
}

/// The state of a BFD session (RFC 5880 section 6.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BfdState {
    /// Held down by an operator.
    AdminDown,
    /// Nothing is heard.
    Down,
    /// The peer is heard; whether it hears us is not known yet.
    Init,
    /// Both hear each other.
    Up,
}

/// BGP and the routing daemons that speak it. Durations say how long ago something happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BgpView {
    /// Our AS and router id; `None` before there is a configuration.
    pub local: Option<(Asn, Ipv4Addr)>,
    /// The daemons.
    pub daemons: Vec<RoutingDaemonView>,
    /// The neighbours, those of the overlay and those outside.
    pub neighbors: Vec<NeighborView>,
    /// Why what was configured is not in force, in words; `None` when it is.
    pub problem: Option<String>,
}

/// A routing daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingDaemonView {
    /// Its name, like `bgpd`.
    pub name: String,
    /// Its version; `None` while it does not answer.
    pub version: Option<String>,
    /// For how long it has answered, or not.
    pub since: Duration,
    /// For how long it has owed an answer, if that is unusually long: it is busy, or hangs.
    pub late: Option<Duration>,
    /// The unit that runs it; `None` where systemd runs nothing.
    pub unit: Option<String>,
}

/// A BGP neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborView {
    /// Its address.
    pub address: IpAddr,
    /// What the configuration calls it.
    pub description: String,
    /// The site that it is; `None` outside of the overlay.
    pub site: Option<SiteId>,
    /// Its AS.
    pub remote_asn: u32,
    /// Whether a password is configured for it.
    pub password: bool,
    /// The state of the session, exactly as the daemon calls it.
    pub state: String,
    /// Whether routes are exchanged.
    pub established: bool,
    /// For how long it has been up, or down; `None` when it has never been up.
    pub since: Option<Duration>,
    /// Prefixes received.
    pub received: u64,
    /// Prefixes sent.
    pub sent: u64,
    /// Why the session last ended, in the daemon's words, where that is known.
    pub last_error: Option<String>,
}
