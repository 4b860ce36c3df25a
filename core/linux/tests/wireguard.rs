//! Tunnels, with real `wireguard-go` processes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod support;

use std::net::UdpSocket;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use patronus_linux::{HandshakeReader, PrivateKey};
use patronus_model::kernel::{Change, KernelState, Plan};
use patronus_model::layout::KernelLayout;
use patronus_model::view::Handshakes;
use support::{apply, eventually, inside, ip, name, open, peer, places, plan, public, run, tunnel};

fn one_tunnel() -> KernelState {
    KernelState {
        tunnels: [(name("pat-1-1"), tunnel(51_820))].into(),
        peers: [(
            (name("pat-1-1"), public(1)),
            peer("192.0.2.7:51820", &["10.2.0.0/16"]),
        )]
        .into(),
        ..KernelState::default()
    }
}

fn pid() -> String {
    run("pgrep wireguard-go").trim().to_owned()
}

#[test]
fn a_killed_wireguard_go_is_seen_and_replaced() {
    inside(|| {
        let mut kernel = open();
        let state = one_tunnel();
        let started = Instant::now();
        apply(&mut kernel, &plan(&state));
        println!("tunnel and peer in {:?}", started.elapsed());
        assert_eq!(kernel.observe().unwrap(), state);
        let first = pid();
        run(&format!("kill -9 {first}"));
        eventually("the tunnel is gone", || {
            kernel.observe().unwrap().tunnels.is_empty()
        });
        assert!(Path::new("/run/wireguard/pat-1-1.sock").exists());
        apply(&mut kernel, &plan(&state));
        assert_eq!(kernel.observe().unwrap(), state);
        assert_ne!(pid(), first, "and the dead one is no zombie");
    });
}

#[test]
fn another_process_of_ours_adopts_what_runs() {
    inside(|| {
        let mut kernel = open();
        let state = one_tunnel();
        apply(&mut kernel, &plan(&state));
        let first = pid();
        drop(kernel);
        let mut kernel = open();
        assert_eq!(kernel.observe().unwrap(), state);
        apply(&mut kernel, &plan(&state));
        assert_eq!(pid(), first);
        apply(
            &mut kernel,
            &Plan(vec![Change::DeleteTunnel(name("pat-1-1"))]),
        );
        assert_eq!(kernel.observe().unwrap(), KernelState::default());
        run("test ! -e /run/wireguard/pat-1-1.sock");
    });
}

/// The daemon of the next test.
#[test]
#[ignore = "runs until it is killed"]
fn a_daemon_that_has_made_a_tunnel() {
    apply(&mut open(), &plan(&one_tunnel()));
    std::fs::write("/run/made", "").unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn tunnels_survive_a_daemon_that_is_killed() {
    inside(|| {
        let state = one_tunnel();
        let mut daemon = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_daemon_that_has_made_a_tunnel"])
            .args(["--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("the tunnel is made", || Path::new("/run/made").exists());
        let first = pid();
        daemon.kill().unwrap();
        // Its pipes break with it.
        daemon.wait().unwrap();
        drop(daemon);
        std::thread::sleep(Duration::from_millis(100));
        let mut kernel = open();
        assert_eq!(kernel.observe().unwrap(), state);
        apply(&mut kernel, &plan(&state));
        assert_eq!(pid(), first);
    });
}

#[test]
fn another_port_makes_a_new_device_with_the_same_peers() {
    inside(|| {
        let mut kernel = open();
        let mut state = one_tunnel();
        apply(&mut kernel, &plan(&state));
        let changed = tunnel(51_900);
        let put = Change::PutTunnel(name("pat-1-1"), changed.clone());
        apply(&mut kernel, &Plan(vec![put]));
        state.tunnels.insert(name("pat-1-1"), changed.clone());
        assert_eq!(kernel.observe().unwrap(), state);
        // Another MTU does not.
        let first = pid();
        let mut smaller = changed;
        smaller.mtu = 1300;
        let put = Change::PutTunnel(name("pat-1-1"), smaller.clone());
        apply(&mut kernel, &Plan(vec![put]));
        state.tunnels.insert(name("pat-1-1"), smaller);
        assert_eq!(kernel.observe().unwrap(), state);
        assert_eq!(pid(), first);
    });
}

#[test]
fn a_hung_wireguard_go_is_replaced() {
    inside(|| {
        let mut kernel = open();
        let state = one_tunnel();
        apply(&mut kernel, &plan(&state));
        let first = pid();
        run(&format!("kill -STOP {first}"));
        // Its threads stop one after another, each as it next returns from the kernel.
        eventually("all threads stand still", || {
            let states = run(&format!("ps -L --no-headers -o state= -p {first}"));
            states.split_whitespace().all(|state| state == "T")
        });
        let started = Instant::now();
        assert!(kernel.observe().unwrap().tunnels.is_empty());
        apply(&mut kernel, &plan(&state));
        println!("noticed and replaced in {:?}", started.elapsed());
        assert_eq!(kernel.observe().unwrap(), state);
    });
}

#[test]
fn what_stands_in_the_way_is_named() {
    inside(|| {
        let mut kernel = open();
        // A socket that nobody serves is cleared away.
        std::fs::create_dir_all("/run/wireguard").unwrap();
        drop(UnixListener::bind("/run/wireguard/pat-1-1.sock").unwrap());
        apply(&mut kernel, &plan(&one_tunnel()));
        ip("link set lo up");
        let _taken = UdpSocket::bind("0.0.0.0:51999").unwrap();
        let mut unknown = tunnel(51_822);
        unknown.public_key = public(9);
        let outcome = kernel.apply(&Plan(vec![
            Change::PutTunnel(name("pat-1-2"), tunnel(51_999)),
            Change::PutTunnel(name("pat-1-3"), unknown),
        ]));
        let all = outcome.failed.join("\n");
        assert!(all.contains("UDP port 51999 is taken"), "{all}");
        assert!(all.contains("no private key"), "{all}");
        assert_eq!(kernel.observe().unwrap().tunnels.len(), 1);
    });
}

#[test]
fn handshakes_tell_a_peer_that_answers_from_one_that_does_not() {
    inside(|| {
        ip("link set lo up");
        let other = PrivateKey::generate();
        places().keys.put(&"lte".parse().unwrap(), &other).unwrap();
        let (ours, mut theirs) = (tunnel(51_820), tunnel(51_821));
        theirs.public_key = other.public();
        let state = KernelState {
            peers: [
                (
                    (name("pat-1-1"), other.public()),
                    peer("127.0.0.1:51821", &["10.2.0.0/16"]),
                ),
                // Nobody has this key.
                (
                    (name("pat-1-1"), public(1)),
                    peer("127.0.0.1:51821", &["10.3.0.0/16"]),
                ),
                (
                    (name("pat-1-2"), ours.public_key),
                    peer("127.0.0.1:51820", &["10.1.0.0/16"]),
                ),
            ]
            .into(),
            tunnels: [(name("pat-1-1"), ours.clone()), (name("pat-1-2"), theirs)].into(),
            ..KernelState::default()
        };
        apply(&mut open(), &plan(&state));
        let mut reader = HandshakeReader::open(KernelLayout::default()).unwrap();
        let mut read = |tunnel: &str, peer| {
            let Handshakes(all) = reader.read().unwrap();
            all.get(&(name(tunnel), peer)).copied()
        };
        eventually("both ends have shaken hands", || {
            let ends = [("pat-1-1", other.public()), ("pat-1-2", ours.public_key)];
            ends.iter()
                .all(|(tunnel, peer)| matches!(read(tunnel, *peer), Some(Some(_))))
        });
        let age = read("pat-1-1", other.public()).unwrap().unwrap();
        assert!(age < Duration::from_secs(15), "{age:?}");
        assert_eq!(read("pat-1-1", public(1)), Some(None), "never");
        assert_eq!(read("pat-1-3", public(1)), None, "there is no such tunnel");
    });
}
