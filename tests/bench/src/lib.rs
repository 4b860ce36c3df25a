//! Benchmarks which run us and what we are measured against in one go, and write down what came
//! out. One module per recipe; [`report`], [`samples`] and [`network`] are what they share.

pub mod all;
pub mod bfd;
pub mod bfdd;
pub mod engine;
pub mod failover;
pub mod memory;
pub mod network;
pub mod nexthop;
pub mod report;
pub mod restart;
pub mod samples;
pub mod series;
pub mod steady;
pub mod throughput;
