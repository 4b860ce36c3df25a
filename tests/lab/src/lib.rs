//! Labs: real namespaces, real packets, nothing left behind.
//!
//! - [`Sandbox`] and [`Node`]: namespaces without any topology, for tests of one crate.
//! - [`Topology`], [`Plan`] and [`Lab`]: sites, ISPs and a WAN which can be cut and degraded.
//! - [`traffic`]: streams and captures, and what became of the packets.
//!
//! Everything of a lab lives inside one PID, mount and IPC namespace whose PID 1 is a supervisor
//! (a process of the `patronus-lab` binary). The supervisor dies with its creator, and the kernel
//! removes the rest. See `supervisor` for how.
//!
//! Programs that use this library need the binary: `cargo build -p patronus-lab` first. It is
//! looked for beside the running program; `PATRONUS_LAB_BIN` overrides that.

mod control;
mod lab;
mod node;
pub mod plan;
mod process;
mod program;
mod quantity;
mod registry;
mod sandbox;
mod supervisor;
mod sys;
pub mod topology;
pub mod traffic;
mod wan;
mod wire;

pub use lab::{Degradation, Direction, Host, Lab, Router};
pub use nix::sys::signal::Signal;
pub use node::{Node, Output, RUN_LIMIT};
pub use plan::{Impairment, Plan, Profile};
pub use process::Process;
pub use quantity::{Loss, Rate, Span};
pub use registry::{MAX_NAME, ROOT, alive, check_name, offered, sweep};
pub use sandbox::{MAX_NODE_NAME, Sandbox};
pub use topology::Topology;
pub use wan::{Counters, Cut, LinkState};

/// Entry points of the processes which the `patronus-lab` binary becomes for the library's own
/// purposes. Not for anybody else.
#[doc(hidden)]
pub mod internal {
    pub use crate::program::FINGERPRINT;

    /// Becomes the monitor of a lab.
    ///
    /// # Errors
    /// When the lab cannot be made.
    pub fn supervise(name: &str) -> anyhow::Result<()> {
        crate::supervisor::supervise(name)
    }

    /// Ends the program silently when nobody reads its output any more, as other programs do.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn die_on_broken_pipe() -> anyhow::Result<()> {
        use nix::sys::signal::{SigHandler, Signal};
        Ok(crate::sys::reset_signal(
            Signal::SIGPIPE,
            SigHandler::SigDfl,
        )?)
    }

    /// Becomes the WAN emulator of the lab in whose node `wan` it is started.
    ///
    /// # Errors
    /// When the links cannot be carried.
    pub fn relay(links: &str) -> anyhow::Result<()> {
        crate::wan::relay(links)
    }
}
