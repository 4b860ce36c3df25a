//! The JSON Schema of the file, for editors (yaml-language-server) and other tools.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::file::{File, OBJECTS};
use crate::read::Read;
use crate::shape::{FieldShape, Form, Presence, ScalarShape, SectionShape, Shape};
use crate::tree::{Kind, Node, Taken, Word};
use crate::{diagnostic::Sink, tree};

/// The JSON Schema (draft 7, which editors know best) of the configuration file, as text.
///
/// It knows types, keys, ranges and spellings. What concerns several values at once, only
/// [`check`](crate::check) finds.
#[must_use]
pub fn json_schema() -> String {
    let mut definitions = BTreeMap::new();
    let Shape::Section(root) = File::SHAPE else {
        return String::new();
    };
    let schema = section(root, &mut definitions);
    finished(schema, "Patronus router configuration", definitions)
}

/// The JSON Schema (draft 7) of one object of an intent, as text; like [`json_schema`].
#[must_use]
pub fn intent_schema() -> String {
    let mut definitions = BTreeMap::new();
    let objects = OBJECTS.map(|(_, object)| shape(object, &mut definitions));
    let schema = json!({"anyOf": objects});
    finished(schema, "Patronus object of an intent", definitions)
}

fn finished(mut schema: Value, title: &str, definitions: Definitions) -> String {
    if let Value::Object(map) = &mut schema {
        map.insert(
            "$schema".into(),
            json!("http://json-schema.org/draft-07/schema#"),
        );
        map.insert("title".into(), json!(title));
        map.insert(
            "definitions".into(),
            Value::Object(definitions.into_iter().collect()),
        );
    }
    format!("{:#}\n", sorted(schema))
}

/// The same value with the keys of all objects in alphabetical order, whether or not some crate of
/// the build makes serde_json keep the order of insertion.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<String, Value> =
                map.into_iter().map(|(k, v)| (k, self::sorted(v))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(self::sorted).collect()),
        other => other,
    }
}

type Definitions = BTreeMap<String, Value>;

fn section(shape: &SectionShape, definitions: &mut Definitions) -> Value {
    let mut properties = Map::new();
    for field in shape.fields() {
        properties.insert(field.key.into(), self::field(field, definitions));
    }
    let required: Vec<&str> = shape
        .fields()
        .filter(|f| f.presence == Presence::Required)
        .map(|f| f.key)
        .collect();
    let mut schema = json!({
        "type": "object",
        "description": tidy(shape.doc),
        "properties": properties,
        "additionalProperties": false,
    });
    if let (Value::Object(map), false) = (&mut schema, required.is_empty()) {
        map.insert("required".into(), json!(required));
    }
    schema
}

fn field(field: &FieldShape, definitions: &mut Definitions) -> Value {
    let mut schema = match shape(field.shape, definitions) {
        // Draft 7 ignores whatever stands beside a reference.
        Value::Object(map) if map.contains_key("$ref") => {
            Map::from_iter([("allOf".to_owned(), json!([Value::Object(map)]))])
        }
        Value::Object(map) => map,
        other => Map::from_iter([("const".to_owned(), other)]),
    };
    schema.insert("description".into(), json!(description(field)));
    if let Presence::Default(text) = field.presence {
        schema.insert("default".into(), value(text));
    }
    let examples: Vec<Value> = field.examples.iter().map(|text| value(text)).collect();
    schema.insert("examples".into(), json!(examples));
    Value::Object(schema)
}

fn description(field: &FieldShape) -> String {
    let doc = tidy(field.doc);
    match field.presence {
        Presence::Computed(words) => format!("{doc} Default: {words}."),
        Presence::Required | Presence::Optional | Presence::Default(_) => doc,
    }
}

/// A doc comment as one paragraph.
pub(crate) fn tidy(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shape(shape: &Shape, definitions: &mut Definitions) -> Value {
    match shape {
        Shape::Scalar(scalar) => self::scalar(scalar),
        Shape::List(item) => {
            json!({"type": "array", "items": self::shape(item, definitions)})
        }
        Shape::OneOrMany(item) => {
            let item = self::shape(item, definitions);
            json!({"anyOf": [item, {"type": "array", "items": item}]})
        }
        Shape::Table(item) => {
            json!({"type": "object", "additionalProperties": self::shape(item, definitions)})
        }
        Shape::Section(section) => {
            if !definitions.contains_key(section.name) {
                let definition = self::section(section, definitions);
                definitions.insert(section.name.to_owned(), definition);
            }
            json!({"$ref": format!("#/definitions/{}", section.name)})
        }
        Shape::Either(one, other) => {
            let both = [
                self::shape(one, definitions),
                self::shape(other, definitions),
            ];
            json!({"anyOf": both})
        }
    }
}

fn scalar(scalar: &ScalarShape) -> Value {
    let forms: Vec<Value> = scalar.forms.iter().map(form).collect();
    match <[Value; 1]>::try_from(forms) {
        Ok([one]) => one,
        Err(many) => json!({"anyOf": many}),
    }
}

fn form(form: &Form) -> Value {
    match form {
        Form::Text("") => json!({"type": "string"}),
        Form::Text(pattern) => json!({"type": "string", "pattern": pattern}),
        Form::Words(words) => json!({"enum": words}),
        Form::Integer(min, max) if min == max => json!({"const": min}),
        Form::Integer(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Form::Duration(..) => {
            json!({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? *(ms|s|m|min|h)$"})
        }
        Form::Truth => json!({"type": "boolean"}),
        Form::False => json!({"const": false}),
    }
}

/// A default or example, written as in a file, as JSON.
fn value(text: &str) -> Value {
    let mut sink = Sink::new("");
    tree::read(text, &mut sink).map_or(Value::Null, |node| to_json(&node))
}

/// A tree as JSON has it.
fn to_json(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(word) => word_to_json(word),
        Kind::List(items) => items.iter().map(|item| to_json(item)).collect(),
        Kind::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|(k, v)| (k.text.clone(), to_json(v)))
                .collect(),
        ),
    }
}

fn word_to_json(word: &Word) -> Value {
    match word.taken() {
        Taken::Null => Value::Null,
        Taken::Truth(truth) => json!(truth),
        Taken::Text => json!(word.text),
        Taken::Number => match (word.as_integer(), word.text.parse::<f64>()) {
            (Some(integer), _) => json!(integer),
            (None, Ok(float)) => json!(float),
            (None, Err(_)) => Value::Null,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        serde_json::from_str(&json_schema()).unwrap()
    }

    fn check(schema: &Value, text: &str) {
        let json = value(text);
        let validator = jsonschema::draft7::new(schema).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&json)
            .map(|e| e.to_string())
            .collect();
        assert_eq!(errors, <[String; 0]>::default(), "{text}");
    }

    #[test]
    fn the_example_files_are_valid() {
        check(
            &schema(),
            include_str!("../../../docs/examples/minimal.yaml"),
        );
        check(&schema(), include_str!("../../../docs/examples/site.yaml"));
        let schema = serde_json::from_str(&intent_schema()).unwrap();
        for object in include_str!("../../../docs/examples/network.yaml").split("---\n") {
            check(&schema, object);
        }
    }

    /// All sections of the configuration file and of the objects of an intent.
    fn all_sections() -> Vec<&'static SectionShape> {
        let objects = OBJECTS.iter().flat_map(|(_, object)| sections(object));
        sections(File::SHAPE).into_iter().chain(objects).collect()
    }

    /// The sections that a value can be.
    fn sections(shape: &'static Shape) -> Vec<&'static SectionShape> {
        match shape {
            Shape::Scalar(_) | Shape::Table(_) => Vec::new(),
            Shape::List(item) | Shape::OneOrMany(item) => sections(item),
            Shape::Either(one, other) => [sections(one), sections(other)].concat(),
            Shape::Section(section) => {
                let inner = section.fields().flat_map(|field| sections(field.shape));
                std::iter::once(*section).chain(inner).collect()
            }
        }
    }

    #[test]
    fn the_examples_and_defaults_of_every_key_are_valid() {
        let mut definitions = BTreeMap::new();
        for section in all_sections() {
            shape(&Shape::Section(section), &mut definitions);
        }
        let definitions: Value = definitions.into_iter().collect();
        let mut count = 0;
        for section in all_sections() {
            for field in section.fields() {
                let mut schema = shape(field.shape, &mut BTreeMap::new());
                schema["definitions"] = definitions.clone();
                let default = match field.presence {
                    Presence::Default(text) => Some(text),
                    Presence::Required | Presence::Optional | Presence::Computed(_) => None,
                };
                for text in field.examples.iter().copied().chain(default) {
                    check(&schema, text);
                    count += 1;
                }
            }
        }
        assert!(count > 100, "{count}");
    }

    #[test]
    fn every_key_says_what_it_is() {
        for section in all_sections() {
            for field in section.fields() {
                let doc = tidy(field.doc);
                assert!(
                    doc.ends_with('.') && doc.len() > 5,
                    "{}.{}",
                    section.name,
                    field.key
                );
            }
        }
    }
}
