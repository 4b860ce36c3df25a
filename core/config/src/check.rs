//! What types cannot check, and the step from the file's types to the model's.
//!
//! Each function gives what it could make of its part, and goes on where something is missing: an
//! error has then been reported, and the whole is refused in the end.

mod as_numbers;
mod bgp;
mod gateways;
mod intent;
mod kernel;
mod overlay;
mod prefixes;
mod remotes;
mod shadow;
mod steering;
mod uplinks;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::hash::Hash;

use patronus_model::router::{RouterConfig, Site};
use patronus_model::secret::Secret;

use crate::diagnostic::Sink;
use crate::file::{self, File};
use crate::place::Place;
use crate::read::{At, Field, Table};
use crate::values::{LabelKey, LabelValue, Line, Password, PasswordFile};
use crate::{NoPassword, Outside};

pub(crate) use intent::{class_of_network, network, policy_of_network, site_of_network};
pub(crate) use steering::DEFAULT_CLASSES;

/// The configuration that a file describes.
pub(crate) fn router(
    at: &At<File>,
    outside: &Outside<'_>,
    sink: &mut Sink,
) -> Option<RouterConfig> {
    let file = &at.value;
    let version = file.version.value();
    let layout = kernel::layout(file, sink);
    let overlay = overlay::overlay(file, sink);
    if let (Some(overlay), Some(before)) = (&overlay, outside.before) {
        overlay::renumbered(file, overlay, before, sink);
    }
    let site = file.site.value().and_then(site);
    let hub = file.site.value().and_then(|site| site.hub.optional());
    let uplinks = uplinks::uplinks(file, outside, sink);
    gateways::check(file, outside, sink);
    let lans = uplinks::lans(file, sink);
    let remotes = remotes::remotes(file, overlay.as_ref(), uplinks.as_deref(), outside, sink);
    prefixes::check(file, sink);
    let bgp = bgp::bgp(file, overlay.as_ref(), remotes.as_deref(), outside, sink);
    let classes = steering::classes(file, sink);
    let default_class = steering::default_class(file, &classes, at, sink);
    let policies = steering::policies(file, &classes, sink);
    let health = file
        .health
        .value()
        .and_then(|health| kernel::health(health, &at.place, sink));
    version?;
    Some(RouterConfig {
        site: site?,
        overlay: overlay?,
        hub: hub?,
        uplinks: uplinks?,
        lans: lans?,
        remotes: remotes?,
        bgp: bgp?,
        classes: classes.model?,
        default_class: default_class?,
        policies: policies?,
        health: health?,
        layout: layout?,
    })
}

fn site(site: &file::Site) -> Option<Site> {
    let id = site.id.value()?;
    Some(Site {
        id: id.clone(),
        name: site.name.or(|| Some(Line(id.to_string())))?.0,
        location: site.location.optional()?.map(|line| line.0),
        labels: labels(&site.labels),
    })
}

fn labels(field: &Field<Table<LabelKey, LabelValue>>) -> BTreeMap<String, String> {
    let pairs = field.value().map(|table| table.0.as_slice());
    let pairs = pairs.unwrap_or_default().iter();
    pairs.map(|(k, v)| (k.0.clone(), v.0.clone())).collect()
}

/// Finds what is there twice.
struct Unique<K> {
    what: &'static str,
    help: &'static str,
    seen: HashMap<K, Place>,
}

impl<K: Eq + Hash + Display> Unique<K> {
    /// `what` is the name of the thing, `help` what to do about a second one.
    fn new(what: &'static str, help: &'static str) -> Self {
        Self {
            what,
            help,
            seen: HashMap::new(),
        }
    }

    /// Takes a key, or reports who has it.
    fn claim(&mut self, key: K, place: &Place, sink: &mut Sink) {
        match self.seen.get(&key) {
            Some(other) => {
                let problem = format!("{} {key} is already used in {}", self.what, other.other());
                sink.error(place, problem, self.help);
            }
            None => {
                self.seen.insert(key, place.clone());
            }
        }
    }

    /// The same for a field whose value may be missing.
    fn claim_field(&mut self, field: &Field<K>, sink: &mut Sink)
    where
        K: Clone,
    {
        if let Some(at) = field.given() {
            self.claim(at.value.clone(), &at.place, sink);
        }
    }
}

/// A password, given here or in a file.
fn password(
    inline: &Field<Password>,
    in_file: &Field<PasswordFile>,
    outside: &Outside<'_>,
    sink: &mut Sink,
) -> Option<Option<Secret>> {
    if let (Some(_), Some(file)) = (inline.given(), in_file.given()) {
        let problem = "the password is given twice, by itself and in a file";
        sink.error(&file.place, problem, "keep one of the two keys");
        return None;
    }
    let Some(file) = in_file.given() else {
        if in_file.is_present() {
            return None;
        }
        return inline
            .optional()
            .map(|given| given.map(|password| password.0));
    };
    let unreadable = |reason: &str| format!("cannot read {}: {reason}", file.value.0.display());
    match (outside.password)(&file.value.0) {
        Err(NoPassword::Unreadable(reason)) => {
            let help = "make it a file that patronusd may read";
            sink.error(&file.place, unreadable(&reason), help);
            None
        }
        Err(NoPassword::Elsewhere(reason)) => {
            let help = "it must be on the router, where patronusd may read it: without it the \
                        configuration is refused there";
            sink.warning(&file.place, unreadable(&reason), help);
            // It stands for one that is not known here, and goes nowhere.
            Password::new("unknown").map(|password| Some(password.0))
        }
        Ok(content) => {
            let password = Password::new(content.expose().trim_ascii_end());
            if password.is_none() {
                let problem = format!("{} does not hold a password", file.value.0.display());
                sink.error(&file.place, problem, Password::HELP);
            }
            password.map(|password| Some(password.0))
        }
    }
}
