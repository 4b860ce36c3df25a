//! The API of a router: GraphQL over HTTP on a Unix socket.
//!
//! The daemon hands [`serve`] a listener and the sending end of a channel, and answers the
//! [`Request`]s that come out of the other end. Nothing here keeps state: every query takes one
//! picture of the router and shows what was asked for.
//!
//! | question | module |
//! |---|---|
//! | What is the daemon asked? | `request` |
//! | Which queries are there? | `schema`, committed as `schema.graphql` |
//! | How is the model turned into GraphQL types? | `types`, one file per subject |
//! | How are events and decisions put into words? | `words`, with `names` for ids |
//! | When is a router well? | `wellness` |
//! | How are long lists cut into pages? | `page` |
//! | Which errors are there? | `error` |

mod error;
mod names;
mod page;
mod request;
mod schema;
mod serve;
mod session;
mod snapshot;
mod time;
mod types;
mod wellness;
mod words;

// The tests of this crate and those of the command line share a daemon that knows us by this name.
#[cfg(test)]
extern crate self as patronus_api;

#[cfg(test)]
#[path = "../tests/canned/mod.rs"]
mod canned;

pub use names::Names;
pub use request::{Diagnostic, Recorded, ReloadOutcome, Request};
pub use schema::sdl;
pub use serve::serve;
pub use words::event as in_words;
