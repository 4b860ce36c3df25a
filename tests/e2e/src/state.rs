//! Everything that a router holds and that a test may want to find unchanged.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use patronus_lab::{Node, Router};

use crate::processes::processes;

/// What a router holds, line by line, by what it is.
///
/// Counters, timers and what the kernel learns by itself are left out: two states of a router at
/// which nothing was changed are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State(BTreeMap<&'static str, Vec<String>>);

/// A listing of the kernel, as a line of shell.
const KERNEL: [(&str, &str); 13] = [
    ("link", "ip -o link show"),
    ("address", "ip -o address show"),
    ("rule", "ip rule show"),
    ("rule6", "ip -6 rule show"),
    ("route", "ip -o -4 route show table all"),
    ("route6", "ip -o -6 route show table all"),
    ("nexthop", "ip -o nexthop show"),
    ("neighbour", "ip -o neigh show nud permanent"),
    ("nftables", "nft -s list ruleset"),
    ("queue", "tc qdisc show"),
    // Without the times of handshakes and the counters of bytes.
    (
        "wireguard",
        "wg show all dump | awk -F '\\t' 'NF > 5 { $6 = $7 = $8 = \"\" } { print }'",
    ),
    ("wireguard socket", "ls /run/wireguard"),
    // What counts, and keys which only those may read who have that very privilege.
    (
        "sysctl",
        "sysctl -a 2>/dev/null | grep '^net\\.' | grep -v nf_conntrack_count",
    ),
];

/// What is ours besides the kernel.
const FILES: [(&str, &str); 3] = [
    ("FRR", "vtysh -N patronus -c 'show running-config'"),
    ("frr.conf", "cat /etc/frr/patronus/frr.conf"),
    (
        "key",
        "cd /var/lib/patronus/keys && stat -c '%n %a %U %Y' . * && sha256sum *",
    ),
];

impl State {
    /// What the kernel holds, ours and others'.
    ///
    /// # Errors
    /// When a program is missing or fails.
    pub fn of_kernel(router: &Router) -> Result<Self> {
        let mut state = Self::read(router.node(), &KERNEL)?;
        let ours = processes(router.node(), "'wireguard|patronus'")?;
        state.insert("process", ours.into_values());
        Ok(state)
    }

    /// The same, what FRR runs and would start with, and the keys.
    ///
    /// # Errors
    /// When a program is missing or fails.
    pub fn of(router: &Router) -> Result<Self> {
        let mut state = Self::of_kernel(router)?;
        state.0.extend(Self::read(router.node(), &FILES)?.0);
        Ok(state)
    }

    fn read(node: &Node, listings: &[(&'static str, &str)]) -> Result<Self> {
        let mut state = Self(BTreeMap::new());
        for (name, script) in listings {
            let text = node.run(["sh", "-c", script]);
            let text = text.with_context(|| format!("listing each {name}"))?;
            state.insert(name, text.lines().map(str::to_owned));
        }
        Ok(state)
    }

    fn insert(&mut self, kind: &'static str, lines: impl Iterator<Item = String>) {
        let mut lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        lines.retain(|line| !line.is_empty());
        lines.sort();
        self.0.insert(kind, lines);
    }

    /// The lines of one kind.
    #[must_use]
    pub fn lines(&self, kind: &str) -> &[String] {
        self.0.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// What went, as `- KIND: LINE`, and what came, as `+ KIND: LINE`.
    #[must_use]
    pub fn changes(&self, later: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let kinds = self.0.keys().chain(later.0.keys());
        let kinds: std::collections::BTreeSet<_> = kinds.collect();
        for kind in kinds {
            let (before, after) = (self.lines(kind), later.lines(kind));
            let surplus = |of: &[String], over: &[String], sign: char| {
                let mut over = over.to_vec();
                let mut left = Vec::new();
                for line in of {
                    match over.iter().position(|other| other == line) {
                        Some(found) => drop(over.swap_remove(found)),
                        None => left.push(format!("{sign} {kind}: {line}")),
                    }
                }
                left
            };
            changes.extend(surplus(before, after, '-'));
            changes.extend(surplus(after, before, '+'));
        }
        changes
    }
}
