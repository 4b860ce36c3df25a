//! Which passwords are taken, and how they are checked.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::str::FromStr as _;

use patronus_access::{
    Check, HASH_MEMORY_KIB, Password, PasswordError, PasswordHash, UserName, check,
};
use proptest::prelude::*;

fn anna() -> UserName {
    "anna".parse().unwrap()
}

fn refused(text: &str) -> Option<PasswordError> {
    Password::new(text, &anna()).err()
}

/// Of "correct horse battery staple" and the salt "0123456789abcdef", by Debian's libargon2: at the
/// least possible cost, and at today's.
const OLD: &str =
    "$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$XdTJKPvVpEdCNu922dgwQXj+XfOITS04PpG3cDMn5sE";
const TODAY: &str = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$gy5SuVm5Z7Vw7keB9se9p87QGcomaseB/S2U1OhTsM0";

#[test]
fn length_counts_and_not_what_kinds_of_characters() {
    for good in [
        "correct horse battery staple",
        "aber das ist ja ganz schön lang",
        "all lower case letters",
        "        x  y  z",
        "пароль из русских слов",
        &"abcdefg".repeat(146),
    ] {
        assert_eq!(refused(good), None, "{good:?}");
    }
    assert_eq!(
        refused("fourteen chars"),
        Some(PasswordError::Short { characters: 14 })
    );
    assert_eq!(refused(""), Some(PasswordError::Short { characters: 0 }));
    // Characters are counted, not bytes.
    assert_eq!(
        refused("ääääääöööööööö"),
        Some(PasswordError::Short { characters: 14 })
    );
    assert_eq!(
        refused(&"a b".repeat(342)),
        Some(PasswordError::Long { bytes: 1026 })
    );
    assert_eq!(
        refused("correct horse battery\n"),
        Some(PasswordError::Control)
    );
}

#[test]
fn what_anybody_would_try_first_is_refused() {
    for bad in [
        "aaaaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabc",
        "Hallohallohallohallo",
        "123456789012345",
        "543210987654321",
        "abcdefghijklmnop",
        "patronuspatronus1",
        "Patronus-Anna-1",
        "annaannaannaanna2026",
        "passwordpassword",
    ] {
        assert_eq!(refused(bad), Some(PasswordError::Guessable), "{bad:?}");
    }
    assert_eq!(refused("anna has a little lamb"), None);
}

#[test]
fn the_right_password_is_right_and_all_others_are_wrong() {
    let password = Password::new("correct horse battery staple", &anna()).unwrap();
    let kept = PasswordHash::new(&password, [3; 16]).unwrap();
    let phc = kept.phc();
    assert_eq!(
        PasswordHash::new(&password, *b"0123456789abcdef")
            .unwrap()
            .phc(),
        TODAY
    );
    assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
    let kept = PasswordHash::from_str(&phc).unwrap();
    let ask = |attempt: &str| check(Some(&kept), attempt).unwrap();
    assert_eq!(ask("correct horse battery staple"), Check::Right);
    assert_eq!(ask("correct horse battery Staple"), Check::Wrong);
    assert_eq!(ask(""), Check::Wrong);
    let long = "correct horse battery staple".repeat(50);
    assert_eq!(ask(&long), Check::Wrong);
    assert_eq!(
        check(None, "correct horse battery staple"),
        Ok(Check::Wrong)
    );
    assert_eq!(check(None, ""), Ok(Check::Wrong));
}

#[test]
fn a_password_typed_on_another_keyboard_is_the_same() {
    // The same letters, composed and decomposed.
    let password = Password::new("sch\u{f6}ne gr\u{fc}\u{df}e aus k\u{f6}ln", &anna()).unwrap();
    let kept = PasswordHash::new(&password, [3; 16]).unwrap();
    let typed = "scho\u{308}ne gru\u{308}\u{df}e aus ko\u{308}ln";
    assert_eq!(check(Some(&kept), typed), Ok(Check::Right));
}

#[test]
fn a_hash_with_the_costs_of_yesterday_is_outdated() {
    let kept = PasswordHash::from_str(OLD).unwrap();
    assert!(kept.is_outdated());
    let ask = |attempt| check(Some(&kept), attempt);
    assert_eq!(ask("correct horse battery staple"), Ok(Check::Outdated));
    assert_eq!(ask("correct horse battery stable"), Ok(Check::Wrong));
}

#[test]
fn what_is_no_hash_of_ours_is_refused_before_it_costs_anything() {
    for (bad, why) in [
        (String::new(), "not the hash of a password"),
        ("correct horse battery staple".to_owned(), "not the hash"),
        (
            OLD.rsplit_once('$').unwrap().0.to_owned(),
            "no salt or no hash",
        ),
        (OLD.replace("argon2id", "argon2d"), "not argon2id"),
        (OLD.replace("v=19", "v=16"), "version is not 19"),
        (OLD.replace("m=8,", "m=4000000,"), "more memory or time"),
        (OLD.replace("t=1", "t=1000"), "more memory or time"),
    ] {
        let error = PasswordHash::from_str(&bad).unwrap_err().to_string();
        assert!(error.contains(why), "{bad}: {error}");
        assert!(!error.contains("staple"), "{error}");
    }
    const { assert!(HASH_MEMORY_KIB < 256 * 1024) };
}

#[test]
fn a_password_that_nobody_thought_of_can_be_read_out_and_set() {
    let password = Password::generate(*b"fifteen bytes!!");
    let text = password.expose();
    assert_eq!((text.len(), text.split('-').count()), (29, 6), "{text}");
    assert!(Password::new(text, &anna()).is_ok());
    assert_ne!(text, Password::generate(*b"fifteen bytes!?").expose());
}

#[test]
fn nothing_shows_a_password() {
    let password = Password::generate([1; 15]);
    let kept = PasswordHash::new(&password, [3; 16]).unwrap();
    assert_eq!(
        format!("{password:?} {kept:?}"),
        "Password(…) PasswordHash(…)"
    );
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused_with_a_reason_that_does_not_repeat_it(text in "\\PC{0,40}") {
        let Err(error) = Password::new(&text, &anna()) else {
            return Ok(());
        };
        let words = error.to_string();
        prop_assert!(text.chars().count() < 15 || !words.contains(&text));
    }

    #[test]
    fn any_text_can_be_read_as_a_hash_without_harm(text in "(\\$[a-z0-9=,+/]{0,12}){0,6}|\\PC{0,40}") {
        let _ = PasswordHash::from_str(&text);
    }
}

#[test]
fn the_letter_that_grows_most_fits() {
    let text = "\u{fdfa}".repeat(16);
    assert_eq!((text.len(), refused(&text)), (48, None));
}
