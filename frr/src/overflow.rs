//! Sessions that bgpd ended because of too many prefixes, and their limits.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::apply::Applied;
use crate::daemon::Daemon;
use crate::state::SessionState;
use crate::supervise::{FrrQuery, QueryError};

/// What bgpd calls the state of such a session until it tries again: `Idle (PfxCt)`.
const OVERFLOW: &str = "PfxCt";

/// Lets bgpd try again at once where another limit is in force now: by itself it would go on
/// waiting for as long as the old one made it.
///
/// # Errors
/// [`QueryError`]; it tries again later all the same.
pub(crate) async fn try_again(query: &FrrQuery, applied: &Applied) -> Result<(), QueryError> {
    let limited = limited(applied);
    if limited.is_empty() {
        return Ok(());
    }
    let summary = query.summary().await?;
    for (who, peer) in summary.peers() {
        let waits = matches!(&peer.state, SessionState::Other(word) if word.contains(OVERFLOW));
        if waits && limited.contains(&who) {
            query.ask(Daemon::Bgpd, &format!("clear bgp {who}")).await?;
        }
    }
    Ok(())
}

/// The neighbours whose limits were changed.
fn limited(applied: &Applied) -> BTreeSet<IpAddr> {
    let commands = applied.commands.iter();
    let commands = commands.filter(|(daemon, _)| *daemon == Daemon::Bgpd);
    let neighbor = |command: &String| {
        let words: Vec<&str> = command.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["neighbor", who, "maximum-prefix", ..]
            | ["no", "neighbor", who, "maximum-prefix", ..] => who.parse().ok(),
            _ => None,
        }
    };
    commands
        .filter_map(|(_, command)| neighbor(command))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_neighbours_with_another_limit_are_tried_again() {
        let commands = [
            (
                Daemon::Bgpd,
                "neighbor 10.255.0.2 maximum-prefix 5 80 restart 5",
            ),
            (Daemon::Bgpd, "no neighbor fd00::3 maximum-prefix"),
            (Daemon::Bgpd, "neighbor 10.255.0.4 password …"),
            (Daemon::Zebra, "neighbor 10.255.0.5 maximum-prefix 5"),
        ];
        let commands = commands.map(|(daemon, command)| (daemon, command.to_owned()));
        let applied = Applied {
            commands: commands.into(),
            ..Applied::default()
        };
        let expected = ["10.255.0.2", "fd00::3"].map(|it| it.parse().unwrap());
        assert_eq!(limited(&applied), expected.into());
    }
}
