//! A configuration is applied whole or not at all: checked for syntax, applied line by line over
//! the vty sockets, undone when a line is refused, read back, and only then made the one from which
//! daemons start.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::bootstrap::{FRR_CONF, FrrPaths};
use crate::daemon::Daemon;
use crate::diff::{Change, Plan, diff, script};
use crate::directory::Directory;
use crate::drift::{Alteration, alterations};
use crate::grammar;
use crate::line::{Line, redact};
use crate::link::{Link, LinkError};
use crate::render::Config;
use crate::tree::Tree;
use crate::vty::Status;

/// How long `vtysh -C` may take; 25 ms are usual, but FRR 8.4 is quadratic in some lists.
const CHECK_PATIENCE: Duration = Duration::from_secs(60);

/// What applying did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The commands that were sent, without those that only enter and leave contexts and without
    /// passwords.
    pub commands: Vec<(Daemon, String)>,
    /// What was not as it should be before.
    pub altered: Vec<Alteration>,
    /// Lines that FRR shows though they were not asked for and were taken back: nothing to worry
    /// about, but worth a look after an upgrade of FRR. Without passwords.
    pub leftovers: Vec<(Daemon, String)>,
}

impl Applied {
    /// Whether everything was as it should be already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

/// Why a configuration is not in force. What had been applied of it was taken back, unless
/// [`ApplyError::Stuck`] says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// FRR's own parser refuses the text; nothing was sent.
    #[error("FRR does not accept the configuration: {0}")]
    Syntax(String),
    /// The parser could not be asked.
    #[error("cannot run {program}")]
    Check {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A daemon is not there, or went away.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A daemon refused a command.
    #[error("{daemon} refused {command:?}: {answer}")]
    Refused {
        /// The daemon.
        daemon: Daemon,
        /// The command, without its password.
        command: String,
        /// What the daemon said to it.
        answer: String,
    },
    /// All commands were taken, but the daemon does not show these lines.
    #[error("{daemon} took the configuration but does not show {missing:?}")]
    Unverified {
        /// The daemon.
        daemon: Daemon,
        /// The lines, without passwords.
        missing: Vec<String>,
    },
    /// The configuration is in force, but `frr.conf` could not be written, so a daemon that
    /// restarts would come back with an older one.
    #[error("cannot write {path}")]
    Persist {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// After an error, what had been applied could not be taken back either.
    #[error("{first}; and taking it back failed: {second}")]
    Stuck {
        /// What went wrong first.
        first: Box<ApplyError>,
        /// What went wrong then.
        #[source]
        second: Box<ApplyError>,
    },
}

impl ApplyError {
    /// Whether the same configuration may be accepted later with nobody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Link(_) | Self::Check { .. } | Self::Persist { .. } | Self::Stuck { .. } => true,
            // A daemon that has just started shows little while it still reads `frr.conf`.
            Self::Unverified { .. } => true,
            Self::Syntax(_) | Self::Refused { .. } => false,
        }
    }
}

/// The links of the daemons that are configured.
#[derive(Clone, Debug)]
pub struct Links(BTreeMap<Daemon, Link>);

impl Links {
    /// Takes links over.
    pub(crate) fn new(links: impl IntoIterator<Item = Link>) -> Self {
        Self(
            links
                .into_iter()
                .map(|link| (link.daemon(), link))
                .collect(),
        )
    }

    /// Sends a command to a daemon.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn command(
        &self,
        daemon: Daemon,
        line: Line,
    ) -> Result<crate::vty::Reply, LinkError> {
        self.0
            .get(&daemon)
            .ok_or(LinkError::Down(daemon))?
            .command(line)
            .await
    }

    /// What a daemon is configured to do now, as far as it is ours to change.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn running(&self, daemon: Daemon) -> Result<Tree, LinkError> {
        // A connection may have been left in a configuration context by a failed attempt.
        self.command(daemon, Line::new("end")).await?;
        let reply = self
            .command(daemon, Line::new("show running-config"))
            .await?;
        Ok(Tree::parse(&reply.text).filtered(|line| grammar::is_managed(daemon, line)))
    }

    /// What these daemons are configured to do.
    async fn all_running(&self, daemons: &[Daemon]) -> Result<BTreeMap<Daemon, Tree>, LinkError> {
        let mut all = BTreeMap::new();
        for daemon in daemons {
            all.insert(*daemon, self.running(*daemon).await?);
        }
        Ok(all)
    }
}

/// What there is to do for every daemon.
fn plans(desired: &Config, actual: &BTreeMap<Daemon, Tree>) -> BTreeMap<Daemon, Plan> {
    actual
        .iter()
        .map(|(daemon, tree)| (*daemon, diff(&desired.of(*daemon), tree)))
        .collect()
}

/// Whether these daemons are configured as desired.
///
/// # Errors
/// [`LinkError`].
pub async fn is_applied(
    links: &Links,
    desired: &Config,
    daemons: &[Daemon],
) -> Result<bool, LinkError> {
    Ok(plans(desired, &links.all_running(daemons).await?)
        .values()
        .all(|plan| plan.is_empty()))
}

/// Applies a configuration to these daemons. If it `was_in_force`, what is different has been
/// altered, and is told as such.
///
/// # Errors
/// [`ApplyError`]; then the configuration is what it was before, unless it is
/// [`ApplyError::Stuck`] or [`ApplyError::Persist`].
pub async fn apply(
    links: &Links,
    paths: &FrrPaths,
    desired: &Config,
    daemons: &[Daemon],
    was_in_force: bool,
) -> Result<Applied, ApplyError> {
    let text = desired.to_text();
    check_syntax(paths, text.as_bytes()).await?;
    let before = links.all_running(daemons).await?;
    let applied = match transact(links, desired, &before, was_in_force).await {
        Ok(applied) => applied,
        Err(first) => return Err(take_back(links, &before, first).await),
    };
    persist(paths, text.as_bytes())?;
    Ok(applied)
}

async fn transact(
    links: &Links,
    desired: &Config,
    before: &BTreeMap<Daemon, Tree>,
    was_in_force: bool,
) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    let plans = plans(desired, before);
    for (daemon, tree) in before.iter().filter(|_| was_in_force) {
        let plan = plans.get(daemon);
        let told = plan.map(|plan| alterations(*daemon, plan, tree));
        applied.altered.extend(told.unwrap_or_default());
    }
    for (daemon, plan) in &plans {
        send(links, *daemon, &plan.make, &mut applied).await?;
    }
    for (daemon, plan) in plans.iter().rev() {
        send(links, *daemon, &plan.unmake, &mut applied).await?;
    }
    if !applied.is_empty() {
        let daemons: Vec<Daemon> = before.keys().copied().collect();
        verify(links, desired, &daemons, &mut applied).await?;
    }
    Ok(applied)
}

/// Sends changes to a daemon; stops at the first that it refuses.
async fn send(
    links: &Links,
    daemon: Daemon,
    changes: &[Change],
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    if changes.is_empty() {
        return Ok(());
    }
    order(links, daemon, Line::new("configure terminal")).await?;
    for command in script(changes) {
        order(links, daemon, command).await?;
    }
    order(links, daemon, Line::new("end")).await?;
    let commands = changes
        .iter()
        .map(|change| (daemon, change.command().to_string()));
    applied.commands.extend(commands);
    Ok(())
}

/// Sends one command that must succeed.
async fn order(links: &Links, daemon: Daemon, command: Line) -> Result<(), ApplyError> {
    let shown = command.to_string();
    let reply = links.command(daemon, command).await?;
    if reply.status == Status::Success {
        return Ok(());
    }
    Err(ApplyError::Refused {
        daemon,
        command: shown,
        answer: redact(reply.text.trim()).into_owned(),
    })
}

/// Reads everything back.
async fn verify(
    links: &Links,
    desired: &Config,
    daemons: &[Daemon],
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    for (daemon, plan) in plans(desired, &links.all_running(daemons).await?) {
        if !plan.make.is_empty() {
            let missing = plan
                .make
                .iter()
                .map(|change| change.command().to_string())
                .collect();
            return Err(ApplyError::Unverified { daemon, missing });
        }
        let leftovers = plan
            .unmake
            .iter()
            .map(|change| (daemon, change.command().to_string()));
        applied.leftovers.extend(leftovers);
    }
    Ok(())
}

/// Goes back to what was there before, from whatever is there now. Goes on after a refusal: the
/// rest is worth having back all the same.
async fn take_back(
    links: &Links,
    before: &BTreeMap<Daemon, Tree>,
    first: ApplyError,
) -> ApplyError {
    let mut refusal = None;
    for (daemon, wanted) in before.iter().rev() {
        match restore(links, *daemon, wanted).await {
            // A daemon that is gone comes back with `frr.conf`, which still is what was there
            // before; one that is there and refuses stays between.
            Ok(()) | Err(ApplyError::Link(_)) => {}
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    match refusal {
        None => first,
        Some(second) => ApplyError::Stuck {
            first: Box::new(first),
            second: Box::new(second),
        },
    }
}

async fn restore(links: &Links, daemon: Daemon, wanted: &Tree) -> Result<(), ApplyError> {
    let plan = diff(wanted, &links.running(daemon).await?);
    let mut refused = Ok(());
    order(links, daemon, Line::new("configure terminal")).await?;
    for command in script(plan.changes()) {
        match order(links, daemon, command).await {
            Err(error @ ApplyError::Link(_)) => return Err(error),
            Err(error) if refused.is_ok() => refused = Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    order(links, daemon, Line::new("end")).await?;
    refused
}

/// Lets FRR's own parser read the text. It knows nothing of what the lines mean together.
///
/// # Errors
/// [`ApplyError::Syntax`] with its words, [`ApplyError::Check`] when it cannot be run.
pub async fn check_syntax(paths: &FrrPaths, text: &[u8]) -> Result<(), ApplyError> {
    let Some(vtysh) = &paths.vtysh else {
        return Ok(());
    };
    let failed = |source| ApplyError::Check {
        program: vtysh.display().to_string(),
        source,
    };
    let output = run_check(vtysh, &paths.pathspace, text)
        .await
        .map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    Err(ApplyError::Syntax(
        redact(String::from_utf8_lossy(&words).trim()).into_owned(),
    ))
}

/// The text goes through a pipe: it may hold passwords, and a file could be left behind.
async fn run_check(
    vtysh: &Path,
    pathspace: &str,
    text: &[u8],
) -> std::io::Result<std::process::Output> {
    let mut child = Command::new(vtysh)
        .args(["-N", pathspace, "-C", "-f", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take();
    let tell = async move {
        if let Some(stdin) = &mut stdin {
            // It may stop reading at the first error, which it says itself.
            let _ = stdin.write_all(text).await;
        }
    };
    let run = async { tokio::join!(tell, child.wait_with_output()).1 };
    timeout(CHECK_PATIENCE, run)
        .await
        .map_err(|_| std::io::ErrorKind::TimedOut)?
}

fn persist(paths: &FrrPaths, text: &[u8]) -> Result<(), ApplyError> {
    let written = Directory::open(&paths.etc).and_then(|etc| {
        if etc.read(FRR_CONF)?.is_some_and(|there| there == text) {
            return Ok(());
        }
        etc.replace(FRR_CONF, text, paths.owner)
    });
    written.map_err(|source| ApplyError::Persist {
        path: paths.frr_conf().display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_check_leaves_no_file_with_passwords_behind() {
        let root = tempfile::tempdir().unwrap();
        let checker = root.path().join("vtysh");
        let script = "#!/bin/sh\nread -r line <\"$5\"; echo \"line 1: $line\"; exit 2\n";
        std::fs::write(&checker, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&checker, mode).unwrap();
        let etc = root.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        let paths = FrrPaths {
            pathspace: "patronus".to_owned(),
            etc: etc.clone(),
            run: root.path().to_owned(),
            vtysh: Some(checker),
            owner: None,
        };
        let text = [b"bogus line\n".as_slice(), &[b'x'; 200_000]].concat();
        let refused = check_syntax(&paths, &text).await.unwrap_err();
        assert!(
            refused.to_string().contains("line 1: bogus line"),
            "{refused}"
        );
        assert_eq!(std::fs::read_dir(&etc).unwrap().count(), 0);
    }
}
