//! Taking everything down, and looking around without leaving a trace.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod support;

use std::path::Path;

use patronus_linux::{Findings, examine, teardown};
use patronus_model::firewall::Firewall;
use patronus_model::ids::ClassId;
use patronus_model::kernel::{
    Change, Family, KernelState, OverlayInterface, Plan, RouteTarget, Rule, Selector,
};
use patronus_model::layout::{KernelLayout, Marks};
use support::{apply, inside, ip, key, name, net, nexthop, open, places, run, tunnel};

/// What others have, some of it close to ours.
fn others() {
    ip("link set lo up
        link add wan0 type veth peer name isp0
        link set wan0 up
        link set isp0 up
        address add 192.0.2.2/24 dev wan0
        route add default via 192.0.2.1
        route add 10.77.0.0/16 dev wan0 table 7001 protocol static
        route add 10.78.0.0/16 dev wan0 table 6999 protocol 80
        rule add pref 1001 fwmark 5 lookup 7001
        rule add pref 50 lookup 7001 protocol 80
        nexthop add id 77 dev wan0 protocol 80
        link add pat-8-8 type veth peer name other");
    run("nft add table inet other");
}

/// Everything that can be listed.
fn world() -> String {
    [
        "ip -o link",
        "ip -o address",
        "ip -o route show table all",
        "ip -6 -o route show table all",
        "ip rule",
        "ip -6 rule",
        "ip nexthop",
        "nft list ruleset",
        "sysctl net.ipv4.ip_forward net.ipv4.nexthop_compat_mode",
        "ls /run/patronus /run/wireguard",
    ]
    .map(run)
    .concat()
}

fn ours() -> Plan {
    let overlay = OverlayInterface {
        name: name("pat0"),
        addresses: [net("10.255.0.1/16"), net("fd00:ff::1/64")].into(),
        mtu: 1400,
    };
    let by_object = RouteTarget::Nexthop {
        id: nexthop(2, 1),
        source: None,
    };
    let rule = |family| {
        Change::PutRule(Rule {
            priority: 1001,
            family,
            selector: Selector::Mark {
                value: 0x1_0000,
                mask: 0xff_0000,
            },
            table: 7201,
        })
    };
    let firewall = Firewall {
        uplinks: [name("wan0")].into(),
        tunnels: 80,
        policies: Vec::new(),
        default_class: ClassId::new(1).unwrap(),
        dscp: [].into(),
        guarded: [net("10.0.0.0/8")].into(),
        marks: Marks::default(),
    };
    Plan(vec![
        Change::PutSysctl("net/ipv4/ip_forward".into(), "1".into()),
        Change::PutSysctl("net/ipv4/nexthop_compat_mode".into(), "0".into()),
        Change::PutOverlay(overlay),
        Change::PutTunnel(name("pat-1-1"), tunnel(51_820)),
        Change::PutTunnel(name("pat-1-2"), tunnel(51_821)),
        Change::PutNexthop(nexthop(2, 1), name("pat-1-1")),
        Change::PutRoute(key(7001, "10.2.0.0/16", 1024), by_object.clone()),
        Change::PutRoute(key(7001, "fd00:2::/48", 1024), by_object),
        Change::PutRoute(key(7128, "10.0.0.0/8", 9999), RouteTarget::Unreachable),
        rule(Family::V4),
        rule(Family::V6),
        Change::PutFirewall(firewall),
    ])
}

#[test]
fn taking_down_removes_ours_and_leaves_others() {
    inside(|| {
        std::fs::create_dir_all("/run/patronus").unwrap();
        std::fs::create_dir_all("/run/wireguard").unwrap();
        others();
        let before = world();
        apply(&mut open(), &ours());
        assert_ne!(world(), before);
        // By a process that knows nothing of the first.
        let errors = teardown(&KernelLayout::default(), places());
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(world(), before);
        assert_eq!(open().observe().unwrap(), KernelState::default());
        // Whoever started them has not taken note of their end.
        let states = run("ps -e -o comm=,stat=");
        let alive = states
            .lines()
            .any(|line| line.starts_with("wireguard-go") && !line.contains(" Z"));
        assert!(!alive, "{states}");
        let errors = teardown(&KernelLayout::default(), places());
        assert!(errors.is_empty(), "nothing to do: {errors:?}");
    });
}

#[test]
fn looking_around_leaves_no_trace_and_sees_what_is_in_the_way() {
    inside(|| {
        std::fs::create_dir_all("/run/patronus").unwrap();
        std::fs::create_dir_all("/run/wireguard").unwrap();
        ip("link set lo up");
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0").unwrap();
        let look = || examine(&KernelLayout::default(), Path::new("wireguard-go"), 0);
        let before = world();
        let all = look();
        assert_eq!(world(), before);
        for one in &all.capabilities {
            println!(
                "{:<24} {:<5} {:<40} without: {}; {}",
                one.name, one.found, one.detail, one.cost_when_missing, one.remedy
            );
        }
        let absent = missing(&all);
        assert!(
            absent
                .iter()
                .all(|name| ["kernel WireGuard", "FRR"].contains(name)),
            "{absent:?}"
        );
        assert_eq!(in_the_way(&all), [] as [String; 0]);
        others();
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
        ip("link set wan0 group 80");
        run("nft add chain inet other c");
        run("nft add rule inet other c meta mark set 7");
        let all = look();
        assert_eq!(missing(&all), absent, "what is in the way is not missing");
        assert_eq!(
            in_the_way(&all),
            [
                "rule priorities: V4 rule 1001",
                "routing tables: table 7001",
                "link group: wan0 is in group 80",
                "packet marks: inet other",
                "reverse path filter: net.ipv4.conf.all.rp_filter is 1 (strict)",
            ]
        );
        assert!(!all.are_well());
    });
}

#[test]
fn an_interface_in_our_group_is_told_by_its_alias_and_not_by_its_name_alone() {
    inside(|| {
        ip("link add pat-8-7 type ifb
            link set pat-8-7 group 80 alias patronus
            link add pat-8-8 type ifb
            link set pat-8-8 group 80
            link add wan0 type ifb
            link set wan0 group 80 alias patronus");
        let all = examine(&KernelLayout::default(), Path::new("wireguard-go"), 0);
        let group = in_the_way(&all);
        let group: Vec<_> = group.iter().filter(|it| it.contains("group")).collect();
        assert_eq!(
            group,
            ["link group: pat-8-8 is in group 80, wan0 is in group 80"]
        );
    });
}

#[test]
fn rules_and_firewalls_of_others_before_ours_are_seen_and_harm_is_told_from_doubt() {
    inside(|| {
        ip("link set lo up
            link add wan0 type ifb
            link set wan0 up
            addr add 192.0.2.2/24 dev wan0
            rule add pref 220 from all lookup 220
            rule add pref 90 to 10.2.0.0/16 iif wan0 fwmark 0x1/0xff lookup main
            rule add pref 80 from all nop
            rule add pref 70 from all lookup main suppress_prefixlength 0
            -6 rule add pref 60 from fd00:1::/48 blackhole
            rule add pref 5210 from all lookup main
            rule add pref 900 from all lookup main protocol 80");
        let look = || {
            let all = examine(&KernelLayout::default(), Path::new("wireguard-go"), 0);
            let wanted = ["rules before ours", "forwarding firewall"];
            let mut found = all.conflicts.into_iter();
            let mut of = |name: &str| found.find(|it| it.name == name).unwrap();
            wanted.map(|name| {
                let it = of(name);
                (it.found.unwrap(), it.harmful)
            })
        };
        let [(rules, harmful), (firewalls, _)] = look();
        assert_eq!(
            rules,
            [
                "IPv4 rule 70: all → table main",
                "IPv4 rule 90: iif wan0 to 10.2.0.0/16 fwmark 0x1/0xff → table main",
                "IPv4 rule 220: all → table 220",
                "IPv6 rule 60: from fd00:1::/48 → refuse or drop",
            ]
        );
        assert!(!harmful, "some of it may be for the overlay, or none");
        assert_eq!(firewalls, [""; 0]);
        ip("route add default via 192.0.2.1 dev wan0 table 220");
        run("nft add table inet fw");
        let chain = "{ type filter hook forward priority 0; policy drop; }";
        run(&format!("nft add chain inet fw f {chain}"));
        let words = "inet fw f drops what it does not accept (policy drop)";
        let [(_, harmful), firewalls] = look();
        assert!(harmful, "nothing comes to our rules");
        assert_eq!(firewalls, (vec![words.to_owned()], true));
        run("nft add rule inet fw f accept");
        let [_, firewalls] = look();
        assert_eq!(firewalls, (vec![words.to_owned()], false));
    });
}

fn missing(all: &Findings) -> Vec<&'static str> {
    let missing = all.capabilities.iter().filter(|one| !one.found);
    missing.map(|one| one.name).collect()
}

fn in_the_way(all: &Findings) -> Vec<String> {
    let taken = all.conflicts.iter().filter(|one| !one.is_clear());
    taken
        .map(|one| {
            let what = one.found.as_ref().map(|list| list.join(", "));
            format!("{}: {}", one.name, what.unwrap_or_else(Clone::clone))
        })
        .collect()
}
