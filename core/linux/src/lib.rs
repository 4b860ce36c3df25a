//! The Linux side: executes what the pure engine decides, and reports what is there. It has no
//! policy of its own.
//!
//! - [`Kernel`] observes and changes what is ours;
//! - [`FastLane`] re-points nexthop objects in microseconds;
//! - [`Follower`] reports what changes in the kernel;
//! - [`HandshakeReader`] says when WireGuard last agreed on keys;
//! - [`teardown`] removes everything that is ours, with or without a daemon;
//! - [`examine`] says what this machine can do and what stands in our way.
//!
//! Everything here blocks and belongs on threads of its own. Nothing here needs an async runtime:
//! route netlink answers within microseconds, so `rtnetlink` and `netlink-packet-route` lend their
//! message builders, and one synchronous socket carries whatever is sent.

mod apply;
mod command;
mod doctor;
pub mod durable;
mod error;
mod fastlane;
mod follower;
mod kernel;
mod netlink;
pub mod nftables;
mod overlay;
mod sysctl;
mod teardown;
mod wireguard;

pub use doctor::{Capability, Conflict, Findings, examine, obstacles};
pub use error::{Error, Refusal};
pub use fastlane::{FastLane, NotMoved};
pub use follower::{Follower, Notice, Watch};
pub use kernel::{Kernel, Places};
pub use teardown::teardown;
pub use wireguard::{HandshakeReader, KeyStore, PrivateKey};
