//! Manual pages, generated from the command lines that they describe, and committed under
//! `docs/man`.
#![allow(
    clippy::expect_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// Compares the pages of a program and its commands with those that are committed. Rewrites these
/// if `UPDATE_EXPECT` is set.
///
/// # Panics
/// When they differ.
pub fn check(program: Command, section: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man");
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut pages = BTreeMap::new();
    collect(&program, section, &mut pages);
    let committed = || fs::read_dir(&folder).into_iter().flatten().flatten();
    let name = program.get_name().to_owned();
    let is_ours = |file: &str| {
        let stem = file.strip_suffix(&format!(".{section}"));
        stem.is_some_and(|stem| stem == name || stem.starts_with(&format!("{name}-")))
    };
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    if update {
        fs::create_dir_all(&folder).expect("docs/man can be made");
    }
    let mut wrong: Vec<String> = Vec::new();
    for entry in committed() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if is_ours(&file) && !pages.contains_key(&file) {
            match update {
                true => fs::remove_file(entry.path()).expect("docs/man is ours"),
                false => wrong.push(format!("{file}: there is no such command")),
            }
        }
    }
    for (file, text) in pages {
        let path = folder.join(&file);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        match update {
            true => fs::write(path, text).expect("docs/man is ours"),
            false => wrong.push(format!("{file} is out of date")),
        }
    }
    assert!(wrong.is_empty(), "run with UPDATE_EXPECT=1: {wrong:?}");
}

/// The page of a command, and those of the commands below it.
fn collect(command: &Command, section: &str, pages: &mut BTreeMap<String, String>) {
    for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        collect(below, section, pages);
    }
    let man = Man::new(command.clone()).section(section);
    let file = man.get_filename();
    let name = file.trim_end_matches(&format!(".{section}")).to_owned();
    // Without a date, so that a page changes only when what it describes does. (clap_mangen would
    // leave the empty argument out.)
    let title = format!(".TH {name:?} {section:?} \"\" \"Patronus\" \"Patronus\"\n");
    let mut page = title.into_bytes();
    let rendered = man
        .render_name_section(&mut page)
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page));
    rendered.expect("a vector can be written to");
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)
            .expect("a vector can be written to");
    }
    let mut text = String::from_utf8(page).expect("pages are UTF-8");
    if let Some(help) = command.get_after_help() {
        text += &after(&help.to_string());
    }
    text += ".SH \"SEE ALSO\"\n";
    let others = ["patronus(1)", "patronusd(8)"];
    let others: Vec<&str> = others
        .into_iter()
        .filter(|other| *other != format!("{name}({section})"))
        .collect();
    text += &format!("{}\n", others.join(", "));
    pages.insert(file, text);
}

/// What the help says at its end, as sections. Examples keep their lines.
fn after(help: &str) -> String {
    let mut roff = Roff::new();
    for paragraph in help.split("\n\n") {
        if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
            roff.control("SH", ["EXAMPLES"]);
            roff.control("nf", []);
            for line in examples.lines() {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        } else if let Some(statuses) = paragraph.strip_prefix("Exit status: ") {
            roff.control("SH", ["EXIT STATUS"]);
            roff.text([roman(statuses)]);
        } else {
            roff.control("SH", ["NOTES"]);
            roff.text([roman(paragraph)]);
        }
    }
    roff.render()
}
