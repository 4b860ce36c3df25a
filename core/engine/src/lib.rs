//! The pure core of a router: path health, decisions, planning, and BFD. No I/O, clock, randomness,
//! async or logging; the time of each input is passed in.

#![deny(clippy::wildcard_enum_match_arm)]

pub mod bfd;
mod change;
mod cuts;
pub mod dampening;
pub mod decide;
pub mod desired;
pub mod diff;
mod drift;
pub mod engine;
mod explain;
pub mod health;
pub mod learned;
pub mod ownership;
pub mod routing;
mod sorted;
pub mod topology;
mod view;

pub use change::changes;
pub use engine::{Effect, Engine, Input, Watch};
