//! What is rendered, case by case, and that FRR's own parser takes it.
//!
//! `UPDATE_EXPECT=1 cargo test -p patronus-frr --test golden` writes the files anew.

mod cases;
mod requirements;

use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect_file;
use patronus_frr::render::render;

fn file(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
        .join("frr.conf")
}

#[test]
fn every_case_is_rendered_as_its_golden_file_says() {
    for (case, desired) in cases::all() {
        let path = file(case);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        expect_file![path].assert_eq(&render(&desired).to_text());
    }
}

#[test]
fn every_golden_file_is_of_a_case() {
    let folder = file("x").parent().unwrap().parent().unwrap().to_owned();
    let known: Vec<&str> = cases::all().iter().map(|(case, _)| *case).collect();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name.as_str()), "no case is named {name}");
    }
}

#[test]
fn frr_itself_can_read_every_golden_file() {
    if requirements::skipped().unwrap() {
        return;
    }
    for (case, _) in cases::all() {
        let output = Command::new(requirements::VTYSH)
            .args(["-C", "-f"])
            .arg(file(case))
            .output()
            .unwrap();
        let words = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{case}: {}",
            String::from_utf8_lossy(&words)
        );
    }
}
