//! Computes a fingerprint of the sources which the library and its helper binary must agree on.
//! Cargo does not build the binaries of a dependency, so the two can be of different ages.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

/// What runs in the helper binary on behalf of the library, and the messages between the two.
const SHARED: [&str; 5] = [
    "src/registry.rs",
    "src/supervisor",
    "src/sys.rs",
    "src/wan",
    "src/wire.rs",
];

fn main() {
    let mut files = Vec::new();
    for path in SHARED {
        println!("cargo::rerun-if-changed={path}");
        collect(Path::new(path), &mut files);
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(file.to_string_lossy().as_bytes());
        hasher.write(&fs::read(&file).unwrap_or_default());
    }
    println!(
        "cargo::rustc-env=PATRONUS_LAB_FINGERPRINT={:016x}",
        hasher.finish()
    );
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(path) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
