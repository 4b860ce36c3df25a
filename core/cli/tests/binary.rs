//! The real binary against a real API server about a canned router.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

#[path = "../../api/tests/canned/mod.rs"]
mod canned;
mod program;

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener as BoundSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use canned::Canned;
use patronus_api::ReloadOutcome;
use program::{patronus, run, said};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

/// A server in a thread of its own, for as long as this lives.
struct Server {
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start(canned: Canned) -> Self {
        let directory = TempDir::new().unwrap();
        Self::start_in(directory, canned)
    }

    fn start_in(directory: TempDir, canned: Canned) -> Self {
        let socket = directory.path().join("socket");
        // A new daemon removes what an old one left behind.
        let _ = fs::remove_file(&socket);
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let serve = async move {
            let listener = UnixListener::bind(&socket).unwrap();
            ready.send(()).unwrap();
            let (requests, questions) = mpsc::channel(8);
            tokio::spawn(canned.answer(questions));
            let shutdown = async { drop(stopped.await) };
            patronus_api::serve(listener, requests, shutdown)
                .await
                .unwrap();
        };
        let thread = thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(serve));
        is_ready.recv().unwrap();
        Self {
            directory,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Stops serving, but leaves the socket behind.
    fn kill(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.directory, TempDir::new().unwrap())
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

#[track_caller]
fn check(canned: Canned, args: &[&str], status: i32, expected: &str) {
    let server = Server::start(canned);
    let (code, out, err) = run(&server.socket(), args);
    assert_eq!(code, status, "{args:?}\n{out}{err}");
    assert!(
        out.contains(expected) || err.contains(expected),
        "{args:?}\n{out}{err}"
    );
}

#[test]
fn the_exit_status_says_whether_all_is_well() {
    check(Canned::well(), &["status"], 0, "● all well");
    check(Canned::usual(), &["status"], 1, "○ 6 problems");
    check(Canned::well(), &["paths"], 0, "lisbon");
    check(Canned::usual(), &["paths"], 1, "◐ degraded");
    check(Canned::usual(), &["paths", "--status", "up"], 0, "● up");
    check(Canned::usual(), &["uplinks"], 0, "94/94 Mbit/s");
    check(Canned::usual(), &["sites"], 1, "tromso");
    check(Canned::usual(), &["policies"], 0, "voice-first");
    check(
        Canned::usual(),
        &["routes", "--contains", "10.2.7.9"],
        0,
        "10.2.7.0/24",
    );
    check(
        Canned::usual(),
        &["routes", "--contains", "10.9.0.9"],
        1,
        "No route contains",
    );
    check(Canned::usual(), &["bgp"], 1, "Idle (Admin)");
    check(
        Canned::usual(),
        &["bfd"],
        1,
        "control detection time expired",
    );
    check(
        Canned::usual(),
        &["events", "--last", "1"],
        0,
        "10.2.7.0/24",
    );
    check(Canned::usual(), &["explain", "last"], 0, "voice to lisbon");
    check(
        Canned::well(),
        &["explain", "last"],
        1,
        "No traffic has moved",
    );
}

#[test]
fn a_flow_is_explained() {
    let ends = [
        "explain", "--src", "10.1.0.5", "--dst", "10.2.0.9", "--proto", "udp",
    ];
    let voice = [&ends[..], &["--dport", "5060"]].concat();
    check(Canned::usual(), &voice, 0, "20 voice-first → class voice");
    check(
        Canned::usual(),
        &[&ends[..], &["--in", "a/b"]].concat(),
        2,
        "not an interface name",
    );
    for (code, number) in [("EF", "46"), ("af41", "34"), ("be", "0"), ("40", "40")] {
        let server = Server::start(Canned::usual());
        let (_, out, _) = run(
            &server.socket(),
            &[&voice[..], &["--dscp", code, "--json"]].concat(),
        );
        assert!(out.contains(&format!("\"dscp\": {number}")), "{out}");
    }
    check(
        Canned::usual(),
        &[&ends[..], &["--in", "lan7"]].concat(),
        1,
        "there is no LAN interface \"lan7\"; there is: lan0, lan1",
    );
    let own = ["explain", "--src", "10.1.0.5", "--dst", "10.1.0.1"];
    check(Canned::usual(), &own, 0, "is an address of this router");
    let lost = ["explain", "--src", "10.1.0.5", "--dst", "10.9.0.9"];
    check(Canned::usual(), &lost, 1, "no site announces it");
    let cut = ["explain", "--src", "10.1.0.5", "--dst", "10.4.0.9"];
    check(Canned::usual(), &cut, 1, "no path to tromso is up");
    let cut = [&cut[..], &["--json"]].concat();
    check(Canned::usual(), &cut, 1, "\"outcome\": \"no_path\"");
}

#[test]
fn what_does_not_exist_is_named_together_with_what_does() {
    let message = "there is no site \"paris\"; there is: lisbon, oslo, tromso";
    check(Canned::usual(), &["paths", "--site", "paris"], 1, message);
    let server = Server::start(Canned::usual());
    let (status, out, err) = run(&server.socket(), &["forget", "10.99.0.0/16", "--json"]);
    let error: Value = serde_json::from_str(&err).unwrap_or_else(|e| panic!("{e}: {err}"));
    assert_eq!((status, out.as_str()), (1, ""));
    assert_eq!(error["error"]["code"], "NOT_FOUND");
}

#[test]
fn prefixes_are_forgotten_together_and_shown_before() {
    let both = "10.6.0.0/24\n10.6.1.0/24\n";
    let dry = ["forget", "--within", "10.6.0.0/16", "--dry-run"];
    check(
        Canned::usual(),
        &dry,
        0,
        &format!("{both}would be forgotten"),
    );
    let all = ["forget", "--all"];
    check(Canned::usual(), &all, 0, &format!("{both}are forgotten."));
    let one = ["forget", "--within", "10.6.1.0/24", "--json"];
    check(Canned::usual(), &one, 0, "[\n    \"10.6.1.0/24\"\n  ]");
    let none = ["forget", "--within", "10.7.0.0/16"];
    check(Canned::usual(), &none, 0, "Nothing to forget");
    check(
        Canned::usual(),
        &["forget", "--within", "x"],
        2,
        "is not a prefix",
    );
    check(
        Canned::usual(),
        &["forget", "--all", "10.6.0.0/24"],
        2,
        "cannot be used with",
    );
    check(Canned::usual(), &["forget"], 2, "required");
}

#[test]
fn a_daemon_that_is_starting_is_to_be_asked_again() {
    let none = Canned {
        view: None,
        ..Canned::usual()
    };
    check(none, &["status"], 3, "is starting. Try again");
}

#[test]
fn a_reload_is_applied_or_says_why_not() {
    check(Canned::usual(), &["reload"], 1, "Nothing has changed");
    check(
        Canned::usual(),
        &["reload"],
        1,
        "/etc/patronus/config.yaml:12:10  sites[0].asn: 0",
    );
    check(Canned::well(), &["reload"], 0, "is in force");
    let server = Server::start(Canned::usual());
    let (status, out, _) = run(&server.socket(), &["reload", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (
            status,
            &answer["applied"],
            &answer["diagnostics"][0]["line"]
        ),
        (1, &Value::Bool(false), &Value::from(12))
    );
    let warned = Canned {
        reload: ReloadOutcome::Applied {
            warnings: Vec::new(),
            changes: canned::happened::changes(),
        },
        ..Canned::usual()
    };
    let said = "Since the last one: added site oslo; changed BGP (timers), class voice \
                (strategy); unreachable until \
                announced again, or forgotten by `patronus forget`: 10.7.0.0/24; guarded no more, so \
                that packets go wherever the main table leads: 10.8.0.0/16.";
    check(warned.clone(), &["reload"], 0, said);
    let change = "\"name\": \"oslo\"";
    check(warned.clone(), &["reload", "--json"], 0, change);
    let kept = "\"keptPrefixes\": [\n    \"10.7.0.0/24\"";
    check(warned.clone(), &["reload", "--json"], 0, kept);
    check(warned, &["reload", "--json"], 0, "\"applied\": true");
}

#[test]
fn every_listing_has_a_json_twin() {
    let server = Server::start(Canned::usual());
    for (command, pointer) in [
        ("status", "/router/siteId"),
        ("uplinks", "/0/bandwidthUpBps"),
        ("sites", "/0/choices/0/class"),
        ("paths", "/0/latencyMs"),
        ("policies", "/0/priority"),
        ("routes", "/0/prefix"),
        ("bgp", "/neighbors/0/established"),
        ("bfd", "/0/detectionTimeMs"),
        ("events", "/0/kind"),
    ] {
        let (_, out, err) = run(&server.socket(), &[command, "--json"]);
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
        assert!(
            json.pointer(pointer).is_some_and(|v| !v.is_null()),
            "{command} {pointer}: {out}"
        );
    }
    let (_, out, _) = run(&server.socket(), &["explain", "last", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["details"]["candidates"][1]["verdict"], "chosen");
}

#[test]
fn where_there_is_no_terminal_nothing_is_cut_unless_columns_are_given() {
    let server = Server::start(Canned::usual());
    for command in [
        "status", "uplinks", "sites", "paths", "policies", "routes", "bgp", "bfd", "events",
    ] {
        let (_, out, _) = run(&server.socket(), &[command]);
        assert!(!out.contains('\x1b') && !out.contains('…'), "{out}");
        let narrow = patronus(&server.socket(), &[command])
            .env("COLUMNS", "40")
            .output()
            .unwrap();
        let (_, out, _) = said(narrow);
        assert!(out.lines().all(|line| line.chars().count() <= 40), "{out}");
    }
    let (_, out, _) = run(&server.socket(), &["paths"]);
    assert!(out.contains("198.51.100.7:51820"), "{out}");
}

#[test]
fn a_daemon_that_cannot_be_reached_is_status_3_and_says_what_to_do() {
    let directory = TempDir::new().unwrap();
    let (status, _, err) = run(&directory.path().join("nothing"), &["status"]);
    assert_eq!(status, 3);
    let systemd = Path::new("/run/systemd/system").is_dir();
    assert!(
        err.contains("there is no socket") && err.contains("systemctl") == systemd,
        "{err}"
    );

    let dead = directory.path().join("dead");
    drop(BoundSocket::bind(&dead).unwrap());
    let (status, _, err) = run(&dead, &["status"]);
    assert_eq!(status, 3);
    assert!(err.contains("nobody listens on"), "{err}");

    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for not in [&file, directory.path()] {
        let (status, _, err) = run(not, &["status"]);
        assert_eq!(
            (status, err.contains("is not a socket")),
            (3, true),
            "{err}"
        );
    }

    let rude = directory.path().join("rude");
    let listener = BoundSocket::bind(&rude).unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    let (status, _, err) = run(&rude, &["status"]);
    assert_eq!(
        (status, err.contains("cannot reach patronusd")),
        (3, true),
        "{err}"
    );
}

#[test]
fn a_daemon_that_hangs_is_not_waited_for_long() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("socket");
    // A stopped process takes connections, and says nothing.
    let _listener = BoundSocket::bind(&socket).unwrap();
    let begin = Instant::now();
    let (status, _, err) = run(&socket, &["status", "--timeout", "0.5"]);
    let own = format!("patronusd (process {}) does not answer", std::process::id());
    assert!(
        status == 3 && err.contains(&own) && err.contains("waited 0.5 s"),
        "{err}"
    );
    assert!(begin.elapsed() < Duration::from_secs(4));
    let begin = Instant::now();
    let (status, _, err) = run(&socket, &["status"]);
    assert_eq!((status, err.contains("waited 6 s")), (3, true), "{err}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_wrong_command_line_is_status_2() {
    let nowhere = Path::new("/nonexistent");
    for args in [
        &["nonsense"][..],
        &["paths", "--status", "fine"],
        &["explain"],
        &[],
        &[
            "explain", "--src", "10.0.0.1", "--dst", "10.0.0.2", "--dscp", "64",
        ],
        &[
            "explain", "--src", "10.0.0.1", "--dst", "10.0.0.2", "--dscp", "AF44",
        ],
    ] {
        assert_eq!(run(nowhere, args).0, 2, "{args:?}");
    }
}

/// A child that is interrupted in the end, as by Ctrl-C.
fn interrupt(child: Child) -> (i32, String, String) {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    said(child.wait_with_output().unwrap())
}

#[test]
fn watching_shows_one_picture_after_the_other_until_it_is_interrupted() {
    let server = Server::start(Canned::usual());
    let child = patronus(&server.socket(), &["status", "--watch=0.1"])
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(800));
    let (status, out, err) = interrupt(child);
    assert_eq!(status, 1, "{err}");
    assert!(out.matches("Berlin office").count() >= 3, "{out}");
    let child = patronus(&server.socket(), &["paths", "--json", "--watch=0.1"])
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(800));
    let (_, out, _) = interrupt(child);
    let frames: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        frames.len() >= 3 && frames.iter().all(|frame| frame[0]["id"].is_string()),
        "{out}"
    );
}

#[test]
fn a_picture_that_can_not_be_renewed_says_how_old_it_is() {
    let server = Server::start(Canned::usual());
    let child = patronus(&server.socket(), &["status", "--watch=0.1"])
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(500));
    let _directory = server.kill();
    thread::sleep(Duration::from_millis(500));
    let (_, out, err) = interrupt(child);
    assert!(
        out.contains("◌ what follows is 0 s old: cannot reach patronusd"),
        "{out}{err}"
    );
}

/// Reads until a text has been seen.
fn read_until(from: &mut impl Read, seen: &mut String, text: &str) {
    let begin = Instant::now();
    let mut buffer = [0; 4096];
    while !seen.contains(text) {
        let n = from.read(&mut buffer).unwrap();
        assert!(
            n > 0 && begin.elapsed() < Duration::from_secs(20),
            "no {text:?} in {seen}"
        );
        seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

#[test]
fn events_are_followed_across_a_restart_of_the_daemon() {
    let mut first = Canned::usual();
    first.events.truncate(2);
    let mut second = Canned::usual();
    second.events.drain(..2);
    for (event, sequence) in second.events.iter_mut().zip(1..) {
        event.sequence = sequence;
    }
    let server = Server::start(first);
    let socket = server.socket();
    let mut child = patronus(&socket, &["events", "--follow"]).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (mut seen, mut said) = (String::new(), String::new());
    read_until(&mut out, &mut seen, "is degraded");
    let directory = server.kill();
    read_until(&mut err, &mut said, "Waiting for it");
    let _server = Server::start_in(directory, second);
    read_until(&mut err, &mut said, "patronusd is back");
    read_until(&mut out, &mut seen, "make one a hub");
    assert_eq!(interrupt(child).0, 0);
    assert_eq!(seen.matches("a configuration with").count(), 1, "{seen}");
    assert_eq!(
        seen.matches("UTC").count(),
        2,
        "each day is named once: {seen}"
    );
}
