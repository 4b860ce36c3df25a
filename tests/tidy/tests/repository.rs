//! Rules of the repository that a compiler does not know.
#![allow(
    clippy::expect_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use patronus_tidy::purity::impurities;

/// Which of our crates each may use, tests excepted. A crate that is not here is refused, so that
/// its place is thought about.
const MAY_USE: &[(&str, &[&str])] = &[
    ("patronus-model", &[]),
    ("patronus-engine", &["patronus-model"]),
    ("patronus-planner", &["patronus-model"]),
    ("patronus-config", &["patronus-model"]),
    ("patronus-access", &["patronus-model"]),
    (
        "patronus-store",
        &["patronus-model", "patronus-access", "patronus-identity"],
    ),
    ("patronus-identity", &["patronus-model"]),
    ("patronus-control", &["patronus-model", "patronus-identity"]),
    (
        "patronus-controller",
        &[
            "patronus-model",
            "patronus-planner",
            "patronus-config",
            "patronus-store",
            "patronus-control",
            "patronus-identity",
            "patronus-access",
        ],
    ),
    ("patronus-linux", &["patronus-model"]),
    ("patronus-frr", &["patronus-model"]),
    ("patronus-api", &["patronus-model"]),
    ("patronus-cli", &["patronus-model", "patronus-config"]),
    (
        "patronus-daemon",
        &[
            "patronus-model",
            "patronus-engine",
            "patronus-config",
            "patronus-linux",
            "patronus-frr",
            "patronus-api",
        ],
    ),
    ("patronus-lab", &[]),
    ("patronus-e2e", &["patronus-lab"]),
    (
        "patronus-bench",
        &[
            "patronus-model",
            "patronus-engine",
            "patronus-linux",
            "patronus-daemon",
            "patronus-lab",
            "patronus-e2e",
            "patronus-store",
        ],
    ),
    ("patronus-tidy", &[]),
];

/// What the pure crates may use of others: what neither does I/O nor depends on time or chance.
const PURE_MAY_USE: &[(&str, &[&str])] = &[
    ("patronus-model", &["ipnet", "thiserror", "zeroize"]),
    ("patronus-engine", &["patronus-model", "ipnet", "thiserror"]),
    ("patronus-planner", &["patronus-model", "ipnet"]),
    (
        "patronus-access",
        &[
            "patronus-model",
            "argon2",
            "data-encoding",
            "hmac",
            // Reads the clock only if it is to check what has expired, which its caller does here.
            "jsonwebtoken",
            "serde",
            "sha2",
            "subtle",
            "thiserror",
            "unicode-normalization",
            "zeroize",
        ],
    ),
];

/// Where nothing does I/O or depends on time or chance: the pure crates, and a part of another one that
/// is not worth a crate of its own.
const PURE_FOLDERS: [&str; 5] = [
    "core/access/src/",
    "core/model/src/",
    "core/engine/src/",
    "core/planner/src/",
    "core/control/src/session/",
];

/// Longer files have more than one subject, or are about to.
const MOST_LINES: usize = 500;

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("tests/tidy lies two folders deep")
        .to_owned()
}

/// The files that git tracks or would track.
fn files(suffix: &str) -> Vec<(String, String)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    // Of no files, all rules hold.
    assert!(output.status.success(), "git ls-files: {output:?}");
    let names = String::from_utf8(output.stdout).expect("names are UTF-8");
    let ours = names.lines().filter(|name| name.ends_with(suffix));
    ours.filter_map(|name| Some((name.to_owned(), fs::read_to_string(root().join(name)).ok()?)))
        .collect()
}

fn check(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let pure: BTreeMap<&str, &[&str]> = PURE_MAY_USE.iter().copied().collect();
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let Some(allowed) = allowed.get(name) else {
            problems.push(format!("{name}: say in MAY_USE what it may depend on"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().expect("a name");
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            let ours = used.starts_with("patronus-");
            let impure = pure.get(name).is_some_and(|pure| !pure.contains(&used));
            if impure || (ours && !allowed.contains(&used)) {
                problems.push(format!("{name} must not depend on {used}"));
            }
        }
    }
    check(problems);
}

#[test]
fn the_core_is_pure() {
    let pure = |name: &str| PURE_FOLDERS.iter().any(|folder| name.starts_with(folder));
    let mut problems = Vec::new();
    for (name, text) in files(".rs").into_iter().filter(|(name, _)| pure(name)) {
        for (line, what) in impurities(&text) {
            problems.push(format!("{name}:{line}: `{what}` in a pure folder"));
        }
    }
    check(problems);
}

#[test]
fn files_have_one_subject() {
    let long = files(".rs")
        .into_iter()
        .map(|(name, text)| (name, text.lines().count()));
    check(
        long.filter(|(_, lines)| *lines > MOST_LINES)
            .map(|(name, lines)| format!("{name}: {lines} lines, more than {MOST_LINES}"))
            .collect(),
    );
}

#[test]
fn modules_are_named_after_what_they_are_about() {
    let vague = [
        "utils", "util", "common", "shared", "helpers", "helper", "manager", "misc",
    ];
    let named = |name: &str| {
        name.split('/')
            .any(|part| vague.contains(&part.trim_end_matches(".rs")))
    };
    let names = files(".rs").into_iter().map(|(name, _)| name);
    check(
        names
            .filter(|name| named(name))
            .map(|name| format!("{name}: a vague name"))
            .collect(),
    );
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt apart, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    let mut problems = Vec::new();
    for (name, text) in [".rs", ".sh", ".toml", ".yml", ".yaml"]
        .iter()
        .flat_map(|end| files(end))
    {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                problems.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    check(problems);
}

#[test]
fn everybody_builds_with_the_rust_that_is_promised() {
    let value = |file: &str, key: &str| {
        let text = fs::read_to_string(root().join(file)).expect("the file is there");
        let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
        let found = lines.find(|(name, _)| *name == key);
        let (_, value) = found.unwrap_or_else(|| panic!("{file} has no {key}"));
        value.trim_matches('"').to_owned()
    };
    let promised = value("Cargo.toml", "rust-version");
    let used = value("rust-toolchain.toml", "channel");
    assert!(
        used.starts_with(&format!("{promised}.")),
        "rust-toolchain.toml selects {used}, but Cargo.toml promises {promised}"
    );
    // A version that is named elsewhere is installed, but the one above is used.
    let named = files(".yml").into_iter().flat_map(|(name, text)| {
        let installs = |line: &&str| {
            line.split_once("rustup toolchain install")
                .is_some_and(|(_, rest)| !rest.is_empty())
        };
        let lines: Vec<_> = text.lines().filter(installs).map(str::to_owned).collect();
        lines.into_iter().map(move |line| format!("{name}:{line}"))
    });
    check(named.collect());
}

#[test]
fn every_crate_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let manifests = files("Cargo.toml").into_iter().map(|(name, _)| name);
    let folders = manifests.filter_map(|name| Some(name.strip_suffix("/Cargo.toml")?.to_owned()));
    check(
        folders
            .filter(|folder| !map.contains(&format!("`{folder}`")))
            .map(|folder| format!("`{folder}` is missing in ARCHITECTURE.md"))
            .collect(),
    );
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut problems = Vec::new();
    for (name, text) in files(".md") {
        let folder = root().join(&name).parent().expect("a folder").to_owned();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            let outside = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if !outside && !folder.join(file).exists() {
                problems.push(format!("{name}: nothing at {target}"));
            }
        }
    }
    check(problems);
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    let places = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/home", "/"),
    ];
    let ends = [
        ".rs", ".md", ".toml", ".sh", ".yaml", ".yml", ".json", "Makefile",
    ];
    let mut problems = Vec::new();
    for (name, text) in ends.iter().flat_map(|end| files(end)) {
        for (number, line) in text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                problems.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    check(problems);
}
