//! What others did that is in our way.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use patronus_model::kernel::Family;
use patronus_model::layout::KernelLayout;

use super::Conflict;
use super::ahead::{self, Ahead};
use super::forwarding::{self, Of};
use crate::command::run;
use crate::error::Error;
use crate::kernel::{owns_priority, owns_table};
use crate::netlink::Netlink;
use crate::netlink::link::{self, Link};
use crate::netlink::route::{self, Route};
use crate::netlink::rule::{self, Found};
use crate::nftables::TABLE;

const LIMIT: Duration = Duration::from_secs(10);

/// Everything that may be in the way.
pub(super) fn conflicts(layout: &KernelLayout) -> Vec<Conflict> {
    let ruleset = ruleset();
    let ruleset = ruleset.as_ref().map(String::as_str);
    vec![
        free(
            "rule priorities",
            true,
            foreign_rules(layout),
            [
                "our rules",
                "packets are led elsewhere before our rules see them",
            ],
            "remove these rules, or set another rule_base in the configuration",
        ),
        rules_ahead(ahead::look(layout)),
        free(
            "routing tables",
            true,
            foreign_routes(layout),
            ["our routes", "packets follow somebody else's routes"],
            "remove these routes, or set another table_base in the configuration",
        ),
        free(
            "link group",
            true,
            foreign_links(layout),
            [
                "telling our tunnels from other interfaces",
                "packets from these interfaces count as packets from tunnels, by their DSCP",
            ],
            "ip link set dev NAME group default",
        ),
        firewalls(ruleset),
        free(
            "packet marks",
            false,
            // That it cannot be listed is told once.
            Ok(ruleset.map(mark_users).unwrap_or_default()),
            [
                "classes and uplinks in packet marks",
                "another ruleset may overwrite our marks, and we overwrite what it sets before us",
            ],
            "let it mark after us (prerouting, priority mangle) and in bits that we do not use",
        ),
        free(
            "reverse path filter",
            false,
            Ok(strict_filter()),
            [
                "answers that come by another uplink",
                "packets that come by another uplink than they would leave by are dropped",
            ],
            "sysctl net.ipv4.conf.all.rp_filter=2",
        ),
    ]
}

/// What packets meet before or beside our rules.
pub(super) fn ahead_of_ours(layout: &KernelLayout) -> Vec<Conflict> {
    let ruleset = ruleset();
    let ruleset = ruleset.as_ref().map(String::as_str);
    vec![rules_ahead(ahead::look(layout)), firewalls(ruleset)]
}

/// A place that should be free.
fn free(
    name: &'static str,
    harmful: bool,
    taken: Result<Vec<String>, Error>,
    [harms, cost]: [&'static str; 2],
    remedy: &'static str,
) -> Conflict {
    Conflict {
        name,
        found: taken.map_err(|error| error.report()),
        harmful,
        harms,
        cost,
        remedy,
    }
}

fn foreign_rules(layout: &KernelLayout) -> Result<Vec<String>, Error> {
    let mut netlink = Netlink::open()?;
    let mut all = Vec::new();
    for family in Family::ALL {
        all.extend(netlink.dump(&rule::list(family), "rules", |_, payload| {
            let found = Found::read(payload)?;
            let priority = found.rule.priority;
            let theirs = found.protocol != layout.protocol && owns_priority(layout, priority);
            theirs.then(|| format!("{family:?} rule {priority}"))
        })?);
    }
    Ok(all)
}

/// A rule may be for traffic that is none of ours, and a table may hold nothing that the overlay
/// has too: only one that leaves nothing for others is known to do harm.
fn rules_ahead(ahead: Result<Ahead, Error>) -> Conflict {
    let certain = ahead.as_ref().is_ok_and(|it| it.certain);
    free(
        "rules before ours",
        // Nor is it known to do none where nobody could look.
        ahead.is_err() || certain,
        ahead.map(|it| it.rules),
        [
            "traffic for the overlay that these rules match",
            match certain {
                true => "it follows the tables of others, and never comes to our rules",
                false => "what their tables have a route for never comes to our rules",
            },
        ],
        "see `ip rule` and `ip route show table N`: give these rules a higher number than ours, let \
         them match nothing of the overlay, or set a lower rule_base in the configuration",
    )
}

/// A chain that lets the overlay pass by its other rules looks the same: only one that lets nothing
/// pass is known to do harm.
fn firewalls(ruleset: Result<&str, &Error>) -> Conflict {
    let found = ruleset.map(forwarding::read);
    let nothing_of = found.as_ref().map(|it| forwarding::nothing_of(it));
    // Every overlay has IPv4, and not each has IPv6.
    let harmful = match nothing_of {
        Ok(of) => matches!(of, Some(Of::Both | Of::V4)),
        Err(_) => true,
    };
    let cost = match nothing_of {
        Ok(Some(Of::Both)) => "nothing is forwarded, whatever our own rules say",
        Ok(Some(Of::V4)) => "no IPv4 is forwarded, whatever our own rules say",
        Ok(Some(Of::V6)) => "no IPv6 is forwarded, whatever our own rules say",
        Ok(None) | Err(_) => {
            "what these chains do not let pass is dropped, whatever our own rules say"
        }
    };
    Conflict {
        name: "forwarding firewall",
        found: match found {
            Ok(found) => Ok(found.into_iter().map(|it| it.words).collect()),
            Err(error) => Err(error.report()),
        },
        harmful,
        harms: "packets between LANs and tunnels",
        cost,
        remedy: "see `nft list ruleset`: let them accept what comes from our tunnels, pat*, or goes there",
    }
}

fn foreign_routes(layout: &KernelLayout) -> Result<Vec<String>, Error> {
    let mut netlink = Netlink::open()?;
    let mut tables = BTreeSet::new();
    for family in Family::ALL {
        let request = route::list(family, None, None);
        tables.extend(netlink.dump(&request, "routes", |_, payload| {
            let route = Route::read(payload)?;
            let table = route.key.table;
            let theirs = route.protocol != layout.protocol
                && owns_table(layout, table)
                // FRR fills this one, for us.
                && table != layout.learned_table();
            theirs.then(|| format!("table {table}"))
        })?);
    }
    Ok(tables.into_iter().collect())
}

fn foreign_links(layout: &KernelLayout) -> Result<Vec<String>, Error> {
    let group = layout.tunnel_group();
    let found = Netlink::open()?.dump(&link::list(), "interfaces", |_, payload| {
        let link = Link::read(payload)?;
        // Anybody can have a name like ours.
        let ours = link.is_claimed() && layout.owns_interface(&link.name);
        (link.group == group && !ours).then(|| format!("{} is in group {group}", link.name))
    })?;
    Ok(found)
}

/// The ruleset as text.
fn ruleset() -> Result<String, Error> {
    run(
        "nft",
        &["-s", "-t", "list", "ruleset"],
        String::new(),
        LIMIT,
    )
}

/// Tables of others that set marks.
fn mark_users(ruleset: &str) -> Vec<String> {
    let mut users = Vec::new();
    let mut table = "";
    for line in ruleset.lines() {
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches(" {");
        }
        let sets = ["mark set", "MARK", "CONNMARK"]
            .iter()
            .any(|word| line.contains(word));
        if sets && table != TABLE && !users.iter().any(|user| user == table) {
            users.push(table.to_owned());
        }
    }
    users
}

fn strict_filter() -> Vec<String> {
    let path = "/proc/sys/net/ipv4/conf/all/rp_filter";
    let strict = fs::read_to_string(path).is_ok_and(|value| value.trim() == "1");
    strict
        .then(|| "net.ipv4.conf.all.rp_filter is 1 (strict)".to_owned())
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Error {
        Error::BadFile {
            path: "/dev/null".to_owned(),
            problem: "not a ruleset".to_owned(),
        }
    }

    #[test]
    fn where_nobody_could_look_all_is_not_well() {
        for it in [firewalls(Err(&refused())), rules_ahead(Err(refused()))] {
            assert!(it.found.is_err() && it.harmful, "{it:?}");
        }
        let nothing = Ahead {
            rules: Vec::new(),
            certain: false,
        };
        for it in [firewalls(Ok("")), rules_ahead(Ok(nothing))] {
            assert!(it.is_clear() && !it.harmful, "{it:?}");
        }
    }

    #[test]
    fn the_cost_of_a_firewall_names_the_packets_that_it_drops() {
        for (family, harmful, cost) in [
            ("inet", true, "nothing"),
            ("ip", true, "no IPv4"),
            ("ip6", false, "no IPv6"),
        ] {
            let hook = "type filter hook forward priority filter; policy drop;";
            let ruleset = format!("table {family} fw {{\n\tchain f {{\n\t\t{hook}\n\t}}\n}}\n");
            let found = firewalls(Ok(&ruleset));
            assert_eq!(found.harmful, harmful, "{found:?}");
            let words = format!("{cost} is forwarded, whatever our own rules say");
            assert_eq!(found.cost, words);
        }
    }

    #[test]
    fn those_who_set_marks_are_named_and_we_are_not_among_them() {
        let ruleset = "table inet patronus {\n\tmeta mark set 0x1\n}\n\
                       table ip mangle {\n\tct mark set meta mark\n\tmeta mark set 0x2\n}\n\
                       table ip nat {\n\tmasquerade\n}\n";
        assert_eq!(mark_users(ruleset), ["ip mangle"]);
    }
}
