//! What a session tells its user.

use std::time::Duration;

use patronus_model::Timestamp;

use super::packet::{Diagnostic, Discriminator, State};

/// Something that happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made: whatever was told of an earlier one with the same key holds no more.
    Made,
    /// Our state changed, or the peer was put into or taken out of `AdminDown`.
    StateChanged(StateChange),
    /// An unambiguous round trip: from handing out a packet with P to being handed the one with
    /// F. It includes whatever the two shells let packets wait.
    Rtt(Duration),
    /// Other intervals are in use from now on.
    TimersNegotiated {
        /// How often we send before jitter; `None` when the peer wants no packets.
        transmit: Option<Duration>,
        /// How long the peer may be silent; `None` while nothing is known of it.
        detection: Option<Duration>,
    },
}

/// A change of state, with both ends' account of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Our state before.
    pub from: State,
    /// Our state now; equal to `from` when only the peer's `AdminDown` began or ended.
    pub to: State,
    /// Why, as we see it.
    pub local_diagnostic: Diagnostic,
    /// The reason in the peer's last packet.
    pub remote_diagnostic: Diagnostic,
    /// The state in the peer's last packet, however long ago that was.
    pub remote_state: State,
}

impl StateChange {
    /// What the change means for whoever uses the path.
    #[must_use]
    pub const fn liveness(&self) -> Liveness {
        Liveness::new(self.to, self.remote_state, self.local_diagnostic)
    }
}

/// Whether the path can be used, and if not, whether something failed or somebody decided so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Packets pass in both directions.
    Up,
    /// They do not, or have not done so yet (`Diagnostic::None`).
    Down(Diagnostic),
    /// The peer's operator, or its orderly shutdown, took the session down; the path may be fine.
    RemoteAdminDown,
    /// We did.
    AdminDown,
}

impl Liveness {
    pub(super) const fn new(local: State, remote: State, diagnostic: Diagnostic) -> Self {
        match (local, remote) {
            (State::Up, _) => Self::Up,
            (State::AdminDown, _) => Self::AdminDown,
            (State::Down | State::Init, State::AdminDown) => Self::RemoteAdminDown,
            (State::Down | State::Init, State::Down | State::Init | State::Up) => {
                Self::Down(diagnostic)
            }
        }
    }
}

/// Packets and changes since the session was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets handed out to be sent.
    pub sent: u64,
    /// Packets taken.
    pub received: u64,
    /// Packets refused because the session is administratively down.
    pub discarded: u64,
    /// Changes from Up to something else.
    pub downs: u64,
}

/// A session as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Our state.
    pub state: State,
    /// Why it last changed.
    pub local_diagnostic: Diagnostic,
    /// When it last changed.
    pub since: Timestamp,
    /// The state in the peer's last packet.
    pub remote_state: State,
    /// The reason in the peer's last packet.
    pub remote_diagnostic: Diagnostic,
    /// Our name for the session.
    pub local_discriminator: Discriminator,
    /// The peer's, while it is known.
    pub remote_discriminator: Option<Discriminator>,
    /// How often we send before jitter; `None` when the peer wants no packets.
    pub transmit: Option<Duration>,
    /// How long the peer may be silent; `None` while nothing is known of it.
    pub detection: Option<Duration>,
    /// The last unambiguous round trip since the session came up.
    pub rtt: Option<Duration>,
    /// Packets and changes.
    pub counters: Counters,
}

impl Status {
    /// What the state means for whoever uses the path.
    #[must_use]
    pub const fn liveness(&self) -> Liveness {
        Liveness::new(self.state, self.remote_state, self.local_diagnostic)
    }
}
