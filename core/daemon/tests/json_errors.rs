//! What the commands that `patronus` hands on to `patronusd` say when they fail.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::process::Command;

use serde_json::Value;

#[test]
fn a_teardown_that_cannot_know_what_to_remove_says_so_in_json() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).into_os_string();
    std::fs::create_dir(directory.path().join("state-dir")).unwrap();
    std::fs::write(directory.path().join("state-dir/layout.json"), "garbage").unwrap();
    let run = |json: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patronusd"));
        command.arg("teardown").args(json);
        for option in ["config", "state-dir", "runtime-dir"] {
            command.arg(format!("--{option}")).arg(place(option));
        }
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run(&["--json"]);
    let error = said.lines().last().unwrap_or_default();
    let error: Value = serde_json::from_str(error).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(error["error"]["code"], "FAILED");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("layout.json is not a layout that patronusd wrote"),
        "{said}"
    );
    let said = run(&[]);
    assert!(
        said.starts_with("patronusd: ") && said.contains("is not a layout"),
        "{said}"
    );
}
