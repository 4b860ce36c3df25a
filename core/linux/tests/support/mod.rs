//! What the tests with a real kernel share.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test program uses a part of it"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use patronus_lab::Sandbox;
use patronus_linux::{Kernel, KeyStore, Places, PrivateKey};
use patronus_model::ids::{ClassId, IfName, SiteNumber};
use patronus_model::kernel::{Change, KernelState, Plan, RouteKey};
use patronus_model::layout::{KernelLayout, NexthopId};
use patronus_model::wireguard::{Peer, PublicKey, Tunnel};

const INSIDE: &str = "PATRONUS_LINUX_TEST_INSIDE";
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a test in a process of its own, inside of namespaces which vanish with everything in them,
/// the processes that the test starts included.
pub fn inside(body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let thread = std::thread::current();
    let name = thread
        .name()
        .expect("test threads are named after the test");
    let sandbox = Sandbox::new("linux").expect("a sandbox");
    let node = sandbox.node("router").expect("a node");
    let mut command = Command::new(std::env::current_exe().expect("our path"));
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1");
    let output = node.output(&command, LIMIT).expect("the test ends in time");
    println!("{}{}", output.stdout, output.stderr);
    assert!(output.status.success(), "{name} failed; see above");
}

/// Runs a program and returns what it printed.
pub fn run(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().expect("a program"))
        .args(words)
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Runs `ip` commands.
pub fn ip(batch: &str) {
    for line in batch.lines().map(str::trim).filter(|line| !line.is_empty()) {
        run(&format!("ip {line}"));
    }
}

pub fn places() -> Places {
    Places {
        state: PathBuf::from("/run/patronus"),
        keys: KeyStore::new(Path::new("/run/patronus-keys")),
        wireguard_go: PathBuf::from("wireguard-go"),
        user_space: true,
    }
}

pub fn open() -> Kernel {
    Kernel::open(KernelLayout::default(), places()).expect("the kernel opens")
}

pub fn name(text: &str) -> IfName {
    text.parse().expect("an interface name")
}

pub fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

pub fn nexthop(site: u16, class: u8) -> NexthopId {
    NexthopId::new(
        SiteNumber::new(site).expect("a site"),
        ClassId::new(class).expect("a class"),
    )
}

pub fn key(table: u32, prefix: &str, metric: u32) -> RouteKey {
    RouteKey {
        table,
        prefix: net(prefix),
        metric,
    }
}

/// A tunnel with a key from the key store.
pub fn tunnel(port: u16) -> Tunnel {
    let keys = places().keys;
    let uplink = "fibre".parse().expect("a name");
    let public_key = keys.get(&uplink).expect("a key").unwrap_or_else(|| {
        let key = PrivateKey::generate();
        keys.put(&uplink, &key).expect("a key that is kept");
        key.public()
    });
    Tunnel {
        public_key,
        listen_port: port,
        fwmark: 0x1_0000,
        mtu: 1400,
    }
}

pub fn peer(endpoint: &str, nets: &[&str]) -> Peer {
    Peer {
        endpoint: endpoint.parse::<SocketAddr>().ok(),
        allowed_ips: nets.iter().map(|text| net(text)).collect(),
        keepalive: Some(25),
    }
}

pub fn public(byte: u8) -> PublicKey {
    PublicKey([byte; 32])
}

/// Everything of a state, in an order that works.
pub fn plan(state: &KernelState) -> Plan {
    let mut plan = Vec::new();
    plan.extend(state.overlay.clone().map(Change::PutOverlay));
    let tunnels = state.tunnels.clone().into_iter();
    plan.extend(tunnels.map(|(name, tunnel)| Change::PutTunnel(name, tunnel)));
    let peers = state.peers.clone().into_iter();
    plan.extend(peers.map(|((name, key), peer)| Change::PutPeer(name, key, peer)));
    let sysctls = state.sysctls.clone().into_iter();
    plan.extend(sysctls.map(|(path, value)| Change::PutSysctl(path, value)));
    let nexthops = state.nexthops.clone().into_iter();
    plan.extend(nexthops.map(|(id, name)| Change::PutNexthop(id, name)));
    let routes = state.routes.clone().into_iter();
    plan.extend(routes.map(|(key, target)| Change::PutRoute(key, target)));
    plan.extend(state.rules.clone().into_iter().map(Change::PutRule));
    plan.extend(state.firewall.clone().map(Change::PutFirewall));
    Plan(plan)
}

pub fn apply(kernel: &mut Kernel, plan: &Plan) {
    let outcome = kernel.apply(plan);
    assert_eq!(outcome.failed, Vec::<String>::new());
    assert_eq!(outcome.done, plan.0.len());
}

/// Waits until something is so.
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let started = Instant::now();
    while !check() {
        assert!(started.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
