//! Whole networks of Patronus routers in a lab: what tests, benchmarks and the demo stand on.

pub mod bare;
pub mod carried;
pub mod container;
pub mod demo;
pub mod deploy;
pub mod network;
mod processes;
pub mod stalls;
pub mod state;
mod turn;

pub use carried::Carried;
pub use deploy::{Deployed, Deployment};
pub use network::{Family, Network};
pub use stalls::{Controls, Stalls};
pub use state::State;
pub use turn::{Alone, alone};
