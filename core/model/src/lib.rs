//! The vocabulary of Patronus: ids, newtypes and domain types, without I/O, clock or randomness.

pub mod bgp;
pub mod change;
pub mod event;
pub mod firewall;
pub mod ids;
pub mod intent;
pub mod kernel;
pub mod layout;
pub mod path;
pub mod policy;
pub mod router;
pub mod secret;
pub mod series;
pub mod time;
pub mod view;
pub mod wireguard;

pub use secret::Secret;
pub use time::Timestamp;
