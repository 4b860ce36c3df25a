//! From the intent of a network to one configuration for each of its routers. There is no I/O, no
//! clock and no randomness here.
//!
//! ```text
//! Intent ──check────► Problems
//!    └────allocate──► Allocations ─┬─► Plan ──next──► Plan + what changes on which router
//! Facts ────reach───► Reaches ─────┘
//! ```
//!
//! A router's configuration is made of pieces: what is its own, one piece for each site that it has
//! paths to, and one for each policy that holds there. Pieces about other sites and policies are the
//! same for all routers, so a change of one object is worked out once.

mod allocate;
mod change;
mod check;
mod pieces;
mod plan;
mod problem;
mod reach;

pub use allocate::allocate;
pub use change::{Change, Changes};
pub use check::check;
pub use plan::{Inputs, Own, Plan};
pub use problem::{Problem, Severity};
pub use reach::{Reach, Reaches, reach};
