//! Runs the program.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module of several tests, which may panic"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

pub fn patronus(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patronus"));
    command
        .args(args)
        .env("PATRONUS_SOCKET", socket)
        .env_remove("COLUMNS");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub fn run(socket: &Path, args: &[&str]) -> (i32, String, String) {
    said(patronus(socket, args).output().unwrap())
}

pub fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}
