//! YAML 1.2 text to a tree in which every value knows where it stands and how it was spelled.
//!
//! The tree is built from parser events without recursion, and within limits, so that no text can
//! exhaust the stack or, through aliases of aliases, the memory.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::diagnostic::Sink;
use crate::place::{Path, Place, Position};

/// A value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Word),
    List(Vec<Rc<Node>>),
    Map(Vec<(Key, Rc<Node>)>),
}

/// A scalar as it was spelled.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Written without quotes, so that YAML takes it for a number, a truth value or null if it
    /// looks like one.
    pub(crate) plain: bool,
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) position: Position,
}

/// Text beyond this is not a configuration: 8,000 sites with two uplinks each take some 6 MB. Whoever
/// reads a file need not read more than one byte beyond it.
pub const MOST_BYTES: usize = 32 << 20;

/// Deeper than anything that the format knows.
const MOST_DEPTH: usize = 32;

/// Values in a file after its aliases are written out.
const MOST_NODES: usize = 2_000_000;

/// Reads the one document of a text.
///
/// Reports why not, and returns `None`, when it is not YAML. Duplicate keys are reported too, but
/// the first of them is kept and the rest of the file read.
pub(crate) fn read(text: &str, sink: &mut Sink) -> Option<Rc<Node>> {
    let root = documents(text, Builder::default(), sink)?
        .into_iter()
        .next();
    if root.is_none() {
        let help = "begin with \"version: 1\"; docs/examples/minimal.yaml shows the least";
        sink.error(&Place::file(Position::START), "the file is empty", help);
    }
    root
}

/// Reads all documents of a text, of which there may be none, like [`read`].
pub(crate) fn read_all(text: &str, sink: &mut Sink) -> Option<Vec<Rc<Node>>> {
    let builder = Builder {
        many: true,
        ..Builder::default()
    };
    documents(text, builder, sink)
}

fn documents(text: &str, mut builder: Builder, sink: &mut Sink) -> Option<Vec<Rc<Node>>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MOST_BYTES {
        // How much it has is not known: nobody reads on.
        let problem = format!("the file has more than {MOST_BYTES} bytes");
        let help = format!(
            "a configuration has at most {} MiB; is this the right file?",
            MOST_BYTES >> 20
        );
        sink.error(&Place::file(Position::START), problem, help);
        return None;
    }
    if let Some((position, control)) = first_control(text) {
        let problem = format!(
            "the control character U+{:04X} is not text",
            u32::from(control)
        );
        let help = "remove it, or write it as \\x.. in double quotes; is this the right file?";
        sink.error(&Place::file(position), problem, help);
        return None;
    }
    let result = builder.run(text);
    for (place, problem) in builder.duplicates {
        sink.error(&place, problem, "keep one of them");
    }
    match result {
        Ok(()) => Some(builder.documents),
        Err(fault) => {
            sink.error(&Place::file(fault.position), fault.problem, fault.help);
            None
        }
    }
}

/// The first character that YAML 1.2 (section 5.1) does not allow in a text.
fn first_control(text: &str) -> Option<(Position, char)> {
    let is_forbidden = |c: &char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let (at, control) = text.char_indices().find(|(_, c)| is_forbidden(c))?;
    let before = text.get(..at).unwrap_or_default();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
    let position = Position {
        line: number(before.matches('\n').count()),
        column: number(before.chars().rev().take_while(|c| *c != '\n').count()),
    };
    Some((position, control))
}

/// Why a text is not a tree.
struct Fault {
    position: Position,
    problem: String,
    help: String,
}

fn fault(position: Position, problem: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault {
        position,
        problem: problem.into(),
        help: help.into(),
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        let position = position(error.marker());
        let info = error.info();
        let names_tabs = |word| matches!(word, "tab" | "tabs");
        let help = if info.split_whitespace().any(names_tabs) {
            "indent with blanks; YAML does not allow tabs"
        } else if info.contains("while parsing node") || info.contains("anchor") {
            "an alias (*name) needs an anchor (&name) before it; put text with * or & in quotes"
        } else {
            "check the indentation, quotes and brackets here and in the line above"
        };
        fault(position, format!("not valid YAML: {info}"), help)
    }
}

fn position(marker: &saphyr_parser::Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position {
        line: number(marker.line()).max(1),
        column: number(marker.col()).saturating_add(1),
    }
}

#[derive(Default)]
struct Builder {
    frames: Vec<Frame>,
    /// Finished values that have an anchor, and how many values they consist of.
    anchors: HashMap<usize, (Rc<Node>, usize)>,
    documents: Vec<Rc<Node>>,
    /// More than one document is allowed.
    many: bool,
    nodes: usize,
    duplicates: Vec<(Place, String)>,
}

/// A list or mapping whose end has not come yet.
struct Frame {
    node: Node,
    /// A mapping only: the key whose value comes next.
    key: Option<Key>,
    /// A mapping only: the keys that it has.
    keys: HashSet<String>,
    anchor: usize,
    /// [`Builder::nodes`] when it began.
    before: usize,
    path: Path,
}

impl Builder {
    fn run(&mut self, text: &str) -> Result<(), Fault> {
        let mut parser = Parser::new(StrInput::new(text));
        while let Some(event) = parser.next_event() {
            let (event, span) = event?;
            self.event(event, span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = position(&span.start);
        match event {
            Event::DocumentStart(_) if !self.many && !self.documents.is_empty() => Err(fault(
                at,
                "a second document begins here",
                "a configuration is one document; remove the \"---\"",
            )),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_text_tag(tag.as_deref(), at)?;
                let text = text.into_owned();
                let kind = Kind::Scalar(Word { text, plain });
                self.scalar(Node { position: at, kind }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at, "seq")?;
                self.open(Kind::List(Vec::new()), at, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at, "map")?;
                self.open(Kind::Map(Vec::new()), at, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        self.count(1, node.position)?;
        if self.expects_key() {
            self.key(node);
            return Ok(());
        }
        self.finish(node, anchor, 1);
        Ok(())
    }

    fn expects_key(&self) -> bool {
        self.frames
            .last()
            .is_some_and(|f| matches!(f.node.kind, Kind::Map(_)) && f.key.is_none())
    }

    fn key(&mut self, node: Node) {
        let (Some(frame), Kind::Scalar(word)) = (self.frames.last_mut(), node.kind) else {
            return;
        };
        let text = word.text;
        if !frame.keys.insert(text.clone()) {
            let place = Place {
                position: node.position,
                path: frame.path.key(text.clone()),
                value: None,
            };
            let problem = format!(
                "the key {text:?} is here twice{}",
                first(&frame.node, &text)
            );
            self.duplicates.push((place, problem));
        }
        frame.key = Some(Key {
            text,
            position: node.position,
        });
    }

    fn open(&mut self, kind: Kind, at: Position, anchor: usize) -> Result<(), Fault> {
        if self.expects_key() {
            return Err(fault(at, "a key is a list or mapping", "use a word as key"));
        }
        if self.frames.len() >= MOST_DEPTH {
            let problem = format!("nested more than {MOST_DEPTH} deep");
            return Err(fault(at, problem, "no field is nested so deeply"));
        }
        let before = self.nodes;
        self.count(1, at)?;
        let path = self.path();
        self.frames.push(Frame {
            node: Node { position: at, kind },
            key: None,
            keys: HashSet::new(),
            anchor,
            before,
            path,
        });
        Ok(())
    }

    /// The path of the value that comes next.
    fn path(&self) -> Path {
        let Some(frame) = self.frames.last() else {
            return Path::default();
        };
        match (&frame.node.kind, &frame.key) {
            (Kind::List(items), _) => frame.path.index(items.len()),
            (_, Some(key)) => frame.path.key(key.text.clone()),
            (_, None) => frame.path.clone(),
        }
    }

    fn close(&mut self) -> Result<(), Fault> {
        if let Some(frame) = self.frames.pop() {
            let size = self.nodes.saturating_sub(frame.before);
            self.finish(frame.node, frame.anchor, size);
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Fault> {
        if self.expects_key() {
            return Err(fault(at, "a key is an alias", "write the key out"));
        }
        let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
            let help = "an alias can only repeat what is complete";
            return Err(fault(at, "this alias is part of what it repeats", help));
        };
        self.count(size, at)?;
        self.put(node);
        Ok(())
    }

    fn count(&mut self, more: usize, at: Position) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MOST_NODES {
            let problem = format!("more than {MOST_NODES} values");
            return Err(fault(at, problem, "repeat fewer aliases"));
        }
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize, size: usize) {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, (Rc::clone(&node), size));
        }
        self.put(node);
    }

    fn put(&mut self, node: Rc<Node>) {
        let Some(frame) = self.frames.last_mut() else {
            self.documents.push(node);
            return;
        };
        match &mut frame.node.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(entries) => {
                let Some(key) = frame.key.take() else { return };
                entries.push((key, node));
            }
            Kind::Scalar(_) => {}
        }
    }
}

/// Where a mapping has a key already.
fn first(node: &Node, text: &str) -> String {
    let Kind::Map(entries) = &node.kind else {
        return String::new();
    };
    match entries.iter().find(|(key, _)| key.text == text) {
        Some((key, _)) => format!(", first in line {}", key.position.line),
        None => String::new(),
    }
}

/// Whether a scalar's tag makes it text whatever it looks like.
fn is_text_tag(tag: Option<&Tag>, at: Position) -> Result<bool, Fault> {
    let Some(tag) = tag else { return Ok(false) };
    if tag.handle.is_empty() && tag.suffix == "!"
        || tag.is_yaml_core_schema() && tag.suffix == "str"
    {
        return Ok(true);
    }
    refuse_tag(Some(tag), at, "")?;
    Ok(false)
}

/// A tag as the file spells it.
fn shown_tag(tag: &Tag) -> String {
    let handle = if tag.is_yaml_core_schema() {
        "!!"
    } else {
        &tag.handle
    };
    format!("{handle}{}", tag.suffix).chars().take(60).collect()
}

fn refuse_tag(tag: Option<&Tag>, at: Position, allowed: &str) -> Result<(), Fault> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == allowed) => Err(fault(
            at,
            format!("the tag {:?} means nothing here", shown_tag(tag)),
            "remove it; put text that begins with \"!\" in quotes",
        )),
        _ => Ok(()),
    }
}

impl Node {
    /// The value that a default, written as in a file, stands for.
    pub(crate) fn of_default(text: &str) -> Self {
        let kind = if text == "{}" {
            Kind::Map(Vec::new())
        } else {
            Kind::Scalar(Word {
                text: text.to_owned(),
                plain: true,
            })
        };
        Self {
            position: Position::START,
            kind,
        }
    }

    /// The spelling as a message shows it; `None` for lists and mappings.
    pub(crate) fn shown(&self) -> Option<String> {
        match &self.kind {
            // A line that slipped into another one's value may hold a password.
            Kind::Scalar(word) if !word.text.contains("password") => Some(word.shown()),
            Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => None,
        }
    }
}

/// What YAML 1.2's core schema takes a plain scalar for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Null,
    Truth(bool),
    Number,
    Text,
}

impl Word {
    /// What YAML takes it for.
    pub(crate) fn taken(&self) -> Taken {
        if !self.plain {
            return Taken::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Taken::Null,
            "true" | "True" | "TRUE" => Taken::Truth(true),
            "false" | "False" | "FALSE" => Taken::Truth(false),
            text if is_number(text) => Taken::Number,
            _ => Taken::Text,
        }
    }

    fn shown(&self) -> String {
        let long = self.text.chars().count() > 60;
        let short: String = self.text.chars().take(60).collect();
        let dots = if long { "…" } else { "" };
        let odd = self.text.is_empty() || self.text.chars().any(char::is_control);
        if self.plain && !odd {
            format!("{short}{dots}")
        } else {
            format!("{:?}", format!("{short}{dots}"))
        }
    }
}

/// Whether YAML's core schema takes a plain scalar for a number.
fn is_number(text: &str) -> bool {
    let digits = |t: &str, radix: u32| !t.is_empty() && t.chars().all(|c| c.is_digit(radix));
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // Rust's grammar of floats is YAML's, but for the words that it knows.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.parse::<f64>().is_ok()
}
