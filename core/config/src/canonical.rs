//! One way to write a tree, so that the same tree is the same text.

use std::fmt::Write as _;

use crate::render::quoted;
use crate::tree::{Kind, Node, Word};

/// Longer lists and mappings are written over several lines.
const LINE: usize = 80;

/// The text of a mapping or list, in block style, ending with a line break. What was written without
/// quotes stays so, and comments, anchors and the style are gone.
pub(crate) fn write(node: &Node) -> String {
    let mut text = String::new();
    block(node, 0, &mut text);
    text
}

/// Writes a value which begins on a line of its own, or after the `- ` of a list.
fn block(node: &Node, depth: usize, text: &mut String) {
    match &node.kind {
        Kind::Map(entries) if !entries.is_empty() => {
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    indent(depth, text);
                }
                let _ = write!(text, "{}:", word(&of_key(&key.text)));
                after_key(value, depth, text);
            }
        }
        Kind::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    indent(depth, text);
                }
                text.push_str("- ");
                block_or_line(item, depth + 1, text);
            }
        }
        Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => {
            let _ = writeln!(text, "{}", flow(node));
        }
    }
}

fn after_key(value: &Node, depth: usize, text: &mut String) {
    let line = flow(value);
    if fits(&line, depth) || !is_long(value) {
        let _ = writeln!(text, " {line}");
        return;
    }
    text.push('\n');
    indent(depth + 1, text);
    block(value, depth + 1, text);
}

fn block_or_line(value: &Node, depth: usize, text: &mut String) {
    let line = flow(value);
    // Mappings in lists are read entry by entry.
    if matches!(value.kind, Kind::Map(_)) && is_long(value) || !fits(&line, depth) && is_long(value)
    {
        block(value, depth, text);
    } else {
        let _ = writeln!(text, "{line}");
    }
}

fn fits(line: &str, depth: usize) -> bool {
    line.len() + depth * 2 <= LINE
}

/// Whether it has parts that could be written on several lines.
fn is_long(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(_) => false,
        Kind::List(items) => !items.is_empty(),
        Kind::Map(entries) => !entries.is_empty(),
    }
}

fn indent(depth: usize, text: &mut String) {
    let _ = write!(text, "{:width$}", "", width = depth * 2);
}

fn flow(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(scalar) => word(scalar),
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item)).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Map(entries) => {
            let entry = |(key, value): &(crate::tree::Key, std::rc::Rc<Node>)| {
                format!("{}: {}", word(&of_key(&key.text)), flow(value))
            };
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A key as a scalar. Keys are texts, whatever they look like.
fn of_key(text: &str) -> Word {
    Word {
        text: text.to_owned(),
        plain: true,
    }
}

/// A scalar, in quotes unless it is surely the same without.
fn word(word: &Word) -> String {
    let text = word.text.as_str();
    let inner = |c: char| c.is_ascii_alphanumeric() || "_./-+% ".contains(c);
    let plain_looking = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text.chars().all(inner)
        && !text.ends_with(' ');
    // What was in quotes needs none if it is text without them as well.
    let same = word.plain || {
        let bare = Word {
            text: word.text.clone(),
            plain: true,
        };
        bare.taken() == crate::tree::Taken::Text
    };
    if plain_looking && same {
        text.to_owned()
    } else if word.plain && word.taken() != crate::tree::Taken::Text {
        // A number, truth value or null that is written oddly, like `~` or `-1`.
        text.to_owned()
    } else {
        quoted(text)
    }
}
