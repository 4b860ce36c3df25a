//! Changes of a network's intent, and the routers that carry it out.
//!
//! ```text
//! text ──stage──► candidate ──propose──► Proposal: what is wrong, what changes on which router
//!                                           │
//!                             commit ◄──────┘   rollback, confirm, expire
//!                               │
//!                             State ──► whoever serves people
//!                               │
//!                           Snapshots ──► Routers, the desk of whoever serves routers
//! ```
//!
//! A [`Controller`] is a view of the store and keeps nothing that it could not read again. Several on
//! one PostgreSQL are equal.

mod controller;
mod error;
mod proposal;
mod routers;
mod snapshots;
mod state;

pub use controller::{Commit, Controller};
pub use error::Refused;
pub use proposal::{ObjectChange, Proposal};
pub use routers::{NewToken, Progress, Routers};
pub use snapshots::Snapshots;
pub use state::State;
