//! What a reload changed.

use ipnet::IpNet;
use patronus_model::change::{Change, Changes, ConfigChange, ConfigPart};

/// Names that are said of each kind of change; the rest is counted.
const NAMED: usize = 6;

/// What a configuration says otherwise than the one before it: `added site oslo, changed class voice`.
pub(crate) fn changes(changes: &Changes) -> String {
    let parts = parts(&changes.parts);
    let kept = "unreachable until announced again, or forgotten by `patronus forget`";
    let opened = "guarded no more, so that packets go wherever the main table leads";
    let prefixes = [(kept, &changes.kept), (opened, &changes.opened)];
    let prefixes = prefixes.into_iter().filter(|(_, some)| !some.is_empty());
    let prefixes = prefixes.map(|(what, some)| format!("{what}: {}", listed(some)));
    let said: Vec<String> = std::iter::once(parts).chain(prefixes).collect();
    said.join("; ")
}

fn listed(prefixes: &[IpNet]) -> String {
    let mut words: Vec<String> = prefixes.iter().take(NAMED).map(IpNet::to_string).collect();
    match prefixes.len().saturating_sub(NAMED) {
        0 => {}
        more => words.push(format!("{more} more")),
    }
    words.join(", ")
}

fn parts(all: &[ConfigChange]) -> String {
    let kinds = [
        (Change::Added, "added"),
        (Change::Removed, "removed"),
        (Change::Changed, "changed"),
    ];
    let said = kinds.iter().filter_map(|(kind, word)| {
        let of_kind: Vec<&ConfigChange> = all.iter().filter(|it| it.change == *kind).collect();
        (!of_kind.is_empty()).then(|| format!("{word} {}", list(&of_kind)))
    });
    let said: Vec<String> = said.collect();
    match said.is_empty() {
        true => "nothing has changed".to_owned(),
        false => said.join("; "),
    }
}

fn list(changes: &[&ConfigChange]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for change in changes.iter().take(NAMED) {
        let (part, name) = (change.part, &change.name);
        let word = part_word(part);
        let which = match (name.is_empty(), before == Some(part)) {
            (true, _) => word.to_owned(),
            (false, true) => name.clone(),
            (false, false) => format!("{word} {name}"),
        };
        words.push(match change.keys.as_slice() {
            [] => which,
            keys => format!("{which} ({})", keys.join(", ")),
        });
        before = Some(part);
    }
    match changes.len().saturating_sub(NAMED) {
        0 => {}
        more => words.push(format!("{more} more")),
    }
    words.join(", ")
}

const fn part_word(part: ConfigPart) -> &'static str {
    match part {
        ConfigPart::Own => "site itself",
        ConfigPart::Overlay => "overlay",
        ConfigPart::Uplink => "uplink",
        ConfigPart::Lan => "LAN",
        ConfigPart::Site => "site",
        ConfigPart::Bgp => "BGP",
        ConfigPart::Neighbor => "BGP neighbour",
        ConfigPart::Class => "class",
        ConfigPart::DefaultClass => "default class",
        ConfigPart::Policy => "policy",
        ConfigPart::Health => "health",
        ConfigPart::Kernel => "kernel",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_said_in_one_short_line() {
        let change = |part, name: &str, change| ConfigChange {
            part,
            name: name.to_owned(),
            change,
            keys: Vec::new(),
        };
        let policy = |n: u8| change(ConfigPart::Policy, &format!("p{n}"), Change::Removed);
        let changes = |parts: &[ConfigChange]| {
            super::changes(&Changes {
                parts: parts.to_vec(),
                ..Changes::default()
            })
        };
        let mut all: Vec<ConfigChange> = (1..=9).map(policy).collect();
        assert_eq!(
            changes(&all),
            "removed policy p1, p2, p3, p4, p5, p6, 3 more"
        );
        all.truncate(1);
        all.insert(0, change(ConfigPart::Uplink, "lte", Change::Changed));
        all.push(change(ConfigPart::Health, "", Change::Changed));
        assert_eq!(
            changes(&all),
            "removed policy p1; changed uplink lte, health"
        );
        let keys = [vec!["cost", "gateway"], Vec::new(), vec!["bfd"]];
        for (change, keys) in all.iter_mut().zip(keys) {
            change.keys = keys;
        }
        assert_eq!(
            changes(&all),
            "removed policy p1; changed uplink lte (cost, gateway), health (bfd)"
        );
        assert_eq!(changes(&[]), "nothing has changed");
    }

    #[test]
    fn what_is_guarded_otherwise_than_before_is_said() {
        let prefix = |n: u8| format!("10.{n}.0.0/16").parse().unwrap();
        let mut all = Changes {
            kept: (1..=7).map(prefix).collect(),
            ..Changes::default()
        };
        let kept = "nothing has changed; unreachable until announced again, or forgotten by `patronus \
                    forget`: 10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16, 10.4.0.0/16, 10.5.0.0/16, \
                    10.6.0.0/16, 1 more";
        assert_eq!(changes(&all), kept);
        all.opened.push(prefix(9));
        let opened =
            "; guarded no more, so that packets go wherever the main table leads: 10.9.0.0/16";
        assert_eq!(changes(&all), format!("{kept}{opened}"));
    }
}
