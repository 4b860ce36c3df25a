//! What is wrong with a file, in the words of whoever has to put it right.

use std::fmt;

use crate::place::Place;

/// Whether a file can be used in spite of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, but it probably does not say what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One finding: where, which value, what is wrong with it, and what would be valid.
///
/// Values of passwords are never part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it makes the file unusable.
    pub severity: Severity,
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The way to the value, like `sites[1].uplinks[0].public_key`; empty for the whole file.
    pub field: String,
    /// The value as the file spells it, shortened; `None` where there is none, or where it is or may
    /// hold a password.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What would be valid.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    /// One line: `config.yaml:12:10: sites[0].asn: 0 is not an ASN: use 1 to 4294967294`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}: {}", self.problem, self.help)
    }
}

impl std::error::Error for Diagnostic {}

/// Collects findings, so that all are reported at once.
pub(crate) struct Sink {
    file: String,
    found: Vec<Diagnostic>,
}

impl Sink {
    /// More findings than anybody reads; bounds the memory that a hostile file can cost.
    const MOST: usize = 1000;

    pub(crate) fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            found: Vec::new(),
        }
    }

    /// Adds an error.
    pub(crate) fn error(
        &mut self,
        place: &Place,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, place, problem.into(), help.into());
    }

    /// Adds a warning.
    pub(crate) fn warning(
        &mut self,
        place: &Place,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, place, problem.into(), help.into());
    }

    fn add(&mut self, severity: Severity, place: &Place, problem: String, help: String) {
        // The first error is always kept, or the file would pass for a good one.
        let first_error = severity == Severity::Error && !self.failed();
        if self.found.len() >= Self::MOST && !first_error {
            return;
        }
        self.found.push(Diagnostic {
            severity,
            file: self.file.clone(),
            line: place.position.line,
            column: place.position.column,
            field: place.path.to_string(),
            value: place.value.clone(),
            problem,
            help,
        });
    }

    /// Adds something that would be valid too to the findings from the `from`th on.
    pub(crate) fn or_valid(&mut self, from: usize, more: &str) {
        for diagnostic in self.found.iter_mut().skip(from) {
            diagnostic.help.push_str(more);
        }
    }

    /// How many findings there are.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether there is an error among the findings.
    pub(crate) fn failed(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    /// Everything found, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|d| (d.line, d.column, d.severity));
        self.found.dedup();
        self.found
    }
}
