//! What a controller keeps, in SQLite or PostgreSQL: the intent and all its generations, what people
//! have changed and not committed, the numbers that were given, and what routers have said.
//!
//! Every statement is the same for both databases. What is written is written in one transaction at a
//! time, whichever of several controllers does it; readers see what was committed.

mod database;
mod error;
mod intents;
mod numbers;

pub use database::{Backend, Migration, Store};
pub use error::{Conflict, StoreError};
pub use intents::{Confirmation, Draft, Edit, Generation, Stored};

/// Milliseconds since 1970-01-01 UTC.
pub type Millis = i64;
