//! What is said of a configuration that could not be applied, when daemons fail while it is taken
//! back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cases;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use patronus_frr::bootstrap::PATHSPACE;
use patronus_frr::{Daemon, Frr, FrrEvent, FrrPaths};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// The only line that zebra is told, and its inverse.
const LINE: &str = "no zebra nexthop kernel enable";
const INVERSE: &str = "zebra nexthop kernel enable";

const DONE: u8 = 0;
const FAILED: u8 = 13;

#[tokio::test]
async fn a_refusal_to_go_back_counts_although_another_daemon_is_gone() {
    let said = failure(FAILED).await;
    let lost = said.contains("lost bgpd");
    let stuck = said.contains("taking it back failed: zebra refused");
    assert!(lost && stuck && said.contains(INVERSE), "{said}");
}

#[tokio::test]
async fn a_daemon_that_is_gone_does_not_make_it_look_as_if_others_were_stuck() {
    let said = failure(DONE).await;
    assert!(
        said.contains("lost bgpd") && !said.contains("taking it back"),
        "{said}"
    );
}

/// What the supervisor says where zebra answers this to being set back, and bgpd is gone for good
/// as soon as it is to be configured.
async fn failure(set_back: u8) -> String {
    let root = tempfile::tempdir().unwrap();
    let paths = FrrPaths {
        pathspace: PATHSPACE.to_owned(),
        etc: root.path().join("etc"),
        run: root.path().to_owned(),
        vtysh: None,
        owner: None,
    };
    zebra(&paths.socket(Daemon::Zebra), set_back);
    bgpd(&paths.socket(Daemon::Bgpd));
    let (_desired, wanted) = watch::channel(Some(Arc::new(cases::hub())));
    let mut frr = Frr::spawn(paths, wanted, std::future::pending());
    let failed = async {
        loop {
            if let FrrEvent::ApplyFailed(words) = frr.events.recv().await.unwrap() {
                return words;
            }
        }
    };
    timeout(Duration::from_secs(10), failed).await.unwrap()
}

fn zebra(socket: &Path, set_back: u8) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut running = "";
        while let Some(command) = read_command(&mut stream).await {
            let (text, status) = match command.as_str() {
                "show version" => ("FRRouting 10.3 (zebra)", DONE),
                "show running-config" => (running, DONE),
                LINE => {
                    running = LINE;
                    ("", DONE)
                }
                INVERSE => ("% not now", set_back),
                _ => ("", DONE),
            };
            answer(&mut stream, text, status).await;
        }
    });
}

fn bgpd(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Some(command) = read_command(&mut stream).await {
            let text = match command.as_str() {
                // From here on nobody listens.
                "configure terminal" => return,
                "show version" => "FRRouting 10.3 (bgpd)",
                _ => "",
            };
            answer(&mut stream, text, DONE).await;
        }
    });
}

async fn read_command(stream: &mut UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        match stream.read_u8().await.ok()? {
            0 => return Some(String::from_utf8(bytes).unwrap()),
            byte => bytes.push(byte),
        }
    }
}

async fn answer(stream: &mut UnixStream, text: &str, status: u8) {
    let bytes = [text.as_bytes(), &[0, 0, 0, status]].concat();
    // The far end may be gone.
    let _ = stream.write_all(&bytes).await;
}
