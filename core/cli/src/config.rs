//! `patronus config`: all of it works without a daemon.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use crate::answers::Diagnostic;
use crate::args::ConfigCommand;
use crate::layout::{Memory, Page, Text, Tone};
use crate::output;
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

fn read(file: &Path) -> Result<Vec<u8>, Trouble> {
    let bytes = || {
        let mut bytes = Vec::new();
        let most = patronus_config::MOST_BYTES as u64 + 1;
        std::fs::File::open(file)?
            .take(most)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    bytes().map_err(|error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Trouble::NoFile(file.to_owned()),
        ErrorKind::IsADirectory => Trouble::Directory(file.to_owned()),
        _ => Trouble::File(file.to_owned(), error),
    })
}

fn effective(file: &Path) -> Result<u8, Trouble> {
    let bytes = read(file)?;
    let name = file.display().to_string();
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
    let bytes = read(file)?;
    let found = findings(&bytes, &file.display().to_string());
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

fn findings(bytes: &[u8], name: &str) -> Vec<Diagnostic> {
    let found = match patronus_config::decode(bytes, name) {
        Ok(text) => patronus_config::check(text, name),
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

    #[test]
    fn the_examples_are_valid() {
        for text in [EXAMPLE, MINIMAL] {
            let found = findings(text.as_bytes(), "example.yaml");
            assert!(found.is_empty(), "{found:#?}");
        }
    }

    #[test]
    fn what_is_not_text_is_said_to_be_none() {
        let found = findings(b"version: 1\n\xff\n", "x.yaml");
        assert!(diagnostics::has_errors(&found));
    }
}
