//! Bare WireGuard between two routers of a lab: what people without us have, to compare with. One
//! tunnel over their first uplinks, an address at each end, and no Patronus.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use patronus_lab::{Lab, Process, Router};

const INTERFACE: &str = "bare0";
const PORT: u16 = 40_000;
/// The mark of the first uplink, so that it leaves by the same uplink as our tunnels do where both
/// are on one router.
const FWMARK: &str = "0x10000";
/// Whatever wireguard-go needs to start on a busy machine.
const START: Duration = Duration::from_secs(10);

/// A rule which makes the kernel follow connections, and nothing else.
const CONNTRACK: &str = "table inet bare { chain forward { \
    type filter hook forward priority filter; ct state established,related accept; }; }\n";

/// A tunnel that goes when this is dropped.
pub struct BareTunnel {
    ends: [End; 2],
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
        let ends = [End::make(lab.router(a)?, 1)?, End::make(lab.router(b)?, 2)?];
        let [first, second] = &ends;
        first.connect(second, mtu)?;
        second.connect(first, mtu)?;
        let (a, b) = (first.inner, second.inner);
        Ok(Self { ends, a, b })
    }

    /// Leads the IPv4 LANs of each site to the other by the main table, on routers without
    /// Patronus, and loads conntrack, as Patronus does. That stays when the tunnel goes.
    ///
    /// # Errors
    /// When `ip` or `nft` fails.
    pub fn carry_lans(&self) -> Result<()> {
        let [first, second] = &self.ends;
        first.lead_to(second)?;
        second.lead_to(first)
    }
}

impl Drop for BareTunnel {
    fn drop(&mut self) {
        for end in &mut self.ends {
            // The lab ends it otherwise.
            let _ = end.process.kill();
        }
    }
}

struct End {
    router: Router,
    process: Process,
    public_key: String,
    outer: IpAddr,
    inner: IpAddr,
}

impl End {
    fn make(router: Router, number: u8) -> Result<Self> {
        let uplink = router.plan().uplinks.first();
        let uplink = uplink.context("a site without uplinks")?;
        let outer = uplink.ipv4.context("an uplink without IPv4")?.address;
        let node = router.node();
        let mut command = Command::new("wireguard-go");
        command.args(["--foreground", INTERFACE]);
        let process = node
            .spawn(&command)
            .context("wireguard-go (Debian package wireguard-go)")?;
        let deadline = Instant::now() + START;
        while node.run(["wg", "show", INTERFACE]).is_err() {
            if Instant::now() > deadline {
                bail!(
                    "wireguard-go does not start on {}: {}",
                    node.name(),
                    process.stderr()?
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let script = "umask 077; wg genkey > /run/bare.key; wg pubkey < /run/bare.key";
        let public_key = node.run(["sh", "-c", script])?.trim().to_owned();
        Ok(Self {
            router,
            process,
            public_key,
            outer,
            inner: IpAddr::from([192, 0, 2, number]),
        })
    }

    fn connect(&self, other: &Self, mtu: u32) -> Result<()> {
        let script = format!(
            "wg set {INTERFACE} private-key /run/bare.key listen-port {PORT} fwmark {FWMARK} \
             peer {key} endpoint {outer}:{PORT} allowed-ips 0.0.0.0/0 && \
             ip addr add {inner}/24 dev {INTERFACE} && ip link set {INTERFACE} mtu {mtu} up",
            key = other.public_key,
            outer = other.outer,
            inner = self.inner,
        );
        let node = self.router.node();
        node.run(["sh", "-c", &script]).map(drop)
    }

    fn lead_to(&self, other: &Self) -> Result<()> {
        let node = self.router.node();
        let inside = other.router.plan().lans.iter().flat_map(|lan| &lan.router);
        let lans = inside
            .map(|at| at.network)
            .filter(|lan| lan.addr().is_ipv4());
        let routes: String = lans
            .map(|lan| format!("route add {lan} dev {INTERFACE}\n"))
            .collect();
        node.ip(&routes)?;
        node.sysctl(&[("net.ipv4.ip_forward", "1")])?;
        node.run_with_input(["nft", "-f", "-"], CONNTRACK).map(drop)
    }
}
