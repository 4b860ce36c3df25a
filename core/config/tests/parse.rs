//! What files become.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in tests, but does not see the helpers of tests"
)]

mod reading;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use expect_test::expect_file;
use ipnet::IpNet;
use patronus_config::{
    Addresses, KeyDoubt, NoKey, NoPassword, Outside, OwnKey, Surroundings, check, check_in, decode,
    parse,
};
use patronus_model::bgp::BgpTimers;
use patronus_model::layout::KernelLayout;
use patronus_model::policy::{Failover, Strategy};
use patronus_model::router::{Gateway, HealthParams};
use patronus_model::secret::Secret;
use patronus_model::wireguard::PublicKey;
use reading::{example, key, lines, outside, read};

#[test]
fn the_full_example_is_valid_without_a_warning() {
    let config = read(&example("site.yaml"));
    expect_file!["site.expected.txt"].assert_eq(&format!("{config:#?}\n"));
}

#[test]
fn the_minimal_example_takes_all_defaults_from_the_model() {
    let config = read(&example("minimal.yaml"));
    assert_eq!(config.health, HealthParams::default());
    assert_eq!(config.layout, KernelLayout::default());
    assert_eq!(config.bgp.timers, BgpTimers::default());
    assert_eq!(config.bgp.graceful_restart, Some(Duration::from_secs(120)));
    assert_eq!(config.bgp.asn.get(), 4_200_000_001);
    assert_eq!(config.bgp.router_id, config.overlay.ipv4.addr());
    assert_eq!(config.remotes[0].asn.get(), 4_200_000_002);
    assert_eq!(config.remotes[0].number.get(), 2);
    assert_eq!(config.site.name, "berlin");
    assert!(
        config
            .classes
            .iter()
            .all(|class| class.failover == Failover::default())
    );
    assert_eq!(config.classes.len(), 5);
    assert_eq!(config.default_class.get(), 4);
    let uplink = &config.uplinks[0];
    assert_eq!((uplink.slot.get(), uplink.listen_port), (1, 51_820));
    assert_eq!(
        (uplink.gateway4, uplink.gateway6),
        (Gateway::Dynamic, Gateway::Dynamic)
    );
    assert_eq!((uplink.cost, uplink.metered), (100, false));
    assert_eq!(uplink.underlay.as_str(), "internet");
    assert_eq!(uplink.public_key, key(&uplink.name));
}

#[test]
fn the_order_of_a_file_does_not_matter() {
    let text = "
default_class: b
policies: [{name: y, priority: 7, class: b, match: {to: 10.2.0.1}}, {name: x, priority: 3, action: drop, match: {from: 10.9.0.0/16}}]
classes: [{id: 9, name: b, qos: standard}, {id: 3, name: a, qos: bulk, strategy: lowest_latency}]
sites: []
uplinks: [{name: lte, slot: 2, interface: wan1, gateway: [dhcp, 192.0.2.1]}, {name: fibre, slot: 1, interface: wan0}]
overlay: {ipv4: 10.255.3.4/16}
site: {id: x}
version: 1
";
    let config = read(text);
    assert_eq!(
        config
            .uplinks
            .iter()
            .map(|u| u.slot.get())
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(config.uplinks[1].listen_port, 51_884);
    assert_eq!(
        config.uplinks[1].gateway4,
        Gateway::Static("192.0.2.1".parse().unwrap())
    );
    assert_eq!(config.uplinks[1].gateway6, Gateway::Dynamic);
    assert_eq!(
        config
            .classes
            .iter()
            .map(|c| c.id.get())
            .collect::<Vec<_>>(),
        [3, 9]
    );
    assert_eq!(config.classes[0].strategy, Strategy::LeastLatency);
    assert_eq!(config.classes[1].strategy, Strategy::Preference(Vec::new()));
    assert_eq!(
        config
            .policies
            .iter()
            .map(|p| p.priority)
            .collect::<Vec<_>>(),
        [3, 7]
    );
    assert_eq!(config.bgp.asn.get(), 4_200_000_000 + 3 * 256 + 4);
}

#[test]
fn anchors_and_aliases_repeat_what_they_name() {
    let text = "
version: 1
site: {id: x}
overlay: {ipv4: 10.255.0.1/16}
uplinks: [{name: a, interface: wan0, bandwidth: &b {up: 1 Mbit/s}}, {name: b, interface: wan1, bandwidth: *b}]
";
    let config = read(text);
    let up: BTreeSet<_> = config.uplinks.iter().map(|u| u.bandwidth_up).collect();
    assert_eq!(up, [Some(1_000_000)].into());
}

#[test]
fn a_byte_order_mark_and_windows_lines_do_no_harm() {
    let text = format!("\u{feff}{}", example("minimal.yaml").replace('\n', "\r\n"));
    assert_eq!(read(&text), read(&example("minimal.yaml")));
}

#[test]
fn a_password_file_that_is_not_here_is_no_reason_to_refuse_the_file() {
    let key = "- id: lisbon\n    bgp_password_file: /etc/p";
    let text = example("minimal.yaml").replace("- id: lisbon", key);
    let missing = |_: &Path| Err(NoPassword::Elsewhere("no such file".to_owned()));
    let surroundings = Surroundings {
        key: &|_| Ok(None),
        password: &missing,
        addresses: &|_| Addresses::default(),
    };
    let found = check_in(&text, "c", &surroundings);
    assert_eq!(
        lines(&found),
        [
            "c:12:24: warning: sites[0].bgp_password_file: cannot read /etc/p: no such file: it must \
             be on the router, where patronusd may read it: without it the configuration is refused \
             there"
        ]
    );
    assert_eq!(check(&text, "c"), []);
}

#[test]
fn a_key_that_is_not_as_it_should_be_is_no_reason_to_refuse_the_file() {
    let text = example("minimal.yaml");
    let check = |doubt: fn(String) -> KeyDoubt, expected: &str| {
        let doubt = doubt("REASON".to_owned());
        let outside = Outside {
            public_key: &|name| {
                Ok(OwnKey {
                    public: key(name),
                    doubt: Some(doubt.clone()),
                })
            },
            ..outside(None)
        };
        let (config, found) = parse(&text, "c", &outside).unwrap();
        assert_eq!(config, read(&text));
        let (found, start) = (lines(&found), "c:7:12: warning: uplinks[0].name: ");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(&format!("{start}{expected}")),
            "{found:?}"
        );
    };
    let exposed = "the key of uplink fibre is not for root alone: REASON: give the file to root with \
                   mode 0600. Whoever has read it can pose as this site";
    check(KeyDoubt::Exposed, exposed);
    let missing = "uplink fibre has no key: REASON: `patronusd keys` makes one";
    check(KeyDoubt::Missing, missing);
    let unseen = "the key of uplink fibre cannot be looked at: REASON: use sudo";
    check(KeyDoubt::Unseen, unseen);
}

#[test]
fn a_gateway_that_its_interface_cannot_reach_is_warned_of() {
    let with = |gateway: &str| {
        let interface = "interface: wan0";
        example("minimal.yaml").replace(interface, &format!("{interface}, gateway: {gateway}"))
    };
    let check = |gateway: &str, addresses: &[&str], expected: &[&str]| {
        let nets = addresses.iter().map(|it| it.trim_start_matches("peer "));
        let networks: Vec<IpNet> = nets.map(|it| it.parse().unwrap()).collect();
        let own = addresses
            .iter()
            .zip(&networks)
            .filter(|(it, _)| !it.starts_with("peer "));
        let own = own.map(|(_, net)| net.addr()).collect();
        let addresses = Addresses { own, networks };
        let outside = Outside {
            addresses: &|interface| {
                assert_eq!(interface.as_str(), "wan0");
                addresses.clone()
            },
            ..outside(None)
        };
        let (config, found) = parse(&with(gateway), "c", &outside).unwrap();
        assert_eq!(
            config,
            parse(&with(gateway), "c", &reading::outside(None))
                .unwrap()
                .0
        );
        assert_eq!(lines(&found), expected, "{gateway} {addresses:?}");
    };
    check("192.0.2.1", &["192.0.2.2/24", "198.51.100.2/24"], &[]);
    check("192.0.2.1", &[], &[]);
    check("192.0.2.1", &["2001:db8::2/64"], &[]);
    check("[\"fe80::1\", dhcp]", &["2001:db8::2/64"], &[]);
    check("dhcp", &["192.0.2.2/24"], &[]);
    let pppoe = ["100.64.0.2/32", "peer 100.64.0.1/32"];
    check("100.64.0.1", &pppoe, &[]);
    check(
        "100.64.0.2",
        &pppoe,
        &[
            "c:7:45: warning: uplinks[0].gateway: 100.64.0.2 is the address of this router on wan0: use \
             that of the router at the other end of the link, or dhcp",
        ],
    );
    check(
        "192.0.2.1",
        &["192.0.2.1/24", "2001:db8::2/64"],
        &[
            "c:7:45: warning: uplinks[0].gateway: 192.0.2.1 is the address of this router on wan0: use \
             that of the router at the other end of the link, or dhcp",
        ],
    );
    check(
        "[10.0.0.1, dhcp]",
        &["192.168.8.2/24", "192.168.9.2/24", "2001:db8::2/64"],
        &[
            "c:7:46: warning: uplinks[0].gateway[0]: 10.0.0.1 is not in 192.168.8.0/24 and \
             192.168.9.0/24 of wan0: use a gateway inside that network, or dhcp; or give the interface \
             an address in the network of the gateway, or a route to it alone",
        ],
    );
}

#[test]
fn what_lies_outside_is_reported_where_the_file_names_it() {
    let text = example("minimal.yaml").replace(
        "- id: lisbon",
        "- id: lisbon\n    bgp_password_file: /etc/p",
    );
    let check = |key: Result<PublicKey, NoKey>, password: Result<&str, &str>, expected: &[&str]| {
        let outside = Outside {
            public_key: &|_| key.clone().map(OwnKey::from),
            password: &|path| {
                assert_eq!(path, Path::new("/etc/p"));
                password
                    .map(|p| Secret::new(p.to_owned()))
                    .map_err(|reason| NoPassword::Unreadable(reason.to_owned()))
            },
            ..outside(None)
        };
        match parse(&text, "c", &outside) {
            Ok((config, _)) => {
                assert_eq!(expected, <[&str; 0]>::default());
                assert_eq!(
                    config.remotes[0].bgp_password.as_ref().unwrap().expose(),
                    "p"
                );
            }
            Err(found) => {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                assert_eq!(found, expected);
            }
        }
    };
    let good = PublicKey([1; 32]);
    check(Ok(good), Ok("p\n"), &[]);
    check(
        Err(NoKey::Unreadable(
            "keys/fibre: permission denied".to_owned(),
        )),
        Err("permission denied"),
        &[
            "c:7:12: uplinks[0].name: uplink fibre has no key: keys/fibre: permission denied: make \
             it a file that patronusd may read",
            "c:12:24: sites[0].bgp_password_file: cannot read /etc/p: permission denied: make it a \
             file that patronusd may read",
        ],
    );
    check(
        Err(NoKey::Invalid("keys/fibre: not a private key".to_owned())),
        Ok("p"),
        &[
            "c:7:12: uplinks[0].name: uplink fibre has no key: keys/fibre: not a private key: put \
             back into it what `wg genkey` had printed, with owner root and mode 0600; or remove \
             the file, and `patronusd keys` makes a new key and prints its public half, which all \
             other sites need then",
        ],
    );
    check(
        Ok("HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
            .parse()
            .unwrap()),
        Ok("two words"),
        &[
            "c:12:24: sites[0].bgp_password_file: /etc/p does not hold a password: use 1 to 80 \
             printable ASCII characters without blanks",
            "c:16:21: sites[0].uplinks[0].public_key: this is the key of our own uplink fibre: use \
             the key that the other site prints",
        ],
    );
}

#[test]
fn bytes_that_are_not_text_are_shown_where_they_are() {
    assert_eq!(decode("é".as_bytes(), "c"), Ok("é"));
    let found = decode(b"version: 1\nsit\xff", "c").unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "c:2:4: not UTF-8: save the file in the encoding UTF-8"
    );
}

#[test]
fn control_characters_are_no_text_and_are_shown_where_they_are() {
    let check = |text: &str, expected: &str| {
        let found = patronus_config::check(text, "c");
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(expected), "{found:?}");
    };
    let good = example("minimal.yaml");
    check(
        &good.replacen("berlin", "é\0", 1),
        "c:4:13: the control character U+0000 is not text: remove it",
    );
    check(
        &good.replacen("The", "\u{7}", 1),
        "c:1:3: the control character U+0007",
    );
    check(
        &format!("{good}\u{1b}"),
        "c:17:1: the control character U+001B",
    );
    // Windows ends its lines with one.
    read(&good.replace('\n', "\r\n"));
}

#[test]
fn a_file_that_is_too_large_says_what_the_limit_is() {
    let read = " ".repeat(patronus_config::MOST_BYTES + 1);
    let found = patronus_config::check(&read, "c");
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let limit = "c:1:1: the file has more than 33554432 bytes: a configuration has at most 32 MiB; is \
                 this the right file?";
    assert_eq!(found, [limit]);
}

#[test]
fn very_many_policies_are_warned_of_and_taken() {
    let found = |number: u16| {
        let policies = (1..=number).map(|n| {
            format!("  - {{name: p{n}, class: standard, match: {{protocol: udp, ports: {n}}}}}\n")
        });
        let policies: String = policies.collect();
        let text = format!("{}policies:\n{policies}", example("minimal.yaml"));
        let found = patronus_config::check(&text, "c");
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(found(5000), [""; 0]);
    let found = found(5001);
    let [warning] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(
        warning.contains("warning: policies: 5001 policies: whenever"),
        "{warning}"
    );
    assert!(warning.ends_with("at most 5000"), "{warning}");
}

/// A file with this many other sites.
fn large(sites: u32) -> String {
    let mut text =
        "version: 1\nsite: {id: hub, hub: 1}\noverlay: {ipv4: 10.255.0.1/16}\n".to_owned();
    text += "uplinks: [{name: a, interface: wan0, gateway: 192.0.2.1}, \
             {name: b, interface: wan1, gateway: 198.51.100.1}]\nsites:\n";
    for n in 2..sites + 2 {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        let (one, two) = (PublicKey(bytes), PublicKey(bytes.map(|b| !b)));
        text += &format!(
            "  - id: s{n}\n    overlay: {{ipv4: 10.255.{}.{}}}\n    prefixes: [10.{}.{}.0/24]\n    \
             uplinks:\n      - {{name: a, public_key: {one}}}\n      - {{name: b, public_key: {two}}}\n",
            n / 256,
            n % 256,
            n / 256,
            n % 256,
        );
    }
    text
}

#[test]
fn eight_thousand_sites_are_read_in_seconds() {
    let start = Instant::now();
    let text = large(8000);
    let config = read(&text);
    assert_eq!(config.remotes.len(), 8000);
    // Some 0.5 s unoptimised; the limit only catches what is not linear.
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    let same = text.replace("10.255.", "10.254.");
    assert!(!check(&same, "c").is_empty());
}
