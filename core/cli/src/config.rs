//! `patronus config`: all of it works without a daemon.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use patronus_model::ids::{IfName, UplinkName};

use crate::answers::Diagnostic;
use crate::args::ConfigCommand;
use crate::layout::{Memory, Page, Text, Tone};
use crate::output;
use crate::surroundings::Surroundings;
use crate::trouble::Trouble;
use crate::views::diagnostics;

const EXAMPLE: &str = include_str!("../../../docs/examples/site.yaml");
const MINIMAL: &str = include_str!("../../../docs/examples/minimal.yaml");

/// Runs it.
pub(crate) fn run(command: ConfigCommand) -> Result<u8, Trouble> {
    match command {
        ConfigCommand::Check { file, json } => check(&file, json),
        ConfigCommand::Effective { file } => effective(&file),
        ConfigCommand::Schema => {
            let schema = patronus_config::json_schema();
            output::write(&format!("{}\n", schema.trim_end()))?;
            Ok(0)
        }
        ConfigCommand::Example { minimal } => {
            output::write(if minimal { MINIMAL } else { EXAMPLE })?;
            Ok(0)
        }
    }
}

/// A configuration that was read, but not understood yet.
struct Source {
    /// What messages call it.
    name: String,
    bytes: Vec<u8>,
    surroundings: Surroundings,
}

/// Reads a file, or what is piped in, which is called `-`.
fn read(file: &Path) -> Result<Source, Trouble> {
    let piped = file == Path::new("-");
    let bytes = || match piped {
        true => limited(io::stdin().lock()),
        false => limited(std::fs::File::open(file)?),
    };
    let bytes = bytes().map_err(|error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Trouble::NoFile(file.to_owned()),
        ErrorKind::IsADirectory => Trouble::Directory(file.to_owned()),
        _ => Trouble::File(file.to_owned(), error),
    })?;
    Ok(match piped {
        true => Source {
            name: "standard input".to_owned(),
            bytes,
            surroundings: Surroundings::elsewhere(),
        },
        false => Source {
            name: file.display().to_string(),
            bytes,
            surroundings: Surroundings::of(file),
        },
    })
}

/// Not more than a configuration can have, whatever it is.
fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = patronus_config::MOST_BYTES as u64 + 1;
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn effective(file: &Path) -> Result<u8, Trouble> {
    let Source { name, bytes, .. } = read(file)?;
    let text = patronus_config::decode(&bytes, &name);
    match text.and_then(|text| patronus_config::effective(text, &name)) {
        Ok((text, _)) => {
            output::write(&text)?;
            Ok(0)
        }
        Err(found) => {
            let found: Vec<Diagnostic> = found.into_iter().map(Diagnostic::from).collect();
            // What is printed is a configuration, or nothing.
            let found = page(&found).draw(output::canvas(), &mut Memory::default());
            output::complain(&format!(
                "the configuration is not valid\n{}",
                found.trim_end()
            ));
            Ok(1)
        }
    }
}

fn check(file: &Path, json: bool) -> Result<u8, Trouble> {
    let source = read(file)?;
    let found = findings(&source);
    if json {
        let found = serde_json::to_value(&found).unwrap_or_default();
        output::write_json(&found)?;
    } else {
        output::write(&page(&found).draw(output::canvas(), &mut Memory::default()))?;
    }
    Ok(if diagnostics::has_errors(&found) {
        1
    } else {
        0
    })
}

fn findings(source: &Source) -> Vec<Diagnostic> {
    let Source {
        name,
        bytes,
        surroundings,
    } = source;
    let found = match patronus_config::decode(bytes, name) {
        Ok(text) => {
            let key = |uplink: &UplinkName| surroundings.key(uplink);
            let password = |file: &Path| surroundings.password(file);
            let addresses = |interface: &IfName| surroundings.addresses(interface);
            let surroundings = patronus_config::Surroundings {
                key: &key,
                password: &password,
                addresses: &addresses,
            };
            patronus_config::check_in(text, name, &surroundings)
        }
        Err(found) => found,
    };
    found.into_iter().map(Diagnostic::from).collect()
}

fn page(found: &[Diagnostic]) -> Page {
    let mut page = Page::default();
    diagnostics::show(found, &mut page);
    if found.is_empty() {
        page.line(Text::toned(Tone::Good, "● The configuration is valid."));
    } else if !diagnostics::has_errors(found) {
        page.line(Text::toned(
            Tone::Warning,
            "◐ The configuration is valid, but see above.",
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piped(text: &[u8]) -> Source {
        Source {
            name: "standard input".to_owned(),
            bytes: text.to_owned(),
            surroundings: Surroundings::elsewhere(),
        }
    }

    #[test]
    fn the_examples_are_valid() {
        for (text, password_files) in [(EXAMPLE, 2), (MINIMAL, 0)] {
            let found = findings(&piped(text.as_bytes()));
            assert_eq!(found.len(), password_files, "{found:#?}");
            assert!(!diagnostics::has_errors(&found), "{found:#?}");
        }
    }

    #[test]
    fn what_is_not_text_is_said_to_be_none() {
        let found = findings(&piped(b"version: 1\n\xff\n"));
        assert!(diagnostics::has_errors(&found));
    }
}
