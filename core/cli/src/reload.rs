//! `patronus reload`.

use serde_json::Value;

use crate::answers::Reload;
use crate::client::Client;
use crate::layout::{Memory, Page, Text, Tone};
use crate::output;
use crate::trouble::Trouble;
use crate::views::diagnostics;

const MUTATION: &str = "mutation Reload {
    reload {
        applied summary
        changes { part name change keys } keptPrefixes openedPrefixes
        diagnostics { severity file line column field value problem help }
    }
}";

/// Has the daemon read its configuration file again.
pub(crate) async fn reload(client: &Client, json: bool) -> Result<u8, Trouble> {
    let mut data = client.reload(MUTATION).await?;
    let data = data.get_mut("reload").map(Value::take).unwrap_or_default();
    let answer: Reload = serde_json::from_value(data.clone())
        .map_err(|error| Trouble::NotUnderstood(error.to_string()))?;
    if json {
        output::write_json(&data)?;
    } else {
        output::write(&page(&answer).draw(output::canvas(), &mut Memory::default()))?;
    }
    Ok(if answer.applied { 0 } else { 1 })
}

fn page(answer: &Reload) -> Page {
    let mut page = Page::default();
    diagnostics::show(&answer.diagnostics, &mut page);
    if let Some(summary) = &answer.summary {
        page.line(format!("Since the last one: {summary}."));
    }
    page.line(if answer.applied {
        Text::toned(Tone::Good, "● The configuration is in force.")
    } else {
        Text::toned(
            Tone::Bad,
            "○ The configuration was refused. Nothing has changed.",
        )
    });
    page
}
