//! One line of FRR configuration, which may hold a password and therefore prints without it.

use std::borrow::Cow;
use std::fmt;

use zeroize::Zeroizing;

/// What stands in for a secret wherever text leaves this crate for a log or an error.
const HIDDEN: &str = "…";

/// Words after which FRR's configuration language carries a secret.
const SECRET_WORDS: [&str; 2] = ["password", "key-string"];

/// One line of configuration without indentation: words joined by single blanks.
///
/// `Debug` and `Display` hide passwords; [`Line::expose`] does not. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Line(Zeroizing<String>);

impl Line {
    /// Takes text over, trimming it; blanks inside are left as FRR printed them.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    /// The line as FRR is to read it. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The words of the line.
    pub(crate) fn words(&self) -> Vec<&str> {
        self.0.split_ascii_whitespace().collect()
    }

    /// Whether the line is `prefix` or begins with it and a blank.
    pub(crate) fn is(&self, prefix: &str) -> bool {
        self.0
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", redact(&self.0))
    }
}

/// The text without the rest of every line that follows a word which announces a secret.
///
/// Descriptions that happen to contain such a word lose their end too; that is the safe mistake.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    if !SECRET_WORDS.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<String> = text.split('\n').map(redact_line).collect();
    Cow::Owned(lines.join("\n"))
}

fn redact_line(line: &str) -> String {
    let end = SECRET_WORDS
        .iter()
        .filter_map(|word| line.find(word).map(|at| at + word.len()))
        .min()
        .filter(|end| line.get(*end..).is_some_and(|rest| !rest.trim().is_empty()));
    match end.and_then(|end| line.get(..end)) {
        Some(head) => format!("{head} {HIDDEN}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let line = Line::new(" neighbor 10.0.0.2 password s3cret");
        assert_eq!(line.to_string(), "neighbor 10.0.0.2 password …");
        assert!(!format!("{line:?}").contains("s3cret"));
        assert_eq!(
            redact("% Unknown command: neighbor fd00::1 password s3cret extra\nnext line"),
            "% Unknown command: neighbor fd00::1 password …\nnext line"
        );
    }

    #[test]
    fn text_without_a_secret_is_left_alone() {
        assert!(matches!(
            redact("neighbor 10.0.0.2 remote-as 1"),
            Cow::Borrowed(_)
        ));
        assert_eq!(redact("neighbor X password"), "neighbor X password");
    }
}
