//! What bfdd says of its sessions.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use super::{StateError, json};

/// A BFD session of bfdd.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BfdPeer {
    /// The far end.
    pub peer: IpAddr,
    /// Our end.
    pub local: Option<IpAddr>,
    /// `up`, `down`, `init` or `shutdown`.
    pub status: String,
    /// Seconds since it came up; only while it is.
    #[serde(default)]
    pub uptime: u64,
    /// Seconds since it went down; only while it is.
    #[serde(default)]
    pub downtime: u64,
    /// The interface that it is bound to.
    pub interface: Option<String>,
    /// Why it last went down, in FRR's words.
    #[serde(default)]
    pub diagnostic: String,
    /// The peer's reason, in FRR's words.
    #[serde(default)]
    pub remote_diagnostic: String,
    /// Packets that may be missed before it goes down.
    #[serde(default)]
    pub remote_detect_multiplier: u8,
    /// Milliseconds between packets that we send at the fastest.
    #[serde(default)]
    pub transmit_interval: u32,
    /// Milliseconds between packets that we can take at the fastest.
    #[serde(default)]
    pub receive_interval: u32,
    /// Milliseconds between packets that the peer sends at the fastest.
    #[serde(default)]
    pub remote_transmit_interval: u32,
    /// Milliseconds between packets that the peer can take at the fastest.
    #[serde(default)]
    pub remote_receive_interval: u32,
}

impl BfdPeer {
    /// The command.
    pub const COMMAND: &'static str = "show bfd peers json";

    /// Reads the answer to [`Self::COMMAND`].
    ///
    /// # Errors
    /// [`StateError::Json`].
    pub fn parse_all(answer: &str) -> Result<Vec<Self>, StateError> {
        json(Self::COMMAND, answer)
    }

    /// How long it has been up; `None` when it is not.
    #[must_use]
    pub fn up_for(&self) -> Option<Duration> {
        (self.status == "up").then(|| Duration::from_secs(self.uptime))
    }

    /// How long it has been up or down; `None` where FRR does not say.
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        match self.status.as_str() {
            "down" => Some(Duration::from_secs(self.downtime)),
            _ => self.up_for(),
        }
    }

    /// How often packets are sent: what the slower end wants (RFC 5880 section 6.8.7).
    #[must_use]
    pub fn transmit(&self) -> Duration {
        millis(self.transmit_interval.max(self.remote_receive_interval))
    }

    /// How long the peer may be silent (RFC 5880 section 6.8.4); `None` while it is not up.
    #[must_use]
    pub fn detection(&self) -> Option<Duration> {
        self.up_for()?;
        let interval = self.receive_interval.max(self.remote_transmit_interval);
        Some(millis(interval) * u32::from(self.remote_detect_multiplier))
    }
}

fn millis(number: u32) -> Duration {
    Duration::from_millis(number.into())
}
