//! The generated ruleset: golden files, checked by the real `nft`, and real packets.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod support;

use std::net::UdpSocket;
use std::time::Duration;

use expect_test::expect_file;
use nix::sched::{CloneFlags, setns};
use patronus_linux::nftables::script;
use patronus_model::firewall::Firewall;
use patronus_model::ids::{ClassId, Dscp};
use patronus_model::kernel::{Change, Plan};
use patronus_model::layout::Marks;
use patronus_model::policy::{Action, Match, Policy, Protocol};
use support::{apply, inside, ip, name, net, open, run};

fn class(number: u8) -> ClassId {
    ClassId::new(number).unwrap()
}

fn dscp(number: u8) -> Dscp {
    Dscp::new(number).unwrap()
}

fn empty() -> Firewall {
    Firewall {
        uplinks: [].into(),
        tunnels: 80,
        policies: Vec::new(),
        default_class: class(1),
        dscp: [].into(),
        guarded: [].into(),
        marks: Marks::default(),
    }
}

fn policies(list: Vec<(&str, Match, Action)>) -> Vec<Policy> {
    list.into_iter()
        .enumerate()
        .map(|(number, (name, matches, action))| Policy {
            name: name.parse().unwrap(),
            priority: 10 * u32::try_from(number).unwrap(),
            matches,
            action,
        })
        .collect()
}

fn ports(protocol: Protocol, list: &[(u16, u16)]) -> Match {
    Match {
        protocol: Some(protocol),
        destination_ports: list.iter().map(|(a, b)| *a..=*b).collect(),
        ..Match::default()
    }
}

fn to(list: &[&str]) -> Match {
    Match {
        destinations: list.iter().map(|text| net(text)).collect(),
        ..Match::default()
    }
}

/// Something of everything.
fn full() -> Firewall {
    let any_port = Match {
        destination_ports: vec![4000..=4999],
        ..Match::default()
    };
    let complex = Match {
        sources: vec![net("10.1.0.0/16"), net("fd00:1::/48")],
        destinations: vec![net("10.2.0.0/16"), net("10.3.0.0/16"), net("fd00:2::/48")],
        protocol: Some(Protocol::TCP),
        source_ports: vec![1024..=65535],
        destination_ports: vec![22..=22, 3389..=3389],
        dscp: vec![dscp(0), dscp(8)],
        ingress: vec![name("lan0"), name("lan1.10")],
    };
    let never = Match {
        sources: vec![net("10.1.0.0/16")],
        destinations: vec![net("fd00:2::/48")],
        ..Match::default()
    };
    let by_dscp = Match {
        dscp: vec![dscp(46)],
        ..Match::default()
    };
    let from = Match {
        sources: vec![net("10.1.9.0/24")],
        ..Match::default()
    };
    Firewall {
        uplinks: [name("wan0"), name("wan1")].into(),
        policies: policies(vec![
            (
                "voice",
                ports(Protocol::UDP, &[(5060, 5061), (16384, 32767)]),
                Action::Route(class(2)),
            ),
            (
                "web",
                ports(Protocol::TCP, &[(80, 80), (443, 443)]),
                Action::Route(class(3)),
            ),
            ("games", any_port, Action::Route(class(4))),
            ("no-telnet", ports(Protocol::TCP, &[(23, 23)]), Action::Drop),
            ("admin", complex, Action::Route(class(2))),
            ("never", never, Action::Route(class(3))),
            ("marked", by_dscp, Action::Route(class(2))),
            (
                "servers",
                to(&["10.2.9.0/24", "fd00:2:9::/48"]),
                Action::Route(class(4)),
            ),
            ("site-2", to(&["10.2.0.0/16"]), Action::Route(class(3))),
            ("backup", from, Action::Route(class(4))),
            ("rest", Match::default(), Action::Route(class(1))),
        ]),
        dscp: [(1, 0), (2, 46), (3, 18), (4, 8)]
            .map(|(id, code)| (class(id), dscp(code)))
            .into(),
        guarded: ["10.255.0.0/16", "10.1.0.0/16", "10.2.0.0/15", "fd00::/8"]
            .map(net)
            .into(),
        ..empty()
    }
}

fn check(firewall: &Firewall, golden: &str) {
    let text = script(firewall).unwrap();
    expect_file![format!(
        "{}/tests/golden/{golden}.nft",
        env!("CARGO_MANIFEST_DIR")
    )]
    .assert_eq(&text);
    let firewall = firewall.clone();
    let checked = std::thread::spawn(move || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script(&firewall).unwrap()).unwrap();
        run(&format!("nft -c -f {}", file.path().display()));
    });
    checked.join().unwrap();
}

#[test]
fn a_router_without_policies_only_carries_classes() {
    check(&empty(), "empty");
}

#[test]
fn every_sort_of_policy_has_its_form() {
    check(&full(), "full");
}

#[test]
fn other_marks_move_all_masks() {
    let mut firewall = full();
    firewall.policies.truncate(2);
    firewall.marks = Marks {
        class: 0x7f00_0000,
        classified: 0x8000_0000,
        epoch: 0x00ff_0000,
        uplink: 0x0000_000f,
    };
    check(&firewall, "marks");
}

#[test]
fn names_which_nft_would_take_for_patterns_or_the_end_of_a_string() {
    let mut firewall = empty();
    firewall.uplinks.insert(name("wan*"));
    check(&firewall, "asterisk");
    firewall.uplinks.insert(name("x\"{}drop"));
    assert!(script(&firewall).is_err());
}

#[test]
fn what_was_applied_is_recognised_until_somebody_changes_it() {
    inside(|| {
        let mut kernel = open();
        assert_eq!(kernel.observe().unwrap().firewall, None);
        run("nft add table inet other");
        let put = Plan(vec![Change::PutFirewall(full())]);
        apply(&mut kernel, &put);
        assert_eq!(kernel.observe().unwrap().firewall, Some(full()));
        run("nft add rule inet patronus postrouting counter");
        assert_eq!(kernel.observe().unwrap().firewall, None);
        apply(&mut kernel, &put);
        assert_eq!(kernel.observe().unwrap().firewall, Some(full()));
        assert_eq!(
            open().observe().unwrap().firewall,
            None,
            "not by this process"
        );
        apply(&mut kernel, &Plan(vec![Change::DeleteFirewall]));
        assert_eq!(kernel.observe().unwrap().firewall, None);
        assert_eq!(run("nft list tables").trim(), "table inet other");
    });
}

/// A host behind `lan0`, a site behind `pat-1-1`, an ISP behind `wan0`, and us between them.
fn topology() {
    ip("link set lo up
        netns add host
        netns add far
        netns add isp
        link add lan0 type veth peer name eth0 netns host
        link add pat-1-1 type veth peer name eth0 netns far
        link add wan0 type veth peer name eth0 netns isp
        link set pat-1-1 group 80
        link set lan0 up
        link set pat-1-1 up
        link set wan0 up
        address add 10.1.0.1/16 dev lan0
        address add fd00:1::1/64 dev lan0 nodad
        address add 10.2.0.1/16 dev pat-1-1
        address add fd00:2::1/64 dev pat-1-1 nodad
        address add 192.0.2.1/24 dev wan0
        route add default via 192.0.2.2");
    for (ns, v4, v6) in [
        ("host", "10.1.0", "fd00:1::"),
        ("far", "10.2.0", "fd00:2::"),
        ("isp", "192.0.2", "fd00:9::"),
    ] {
        ip(&format!(
            "-n {ns} link set lo up
             -n {ns} link set eth0 up
             -n {ns} address add {v4}.2/16 dev eth0
             -n {ns} address add {v6}2/64 dev eth0 nodad
             -n {ns} route replace default via {v4}.1
             -n {ns} -6 route replace default via {v6}1"
        ));
        run(&format!("ip netns exec {ns} nft add table inet probe"));
        probe(
            &format!("ip netns exec {ns} nft"),
            "prerouting",
            "ip dscp . th dport",
        );
        probe_codes(ns);
    }
    for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{path}"), "1").unwrap();
    }
    // IPv6 takes a second to wake up.
    support::eventually("the far end answers", || {
        let ping = "ip netns exec host ping -c1 -W1 fd00:2::2";
        let mut words = ping.split(' ');
        let mut command = std::process::Command::new(words.next().unwrap());
        command.args(words).output().unwrap().status.success()
    });
    run("nft add table inet probe");
    probe("nft", "forward", "meta mark . th dport");
    probe("nft", "postrouting", "ct mark . th dport");
}

/// Remembers what passes, in a set which is named by what it holds.
fn probe(nft: &str, hook: &str, what: &str) {
    let set = what.replace(' ', "").replace('.', "_");
    let script = format!(
        "table inet probe {{
            set {set} {{ typeof {what}; flags dynamic; size 1000; }}
            chain {set} {{ type filter hook {hook} priority 300; update @{set} {{ {what} }}; }}
        }}"
    );
    std::fs::write("/run/probe", script).unwrap();
    run(&format!("{nft} -f /run/probe"));
}

/// The same for the DSCP of IPv6, which nft 1.0.6 cannot put into a set together with a port.
fn probe_codes(ns: &str) {
    let mut script = "table inet probe {\n".to_owned();
    let mut rules = String::new();
    for code in CODES {
        script += &format!("set code_{code} {{ type inet_service; flags dynamic; size 99; }}\n");
        rules += &format!("ip6 dscp {code} update @code_{code} {{ th dport }}\n");
    }
    script += &format!("chain codes {{ type filter hook prerouting priority 300;\n{rules}}}\n}}\n");
    std::fs::write("/run/probe", script).unwrap();
    run(&format!("ip netns exec {ns} nft -f /run/probe"));
}

const CODES: [u8; 4] = [0, 8, 18, 46];

/// The DSCP of IPv6 packets with this port.
fn seen_codes(ns: &str, port: u16) -> Vec<u8> {
    let carried = |code: &u8| {
        let list = format!("ip netns exec {ns} nft -n list set inet probe code_{code}");
        let text = run(&list);
        let mut words = text.split(|c: char| !c.is_ascii_digit());
        words.any(|word| word == port.to_string())
    };
    CODES.into_iter().filter(carried).collect()
}

/// What passed with this port.
fn seen(nft: &str, set: &str, port: u16) -> Vec<String> {
    let text = run(&format!("{nft} -n list set inet probe {set}"));
    let start = text.rfind("elements = {").map_or(text.len(), |at| at + 12);
    let elements = text[start..].split([',', '}']);
    elements
        .filter_map(|element| element.trim().split_once(" . "))
        .filter(|(_, of)| of.trim() == port.to_string())
        .map(|(value, _)| value.trim().to_owned())
        .collect()
}

fn in_ns<T: Send + 'static>(ns: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let file = std::fs::File::open(format!("/run/netns/{ns}")).unwrap();
    let thread = std::thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    });
    thread.join().unwrap()
}

/// Sends a datagram there, and says whether it arrives.
fn talk(from: &str, to: &str, target: &'static str, tos: Option<i32>) -> bool {
    let receiver = in_ns(to, move || UdpSocket::bind(target).unwrap());
    let wait = Some(Duration::from_millis(300));
    receiver.set_read_timeout(wait).unwrap();
    let v6 = target.starts_with('[');
    let sender = in_ns(from, move || {
        UdpSocket::bind(if v6 { "[::]:40000" } else { "0.0.0.0:40000" }).unwrap()
    });
    if let Some(tos) = tos {
        use nix::sys::socket::{setsockopt, sockopt};
        if v6 {
            setsockopt(&sender, sockopt::Ipv6TClass, &tos).unwrap();
        } else {
            setsockopt(&sender, sockopt::Ipv4Tos, &tos).unwrap();
        }
    }
    (0..3).any(|_| {
        sender.send_to(b"x", target).unwrap();
        receiver.recv_from(&mut [0; 10]).is_ok()
    })
}

/// Answers the other way, from the socket that was spoken to.
fn answer(from: &str, to: &str, source: &'static str, target: &'static str) {
    let receiver = in_ns(to, move || UdpSocket::bind(target).unwrap());
    receiver
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let sender = in_ns(from, move || UdpSocket::bind(source).unwrap());
    sender.send_to(b"y", target).unwrap();
    receiver.recv_from(&mut [0; 10]).unwrap();
}

fn class_of(marks: &[String]) -> Vec<u32> {
    let parse = |text: &String| u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let mut classes: Vec<u32> = marks.iter().map(|text| parse(text) & 0x7f).collect();
    classes.dedup();
    classes
}

#[test]
fn packets_get_the_class_that_the_policies_say_and_carry_it_in_dscp() {
    inside(|| {
        topology();
        let mut kernel = open();
        apply(&mut kernel, &Plan(vec![Change::PutFirewall(full())]));
        // Class by port map, by rule, by prefix map, by default; v4 and v6.
        for (target, port, class, code) in [
            ("10.2.0.2:5060", 5060, 2, 46),
            ("10.2.0.2:4321", 4321, 4, 8),
            ("10.2.0.2:7000", 7000, 3, 18),
            ("[fd00:2::2]:5061", 5061, 2, 46),
            ("[fd00:2::2]:7001", 7001, 1, 0),
        ] {
            assert!(talk("host", "far", target, None), "{target}");
            let marks = seen("nft", "metamark_thdport", port);
            assert_eq!(class_of(&marks), [class], "{target}: {marks:?}");
            assert_eq!(seen("nft", "ctmark_thdport", port), marks, "{target}");
            if target.starts_with('[') {
                assert_eq!(seen_codes("far", port), [code], "{target}");
            } else {
                let codes = seen("ip netns exec far nft", "ipdscp_thdport", port);
                assert_eq!(codes, [format!("{code:#04x}")], "{target}");
            }
        }
        // From a tunnel: by DSCP, and a change of it is followed.
        for (target, port, tos, class) in [
            ("10.1.0.2:9001", 9001, 46 << 2, 2),
            ("10.1.0.2:9002", 9002, 18 << 2, 3),
            ("10.1.0.2:9003", 9003, 33 << 2, 1),
            ("[fd00:1::2]:9004", 9004, 46 << 2, 2),
            ("[fd00:1::2]:9005", 9005, 8 << 2, 4),
        ] {
            assert!(talk("far", "host", target, Some(tos)), "{target}");
            let marks = seen("nft", "metamark_thdport", port);
            assert_eq!(class_of(&marks), [class], "{target}: {marks:?}");
            assert_eq!(seen("nft", "ctmark_thdport", port), marks);
        }
        // Answers keep the class of what they answer, whichever side began.
        answer("host", "far", "10.1.0.2:9001", "10.2.0.2:40000");
        answer("far", "host", "10.2.0.2:5060", "10.1.0.2:40000");
        let marks = seen("nft", "metamark_thdport", 40000);
        assert_eq!(class_of(&marks), [2], "{marks:?}");
    });
}

#[test]
fn connections_through_a_tunnel_use_segments_that_fit() {
    inside(|| {
        topology();
        run("ip link set pat-1-1 mtu 1400");
        let mut kernel = open();
        apply(&mut kernel, &Plan(vec![Change::PutFirewall(full())]));
        for ns in ["host", "far"] {
            // 40 bytes of headers with IPv4, 60 with IPv6; in the SYN and in the SYN-ACK.
            let script = "table inet probe { chain mss {
                type filter hook input priority 0;
                meta nfproto ipv4 tcp flags syn tcp option maxseg size 1360 counter
                meta nfproto ipv6 tcp flags syn tcp option maxseg size 1340 counter
            }
            }";
            std::fs::write("/run/probe", script).unwrap();
            run(&format!("ip netns exec {ns} nft -f /run/probe"));
        }
        for (from, to, target) in [
            ("host", "far", "10.2.0.2:80"),
            ("host", "far", "[fd00:2::2]:80"),
            ("far", "host", "10.1.0.2:80"),
            ("far", "host", "[fd00:1::2]:80"),
        ] {
            let _listener = in_ns(to, move || std::net::TcpListener::bind(target).unwrap());
            in_ns(from, move || std::net::TcpStream::connect(target).unwrap());
        }
        for ns in ["host", "far"] {
            let text = run(&format!("ip netns exec {ns} nft list chain inet probe mss"));
            assert_eq!(
                text.matches("counter packets 2 ").count(),
                2,
                "{ns}: {text}"
            );
        }
    });
}

#[test]
fn a_new_epoch_classifies_living_flows_again() {
    inside(|| {
        topology();
        let mut kernel = open();
        apply(&mut kernel, &Plan(vec![Change::PutFirewall(full())]));
        assert!(talk("host", "far", "10.2.0.2:5060", None));
        let mut changed = full();
        changed.policies[0].action = Action::Route(class(4));
        apply(&mut kernel, &Plan(vec![Change::PutFirewall(changed)]));
        run("nft flush set inet probe metamark_thdport");
        assert!(talk("host", "far", "10.2.0.2:5060", None));
        assert_eq!(class_of(&seen("nft", "metamark_thdport", 5060)), [4]);
    });
}

#[test]
fn dropped_flows_and_guarded_prefixes_do_not_leave() {
    inside(|| {
        topology();
        let mut kernel = open();
        let mut firewall = full();
        let ports = ports(Protocol::UDP, &[(9, 9), (40000, 40000)]);
        let drop = ("no-9", ports, Action::Drop);
        firewall.policies = policies(vec![drop]);
        apply(&mut kernel, &Plan(vec![Change::PutFirewall(firewall)]));
        assert!(!talk("host", "far", "10.2.0.2:9", None));
        assert!(talk("host", "far", "10.2.0.2:10", None));
        assert!(talk("host", "isp", "192.0.2.2:10", None));
        // What the far end opens is for its policies, and so are the answers to it.
        assert!(talk("far", "host", "10.1.0.2:9", None));
        answer("host", "far", "10.1.0.2:9", "10.2.0.2:40000");
        // To a guarded prefix by way of the uplink.
        ip("route add 10.255.7.7/32 via 192.0.2.2
            -n isp address add 10.255.7.7/32 dev lo");
        assert!(!talk("host", "isp", "10.255.7.7:10", None));
        let text = run("nft list chain inet patronus guard");
        assert!(text.contains("counter packets 3 "), "{text}");
    });
}
