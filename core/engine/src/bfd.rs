//! Bidirectional Forwarding Detection: RFC 5880 in asynchronous mode, as RFC 5881 uses it for one
//! IP hop, for IPv4 and IPv6 alike.
//!
//! Everything here is a state machine without sockets or a clock: the shell passes in the time
//! and what arrived, and takes out what is to be sent, what happened and when it must come back.
//!
//! - [`Packet`] is the mandatory section of a control packet, parsed and emitted.
//! - [`Session`] is one session: state, timers, Poll Sequences, round-trip times, loss.
//! - [`Sessions`] holds many, finds the one a packet is for, and knows which timer is due next.
//!
//! Not implemented, and never advertised: authentication, the Echo function, and asking for
//! Demand mode (a peer that asks for it gets it).

mod loss;
mod packet;
mod poll;
mod report;
mod rng;
mod session;
mod sessions;
mod timers;

pub use loss::LossWindow;
pub use packet::{
    Diagnostic, Discriminator, Interval, Malformed, PACKET_LEN, Packet, State, ZeroDiscriminator,
};
pub use report::{Counters, Event, Liveness, StateChange, Status};
pub use session::{DEFAULT_RTT_INTERVAL, Session, SessionConfig};
pub use sessions::{Origin, Sessions, Taken, Unroutable};
pub use timers::MIN_INTERVAL;

#[cfg(test)]
mod tests;
