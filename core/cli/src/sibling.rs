//! What needs the kernel rather than the daemon: `patronusd` itself does it. This program becomes
//! that one, or shows what it says.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::trouble::Trouble;

const NAME: &str = "patronusd";

/// What `patronusd doctor --json` prints, and whether all is well.
pub(crate) fn doctor() -> Result<(Vec<u8>, bool), Trouble> {
    let program = find().ok_or(Trouble::NotInstalled)?;
    let output = Command::new(&program)
        .args(["doctor", "--json"])
        .output()
        .map_err(|error| Trouble::Unreachable(program, error.to_string()))?;
    if output.stdout.is_empty() && !output.status.success() {
        return Err(Trouble::Daemon(why(&output.stderr)));
    }
    Ok((output.stdout, output.status.success()))
}

/// What a command said that was to say it in JSON.
fn why(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let last = said.lines().last().unwrap_or_default();
    let error: Option<Value> = serde_json::from_str(last).ok();
    let message = error.as_ref().and_then(|it| it.pointer("/error/message"));
    let message = message.and_then(Value::as_str);
    message.unwrap_or(said.trim()).to_owned()
}

/// Becomes `patronusd teardown`; returns only if it cannot.
pub(crate) fn teardown(dry_run: bool, yes: bool, json: bool, more: Vec<OsString>) -> Trouble {
    let flags = [(dry_run, "--dry-run"), (yes, "--yes"), (json, "--json")];
    let flags = flags.into_iter().filter(|(given, _)| *given);
    let flags = flags.map(|(_, flag)| OsString::from(flag));
    become_daemon("teardown", flags.chain(more))
}

fn become_daemon(command: &str, args: impl IntoIterator<Item = OsString>) -> Trouble {
    let Some(program) = find() else {
        return Trouble::NotInstalled;
    };
    let error = Command::new(&program).arg(command).args(args).exec();
    Trouble::Unreachable(program, error.to_string())
}

/// Beside us first, so that a freshly built pair belongs together; then in the PATH; then where
/// packages put it, which is not in the PATH of ordinary users.
fn find() -> Option<PathBuf> {
    let own = std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(PathBuf::from));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = own.into_iter().chain(std::env::split_paths(&path));
    let directories = directories.chain([PathBuf::from("/usr/sbin")]);
    directories
        .map(|directory| directory.join(NAME))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_is_wrong_in_words() {
        let json =
            b"patronusd: a warning\n{\"error\":{\"code\":\"FAILED\",\"message\":\"no netlink\"}}\n";
        assert_eq!(why(json), "no netlink");
        assert_eq!(why(b"killed\n"), "killed");
    }
}
