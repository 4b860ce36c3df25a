//! `patronus-lab` as a person uses it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is a failed test, also in its helpers"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use patronus_lab::{Sandbox, Signal};
use support::Traces;

fn patronus_lab(lab: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_patronus-lab"))
        .env("PATRONUS_LAB", lab)
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs a command that must go well, and returns its stdout.
fn well(lab: &str, arguments: &[&str]) -> String {
    let output = patronus_lab(lab, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with a status, and returns its stderr.
fn fails(lab: &str, status: i32, arguments: &[&str]) -> String {
    let output = patronus_lab(lab, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
    error
}

fn name(what: &str) -> String {
    format!("t-{what}-{}", std::process::id())
}

#[test]
fn a_lab_is_brought_up_broken_healed_and_taken_down() {
    let lab = &name("cli");
    // It is called as PATRONUS_LAB or --lab says.
    let up = well(lab, &["up"]);
    assert!(up.contains("berlin fibre") && up.contains("● up"), "{up}");
    assert!(up.lines().all(|line| line.chars().count() <= 90), "{up}");
    let traces = Traces::of(&Sandbox::attach(lab).unwrap());

    assert_eq!(well(lab, &["exec", "berlin", "hostname"]), "berlin\n");
    let here = std::env::current_dir().unwrap();
    let there = well(lab, &["exec", "berlin", "pwd"]);
    assert_eq!(there.trim_end(), here.to_str().unwrap());
    assert_eq!(
        patronus_lab(lab, &["exec", "berlin", "sh", "-c", "exit 7"])
            .status
            .code(),
        Some(7)
    );
    well(lab, &["cut", "berlin", "fibre", "--mode", "carrier"]);
    well(
        lab,
        &[
            "degrade", "berlin", "lte", "--delay", "80ms", "--loss", "3%",
        ],
    );
    let status = well(lab, &["status"]);
    assert!(
        status.contains("○ carrier") && status.contains("◐ degraded"),
        "{status}"
    );
    let json: serde_json::Value = serde_json::from_str(&well(lab, &["status", "--json"])).unwrap();
    assert_eq!(json["uplinks"][0]["cut"], "carrier");
    assert_eq!(json["uplinks"][1]["profile"]["up"]["delay"], "80ms");
    well(lab, &["heal", "--all"]);
    assert!(!well(lab, &["status"]).contains('○'));

    let traffic = ["traffic", "berlin", "lisbon", "--time", "1s", "--json"];
    let json: serde_json::Value = serde_json::from_str(&well(lab, &traffic)).unwrap();
    assert!(json["a_to_b"]["received"].as_u64().unwrap() > 300, "{json}");
    assert!(well(lab, &["list", "--json"]).contains(&format!("\"{lab}\"")));

    well(lab, &["down"]);
    traces.vanish();
    assert!(fails(lab, 1, &["status"]).contains("there is no lab named"));
}

#[test]
fn ctrl_c_ends_a_lab_in_the_foreground() {
    let lab = name("foreground");
    let mut up = Command::new(env!("CARGO_BIN_EXE_patronus-lab"))
        .args(["up", "--foreground", "--name", &lab])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("Ctrl-C")));
    let traces = Traces::of(&Sandbox::attach(&lab).unwrap());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(up.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
    assert!(lines.any(|line| line.unwrap().contains("is gone")));
    assert!(up.wait().unwrap().success());
    assert_eq!(traces.left(), Vec::<String>::new());
}

#[test]
fn mistakes_are_explained() {
    let lab = &name("mistakes");
    assert!(fails(lab, 2, &["cut", "berlin"]).contains("<UPLINK>"));
    assert!(fails(lab, 2, &["degrade", "berlin", "lte", "--delay", "80"]).contains("80ms"));
    assert!(fails(lab, 1, &["up", "/nonexistent.yaml"]).contains("/nonexistent.yaml"));
    assert!(fails(lab, 1, &["up", "--name", "No Name"]).contains("is not valid"));
    assert!(fails(lab, 1, &["exec", "berlin", "true"]).contains("there is no lab"));
    let help = well(lab, &["--help"]);
    assert!(
        help.contains("Examples:") && help.contains("Exit status:"),
        "{help}"
    );
}

#[test]
fn the_example_is_a_topology() {
    let yaml = well("none", &["example"]);
    let topology = patronus_lab::Topology::parse(&yaml).unwrap();
    assert_eq!(topology.sites.len(), 3);
    let plan: patronus_lab::Plan =
        serde_json::from_str(&well("none", &["plan", "--json"])).unwrap();
    assert_eq!(plan, patronus_lab::Plan::derive(&topology).unwrap());
}
