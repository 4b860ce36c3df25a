//! What a reload changed.

use patronus_model::change::{Change, ConfigChange, ConfigPart};

/// Names that are said of each kind of change; the rest is counted.
const NAMED: usize = 6;

/// What a configuration says otherwise than the one before it: `added site oslo, changed class voice`.
pub(crate) fn changes(all: &[ConfigChange]) -> String {
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
        words.push(match (name.is_empty(), before == Some(part)) {
            (true, _) => word.to_owned(),
            (false, true) => name.clone(),
            (false, false) => format!("{word} {name}"),
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
        };
        let policy = |n: u8| change(ConfigPart::Policy, &format!("p{n}"), Change::Removed);
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
        assert_eq!(changes(&[]), "nothing has changed");
    }
}
