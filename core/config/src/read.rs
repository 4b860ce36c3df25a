//! From a tree to the types of the file. Every part is read whatever is wrong with the others, so
//! that all errors are reported at once.

use std::rc::Rc;

use crate::diagnostic::Sink;
use crate::place::Place;
use crate::shape::{ScalarShape, Shape};
use crate::tree::{Kind, Node, Taken, Word};

/// A type that a value in the file can be read as.
pub(crate) trait Read: Sized {
    /// What the value may look like.
    const SHAPE: &'static Shape;

    /// Reads a value, or reports why not.
    fn read(node: &Node, place: &Place, sink: &mut Sink) -> Option<Self>;
}

/// A type that a word or number in the file can be read as.
pub(crate) trait Scalar: Sized {
    /// What it may look like.
    const SHAPE: ScalarShape;

    /// Parses it.
    fn parse(word: &Word) -> Result<Self, Fault>;
}

/// Why a scalar is not what it should be.
pub(crate) struct Fault {
    /// What comes after the value: "has host bits set".
    problem: String,
    pub(crate) help: String,
}

impl Fault {
    pub(crate) fn new(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            help: help.into(),
        }
    }

    /// It is not a `T`.
    pub(crate) fn not<T: Scalar>() -> Self {
        Self::new(format!("is not {}", T::SHAPE.title), T::SHAPE.valid())
    }
}

impl Word {
    /// The text, if YAML takes it for text.
    pub(crate) fn as_text(&self) -> Result<&str, Fault> {
        let taken = match self.taken() {
            Taken::Text => return Ok(&self.text),
            Taken::Null => return Err(Fault::new("is no value", "give one, or remove the key")),
            Taken::Number => "a number",
            Taken::Truth(_) => "true or false",
        };
        let problem = format!("is {taken} to YAML, where text is meant");
        Err(Fault::new(problem, "put it in quotes"))
    }

    /// The number, if it is a whole one and fits.
    pub(crate) fn as_integer(&self) -> Option<u64> {
        if self.taken() != Taken::Number {
            return None;
        }
        integer(&self.text)
    }
}

/// A whole number as YAML writes it.
pub(crate) fn integer(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok();
    }
    text.parse().ok()
}

impl<T: Scalar> Read for T {
    const SHAPE: &'static Shape = &Shape::Scalar(&<T as Scalar>::SHAPE);

    fn read(node: &Node, place: &Place, sink: &mut Sink) -> Option<Self> {
        let shape = &<T as Scalar>::SHAPE;
        let Kind::Scalar(word) = &node.kind else {
            let what = kind_of(node);
            sink.error(
                place,
                format!("{what} is not {}", shape.title),
                shape.valid(),
            );
            return None;
        };
        match T::parse(word) {
            Ok(value) => Some(value),
            Err(fault) => {
                let shown = if shape.secret { "this" } else { place.shown() };
                sink.error(place, format!("{shown} {}", fault.problem), fault.help);
                None
            }
        }
    }
}

fn kind_of(node: &Node) -> &'static str {
    match &node.kind {
        Kind::Scalar(_) => "this",
        Kind::List(_) => "a list",
        Kind::Map(_) => "a mapping",
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T: Read> At<T> {
    /// Reads a value that stands at a node.
    pub(crate) fn read(node: &Node, mut place: Place, sink: &mut Sink) -> Option<Self> {
        place.position = node.position;
        place.value = if is_secret(T::SHAPE) {
            None
        } else {
            node.shown()
        };
        if matches!(&node.kind, Kind::Scalar(word) if word.taken() == Taken::Null) {
            sink.error(&place, "there is no value", "give one, or remove the key");
            return None;
        }
        let value = T::read(node, &place, sink)?;
        Some(Self { value, place })
    }
}

/// Whether a value must not be shown: a password, or a text where a mapping should be, which may
/// be a line like `password:secret` whose blank was forgotten.
fn is_secret(shape: &Shape) -> bool {
    match shape {
        Shape::Scalar(scalar) => scalar.secret,
        Shape::Section(_) | Shape::Table(_) => true,
        Shape::List(_) | Shape::OneOrMany(_) | Shape::Either(..) => false,
    }
}

/// What a key of a section came to.
pub(crate) enum Field<T> {
    /// It was given.
    Given(At<T>),
    /// It was not, and this is its default.
    Default(T),
    /// It was not, and either need not be or its absence has been reported.
    Missing,
    /// It was given, but not validly, which has been reported.
    Invalid,
}

impl<T> Field<T> {
    /// A field for what comes of the value.
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Given(At { value, place }) => {
                let value = with(value);
                Field::Given(At { value, place })
            }
            Self::Default(value) => Field::Default(with(value)),
            Self::Missing => Field::Missing,
            Self::Invalid => Field::Invalid,
        }
    }

    /// The value, given or by default.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Self::Given(at) => Some(&at.value),
            Self::Default(value) => Some(value),
            Self::Missing | Self::Invalid => None,
        }
    }

    /// The value, if it was given.
    pub(crate) fn given(&self) -> Option<&At<T>> {
        match self {
            Self::Given(at) => Some(at),
            Self::Default(_) | Self::Missing | Self::Invalid => None,
        }
    }

    /// Where the value stands, or else its surroundings.
    pub(crate) fn place<'a>(&'a self, or: &'a Place) -> &'a Place {
        self.given().map_or(or, |at| &at.place)
    }

    /// Whether it was given, be it validly or not.
    pub(crate) fn is_present(&self) -> bool {
        matches!(self, Self::Given(_) | Self::Invalid)
    }

    /// The value, or another one where it was not given; `None` where it is invalid.
    pub(crate) fn or(&self, default: impl FnOnce() -> Option<T>) -> Option<T>
    where
        T: Clone,
    {
        match self {
            Self::Missing => default(),
            Self::Given(_) | Self::Default(_) | Self::Invalid => self.value().cloned(),
        }
    }

    /// The value if there is one; `Some(None)` where it is absent, `None` where it is invalid.
    pub(crate) fn optional(&self) -> Option<Option<T>>
    where
        T: Clone,
    {
        match self {
            Self::Missing => Some(None),
            Self::Given(_) | Self::Default(_) => Some(self.value().cloned()),
            Self::Invalid => None,
        }
    }
}

/// A list. Items that could not be read are left out, and their errors reported.
pub(crate) struct List<T> {
    items: Vec<At<T>>,
    /// How many items were written, readable or not.
    written: usize,
}

impl<T> List<T> {
    /// A list of what comes of the items.
    pub(crate) fn map<U>(self, with: impl FnMut(At<T>) -> At<U>) -> List<U> {
        List {
            items: self.items.into_iter().map(with).collect(),
            written: self.written,
        }
    }

    /// The items.
    pub(crate) fn into_items(self) -> Vec<At<T>> {
        self.items
    }
}

impl<T> Field<List<T>> {
    /// The items; none where the list is absent.
    pub(crate) fn items(&self) -> &[At<T>] {
        self.value().map_or(&[], |list| &list.items)
    }

    /// Where the list stands, if it was given without any item.
    pub(crate) fn empty(&self) -> Option<&Place> {
        self.given()
            .filter(|at| at.value.written == 0)
            .map(|at| &at.place)
    }
}

impl<T: Read> Read for List<T> {
    const SHAPE: &'static Shape = &Shape::List(T::SHAPE);

    fn read(node: &Node, place: &Place, sink: &mut Sink) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            let help = "begin each item with \"- \", or use [] for an empty list";
            sink.error(
                place,
                format!("{} is not a list", shown_kind(node, place)),
                help,
            );
            return None;
        };
        let written = items.len();
        Some(Self {
            items: read_items(items, place, sink),
            written,
        })
    }
}

fn read_items<T: Read>(items: &[Rc<Node>], place: &Place, sink: &mut Sink) -> Vec<At<T>> {
    let item = |(index, node): (usize, &Rc<Node>)| {
        let path = place.path.index(index);
        let place = Place {
            path,
            ..place.clone()
        };
        At::read(node, place, sink)
    };
    items.iter().enumerate().filter_map(item).collect()
}

/// A list, or one of its items alone.
pub(crate) struct Many<T>(List<T>);

impl<T> Many<T> {
    /// The items' values.
    pub(crate) fn into_values(self) -> Vec<T> {
        self.0.items.into_iter().map(|at| at.value).collect()
    }
}

impl<T> Field<Many<T>> {
    /// The items; none where the list is absent.
    pub(crate) fn items(&self) -> &[At<T>] {
        self.value().map_or(&[], |many| &many.0.items)
    }

    /// Where the list stands, if it was given without any item.
    pub(crate) fn empty(&self) -> Option<&Place> {
        self.given()
            .filter(|at| at.value.0.written == 0)
            .map(|at| &at.place)
    }

    /// Whether some of what was given could not be read, so that what was read says something else.
    pub(crate) fn is_partial(&self) -> bool {
        let partial = |at: &At<Many<T>>| at.value.0.items.len() < at.value.0.written;
        (self.is_present() && self.value().is_none()) || self.given().is_some_and(partial)
    }

    /// The items' values.
    pub(crate) fn values(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.items().iter().map(|at| at.value.clone()).collect()
    }
}

impl<T: Read> Read for Many<T> {
    const SHAPE: &'static Shape = &Shape::OneOrMany(T::SHAPE);

    fn read(node: &Node, place: &Place, sink: &mut Sink) -> Option<Self> {
        match &node.kind {
            Kind::List(_) => List::read(node, place, sink).map(Self),
            Kind::Scalar(_) | Kind::Map(_) => {
                let items = At::read(node, place.clone(), sink).into_iter().collect();
                Some(Self(List { items, written: 1 }))
            }
        }
    }
}

/// A mapping whose keys are up to the writer.
pub(crate) struct Table<K, V>(pub(crate) Vec<(K, V)>);

impl<K: Scalar, V: Read> Read for Table<K, V> {
    const SHAPE: &'static Shape = &Shape::Table(V::SHAPE);

    fn read(node: &Node, place: &Place, sink: &mut Sink) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            let problem = format!("{} is not a mapping", shown_kind(node, place));
            sink.error(place, problem, "write \"key: value\" lines, or {}");
            return None;
        };
        let mut read = Vec::new();
        for (key, node) in entries {
            let path = place.path.key(key.text.clone());
            let word = Word {
                text: key.text.clone(),
                plain: false,
            };
            let value = At::<V>::read(
                node,
                Place {
                    path,
                    ..place.clone()
                },
                sink,
            );
            match (K::parse(&word), value) {
                (Ok(key), Some(value)) => read.push((key, value.value)),
                (Ok(_), None) => {}
                (Err(fault), _) => {
                    let place = Place {
                        position: key.position,
                        ..place.clone()
                    };
                    sink.error(
                        &place,
                        format!("{:?} {}", key.text, fault.problem),
                        fault.help,
                    );
                }
            }
        }
        Some(Self(read))
    }
}

/// The scalar itself, or what else it is.
pub(crate) fn shown_kind<'a>(node: &Node, place: &'a Place) -> &'a str {
    match kind_of(node) {
        "this" => place.shown(),
        other => other,
    }
}
