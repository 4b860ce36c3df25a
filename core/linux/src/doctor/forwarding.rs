//! Firewalls of others that may drop what we forward. A packet has to be accepted by every base
//! chain that it meets, so that a rule of ours cannot let it pass.

use crate::nftables::TABLE;

/// A base chain on the forward hook that drops something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forwarding {
    /// Which, and what it drops, in words.
    pub(super) words: String,
    /// Of what it drops whatever is forwarded, if of anything.
    pub(super) all: Option<Of>,
}

/// The packets that a table sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Both,
    V4,
    V6,
}

impl Of {
    /// Those of a table, if any of them are routed: what a bridge forwards is not.
    fn table(name: &str) -> Option<Self> {
        match name.split_whitespace().next()? {
            "inet" => Some(Self::Both),
            "ip" => Some(Self::V4),
            "ip6" => Some(Self::V6),
            _ => None,
        }
    }
}

/// Of what nothing at all is forwarded, if of anything.
pub(super) fn nothing_of(found: &[Forwarding]) -> Option<Of> {
    let all = found.iter().filter_map(|it| it.all);
    all.reduce(|one, other| if one == other { one } else { Of::Both })
}

/// Reads a ruleset as `nft` lists it. What chains drop to which a base chain jumps is not seen.
pub(super) fn read(ruleset: &str) -> Vec<Forwarding> {
    let (mut found, mut table, mut open) = (Vec::new(), "", None::<Chain<'_>>);
    for line in ruleset.lines() {
        let trimmed = line.trim();
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches(" {");
        } else if let Some(name) = trimmed.strip_prefix("chain ") {
            open = Some(Chain::new(table, name.trim_end_matches(" {")));
        } else if trimmed == "}" {
            found.extend(open.take().and_then(Chain::found));
        } else if let Some(chain) = &mut open {
            chain.take(trimmed);
        }
    }
    found
}

struct Chain<'a> {
    table: &'a str,
    name: &'a str,
    forwards: bool,
    policy_drops: bool,
    /// Rules that leave a packet to the policy.
    returning: usize,
    /// Rules that may let a packet pass, or lead to some that do.
    passing: usize,
    dropping: usize,
    /// Whether one of them takes all that comes to it.
    drops_rest: bool,
}

impl<'a> Chain<'a> {
    const fn new(table: &'a str, name: &'a str) -> Self {
        Self {
            table,
            name,
            forwards: false,
            policy_drops: false,
            returning: 0,
            passing: 0,
            dropping: 0,
            drops_rest: false,
        }
    }

    fn take(&mut self, line: &str) {
        if line.starts_with("type ") {
            self.forwards = line.contains(" hook forward ");
            self.policy_drops = line.contains("policy drop");
            return;
        }
        // What comments, prefixes of logs and names of interfaces say is no verdict.
        let rule: String = line.split('"').step_by(2).collect();
        let mut words = rule.split_whitespace().filter(|word| *word != "counter");
        let first = words.next().unwrap_or_default();
        if rule
            .split([' ', ',', '}'])
            .any(|it| matches!(it, "drop" | "reject"))
        {
            self.dropping += 1;
            self.drops_rest |= matches!(first, "drop" | "reject");
        }
        let passes = ["accept", "jump", "goto", "queue", "vmap", "xt"];
        if rule.split_whitespace().any(|word| passes.contains(&word)) {
            self.passing += 1;
        }
        if rule.split_whitespace().any(|word| word == "return") {
            self.returning += 1;
        }
    }

    fn found(self) -> Option<Forwarding> {
        let of = Of::table(self.table)?;
        let drops = self.policy_drops || self.dropping > 0;
        if !self.forwards || !drops || self.table == TABLE {
            return None;
        }
        let what = match (self.policy_drops, self.dropping) {
            (true, _) => "drops what it does not accept (policy drop)".to_owned(),
            (false, 1) => "has a rule that drops or rejects".to_owned(),
            (false, several) => format!("has {several} rules that drop or reject"),
        };
        Some(Forwarding {
            words: format!("{} {} {what}", self.table, self.name),
            all: match self.policy_drops {
                true => self.passing == 0,
                false => self.drops_rest && self.passing == 0 && self.returning == 0,
            }
            .then_some(of),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chains: &str, expected: &[(&str, bool)]) {
        let ruleset = format!("table inet fw {{\n{chains}}}\n");
        let found = read(&ruleset);
        let all = |it: &Forwarding| it.all == Some(Of::Both);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.words.as_str(), all(it)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_returns_from_a_base_chain_is_left_to_its_policy() {
        let chain = |policy: &str| {
            format!(
                "\tchain f {{\n\t\ttype filter hook forward priority filter; policy {policy};\n\
                 \t\tiifname \"pat*\" return\n\t\tdrop\n\t}}\n"
            )
        };
        check(
            &chain("accept"),
            &[("inet fw f has a rule that drops or rejects", false)],
        );
        let policy = "inet fw f drops what it does not accept (policy drop)";
        check(&chain("drop"), &[(policy, true)]);
    }

    #[test]
    fn what_a_comment_or_a_log_says_is_no_verdict() {
        check(
            "\tchain f {\n\t\tcomment \"may drop nothing\"\n\t\ttype filter hook forward priority \
             filter; policy accept;\n\t\tlog prefix \"will drop it\" accept\n\t}\n",
            &[],
        );
    }

    #[test]
    fn a_chain_concerns_the_packets_of_its_family_and_a_bridge_routes_none() {
        let nothing = |families: &[&str]| {
            let table = |family: &&str| {
                format!(
                    "table {family} fw {{\n\tchain f {{\n\t\ttype filter hook forward priority \
                     filter; policy drop;\n\t}}\n}}\n"
                )
            };
            nothing_of(&read(&families.iter().map(table).collect::<String>()))
        };
        assert_eq!(nothing(&["bridge"]), None);
        assert_eq!(nothing(&["ip6"]), Some(Of::V6));
        assert_eq!(nothing(&["bridge", "ip"]), Some(Of::V4));
        assert_eq!(nothing(&["ip", "ip6"]), Some(Of::Both));
        assert_eq!(nothing(&["inet", "ip6"]), Some(Of::Both));
        assert_eq!(
            read("table bridge fw {\n\tchain f {\n\t\tdrop\n\t}\n}\n"),
            []
        );
    }

    #[test]
    fn chains_that_drop_what_is_forwarded_are_found_and_no_others() {
        let hook = "type filter hook forward priority filter; policy";
        let policy = "inet fw f drops what it does not accept (policy drop)";
        check(
            &format!("\tchain f {{\n\t\t{hook} drop;\n\t}}\n"),
            &[(policy, true)],
        );
        check(
            &format!("\tchain f {{\n\t\t{hook} drop;\n\t\tct state established accept\n\t}}\n"),
            &[(policy, false)],
        );
        check(
            &format!(
                "\tchain f {{\n\t\t{hook} accept;\n\t\tip daddr 10.2.0.0/16 counter drop\n\t}}\n"
            ),
            &[("inet fw f has a rule that drops or rejects", false)],
        );
        check(
            &format!(
                "\tchain f {{\n\t\t{hook} accept;\n\t\tcounter reject with icmp type 13\n\t}}\n"
            ),
            &[("inet fw f has a rule that drops or rejects", true)],
        );
        check(
            &format!(
                "\tchain f {{\n\t\t{hook} accept;\n\t\tiif lan0 accept comment \"drop later\"\n\t}}\n"
            ),
            &[],
        );
        // Nothing of what is forwarded passes by it.
        check(
            "\tchain i {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n\
             \tchain called {\n\t\tdrop\n\t}\n",
            &[],
        );
    }

    #[test]
    fn our_own_table_is_not_in_our_way() {
        let ours = "table inet patronus {\n\tchain forward {\n\t\ttype filter hook forward priority \
                    filter; policy accept;\n\t\tct mark 1 drop\n\t}\n}\n";
        assert_eq!(read(ours), []);
    }
}
