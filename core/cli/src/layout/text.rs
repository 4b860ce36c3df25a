//! Text with tones, of known width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a piece of text means, which a colour may underline but never alone conveys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// Well.
    Good,
    /// Not quite well.
    Warning,
    /// Not well.
    Bad,
    /// Less important.
    Dim,
    /// More important.
    Strong,
}

impl Tone {
    /// The parameters of "select graphic rendition" (ECMA-48 section 8.3.117).
    const fn sgr(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
            Self::Dim => Some("2"),
            Self::Strong => Some("1"),
        }
    }
}

/// A line, or part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<Span>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    tone: Tone,
    text: String,
    /// It is not broken between its words.
    whole: bool,
}

fn harmless(c: char) -> char {
    let invisible = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if c.is_control() || invisible {
        '\u{fffd}'
    } else {
        c
    }
}

/// How many columns a text takes.
pub(crate) fn width_of(text: &str) -> usize {
    text.width()
}

impl Text {
    /// Text of one tone. Control characters, which could do anything to a terminal, and those
    /// which reorder or hide text become `�`: names and messages come from outside.
    pub(crate) fn toned(tone: Tone, text: impl AsRef<str>) -> Self {
        let text: String = text.as_ref().chars().map(harmless).collect();
        if text.is_empty() {
            Self::default()
        } else {
            let whole = false;
            Self(vec![Span { tone, text, whole }])
        }
    }

    /// Text of one tone that is not broken between its words: a command to be copied.
    pub(crate) fn whole(tone: Tone, text: impl AsRef<str>) -> Self {
        let mut text = Self::toned(tone, text);
        text.0.iter_mut().for_each(|span| span.whole = true);
        text
    }

    /// This, and something behind it.
    pub(crate) fn then(mut self, more: impl Into<Self>) -> Self {
        self.0.append(&mut more.into().0);
        self
    }

    /// How many columns it takes.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|span| width_of(&span.text)).sum()
    }

    /// The text itself.
    pub(crate) fn plain(&self) -> String {
        self.0.iter().map(|span| span.text.as_str()).collect()
    }

    /// At most `width` columns of it, with `…` in place of what is missing.
    pub(crate) fn truncated(&self, width: usize) -> Self {
        if self.width() <= width {
            return self.clone();
        }
        let Some(mut room) = width.checked_sub(1) else {
            return Self::default();
        };
        let mut kept = Self::default();
        for span in &self.0 {
            let (piece, _) = cut(&span.text, room);
            room -= width_of(piece);
            let whole = piece.len() == span.text.len();
            kept = kept.then(Self::toned(span.tone, piece));
            if !whole {
                break;
            }
        }
        if let Some(last) = kept.0.last_mut() {
            last.text.truncate(last.text.trim_end().len());
        }
        let tone = kept.0.last().map(|span| span.tone).unwrap_or_default();
        kept.then(Self::toned(tone, "…"))
    }

    /// Its words, each with its tone and whether a space comes before it. A word may consist of
    /// several pieces.
    pub(super) fn words(&self) -> Vec<Self> {
        let mut words = Vec::new();
        let mut word = Self::default();
        for span in &self.0 {
            if span.whole {
                word.0.push(span.clone());
                continue;
            }
            for (index, piece) in span.text.split(' ').enumerate() {
                if index > 0 {
                    words.push(std::mem::take(&mut word));
                }
                word = word.then(Self::toned(span.tone, piece));
            }
        }
        words.push(word);
        words
    }

    /// The part that fits in `width` columns, at least one character, and the rest.
    pub(super) fn broken(&self, width: usize) -> (Self, Self) {
        let (mut head, mut tail, mut room) = (Self::default(), Self::default(), width);
        for span in &self.0 {
            if !tail.0.is_empty() {
                tail = tail.then(Self::toned(span.tone, &span.text));
                continue;
            }
            let (mut piece, mut rest) = cut(&span.text, room);
            if piece.is_empty() && head.0.is_empty() {
                let first = span.text.chars().next().map_or(0, char::len_utf8);
                (piece, rest) = span.text.split_at(first);
            }
            room = room.saturating_sub(width_of(piece));
            head = head.then(Self::toned(span.tone, piece));
            tail = tail.then(Self::toned(span.tone, rest));
        }
        (head, tail)
    }

    /// Writes it, without spaces at the end.
    pub(super) fn paint(&self, colour: bool, out: &mut String) {
        let begin = out.len();
        for span in &self.0 {
            match span.tone.sgr() {
                Some(sgr) if colour => {
                    out.push_str(&format!("\x1b[{sgr}m{}\x1b[0m", span.text));
                }
                Some(_) | None => out.push_str(&span.text),
            }
        }
        let kept = out
            .get(begin..)
            .map_or(0, |line| line.trim_end_matches(' ').len());
        out.truncate(begin + kept);
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// Cuts a text behind as many characters as fit in `width` columns.
fn cut(text: &str, width: usize) -> (&str, &str) {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width {
            return text.split_at(at);
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_truncated(text: &str, width: usize, expected: &str) {
        let truncated = Text::from(text).truncated(width);
        assert_eq!(truncated.plain(), expected);
        assert!(truncated.width() <= width);
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        check_truncated("fibre", 5, "fibre");
        check_truncated("fibre", 4, "fib…");
        check_truncated("fibre to lte", 7, "fibre…");
        check_truncated("fibre", 1, "…");
        check_truncated("fibre", 0, "");
        check_truncated("東京支店", 5, "東京…");
        check_truncated("東京支店", 4, "東…");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(Text::from("a\x1b[2Jb\nc\u{9b}").plain(), "a�[2Jb�c�");
        assert_eq!(Text::from("a\u{202e}b").plain(), "a�b");
    }

    #[test]
    fn tones_are_written_only_where_colours_are_wanted() {
        let text = Text::toned(Tone::Bad, "○ down").then(", long ago ");
        let mut plain = String::new();
        text.paint(false, &mut plain);
        assert_eq!(plain, "○ down, long ago");
        let mut painted = String::new();
        text.paint(true, &mut painted);
        assert_eq!(painted, "\x1b[31m○ down\x1b[0m, long ago");
    }
}
