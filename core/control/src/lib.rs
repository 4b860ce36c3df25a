//! What a controller and its routers say to each other, and how a configuration gets to a router whole
//! and is kept only if the router can still be reached then.
//!
//! `session` decides: two state machines without I/O, clock or chance. `wire` is what travels, and its
//! checks. The rest carries messages: `serve` at the controller, `dial` and `router` at a router, with
//! `tls` between them.

mod clock;
mod dial;
mod error;
pub mod router;
pub mod serve;
pub mod session;
pub mod tls;
pub mod wire;

pub use clock::{Monotonic, WallClock};
pub use dial::{Enrolled, Line, dial, enrol};
pub use error::ConnectError;
