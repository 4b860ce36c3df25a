//! The thread that looks from time to time whether others have put something into the way of our
//! packets. The kernel tells nobody of all of it, and it changes seldom.

use std::time::Duration;

use patronus_linux::Conflict;
use patronus_model::layout::KernelLayout;
use patronus_model::view::ObstacleView;
use tokio::sync::watch;
use tracing::{info, warn};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(15);

/// Starts the thread, which ends once nobody wants to know any more.
///
/// # Errors
/// It cannot be started.
pub(crate) fn start(layout: KernelLayout) -> std::io::Result<watch::Receiver<Vec<ObstacleView>>> {
    let (told, known) = watch::channel(Vec::new());
    let look = move || {
        while !told.is_closed() {
            let found = views(patronus_linux::obstacles(&layout));
            tell(&told.borrow(), &found);
            told.send_if_modified(|known| {
                let changes = *known != found;
                *known = found;
                changes
            });
            std::thread::sleep(EVERY);
        }
    };
    std::thread::Builder::new()
        .name("obstacles".to_owned())
        .spawn(look)?;
    Ok(known)
}

fn views(conflicts: Vec<Conflict>) -> Vec<ObstacleView> {
    let views = conflicts.into_iter().filter_map(|conflict| {
        // What cannot be looked for is for the doctor to tell.
        let found = conflict.found.ok().filter(|found| !found.is_empty())?;
        Some(ObstacleView {
            found,
            certain: conflict.harmful,
            cost: format!("{}: {}", conflict.harms, conflict.cost),
            remedy: conflict.remedy.to_owned(),
        })
    });
    views.collect()
}

/// What certainly does harm is in the log, when it comes and when it goes.
fn tell(before: &[ObstacleView], now: &[ObstacleView]) {
    for one in now.iter().filter(|it| it.certain && !before.contains(it)) {
        let ObstacleView { found, cost, .. } = one;
        warn!(
            "something of others is in the way: {}: {cost}",
            found.join(", ")
        );
    }
    for one in before.iter().filter(|it| it.certain && !now.contains(it)) {
        info!("no longer in the way: {}", one.found.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_clear_or_unknown_is_no_obstacle() {
        let conflict = |found: Result<&[&str], &str>| Conflict {
            name: "forwarding firewall",
            found: found
                .map(|all| all.iter().map(|&it| it.to_owned()).collect())
                .map_err(str::to_owned),
            harmful: true,
            harms: "packets",
            cost: "nothing is forwarded",
            remedy: "remove it",
        };
        let all = vec![
            conflict(Ok(&[])),
            conflict(Err("no nft")),
            conflict(Ok(&["ip x"])),
        ];
        let found = ObstacleView {
            found: vec!["ip x".to_owned()],
            certain: true,
            cost: "packets: nothing is forwarded".to_owned(),
            remedy: "remove it".to_owned(),
        };
        assert_eq!(views(all), [found]);
    }
}
