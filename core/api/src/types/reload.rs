//! Reading the configuration file again.

use async_graphql::{Enum, SimpleObject};

use crate::request::{Diagnostic, ReloadOutcome};

/// What came of reading the configuration file again.
#[derive(SimpleObject)]
pub(crate) struct ReloadResult {
    /// Whether it is in force now. If not, nothing has changed.
    applied: bool,
    /// Errors and warnings in the order of the file.
    diagnostics: Vec<ConfigDiagnostic>,
}

impl From<ReloadOutcome> for ReloadResult {
    fn from(outcome: ReloadOutcome) -> Self {
        let (applied, found) = match outcome {
            ReloadOutcome::Applied(found) => (true, found),
            ReloadOutcome::Refused(found) => (false, found),
        };
        Self {
            applied,
            diagnostics: found.into_iter().map(ConfigDiagnostic::from).collect(),
        }
    }
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
