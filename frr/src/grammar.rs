//! What the few lines of FRR's configuration language that we deal in mean: which of them open a
//! context, which replace each other, how each is taken back, and which daemon they belong to.
//!
//! Observed on FRR 8.4.4 and 10.3; `tests/real.rs` checks it against whatever is installed.

use crate::daemon::Daemon;
use crate::line::Line;

/// Two lines of one context with equal keys exclude each other: the later one replaces the
/// earlier. Not printable, because it may be a whole line with a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(String);

/// How a line is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// By this command in the context of the line.
    Command(Line),
    /// By removing all that stands beneath it; FRR prints it only while something does.
    Emptying,
    /// Not at all: FRR has no command for it, so its context must be made anew.
    RebuildContext,
}

/// Whether entering the line leads into a context of its own.
pub(crate) fn opens_context(line: &Line) -> bool {
    matches!(
        line.words().as_slice(),
        ["bfd"]
            | ["router" | "address-family" | "peer" | "interface", ..]
            | ["route-map", _, "permit" | "deny", _]
            | ["profile" | "vrf", _]
    )
}

/// The command that leaves the context which `line` opened.
pub(crate) fn exit(line: &Line) -> &'static str {
    if line.is("address-family") {
        "exit-address-family"
    } else {
        "exit"
    }
}

/// The key of a line.
pub(crate) fn key(line: &Line) -> Key {
    let mut words = line.words();
    if words.first() == Some(&"no") {
        words.remove(0);
    }
    let text = match words.as_slice() {
        ["router", "bgp", _] => "router bgp".to_owned(),
        ["route-map", name, "permit" | "deny", seq] => format!("route-map {name} {seq}"),
        ["neighbor", who, rest @ ..] => format!("neighbor {who} {}", neighbor_key(rest)),
        ["network", prefix, ..] => format!("network {prefix}"),
        [ip @ ("ip" | "ipv6"), "prefix-list", name, "seq", seq, ..] => {
            format!("{ip} prefix-list {name} seq {seq}")
        }
        [head @ .., _] if is_single_valued(head) => head.join(" "),
        all => all.join(" "),
    };
    Key(text)
}

/// Whether a line that begins with `head` and has one more word holds one value.
fn is_single_valued(head: &[&str]) -> bool {
    matches!(
        head,
        ["bgp", "router-id"]
            | ["bgp", "graceful-restart", _]
            | ["bgp", "route-map", "delay-timer"]
            | ["coalesce-time"]
            | ["maximum-paths"]
            | ["maximum-paths", "ibgp"]
            | ["set" | "match", "tag"]
            | [
                "set",
                "table" | "distance" | "local-preference" | "weight" | "metric"
            ]
            | ["match", "ip" | "ipv6", "address", "prefix-list"]
            | ["set", "ipv6", "next-hop", "global"]
            | ["transmit-interval" | "receive-interval" | "detect-multiplier"]
    )
}

/// What of `neighbor X …` is attribute rather than value.
fn neighbor_key(rest: &[&str]) -> String {
    match rest {
        ["timers", "connect", _] => "timers connect".to_owned(),
        ["timers", _, _] => "timers".to_owned(),
        ["bfd", "profile", _] => "bfd profile".to_owned(),
        [list @ ("route-map" | "prefix-list" | "filter-list"), _, way] => format!("{list} {way}"),
        [
            attribute @ ("remote-as"
            | "description"
            | "password"
            | "update-source"
            | "advertisement-interval"
            | "ebgp-multihop"
            | "maximum-prefix"
            | "default-originate"),
            ..,
        ] => (*attribute).to_owned(),
        all => all.join(" "),
    }
}

/// How a line is taken back.
pub(crate) fn removal(line: &Line) -> Removal {
    let words = line.words();
    match words.as_slice() {
        ["bfd"] | ["address-family", ..] => Removal::Emptying,
        // `no set table` and `no transmit-interval` are unknown commands in FRR 8.4.4.
        ["set", "table", _] => Removal::RebuildContext,
        [
            "transmit-interval" | "receive-interval" | "detect-multiplier",
            _,
        ] => Removal::RebuildContext,
        ["no", rest @ ..] => Removal::Command(Line::new(&rest.join(" "))),
        // Both go without their value, so that the password need not be said again.
        ["neighbor", who, what @ ("password" | "description"), ..] => {
            Removal::Command(Line::new(&format!("no neighbor {who} {what}")))
        }
        _ => Removal::Command(Line::new(&format!("no {}", line.expose()))),
    }
}

/// Orders the left margin: what is referred to comes before what refers to it.
pub(crate) fn rank(line: &Line) -> u8 {
    match line.words().first() {
        Some(&"router") => 3,
        Some(&"bfd") => 2,
        Some(&"route-map") => 1,
        _ => 0,
    }
}

/// The neighbour that a line of `router bgp` speaks of.
pub(crate) fn neighbor(line: &Line) -> Option<&str> {
    let text = line.expose();
    let rest = text
        .strip_prefix("neighbor ")
        .or_else(|| text.strip_prefix("no neighbor "))?;
    rest.split_ascii_whitespace().next()
}

/// Whether the line is the bare name of a neighbour, which stands for all its lines.
pub(crate) fn is_whole_neighbor(line: &Line) -> bool {
    matches!(line.words().as_slice(), ["neighbor", _])
}

/// Whether a line at the left margin of a daemon's configuration is ours to change.
///
/// The pathspace belongs to Patronus, so this is not about strangers' lines: it leaves out what
/// the start of the daemon makes of its options (`hostname`, `log`, `frr defaults`), and the
/// copies of route-maps and prefix-lists that daemons other than bgpd read from `frr.conf` and
/// have no use for.
pub(crate) fn is_managed(daemon: Daemon, line: &Line) -> bool {
    let ours: &[&str] = match daemon {
        Daemon::Bgpd => &[
            "router bgp",
            "route-map",
            "ip prefix-list",
            "ipv6 prefix-list",
            "bgp",
            "no bgp",
        ],
        Daemon::Bfdd => &["bfd"],
        Daemon::Zebra => &["zebra nexthop", "no zebra nexthop"],
        Daemon::Staticd => &["ip route", "ipv6 route"],
        Daemon::Mgmtd => &[],
    };
    ours.iter().any(|prefix| line.is(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same_key(a: &str, b: &str) -> bool {
        key(&Line::new(a)) == key(&Line::new(b))
    }

    #[test]
    fn lines_that_replace_each_other_have_one_key() {
        for (a, b) in [
            ("router bgp 65001", "router bgp 65002"),
            ("route-map r permit 10", "route-map r deny 10"),
            (
                "neighbor 10.0.0.2 timers 3 9",
                "neighbor 10.0.0.2 timers 60 180",
            ),
            (
                "neighbor 10.0.0.2 password a",
                "neighbor 10.0.0.2 password b",
            ),
            (
                "neighbor 10.0.0.2 route-map a in",
                "neighbor 10.0.0.2 route-map b in",
            ),
            ("network 10.0.0.0/8 route-map r", "network 10.0.0.0/8"),
            (
                "ip prefix-list p seq 5 permit 1.0.0.0/8",
                "ip prefix-list p seq 5 deny any",
            ),
            ("no bgp network import-check", "bgp network import-check"),
            ("maximum-paths 1", "maximum-paths 2"),
        ] {
            assert!(same_key(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn lines_that_stand_side_by_side_have_different_keys() {
        for (a, b) in [
            ("route-map r permit 10", "route-map r permit 20"),
            (
                "neighbor 10.0.0.2 timers 3 9",
                "neighbor 10.0.0.2 timers connect 1",
            ),
            (
                "neighbor 10.0.0.2 route-map a in",
                "neighbor 10.0.0.2 route-map a out",
            ),
            ("neighbor 10.0.0.2 bfd", "neighbor 10.0.0.2 bfd profile p"),
            ("neighbor 10.0.0.2 activate", "neighbor 10.0.0.3 activate"),
            ("maximum-paths 1", "maximum-paths ibgp 1"),
            (
                "bgp graceful-restart",
                "bgp graceful-restart restart-time 60",
            ),
            (
                "bgp graceful-restart preserve-fw-state",
                "bgp graceful-restart restart-time 60",
            ),
            ("router bgp 65001", "router bgp 65001 vrf red"),
        ] {
            assert!(!same_key(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn a_line_is_taken_back_without_its_secret() {
        let removal = removal(&Line::new("neighbor 10.0.0.2 password s3cret"));
        assert_eq!(
            removal,
            Removal::Command(Line::new("no neighbor 10.0.0.2 password"))
        );
    }
}
