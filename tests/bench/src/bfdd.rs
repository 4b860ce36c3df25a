//! FRR's bfdd in a node of a lab, and its vty.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit};
use patronus_lab::{Node, Process};

const DIRECTORY: &str = "/usr/lib/frr";

/// Far longer than any daemon takes to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A peer of bfdd.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Its address.
    pub remote: IpAddr,
    /// Ours.
    pub local: IpAddr,
    /// The interface between the two.
    pub interface: &'a str,
    /// Transmit and receive interval, in milliseconds.
    pub millis: u32,
    /// Detection multiplier.
    pub detect_mult: u8,
}

impl Peer<'_> {
    fn block(&self) -> String {
        let Self {
            remote,
            local,
            interface,
            millis,
            detect_mult,
        } = self;
        format!(
            "peer {remote} local-address {local} interface {interface}\n\
             detect-multiplier {detect_mult}\n\
             receive-interval {millis}\n\
             transmit-interval {millis}\n\
             exit\n"
        )
    }
}

/// bfdd, and the zebra which tells it about interfaces.
#[derive(Debug)]
pub struct Bfdd {
    bfdd: Process,
    zebra: Process,
    vty: Vty,
}

impl Bfdd {
    /// Starts both.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(node: &Node) -> Result<Self> {
        node.run([
            "install", "-d", "-o", "frr", "-g", "frr", "-m", "755", "/run/frr",
        ])?;
        let mut zebra = start(node, "zebra")?;
        wait_for(&node.outside_path("/run/frr/zserv.api"), &mut zebra)?;
        let bfdd = start(node, "bfdd")?;
        let mut vty = Vty::connect(&node.outside_path("/run/frr/bfdd.vty"))?;
        vty.command("enable")?;
        Ok(Self { bfdd, zebra, vty })
    }

    /// The process id, as the host sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.bfdd.pid()
    }

    /// Adds peers, or changes their timers.
    ///
    /// # Errors
    /// When bfdd refuses one of them.
    pub fn set_peers(&mut self, peers: &[Peer<'_>]) -> Result<()> {
        let blocks: String = peers.iter().map(Peer::block).collect();
        self.configure(&format!("bfd\n{blocks}"))
    }

    /// What bfdd shows of one peer, see [`Self::peers`].
    ///
    /// # Errors
    /// When it does not answer or has no such peer.
    pub fn peer(&mut self, remote: IpAddr) -> Result<serde_json::Value> {
        let wanted = remote.to_string();
        let mut peers = self.peers()?.into_iter();
        peers
            .find(|peer| peer["peer"] == wanted.as_str())
            .with_context(|| format!("no {wanted}"))
    }

    /// Kills both, as a crash would.
    ///
    /// # Errors
    /// When one does not die.
    pub fn kill(mut self) -> Result<()> {
        self.bfdd.kill()?;
        self.zebra.kill()
    }

    /// Runs configuration commands, one per line.
    ///
    /// # Errors
    /// When one fails.
    pub fn configure(&mut self, lines: &str) -> Result<()> {
        self.vty.command("configure terminal")?;
        for line in lines.lines() {
            self.vty.command(line)?;
        }
        self.vty.command("end").map(drop)
    }

    /// Runs a command, and returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.vty.command(line)
    }

    /// bfdd's version.
    ///
    /// # Errors
    /// When it does not say.
    pub fn version(&mut self) -> Result<String> {
        let text = self.command("show version")?;
        let word = text.split_whitespace().nth(1).context("no version")?;
        Ok(format!("bfdd {word}"))
    }

    /// `show bfd peers json`: its peers.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn peers(&mut self) -> Result<Vec<serde_json::Value>> {
        Ok(serde_json::from_str(&self.command("show bfd peers json")?)?)
    }
}

fn start(node: &Node, daemon: &str) -> Result<Process> {
    // A thousand sessions need a thousand sockets.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--nofile={most}:{most}"))
        .arg(format!("{DIRECTORY}/{daemon}"));
    // Not on a TCP port; the log goes to the lab's directory.
    command.args(["-P", "0", "--log", "stdout", "--log-level", "warn"]);
    node.spawn(&command)
        .with_context(|| format!("starting {daemon}"))
}

fn wait_for(path: &Path, daemon: &mut Process) -> Result<()> {
    let start = Instant::now();
    while !path.exists() {
        let waiting = start.elapsed() < PATIENCE && daemon.is_running()?;
        ensure!(
            waiting,
            "no {}: {}{}",
            path.display(),
            daemon.stdout()?,
            daemon.stderr()?
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A vty socket: a command and a zero byte; then text, three zero bytes and a status.
#[derive(Debug)]
struct Vty {
    stream: UnixStream,
}

impl Vty {
    fn connect(path: &Path) -> Result<Self> {
        let start = Instant::now();
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Ok(Self { stream }),
                Err(_) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("connecting to {}", path.display()));
                }
            }
        }
    }

    fn command(&mut self, line: &str) -> Result<String> {
        self.stream.write_all(format!("{line}\0").as_bytes())?;
        let mut answer = Vec::new();
        let mut chunk = [0; 65536];
        loop {
            let count = self.stream.read(&mut chunk)?;
            ensure!(count > 0, "the daemon ended at {line:?}");
            answer.extend(chunk.iter().take(count));
            if let Some((text, [0, 0, 0, status])) = answer.split_last_chunk::<4>() {
                let text = String::from_utf8_lossy(text).into_owned();
                return if *status == 0 {
                    Ok(text)
                } else {
                    refused(line, *status, &text)
                };
            }
        }
    }
}

fn refused(line: &str, status: u8, text: &str) -> Result<String> {
    let mut message = format!("{line:?} failed with status {status}");
    write!(message, ": {}", text.trim())?;
    bail!(message)
}
