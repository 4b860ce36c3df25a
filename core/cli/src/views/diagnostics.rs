//! What is wrong with a configuration file.

use crate::answers::{Diagnostic, Severity};
use crate::layout::{Page, Text, Tone};
use crate::units;

/// Findings that are shown: what fits the memory of a terminal, and more than anybody corrects
/// before looking again.
const MOST: usize = 50;

/// Adds the findings, and how many there are.
pub(crate) fn show(found: &[Diagnostic], page: &mut Page) {
    for diagnostic in found.iter().take(MOST) {
        one(diagnostic, page);
    }
    if let Some(more) = found.len().checked_sub(MOST).filter(|more| *more > 0) {
        page.line(format!("… and {more} more: --json shows all"));
    }
    if !found.is_empty() {
        page.line(summary(found));
    }
}

/// Whether any of them is an error.
pub(crate) fn has_errors(found: &[Diagnostic]) -> bool {
    found
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error)
}

fn one(diagnostic: &Diagnostic, page: &mut Page) {
    let (tone, word) = match diagnostic.severity {
        Severity::Error => (Tone::Bad, "○ error    "),
        Severity::Warning => (Tone::Warning, "◐ warning  "),
    };
    let place = match (diagnostic.line, diagnostic.column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}", diagnostic.file),
        _ => diagnostic.file.clone(),
    };
    let field = match (diagnostic.field.is_empty(), &diagnostic.value) {
        (true, _) => String::new(),
        (false, Some(value)) => format!("  {}: {value}", diagnostic.field),
        (false, None) => format!("  {}", diagnostic.field),
    };
    // A finding that is not about a place in a file begins with the problem.
    let title = Text::toned(Tone::Strong, place).then(field);
    let problem = Text::from(diagnostic.problem.clone());
    let help = Text::toned(Tone::Dim, &diagnostic.help);
    let lines = [title, problem, help]
        .into_iter()
        .filter(|line| line.width() > 0);
    for (at, line) in lines.enumerate() {
        let lead = if at == 0 {
            Text::toned(tone, word)
        } else {
            " ".repeat(11).into()
        };
        page.hanging(lead, line);
    }
}

fn summary(found: &[Diagnostic]) -> String {
    let count = |severity| {
        let n = found
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count();
        u64::try_from(n).unwrap_or(u64::MAX)
    };
    let errors = units::count(count(Severity::Error), "error");
    format!(
        "{errors}, {}",
        units::count(count(Severity::Warning), "warning")
    )
}
