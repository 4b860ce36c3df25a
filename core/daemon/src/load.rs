//! Reads the configuration file and what it refers to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use patronus_config::{
    Addresses, Diagnostic, KeyDoubt, NoKey, NoPassword, Outside, OwnKey, Parsed, Severity,
};
use patronus_linux::{KeyStore, PrivateKey};
use patronus_model::Secret;
use patronus_model::ids::UplinkName;
use patronus_model::router::RouterConfig;

use crate::layout;
use crate::places::Places;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{file}: {reason}{}", advice(.file, .reason))]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The file is not a valid configuration.
    #[error("{}", display(.0))]
    Invalid(Vec<Diagnostic>),
    /// What marks our kernel objects cannot be changed while we run with it.
    #[error(
        "the section `kernel` has changed, which a reload cannot apply: what is in the kernel would \
         not be recognised any more. Stop patronusd, run `patronus teardown`, and start it again"
    )]
    OtherLayout,
    /// What marks our kernel objects is not what marked those that are still there.
    #[error(
        "the section `kernel` is another than that by which what is in the kernel was made. Run \
         `patronus teardown`, which removes it, and start patronusd again; or put the section back"
    )]
    LeftOver,
    /// The configuration is good, but a key that it needs cannot be kept.
    #[error("the new key of uplink {uplink} cannot be kept: {reason}. Nothing was changed")]
    KeyNotKept {
        /// The uplink.
        uplink: UplinkName,
        /// Why.
        reason: String,
    },
}

/// What to do about a file that cannot be read, where that is known.
fn advice(file: &str, reason: &std::io::Error) -> String {
    match reason.kind() {
        ErrorKind::NotFound => {
            ". Create it; `patronus config example` prints one to begin with.".to_owned()
        }
        ErrorKind::IsADirectory => {
            let file = file.trim_end_matches('/');
            format!(". Name the file in it, like {file}/config.yaml.")
        }
        ErrorKind::NotADirectory => ". What it should be in is a file.".to_owned(),
        ErrorKind::PermissionDenied => ". Make it a file that root can read.".to_owned(),
        _ => String::new(),
    }
}

/// How many findings a message holds: it goes to the journal, line by line.
const TOLD: usize = 40;

fn display(diagnostics: &[Diagnostic]) -> String {
    // What stands in the way comes before what is only odd.
    let (errors, warnings): (Vec<_>, Vec<_>) = diagnostics
        .iter()
        .partition(|found| found.severity == Severity::Error);
    let told = errors.into_iter().chain(warnings);
    let told = told.take(TOLD).map(ToString::to_string);
    let more = diagnostics.len().saturating_sub(TOLD);
    let rest = (more > 0)
        .then(|| format!("and {more} more; `patronus config check` on the file lists them all"));
    told.chain(rest).collect::<Vec<_>>().join("\n")
}

/// A configuration that was read, and has changed nothing yet.
pub struct Loaded {
    /// The configuration and warnings about it.
    pub parsed: Parsed,
    /// Keys for uplinks that have none yet. The configuration refers to them.
    new_keys: BTreeMap<UplinkName, PrivateKey>,
    /// Whether patronusd has never run here, nor made a key.
    first: bool,
    /// Uplinks that the configuration before this one had not.
    added: BTreeSet<UplinkName>,
}

impl Loaded {
    /// Keeps the keys that are new, and gives out the configuration: it is going to be used.
    ///
    /// # Errors
    /// A key cannot be kept.
    pub fn keep(self, places: &Places) -> Result<Parsed, LoadError> {
        let store = KeyStore::new(&places.keys());
        for (uplink, key) in &self.new_keys {
            let Err(error) = store.put(uplink, key) else {
                match self.had_none(uplink) {
                    true => tracing::info!("{}", first(uplink)),
                    false => tracing::warn!("{}", made(uplink)),
                }
                continue;
            };
            // `patronusd keys` beside a daemon that starts: whoever is first has made the key.
            if store.get(uplink).is_ok_and(|theirs| theirs.is_some()) {
                return load(places)?.keep(places);
            }
            return Err(LoadError::KeyNotKept {
                uplink: uplink.clone(),
                reason: error.report(),
            });
        }
        Ok(self.parsed)
    }

    /// Whether an uplink certainly never had a key, so that nobody can have another one of it.
    fn had_none(&self, uplink: &UplinkName) -> bool {
        self.first || self.added.contains(uplink)
    }
}

/// Nothing was lost.
fn first(uplink: &UplinkName) -> String {
    format!(
        "uplink {uplink} has a key now, its first: `patronusd keys` prints what the other sites need to \
         know of it"
    )
}

/// Whether an uplink is new or has lost its key, nobody can know: the others need this one.
fn made(uplink: &UplinkName) -> String {
    format!(
        "a new key was made for uplink {uplink}, as it had none: give what `patronusd keys` prints for \
         it to all other sites"
    )
}

/// Not more than a configuration can have, whatever the file is. Waits for no pipe: whoever reads is
/// needed for the next reload.
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(file)?;
    let kind = opened.metadata()?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        let reason = "it is not a regular file";
        return Err(std::io::Error::new(ErrorKind::InvalidInput, reason));
    }
    let mut bytes = Vec::new();
    let most = patronus_config::MOST_BYTES as u64 + 1;
    opened.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn no_key(error: patronus_linux::Error) -> NoKey {
    match error {
        patronus_linux::Error::BadFile { .. } => NoKey::Invalid(error.report()),
        other => NoKey::Unreadable(other.report()),
    }
}

/// Reads the configuration. Changes nothing.
///
/// # Errors
/// [`LoadError`].
pub fn load(places: &Places) -> Result<Loaded, LoadError> {
    load_after(places, None)
}

/// Reads the configuration that is to follow another.
fn load_after(places: &Places, before: Option<&RouterConfig>) -> Result<Loaded, LoadError> {
    let file = places.config.display().to_string();
    let bytes = read(&places.config).map_err(|reason| LoadError::Unreadable {
        file: file.clone(),
        reason,
    })?;
    let text = patronus_config::decode(&bytes, &file).map_err(LoadError::Invalid)?;
    let store = KeyStore::new(&places.keys());
    let first = layout::is_first(places) && store.is_empty();
    let new_keys = RefCell::new(BTreeMap::new());
    let public_key = |uplink: &UplinkName| {
        if let Some(key) = store.get(uplink).map_err(no_key)? {
            let doubt = store.exposed(uplink).map(KeyDoubt::Exposed);
            return Ok(OwnKey { public: key, doubt });
        }
        let mut new_keys = new_keys.borrow_mut();
        let key = new_keys
            .entry(uplink.clone())
            .or_insert_with(PrivateKey::generate);
        Ok(OwnKey::from(key.public()))
    };
    let password = |file: &Path| {
        // Like the configuration itself: whatever it is, it is neither waited for nor endless.
        let bytes = read(file).map_err(|error| NoPassword::Unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| NoPassword::Unreadable("it is not UTF-8".to_owned()))?;
        Ok(Secret::new(text))
    };
    let outside = Outside {
        public_key: &public_key,
        password: &password,
        // What the kernel refuses for want of an address, it is asked for again and reported.
        addresses: &|_| Addresses::default(),
        before,
    };
    let parsed = patronus_config::parse(text, &file, &outside).map_err(LoadError::Invalid)?;
    let uplinks = parsed.0.uplinks.iter().map(|uplink| &uplink.name);
    let added = before.map(|before| {
        let had = |name: &&UplinkName| before.uplinks.iter().any(|it| it.name == **name);
        uplinks.filter(|name| !had(name)).cloned().collect()
    });
    Ok(Loaded {
        new_keys: new_keys.into_inner(),
        first,
        added: added.unwrap_or_default(),
        parsed,
    })
}

/// Reads the configuration for a daemon that runs with another. Keys of uplinks that are new
/// are kept when the configuration can be used.
///
/// # Errors
/// [`LoadError`]; nothing has been changed then.
pub fn reload(places: &Places, before: &RouterConfig) -> Result<Parsed, LoadError> {
    let layout = &before.layout;
    let loaded = load_after(places, Some(before))?;
    if loaded.parsed.0.layout != *layout {
        return Err(LoadError::OtherLayout);
    }
    let kept = loaded.keep(places)?;
    // It may have been read once more.
    if kept.0.layout == *layout {
        Ok(kept)
    } else {
        Err(LoadError::OtherLayout)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::places::tests::places;

    fn made(places: &Places) -> usize {
        fs::read_dir(places.keys()).map_or(0, Iterator::count)
    }

    fn parsed(text: &str) -> RouterConfig {
        let elsewhere = tempfile::tempdir().unwrap();
        let loaded = load(&places(elsewhere.path(), text));
        loaded.unwrap_or_else(|error| panic!("{error}")).parsed.0
    }

    #[test]
    fn a_reload_says_which_uplinks_the_other_sites_will_look_for_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let example = include_str!("../../../docs/examples/minimal.yaml");
        let places = |text: &str| places(directory.path(), text);
        let loaded = load(&places(example)).unwrap_or_else(|error| panic!("{error}"));
        let kept = loaded.keep(&places(example));
        let (running, _) = kept.unwrap_or_else(|error| panic!("{error}"));
        let warnings = |text: &str| {
            let (_, found) = reload(&places(text), &running).unwrap_or_else(|e| panic!("{e}"));
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(warnings(example), [""; 0]);
        let renumbered = example.replace("{name: fibre, int", "{name: fibre, slot: 3, int");
        let found = warnings(&renumbered).join("\n");
        let said = [
            "uplinks[0].slot: uplink fibre had slot 1",
            "slot 3 and the port 51948",
        ];
        assert!(said.iter().all(|it| found.contains(it)), "{found}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let mut places = places(directory.path(), "");
        let error = |places: &Places| load(places).map(drop).unwrap_err().to_string();
        places.config = directory.path().to_owned();
        let said = error(&places);
        let expected = format!(
            "Name the file in it, like {}/config.yaml",
            places.config.display()
        );
        assert!(
            said.contains(&expected) && !said.contains("Create"),
            "{said}"
        );
        places.config = directory.path().join("nothing");
        let said = error(&places);
        assert!(said.contains("Create it"), "{said}");
        places.config = directory.path().join("config.yaml/under-a-file");
        let said = error(&places);
        assert!(said.contains("should be in is a file"), "{said}");
        places.config = directory.path().join("pipe");
        nix::unistd::mkfifo(&places.config, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let said = error(&places);
        assert!(said.contains("not a regular file"), "{said}");
    }

    #[test]
    fn a_key_that_is_none_is_told_with_how_to_make_one() {
        let directory = tempfile::tempdir().unwrap();
        let example = include_str!("../../../docs/examples/minimal.yaml");
        let places = places(directory.path(), example);
        fs::create_dir_all(places.keys()).unwrap();
        fs::write(places.keys().join("fibre"), b"\x00\xff").unwrap();
        let said = load(&places).map(drop).unwrap_err().to_string();
        let words = [
            "keys/fibre: not a private key",
            "`patronusd keys`",
            "mode 0600",
        ];
        assert!(words.iter().all(|it| said.contains(it)), "{said}");
    }

    #[test]
    fn a_key_that_others_can_read_is_warned_of_and_used() {
        let directory = tempfile::tempdir().unwrap();
        let example = include_str!("../../../docs/examples/minimal.yaml");
        let places = places(directory.path(), example);
        let load = || load(&places).unwrap_or_else(|error| panic!("{error}"));
        let (config, _) = load().keep(&places).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(load().parsed, (config.clone(), Vec::new()));
        let file = places.keys().join("fibre");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let (still, found) = load().parsed;
        assert_eq!(still, config);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        let words = "keys/fibre has mode 0644";
        assert!(found.len() == 1 && found[0].contains(words), "{found:?}");
        let private = fs::read_to_string(&file).unwrap();
        assert!(!found[0].contains(private.trim()));
    }

    #[test]
    fn keys_are_made_when_a_valid_configuration_is_used_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let example = include_str!("../../../docs/examples/minimal.yaml").to_owned();
        let good = places(directory.path(), &example);
        let loaded = load(&good).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(made(&good), 0, "reading is not using");
        let (config, _) = loaded.keep(&good).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(made(&good), config.uplinks.len());
        let (again, _) = reload(&good, &config).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again, config, "the keys are the same");
    }

    #[test]
    fn a_key_that_was_lost_is_told_of_when_another_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let example = include_str!("../../../docs/examples/minimal.yaml");
        let places = places(directory.path(), example);
        let reload = |running: &RouterConfig| {
            let (config, found) = reload(&places, running).unwrap_or_else(|e| panic!("{e}"));
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            (config, found)
        };
        let loaded = load(&places).unwrap_or_else(|error| panic!("{error}"));
        let (running, _) = loaded.keep(&places).unwrap_or_else(|e| panic!("{e}"));
        fs::remove_file(places.keys().join("fibre")).unwrap();
        let (replaced, found) = reload(&running);
        assert_ne!(replaced, running);
        assert_eq!(found.len(), 1, "{found:?}");
        let words = "uplink fibre has another key than until now";
        assert!(found[0].contains(words), "{found:?}");
        assert_eq!(reload(&replaced).1, [""; 0]);
    }

    #[test]
    fn a_key_that_is_the_first_is_told_from_one_that_may_have_been_lost() {
        let directory = tempfile::tempdir().unwrap();
        let example = include_str!("../../../docs/examples/minimal.yaml");
        let places = places(directory.path(), example);
        let fibre: UplinkName = "fibre".parse().unwrap();
        let had_none = |before: Option<&RouterConfig>| {
            let loaded = load_after(&places, before).unwrap_or_else(|e| panic!("{e}"));
            assert!(loaded.new_keys.contains_key(&fibre));
            loaded.had_none(&fibre)
        };
        assert!(had_none(None), "nothing has ever run");
        // What a reload adds is new.
        let mut running = parsed(example);
        fs::create_dir_all(places.keys()).unwrap();
        fs::write(places.keys().join("other"), "key").unwrap();
        assert!(!had_none(None), "there was a life before");
        assert!(!had_none(Some(&running)), "it had one");
        running.uplinks.retain(|uplink| uplink.name != fibre);
        assert!(had_none(Some(&running)), "it had not been there");
        // All keys are lost, and yet it has run.
        fs::remove_file(places.keys().join("other")).unwrap();
        assert!(had_none(None));
        layout::record(&places, &running.layout).unwrap();
        assert!(!had_none(None));
    }

    #[test]
    fn of_two_that_make_a_key_at_the_same_time_the_second_takes_that_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let example = include_str!("../../../docs/examples/minimal.yaml");
        let places = places(directory.path(), example);
        let load = || load(&places).unwrap_or_else(|error| panic!("{error}"));
        let (first, second) = (load(), load());
        let first = first.keep(&places).unwrap_or_else(|e| panic!("{e}"));
        let second = second.keep(&places).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(first.0, second.0);
    }

    #[test]
    fn a_reload_that_is_refused_makes_no_keys() {
        let directory = tempfile::tempdir().unwrap();
        let example = include_str!("../../../docs/examples/minimal.yaml").to_owned();
        let bad = places(directory.path(), &format!("{example}\nbogus: 1\n"));
        let running = parsed(&example);
        let refused = reload(&bad, &running);
        assert!(matches!(refused, Err(LoadError::Invalid(_))));
        let moved = places(directory.path(), &example);
        let mut running = running;
        running.layout.table_base = 20_000;
        let refused = reload(&moved, &running);
        assert!(matches!(refused, Err(LoadError::OtherLayout)));
        assert_eq!(made(&moved), 0);
    }
}
