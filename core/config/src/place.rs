//! Where in a file a value stands.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// A position in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// From 1.
    pub(crate) line: u32,
    /// In characters, from 1.
    pub(crate) column: u32,
}

impl Position {
    /// The first character of the text.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

/// The way from the top of a file to a value. Shares its beginning with its neighbours', so that
/// every value of a file with thousands of sites can have one.
#[derive(Clone, Default)]
pub(crate) struct Path(Option<Rc<Link>>);

struct Link {
    parent: Path,
    step: Step,
}

enum Step {
    Key(Cow<'static, str>),
    Index(usize),
}

impl Path {
    pub(crate) fn key(&self, key: impl Into<Cow<'static, str>>) -> Self {
        self.to(Step::Key(key.into()))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.to(Step::Index(index))
    }

    /// The place in its list of the item that this leads to.
    pub(crate) fn last_index(&self) -> Option<usize> {
        match self.0.as_ref()?.step {
            Step::Index(index) => Some(index),
            Step::Key(_) => None,
        }
    }

    fn to(&self, step: Step) -> Self {
        let parent = self.clone();
        Self(Some(Rc::new(Link { parent, step })))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(link) = &self.0 else { return Ok(()) };
        link.parent.fmt(f)?;
        match &link.step {
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) if link.parent.0.is_none() => f.write_str(&shown(key)),
            Step::Key(key) => write!(f, ".{}", shown(key)),
        }
    }
}

/// A key as a message shows it: as it is when it is plain, otherwise quoted and without control
/// characters.
fn shown(key: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/');
    if !key.is_empty() && key.len() <= 63 && key.chars().all(plain) {
        return Cow::Borrowed(key);
    }
    let short: String = key.chars().take(60).collect();
    Cow::Owned(format!("{short:?}"))
}

/// A value's position, path and spelling.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) position: Position,
    pub(crate) path: Path,
    /// The spelling, unless it is long, secret or not a scalar.
    pub(crate) value: Option<String>,
}

impl Place {
    /// The whole file.
    pub(crate) fn file(position: Position) -> Self {
        Self {
            position,
            path: Path::default(),
            value: None,
        }
    }

    /// The spelling, or a word that stands for it.
    pub(crate) fn shown(&self) -> &str {
        self.value.as_deref().unwrap_or("this")
    }

    /// For messages about something else: `sites[0].id (line 12)`.
    pub(crate) fn other(&self) -> String {
        format!("{} (line {})", self.path, self.position.line)
    }
}
