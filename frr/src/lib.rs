//! Drives FRRouting: turns what a router shall say over BGP into FRR's configuration, applies it
//! over the vty sockets without restarting anything, and says how FRR is doing.
//!
//! FRR runs in a *pathspace* of its own (`/etc/frr/patronus`, `/run/frr/patronus`), which belongs
//! to Patronus alone; another FRR on the machine is never touched. Where to look:
//!
//! | question | module |
//! |---|---|
//! | What is FRR told, and why? | [`render`] |
//! | How is a configuration read, written and compared? | [`tree`], [`diff`], `grammar` |
//! | How does it get into the daemons, and what if one refuses? | [`apply`] |
//! | What did somebody else alter? | `drift` |
//! | How are daemons spoken to? | [`vty`], [`link`] |
//! | What do they say about themselves? | [`state`] |
//! | Who keeps all that going? | [`supervise`], [`status`], `look`, `overflow`, `board` |
//! | From which files does FRR start? | [`bootstrap`] |
//!
//! `render`, `tree`, `diff`, `grammar`, `line` and `state` are pure. Passwords leave this crate only
//! over a vty and in files that FRR's group can read: [`line::Line`] does not print them, and
//! whatever FRR says passes [`line::redact`].

pub mod apply;
mod board;
pub mod bootstrap;
pub mod daemon;
pub mod diff;
mod directory;
mod drift;
mod grammar;
pub mod line;
pub mod link;
mod look;
mod overflow;
pub mod render;
pub mod state;
pub mod status;
pub mod supervise;
pub mod tree;
pub mod vty;

pub use bootstrap::FrrPaths;
pub use daemon::Daemon;
pub use drift::Alteration;
pub use render::{Desired, Overlay};
pub use status::{FrrEvent, FrrStatus};
pub use supervise::{Frr, FrrHandle, FrrQuery};
