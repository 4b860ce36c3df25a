//! Whole networks of Patronus routers in a lab: what tests, benchmarks and the demo stand on.

pub mod bare;
pub mod container;
pub mod demo;
pub mod deploy;
pub mod network;

pub use deploy::{Deployed, Deployment};
pub use network::{Family, Network};
