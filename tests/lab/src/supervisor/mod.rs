//! The other side of a lab: two processes which the creator starts from the `patronus-lab` binary.
//!
//! - The **monitor** stays outside. It holds the lock of the lab's directory, waits for the
//!   supervisor to die, and removes the directory.
//! - The **supervisor** is PID 1 of the lab's PID namespace and the parent of everything in it.
//!   When it dies, the kernel kills all of that, and with the last process of a namespace the
//!   namespace, its interfaces and its mounts go. So it does not matter *how* a lab ends.
//!
//! The supervisor dies when the creator does (its stdin is a pipe whose other end only the creator
//! holds), when the monitor does, when a client asks it to, and of course when it is killed.
//!
//! Both have exactly one thread, so that they may fork and enter namespaces freely.

mod monitor;
mod node;
mod serve;
mod spawn;

pub(crate) use monitor::run as supervise;
