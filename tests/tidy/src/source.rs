//! Rust source as words and signs, without comments and without what literals contain.

/// A word (a name, a keyword or a number) or a sign, and the line that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(in_word)
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Cuts source up. `::` is one sign; all others are single characters.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, is_token) = match skipped(rest) {
            Some(length) => (length, false),
            None if in_word(first) => (rest.find(|c| !in_word(c)).unwrap_or(rest.len()), true),
            None if rest.starts_with("::") => (2, true),
            None => (first.len_utf8(), !first.is_whitespace()),
        };
        let (text, after) = rest.split_at(length);
        if is_token {
            found.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

/// The length of a comment or literal that stands here.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix);
        after.is_some_and(|after| after.starts_with(['"', '\'', '#']))
    })?;
    let body = rest.get(prefix.len()..)?;
    let length = if prefix.ends_with('r') {
        raw_string(body)
    } else if body.starts_with('"') {
        Some(quoted(body, '"'))
    } else if body.starts_with('\'') {
        character(body)
    } else {
        None
    };
    length.map(|length| prefix.len() + length)
}

/// They nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        let step = match here {
            _ if here.starts_with("/*") => {
                depth += 1;
                2
            }
            _ if here.starts_with("*/") => {
                depth -= 1;
                2
            }
            _ => here.chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn raw_string(body: &str) -> Option<usize> {
    let hashes = body.find(|c| c != '#')?;
    // `r#name` is a word.
    let inside = body.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).unwrap_or(inside.len());
    Some((hashes + 1 + length + end.len()).min(body.len()))
}

fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    body.len()
}

/// `'a'` and `'\n'`, but not the lifetime `'a`.
fn character(body: &str) -> Option<usize> {
    let mut chars = body.chars().skip(1);
    let (first, second) = (chars.next()?, chars.next()?);
    (first == '\\' || second == '\'').then(|| quoted(body, '\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &str) {
        let all = tokens(source);
        let words: Vec<&str> = all.iter().map(|token| token.text).collect();
        assert_eq!(words.join(" "), expected, "{source}");
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check("let s = \"std::fs \\\" x\"; y", "let s = ; y");
        check("r#\"a \" b\"# c", "c");
        check("br\"\\\" c", "c");
        check("b'x' 'y' '\\'' '\"' z", "z");
        check("c\"x\" y", "y");
        check("\"ends nowhere", "");
    }

    #[test]
    fn what_looks_like_them_is_kept() {
        check(
            "fn f<'a>(x: &'a str) {}",
            "fn f < ' a > ( x : & ' a str ) { }",
        );
        check("r#type b c", "r # type b c");
        check("a::b / c", "a :: b / c");
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let found = tokens("/* one\ntwo */ \"three\n\" four\nfive");
        let lines: Vec<usize> = found.iter().map(|token| token.line).collect();
        assert_eq!(lines, [3, 4]);
    }
}
