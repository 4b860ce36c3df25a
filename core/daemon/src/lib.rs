//! `patronusd`: wiring and actors. What it decides is decided in `patronus-engine`; here is what
//! feeds the engine and does its bidding.
//!
//! | question | module |
//! |---|---|
//! | Who calls the engine, and in what order? | [`router`] |
//! | How is FRR told what it should be, and what does it say? | `routing` |
//! | How is the kernel observed and changed? | [`kernel`] |
//! | Where do BFD packets come and go? | [`bfd`], [`liveness`] |
//! | Who answers the API? | [`desk`], `handshakes` |
//! | What happened lately? | [`journal`] |
//! | What do the subcommands do? | [`chores`] |
//! | By what are our kernel objects recognised? | [`layout`] |
//! | Is there a systemd to be asked? | `systemd` |
//! | What does a log line look like? | [`mod@log`] |

pub mod bfd;
mod bfdd;
pub mod chores;
pub mod clock;
pub mod desk;
mod handshakes;
pub mod journal;
pub mod kernel;
pub mod layout;
pub mod liveness;
pub mod load;
pub mod log;
mod notify;
mod obstacles;
pub mod places;
pub mod router;
mod routing;
mod signals;
mod systemd;
