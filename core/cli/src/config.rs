//! `patronus config`: all of it works without a daemon.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use patronus_config::NoPassword;
use patronus_model::Secret;

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
    let found = findings(&bytes, &file.display().to_string(), is_in_force(file));
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

/// Where the configuration of this very machine is.
const IN_FORCE: &str = "/etc/patronus";

/// Whether a file is one that `patronusd` here reads or is going to. Any other may be for another
/// machine, whose password files are not here.
fn is_in_force(file: &Path) -> bool {
    fs::canonicalize(file).is_ok_and(|file| file.starts_with(IN_FORCE))
}

/// The password in a file. What is not here is missing only if this is the router; what we may not
/// read, root may.
fn password(file: &Path, on_router: bool) -> Result<Secret, NoPassword> {
    let text = || {
        // Whatever it is, it is not waited for, nor read without end.
        if fs::metadata(file)?.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        if !fs::metadata(file)?.is_file() {
            let reason = "it is not a regular file";
            return Err(std::io::Error::new(ErrorKind::InvalidInput, reason));
        }
        let mut text = String::new();
        let most = patronus_config::MOST_BYTES as u64;
        fs::File::open(file)?.take(most).read_to_string(&mut text)?;
        Ok(Secret::new(text))
    };
    text().map_err(|error: std::io::Error| {
        let known = on_router && error.kind() != ErrorKind::PermissionDenied;
        let reason = error.to_string();
        match known {
            true => NoPassword::Unreadable(reason),
            false => NoPassword::Elsewhere(reason),
        }
    })
}

fn findings(bytes: &[u8], name: &str, on_router: bool) -> Vec<Diagnostic> {
    let found = match patronus_config::decode(bytes, name) {
        Ok(text) => {
            let password = |file: &Path| password(file, on_router);
            patronus_config::check_with_passwords(text, name, &password)
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

    #[test]
    fn the_examples_are_valid() {
        for (text, password_files) in [(EXAMPLE, 2), (MINIMAL, 0)] {
            let found = findings(text.as_bytes(), "example.yaml", false);
            assert_eq!(found.len(), password_files, "{found:#?}");
            assert!(!diagnostics::has_errors(&found), "{found:#?}");
        }
    }

    #[test]
    fn what_is_not_text_is_said_to_be_none() {
        let found = findings(b"version: 1\n\xff\n", "x.yaml", false);
        assert!(diagnostics::has_errors(&found));
    }

    #[test]
    fn a_password_file_that_is_not_here_is_missing_only_on_the_router_itself() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        let with_file = || {
            let key = format!("- id: lisbon\n    bgp_password_file: {}", file.display());
            MINIMAL.replace("- id: lisbon", &key)
        };
        let check = |on_router| {
            let found = findings(with_file().as_bytes(), "x.yaml", on_router);
            let lines = found
                .iter()
                .map(|it| format!("{} {}", it.field, it.problem));
            (
                diagnostics::has_errors(&found),
                lines.collect::<Vec<_>>().join("\n"),
            )
        };
        let (refused, said) = check(false);
        assert!(
            !refused && said.contains("sites[0].bgp_password_file cannot read"),
            "{said}"
        );
        let (refused, said) = check(true);
        assert!(refused && said.contains("No such file"), "{said}");
        fs::write(&file, "not a password\n").unwrap();
        let (refused, said) = check(false);
        assert!(
            refused && said.contains("does not hold a password"),
            "{said}"
        );
        fs::write(&file, "correct-horse\n").unwrap();
        assert_eq!(check(true), (false, String::new()));
        assert!(!is_in_force(&file));
    }
}
