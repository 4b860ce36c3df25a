//! Real FRR in network namespaces, which vanish with the test. Needs root and FRR; without either
//! the tests fail, unless `PATRONUS_SKIP_ROOT_TESTS=1` says that they shall not be run.
//!
//! `PATRONUS_FRR_ROOT=/some/root` takes FRR, its daemons and its vtysh, from another root file system.
//! `make test` runs them a second time so, with what `packaging/test/other-frr.sh` makes.

mod cases;
mod requirements;
mod router;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use patronus_frr::status::FrrEvent;
use patronus_frr::{Daemon, FrrStatus};
use patronus_lab::Sandbox;
use patronus_model::bgp::{Accept, Advertise};
use requirements::skipped;
use router::{Router, join};
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_passes_prefixes_on_with_itself_as_next_hop() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-hub")?;
    let [mut hub, mut two, mut three] = routers(&sandbox)?;
    join(&sandbox, 1, 2)?;
    join(&sandbox, 1, 3)?;
    hub.want(cases::hub());
    let spoke = |number: u8, accept| {
        let networks = [format!("10.{number}.0.0/16"), format!("fd00:{number}::/48")];
        let networks = [networks[0].as_str(), networks[1].as_str()];
        let from_hub = |neighbor: &mut patronus_model::bgp::BgpNeighbor| neighbor.accept = accept;
        cases::router(number, &networks, cases::sites(number, 1, from_hub))
    };
    two.want(spoke(2, Accept::All));
    three.want(spoke(3, Accept::AllButDefault));
    for router in [&mut hub, &mut two, &mut three] {
        assert!(router.applied().await?.leftovers.is_empty());
    }

    let of_hub = ["10.1.0.0/16 via 10.255.0.1", "fd00:1::/48 via fd00:ff::1"];
    let of_three = ["10.3.0.0/16 via 10.255.0.1", "fd00:3::/48 via fd00:ff::1"];
    let of_two = ["10.2.0.0/16 via 10.255.0.1", "fd00:2::/48 via fd00:ff::1"];
    let default = ["default via 10.255.0.1", "default via fd00:ff::1"];
    two.learns(&[of_hub, of_three].concat()).await?;
    three.learns(&[of_hub, of_two].concat()).await?;

    hub.want(cases::hub_with_default());
    assert!(hub.applied().await?.leftovers.is_empty());
    two.learns(&[of_hub, of_three, default].concat()).await?;
    three.learns(&[of_hub, of_two].concat()).await?;

    hub.want(cases::hub());
    hub.applied().await?;
    two.learns(&[of_hub, of_three].concat()).await?;
    assert_eq!(hub.frr.query.neighbors().await?.0.len(), 4);
    let mut status = hub.frr.status.clone();
    let told = |status: &FrrStatus| {
        status.neighbors.len() == 4
            && status
                .neighbors
                .values()
                .all(|it| (it.received, it.sent) == (1, 3))
    };
    timeout(Duration::from_secs(5), status.wait_for(told)).await??;
    assert!(hub.frr.status.borrow().is_good());

    two.node.run(["ip", "link", "set", "to1", "down"])?;
    let (lost, reason) = loop {
        if let FrrEvent::NeighborDown { address, reason } = hub.event().await? {
            break (address, reason);
        }
    };
    assert!(lost == cases::v4(2) || lost == cases::v6(2), "{lost}");
    assert!(reason.is_some_and(|reason| !reason.is_empty()));
    sandbox.stop()
}

fn routers(sandbox: &Sandbox) -> Result<[Router; 3]> {
    Ok([
        Router::start(sandbox, 1)?,
        Router::start(sandbox, 2)?,
        Router::start(sandbox, 3)?,
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_hub_reflects_with_itself_as_next_hop() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-ibgp")?;
    let [mut hub, mut two, mut three] = routers(&sandbox)?;
    join(&sandbox, 1, 2)?;
    join(&sandbox, 1, 3)?;
    let internal = |number: u8, others: &[u8]| {
        let networks = [format!("10.{number}.0.0/16"), format!("fd00:{number}::/48")];
        let neighbors = others.iter().flat_map(|other| {
            cases::sites(number, *other, |neighbor| {
                neighbor.remote_asn = cases::asn(1);
                if number == 1 {
                    neighbor.advertise = Advertise::Everything;
                }
            })
        });
        let networks = [networks[0].as_str(), networks[1].as_str()];
        let mut router = cases::router(number, &networks, neighbors.collect());
        router.bgp.asn = cases::asn(1);
        router
    };
    hub.want(internal(1, &[2, 3]));
    two.want(internal(2, &[1]));
    three.want(internal(3, &[1]));
    for router in [&mut hub, &mut two, &mut three] {
        assert!(router.applied().await?.leftovers.is_empty());
    }
    let of_hub = ["10.1.0.0/16 via 10.255.0.1", "fd00:1::/48 via fd00:ff::1"];
    let of_three = ["10.3.0.0/16 via 10.255.0.1", "fd00:3::/48 via fd00:ff::1"];
    two.learns(&[of_hub, of_three].concat()).await?;
    lose_address_for_a_while(&hub, 1, 2).await?;
    two.learns(&[of_hub, of_three].concat()).await?;
    sandbox.stop()
}

/// What teardown and a new start do to a router while its session with another one lives.
async fn lose_address_for_a_while(router: &Router, number: u8, other: u8) -> Result<()> {
    let node = &router.node;
    let subnet = number.max(other) * 10 + number.min(other);
    node.ip(&format!("address del fd00:ff::{number}/64 dev ov0\n"))?;
    sleep(Duration::from_millis(500)).await;
    node.ip(&format!(
        "address add fd00:ff::{number}/64 dev ov0 nodad\n\
         route replace fd00:ff::{other}/128 via fd01:{subnet}::{other} src fd00:ff::{number} table 100\n"
    ))?;
    // Nothing may change, so there is nothing to wait for but what bgpd may have to say.
    sleep(Duration::from_secs(2)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn next_hops_of_sites_are_in_the_overlay_and_stay_there() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-lies")?;
    let (mut one, mut two) = (Router::start(&sandbox, 1)?, Router::start(&sandbox, 2)?);
    join(&sandbox, 1, 2)?;
    let nothing_more = |_: &mut patronus_model::bgp::BgpNeighbor| {};
    one.want(cases::router(1, &[], cases::sites(1, 2, nothing_more)));
    let networks = ["10.2.0.0/16", "10.66.0.0/16", "fd00:2::/48", "fd00:66::/48"];
    let sites = cases::sites(2, 1, nothing_more);
    two.want(cases::router(2, &networks, sites));
    for router in [&mut one, &mut two] {
        router.applied().await?;
    }
    let honest = ["10.2.0.0/16 via 10.255.0.2", "fd00:2::/48 via fd00:ff::2"];
    let all = ["10.66.0.0/16 via 10.255.0.2", "fd00:66::/48 via fd00:ff::2"];
    one.learns(&[honest, all].concat()).await?;

    lose_address_for_a_while(&two, 2, 1).await?;
    one.learns(&[honest, all].concat()).await?;

    // A gateway that router 1 reaches without the overlay, so that nothing but the check refuses it.
    two.end_supervision();
    two.configure(&[
        "ip prefix-list lie seq 5 permit 10.66.0.0/16",
        "route-map patronus-tell-external-v4 permit 5",
        "match ip address prefix-list lie",
        "set ip next-hop 172.16.21.2",
        "exit",
        "ipv6 prefix-list lie seq 5 permit fd00:66::/48",
        "route-map patronus-tell-site-external-v6 permit 5",
        "match ipv6 address prefix-list lie",
        "set ipv6 next-hop global fd01:21::2",
    ])?;
    one.learns(&honest).await?;
    sandbox.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_site_tells_what_is_its_own_and_external_but_not_what_sites_told_it()
-> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-mesh")?;
    let [mut one, mut two, mut lan] = routers(&sandbox)?;
    join(&sandbox, 1, 2)?;
    join(&sandbox, 2, 3)?;
    // Router 3 is a stranger to router 2, on its LAN, and announces what it should not, too.
    let mut stranger = cases::third_party("172.16.32.2", 2);
    let mut at_two = cases::third_party("172.16.32.3", 3);
    for neighbor in [&mut stranger, &mut at_two] {
        neighbor.advertise = Advertise::Everything;
        neighbor.timers.connect_retry = 1;
    }
    let networks = ["10.3.0.0/16", "0.0.0.0/0", "10.255.77.0/24"];
    let mut of_stranger = cases::router(3, &networks, vec![stranger]);
    of_stranger.overlay.subnet_v4 = None;
    of_stranger.overlay.subnet_v6 = None;
    lan.want(of_stranger);
    let site = |local, remote| cases::site(local, remote, cases::v4);
    one.want(cases::router(
        1,
        &["10.1.0.0/16", "10.255.0.0/16"],
        vec![site(1, 2)],
    ));
    two.want(cases::router(2, &["10.2.0.0/16"], vec![site(2, 1), at_two]));
    for router in [&mut one, &mut two, &mut lan] {
        assert!(router.applied().await?.leftovers.is_empty());
    }

    one.learns(&["10.2.0.0/16 via 10.255.0.2", "10.3.0.0/16 via 10.255.0.2"])
        .await?;
    two.learns(&["10.1.0.0/16 via 10.255.0.1", "10.3.0.0/16 via 172.16.32.3"])
        .await?;
    let main = two.node.run(["ip", "route", "show", "proto", "bgp"])?;
    assert_eq!(main, "");
    // What needs bfdd waits for it, the rest does not.
    assert!(!two.frr.status.borrow().is_good());
    two.start_bfdd().await?;
    let up = two.frr.query.bfd_peers().await?;
    assert_eq!(up.len(), 1, "{up:?}");
    assert!(two.frr.status.borrow().is_good());
    let mut status = two.frr.status.clone();
    let listed = |status: &FrrStatus| status.bfd.iter().map(|it| it.peer).eq([up[0].peer]);
    timeout(Duration::from_secs(5), status.wait_for(listed)).await??;

    // Once router 1 is told nothing external, it keeps only what is router 2's own.
    let mut own = cases::router(2, &["10.2.0.0/16"], vec![site(2, 1)]);
    own.bgp.neighbors.push(cases::third_party("172.16.32.3", 3));
    own.bgp.neighbors[0].advertise = Advertise::OwnNetworks;
    two.want(own);
    two.applied().await?;
    one.learns(&["10.2.0.0/16 via 10.255.0.2"]).await?;
    sandbox.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_changes_is_put_back_and_told() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-altered")?;
    let mut one = Router::start(&sandbox, 1)?;
    let networks = ["10.1.0.0/16", "fd00:1::/48"];
    one.want(cases::router(1, &networks, cases::sites(1, 2, |_| ())));
    one.applied().await?;
    let before = one.shows()?;
    // Until daemons have read what they start from, all differences are ours.
    sleep(Duration::from_secs(5)).await;
    one.configure(&[
        "router bgp",
        "address-family ipv4 unicast",
        "no network 10.1.0.0/16",
        "network 10.77.0.0/16",
    ])?;
    let altered = loop {
        match one.event().await? {
            FrrEvent::Altered(altered) => break altered,
            FrrEvent::ApplyFailed(words) => anyhow::bail!(words),
            _ => {}
        }
    };
    let words: Vec<_> = altered.iter().map(|it| it.words.as_str()).collect();
    let expected = [
        "\"network 10.1.0.0/16 route-map patronus-own\" removed",
        "\"network 10.77.0.0/16\" added",
    ];
    assert_eq!(words, expected);
    assert_eq!(one.shows()?, before);
    sandbox.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_too_many_prefixes_is_back_as_soon_as_more_are_allowed() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-limit")?;
    let (mut one, mut two) = (Router::start(&sandbox, 1)?, Router::start(&sandbox, 2)?);
    join(&sandbox, 1, 2)?;
    let limited = |most| {
        let mut neighbor = cases::site(1, 2, cases::v4);
        neighbor.maximum_prefixes = Some(most);
        cases::router(1, &[], vec![neighbor])
    };
    one.want(limited(1));
    let networks = ["10.2.0.0/16", "10.22.0.0/16"];
    two.want(cases::router(
        2,
        &networks,
        vec![cases::site(2, 1, cases::v4)],
    ));
    one.applied().await?;
    two.applied().await?;
    let mut status = one.frr.status.clone();
    let ended = |status: &FrrStatus| {
        let mut neighbors = status.neighbors.values();
        neighbors.any(|it| it.state.to_string() == "Idle (PfxCt)")
    };
    timeout(Duration::from_secs(20), status.wait_for(ended)).await??;
    one.want(limited(10));
    one.applied().await?;
    // By itself, bgpd would wait for five minutes.
    one.learns(&["10.2.0.0/16 via 10.255.0.2", "10.22.0.0/16 via 10.255.0.2"])
        .await?;
    sandbox.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_is_noticed_at_once_and_loses_no_routes() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-death")?;
    let (mut one, mut two) = (Router::start(&sandbox, 1)?, Router::start(&sandbox, 2)?);
    join(&sandbox, 1, 2)?;
    one.want(cases::router(
        1,
        &["10.1.0.0/16", "fd00:1::/48"],
        cases::sites(1, 2, |_| ()),
    ));
    two.want(cases::router(
        2,
        &["10.2.0.0/16", "fd00:2::/48"],
        cases::sites(2, 1, |_| ()),
    ));
    one.applied().await?;
    two.applied().await?;
    let routes = ["10.1.0.0/16 via 10.255.0.1", "fd00:1::/48 via fd00:ff::1"];
    two.learns(&routes).await?;
    one.learns(&["10.2.0.0/16 via 10.255.0.2", "fd00:2::/48 via fd00:ff::2"])
        .await?;
    // Both ends must have said that they are done (End-of-RIB) to hold on to routes.
    sleep(Duration::from_secs(4)).await;

    for (victim, daemon) in [(1, Daemon::Bgpd), (2, Daemon::Bgpd), (2, Daemon::Zebra)] {
        let router = if victim == 1 { &mut one } else { &mut two };
        while router.frr.events.try_recv().is_ok() {}
        let start = Instant::now();
        router.kill(daemon)?;
        let event = router.event().await?;
        let noticed = start.elapsed();
        ensure!(matches!(event, FrrEvent::DaemonLost { daemon: lost, .. } if lost == daemon));
        ensure!(
            noticed < Duration::from_millis(200),
            "{daemon}: {noticed:?}"
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            ensure!(
                two.learned() == routes,
                "{daemon} of {victim}: {:?}",
                two.learned()
            );
            sleep(Duration::from_millis(20)).await;
        }
        let router = if victim == 1 { &one } else { &two };
        let status = router.frr.status.borrow().clone();
        ensure!(status.is_good(), "{status:?}");
        eprintln!("{daemon} of router {victim}: noticed after {noticed:?}");
    }
    sandbox.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn frr_shows_every_case_exactly_as_it_was_rendered() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-echo")?;
    let mut router = Router::start(&sandbox, 1)?;
    let neighbor = cases::third_party("192.0.2.7", 98);
    router.want(cases::router(1, &["10.1.0.0/16"], vec![neighbor]));
    router.start_bfdd().await?;
    let all = cases::all();
    let there_and_back = all.iter().chain(all.iter().rev().skip(1));
    for (case, desired) in there_and_back {
        let mut desired = desired.clone();
        // A router cannot be its own neighbour, which some cases make of router 1.
        desired
            .bgp
            .neighbors
            .retain(|it| it.address != cases::v4(1) && it.address != cases::v6(1));
        router.want(desired.clone());
        let applied = router.applied().await.context(*case)?;
        ensure!(
            applied.leftovers.is_empty(),
            "{case}: {:?}",
            applied.leftovers
        );
        let written = std::fs::read_to_string(&router.conf)?;
        ensure!(
            written == *patronus_frr::render::render(&desired).to_text(),
            "{case}"
        );
    }
    sandbox.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_frr_refuses_leaves_everything_as_it_was() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-refusal")?;
    let mut router = Router::start(&sandbox, 1)?;
    router.want(cases::hub());
    router.applied().await?;
    let (before, file) = (router.shows()?, std::fs::read_to_string(&router.conf)?);

    // Nobody can be their own neighbour, which only bgpd knows: the syntax is right. Much is
    // applied before it comes to that.
    let mut wrong = cases::hub_with_default();
    wrong.bgp.asn = cases::asn(77);
    wrong.bgp.neighbors.push(cases::site(1, 1, cases::v6));
    router.want(wrong);
    let error = router.applied().await.unwrap_err().to_string();
    assert!(
        error.contains("fd00:ff::1") && error.contains("bgpd"),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");
    assert_eq!(router.shows()?, before);
    assert_eq!(std::fs::read_to_string(&router.conf)?, file);
    sandbox.stop()
}

/// Not a test of anything but time: run it with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, 10 s"]
async fn a_thousand_neighbours() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let sandbox = Sandbox::new("frr-many")?;
    let mut router = Router::start(&sandbox, 1)?;
    // bgpd keeps a TCP-MD5 key per neighbour on its listening socket.
    router.node.sysctl(&[("net.core.optmem_max", "1048576")])?;
    let many = |count: u16| {
        let networks: Vec<String> = (0..count / 4)
            .map(|n| format!("10.{}.{}.0/24", n / 200, n % 200))
            .collect();
        let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
        let neighbors = (1..=count).map(|n| {
            let mut neighbor = cases::site(1, 2, cases::v4);
            let [high, low] = n.to_be_bytes();
            neighbor.address = [10, 255, 100 + high, low].into();
            neighbor
        });
        cases::router(1, &networks, neighbors.collect())
    };
    for count in [1000, 900, 1000, 0] {
        router.want(many(count));
        let commands = router.applied().await?.commands.len();
        let took = router
            .frr
            .status
            .borrow()
            .last_apply
            .as_ref()
            .map(|last| last.took);
        eprintln!("{count} neighbours: {commands} commands in {took:?}");
    }
    sandbox.stop()
}
