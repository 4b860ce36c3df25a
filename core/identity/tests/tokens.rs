//! Tokens: whatever is not exactly one is refused with a reason that helps, and each works once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::time::Duration;

use patronus_identity::{
    ControllerUrl, Fingerprint, IdentityError, InvalidToken, NotRedeemed, PrivateKey, Token,
    TokenId, TokenRecord, TokenSecret, TokenState, UnixTime,
};
use proptest::prelude::*;

const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);

fn token(urls: &[&str]) -> Token {
    let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
    let authority = Fingerprint::of(b"an authority");
    Token::generate(authority, urls, NOW + Duration::from_secs(3600)).unwrap()
}

fn text(token: &Token) -> String {
    token.to_text().expose().to_owned()
}

fn refused(text: &str) -> InvalidToken {
    text.parse::<Token>()
        .expect_err("a text that is not a token is refused")
}

#[test]
fn a_token_is_read_as_it_was_written() {
    let urls = [
        "https://controller.example.net:8443",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
    ];
    let token = token(&urls);
    let again: Token = text(&token).parse().unwrap();
    assert_eq!(again.id, token.id);
    assert_eq!(again.secret.expose(), token.secret.expose());
    assert_eq!(again.expires, token.expires);
    assert_eq!(again.authority, token.authority);
    let again: Vec<String> = again.urls().iter().map(ToString::to_string).collect();
    assert_eq!(again, urls);
}

#[test]
fn what_copying_brings_in_does_not_matter() {
    let token = text(&token(&["https://controller"]));
    let (one, other) = token.split_at(token.len() / 2);
    for copied in [
        format!(" {token}\n"),
        format!("{one}\r\n  {other}"),
        format!("\t{one} {other}"),
    ] {
        assert!(copied.parse::<Token>().is_ok(), "{copied:?}");
    }
}

#[test]
fn a_token_with_any_bit_flipped_is_refused() {
    let whole = text(&token(&["https://controller.example.net:8443"])).into_bytes();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = refused(&String::from_utf8_lossy(&flipped));
        // Only what is wrong is said: no error speaks of what a checked token would hold.
        assert!(
            !matches!(error, InvalidToken::Content(_) | InvalidToken::Version(_)),
            "bit {bit}: {error}"
        );
    }
}

#[test]
fn a_token_that_is_cut_off_is_told_from_one_that_is_mistyped() {
    let whole = text(&token(&["https://controller.example.net:8443"]));
    for length in 0..whole.len() {
        let error = refused(&whole[..length]);
        if length < "patronus1-".len() {
            assert_eq!(error, InvalidToken::Prefix);
        } else {
            assert!(
                matches!(error, InvalidToken::Short { found, .. } if found == length),
                "{length}: {error}"
            );
        }
    }
    assert!(matches!(
        refused(&format!("{whole}0")),
        InvalidToken::Long { .. }
    ));
    let place = whole.len() - 10;
    let other = if &whole[place..=place] == "0" {
        "1"
    } else {
        "0"
    };
    let mistyped = format!("{}{other}{}", &whole[..place], &whole[place + 1..]);
    assert_eq!(refused(&mistyped), InvalidToken::Checksum);
}

#[test]
fn what_is_wrong_with_a_token_is_said() {
    let whole = text(&token(&["https://controller"]));
    let table = [
        (String::new(), "begins with `patronus1-`"),
        ("hello".to_owned(), "begins with `patronus1-`"),
        (whole.to_uppercase(), "begins with `patronus1-`"),
        (whole.replacen("patronus1", "patronus2", 1), "begins with"),
        (
            format!("{}l{}", &whole[..20], &whole[21..]),
            "its character number 21 is 'l'",
        ),
        (
            format!("{}é{}", &whole[..11], &whole[12..]),
            "its character number 12 is 'é'",
        ),
        (
            "patronus1-".to_owned(),
            "the token is not complete: it has 10",
        ),
        ("patronus1-000000".to_owned(), "too long"),
    ];
    for (text, expected) in table {
        let error = refused(&text).to_string();
        assert!(error.contains(expected), "{text}\n{error}");
    }
}

#[test]
fn urls_are_those_of_a_controller() {
    let table = [
        ("https://controller", "https://controller"),
        ("https://controller/", "https://controller"),
        ("https://controller:443", "https://controller"),
        (
            "https://controller.example.net:8443",
            "https://controller.example.net:8443",
        ),
        ("https://192.0.2.1:1", "https://192.0.2.1:1"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
        (
            "https://[2001:db8::1]:65535/",
            "https://[2001:db8::1]:65535",
        ),
    ];
    for (text, expected) in table {
        let url: ControllerUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), expected);
        assert_eq!(url.to_string().parse(), Ok(url));
    }
    for bad in [
        "",
        "controller",
        "http://controller",
        "https://",
        "https://controller:",
        "https://controller:0",
        "https://controller:+443",
        "https://controller:0443",
        "https://controller:65536",
        "https://controller/path",
        "https://user@controller",
        "https://con troller",
        "https://[192.0.2.1]",
        "https://[2001:db8::1",
        "https://[2001:db8::1]8443",
        "https://2001:db8::1",
        "https://controller?",
    ] {
        let error = bad.parse::<ControllerUrl>().unwrap_err().to_string();
        assert!(error.contains("use https://NAME"), "{bad:?}");
    }
}

#[test]
fn a_token_leads_somewhere() {
    let authority = Fingerprint::of(b"an authority");
    let url: ControllerUrl = "https://controller".parse().unwrap();
    for given in [0, 9] {
        let urls = vec![url.clone(); given];
        let error = Token::generate(authority, urls, NOW).unwrap_err();
        assert!(matches!(error, IdentityError::Urls { .. }), "{error}");
    }
}

#[test]
fn a_secret_is_never_printed() {
    let token = token(&["https://controller"]);
    let text = text(&token);
    let printed = format!("{token:?} {:?}", token.to_text());
    assert!(printed.contains("TokenSecret(…)"));
    let secret = format!("{:?}", token.secret.expose());
    assert!(!printed.contains(&secret) && !printed.contains(&text[10..]));
}

#[test]
fn a_token_enrols_one_router() {
    let token = token(&["https://controller"]);
    let fresh = TokenRecord::of(&token, "berlin".parse().unwrap());
    let key = |_| PrivateKey::generate().unwrap().fingerprint();
    let [ours, theirs] = [0, 1].map(key);
    let later = NOW + Duration::from_secs(60);
    let too_late = token.expires;
    let wrong = TokenSecret::new([7; 16]);
    let other = TokenId::from_bytes([7; 8]);
    let with = |state| TokenRecord {
        state,
        ..fresh.clone()
    };
    let used = with(fresh.redeem(token.id, &token.secret, ours, NOW).unwrap());
    let withdrawn = with(TokenState::Withdrawn { at: NOW });
    let redeemed = TokenState::Redeemed { at: NOW, key: ours };
    assert_eq!(used.state, redeemed);

    let (id, secret) = (token.id, &token.secret);
    let unknown = Err(NotRedeemed::Unknown);
    let table = [
        (
            "again by the same",
            &used,
            id,
            secret,
            ours,
            later,
            Ok(redeemed),
        ),
        (
            "by another",
            &used,
            id,
            secret,
            theirs,
            later,
            Err(NotRedeemed::Used(NOW)),
        ),
        (
            "too late",
            &fresh,
            id,
            secret,
            ours,
            too_late,
            Err(NotRedeemed::Expired(too_late)),
        ),
        (
            "again, too late",
            &used,
            id,
            secret,
            ours,
            too_late,
            Err(NotRedeemed::Expired(too_late)),
        ),
        (
            "by another, too late",
            &used,
            id,
            secret,
            theirs,
            too_late,
            Err(NotRedeemed::Used(NOW)),
        ),
        (
            "withdrawn",
            &withdrawn,
            id,
            secret,
            ours,
            later,
            Err(NotRedeemed::Withdrawn(NOW)),
        ),
        ("wrong secret", &fresh, id, &wrong, ours, NOW, unknown),
        ("wrong id", &fresh, other, secret, ours, NOW, unknown),
        // Whoever does not know the secret learns nothing of what became of the token.
        ("wrong secret, used", &used, id, &wrong, ours, NOW, unknown),
        (
            "wrong secret, withdrawn",
            &withdrawn,
            id,
            &wrong,
            ours,
            NOW,
            unknown,
        ),
        (
            "wrong secret, too late",
            &fresh,
            id,
            &wrong,
            ours,
            too_late,
            unknown,
        ),
    ];
    for (name, record, id, secret, key, now, expected) in table {
        assert_eq!(record.redeem(id, secret, key, now), expected, "{name}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(patronus1-)?[0-9a-z \u{e9}]{0,200}") {
        prop_assert!(text.parse::<Token>().is_err());
    }

    /// Two mistakes at once, or two characters swapped.
    #[test]
    fn no_two_mistakes_cancel_out(
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        flip in 1_u8..32,
        flop in 1_u8..32,
    ) {
        let whole = text(&token(&["https://controller.example.net"])).into_bytes();
        let (one, other) = (one.index(whole.len()), other.index(whole.len()));
        let mut swapped = whole.clone();
        swapped.swap(one, other);
        let mut changed = whole.clone();
        changed[one] ^= flip;
        changed[other] ^= flop;
        for bad in [swapped, changed].into_iter().filter(|it| *it != whole) {
            let bad = String::from_utf8(bad).unwrap();
            prop_assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }
}
