//! Mappings with known keys: how they are declared and read.

use crate::diagnostic::Sink;
use crate::place::Place;
use crate::read::{At, Field, Read, shown_kind};
use crate::schema::tidy;
use crate::shape::{Presence, SectionShape, all, did_you_mean};
use crate::tree::{Kind, Node};

/// The keys of a section while it is being read.
pub(crate) struct Fields<'a> {
    node: &'a Node,
    place: &'a Place,
    shape: &'static SectionShape,
}

impl<'a> Fields<'a> {
    /// Begins to read a section: reports what is not a mapping, and unknown keys.
    pub(crate) fn open(
        node: &'a Node,
        place: &'a Place,
        shape: &'static SectionShape,
        sink: &mut Sink,
    ) -> Option<Self> {
        let keys: Vec<&str> = shape.fields().map(|f| f.key).collect();
        let Kind::Map(entries) = &node.kind else {
            let problem = format!("{} is not {}", shown_kind(node, place), shape.title);
            sink.error(place, problem, format!("its keys are {}", all(&keys)));
            return None;
        };
        for (key, _) in entries {
            if keys.contains(&key.text.as_str()) {
                continue;
            }
            let place = Place {
                position: key.position,
                path: place.path.key(key.text.clone()),
                value: None,
            };
            let unused = keys
                .iter()
                .copied()
                .filter(|k| !entries.iter().any(|(e, _)| e.text == *k));
            let help = unknown_key_help(&key.text, unused, &keys);
            sink.error(&place, format!("{} has no such key", shape.title), help);
        }
        Some(Self { node, place, shape })
    }

    /// Reads one key.
    pub(crate) fn take<T: Read>(&self, key: &'static str, sink: &mut Sink) -> Field<T> {
        let Kind::Map(entries) = &self.node.kind else {
            return Field::Invalid;
        };
        if let Some((_, node)) = entries.iter().find(|(k, _)| k.text == key) {
            let path = self.place.path.key(key);
            let place = Place {
                path,
                ..self.place.clone()
            };
            return At::read(node, place, sink).map_or(Field::Invalid, Field::Given);
        }
        let Some(field) = self.shape.fields().find(|f| f.key == key) else {
            return Field::Missing;
        };
        match field.presence {
            Presence::Required => {
                let path = self.place.path.key(key);
                let place = Place {
                    path,
                    value: None,
                    ..self.place.clone()
                };
                let example = field.examples.first().copied().unwrap_or("…");
                let help = format!(
                    "add for example \"{key}: {example}\" ({})",
                    purpose(field.doc)
                );
                sink.error(&place, "is missing", help);
                Field::Invalid
            }
            Presence::Default(text) => {
                let node = Node::of_default(text);
                T::read(&node, self.place, sink).map_or(Field::Invalid, Field::Default)
            }
            Presence::Optional | Presence::Computed(_) => Field::Missing,
        }
    }
}

fn unknown_key_help<'a>(key: &str, unused: impl Iterator<Item = &'a str>, keys: &[&str]) -> String {
    if key == "<<" {
        return "YAML 1.2 has no merge keys; repeat the keys".to_owned();
    }
    let near = did_you_mean(key, unused);
    format!("{near}its keys are {}", all(keys))
}

/// The first sentence of a description.
fn purpose(doc: &str) -> String {
    tidy(doc.split(['.', ';', ':']).next().unwrap_or(doc))
}

/// Declares a section of the file: a struct whose fields are [`Field`]s, how it is read, and its
/// description for the schema and the reference, which are the doc comments.
///
/// `struct Name with Base, "title"` has the keys of another section beside its own, and that section
/// in its field `base`.
///
/// A field is `name: Type, presence, eg "example";`. Its presence is `required`, `optional`,
/// `default "as in a file"` or `computed "in words"`. `name as "key": ...` gives it another key.
macro_rules! section {
    ($(#[doc = $doc:literal])* struct $name:ident $(with $base:ident)?, $title:literal {
        $(
            $(#[doc = $field_doc:literal])*
            $field:ident $(as $key:literal)? : $type:ty,
            $presence:ident $($absent:literal)?, eg $($example:literal),+;
        )+
    }) => {
        $(#[doc = $doc])*
        pub(crate) struct $name {
            $( $(#[doc = $field_doc])* pub(crate) $field: $crate::read::Field<$type>, )+
            $(
                /// The keys of the section that this one extends.
                pub(crate) base: $base,
            )?
        }

        impl $name {
            /// Its keys.
            pub(crate) const SECTION: $crate::shape::SectionShape = $crate::shape::SectionShape {
                name: stringify!($name),
                title: $title,
                doc: concat!($($doc),*),
                base: $crate::section::section!(@base $($base)?),
                own: &[$(
                    $crate::shape::FieldShape {
                        key: $crate::section::section!(@key $field $($key)?),
                        doc: concat!($($field_doc),*),
                        presence: $crate::section::section!(@presence $presence $($absent)?),
                        examples: &[$($example),+],
                        shape: <$type as $crate::read::Read>::SHAPE,
                    },
                )+],
            };

            /// Reads its keys from a mapping that may have others.
            pub(crate) fn take(
                fields: &$crate::section::Fields<'_>,
                sink: &mut $crate::diagnostic::Sink,
            ) -> Self {
                Self {
                    $( $field: fields.take($crate::section::section!(@key $field $($key)?), sink), )+
                    $( base: $base::take(fields, sink), )?
                }
            }
        }

        impl $crate::read::Read for $name {
            const SHAPE: &'static $crate::shape::Shape =
                &$crate::shape::Shape::Section(&Self::SECTION);

            fn read(
                node: &$crate::tree::Node,
                place: &$crate::place::Place,
                sink: &mut $crate::diagnostic::Sink,
            ) -> Option<Self> {
                const SECTION: &$crate::shape::SectionShape = &$name::SECTION;
                let fields = $crate::section::Fields::open(node, place, SECTION, sink)?;
                Some(Self::take(&fields, sink))
            }
        }
    };
    (@base) => { None };
    (@base $base:ident) => { Some(&$base::SECTION) };
    (@key $field:ident $key:literal) => { $key };
    (@key $field:ident) => { stringify!($field) };
    (@presence required) => { $crate::shape::Presence::Required };
    (@presence optional) => { $crate::shape::Presence::Optional };
    (@presence default $text:literal) => { $crate::shape::Presence::Default($text) };
    (@presence computed $text:literal) => { $crate::shape::Presence::Computed($text) };
}
pub(crate) use section;
