//! Reading the configuration file again.

use async_graphql::{Enum, SimpleObject};

use ipnet::IpNet;
use patronus_model::change;

use crate::request::{Diagnostic, ReloadOutcome};
use crate::words;

/// What came of reading the configuration file again.
#[derive(SimpleObject)]
pub(crate) struct ReloadResult {
    /// Whether it is in force now. If not, nothing has changed.
    applied: bool,
    /// Errors and warnings in the order of the file.
    diagnostics: Vec<ConfigDiagnostic>,
    /// What it says otherwise than the one before it.
    changes: Vec<ConfigChange>,
    /// What sites had announced that are not there any more: unreachable until somebody announces it
    /// again, or it is forgotten.
    kept_prefixes: Vec<String>,
    /// What the one before kept from leaving by an uplink in the clear, and nothing does any more.
    opened_prefixes: Vec<String>,
    /// The same in words; `null` when it was refused.
    summary: Option<String>,
}

impl From<ReloadOutcome> for ReloadResult {
    fn from(outcome: ReloadOutcome) -> Self {
        let (applied, found, changes) = match outcome {
            ReloadOutcome::Applied { warnings, changes } => (true, warnings, changes),
            ReloadOutcome::Refused(found) => (false, found, change::Changes::default()),
        };
        Self {
            applied,
            diagnostics: found.into_iter().map(ConfigDiagnostic::from).collect(),
            changes: ConfigChange::all(&changes.parts),
            kept_prefixes: prefixes(&changes.kept),
            opened_prefixes: prefixes(&changes.opened),
            summary: applied.then(|| words::reload::changes(&changes)),
        }
    }
}

/// Prefixes as they are written.
pub(crate) fn prefixes<'a>(all: impl IntoIterator<Item = &'a IpNet>) -> Vec<String> {
    all.into_iter().map(ToString::to_string).collect()
}

/// A part of a configuration that is not as it was.
#[derive(SimpleObject)]
pub(crate) struct ConfigChange {
    /// What kind of part it is.
    part: ConfigPart,
    /// Which, where there are several.
    name: Option<String>,
    /// What became of it.
    change: ChangeKind,
    /// The keys that are not as they were, in the words of the file, where the part has several and
    /// was there before.
    keys: Vec<&'static str>,
}

impl ConfigChange {
    pub(crate) fn all(changes: &[change::ConfigChange]) -> Vec<Self> {
        changes.iter().map(Self::from).collect()
    }
}

impl From<&change::ConfigChange> for ConfigChange {
    fn from(it: &change::ConfigChange) -> Self {
        Self {
            part: it.part.into(),
            name: (!it.name.is_empty()).then(|| it.name.clone()),
            change: match it.change {
                change::Change::Added => ChangeKind::Added,
                change::Change::Removed => ChangeKind::Removed,
                change::Change::Changed => ChangeKind::Changed,
            },
            keys: it.keys.clone(),
        }
    }
}

/// What became of a part of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum ChangeKind {
    /// It was not there before.
    Added,
    /// It is there no more.
    Removed,
    /// It was there, but otherwise.
    Changed,
}

/// A part of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case", remote = "change::ConfigPart")]
pub(crate) enum ConfigPart {
    /// What the site is called, and whether it is a hub.
    Own,
    /// The overlay's networks and our addresses.
    Overlay,
    /// An uplink, by its name.
    Uplink,
    /// A LAN, by its interface.
    Lan,
    /// Another site, by its id.
    Site,
    /// BGP but for the neighbours.
    Bgp,
    /// A BGP neighbour outside of the overlay, by its address.
    Neighbor,
    /// A traffic class, by its name.
    Class,
    /// The class of what no policy matches.
    DefaultClass,
    /// A policy, by its name.
    Policy,
    /// How paths are judged.
    Health,
    /// How our kernel objects are marked.
    Kernel,
}

/// Whether a file can be used in spite of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, but it probably does not say what was meant.
    Warning,
}

/// A finding about the configuration file.
#[derive(SimpleObject)]
pub(crate) struct ConfigDiagnostic {
    /// Whether it is an error or a warning.
    severity: Severity,
    /// The file.
    file: String,
    /// Line from 1; `null` when the whole file is meant.
    line: Option<u32>,
    /// Column in characters, from 1; `null` when the whole file is meant.
    column: Option<u32>,
    /// The way to the value, like `sites[1].uplinks[0].public_key`; empty for the whole file.
    field: String,
    /// The value as the file spells it, where that can be shown.
    value: Option<String>,
    /// What is wrong.
    problem: String,
    /// What would be valid.
    help: String,
}

impl From<Diagnostic> for ConfigDiagnostic {
    fn from(found: Diagnostic) -> Self {
        Self {
            severity: if found.warning {
                Severity::Warning
            } else {
                Severity::Error
            },
            file: found.file,
            line: found.place.map(|(line, _)| line),
            column: found.place.map(|(_, column)| column),
            field: found.field,
            value: found.value,
            problem: found.problem,
            help: found.help,
        }
    }
}
