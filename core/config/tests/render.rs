//! What is written out reads as the same.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see the helpers of tests"
)]

mod reading;

use expect_test::expect_file;
use patronus_config::{Secrets, check, effective, render};
use patronus_model::router::RouterConfig;
use reading::{example, parsed};

fn read(text: &str) -> RouterConfig {
    parsed(text, None).0
}

/// Everything that the examples leave out, and texts that are hard to quote.
const ODD: &str = r##"
version: 1
site: { id: a, name: 'say "hi" \\ # no: comment', location: "Tromsø, 北", labels: { "a/b": "", c: "yes" } }
overlay: { ipv4: 10.255.0.1/24 }
uplinks:
  - { name: "1", interface: eth0.5, gateway: 192.0.2.1, slot: 8, cost: 0, listen_port: 1 }
  - { name: "2", interface: wan@x, gateway: [dhcp, "2001:db8::1"], bandwidth: { down: 1.5 Mbit/s } }
  - { name: "3", interface: wan3, gateway: ["fe80::1"], underlay: "0", metered: true,
      bandwidth: { up: 1000, down: 10 Tbit/s } }
bgp:
  graceful_restart: off
  neighbors:
    - { address: "fd00::1", asn: 1, bfd: {}, multihop: 3, next_hop_self: false, advertise: own,
        password: "#\"'\\:{[" , update_source: "fd00::2" }
    - { address: 10.1.0.1, asn: 4200000255, accept_default: true, advertise: everything_and_default }
classes:
  - { id: 127, name: default, qos: bulk, dscp: 63, strategy: { preference: ["3", "1"] } }
  - { id: 1, name: "null", qos: standard, dscp: AF43, strategy: lowest_latency,
      failover: { threshold: 0s, cooldown: 1h, hold: 24h } }
default_class: "null"
policies:
  - { name: "true", match: { protocol: 47, dscp: [default, 63] }, action: drop }
  - { name: x, priority: 1000000, class: default, match: { protocol: udp, ports: [1, "5-9", 65535],
      source_ports: "1-65535", from: [10.0.0.0/8, "fd00::1"], to: 0.0.0.0/0, ingress: lan0 } }
lans: [{ interface: lan0, prefixes: [10.0.1.0/24] }]
health: { degraded: { latency: off, loss: off }, start_grace: 0s }
kernel: { marks: { class: 0x7f000000, uplink: 0xf0000 } }
"##;

#[test]
fn what_is_written_reads_as_the_same() {
    for text in [&example("site.yaml"), &example("minimal.yaml"), ODD] {
        let config = read(text);
        let written = render(&config, Secrets::Written);
        assert_eq!(read(&written), config, "{written}");
        assert_eq!(render(&read(&written), Secrets::Written), written);
    }
}

#[test]
fn every_default_is_written_and_no_password() {
    let (written, warnings) = effective(&example("site.yaml"), "site.yaml").unwrap();
    assert_eq!(warnings, []);
    assert_eq!(check(&written, "written.yaml"), []);
    expect_file!["site.effective.yaml"].assert_eq(&written);
    let (written, _) = effective(ODD, "odd.yaml").unwrap();
    assert!(written.contains("# password: not shown"), "{written}");
    assert!(!written.contains("{["), "{written}");
}
