//! Paths: what is known of each, and how it is judged.

use std::fmt;
use std::time::Duration;

/// What BFD says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Liveness {
    /// It begins to watch the path, for the first time or anew: nothing that it said before holds.
    Begun,
    /// Both ends hear each other.
    Up,
    /// The far end's packets stopped coming.
    Silent,
    /// The far end says that it does not hear us.
    NotHeard,
    /// The far end says that it has this path no more.
    GivenUp,
    /// The far end has been stopped on purpose: nothing is known, and nothing need move.
    AdminDown,
}

/// The state of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathState {
    /// Well.
    Up,
    /// Packets pass, but badly.
    Degraded,
    /// Nothing is known: it has not come up yet, or its far end was stopped on purpose.
    Unknown,
    /// No packets pass.
    Down,
}

impl fmt::Display for PathState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::Down => "down",
        })
    }
}

/// Why a path is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathCause {
    /// It has not come up since we began to watch it.
    Starting,
    /// It has not come up within the grace period.
    NeverUp,
    /// BFD hears both ways.
    Alive,
    /// The local uplink has no carrier, no address or no interface.
    UplinkDown,
    /// The far end's packets stopped coming.
    Silent,
    /// The far end does not hear us.
    NotHeard,
    /// The far end has this path no more: its configuration has changed.
    GivenUp,
    /// The far end was stopped on purpose.
    AdminDown,
    /// The far end was stopped on purpose, and did not come back.
    StayedAway,
    /// The round-trip time is above its limit.
    Latency {
        /// What was measured.
        measured: Duration,
        /// What is allowed.
        limit: Duration,
    },
    /// The loss is above its limit; parts per thousand.
    Loss {
        /// What was measured.
        measured: u16,
        /// What is allowed.
        limit: u16,
    },
}

impl fmt::Display for PathCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |d: &Duration| d.as_secs_f64() * 1e3;
        match self {
            Self::Starting => f.write_str("has not come up yet"),
            Self::NeverUp => f.write_str("did not come up"),
            Self::Alive => f.write_str("both ends hear each other"),
            Self::UplinkDown => f.write_str("the uplink has no carrier or no address"),
            Self::Silent => f.write_str("nothing is heard from the far end"),
            Self::NotHeard => f.write_str("the far end does not hear us"),
            Self::GivenUp => f.write_str("the far end has removed this path"),
            Self::AdminDown => f.write_str("the far end was stopped on purpose"),
            Self::StayedAway => {
                f.write_str("the far end was stopped on purpose and did not come back")
            }
            Self::Latency { measured, limit } => {
                write!(f, "latency {:.1} ms > {:.1} ms", ms(measured), ms(limit))
            }
            Self::Loss { measured, limit } => {
                let percent = |permille: u16| f64::from(permille) / 10.0;
                write!(
                    f,
                    "loss {:.1} % > {:.1} %",
                    percent(*measured),
                    percent(*limit)
                )
            }
        }
    }
}

/// What has been measured on a path. Unknown is `None`, never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// Round-trip time.
    pub rtt: Option<Duration>,
    /// Share of packets lost, in parts per thousand.
    pub loss_permille: Option<u16>,
}
