//! Whole networks of Patronus routers in a lab: what tests, benchmarks and the demo stand on.

pub mod bare;
pub mod carried;
pub mod container;
pub mod demo;
pub mod deploy;
pub mod network;
mod processes;
pub mod state;

pub use carried::Carried;
pub use deploy::{Deployed, Deployment};
pub use network::{Family, Network};
pub use state::State;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps the other tests of this program waiting. Tests that count lost packets take it first: on
/// two cores, a few networks which come up beside them cost user-space WireGuard packets of its own.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed while it was alone is no reason for the next to fail.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
