//! The vty client against a daemon that misbehaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use patronus_frr::line::Line;
use patronus_frr::vty::{Status, Vty, VtyError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// A socket and the client's end of it; `serve` plays the daemon.
async fn against<F, S>(serve: S) -> (tempfile::TempDir, Vty)
where
    F: Future<Output = ()> + Send + 'static,
    S: FnOnce(UnixStream) -> F + Send + 'static,
{
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("x.vty");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    let vty = Vty::connect(&path, Duration::from_millis(300))
        .await
        .unwrap();
    (folder, vty)
}

async fn read_command(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    while stream.read_u8().await.map(|byte| bytes.push(byte)).is_ok() {
        if bytes.last() == Some(&0) {
            bytes.pop();
            break;
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn an_answer_in_pieces_is_put_together() {
    let (_folder, mut vty) = against(async |mut stream| {
        assert_eq!(read_command(&mut stream).await, "show version");
        for piece in [&b"FRR"[..], b"outing\0", b"\0", b"\0", b"\x0d"] {
            stream.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        read_command(&mut stream).await;
    })
    .await;
    let reply = vty.command(&Line::new("show version")).await.unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.status),
        ("FRRouting", Status::ConfigFailed)
    );
}

#[tokio::test]
async fn a_daemon_that_dies_idle_is_noticed_at_once() {
    let (_folder, mut vty) = against(async |stream| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(stream);
    })
    .await;
    let start = Instant::now();
    assert!(matches!(vty.closed().await, VtyError::Closed));
    assert!(
        start.elapsed() < Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_daemon_that_dies_while_it_owes_an_answer_is_noticed() {
    let (_folder, mut vty) = against(async |mut stream| {
        read_command(&mut stream).await;
        stream.write_all(b"half an ans").await.unwrap();
    })
    .await;
    let error = vty.command(&Line::new("show version")).await.unwrap_err();
    assert!(matches!(error, VtyError::Closed), "{error}");
}

#[tokio::test]
async fn a_daemon_that_hangs_is_given_up() {
    let (_folder, mut vty) = against(async |mut stream| {
        read_command(&mut stream).await;
        std::future::pending().await
    })
    .await;
    let error = vty.command(&Line::new("show version")).await.unwrap_err();
    assert!(matches!(error, VtyError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_not_taken_for_the_next() {
    let (_folder, mut vty) = against(async |mut stream| {
        read_command(&mut stream).await;
        stream.write_all(b"one\0\0\0\0two\0\0\0\0").await.unwrap();
        read_command(&mut stream).await;
    })
    .await;
    let error = vty.command(&Line::new("show version")).await.unwrap_err();
    assert!(matches!(error, VtyError::Garbled), "{error}");
}

#[tokio::test]
async fn a_line_break_cannot_smuggle_a_second_command() {
    let (_folder, mut vty) = against(async |mut stream| {
        read_command(&mut stream).await;
    })
    .await;
    let error = vty
        .command(&Line::new("neighbor x description a\nend"))
        .await
        .unwrap_err();
    assert!(matches!(error, VtyError::Command), "{error}");
}
