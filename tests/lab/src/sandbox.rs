//! A lab without any topology: an empty set of namespaces which vanishes with its creator.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::unistd::{Pid, geteuid};

use crate::control::Control;
use crate::node::Node;
use crate::registry;
use crate::wire::{Reply, Request};
use crate::{program, sys};

/// Longest name of a node: host names may have 64 characters, thread names show 15.
pub const MAX_NODE_NAME: usize = 40;

/// Namespaces which nobody else sees and which leave nothing behind.
///
/// Everything in it ends when it is dropped, when this process ends in whatever way, and when its
/// supervisor is killed. Works in multi-threaded programs such as tests:
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// let sandbox = patronus_lab::Sandbox::new("example")?;
/// let (a, b) = (sandbox.node("a")?, sandbox.node("b")?);
/// sandbox.link(("a", "eth0"), ("b", "eth0"))?;
/// a.run(["ip", "address", "add", "10.0.0.1/24", "dev", "eth0"])?;
/// b.run(["ip", "address", "add", "10.0.0.2/24", "dev", "eth0"])?;
/// a.run(["ping", "-c1", "10.0.0.2"])?;
/// let socket = b.enter(|| std::net::UdpSocket::bind("10.0.0.2:4000"))??;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Sandbox {
    control: Arc<Control>,
    /// `None` when this process did not create the lab, or has detached it.
    monitor: Option<Child>,
}

impl Sandbox {
    /// Makes a sandbox with a unique name that starts with `prefix`.
    ///
    /// # Errors
    /// When not root, when the helper binary is missing, or when the kernel lacks something.
    pub fn new(prefix: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::with_name(&format!("{prefix}-{}-{number}", std::process::id()))
    }

    /// Makes a sandbox with exactly this name.
    ///
    /// # Errors
    /// Like [`Self::new`], and when a lab of this name is up.
    pub fn with_name(name: &str) -> Result<Self> {
        registry::check_name("lab", name, registry::MAX_NAME)?;
        require_root()?;
        let mut monitor = Command::new(program::path()?)
            .args(["supervise", name])
            // The lifeline: only this process holds the other end.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the supervisor of the lab")?;
        let mut line = String::new();
        if let Some(stdout) = monitor.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.trim() != "ready" {
            drop(monitor.stdin.take());
            let _ = monitor.wait();
            let reason = if line.is_empty() {
                "the supervisor died"
            } else {
                line.trim()
            };
            bail!("lab {name} cannot be made: {reason}");
        }
        Ok(Self {
            control: Arc::new(Control::new(name)),
            monitor: Some(monitor),
        })
    }

    /// Finds a lab that is up, of whichever creator. Dropping the value leaves that lab alone.
    ///
    /// # Errors
    /// When there is none of this name; the message lists those that are up.
    pub fn attach(name: &str) -> Result<Self> {
        registry::check_name("lab", name, registry::MAX_NAME)?;
        require_root()?;
        let alive = registry::alive()?;
        if !alive.iter().any(|other| other == name) {
            let known = if alive.is_empty() {
                "none".to_owned()
            } else {
                alive.join(", ")
            };
            bail!("there is no lab named {name:?}; up: {known}");
        }
        Ok(Self {
            control: Arc::new(Control::new(name)),
            monitor: None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.control.lab()
    }

    /// Its directory on the host, which is removed at its end.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        registry::directory(self.name())
    }

    /// Makes a node.
    ///
    /// # Errors
    /// When the name is taken or not valid.
    pub fn node(&self, name: &str) -> Result<Node> {
        registry::check_name("node", name, MAX_NODE_NAME)?;
        Node::request(
            &self.control,
            name,
            &Request::AddNode {
                name: name.to_owned(),
            },
        )
    }

    /// Finds a node.
    ///
    /// # Errors
    /// When there is none of this name; the message lists the nodes.
    pub fn find(&self, name: &str) -> Result<Node> {
        Node::request(
            &self.control,
            name,
            &Request::Node {
                name: name.to_owned(),
            },
        )
    }

    /// The names of all nodes in the order of their creation.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn node_names(&self) -> Result<Vec<String>> {
        match self.control.request(&Request::Nodes, &[])? {
            (_, Reply::Nodes(names), _) => Ok(names),
            (_, other, _) => bail!("unexpected answer: {other:?}"),
        }
    }

    /// Connects two nodes by a veth pair, `(node, interface)` at each end, and sets both ends up.
    ///
    /// # Errors
    /// When a node does not exist or an interface does.
    pub fn link(&self, a: (&str, &str), b: (&str, &str)) -> Result<()> {
        let (node_a, node_b) = (self.find(a.0)?, self.find(b.0)?);
        node_a.ip(&format!(
            "link add {} type veth peer name {} netns {}\nlink set {} up\n",
            a.1,
            b.1,
            node_b.inner_pid(),
            a.1
        ))?;
        node_b.enter(|| sys::set_link(b.1, true))?
    }

    /// From now on the lab stays up until [`Self::stop`] is called by whoever attaches to it.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn detach(&mut self) -> Result<()> {
        self.control.request(&Request::Detach, &[])?;
        self.monitor = None;
        Ok(())
    }

    /// Ends the lab, and waits until everything of it is gone.
    ///
    /// # Errors
    /// When it is not gone after 20 s.
    pub fn stop(mut self) -> Result<()> {
        match self.monitor.take() {
            Some(monitor) => end(monitor),
            None => self.stop_foreign(),
        }
    }

    fn stop_foreign(&self) -> Result<()> {
        self.control.request(&Request::Shutdown, &[])?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while registry::alive()?.iter().any(|name| name == self.name()) {
            if Instant::now() > deadline {
                bail!("lab {} does not end", self.name());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(monitor) = self.monitor.take() {
            // Nobody is left to tell; the kernel has its own way of cleaning up.
            let _ = end(monitor);
        }
    }
}

/// Closes the lifeline, and waits for the monitor, which ends when the lab's directory is gone.
fn end(mut monitor: Child) -> Result<()> {
    drop(monitor.stdin.take());
    let deadline = Instant::now() + Duration::from_secs(20);
    while monitor.try_wait()?.is_none() {
        if Instant::now() > deadline {
            match nix::sys::signal::kill(pid_of(&monitor)?, nix::sys::signal::Signal::SIGTERM) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
            bail!("the lab has not ended 20 s after its creator let it go");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn pid_of(child: &Child) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

/// Labs are namespaces, and namespaces with real interfaces need root.
fn require_root() -> Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    bail!("labs need root (they make network namespaces): run this as root, e.g. with sudo")
}
