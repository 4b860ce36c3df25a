//! A session between a controller and a router: two state machines without I/O, clock or chance.
//!
//! ```text
//!            FromRouter                              FromController
//! RouterEnd ────────────► whoever carries messages ◄──────────────── ControllerEnd
//!     │ ▲                                                                │ ▲
//!     ▼ │ applied, stored                                  facts, status ▼ │ target
//! RouterEffect                                          ControllerEffect
//! ```
//!
//! How a configuration gets to a router:
//!
//! 1. Its pieces arrive, as changes to what the router has, or all of them. They are put together, and
//!    the digest of the whole is that which was told. Until then nothing happens.
//! 2. The router writes down that it tries it, applies it, and says so.
//! 3. The controller confirms it, once it has heard the router for a while after that, and unless a
//!    person has to. The router writes down that it is the one to be kept.
//! 4. If the router hears no confirmation in time, is restarted before, or cannot apply it, it returns
//!    to the last one that was confirmed.

mod backoff;
mod controller;
mod edition;
mod incoming;
mod link;
mod message;
mod outgoing;
mod router;
mod snapshot;

pub use backoff::connect_after;
pub use controller::{ControllerEffect, ControllerEnd, ControllerSettings, Status, Target};
pub use edition::{Digest, Edition, Version};
pub use message::{Facts, FromController, FromRouter, Hello, PROTOCOL, Refusal, SessionId};
pub use outgoing::MOST_GONE;
pub use router::{Memory, Operation, RouterEffect, RouterEnd, RouterEvent, Trying};
pub use snapshot::{
    Changes, Configuration, MOST_BYTES, MOST_PIECE_BYTES, MOST_PIECES, NotWhole, Piece, PieceId,
    Snapshot, Texts,
};
