//! Other people's programs, run with a limit.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Doing, Error};

/// Runs a program to its end and returns its standard output. The program is killed when it takes
/// longer than `limit`.
pub(crate) fn run(
    program: &str,
    arguments: &[&str],
    input: String,
    limit: Duration,
) -> Result<String, Error> {
    let command = || format!("{program} {}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing(|| format!("starting {program}"))?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let stdin = child.stdin.take();
    let writer = std::thread::spawn(move || {
        // A program that does not want its input closes it; its exit status says the rest.
        stdin.map(|mut stdin| stdin.write_all(input.as_bytes()))
    });
    let output = within(limit, command, move || child.wait_with_output());
    if matches!(output, Err(Error::TimedOut { .. })) {
        // Not reaped yet, because the waiting thread still waits: the pid is still its own.
        let _ = kill(pid, Signal::SIGKILL);
    }
    let _ = writer.join();
    let output = output?.doing(|| format!("running {program}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Command {
            command: command(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

/// Calls something that may block for ever on a thread of its own, in the same namespaces. When it
/// does not return in time, its thread is left behind.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    doing: impl Fn() -> String,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("patronus-call".to_owned())
        .spawn(move || sender.send(call()))
        .doing(|| format!("starting a thread for {}", doing()))?;
    receiver.recv_timeout(limit).map_err(|_| Error::TimedOut {
        doing: doing(),
        limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn input_is_passed_and_output_returned() {
        assert_eq!(
            run("cat", &[], "abc".repeat(100_000), LIMIT).unwrap().len(),
            300_000
        );
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        let error = run("sh", &["-c", "echo no >&2; exit 3"], String::new(), LIMIT).unwrap_err();
        assert!(error.report().ends_with("failed: no"), "{}", error.report());
        assert!(run("no-such-program", &[], String::new(), LIMIT).is_err());
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let limit = Duration::from_millis(50);
        let error = run("sleep", &["100"], String::new(), limit).unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }));
    }
}
