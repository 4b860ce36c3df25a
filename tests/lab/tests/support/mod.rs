//! What the tests of the lab share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test support: not every test file uses all of it, and a panic is a failed test"
)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use patronus_lab::traffic::{Endpoint, UdpSpec, UdpStream};
use patronus_lab::{Lab, ROOT, Sandbox, Topology};

/// A sandbox named after the test.
pub(crate) fn sandbox(name: &str) -> Sandbox {
    Sandbox::new(&format!("t-{name}")).unwrap()
}

/// A lab of a topology in YAML.
pub(crate) fn lab(yaml: &str) -> Lab {
    Lab::up(&Topology::parse(yaml).unwrap()).unwrap()
}

/// Sites `one` and `two` with one uplink `u` each on the same ISP. What `uplink` says is true for
/// that of `one` only, so packets meet it once in each direction.
pub(crate) fn two_sites(uplink: &str) -> Lab {
    lab(&format!(
        "isps: [{{name: isp}}]
sites:
  - {{name: one, uplinks: [{{name: u, isp: isp, {uplink}}}]}}
  - {{name: two, uplinks: [{{name: u, isp: isp, direct: true}}]}}"
    ))
}

/// The IPv4 (or IPv6) addresses of the uplinks of `one` and `two`.
pub(crate) fn ends(lab: &Lab, port: u16, ipv6: bool) -> (Endpoint, Endpoint) {
    let end = |site: &str| {
        let router = lab.router(site).unwrap();
        let uplink = router.plan().uplink("u").unwrap().clone();
        let attachment = if ipv6 { uplink.ipv6 } else { uplink.ipv4 };
        router.endpoint(attachment.unwrap().address, port)
    };
    (end("one"), end("two"))
}

/// A stream between `one` and `two`, both ways, when its first packets have arrived.
pub(crate) fn stream(lab: &Lab, packets_per_second: u32) -> UdpStream {
    let (a, b) = ends(lab, 7000, false);
    let spec = UdpSpec {
        packets_per_second,
        ..UdpSpec::new(a, b)
    };
    let stream = UdpStream::start(&spec).unwrap();
    eventually("the stream flows", || {
        let report = stream.report();
        report.a_to_b.received > 0 && report.b_to_a.unwrap().received > 0
    });
    stream
}

/// Waits until something is true.
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !check() {
        assert!(Instant::now() < deadline, "30 s later still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// What the kernel and the file system hold of a lab; empty when it has vanished.
pub(crate) struct Traces {
    name: String,
    /// Network, mount and PID namespaces.
    namespaces: Vec<String>,
}

impl Traces {
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        let mut namespaces = Vec::new();
        for name in sandbox.node_names().unwrap() {
            let pid = sandbox.find(&name).unwrap().pid();
            for kind in ["net", "mnt", "pid", "ipc", "uts"] {
                let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
                namespaces.push(link.to_string_lossy().into_owned());
            }
        }
        assert!(!namespaces.is_empty());
        Self {
            name: sandbox.name().to_owned(),
            namespaces,
        }
    }

    /// What is left.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        // Who is dead and not waited for yet, as in a container whose first process waits for nobody,
        // holds nothing any more.
        let is_dead = |process: &Path| {
            let status = fs::read_to_string(process.join("status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("State:\tZ"))
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        for entry in processes.filter(|entry| !is_dead(&entry.path())) {
            for kind in ["net", "mnt", "pid", "ipc", "uts"] {
                let link = fs::read_link(entry.path().join("ns").join(kind)).unwrap_or_default();
                if self
                    .namespaces
                    .iter()
                    .any(|namespace| link == Path::new(namespace))
                {
                    left.push(format!("{} in {}", entry.path().display(), link.display()));
                }
            }
        }
        let directory = Path::new(ROOT).join(&self.name);
        left.extend(directory.exists().then(|| directory.display().to_string()));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&self.name))
                .map(str::to_owned),
        );
        left
    }

    pub(crate) fn vanish(&self) {
        eventually("the lab has vanished", || self.left().is_empty());
    }
}
