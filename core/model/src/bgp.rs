//! What a router says and listens to over BGP-4 (RFC 4271), independent of the daemon that speaks it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;

use crate::secret::Secret;

/// An autonomous system number (RFC 6793), never 0, 23456 or 4294967295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(u32);

impl Asn {
    /// Parses a number into an ASN.
    ///
    /// # Errors
    /// [`InvalidAsn`] for the numbers that RFC 7607, RFC 6793 and RFC 7300 reserve.
    pub const fn new(value: u32) -> Result<Self, InvalidAsn> {
        match value {
            0 | 23_456 | 65_535 | u32::MAX => Err(InvalidAsn(value)),
            _ => Ok(Self(value)),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that cannot be an ASN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "AS {0} is reserved; use 1 to 4294967294 except 23456 and 65535, for example 64512 to 65534"
)]
pub struct InvalidAsn(pub u32);

/// Everything that the BGP daemon of one router is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpInstance {
    /// Our own AS.
    pub asn: Asn,
    /// The router id (RFC 4271 section 4.2).
    pub router_id: Ipv4Addr,
    /// Prefixes that this site originates, sorted and without duplicates.
    pub networks: Vec<IpNet>,
    /// Neighbours, sorted by address and without duplicates.
    pub neighbors: Vec<BgpNeighbor>,
    /// How long peers keep our routes after our BGP daemon died (RFC 4724); `None` switches
    /// graceful restart off.
    pub graceful_restart: Option<Duration>,
}

/// One BGP neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpNeighbor {
    /// Where it is. Sessions carry only the address family of this address.
    pub address: IpAddr,
    /// A word for people: the site's or the neighbour's name.
    pub description: String,
    /// Its AS. Equal to ours for iBGP.
    pub remote_asn: Asn,
    /// TCP-MD5 password (RFC 2385), 1 to 80 printable ASCII characters without blanks.
    pub password: Option<Secret>,
    /// Our end of the session, where it must not be chosen by routing.
    pub update_source: Option<IpAddr>,
    /// How far away an eBGP neighbour may be; `None` means directly connected.
    pub ebgp_multihop: Option<u8>,
    /// Announce ourselves as next hop of everything sent to it.
    pub next_hop_self: bool,
    /// What it is told.
    pub advertise: Advertise,
    /// What is believed.
    pub accept: Accept,
    /// How many prefixes it may announce before the session is ended for a while; `None`: any
    /// number.
    pub maximum_prefixes: Option<u32>,
    /// Keepalive, hold and connect-retry timers.
    pub timers: BgpTimers,
    /// Watch it with the BGP daemon's own BFD (RFC 5882); only for neighbours outside the overlay.
    pub bfd: Option<BfdTimers>,
}

/// Which prefixes a neighbour is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advertise {
    /// Only what this site originates.
    OwnNetworks,
    /// The above and whatever third-party neighbours of this site announce, but nothing that was
    /// learned from another site.
    OwnAndExternal,
    /// Everything in the table: what a hub tells its spokes.
    Everything,
    /// Everything in the table and a default route.
    EverythingAndDefault,
}

/// Which prefixes are taken from a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// All but the default route: ordinary sites and third-party neighbours.
    AllButDefault,
    /// All: a hub that may attract everything.
    All,
}

/// Timers of a session (RFC 4271 section 10), whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BgpTimers {
    /// Seconds between keepalives.
    pub keepalive: u16,
    /// Seconds of silence after which the session is dead; at least 3.
    pub hold: u16,
    /// Seconds between attempts to connect.
    pub connect_retry: u16,
}

impl Default for BgpTimers {
    /// 3 s / 9 s / 1 s: the overlay's paths are watched by BFD, so these only bound how long a
    /// site that vanished altogether stays in the tables.
    fn default() -> Self {
        Self {
            keepalive: 3,
            hold: 9,
            connect_retry: 1,
        }
    }
}

/// Timers of a BFD session (RFC 5880 section 6.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdTimers {
    /// `DesiredMinTxInterval`.
    pub desired_min_tx: Duration,
    /// `RequiredMinRxInterval`.
    pub required_min_rx: Duration,
    /// `DetectMult`: packets that may be missed, at least 1.
    pub detect_mult: u8,
}

impl Default for BfdTimers {
    /// 100 ms × 3: the fastest that a busy two-core router holds without a false alarm.
    fn default() -> Self {
        Self {
            desired_min_tx: Duration::from_millis(100),
            required_min_rx: Duration::from_millis(100),
            detect_mult: 3,
        }
    }
}
