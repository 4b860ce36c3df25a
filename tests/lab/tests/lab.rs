//! Labs with sites and ISPs: how they are connected.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is a failed test, also in its helpers"
)]

mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use patronus_lab::plan::UplinkPlan;
use patronus_lab::{Cut, Lab, Topology};
use support::{eventually, lab};

fn ping(lab: &Lab, from: &str, to: IpAddr, options: &[&str]) -> Result<String, anyhow::Error> {
    let address = to.to_string();
    let argv = ["ping", "-c2", "-i0.2", "-W3"]
        .iter()
        .chain(options)
        .copied();
    lab.node(from)?.run(argv.chain([address.as_str()]))
}

#[test]
fn routers_reach_each_other_and_a_server_over_every_uplink() {
    let lab = Lab::up(&Topology::parse(patronus_lab::topology::DEFAULT).unwrap()).unwrap();
    for uplink in &lab.plan().site("lisbon").unwrap().uplinks {
        for attachment in [uplink.ipv4.unwrap(), uplink.ipv6.unwrap()] {
            ping(&lab, "berlin", attachment.address, &[]).unwrap();
        }
    }
    let servers = &lab.plan().cores[0].servers;
    for server in servers {
        ping(&lab, "oslo", *server, &[]).unwrap();
    }
    let hosts = lab
        .plan()
        .site("oslo")
        .unwrap()
        .hosts()
        .next()
        .unwrap()
        .clone();
    for inside in &hosts.addresses {
        ping(&lab, "oslo", inside.address, &[]).unwrap();
    }
}

#[test]
fn underlays_do_not_reach_each_other() {
    let lab = lab("isps: [{name: a}, {name: b}, {name: m, underlay: mpls}]
sites:
  - {name: one, uplinks: [{name: u, isp: a}]}
  - {name: two, uplinks: [{name: u, isp: b}, {name: v, isp: m}]}");
    let two = lab.plan().site("two").unwrap();
    let address = |name: &str| two.uplink(name).unwrap().ipv4.unwrap().address;
    ping(&lab, "one", address("u"), &[]).unwrap();
    ping(&lab, "one", address("v"), &[]).unwrap_err();
}

#[test]
fn hosts_of_a_larger_lan_share_a_switch() {
    let lab = lab("isps: [{name: a}]
sites:
  - {name: one, lans: [{hosts: 3}, {hosts: 0}, {hosts: 1}], uplinks: [{name: u, isp: a}]}");
    let third = lab.host("one", 3).unwrap();
    ping(&lab, "one-h1", third.plan().ipv4().unwrap().into(), &[]).unwrap();
    ping(&lab, "one-h1", third.plan().ipv6().unwrap().into(), &[]).unwrap();
    ping(&lab, "one", third.plan().ipv4().unwrap().into(), &[]).unwrap();
    let fourth = lab.host("one", 4).unwrap();
    assert_eq!(fourth.plan().ipv4().unwrap().to_string(), "10.1.2.11");
    ping(&lab, "one", fourth.plan().ipv4().unwrap().into(), &[]).unwrap();
    let error = lab.host("one", 5).unwrap_err();
    assert_eq!(error.to_string(), "site one has no host 5; it has 4");
}

#[test]
fn an_uplink_on_dhcp_gets_an_address_and_another_one() {
    let lab = lab("isps: [{name: a}]
sites:
  - {name: one, uplinks: [{name: u, isp: a, address: dhcp}]}
  - {name: two, uplinks: [{name: u, isp: a}]}");
    let first = lab.plan().uplink("one", "u").unwrap().ipv4.unwrap();
    assert_eq!(
        lab.leased_address("one", "u").unwrap(),
        Some(first.address.to_string())
    );
    let two = lab.plan().uplink("two", "u").unwrap().ipv4.unwrap().address;
    ping(&lab, "one", two, &[]).unwrap();

    for _ in 0..2 {
        let old = lab.leased_address("one", "u").unwrap().unwrap();
        let new = lab.change_address("one", "u").unwrap();
        assert_ne!(new.address.to_string(), old);
        let addresses = lab
            .node("one")
            .unwrap()
            .run(["ip", "-4", "addr", "show", "wan1"])
            .unwrap();
        assert!(
            addresses.contains(&new.with_prefix()) && !addresses.contains(&old),
            "{addresses}"
        );
        let route = lab
            .node("one")
            .unwrap()
            .run(["ip", "route", "show", "default"])
            .unwrap();
        assert!(route.contains(&new.gateway.to_string()), "{route}");
        assert_eq!(route.lines().count(), 1, "{route}");
        ping(&lab, "two", new.address, &[]).unwrap();
    }
    let error = lab.change_address("two", "u").unwrap_err();
    assert!(error.to_string().contains("static"), "{error}");
}

/// Who an echo server says that it was asked by.
fn seen_from(lab: &Lab, client: &str, server: &str, address: IpAddr) -> Option<SocketAddr> {
    let socket = lab
        .node(server)
        .unwrap()
        .enter(|| UdpSocket::bind((address, 9000)));
    let socket = socket.unwrap().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let asking = lab
        .node(client)
        .unwrap()
        .enter(|| UdpSocket::bind("0.0.0.0:5000"));
    let asking = asking.unwrap().unwrap();
    asking
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    asking.send_to(b"who am I?", (address, 9000)).unwrap();
    let mut buffer = [0; 64];
    let (_, from) = socket.recv_from(&mut buffer).ok()?;
    socket.send_to(b"that one", from).unwrap();
    asking
        .recv_from(&mut buffer)
        .expect("the answer comes back");
    Some(from)
}

#[test]
fn an_uplink_behind_nat_reaches_out_and_is_not_reached() {
    let lab = lab("isps: [{name: a}, {name: b}]
sites:
  - {name: inside, uplinks: [{name: u, isp: a, nat: true}]}
  - {name: same, uplinks: [{name: u, isp: a}]}
  - {name: other, uplinks: [{name: u, isp: b}]}");
    let uplink = |site: &str| -> UplinkPlan { lab.plan().uplink(site, "u").unwrap().clone() };
    let inside = uplink("inside");
    assert_ne!(inside.public_ipv4, inside.ipv4.map(|ipv4| ipv4.address));
    let other = uplink("other").ipv4.unwrap().address;
    let seen = || seen_from(&lab, "inside", "other", other).unwrap();
    let first = seen();
    assert_eq!(Some(first.ip()), inside.public_ipv4);
    // The binding stays until it is forgotten.
    assert_eq!(seen(), first);
    assert_eq!(lab.forget_nat("inside", "u").unwrap(), 1);
    assert_eq!(lab.forget_nat("inside", "u").unwrap(), 0);
    let second = seen();
    assert_eq!(second.ip(), first.ip());
    assert_ne!(second.port(), first.port());
    let error = lab.forget_nat("same", "u").unwrap_err();
    assert!(error.to_string().contains("nat: true"), "{error}");
    // A neighbour at the same ISP sees an address of the ISP, not that of the customer either.
    let same = uplink("same").ipv4.unwrap().address;
    let seen = seen_from(&lab, "inside", "same", same).unwrap();
    assert_eq!(seen.ip(), uplink("same").ipv4.unwrap().gateway);

    let private = inside.ipv4.unwrap().address;
    ping(&lab, "same", private, &[]).unwrap_err();
    ping(&lab, "other", private, &[]).unwrap_err();
}

#[test]
fn a_direct_uplink_can_be_cut_in_every_way_but_flapping() {
    let lab = support::two_sites("direct: true");
    let uplink = lab.plan().uplink("two", "u").unwrap().clone();
    let two = [uplink.ipv4.unwrap().address, uplink.ipv6.unwrap().address];
    for cut in [Cut::Carrier, Cut::Swallow, Cut::Tx, Cut::Rx] {
        lab.cut("one", "u", cut).unwrap();
        assert_eq!(lab.cut_of("one", "u").unwrap(), Some(cut));
        for address in two {
            ping(&lab, "one", address, &["-W1"]).unwrap_err();
        }
        lab.heal("one", "u").unwrap();
        assert_eq!(lab.cut_of("one", "u").unwrap(), None);
        for address in two {
            eventually("it is healed", || ping(&lab, "one", address, &[]).is_ok());
        }
    }
    lab.cut("one", "u", Cut::FLAP).unwrap_err();
    lab.degrade("one", "u", &patronus_lab::Degradation::default())
        .unwrap_err();
}

#[test]
fn killed_frr_daemons_come_back_under_watchfrr() {
    let lab = support::two_sites("direct: true");
    let router = lab.router("one").unwrap();
    router.start_frr().unwrap();
    let pid_file = "/run/frr/patronus/bgpd.pid";
    let before = router.node().read_file(pid_file).unwrap();
    router.node().run(["kill", "-9", before.trim()]).unwrap();
    eventually("bgpd is back", || {
        let now = router.node().read_file(pid_file).unwrap_or_default();
        now != before && router.vtysh("show bgp summary").is_ok()
    });
    assert!(
        !std::path::Path::new("/run/frr/patronus").exists(),
        "it ran in the node only"
    );
}
