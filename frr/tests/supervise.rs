//! The supervisor where there is no FRR.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::sync::Arc;
use std::time::Duration;

use patronus_frr::bootstrap::PATHSPACE;
use patronus_frr::{Daemon, Frr, FrrPaths, FrrStatus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

mod cases;

fn nowhere(root: &std::path::Path) -> FrrPaths {
    FrrPaths {
        pathspace: PATHSPACE.to_owned(),
        etc: root.join("etc"),
        run: root.join("run"),
        vtysh: None,
        owner: None,
    }
}

#[tokio::test]
async fn without_frr_everything_is_down_and_nothing_is_written() {
    let root = tempfile::tempdir().unwrap();
    let (_desired, wanted) = watch::channel(Some(Arc::new(cases::hub())));
    let frr = Frr::spawn(nowhere(root.path()), wanted, std::future::pending());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let status = frr.status.borrow().clone();
    assert!(!status.is_good() && status.last_apply.is_none());
    assert!(status.daemons.keys().eq(&Daemon::REQUIRED));
    assert!(status.daemons.values().all(|daemon| !daemon.is_up()));
    let error = frr.query.neighbors().await.unwrap_err();
    assert_eq!(error.to_string(), "bgpd is not running");
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn bfdd_is_only_missed_while_a_neighbor_wants_it() {
    let root = tempfile::tempdir().unwrap();
    let neighbor = cases::third_party("192.0.2.7", 98);
    let watched = cases::router(1, &["10.1.0.0/16"], vec![neighbor]);
    let (desired, wanted) = watch::channel(Some(Arc::new(watched)));
    let mut frr = Frr::spawn(nowhere(root.path()), wanted, std::future::pending());
    let shows = |status: &FrrStatus| status.daemons.contains_key(&Daemon::Bfdd);
    let limit = Duration::from_secs(1);
    let shown = timeout(limit, frr.status.wait_for(shows)).await;
    drop(shown.unwrap().unwrap());
    desired.send_replace(Some(Arc::new(cases::hub())));
    let gone = timeout(limit, frr.status.wait_for(|status| !shows(status))).await;
    let daemons: Vec<_> = gone.unwrap().unwrap().daemons.keys().copied().collect();
    assert_eq!(daemons, Daemon::REQUIRED);
}

/// A daemon that says its version to whoever asks first, and then hangs.
fn hang_soon(paths: &FrrPaths, daemon: Daemon) {
    let socket = paths.socket(daemon);
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 256];
        for answer in ["", "FRRouting 10.3 (router).\n"] {
            assert_ne!(stream.read(&mut bytes).await.unwrap(), 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(&[0; 4]).await.unwrap();
        }
        // Also to whoever comes later.
        let _listener = listener;
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn a_daemon_that_hangs_is_noticed_although_nobody_wants_anything_of_it() {
    let root = tempfile::tempdir().unwrap();
    let paths = nowhere(root.path());
    hang_soon(&paths, Daemon::Zebra);
    let (_desired, wanted) = watch::channel(None);
    let mut frr = Frr::spawn(paths, wanted, std::future::pending());
    let zebra = |status: &FrrStatus| status.daemons.get(&Daemon::Zebra).cloned();
    let up = |status: &FrrStatus| zebra(status).is_some_and(|it| it.is_up());
    let late = |status: &FrrStatus| zebra(status).is_some_and(|it| it.late.is_some());
    let connected = timeout(Duration::from_secs(2), frr.status.wait_for(up)).await;
    drop(connected.unwrap().unwrap());
    let noticed = timeout(Duration::from_secs(12), frr.status.wait_for(late)).await;
    drop(noticed.unwrap().unwrap());
    let given_up = timeout(Duration::from_secs(18), frr.status.wait_for(|it| !up(it))).await;
    assert!(!late(&given_up.unwrap().unwrap()));
}

#[tokio::test]
async fn the_supervisor_ends_when_it_is_told_to() {
    let root = tempfile::tempdir().unwrap();
    let (_desired, wanted) = watch::channel(None);
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let frr = Frr::spawn(nowhere(root.path()), wanted, shutdown);
    stop.send(()).unwrap();
    timeout(Duration::from_secs(1), frr.task)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn the_supervisor_ends_when_nobody_wants_anything_any_more() {
    let root = tempfile::tempdir().unwrap();
    let (desired, wanted) = watch::channel(None);
    let frr = Frr::spawn(nowhere(root.path()), wanted, std::future::pending());
    drop(desired);
    timeout(Duration::from_secs(1), frr.task)
        .await
        .unwrap()
        .unwrap();
}
