//! What is wrong with an intent, in the words of whoever has to put it right.

use std::fmt;

use patronus_model::intent::ObjectId;

/// Whether an intent can be carried out in spite of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but it probably does not say what was meant.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The object that it is about.
    pub object: ObjectId,
    /// The way to the value within the object, like `uplinks[0].slot`; empty for the whole object.
    pub field: String,
    /// Whether the intent can be carried out.
    pub severity: Severity,
    /// What is wrong.
    pub problem: String,
    /// What would be valid.
    pub help: String,
}

impl fmt::Display for Problem {
    /// One line: `site/berlin: uplinks[0].slot: 3 is taken by lte: use 4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}: {}", self.problem, self.help)
    }
}

impl std::error::Error for Problem {}

/// Collects findings about one object.
pub(crate) struct Findings<'a> {
    pub(crate) object: ObjectId,
    pub(crate) all: &'a mut Vec<Problem>,
}

impl Findings<'_> {
    pub(crate) fn error(
        &mut self,
        field: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, field.into(), problem.into(), help.into());
    }

    pub(crate) fn warning(
        &mut self,
        field: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, field.into(), problem.into(), help.into());
    }

    fn add(&mut self, severity: Severity, field: String, problem: String, help: String) {
        self.all.push(Problem {
            object: self.object.clone(),
            field,
            severity,
            problem,
            help,
        });
    }
}
