//! How often somebody may try to log in, and that nobody can keep others out by it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use patronus_access::Millis;
use patronus_access::limit::{ANYWHERE, HERE, KNOWN_FOR, Limiter, NETWORK};
use proptest::prelude::*;

const SECOND: Millis = 1000;
const HOUR: Millis = 3600 * SECOND;
const HOME: &str = "192.0.2.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A wrong password. Says whether it was looked at.
fn guess(limiter: &mut Limiter, name: &str, from: IpAddr, now: Millis) -> bool {
    limiter.attempt(name, from, now).is_ok()
}

/// The right one.
fn log_in(limiter: &mut Limiter, name: &str, from: IpAddr, now: Millis) -> bool {
    let attempt = limiter.attempt(name, from, now);
    attempt.map(|it| limiter.succeeded(it, now)).is_ok()
}

#[test]
fn guesses_are_few_at_once_and_then_slow() {
    let mut limiter = Limiter::default();
    let mut looked_at = Vec::new();
    for now in (0..120).map(|second| second * SECOND) {
        if guess(&mut limiter, "anna", ip(HOME), now) {
            looked_at.push(now / SECOND);
        }
    }
    assert_eq!(looked_at, [0, 1, 2, 3, 4, 30, 60, 90]);
    let error = limiter
        .attempt("anna", ip(HOME), 120 * SECOND - 1)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "too many attempts to log in: try again in 1 s"
    );
}

#[test]
fn who_is_told_to_wait_can_try_again_just_then() {
    let mut limiter = Limiter::default();
    let mut now = 0;
    for _ in 0..50 {
        if let Err(early) = limiter.attempt("anna", ip(HOME), now) {
            assert!(
                limiter
                    .attempt("anna", ip(HOME), now + early.wait - 1)
                    .is_err()
            );
            now += early.wait;
            assert!(guess(&mut limiter, "anna", ip(HOME), now));
        }
    }
}

#[test]
fn logins_that_succeed_cost_nothing() {
    let mut limiter = Limiter::default();
    for _ in 0..10_000 {
        assert!(log_in(&mut limiter, "anna", ip(HOME), 0));
    }
}

#[test]
fn one_network_tries_many_names_slowly_too() {
    let mut limiter = Limiter::default();
    let tried = (0..1000).filter(|n| guess(&mut limiter, &format!("user{n}"), ip(HOME), 0));
    assert_eq!(tried.count(), NETWORK.burst as usize);
    // All addresses that an IPv6 host can give itself are one.
    let mut limiter = Limiter::default();
    let tried = (0..1000_u128).filter(|n| {
        let from = Ipv6Addr::from_bits((0x2001_0db8 << 96) | n);
        guess(&mut limiter, &format!("user{n}"), from.into(), 0)
    });
    assert_eq!(tried.count(), NETWORK.burst as usize);
    // And an IPv4 address is the same in both clothes.
    let mut limiter = Limiter::default();
    for _ in 0..HERE.burst {
        assert!(guess(&mut limiter, "anna", ip("::ffff:192.0.2.1"), 0));
    }
    assert!(!guess(&mut limiter, "anna", ip(HOME), 0));
}

#[test]
fn a_single_network_keeps_nobody_out_who_is_elsewhere() {
    let mut limiter = Limiter::default();
    let mut guesses = 0;
    for now in (0..24 * HOUR).step_by(5000) {
        if guess(&mut limiter, "anna", ip("198.51.100.66"), now) {
            guesses += 1;
        }
        if now % HOUR == 0 {
            assert!(log_in(
                &mut limiter,
                "anna",
                ip(&format!("192.0.2.{}", now / HOUR)),
                now
            ));
        }
    }
    assert!(guesses <= 5 + 24 * 120, "{guesses}");
}

#[test]
fn a_thousand_networks_keep_nobody_out_of_where_he_has_been() {
    let mut limiter = Limiter::default();
    assert!(log_in(&mut limiter, "anna", ip(HOME), 0));
    let mut guesses = 0;
    for now in (0..HOUR).step_by(500) {
        for n in 0..10 {
            let from = Ipv4Addr::from_bits(0xc633_0000 + ((now / 500 * 10 + n) % 1000) as u32);
            guesses += i64::from(guess(&mut limiter, "anna", from.into(), now));
        }
        if now % (60 * SECOND) == 0 {
            assert!(log_in(&mut limiter, "anna", ip(HOME), now));
        }
    }
    assert!(
        guesses <= i64::from(ANYWHERE.burst) + HOUR / ANYWHERE.every,
        "{guesses}"
    );
    for n in 0..100 {
        let _ = guess(&mut limiter, "anna", Ipv4Addr::from_bits(n).into(), HOUR);
    }
    assert!(
        !log_in(&mut limiter, "anna", ip("203.0.113.9"), HOUR),
        "that is the price"
    );
    // Nobody else is concerned, and when it is over, it is over soon.
    assert!(log_in(&mut limiter, "bert", ip("203.0.113.9"), HOUR));
    assert!(log_in(
        &mut limiter,
        "anna",
        ip("203.0.113.9"),
        HOUR + ANYWHERE.every
    ));
}

#[test]
fn where_somebody_has_been_is_forgotten_in_the_end() {
    let mut limiter = Limiter::default();
    assert!(log_in(&mut limiter, "anna", ip(HOME), 0));
    let exhausted = |limiter: &mut Limiter, now| {
        for n in 0..100 {
            let _ = guess(
                limiter,
                "anna",
                Ipv4Addr::from_bits(0xc633_0000 + n).into(),
                now,
            );
        }
    };
    exhausted(&mut limiter, KNOWN_FOR - 1);
    assert!(guess(&mut limiter, "anna", ip(HOME), KNOWN_FOR - 1));
    exhausted(&mut limiter, KNOWN_FOR);
    assert!(!guess(&mut limiter, "anna", ip(HOME), KNOWN_FOR));
}

#[test]
fn nobody_fills_the_memory() {
    let mut limiter = Limiter::new(100);
    for n in 0..20_000_u32 {
        let name = format!("{}{n}", "x".repeat(1000));
        let from: IpAddr = Ipv4Addr::from_bits(n).into();
        match n % 2 {
            0 => assert!(guess(&mut limiter, &name, from, 0)),
            _ => assert!(log_in(&mut limiter, &name, from, 0)),
        }
        assert!(limiter.entries() <= 400);
    }
    // What is over leaves nothing behind but where people have been.
    assert!(guess(&mut limiter, "anna", ip(HOME), HOUR));
    assert!(limiter.entries() <= 103, "{}", limiter.entries());
}

#[test]
fn who_owes_most_is_not_forgotten_for_newcomers() {
    let mut limiter = Limiter::new(100);
    while guess(&mut limiter, "anna", ip(HOME), 0) {}
    for n in 0..10_000_u32 {
        let from: IpAddr = Ipv4Addr::from_bits(n).into();
        let _ = guess(&mut limiter, &format!("user{n}"), from, 0);
    }
    assert!(!guess(&mut limiter, "anna", ip(HOME), 0));
}

proptest! {
    /// However attempts are spread, no budget gives more than it has; and a clock that jumps back
    /// keeps nobody waiting longer than an empty budget does.
    #[test]
    fn no_more_than_the_budget_however_it_is_spread(
        waits in prop::collection::vec(-HOUR..HOUR, 1..200),
    ) {
        let mut limiter = Limiter::default();
        let mut now = 100 * HOUR;
        for wait in waits {
            now += wait;
            let mut looked_at = 0;
            while guess(&mut limiter, "anna", ip(HOME), now) {
                looked_at += 1;
            }
            prop_assert!(looked_at <= HERE.burst);
            let early = limiter.attempt("anna", ip(HOME), now).unwrap_err();
            prop_assert!(early.wait <= HERE.every, "{}", early.wait);
        }
    }
}
