//! What a value may look like: the one source of the reader's messages, of the JSON Schema and of
//! the reference.

/// What a value may look like.
pub(crate) enum Shape {
    /// A word or number.
    Scalar(&'static ScalarShape),
    /// A list.
    List(&'static Shape),
    /// A list, or one of its items alone.
    OneOrMany(&'static Shape),
    /// A mapping whose keys are up to the writer.
    Table(&'static Shape),
    /// A mapping with known keys.
    Section(&'static SectionShape),
    /// One or the other.
    Either(&'static Shape, &'static Shape),
}

/// What a word or number may look like.
pub(crate) struct ScalarShape {
    /// With its article: "a duration".
    pub(crate) title: &'static str,
    /// What is valid, in the imperative: "use 10ms to 10s". Empty where [`Form`] says it all.
    pub(crate) help: &'static str,
    /// How it is spelled.
    pub(crate) forms: &'static [Form],
    /// Never shown.
    pub(crate) secret: bool,
}

impl ScalarShape {
    /// A shape whose values may be shown.
    pub(crate) const fn new(
        title: &'static str,
        help: &'static str,
        forms: &'static [Form],
    ) -> Self {
        Self {
            title,
            help,
            forms,
            secret: false,
        }
    }

    /// What is valid.
    pub(crate) fn valid(&self) -> String {
        if !self.help.is_empty() {
            return self.help.to_owned();
        }
        let forms: Vec<String> = self.forms.iter().map(Form::valid).collect();
        format!("use {}", forms.join(" or "))
    }
}

/// How a scalar is spelled, in the terms of JSON Schema.
pub(crate) enum Form {
    /// A text that a regular expression describes; an empty expression allows all.
    Text(&'static str),
    /// One of these texts.
    Words(&'static [&'static str]),
    /// A whole number.
    Integer(u64, u64),
    /// A duration: least, most and step in milliseconds.
    Duration(u64, u64, u64),
    /// `true` or `false`.
    Truth,
    /// `false` only.
    False,
}

impl Form {
    fn valid(&self) -> String {
        match self {
            Self::Text(_) => "text".to_owned(),
            Self::Words(words) => list(words),
            Self::Integer(min, max) => format!("{min} to {max}"),
            Self::Duration(min, max, step) => {
                let whole = if *step == 1000 { ", whole seconds" } else { "" };
                format!("{} to {}{whole}", duration(*min), duration(*max))
            }
            Self::Truth => "true or false".to_owned(),
            Self::False => "false".to_owned(),
        }
    }
}

/// A number of milliseconds with the largest unit that divides it.
fn duration(millis: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units
        .iter()
        .find(|(n, _)| millis >= *n && millis.is_multiple_of(*n))
    {
        Some((n, unit)) => format!("{}{unit}", millis / n),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

/// A mapping with known keys.
pub(crate) struct SectionShape {
    /// Its name in the schema's definitions.
    pub(crate) name: &'static str,
    /// With its article: "an uplink".
    pub(crate) title: &'static str,
    /// What it is.
    pub(crate) doc: &'static str,
    /// Its own keys, in the order in which people write them.
    pub(crate) own: &'static [FieldShape],
    /// The section whose keys it has as well.
    pub(crate) base: Option<&'static SectionShape>,
}

impl SectionShape {
    /// All its keys, in the order in which people write them.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static FieldShape> {
        let base: &'static [FieldShape] = self.base.map_or(&[], |base| base.own);
        self.own.iter().chain(base)
    }
}

/// A key of a section.
pub(crate) struct FieldShape {
    pub(crate) key: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) presence: Presence,
    /// As in a file.
    pub(crate) examples: &'static [&'static str],
    pub(crate) shape: &'static Shape,
}

/// What holds when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It must not be.
    Required,
    /// It is as if nothing was said.
    Optional,
    /// As if this had been written.
    Default(&'static str),
    /// A value that follows from others, in words.
    Computed(&'static str),
}

/// `a, b or c`.
pub(crate) fn list(words: &[&str]) -> String {
    joined(words, "or")
}

/// `a, b and c`.
pub(crate) fn all(words: &[&str]) -> String {
    joined(words, "and")
}

fn joined(words: &[&str], last_by: &str) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} {last_by} {last}", most.join(", ")),
    }
}

/// What somebody probably meant, as the beginning of a sentence: `did you mean "asn"? ` or
/// nothing.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // A third of the letters may be wrong: "listenport" is near "listen_port", "x" near nothing.
    let limit = ((word.chars().count() + 1) / 3).max(1);
    if word.chars().count() > 64 {
        return String::new();
    }
    let distance = |k: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &k.to_lowercase());
    known
        .into_iter()
        .map(|k| (distance(k), k))
        .filter(|(d, k)| *d <= limit && *d < k.chars().count())
        .min()
        .map_or_else(String::new, |(_, k)| format!("did you mean {k:?}? "))
}
