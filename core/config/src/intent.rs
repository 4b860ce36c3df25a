//! The intent of a network as text: objects, each of which is a YAML document with a `kind`.

use std::collections::HashMap;
use std::rc::Rc;

use patronus_model::intent::{Object, ObjectId};
use patronus_model::policy::TrafficClass;

use crate::check;
use crate::diagnostic::{Diagnostic, Sink};
use crate::file::{ClassObject, NetworkObject, PolicyObject, SiteObject};
use crate::place::{Place, Position};
use crate::read::{At, Read, Scalar, shown_kind};
use crate::tree::{self, Kind, Node};
use crate::values::KindWord;
use crate::{canonical, parse_alone};

/// An object, and the text that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The object.
    pub object: Object,
    /// It as a YAML document without `---`, written in the one canonical way: the same object given
    /// in other styles, or with other comments, is the same text. It holds what was given, and no
    /// defaults.
    pub text: String,
    /// The line in which it begins, from 1.
    pub line: u32,
}

/// Reads objects, of which there may be any number, each a document of its own.
///
/// `file_name` is only used in messages.
///
/// # Errors
/// Everything that is wrong with them, warnings included, in the order of the text; at least one of
/// them is an error. What objects cannot be together is not looked at here, but for two of the same
/// kind and name.
pub fn read_objects(
    text: &str,
    file_name: &str,
) -> Result<(Vec<Manifest>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut sink = Sink::new(file_name);
    let documents = tree::read_all(text, &mut sink).unwrap_or_default();
    let manifests: Vec<Manifest> = documents
        .iter()
        .filter(|document| !is_nothing(document))
        .filter_map(|document| manifest(document, &mut sink))
        .collect();
    twice(&manifests, &mut sink);
    match sink.failed() {
        true => Err(sink.finish()),
        false => Ok((manifests, sink.finish())),
    }
}

/// The classes of a network that names none.
#[must_use]
pub fn default_classes() -> Vec<TrafficClass> {
    // The shortest file there is; only its classes are looked at.
    let file = "version: 1\nsite: {id: a}\noverlay: {ipv4: 10.0.0.1/16}\n\
                uplinks: [{name: a, interface: a}]\n";
    parse_alone(file, "").map_or_else(|_| Vec::new(), |(config, _)| config.classes)
}

/// A document with nothing in it, as between two separators.
fn is_nothing(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(word) if word.plain && word.text.is_empty())
}

fn manifest(document: &Rc<Node>, sink: &mut Sink) -> Option<Manifest> {
    let place = Place::file(document.position);
    let object = match kind(document, &place, sink)? {
        KindWord::Network => {
            let network = read::<NetworkObject>(document, place, sink)?;
            Object::Network(check::network(&network, sink)?.into())
        }
        KindWord::Site => {
            let site = read::<SiteObject>(document, place, sink)?;
            Object::Site(check::site_of_network(site, sink)?.into())
        }
        KindWord::Class => {
            let class = read::<ClassObject>(document, place, sink)?;
            Object::Class(check::class_of_network(class, sink)?.into())
        }
        KindWord::Policy => {
            let policy = read::<PolicyObject>(document, place, sink)?;
            Object::Policy(check::policy_of_network(&policy, sink)?.into())
        }
    };
    Some(Manifest {
        object,
        text: canonical::write(document),
        line: document.position.line,
    })
}

fn read<T: Read>(node: &Node, place: Place, sink: &mut Sink) -> Option<At<T>> {
    let value = T::read(node, &place, sink)?;
    Some(At { value, place })
}

fn kind(node: &Node, place: &Place, sink: &mut Sink) -> Option<KindWord> {
    let valid = <KindWord as Scalar>::SHAPE.valid();
    let Kind::Map(entries) = &node.kind else {
        let problem = format!("{} is not an object", shown_kind(node, place));
        sink.error(place, problem, format!("begin with \"kind: …\": {valid}"));
        return None;
    };
    let place = Place {
        path: place.path.key("kind"),
        ..place.clone()
    };
    match entries.iter().find(|(key, _)| key.text == "kind") {
        Some((_, node)) => At::read(node, place, sink).map(|at| at.value),
        None => {
            sink.error(
                &place,
                "is missing",
                format!("say what this object is: {valid}"),
            );
            None
        }
    }
}

fn twice(manifests: &[Manifest], sink: &mut Sink) {
    let mut seen: HashMap<ObjectId, u32> = HashMap::new();
    for manifest in manifests {
        let id = manifest.object.id();
        if let Some(line) = seen.get(&id) {
            let position = Position {
                line: manifest.line,
                column: 1,
            };
            let problem = format!("{id} is here twice, first in line {line}");
            sink.error(&Place::file(position), problem, "keep one of them");
        } else {
            seen.insert(id, manifest.line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::DEFAULT_CLASSES;

    #[test]
    fn a_network_without_classes_has_the_default_ones() {
        assert_eq!(default_classes().len(), DEFAULT_CLASSES.lines().count());
    }
}
