//! What a controller and its routers say to each other, and how a configuration gets to a router whole
//! and is kept only if the router can still be reached then.
//!
//! `session` decides: two state machines without I/O, clock or chance. `wire` is what travels, and its
//! checks.

pub mod session;
pub mod wire;
