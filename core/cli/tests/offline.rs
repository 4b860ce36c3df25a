//! What the real binary does without a daemon.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod program;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use program::{patronus, run, said};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn a_configuration_is_checked_without_a_daemon() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("config.yaml");
    let check = |text: &str, args: &[&str]| {
        fs::write(&file, text).unwrap();
        let all = [&["config", "check", file.to_str().unwrap()], args].concat();
        run(Path::new("/nonexistent"), &all)
    };
    let example = |args: &[&str]| {
        let all = [&["config", "example"], args].concat();
        run(Path::new("/nonexistent"), &all).1
    };
    let (status, out, err) = check(&example(&["--minimal"]), &[]);
    assert_eq!(
        (status, out.as_str()),
        (0, "● The configuration is valid.\n"),
        "{err}"
    );
    let example = example(&[]);
    let (status, out, _) = check(&example, &[]);
    let elsewhere =
        out.contains("/etc/patronus/secrets/frankfurt") && out.contains("on the router");
    assert_eq!((status, elsewhere), (0, true), "{out}");
    let broken = example.replace("version: 1", "version: 1\nnonsense: true");
    let (status, out, _) = check(&broken, &[]);
    assert_eq!((status, out.contains("nonsense")), (1, true), "{out}");
    let (status, out, _) = check(&broken, &["--json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (status, &found[0]["severity"]),
        (1, &Value::from("error")),
        "{out}"
    );
    fs::remove_file(&file).unwrap();
    let (status, _, err) = run(Path::new("/"), &["config", "check", file.to_str().unwrap()]);
    let said = err.contains("there is no file") && err.contains("patronus config example");
    assert_eq!((status, said), (1, true), "{err}");
    let many: String = (0..60).map(|n| format!("nonsense{n}: 1\n")).collect();
    let (_, out, _) = check(&many, &[]);
    let shown = out.matches("nonsense").count();
    assert!(
        shown <= 50 && out.contains("more: --json shows all"),
        "{out}"
    );
    let (_, out, _) = check(&many, &["--json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert!(found.as_array().unwrap().len() > 60);
}

#[test]
fn a_configuration_may_be_piped_in() {
    let pipe = |command: &str, text: &str| {
        let args = ["config", command, "-"];
        let mut child = patronus(Path::new("/nonexistent"), &args)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        said(child.wait_with_output().unwrap())
    };
    let minimal = include_str!("../../../docs/examples/minimal.yaml");
    let (status, effective, _) = pipe("effective", minimal);
    assert_eq!(status, 0);
    for good in [minimal, effective.as_str()] {
        let (status, out, err) = pipe("check", good);
        let said = "● The configuration is valid.\n";
        assert_eq!((status, out.as_str(), err.as_str()), (0, said, ""));
    }
    let (status, out, _) = pipe("check", &minimal.replace("10.1.0.0/16", "10.1.0.0/33"));
    let place = "standard input:9:33  lans[0].prefixes";
    assert_eq!((status, out.contains(place)), (1, true), "{out}");
}

#[test]
fn the_schema_is_json_and_a_closed_pipe_is_no_error() {
    let (status, out, _) = run(Path::new("/nonexistent"), &["config", "schema"]);
    assert_eq!(status, 0);
    assert!(serde_json::from_str::<Value>(&out).unwrap().is_object());
    let mut child = patronus(Path::new("/"), &["config", "schema"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let (status, _, err) = said(child.wait_with_output().unwrap());
    assert_eq!((status, err.as_str()), (0, ""));
}

#[test]
fn the_effective_configuration_is_one_and_findings_are_said_beside_it() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("config.yaml");
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patronus"));
        said(
            command
                .args(["config", "effective"])
                .arg(&file)
                .output()
                .unwrap(),
        )
    };
    fs::write(&file, include_str!("../../../docs/examples/minimal.yaml")).unwrap();
    let (status, out, err) = run();
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains("stop_grace: 60000ms"), "{out}");
    fs::write(&file, &out).unwrap();
    assert_eq!(run(), (0, out, String::new()));
    fs::write(&file, "version: 2").unwrap();
    let (status, out, err) = run();
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(err.contains("config.yaml:1:10  version"), "{err}");
}

#[test]
fn doctor_and_teardown_are_what_the_sibling_says() {
    // A program that is started must not be open for writing, as it may be in a child that another
    // test is just starting: so this process writes none.
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let own = directory.path().join("patronus");
    fs::hard_link(env!("CARGO_BIN_EXE_patronus"), &own).unwrap();
    let run = |args: &[&str]| {
        said(
            Command::new(&own)
                .args(args)
                .env("PATH", "")
                .output()
                .unwrap(),
        )
    };
    if !Path::new("/usr/sbin/patronusd").exists() {
        let (status, _, err) = run(&["doctor"]);
        assert_eq!((status, err.contains("not installed")), (3, true), "{err}");
    }
    let sibling = directory.path().join("patronusd");
    let becomes = |script: &str| {
        let text = directory.path().join("script");
        fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        let copied = Command::new("install").arg(&text).arg(&sibling).status();
        assert!(copied.unwrap().success());
    };
    becomes("echo \"$@\"; exit 7");
    let (status, out, _) = run(&[
        "teardown",
        "--dry-run",
        "--yes",
        "--json",
        "--",
        "--config",
        "x",
    ]);
    assert_eq!(
        (status, out.as_str()),
        (7, "teardown --dry-run --yes --json --config x\n")
    );
    becomes(
        r#"[ "$*" = "doctor --json" ] && echo '{"capabilities": [{"name": "TUN", "found": false,
        "required": true, "detail": "no /dev/net/tun", "neededFor": "tunnels",
        "costWhenMissing": "no tunnels", "remedy": "modprobe tun"}],
        "conflicts": [{"name": "link group", "found": ["wan0"], "problem": null, "harmful": true,
        "harms": "tunnels", "cost": "confusion", "remedy": "ip link"}]}'; exit 1"#,
    );
    let (status, out, _) = run(&["doctor"]);
    for said in [
        "○ MISSING   TUN         no /dev/net/tun\n",
        "modprobe tun\n",
        "○ CONFLICT  link group  wan0\n",
        "1 thing missing without",
        "1 conflict by which",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
    assert_eq!(status, 1);
    let (status, out, _) = run(&["doctor", "--json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    let names = ["capabilities", "conflicts"].map(|list| &found[list][0]["name"]);
    assert_eq!((status, names), (1, [&"TUN".into(), &"link group".into()]));
}

/// Every command that prints JSON, as the manual has them, with what it cannot do without.
fn commands_with_json() -> Vec<Vec<String>> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man");
    let mut found = Vec::new();
    for page in fs::read_dir(manual).unwrap() {
        let page = page.unwrap().path();
        let name = page.file_name().unwrap().to_str().unwrap();
        let command = name
            .strip_prefix("patronus-")
            .and_then(|it| it.strip_suffix(".1"));
        let options = fs::read_to_string(&page).unwrap().replace("\\-", "-");
        let (Some(command), true) = (command, options.contains("\n\\fB--json\\fR")) else {
            continue;
        };
        let needs = match command {
            "explain" => "--src 10.1.0.5 --dst 10.2.0.9",
            "forget" => "10.7.0.0/24",
            "config-check" => "/nonexistent/config.yaml",
            _ => "",
        };
        let words = command.split('-').chain(needs.split_whitespace());
        found.push(words.chain(["--json"]).map(str::to_owned).collect());
    }
    assert!(found.len() >= 15, "{found:?}");
    found
}

#[test]
fn with_json_every_command_says_in_json_what_went_wrong() {
    // Where there is no sibling beside it.
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let own = directory.path().join("patronus");
    fs::hard_link(env!("CARGO_BIN_EXE_patronus"), &own).unwrap();
    let run = |args: &[String]| {
        let mut command = Command::new(&own);
        command
            .args(args)
            .env("PATH", "")
            .env("PATRONUS_SOCKET", "/nonexistent/socket");
        said(command.output().unwrap())
    };
    let installed = Path::new("/usr/sbin/patronusd").exists();
    let mut seen = Vec::new();
    for args in commands_with_json() {
        if installed && ["doctor", "teardown"].contains(&args[0].as_str()) {
            continue;
        }
        // As it is, and with an option that there is not.
        let wrong = [&args[..], &["--nonsense".to_owned()]].concat();
        for args in [args, wrong] {
            let (status, out, err) = run(&args);
            let error: Value =
                serde_json::from_str(&err).unwrap_or_else(|e| panic!("{e}: {args:?} {err}"));
            let error = &error["error"];
            let (code, message) = (error["code"].as_str(), error["message"].as_str());
            assert!(status > 0 && out.is_empty(), "{args:?} {out}");
            assert!(message.is_some_and(|it| !it.is_empty()), "{args:?} {err}");
            seen.push((status, code.unwrap().to_owned()));
        }
    }
    seen.sort_unstable();
    seen.dedup();
    let codes = [
        (1, "NOT_FOUND"),
        (2, "BAD_INPUT"),
        (3, "NOT_INSTALLED"),
        (3, "UNAVAILABLE"),
    ];
    let codes = codes.map(|(status, code)| (status, code.to_owned()));
    assert!(
        seen.iter().eq(codes
            .iter()
            .filter(|it| !installed || it.1 != "NOT_INSTALLED")),
        "{seen:?}"
    );
    // Help is help.
    let (status, out, err) = run(&["status", "--json", "--help"].map(str::to_owned));
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains("Usage:"), "{out}");
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (status, out, _) = run(Path::new("/nonexistent"), &["completions", shell]);
        assert_eq!((status, out.contains("explain")), (0, true), "{shell}");
    }
}
