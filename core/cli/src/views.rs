//! What the commands show: for each, its query, and how the answer is laid out.

pub(crate) mod bfd;
pub(crate) mod bgp;
pub(crate) mod diagnostics;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod last_move;
pub(crate) mod paths;
pub(crate) mod policies;
pub(crate) mod routes;
pub(crate) mod sites;
pub(crate) mod status;
pub(crate) mod uplinks;

#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answers::Status;
use crate::layout::{Page, Text, Tone};
use crate::trouble::Trouble;

/// Something that can be shown, once or again and again.
pub(crate) trait View {
    /// What to ask.
    fn query(&self) -> &'static str;

    /// The variables of the query.
    fn variables(&self) -> Value {
        Value::Null
    }

    /// The part of the answer that `--json` gives.
    fn json(&self, data: Value) -> Result<Value, Trouble>;

    /// The answer laid out.
    fn render(&self, data: Value) -> Result<Shown, Trouble>;
}

/// An answer laid out.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// What is shown.
    pub(crate) page: Page,
    /// Whether what was asked about exists and is well.
    pub(crate) well: bool,
}

impl Shown {
    /// The exit status.
    pub(crate) const fn status(&self) -> u8 {
        if self.well { 0 } else { 1 }
    }
}

/// Part of the `data` of an answer, by its way through it.
fn part<T: DeserializeOwned>(mut data: Value, way: &str) -> Result<T, Trouble> {
    let part = data.pointer_mut(way).map(Value::take).unwrap_or_default();
    serde_json::from_value(part).map_err(|error| Trouble::NotUnderstood(format!("{way}: {error}")))
}

/// A state as a shape and a word, and where possible a colour.
fn state(status: Status) -> Text {
    let (tone, text) = match status {
        Status::Up => (Tone::Good, "● up"),
        Status::Degraded => (Tone::Warning, "◐ degraded"),
        Status::Down => (Tone::Bad, "○ down"),
        Status::Unknown => (Tone::Warning, "◌ unknown"),
        Status::Init => (Tone::Warning, "◌ init"),
    };
    Text::toned(tone, text)
}

/// The shape alone, where a word follows that says the same.
fn shape(status: Status) -> Text {
    let (tone, shape) = match status {
        Status::Up => (Tone::Good, "● "),
        Status::Degraded => (Tone::Warning, "◐ "),
        Status::Down => (Tone::Bad, "○ "),
        Status::Unknown | Status::Init => (Tone::Warning, "◌ "),
    };
    Text::toned(tone, shape)
}

/// Good or not, where there is nothing between.
const fn good(is: bool) -> Status {
    if is { Status::Up } else { Status::Down }
}

/// A list in a cell.
fn list(items: &[String]) -> Text {
    if items.is_empty() {
        Text::toned(Tone::Dim, crate::units::UNKNOWN)
    } else {
        items.join(", ").into()
    }
}

/// A text in a cell, where there is one.
fn known(text: Option<&str>) -> Text {
    text.map_or_else(|| Text::toned(Tone::Dim, crate::units::UNKNOWN), Text::from)
}
