//! What is said about files that are wrong. `bad/NAME.yaml` gives `bad/NAME.txt` and is refused;
//! `warned/NAME.yaml` is taken. `UPDATE_EXPECT=1` writes the texts.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in tests, but does not see the helpers of tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use patronus_config::{Diagnostic, Severity, check};

/// Every YAML file of a folder with what is said about it.
fn cases(folder: &str) -> Vec<(PathBuf, Vec<Diagnostic>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let found = check(&fs::read_to_string(&path).unwrap(), &name);
        (path, found)
    };
    files.into_iter().map(read).collect()
}

fn expect(path: &Path, found: &[Diagnostic]) {
    let text: String = found.iter().map(|d| format!("{d}\n")).collect();
    expect_file![path.with_extension("txt")].assert_eq(&text);
}

#[test]
fn a_wrong_file_is_refused_with_all_that_is_wrong() {
    for (path, found) in cases("bad") {
        assert!(
            found.iter().any(|d| d.severity == Severity::Error),
            "{path:?}"
        );
        expect(&path, &found);
    }
}

#[test]
fn a_doubtful_file_is_taken_with_a_warning() {
    for (path, found) in cases("warned") {
        assert!(
            found.iter().all(|d| d.severity == Severity::Warning),
            "{path:?}: {found:#?}"
        );
        expect(&path, &found);
    }
}

#[test]
fn every_finding_points_into_the_file_and_says_what_to_do() {
    for (path, found) in cases("bad").into_iter().chain(cases("warned")) {
        let lines = fs::read_to_string(&path).unwrap().lines().count().max(1);
        for d in found {
            assert!(d.line >= 1 && d.line as usize <= lines + 1, "{d}");
            assert!(
                d.column >= 1 && !d.problem.is_empty() && !d.help.is_empty(),
                "{d}"
            );
        }
    }
}

#[test]
fn passwords_are_never_shown() {
    for (_, found) in cases("bad") {
        for d in found {
            let all = format!("{d:?}");
            for secret in [
                "hunter2",
                "letmein",
                "swordfish",
                "open sesame",
                "12345}",
                "xxxxxx",
            ] {
                assert!(!all.contains(secret), "{all}");
            }
        }
    }
}
