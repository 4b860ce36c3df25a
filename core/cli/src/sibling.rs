//! What needs the kernel rather than the daemon: `patronusd` itself does it, and this program
//! becomes that one.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::trouble::Trouble;

const NAME: &str = "patronusd";

/// Becomes `patronusd doctor`; returns only if it cannot.
pub(crate) fn doctor(json: bool) -> Trouble {
    become_daemon("doctor", json.then(|| "--json".into()))
}

/// Becomes `patronusd teardown`; returns only if it cannot.
pub(crate) fn teardown(dry_run: bool, yes: bool, more: Vec<OsString>) -> Trouble {
    let dry_run = dry_run.then(|| "--dry-run".into());
    let yes = yes.then(|| "--yes".into());
    become_daemon("teardown", dry_run.into_iter().chain(yes).chain(more))
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
