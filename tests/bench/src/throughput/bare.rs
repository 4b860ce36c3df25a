//! Bare WireGuard between the routers of a lab: what people without us have.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use patronus_lab::{Lab, Node, Process, Router};

const INTERFACE: &str = "bare0";
const PORT: u16 = 51_820;
/// Whatever wireguard-go needs to start on a busy machine.
const START: Duration = Duration::from_secs(10);

/// A rule which makes the kernel follow connections, and nothing else.
const CONNTRACK: &str = "table inet bare { chain forward { \
    type filter hook forward priority filter; ct state established,related accept; }; }\n";

/// The MTU of Patronus's tunnels on a router.
pub(super) fn tunnel_mtu(node: &Node) -> Result<u32> {
    let interface = "pat-1-1";
    let mtu = node.run(["cat", &format!("/sys/class/net/{interface}/mtu")])?;
    mtu.trim()
        .parse()
        .with_context(|| format!("the MTU of {interface}"))
}

/// A tunnel between Berlin and Lisbon. It goes with its lab.
pub(super) struct Tunnel {
    _processes: [Process; 2],
}

impl Tunnel {
    /// Makes it, with the routes that lead the LANs of each site into it.
    pub(super) fn make(lab: &Lab, mtu: u32) -> Result<Self> {
        let berlin = End::make(lab.router("berlin")?)?;
        let lisbon = End::make(lab.router("lisbon")?)?;
        berlin.connect(&lisbon, mtu)?;
        lisbon.connect(&berlin, mtu)?;
        Ok(Self {
            _processes: [berlin.process, lisbon.process],
        })
    }
}

struct End {
    router: Router,
    process: Process,
    public_key: String,
}

impl End {
    fn make(router: Router) -> Result<Self> {
        let node = router.node();
        let mut wireguard = Command::new("wireguard-go");
        wireguard.args(["--foreground", INTERFACE]);
        let process = node
            .spawn(&wireguard)
            .context("wireguard-go (Debian package wireguard-go)")?;
        let deadline = Instant::now() + START;
        while node.run(["wg", "show", INTERFACE]).is_err() {
            if Instant::now() > deadline {
                bail!("wireguard-go does not start: {}", process.stderr()?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let keys = "umask 077; wg genkey > /run/bare.key; wg pubkey < /run/bare.key";
        let public_key = node.run(["sh", "-c", keys])?.trim().to_owned();
        Ok(Self {
            router,
            process,
            public_key,
        })
    }

    fn connect(&self, far: &Self, mtu: u32) -> Result<()> {
        let node = self.router.node();
        let uplink = far.router.plan().uplinks.first().context("no uplink")?;
        let outer = uplink.ipv4.context("no IPv4")?.address;
        let (port, endpoint) = (PORT.to_string(), format!("{outer}:{PORT}"));
        let own = ["private-key", "/run/bare.key", "listen-port", &port];
        let peer = ["peer", &far.public_key, "endpoint", &endpoint];
        let allowed = ["allowed-ips", "0.0.0.0/0"];
        let set = [&["wg", "set", INTERFACE], &own[..], &peer, &allowed];
        node.run(set.concat())?;
        let inside = far.router.plan().lans.iter().flat_map(|lan| &lan.router);
        let lans = inside
            .map(|at| at.network)
            .filter(|lan| lan.addr().is_ipv4());
        let routes: String = lans
            .map(|lan| format!("route add {lan} dev {INTERFACE}\n"))
            .collect();
        node.ip(&format!("link set {INTERFACE} mtu {mtu} up\n{routes}"))?;
        node.sysctl(&[("net.ipv4.ip_forward", "1")])?;
        node.run_with_input(["nft", "-f", "-"], CONNTRACK).map(drop)
    }
}
