//! Paragraphs.

use super::text::Text;

/// The least room for words that is worth wrapping into; where there is less, they begin on a line
/// of their own.
const NARROWEST: usize = 20;

/// By how much words on lines of their own are indented.
const INDENT: usize = 4;

/// A paragraph whose first line begins with `lead`, while the others are indented by its width.
pub(super) fn hanging(lead: &Text, text: &Text, width: usize) -> Vec<Text> {
    let beside = width.saturating_sub(lead.width());
    if beside < NARROWEST && beside < text.width() {
        let lead = lead.truncated(width);
        return std::iter::once(lead).chain(below(text, width)).collect();
    }
    hung(lead.clone(), text, width)
}

/// A paragraph that belongs to the line above it.
pub(super) fn below(text: &Text, width: usize) -> Vec<Text> {
    hung(Text::from(" ".repeat(INDENT)), text, width)
}

fn hung(lead: Text, text: &Text, width: usize) -> Vec<Text> {
    let indent = lead.width();
    let room = width.saturating_sub(indent).max(1);
    let mut lines = wrapped(text, room).into_iter();
    let first = lead.then(lines.next().unwrap_or_default());
    let rest = lines.map(|line| Text::from(" ".repeat(indent)).then(line));
    std::iter::once(first).chain(rest).collect()
}

/// Breaks a text between words; a word that is longer than a line is cut.
fn wrapped(text: &Text, room: usize) -> Vec<Text> {
    let mut lines = Vec::new();
    let mut line = Text::default();
    let mut begun = false;
    for mut word in with_units(text.words()) {
        if begun && line.width() + 1 + word.width() <= room {
            line = line.then(" ").then(word);
            continue;
        }
        if begun {
            lines.push(std::mem::take(&mut line));
        }
        while word.width() > room {
            let (head, tail) = word.broken(room);
            lines.push(head);
            word = tail;
        }
        line = word;
        begun = true;
    }
    lines.push(line);
    lines
}

/// What stays on the line of the number before it.
const UNITS: [&str; 9] = [
    "%", "ms", "s", "min", "h", "d", "kbit/s", "Mbit/s", "Gbit/s",
];

/// Joins numbers with their units, so that no line begins with `%`.
fn with_units(words: Vec<Text>) -> Vec<Text> {
    let mut joined: Vec<Text> = Vec::new();
    for word in words {
        let text = word.plain();
        let unit = UNITS.contains(&text.trim_end_matches([',', ';', ':', '.', ')']));
        match joined.last_mut() {
            Some(number) if unit && number.plain().ends_with(|c: char| c.is_ascii_digit()) => {
                *number = std::mem::take(number).then(" ").then(word);
            }
            Some(_) | None => joined.push(word),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lead: &str, text: &str, width: usize, expected: &[&str]) {
        let lines = hanging(&lead.into(), &text.into(), width);
        let lines: Vec<String> = lines.iter().map(Text::plain).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn lines_break_between_words_and_hang_below_the_lead() {
        check("", "short", 80, &["short"]);
        check("", "", 80, &[""]);
        check(
            "because ",
            "loss 2.1 % is above the limit",
            28,
            &["because loss 2.1 % is above", "        the limit"],
        );
        check(
            "",
            "several   spaces  stay",
            80,
            &["several   spaces  stay"],
        );
    }

    #[test]
    fn a_number_keeps_its_unit() {
        let text = "the loss is now 2.1 %, after 12 s";
        check("", text, 20, &["the loss is now", "2.1 %, after 12 s"]);
    }

    #[test]
    fn a_lead_that_leaves_no_room_stands_alone() {
        check(
            "rejected  fibre → lte  ",
            "up, but ranked second",
            30,
            &["rejected  fibre → lte  ", "    up, but ranked second"],
        );
        check(
            "rejected  fibre → lte  ",
            "down",
            30,
            &["rejected  fibre → lte  down"],
        );
    }

    #[test]
    fn a_word_that_is_longer_than_a_line_is_cut() {
        check(
            "",
            "0123456789abcdefghijKLM n",
            20,
            &["0123456789abcdefghij", "KLM n"],
        );
    }
}
