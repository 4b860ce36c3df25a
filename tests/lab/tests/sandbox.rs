//! The promises of a sandbox: real packets inside, nothing left outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is a failed test, also in its helpers"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use patronus_lab::{Sandbox, Signal};
use support::Traces;

#[test]
fn two_nodes_exchange_packets_over_a_link() {
    let sandbox = support::sandbox("link");
    let (a, b) = (sandbox.node("a").unwrap(), sandbox.node("b").unwrap());
    sandbox.link(("a", "eth0"), ("b", "eth0")).unwrap();
    a.ip("address add 10.9.0.1/24 dev eth0").unwrap();
    b.ip("address add 10.9.0.2/24 dev eth0").unwrap();

    let there = b
        .enter(|| UdpSocket::bind("10.9.0.2:4000"))
        .unwrap()
        .unwrap();
    there
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let here = a.enter(|| UdpSocket::bind("10.9.0.1:0")).unwrap().unwrap();
    here.send_to(b"hello", "10.9.0.2:4000").unwrap();

    let mut buffer = [0; 16];
    let (length, from) = there.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..length], from.ip().to_string()),
        (&b"hello"[..], "10.9.0.1".into())
    );
}

#[test]
fn a_program_is_started_watched_and_killed() {
    let sandbox = support::sandbox("program");
    let node = sandbox.node("a").unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $GREETING from $(hostname); sleep 1000"])
        .env("GREETING", "hello");
    let mut program = node.spawn(&command).unwrap();

    program
        .wait_for_output("hello from a", Duration::from_secs(10))
        .unwrap();
    assert!(program.is_running().unwrap());
    assert!(std::path::Path::new(&format!("/proc/{}", program.pid())).exists());
    program.kill().unwrap();
    assert!(!program.is_running().unwrap());

    let failed = node
        .run(["sh", "-c", "echo oops >&2; exit 3"])
        .unwrap_err()
        .to_string();
    assert!(failed.contains("oops") && failed.contains('3'), "{failed}");
    let missing = node.run(["no-such-program"]).unwrap_err();
    assert!(
        format!("{missing:#}").contains("no-such-program"),
        "{missing:#}"
    );
}

#[test]
fn a_program_that_takes_too_long_is_killed() {
    let sandbox = support::sandbox("slow");
    let node = sandbox.node("a").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "echo started >/run/started; sleep 1000; true"]);
    let error = node
        .output(&command, Duration::from_millis(300))
        .unwrap_err();
    assert!(error.to_string().contains("has not ended"), "{error}");
    support::eventually("it is dead", || node.run(["pgrep", "-x", "sleep"]).is_err());
}

#[test]
fn what_a_node_writes_stays_in_the_node() {
    let sandbox = support::sandbox("files");
    let (a, b) = (sandbox.node("a").unwrap(), sandbox.node("b").unwrap());
    let name = format!("patronus-lab-test-{}", std::process::id());
    for dir in [
        "/run",
        "/etc",
        "/etc/frr",
        "/etc/patronus",
        "/var/lib",
        "/var/log",
        "/var/tmp",
    ] {
        let path = format!("{dir}/{name}");
        a.run(["sh", "-c", &format!("echo mine > {path}")]).unwrap();
        assert_eq!(a.read_file(&path).unwrap(), "mine\n", "{path}");
        assert!(b.read_file(&path).is_err(), "{path} shows in another node");
        assert!(
            !std::path::Path::new(&path).exists(),
            "{path} shows outside"
        );
    }
    a.write_file("/etc/patronus/deep/config.yaml", "from outside")
        .unwrap();
    assert_eq!(
        a.run(["cat", "/etc/patronus/deep/config.yaml"]).unwrap(),
        "from outside"
    );
    a.sysctl(&[("net.ipv4.ip_forward", "1")]).unwrap();
    assert_eq!(
        a.run(["cat", "/proc/sys/net/ipv4/ip_forward"])
            .unwrap()
            .trim(),
        "1"
    );
    assert_eq!(
        b.run(["cat", "/proc/sys/net/ipv4/ip_forward"])
            .unwrap()
            .trim(),
        "0"
    );
}

#[test]
fn two_sandboxes_with_equal_names_and_addresses_do_not_meet() {
    let (one, two) = (support::sandbox("twin"), support::sandbox("twin"));
    for sandbox in [&one, &two] {
        let a = sandbox.node("a").unwrap();
        sandbox.node("b").unwrap();
        sandbox.link(("a", "eth0"), ("b", "eth0")).unwrap();
        a.ip("address add 10.9.0.1/24 dev eth0").unwrap();
    }
    two.find("b")
        .unwrap()
        .ip("address add 10.9.0.2/24 dev eth0")
        .unwrap();
    let ping = ["ping", "-c1", "-W1", "10.9.0.2"];
    two.find("a").unwrap().run(ping).unwrap();
    one.find("a").unwrap().run(ping).unwrap_err();

    let traces = Traces::of(&one);
    drop(one);
    assert_eq!(traces.left(), Vec::<String>::new());
    two.find("a").unwrap().run(ping).unwrap();

    let error = Sandbox::with_name(two.name()).unwrap_err();
    assert!(format!("{error:#}").contains("already up"), "{error:#}");
    assert_eq!(
        two.node("a").unwrap_err().to_string(),
        "there is already a node named \"a\""
    );
}

#[test]
fn a_lab_has_no_way_to_a_namespace_which_it_did_not_make() {
    let sandbox = support::sandbox("foreign");
    let node = sandbox.node("a").unwrap();
    // Not by name: names are looked up among the nodes of the lab and nowhere else.
    for name in ["foreign", "../a", "/proc/1/ns/net", "1"] {
        let error = sandbox.find(name).unwrap_err().to_string();
        assert!(error.contains("there is no node"), "{error}");
    }
    // Not by pid: processes outside have none inside.
    let processes = node.run(["sh", "-c", "ls -d /proc/[0-9]*"]).unwrap();
    assert!(processes.lines().count() < 10, "{processes}");
    let outside = std::process::id();
    node.run(["nsenter", "-t", &outside.to_string(), "-n", "true"])
        .unwrap_err();
    // Not by what is mounted, and not by interfaces.
    assert_eq!(node.run(["ip", "netns", "list"]).unwrap(), "");
    let links = node.run(["ip", "-o", "link"]).unwrap();
    assert!(
        links
            .lines()
            .all(|line| !line.contains("eth") && !line.contains("veth")),
        "{links}"
    );
}

#[test]
fn wireguard_tunnels_of_two_nodes_have_the_same_name_and_do_not_meet() {
    let sandbox = support::sandbox("wireguard");
    let nodes = [sandbox.node("a").unwrap(), sandbox.node("b").unwrap()];
    sandbox.link(("a", "eth0"), ("b", "eth0")).unwrap();
    let keys: Vec<String> = nodes
        .iter()
        .map(|node| {
            node.run(["sh", "-c", "wg genkey | tee /run/key | wg pubkey"])
                .unwrap()
                .trim()
                .to_owned()
        })
        .collect();
    for (index, node) in nodes.iter().enumerate() {
        let (own, peer) = (index + 1, 2 - index);
        node.spawn(Command::new("wireguard-go").args(["-f", "wg0"]))
            .unwrap();
        support::eventually("the tunnel exists", || {
            node.run(["wg", "show", "wg0"]).is_ok()
        });
        let key = &keys[1 - index];
        node.run([
            "sh",
            "-c",
            &format!(
                "wg set wg0 private-key /run/key listen-port 51820 peer {key} \
             endpoint 10.9.0.{peer}:51820 allowed-ips 10.8.0.{peer}/32"
            ),
        ])
        .unwrap();
        node.ip(&format!(
            "address add 10.9.0.{own}/24 dev eth0\naddress add 10.8.0.{own}/24 dev wg0\nlink set wg0 up\n"
        ))
        .unwrap();
    }
    nodes[0].run(["ping", "-c1", "-W10", "10.8.0.2"]).unwrap();
    assert!(
        !std::path::Path::new("/run/wireguard/wg0.sock").exists(),
        "it is not outside"
    );
}

/// Not a test: a process that makes a sandbox and waits to be killed.
#[test]
#[ignore = "started by other tests, in a process of its own"]
fn creator() {
    let sandbox = support::sandbox("creator");
    let node = sandbox.node("a").unwrap();
    sandbox.node("b").unwrap();
    sandbox.link(("a", "eth0"), ("b", "eth0")).unwrap();
    node.spawn(Command::new("sleep").arg("1000")).unwrap();
    println!("sandbox {}", sandbox.name());
    std::thread::sleep(Duration::from_secs(600));
}

/// Starts [`creator`] in a process of its own, and returns it with its sandbox.
fn start_creator() -> (std::process::Child, Sandbox) {
    let mut creator = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "creator", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(creator.stdout.take().unwrap()).lines();
    let name = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("sandbox ").map(|(_, name)| name.to_owned()));
    let sandbox = Sandbox::attach(&name.expect("the creator says its name")).unwrap();
    (creator, sandbox)
}

#[test]
fn a_sandbox_vanishes_when_its_creator_is_killed() {
    let (mut creator, sandbox) = start_creator();
    let traces = Traces::of(&sandbox);
    assert!(!traces.left().is_empty());
    creator.kill().unwrap();
    creator.wait().unwrap();
    traces.vanish();
    let error = sandbox.node_names().unwrap_err();
    assert!(format!("{error:#}").contains("not up"), "{error:#}");
}

/// The pid of a process of a lab by the name which it has given itself.
fn pid_of(sandbox: &Sandbox, what: &str) -> i32 {
    let holder = sandbox.find("a").unwrap().pid();
    let parent = |pid: i32| -> i32 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .unwrap();
        line.trim().parse().unwrap()
    };
    match what {
        "supervisor" => parent(holder),
        _ => parent(parent(holder)),
    }
}

#[test]
fn a_sandbox_vanishes_when_its_supervisor_or_its_monitor_is_killed() {
    for victim in ["supervisor", "monitor"] {
        let sandbox = support::sandbox("victim");
        sandbox.node("a").unwrap();
        let traces = Traces::of(&sandbox);
        let pid = nix::unistd::Pid::from_raw(pid_of(&sandbox, victim));
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
        // Without a monitor nobody removes the directory, until a sweep (or a lab of that name).
        support::eventually("all processes have died", || {
            traces
                .left()
                .iter()
                .all(|trace| trace.starts_with(patronus_lab::ROOT))
        });
        support::eventually("it can be swept", || {
            patronus_lab::sweep().unwrap();
            traces.left().is_empty()
        });
    }
}

#[test]
fn a_detached_sandbox_outlives_its_handle_until_it_is_stopped() {
    let mut sandbox = support::sandbox("detached");
    sandbox.node("a").unwrap();
    let (name, traces) = (sandbox.name().to_owned(), Traces::of(&sandbox));
    sandbox.detach().unwrap();
    drop(sandbox);
    support::sleep(100);
    let again = Sandbox::attach(&name).unwrap();
    assert_eq!(again.node_names().unwrap(), ["a"]);
    again.stop().unwrap();
    traces.vanish();
}
