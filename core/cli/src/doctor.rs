//! `patronus doctor`: what this machine has and lacks, as `patronusd doctor` finds it.

use serde::Deserialize;

use crate::layout::{Memory, Page, Text, Tone, width_of};
use crate::output;
use crate::sibling;
use crate::trouble::Trouble;
use crate::units;

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

/// Looks and shows.
pub(crate) fn doctor(json: bool) -> Result<u8, Trouble> {
    let (answer, well) = sibling::doctor()?;
    let status = if well { 0 } else { 1 };
    let found: Vec<Capability> = match serde_json::from_slice(&answer) {
        Ok(found) => found,
        // It has said why not.
        Err(_) if answer.is_empty() => return Ok(1),
        Err(error) => return Err(Trouble::NotUnderstood(error.to_string())),
    };
    if json {
        output::write(&String::from_utf8_lossy(&answer))?;
    } else {
        output::write(&page(&found).draw(output::canvas(), &mut Memory::default()))?;
    }
    Ok(status)
}

fn page(found: &[Capability]) -> Page {
    let mut page = Page::default();
    let names = found.iter().map(|it| width_of(&it.name));
    let widest = names.max().unwrap_or(0);
    for it in found {
        one(it, widest, &mut page);
    }
    let missing = found.iter().filter(|it| it.required && !it.found).count();
    if missing > 0 {
        let missing = u64::try_from(missing).unwrap_or(u64::MAX);
        let text = format!(
            "{} missing without which the router does not work.",
            units::count(missing, "thing")
        );
        page.line(Text::toned(Tone::Bad, text));
    }
    page
}

fn one(it: &Capability, widest: usize, page: &mut Page) {
    let state = match (it.found, it.required) {
        (true, _) => Text::toned(Tone::Good, "● yes      "),
        (false, false) => Text::toned(Tone::Warning, "◐ missing  "),
        (false, true) => Text::toned(Tone::Bad, "○ MISSING  "),
    };
    let indent = " ".repeat(state.width());
    let gap = " ".repeat(widest.saturating_sub(width_of(&it.name)) + 2);
    let name = Text::toned(Tone::Strong, &it.name).then(gap);
    page.hanging(state.then(name), it.detail.clone());
    if !it.found {
        for (word, text) in [
            ("for", &it.needed_for),
            ("cost", &it.cost_when_missing),
            ("remedy", &it.remedy),
        ] {
            let lead = Text::toned(Tone::Dim, format!("{indent}{word:<8}"));
            page.hanging(lead, text.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Canvas;

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
        let mut found = vec![
            capability("kernel WireGuard", false, "Operation not supported"),
            capability("TUN", true, "/dev/net/tun"),
        ];
        let canvas = Canvas {
            width: Some(60),
            colour: false,
        };
        let drawn = page(&found).draw(canvas, &mut Memory::default());
        expect_test::expect![[r#"
            ◐ missing  kernel WireGuard  Operation not supported
                       for     tunnels
                       cost    wireguard-go does it in user space, at 2
                               cores per Gbit/s
                       remedy  install a kernel of 5.6 or newer
            ● yes      TUN               /dev/net/tun
        "#]]
        .assert_eq(&drawn);
        found[0].required = true;
        let drawn = page(&found).draw(canvas, &mut Memory::default());
        assert!(
            drawn.contains("○ MISSING") && drawn.contains("1 thing missing"),
            "{drawn}"
        );
    }
}
