//! Which layout was applied last. What marks our objects in the kernel must be known to whoever
//! removes them, also when the configuration has changed, is not valid any more, or is gone.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use patronus_engine::diff::diff;
use patronus_linux::{Kernel, durable};
use patronus_model::kernel::KernelState;
use patronus_model::layout::{InterfacePrefix, KernelLayout, Marks};
use serde::{Deserialize, Serialize};

use crate::load::{LoadError, load};
use crate::places::Places;

/// The layout as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    protocol: u8,
    table_base: u32,
    rule_base: u32,
    interface_prefix: String,
    marks: MarksRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarksRecord {
    class: u32,
    classified: u32,
    epoch: u32,
    uplink: u32,
}

impl From<&KernelLayout> for Record {
    fn from(layout: &KernelLayout) -> Self {
        let Marks {
            class,
            classified,
            epoch,
            uplink,
        } = layout.marks;
        Self {
            protocol: layout.protocol,
            table_base: layout.table_base,
            rule_base: layout.rule_base,
            interface_prefix: layout.interface_prefix.as_str().to_owned(),
            marks: MarksRecord {
                class,
                classified,
                epoch,
                uplink,
            },
        }
    }
}

impl TryFrom<Record> for KernelLayout {
    type Error = anyhow::Error;

    fn try_from(record: Record) -> anyhow::Result<Self> {
        let MarksRecord {
            class,
            classified,
            epoch,
            uplink,
        } = record.marks;
        Ok(Self {
            protocol: record.protocol,
            table_base: record.table_base,
            rule_base: record.rule_base,
            interface_prefix: InterfacePrefix::new(&record.interface_prefix)
                .context("interface_prefix")?,
            marks: Marks {
                class,
                classified,
                epoch,
                uplink,
            },
        })
    }
}

/// Where it is written down. Not in the runtime directory, which may be emptied while the kernel's
/// objects are there.
fn file(places: &Places) -> PathBuf {
    places.state_dir.join("layout.json")
}

/// The layout that was applied last; `None` when none has been since the last teardown.
///
/// # Errors
/// It was written down, but cannot be read.
pub fn recorded(places: &Places) -> anyhow::Result<Option<KernelLayout>> {
    let file = file(places);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(file.display().to_string()),
    };
    let layout = serde_json::from_str::<Record>(&text)
        .map_err(anyhow::Error::new)
        .and_then(KernelLayout::try_from)
        .with_context(|| {
            format!(
                "{} is not a layout that patronusd wrote. Remove it if the section `kernel` of the \
                 configuration is as it was when patronusd ran last",
                file.display()
            )
        })?;
    Ok(Some(layout))
}

/// Whether nothing was ever applied here, or all of it was removed.
pub fn is_first(places: &Places) -> bool {
    matches!(fs::exists(file(places)), Ok(false))
}

/// Writes down that this layout is going to be applied, before anything is. What another layout
/// made must have been removed by then: nobody would recognise it any more.
///
/// # Errors
/// [`LoadError::LeftOver`], or it cannot be found out or written down.
pub fn record(places: &Places, layout: &KernelLayout) -> anyhow::Result<()> {
    if let Some(old) = recorded(places)? {
        if old == *layout {
            return Ok(());
        }
        let left = Kernel::open(old, places.kernel())
            .and_then(|mut kernel| kernel.observe())
            .map_err(|error| anyhow!(error.report()))?;
        if !diff(&KernelState::default(), &left).0.is_empty() {
            return Err(LoadError::LeftOver.into());
        }
    }
    let text = serde_json::to_string_pretty(&Record::from(layout))?;
    durable::replace(&file(places), text.as_bytes()).map_err(|error| anyhow!(error.report()))
}

/// Nothing is there any more.
///
/// # Errors
/// The file cannot be removed.
pub fn forget(places: &Places) -> anyhow::Result<()> {
    match fs::remove_file(file(places)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(file(places).display().to_string())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A layout, and what people should know when it is a guess.
#[derive(Debug, PartialEq, Eq)]
pub struct Assumed {
    /// The layout.
    pub layout: KernelLayout,
    /// Why it may be the wrong one.
    pub doubt: Option<String>,
}

/// Where what is in the kernel is: as applied last, else as configured, else as usual.
///
/// # Errors
/// What was applied last was written down, but cannot be read: it would be wrong to guess.
pub fn applied(places: &Places) -> anyhow::Result<Assumed> {
    match recorded(places)? {
        Some(layout) => Ok(Assumed {
            layout,
            doubt: None,
        }),
        None => Ok(configured(places).unwrap_or_else(|error| usual(places, &error, is_root()))),
    }
}

/// Where things are going to be: as configured, else as applied last, else as usual.
#[must_use]
pub fn intended(places: &Places) -> Assumed {
    configured(places).unwrap_or_else(|error| match recorded(places) {
        Ok(Some(layout)) => Assumed {
            layout,
            doubt: Some(
                "the configuration cannot be used; the kernel is searched for what the last one \
                 that could be made"
                    .to_owned(),
            ),
        },
        Ok(None) | Err(_) => usual(places, &error, is_root()),
    })
}

/// Whether whoever asks may read keys and records.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn configured(places: &Places) -> Result<Assumed, LoadError> {
    load(places).map(|loaded| Assumed {
        layout: loaded.parsed.0.layout,
        doubt: None,
    })
}

fn usual(places: &Places, error: &LoadError, may_read: bool) -> Assumed {
    let why = match error {
        LoadError::Unreadable { .. } => "cannot be read",
        LoadError::Invalid(_)
        | LoadError::OtherLayout
        | LoadError::LeftOver
        | LoadError::KeyNotKept { .. } => "is not valid",
    };
    let (config, record) = (places.config.display(), file(places));
    let record = record.display();
    let unknown = match may_read {
        true => format!("{config} {why}, and there is no record in {record} of what was applied"),
        false => format!(
            "without root it cannot be told by which marks what is in the kernel is known: keys that \
             {config} needs, and {record}, are root's to read. Run it with sudo"
        ),
    };
    let layout = KernelLayout::default();
    let doubt = format!(
        "{unknown}. Only the default marks are looked for: protocol {}, tables {} and rules {} and \
         the 999 after each, interfaces {}*. What a configuration with another section `kernel` made \
         would not be found",
        layout.protocol,
        layout.table_base,
        layout.rule_base,
        layout.interface_prefix.as_str(),
    );
    Assumed {
        layout,
        doubt: Some(doubt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::tests::places;

    const MINIMAL: &str = include_str!("../../../docs/examples/minimal.yaml");

    fn custom() -> KernelLayout {
        KernelLayout {
            protocol: 99,
            table_base: 20_000,
            rule_base: 2000,
            interface_prefix: InterfacePrefix::new("wan").unwrap(),
            marks: Marks {
                uplink: 0x0f00_0000,
                ..Marks::default()
            },
        }
    }

    #[test]
    fn what_was_applied_is_known_whatever_becomes_of_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        for config in [MINIMAL, "bogus: 1", ""] {
            let places = places(directory.path(), config);
            record(&places, &custom()).unwrap();
            let applied = applied(&places).unwrap();
            assert_eq!(applied.layout, custom(), "{config:?}");
            assert_eq!(applied.doubt, None);
            forget(&places).unwrap();
        }
    }

    #[test]
    fn without_a_record_the_configuration_says_and_without_both_it_is_a_guess() {
        let directory = tempfile::tempdir().unwrap();
        let configured = format!("{MINIMAL}\nkernel: {{table_base: 20000}}\n");
        let good = places(directory.path(), &configured);
        let found = applied(&good).unwrap();
        assert_eq!((found.layout.table_base, found.doubt), (20_000, None));
        let bad = places(directory.path(), "bogus: 1");
        let guess = applied(&bad).unwrap();
        assert_eq!(guess.layout, KernelLayout::default());
        let doubt = guess.doubt.unwrap();
        assert!(doubt.contains("is not valid"), "{doubt}");
        assert!(doubt.contains("state/layout.json"), "{doubt}");
    }

    #[test]
    fn who_is_not_root_is_told_what_cannot_be_told_and_not_that_it_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let places = places(directory.path(), "bogus: 1");
        let error = load(&places).map(drop).unwrap_err();
        let doubt = usual(&places, &error, false).doubt.unwrap();
        assert!(doubt.contains("without root it cannot be told"), "{doubt}");
        assert!(doubt.contains("Run it with sudo"), "{doubt}");
        let wrong = ["is not valid", "there is no record"];
        assert!(!wrong.iter().any(|it| doubt.contains(it)), "{doubt}");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_not_replaced_by_a_guess() {
        let directory = tempfile::tempdir().unwrap();
        let places = places(directory.path(), MINIMAL);
        fs::create_dir(&places.state_dir).unwrap();
        fs::write(file(&places), "{}").unwrap();
        let error = format!("{:#}", applied(&places).unwrap_err());
        assert!(
            error.contains("not a layout that patronusd wrote"),
            "{error}"
        );
    }
}
