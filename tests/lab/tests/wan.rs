//! The WAN emulator does what it is told, and the streams measure it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is a failed test, also in its helpers"
)]

mod support;

use std::time::{Duration, Instant};

use patronus_lab::traffic::{Capture, TcpFlow, TcpSpec, UdpSpec, UdpStream};
use patronus_lab::{Cut, Degradation, Direction, Lab, Loss, Rate, Span};
use support::{ends, eventually, sleep, stream, two_sites};

/// Breaks the uplink of `one` for about `millis`; returns the shortest and the longest time, in
/// milliseconds, for which it can have been broken on a machine that does other things as well.
fn break_for(lab: &Lab, cut: Cut, millis: u64) -> (f64, f64) {
    let begin = Instant::now();
    lab.cut("one", "u", cut).unwrap();
    let broken = Instant::now();
    sleep(millis);
    let shortest = broken.elapsed().as_secs_f64() * 1000.0;
    lab.heal("one", "u").unwrap();
    (shortest, begin.elapsed().as_secs_f64() * 1000.0)
}

#[test]
fn a_cut_of_half_a_second_is_a_blackout_of_half_a_second() {
    let lab = two_sites("delay: 5ms");
    let stream = stream(&lab, 500);
    sleep(300);
    let (shortest, longest) = break_for(&lab, Cut::Swallow, 500);
    sleep(300);
    let report = stream.stop();
    for flow in [&report.a_to_b, report.b_to_a.as_ref().unwrap()] {
        // 2 ms between packets, 5 ms of delay in which a packet can be caught, and the scheduler.
        let blackout = flow.longest_blackout.unwrap();
        assert!(
            blackout.duration_ms > shortest - 15.0,
            "{blackout:?} {shortest}"
        );
        assert!(
            blackout.duration_ms < longest + 40.0,
            "{blackout:?} {longest}"
        );
        assert_eq!(flow.blackouts.len(), 1, "{:?}", flow.blackouts);
        assert_eq!(flow.lost, blackout.packets, "nothing else is lost");
        assert_eq!((flow.duplicates, flow.reordered, flow.refused), (0, 0, 0));
    }
}

#[test]
fn one_direction_can_be_cut_alone() {
    let lab = two_sites("");
    for (cut, tx) in [(Cut::Tx, true), (Cut::Rx, false)] {
        let stream = stream(&lab, 500);
        break_for(&lab, cut, 200);
        sleep(200);
        let report = stream.stop();
        let (up, down) = (report.a_to_b, report.b_to_a.unwrap());
        let (broken, well) = if tx { (up, down) } else { (down, up) };
        assert!(
            broken.longest_blackout.unwrap().duration_ms > 150.0,
            "{broken:?}"
        );
        assert_eq!(well.lost, 0, "{well:?}");
    }
}

#[test]
fn a_carrier_cut_takes_the_carrier_of_the_router_and_nothing_else() {
    let lab = two_sites("");
    let one = lab.node("one").unwrap();
    let carrier = || {
        one.run(["cat", "/sys/class/net/wan1/carrier"])
            .unwrap()
            .trim()
            == "1"
    };
    assert!(carrier());
    lab.cut("one", "u", Cut::Carrier).unwrap();
    eventually("the carrier is lost", || !carrier());
    let flags = one.run(["ip", "-o", "link", "show", "wan1"]).unwrap();
    assert!(
        flags.contains("NO-CARRIER") && flags.contains("UP"),
        "{flags}"
    );
    lab.heal("one", "u").unwrap();
    eventually("the carrier is back", carrier);
    let stream = stream(&lab, 100);
    sleep(200);
    assert!(stream.stop().a_to_b.received > 0);
}

#[test]
fn a_flapping_uplink_is_down_and_up_in_turn_until_it_is_healed() {
    let lab = two_sites("");
    let stream = stream(&lab, 500);
    let half = Span::millis(250);
    break_for(
        &lab,
        Cut::Flap {
            down: half,
            up: half,
            carrier: false,
        },
        2000,
    );
    eventually("it is healed", || stream.sample().a_to_b.silent_ms < 50.0);
    sleep(600);
    let report = stream.stop().a_to_b;
    assert!(
        (3..=5).contains(&report.blackouts.len()),
        "{:?}",
        report.blackouts
    );
    let last = report.blackouts.last().unwrap();
    let end = report.sent as f64 * 2.0;
    assert!(
        last.start_ms + last.duration_ms < end - 300.0,
        "it flaps on: {last:?} of {end}"
    );
}

#[test]
fn five_percent_of_loss_is_five_percent_of_loss() {
    let lab = two_sites("loss: 5%");
    let stream = stream(&lab, 4000);
    sleep(4000);
    let report = stream.stop();
    for flow in [&report.a_to_b, report.b_to_a.as_ref().unwrap()] {
        // 16,000 packets: one standard deviation is 0.17 %.
        assert!(
            (4.0..6.0).contains(&flow.loss_percent),
            "{} %",
            flow.loss_percent
        );
        assert_eq!(
            flow.lost,
            flow.missing
                .iter()
                .map(|run| run.end() - run.start() + 1)
                .sum::<u64>()
        );
    }
    let links = lab.links().unwrap();
    let up = links[0].up;
    assert_eq!(up.lost + up.forwarded, up.received, "{up:?}");
    assert!(up.lost >= report.a_to_b.lost, "{up:?}");
}

#[test]
fn delay_is_added_in_each_direction_and_can_be_changed() {
    let lab = two_sites("delay: 30ms, down: {delay: 10ms}");
    let once = |up: f64, down: f64| {
        let stream = stream(&lab, 200);
        sleep(1000);
        let report = stream.stop();
        let directions = [(report.a_to_b, up), (report.b_to_a.unwrap(), down)];
        let mut reordered = 0;
        for (flow, wanted) in directions {
            let delay = flow.delay.unwrap();
            // The fastest packet shows what was asked for; the median what a busy machine adds.
            assert!(
                (wanted..wanted + 5.0).contains(&delay.min_ms),
                "{wanted}: {delay:?}"
            );
            assert!(delay.p50_ms < wanted + 15.0, "{wanted}: {delay:?}");
            reordered += flow.reordered;
        }
        reordered
    };
    // A sender that the scheduler moves to another core overtakes itself now and then, before any
    // delay is added; an emulator that reorders does so each time.
    let measure = |up: f64, down: f64| {
        let reordered: Vec<u64> = (0..3)
            .map(|_| once(up, down))
            .take_while(|reordered| *reordered > 0)
            .collect();
        assert!(reordered.len() < 3, "{reordered:?} packets overtook others");
    };
    measure(30.0, 10.0);
    let change = Degradation {
        delay: Some(Span::millis(80)),
        jitter: Some(Span::millis(4)),
        direction: Direction::Down,
        ..Degradation::default()
    };
    lab.degrade("one", "u", &change).unwrap();
    measure(30.0, 80.0);
    lab.heal("one", "u").unwrap();
    measure(30.0, 10.0);
}

#[test]
fn the_rate_bounds_throughput_and_the_buffer_bounds_delay() {
    let lab = two_sites("rate: 20mbit, delay: 2ms");
    let (mut from, to) = ends(&lab, 5001, false);
    from.port = 0;
    let flow = TcpFlow::start(&TcpSpec {
        from,
        to,
        rate: None,
    })
    .unwrap();
    sleep(1000);
    let _ = flow.sample_mbit_per_s();
    sleep(3000);
    let reached = flow.sample_mbit_per_s();
    let report = flow.stop();
    assert!((14.0..20.5).contains(&reached), "{reached} Mbit/s");
    assert_eq!((report.damaged_at, report.broken), (None, None));

    lab.degrade(
        "one",
        "u",
        &Degradation {
            rate: Some(Rate::bits(5_000_000)),
            ..Degradation::default()
        },
    )
    .unwrap();
    let (mut from, to) = ends(&lab, 5002, true);
    from.port = 0;
    let flow = TcpFlow::start(&TcpSpec {
        from,
        to,
        rate: None,
    })
    .unwrap();
    sleep(2000);
    let report = flow.stop();
    assert!(report.mbit_per_s < 6.5, "{} Mbit/s", report.mbit_per_s);
}

#[test]
fn a_connection_survives_a_cut_and_tells_how_long_it_stalled() {
    let lab = two_sites("delay: 3ms");
    let (from, to) = ends(&lab, 5001, false);
    let rate = Some(Rate::bits(8_000_000));
    let flow = TcpFlow::start(&TcpSpec { from, to, rate }).unwrap();
    sleep(500);
    let (shortest, _) = break_for(&lab, Cut::Swallow, 400);
    eventually("it goes on", || {
        let report = flow.report();
        report.stalls.len() == 1 && report.seconds > report.stalls[0].start_ms / 1000.0 + 0.6
    });
    let report = flow.stop();
    let stall = report.longest_stall.unwrap();
    assert!(stall.duration_ms > shortest - 50.0, "{stall:?} {shortest}");
    assert!(report.bytes > 100_000, "{report:?}");
    assert_eq!((report.damaged_at, report.broken), (None, None));
}

#[test]
fn a_connection_that_hangs_when_it_is_stopped_is_broken() {
    let lab = two_sites("delay: 3ms");
    let (from, to) = ends(&lab, 5001, false);
    let rate = Some(Rate::bits(8_000_000));
    let flow = TcpFlow::start(&TcpSpec { from, to, rate }).unwrap();
    sleep(500);
    lab.cut("one", "u", Cut::Swallow).unwrap();
    sleep(5500);
    let report = flow.stop();
    let why = report.broken.expect("nothing has arrived for 5 s");
    assert!(why.contains("nothing has arrived"), "{why}");
    assert!(report.bytes > 0 && report.damaged_at.is_none());
}

#[test]
fn a_stream_over_ipv6_carries_its_dscp_and_a_capture_sees_each_packet() {
    let lab = two_sites("");
    let isp = lab.node("isp").unwrap();
    let capture = Capture::start(&isp, "s1u1", "ip6 and udp port 7001").unwrap();
    let marked = Capture::start(&isp, "s1u1", "ip6 and udp and ip6[0:2] & 0xff0 = 0xb80").unwrap();
    let nothing = Capture::start(&isp, "s1u1", "tcp").unwrap();
    let (a, b) = ends(&lab, 7001, true);
    let spec = UdpSpec {
        dscp: 46,
        both_ways: false,
        ..UdpSpec::new(a, b)
    };
    let stream = UdpStream::start(&spec).unwrap();
    sleep(500);
    let report = stream.stop();
    assert!(report.b_to_a.is_none());
    assert_eq!(report.a_to_b.lost, 0);
    eventually("all were seen", || {
        capture.count().unwrap() as u64 == report.a_to_b.sent
    });
    assert_eq!(capture.stop().unwrap().len(), marked.stop().unwrap().len());
    assert_eq!(nothing.stop().unwrap(), Vec::<String>::new());
}

#[test]
fn a_lab_without_impairments_loses_nothing() {
    let lab = two_sites("");
    let stream = stream(&lab, 2000);
    sleep(2000);
    let report = stream.stop();
    assert_eq!(
        (report.lost(), report.longest_blackout_ms()),
        (0, 0.0),
        "{report:?}"
    );
    assert!(report.a_to_b.delay.unwrap().p50_ms < 5.0, "{report:?}");
}

#[test]
fn loss_can_be_switched_on_in_one_direction() {
    let lab = two_sites("");
    let change = Degradation {
        loss: Some(Loss::percent(100.0)),
        direction: Direction::Up,
        ..Degradation::default()
    };
    let stream = stream(&lab, 500);
    lab.degrade("one", "u", &change).unwrap();
    eventually("nothing comes", || stream.sample().a_to_b.silent_ms > 300.0);
    assert!(stream.sample().b_to_a.unwrap().silent_ms < 200.0);
    assert_eq!(lab.cut_of("one", "u").unwrap(), None);
    drop(stream);
    std::thread::sleep(Duration::from_millis(1));
}
