//! The BFD driver while interfaces and addresses come and go.

#![allow(missing_docs, reason = "tests")]

mod bfd;

use bfd::{Router, path, spec, timers};
use patronus_daemon::bfd::{SessionSpec, SocketProblem};
use patronus_engine::bfd::{Diagnostic, Liveness};
use patronus_lab::Sandbox;

fn specs(local: &str, remote: &str) -> SessionSpec {
    SessionSpec {
        timers: timers(50, 4),
        ..spec(1, "eth0", local, remote)
    }
}

#[test]
fn sessions_follow_their_interface_and_addresses() -> anyhow::Result<()> {
    let sandbox = Sandbox::new("bfd-links")?;
    let (near, far) = (sandbox.node("near")?, sandbox.node("far")?);
    let (a, b) = (near.enter(Router::start)?, far.enter(Router::start)?);
    for (router, local, remote) in [(&a, 1, 2), (&b, 2, 1)] {
        let v4 = specs(&format!("10.0.0.{local}"), &format!("10.0.0.{remote}"));
        let v6 = specs(&format!("fd00::{local}"), &format!("fd00::{remote}"));
        let link = specs(&format!("fe80::{local}"), &format!("fe80::{remote}"));
        let sites = [(1, v4), (2, v6), (3, link)];
        router.watch(sites.map(|(site, spec)| SessionSpec {
            path: path(site),
            ..spec
        }));
    }
    let lacks = |problem: SocketProblem| {
        a.wait(path(1), "the reason", |session| {
            session.socket_problem.as_ref() == Some(&problem)
        });
    };
    lacks(SocketProblem::NoInterface);
    let plug = || -> anyhow::Result<()> {
        sandbox.link(("near", "eth0"), ("far", "eth0"))?;
        lacks(SocketProblem::NoAddress);
        for (node, host) in [(&near, 1), (&far, 2)] {
            node.ip(&format!(
                "address add 10.0.0.{host}/24 dev eth0\n\
                 address add fd00::{host}/64 dev eth0\n\
                 address add fe80::{host}/64 dev eth0\n"
            ))?;
        }
        for site in 1..=3 {
            a.wait_up(path(site));
            b.wait_up(path(site));
        }
        Ok(())
    };
    plug()?;
    near.ip("link del eth0\n")?;
    for site in 1..=3 {
        a.wait_liveness(
            path(site),
            Liveness::Down(Diagnostic::ControlDetectionTimeExpired),
        );
    }
    lacks(SocketProblem::NoInterface);
    // It comes back with another number.
    near.ip("link add dummy type bridge\n")?;
    plug()?;
    near.ip("address del 10.0.0.1/24 dev eth0\n")?;
    b.wait_liveness(
        path(1),
        Liveness::Down(Diagnostic::ControlDetectionTimeExpired),
    );
    near.ip("address add 10.0.0.1/24 dev eth0\n")?;
    a.wait_up(path(1));
    assert_eq!(
        a.session(path(2)).status.counters.downs,
        1,
        "IPv6 was not disturbed by this"
    );
    near.ip("link set eth0 down\nlink set eth0 up\naddress replace fd00::1/64 dev eth0\n")?;
    a.wait_up(path(1));
    a.wait_up(path(2));
    Ok(())
}
