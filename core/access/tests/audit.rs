//! The audit log: what is written stays as it was, or it is found out where it did not.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use patronus_access::Digest;
use patronus_access::audit::{Actor, Broken, Entry, Event, Link, Outcome, Verifier};
use proptest::prelude::*;

fn event(action: &str, detail: &str) -> Event {
    Event {
        at: 1_795_000_000_000,
        actor: Actor::User("anna".to_owned()),
        address: Some("2001:db8::1".parse().unwrap()),
        action: action.to_owned(),
        object: "site/köln".to_owned(),
        outcome: Outcome::Done,
        detail: detail.to_owned(),
    }
}

fn log(events: Vec<Event>) -> Vec<Entry> {
    let mut at = Link::START;
    let chained = events.into_iter().map(|event| {
        let entry = Entry::new(&at, event);
        at = entry.link;
        entry
    });
    chained.collect()
}

fn ten() -> Vec<Entry> {
    log((1..=10)
        .map(|n| event("site.create", &format!("number {n}")))
        .collect())
}

fn verify(entries: &[Entry], noted: Option<Link>) -> Result<Link, Broken> {
    let mut verifier = Verifier::new(Link::START, noted);
    for entry in entries {
        verifier.check(entry)?;
    }
    verifier.finish()
}

/// Worked out from the description of the bytes by another program, in another language: see
/// `the_bytes_are_those_that_are_documented`.
const BY_PYTHON: [&str; 2] = [
    "a52cf3979552cc5bf0e9d8e04a78e2ca0b6e2b823b106f878741d36eebc3589c",
    "7b22f308dba20bc0fdac79f975cb8a9387e0bfdba5ad8019a06abec8cb735e65",
];

#[test]
fn the_bytes_are_those_that_are_documented() {
    let second = Event {
        at: -1,
        actor: Actor::Controller,
        address: None,
        outcome: Outcome::Refused,
        ..event("intent.commit", "")
    };
    let log = log(vec![event("site.create", "{\"a\":1}"), second]);
    let hashes: Vec<String> = log
        .iter()
        .map(|entry| entry.link.hash.to_string())
        .collect();
    assert_eq!(hashes, BY_PYTHON);
}

#[test]
fn a_log_as_it_was_written_is_good_from_any_entry_on() {
    let entries = ten();
    let end = entries[9].link;
    assert_eq!(verify(&entries, None), Ok(end));
    assert_eq!(verify(&[], None), Ok(Link::START));
    assert_eq!(verify(&entries, Some(entries[4].link)), Ok(end));
    let mut from_the_middle = Verifier::new(entries[3].link, None);
    for entry in &entries[4..] {
        from_the_middle.check(entry).unwrap();
    }
    assert_eq!(from_the_middle.finish(), Ok(end));
}

#[test]
fn the_first_entry_that_is_wrong_is_named() {
    let check = |change: &dyn Fn(&mut Vec<Entry>), expected: &str| {
        let mut entries = ten();
        let noted = entries[9].link;
        change(&mut entries);
        let error = verify(&entries, Some(noted)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        &|log| log[3].event.detail.push('!'),
        "entry 4 of the audit log is not the one that was written: its hash is wrong",
    );
    check(
        &|log| log[3].link.hash = Digest::ZERO,
        "entry 4 of the audit log is not the one that was written: its hash is wrong",
    );
    check(
        &|log| drop(log.remove(3)),
        "entry 4 of the audit log is missing: entry 5 is in its place",
    );
    check(
        &|log| drop(log.remove(0)),
        "entry 1 of the audit log is missing: entry 2 is in its place",
    );
    check(
        &|log| log.swap(3, 4),
        "entry 4 of the audit log is missing: entry 5 is in its place",
    );
    check(
        &|log| log.insert(4, log[2].clone()),
        "entry 3 of the audit log is out of order: it comes after entry 4",
    );
    check(
        &|log| log.truncate(7),
        "the audit log ends at entry 7, but it once had 10: its end was cut off",
    );
    // An entry removed, and all that follow numbered anew, but not hashed.
    check(
        &|log| {
            log.remove(3);
            log.iter_mut()
                .skip(3)
                .for_each(|entry| entry.link.sequence -= 1);
        },
        "entry 4 of the audit log is not the one that was written: its hash is wrong",
    );
}

#[test]
fn a_log_that_was_written_anew_is_found_out_by_what_was_noted() {
    let entries = ten();
    let mut events: Vec<Event> = entries.iter().map(|entry| entry.event.clone()).collect();
    events[3].detail = "nothing happened".to_owned();
    let anew = log(events);
    assert_eq!(verify(&anew, None), Ok(anew[9].link));
    let error = verify(&anew, Some(entries[7].link)).unwrap_err();
    assert_eq!(error, Broken::Rewritten { sequence: 8 });
    // What was noted before the change still holds.
    assert!(verify(&anew, Some(entries[2].link)).is_ok());
}

#[test]
fn actors_are_read_back() {
    for actor in [
        Actor::User("anna".to_owned()),
        Actor::Token("x".to_owned()),
        Actor::Router("köln".to_owned()),
        Actor::Controller,
        Actor::Nobody,
    ] {
        let (kind, name) = actor.parts();
        assert_eq!(
            Actor::from_parts(kind, name.to_owned()),
            Some(actor.clone())
        );
    }
    assert_eq!(Actor::from_parts("root", String::new()), None);
    assert_eq!(Actor::from_parts("nobody", "x".to_owned()), None);
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let text = "[a-c\u{0}é]{0,4}";
    let actor = (text, 0..5_usize).prop_map(|(name, kind)| match kind {
        0 => Actor::User(name),
        1 => Actor::Token(name),
        2 => Actor::Router(name),
        3 => Actor::Controller,
        _ => Actor::Nobody,
    });
    let address = prop::option::of(any::<std::net::IpAddr>());
    let event = (
        any::<i64>(),
        actor,
        address,
        text,
        text,
        any::<bool>(),
        text,
    );
    let event = event.prop_map(|(at, actor, address, action, object, done, detail)| Event {
        at,
        actor,
        address,
        action,
        object,
        outcome: if done {
            Outcome::Done
        } else {
            Outcome::Refused
        },
        detail,
    });
    prop::collection::vec(event, 1..8)
}

/// Moves the end of one text to the beginning of the next, or one bit of one thing.
fn change(entry: &mut Entry, which: usize, bit: u32) {
    let Entry { link, event } = entry;
    let flip = |text: &mut String| {
        let last = text.pop().map_or('x', |last| match last {
            'a' => 'b',
            _ => 'a',
        });
        text.push(last);
    };
    match which {
        0 => event.at ^= 1 << (bit % 64),
        1 => event.actor = Actor::User(format!("{}x", event.actor.parts().1)),
        2 => {
            event.address = match event.address {
                Some(std::net::IpAddr::V4(ip)) => {
                    Some(std::net::Ipv4Addr::from_bits(ip.to_bits() ^ (1 << (bit % 32))).into())
                }
                Some(std::net::IpAddr::V6(ip)) => {
                    Some(std::net::Ipv6Addr::from_bits(ip.to_bits() ^ (1 << (bit % 128))).into())
                }
                None => Some(std::net::Ipv4Addr::LOCALHOST.into()),
            }
        }
        3 => flip(&mut event.action),
        4 => flip(&mut event.object),
        5 => {
            event.outcome = match event.outcome {
                Outcome::Done => Outcome::Refused,
                Outcome::Refused => Outcome::Done,
            }
        }
        6 => flip(&mut event.detail),
        7 => {
            let mut hash = *link.hash.bytes();
            hash[bit as usize / 8 % 32] ^= 1 << (bit % 8);
            link.hash = hash.into();
        }
        8 => link.sequence ^= 1 << (bit % 64),
        _ => {
            event.action.push('a');
            event.detail.push('a');
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_changed_anywhere_is_found_at_that_entry(
        events in events(), at: usize, which in 0..10_usize, bit: u32,
    ) {
        let good = log(events);
        prop_assert!(verify(&good, None).is_ok());
        let at = at % good.len();
        let mut bad = good.clone();
        change(&mut bad[at], which, bit);
        prop_assert_ne!(&bad, &good);
        let place = at as u64 + 1;
        let error = verify(&bad, None).unwrap_err();
        let named = match error {
            Broken::Altered { sequence } | Broken::Missing { sequence, .. } => sequence,
            Broken::OutOfOrder { after, .. } => after + 1,
            other => panic!("{other}"),
        };
        prop_assert_eq!(named, place, "{}", error);
    }

    #[test]
    fn no_order_but_the_one_in_which_it_was_written_is_good(
        events in events(), order in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let good = log(events);
        let other: Vec<Entry> = order.iter().map(|at| good[at % good.len()].clone()).collect();
        let is_prefix = good.starts_with(&other);
        prop_assert_eq!(verify(&other, None).is_ok(), is_prefix);
        let noted = Some(good.last().unwrap().link);
        prop_assert_eq!(verify(&other, noted).is_ok(), other == good);
    }

    #[test]
    fn text_that_moves_from_one_field_to_the_next_is_another_entry(text in "[ab]{1,6}", cut in 0..7_usize, other in 0..7_usize) {
        let at = |cut: usize| {
            let (object, detail) = text.split_at(cut.min(text.len()));
            Entry::new(&Link::START, Event { object: object.to_owned(), ..event("x", detail) })
        };
        let same = cut.min(text.len()) == other.min(text.len());
        prop_assert_eq!(at(cut).link.hash == at(other).link.hash, same);
    }
}
