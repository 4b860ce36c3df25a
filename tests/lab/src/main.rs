//! `patronus-lab`: labs on the command line.
//!
//! The same binary becomes the supervisor of a lab and its WAN emulator, see
//! `patronus_lab::internal`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program prints; SIGPIPE has its default action, so print cannot panic"
)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match cli::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("patronus-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
