//! What a controller keeps, in SQLite or PostgreSQL: the intent and all its generations, what people
//! have changed and not committed, the numbers that were given, what routers have said, and what was
//! measured of paths; who the routers are; users, their sessions and tokens, and the audit log.
//!
//! Every statement is the same for both databases. What is written is written in one transaction at a
//! time, whichever of several controllers does it; readers see what was committed.

mod audit;
mod database;
mod enrolments;
mod error;
mod intents;
mod numbers;
mod series;
mod sessions;
mod tokens;
mod users;

pub use database::{Backend, Migration, Store};
pub use enrolments::{EnrolledRouter, EnrolmentToken, Redemption, Standing};
pub use error::{Conflict, StoreError};
pub use intents::{Confirmation, Draft, Edit, Generation, Stored};
pub use series::{Added, Answer, SeriesId, Tended, TierSize};
pub use users::User;

pub use patronus_model::time::Millis;
