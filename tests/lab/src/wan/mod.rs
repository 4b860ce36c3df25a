//! The WAN emulator: one process per lab, in the node `wan`, which carries frames between the
//! router's and the ISP's end of each link, late, never, or at a limited rate.
//!
//! The kernels on which labs run need not have netem. A thread per direction reads frames with
//! `recvmmsg` from an AF_PACKET socket and writes them to the other interface when they are due.

mod client;
mod direction;
mod packet;
mod relay;

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

pub(crate) use client::Client;
pub(crate) use relay::{LinkSpec, disable_offloads, run as relay};

use crate::plan::{Impairment, Profile};
use crate::quantity::Span;

/// A way to break an uplink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// The far end goes down: the router's interface loses carrier.
    Carrier,
    /// The carrier stays, and every packet vanishes.
    Swallow,
    /// Only packets from the router to the ISP vanish.
    Tx,
    /// Only packets from the ISP to the router vanish.
    Rx,
    /// Packets vanish and pass in turn, for `down` and `up`, starting with `down`.
    Flap {
        /// How long packets vanish.
        down: Span,
        /// How long they pass.
        up: Span,
        /// Carrier is lost with the packets.
        carrier: bool,
    },
}

impl Cut {
    /// Ten times a minute.
    pub const FLAP: Self = Self::Flap {
        down: Span::millis(3000),
        up: Span::millis(3000),
        carrier: false,
    };
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Carrier => write!(f, "carrier"),
            Self::Swallow => write!(f, "swallow"),
            Self::Tx => write!(f, "tx"),
            Self::Rx => write!(f, "rx"),
            Self::Flap { down, up, .. } => write!(f, "flap {down}/{up}"),
        }
    }
}

impl FromStr for Cut {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "carrier" => Self::Carrier,
            "swallow" => Self::Swallow,
            "tx" => Self::Tx,
            "rx" => Self::Rx,
            "flap" => Self::FLAP,
            _ => bail!("{text:?} is no way to cut: carrier, swallow, tx, rx or flap"),
        })
    }
}

/// What the emulator does to a link, and did to its packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkState {
    /// Name of the link, see [`crate::plan::UplinkPlan::link`].
    pub link: String,
    /// What breaks it at the moment.
    pub cut: Option<Cut>,
    /// How it treats packets when it is not cut.
    pub profile: Profile,
    /// From the router to the ISP.
    pub up: Counters,
    /// From the ISP to the router.
    pub down: Counters,
}

/// What happened to the packets of one direction since the lab came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that came in.
    pub received: u64,
    /// Packets that went out.
    pub forwarded: u64,
    /// Bytes that went out.
    pub bytes: u64,
    /// Packets lost by the configured loss.
    pub lost: u64,
    /// Packets that a cut took.
    pub swallowed: u64,
    /// Packets for which the buffer of the limited rate had no room.
    pub overflowed: u64,
}

/// What a client asks of the relay.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Cut {
        link: String,
        cut: Cut,
    },
    Heal {
        link: String,
    },
    Degrade {
        link: String,
        up: Option<Impairment>,
        down: Option<Impairment>,
    },
    Status,
}

/// What the relay answers, one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Links(Vec<LinkState>),
    Failed(String),
}

/// Where the relay listens, inside the node `wan`.
const SOCKET: &str = "/run/relay.sock";
