//! `patronus doctor`: what this machine has and lacks, as `patronusd doctor` finds it.

use serde::Deserialize;

use crate::layout::{Memory, Page, Text, Tone, width_of};
use crate::output;
use crate::sibling;
use crate::trouble::Trouble;
use crate::units;

/// What `patronusd doctor` found.
#[derive(Deserialize)]
struct Findings {
    capabilities: Vec<Capability>,
    conflicts: Vec<Conflict>,
}

/// Something that the router may use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Capability {
    name: String,
    found: bool,
    required: bool,
    detail: String,
    needed_for: String,
    cost_when_missing: String,
    remedy: String,
}

/// Something that others may have done and that would be in the way.
#[derive(Deserialize)]
struct Conflict {
    name: String,
    /// `None` when it is not known, which `problem` explains.
    found: Option<Vec<String>>,
    problem: Option<String>,
    harmful: bool,
    harms: String,
    cost: String,
    remedy: String,
}

/// Looks and shows.
pub(crate) fn doctor(json: bool) -> Result<u8, Trouble> {
    let (answer, well) = sibling::doctor()?;
    let status = if well { 0 } else { 1 };
    let findings: Findings = match serde_json::from_slice(&answer) {
        Ok(findings) => findings,
        Err(error) => return Err(Trouble::NotUnderstood(error.to_string())),
    };
    if json {
        output::write(&String::from_utf8_lossy(&answer))?;
    } else {
        output::write(&page(&findings).draw(output::canvas(), &mut Memory::default()))?;
    }
    Ok(status)
}

fn page(findings: &Findings) -> Page {
    let mut page = Page::default();
    let capabilities = findings.capabilities.iter().map(of_capability);
    let all: Vec<Entry<'_>> = capabilities
        .chain(findings.conflicts.iter().map(of_conflict))
        .collect();
    let names = all.iter().map(|it| width_of(it.name));
    let widest = names.max().unwrap_or(0);
    for it in all {
        it.put(widest, &mut page);
    }
    let missing = findings.capabilities.iter();
    let missing = missing.filter(|it| it.required && !it.found).count();
    let harmful = || findings.conflicts.iter().filter(|it| it.harmful);
    let unknown = harmful().filter(|it| it.found.is_none()).count();
    let conflicts = harmful().filter(|it| it.is_there()).count();
    for (how_many, what, so_what) in [
        (
            missing,
            "thing",
            " missing without which the router does not work.",
        ),
        (conflicts, "conflict", " by which traffic goes astray."),
        (
            unknown,
            "place",
            " where it is not known whether others are in the way.",
        ),
    ] {
        if how_many > 0 {
            let count = units::count(u64::try_from(how_many).unwrap_or(u64::MAX), what);
            page.line(Text::toned(Tone::Bad, format!("{count}{so_what}")));
        }
    }
    page
}

/// One thing on the page.
struct Entry<'a> {
    state: Text,
    name: &'a str,
    detail: String,
    /// What there is to say if all is not well with it.
    more: Option<[(&'static str, &'a str); 3]>,
}

fn of_capability(it: &Capability) -> Entry<'_> {
    let more = [
        ("for", it.needed_for.as_str()),
        ("cost", it.cost_when_missing.as_str()),
        ("remedy", it.remedy.as_str()),
    ];
    Entry {
        state: match (it.found, it.required) {
            (true, _) => Text::toned(Tone::Good, "● yes       "),
            (false, false) => Text::toned(Tone::Warning, "◐ missing   "),
            (false, true) => Text::toned(Tone::Bad, "○ MISSING   "),
        },
        name: &it.name,
        detail: it.detail.clone(),
        more: (!it.found).then_some(more),
    }
}

impl Conflict {
    fn is_there(&self) -> bool {
        self.found.as_ref().is_some_and(|found| !found.is_empty())
    }
}

fn of_conflict(it: &Conflict) -> Entry<'_> {
    let more = [
        ("harms", it.harms.as_str()),
        ("cost", it.cost.as_str()),
        ("remedy", it.remedy.as_str()),
    ];
    let (state, detail) = match (&it.found, it.harmful) {
        (None, _) => (
            Text::toned(Tone::Warning, "◌ unknown   "),
            it.problem.clone().unwrap_or_default(),
        ),
        (Some(found), _) if found.is_empty() => (
            Text::toned(Tone::Good, "● clear     "),
            "nothing is in the way".to_owned(),
        ),
        (Some(found), false) => (Text::toned(Tone::Warning, "◐ conflict  "), found.join(", ")),
        (Some(found), true) => (Text::toned(Tone::Bad, "○ CONFLICT  "), found.join(", ")),
    };
    Entry {
        state,
        name: &it.name,
        detail,
        more: it.is_there().then_some(more),
    }
}

impl Entry<'_> {
    fn put(self, widest: usize, page: &mut Page) {
        let indent = " ".repeat(self.state.width());
        let gap = " ".repeat(widest.saturating_sub(width_of(self.name)) + 2);
        let name = Text::toned(Tone::Strong, self.name).then(gap);
        page.hanging(self.state.then(name), self.detail);
        for (word, text) in self.more.into_iter().flatten() {
            let lead = Text::toned(Tone::Dim, format!("{indent}{word:<8}"));
            page.hanging(lead, text.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Canvas;

    const CANVAS: Canvas = Canvas {
        width: Some(60),
        colour: false,
    };

    fn drawn(findings: &Findings) -> String {
        page(findings).draw(CANVAS, &mut Memory::default())
    }

    #[test]
    fn what_is_missing_says_what_for_what_it_costs_and_what_to_do() {
        let capability = |name: &str, found, detail: &str| Capability {
            name: name.to_owned(),
            found,
            required: false,
            detail: detail.to_owned(),
            needed_for: "tunnels".to_owned(),
            cost_when_missing: "wireguard-go does it in user space, at 2 cores per Gbit/s"
                .to_owned(),
            remedy: "install a kernel of 5.6 or newer".to_owned(),
        };
        let mut findings = Findings {
            capabilities: vec![
                capability("kernel WireGuard", false, "Operation not supported"),
                capability("TUN", true, "/dev/net/tun"),
            ],
            conflicts: Vec::new(),
        };
        expect_test::expect![[r#"
            ◐ missing   kernel WireGuard  Operation not supported
                        for     tunnels
                        cost    wireguard-go does it in user space, at 2
                                cores per Gbit/s
                        remedy  install a kernel of 5.6 or newer
            ● yes       TUN               /dev/net/tun
        "#]]
        .assert_eq(&drawn(&findings));
        findings.capabilities[0].required = true;
        let drawn = drawn(&findings);
        assert!(
            drawn.contains("○ MISSING") && drawn.contains("1 thing missing"),
            "{drawn}"
        );
    }

    #[test]
    fn what_others_did_is_in_the_way_and_not_missing() {
        let conflict = |name: &str, found: Option<&[&str]>, harmful| Conflict {
            name: name.to_owned(),
            found: found.map(|list| list.iter().map(|&it| it.to_owned()).collect()),
            problem: found.is_none().then(|| "Permission denied".to_owned()),
            harmful,
            harms: "our rules".to_owned(),
            cost: "packets are led elsewhere".to_owned(),
            remedy: "remove these rules".to_owned(),
        };
        let findings = Findings {
            capabilities: Vec::new(),
            conflicts: vec![
                conflict("rules", Some(&["V4 rule 1001", "V6 rule 1002"]), true),
                conflict("tables", Some(&[]), true),
                conflict("marks", Some(&["ip mangle"]), false),
                conflict("links", None, true),
            ],
        };
        expect_test::expect![[r#"
            ○ CONFLICT  rules   V4 rule 1001, V6 rule 1002
                        harms   our rules
                        cost    packets are led elsewhere
                        remedy  remove these rules
            ● clear     tables  nothing is in the way
            ◐ conflict  marks   ip mangle
                        harms   our rules
                        cost    packets are led elsewhere
                        remedy  remove these rules
            ◌ unknown   links   Permission denied
            1 conflict by which traffic goes astray.
            1 place where it is not known whether others are in the way.
        "#]]
        .assert_eq(&drawn(&findings));
    }
}
