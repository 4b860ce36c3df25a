//! Watches an interface for packets of a kind.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::lab::require;
use crate::node::Node;
use crate::process::Process;

/// A running `tcpdump`.
#[derive(Debug)]
pub struct Capture {
    process: Process,
}

impl Capture {
    /// Starts to watch an interface of a node (`any` for all) for packets which match a filter in
    /// the language of pcap-filter(7); returns when packets are seen.
    ///
    /// # Errors
    /// When the interface or the filter is not valid, or tcpdump is not installed.
    pub fn start(node: &Node, interface: &str, filter: &str) -> Result<Self> {
        require(&[("tcpdump", "tcpdump")])?;
        let mut command = Command::new("tcpdump");
        // 16 MB of kernel buffer, so that bursts are not missed; one line per packet, at once.
        command.args([
            "-n",
            "-l",
            "--immediate-mode",
            "-B",
            "16384",
            "-s",
            "256",
            "-Z",
            "root",
        ]);
        command.args(["-i", interface]).arg(filter);
        let mut process = node.spawn(&command)?;
        process
            .wait_for_output("listening on", Duration::from_secs(10))
            .with_context(|| format!("capturing {filter:?} on {interface} of {}", node.name()))?;
        Ok(Self { process })
    }

    /// How many packets have matched so far.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn count(&self) -> Result<usize> {
        Ok(self.packets()?.len())
    }

    /// A line for each packet that has matched so far.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn packets(&self) -> Result<Vec<String>> {
        let output = self.process.stdout()?;
        // tcpdump ends the line of the Ctrl-C which it expects to see.
        Ok(output
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// Ends the capture, and returns a line for each packet that matched.
    ///
    /// # Errors
    /// When tcpdump has missed packets, because then absence proves nothing.
    pub fn stop(mut self) -> Result<Vec<String>> {
        self.process.signal(Signal::SIGINT)?;
        self.process.wait_for(Duration::from_secs(10))?;
        let summary = self.process.stderr()?;
        let missed = summary
            .lines()
            .find(|line| line.contains("dropped by kernel"));
        if missed.is_none_or(|line| !line.trim().starts_with("0 ")) {
            bail!("the capture has missed packets:\n{summary}");
        }
        self.packets()
    }
}
