//! Bare WireGuard between two routers of a lab, to compare with: one tunnel over their first
//! uplinks, an address at each end, and no Patronus.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use patronus_lab::{Lab, Node, Process};

const INTERFACE: &str = "bare0";
const PORT: u16 = 40_000;
/// The mark of the first uplink, so that it leaves by the same uplink as our tunnels do.
const FWMARK: &str = "0x10000";

/// A tunnel that goes when this is dropped.
pub struct BareTunnel {
    processes: Vec<Process>,
    /// The address at the first site.
    pub a: IpAddr,
    /// The address at the second.
    pub b: IpAddr,
}

impl BareTunnel {
    /// Makes it between the first uplinks of two sites. `mtu` is that of the tunnel that it is
    /// compared with.
    ///
    /// # Errors
    /// When `wg`, `wireguard-go` or `ip` fails.
    pub fn between(lab: &Lab, a: &str, b: &str, mtu: u32) -> Result<Self> {
        let ends = [End::make(lab, a, 1)?, End::make(lab, b, 2)?];
        let [first, second] = &ends;
        first.connect(second, mtu)?;
        second.connect(first, mtu)?;
        let (a, b) = (first.inner, second.inner);
        Ok(Self {
            processes: ends.into_iter().map(|end| end.process).collect(),
            a,
            b,
        })
    }
}

impl Drop for BareTunnel {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // The lab ends it otherwise.
            let _ = process.kill();
        }
    }
}

struct End {
    node: Node,
    process: Process,
    public_key: String,
    outer: IpAddr,
    inner: IpAddr,
}

impl End {
    fn make(lab: &Lab, site: &str, number: u8) -> Result<Self> {
        let node = lab.router(site)?.node().clone();
        let uplink = lab
            .plan()
            .site(site)?
            .uplinks
            .first()
            .context("a site without uplinks")?;
        let outer = uplink.ipv4.context("an uplink without IPv4")?.address;
        let mut command = Command::new("wireguard-go");
        command.args(["-f", INTERFACE]);
        let process = node.spawn(&command)?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while node.run(["wg", "show", INTERFACE]).is_err() {
            if Instant::now() > deadline {
                bail!(
                    "wireguard-go did not start at {site}: {}",
                    process.stderr()?
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let script = "umask 077; wg genkey > /run/bare.key; wg pubkey < /run/bare.key";
        let public_key = node.run(["sh", "-c", script])?.trim().to_owned();
        Ok(Self {
            node,
            process,
            public_key,
            outer,
            inner: IpAddr::from([192, 0, 2, number]),
        })
    }

    fn connect(&self, other: &Self, mtu: u32) -> Result<()> {
        let script = format!(
            "wg set {INTERFACE} private-key /run/bare.key listen-port {PORT} fwmark {FWMARK} \
             peer {key} endpoint {outer}:{PORT} allowed-ips 192.0.2.0/24 && \
             ip addr add {inner}/24 dev {INTERFACE} && ip link set {INTERFACE} mtu {mtu} up",
            key = other.public_key,
            outer = other.outer,
            inner = self.inner,
        );
        self.node.run(["sh", "-c", &script]).map(drop)
    }
}
