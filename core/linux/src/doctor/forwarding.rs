//! Firewalls of others that may drop what we forward. A packet has to be accepted by every base
//! chain that it meets, so that a rule of ours cannot let it pass.

use crate::nftables::TABLE;

/// A base chain on the forward hook that drops something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forwarding {
    /// Which, and what it drops, in words.
    pub(super) words: String,
    /// Whether it drops whatever is forwarded.
    pub(super) all: bool,
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
        // What a comment says is no verdict.
        let rule = line.split(" comment \"").next().unwrap_or_default();
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
    }

    fn found(self) -> Option<Forwarding> {
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
            all: self.passing == 0 && (self.policy_drops || self.drops_rest),
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
        let found: Vec<_> = found.iter().map(|it| (it.words.as_str(), it.all)).collect();
        assert_eq!(found, expected);
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
