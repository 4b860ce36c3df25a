//! Tokens: who made them, what they permit, and that nothing about them can be changed.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use patronus_access::{
    ACCESS_LIFE, Access, AccessRefused, ApiSecret, ApiTokenError, CLOCK_SKEW, Family, KEY_LEAD,
    KEY_LIFE, KeyId, KeyRing, LONGEST_API_TOKEN, Millis, NewApiToken, OpaqueError, Permission,
    Permissions, RefreshToken, Role, SessionId, SigningKey, TokenId, UserId,
};
use proptest::prelude::*;

/// A Friday in 2026.
const NOW: Millis = 1_795_000_000_000;

fn key(number: u8, signs_from: Millis) -> SigningKey {
    SigningKey::new(KeyId::new([number; 10]), [number; 32], signs_from)
}

fn ring(keys: Vec<SigningKey>) -> KeyRing {
    KeyRing::new(
        keys,
        "https://patronus.example".to_owned(),
        "patronus".to_owned(),
    )
}

fn access() -> Access {
    Access {
        user: UserId::new([1; 10]),
        role: Role::Operator,
        session: SessionId::new([2; 10]),
    }
}

/// A token with any header and claims, signed with key 1.
fn forged(header: &str, claims: &str) -> String {
    // Installs the cryptography.
    ring(vec![key(1, 0)]).sign(&access(), NOW).unwrap();
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let secret = EncodingKey::from_secret(&[1; 32]);
    let signature = crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn header() -> String {
    format!(
        r#"{{"typ":"patronus-access+jwt","alg":"HS256","kid":"{}"}}"#,
        KeyId::new([1; 10])
    )
}

fn claims() -> String {
    let Access { user, session, .. } = access();
    format!(
        r#"{{"iss":"https://patronus.example","aud":"patronus","sub":"{user}","sid":"{session}","role":"operator","iat":{},"exp":{}}}"#,
        NOW / 1000,
        NOW / 1000 + 300
    )
}

#[test]
fn an_access_token_says_who_it_speaks_for_until_it_expires() {
    let ring = ring(vec![key(1, 0)]);
    let token = ring.sign(&access(), NOW).unwrap();
    let at = |now| ring.verify(token.expose(), now);
    assert_eq!(at(NOW), Ok(access()));
    assert_eq!(at(NOW + ACCESS_LIFE - 1), Ok(access()));
    assert_eq!(at(NOW + ACCESS_LIFE), Err(AccessRefused::Expired));
    assert_eq!(at(NOW - CLOCK_SKEW), Ok(access()));
    let future = Err(AccessRefused::Claims("it is of the future"));
    assert_eq!(at(NOW - CLOCK_SKEW - 1000), future);
}

#[test]
fn no_clock_is_read_but_the_one_that_is_passed_in() {
    let ring = ring(vec![key(1, 0)]);
    for now in [0, 1_000_000_000_000, 4_000_000_000_000] {
        let token = ring.sign(&access(), now).unwrap();
        assert_eq!(ring.verify(token.expose(), now), Ok(access()));
    }
}

#[test]
fn a_token_that_somebody_else_puts_together_is_the_same() {
    let ring = ring(vec![key(1, 0)]);
    assert_eq!(
        ring.verify(&forged(&header(), &claims()), NOW),
        Ok(access())
    );
    let more = claims().replace("{\"iss", "{\"new\":[1],\"iss");
    assert_eq!(ring.verify(&forged(&header(), &more), NOW), Ok(access()));
}

#[test]
fn what_is_signed_but_is_no_access_token_for_us_is_refused() {
    let ring = ring(vec![key(1, 0)]);
    let (header, claims) = (header(), claims());
    for (header, claims, expected) in [
        (
            header.replace("HS256", "none"),
            claims.clone(),
            AccessRefused::Malformed,
        ),
        (
            header.replace("HS256", "HS512"),
            claims.clone(),
            AccessRefused::Malformed,
        ),
        (
            header.replace("HS256", "EdDSA"),
            claims.clone(),
            AccessRefused::Malformed,
        ),
        (
            header.replace("HS256", "RS256"),
            claims.clone(),
            AccessRefused::Malformed,
        ),
        (
            header.replace("patronus-access+jwt", "JWT"),
            claims.clone(),
            AccessRefused::Claims("it is of another type"),
        ),
        (
            header.replace("kid", "kit"),
            claims.clone(),
            AccessRefused::Malformed,
        ),
        (
            header.replace("\"kid\":\"0", "\"kid\":\"1"),
            claims.clone(),
            AccessRefused::UnknownKey,
        ),
        (
            header.clone(),
            claims.replace("patronus.example", "elsewhere.example"),
            AccessRefused::Claims("it has another issuer"),
        ),
        (
            header.clone(),
            claims.replace("\"patronus\"", "\"other\""),
            AccessRefused::Claims("it has another audience"),
        ),
        (
            header.clone(),
            claims.replace("\"aud\"", "\"and\""),
            AccessRefused::Malformed,
        ),
        (
            header.clone(),
            claims.replace("\"exp\"", "\"ext\""),
            AccessRefused::Malformed,
        ),
        (
            header.clone(),
            claims.replace("\"role\":\"operator\"", "\"role\":\"root\""),
            AccessRefused::Malformed,
        ),
        (
            header.clone(),
            claims.replace("300", "301").replace(
                &(NOW / 1000 + 300).to_string(),
                &(NOW / 1000 + 301).to_string(),
            ),
            AccessRefused::Claims("it lasts too long"),
        ),
        (header.clone(), "[]".to_owned(), AccessRefused::Malformed),
        (
            header.clone(),
            claims.replace("patronus.example", &"x".repeat(3000)),
            AccessRefused::Malformed,
        ),
    ] {
        let token = forged(&header, &claims);
        assert_eq!(ring.verify(&token, NOW), Err(expected), "{header} {claims}");
    }
    let unsigned = forged(&header.replace("HS256", "none"), &claims);
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    assert_eq!(
        ring.verify(&format!("{unsigned}."), NOW),
        Err(AccessRefused::Malformed)
    );
    for text in ["", ".", "..", "a.b.c", "💥.💥.💥"] {
        assert_eq!(ring.verify(text, NOW), Err(AccessRefused::Malformed));
    }
}

#[test]
fn another_controller_with_another_key_is_not_believed() {
    let other = KeyRing::new(
        vec![SigningKey::new(KeyId::new([1; 10]), [9; 32], 0)],
        "https://patronus.example".to_owned(),
        "patronus".to_owned(),
    );
    let token = other.sign(&access(), NOW).unwrap();
    let ours = ring(vec![key(1, 0)]);
    assert_eq!(
        ours.verify(token.expose(), NOW),
        Err(AccessRefused::Signature)
    );
}

#[test]
fn a_key_is_followed_by_the_next_and_its_tokens_are_good_until_they_expire() {
    let empty = ring(Vec::new());
    assert!(empty.sign(&access(), NOW).is_err());
    assert_eq!(empty.next(NOW), Some(NOW));
    let one = ring(vec![key(1, NOW)]);
    assert_eq!(one.next(NOW), None);
    assert_eq!(one.next(NOW + KEY_LIFE - KEY_LEAD - 1), None);
    let made = NOW + KEY_LIFE - KEY_LEAD;
    let signs_from = one.next(made).unwrap();
    assert_eq!(signs_from, NOW + KEY_LIFE);
    // Whoever has the new key signs with the old one until then, and others can check it.
    let both = ring(vec![key(2, signs_from), key(1, NOW)]);
    assert_eq!(both.next(made), None);
    let before = both.sign(&access(), signs_from - 1).unwrap();
    assert_eq!(one.verify(before.expose(), signs_from - 1), Ok(access()));
    let after = both.sign(&access(), signs_from).unwrap();
    assert_eq!(both.verify(after.expose(), signs_from), Ok(access()));
    assert_eq!(
        one.verify(after.expose(), signs_from),
        Err(AccessRefused::UnknownKey)
    );
    let last = signs_from - 1 + ACCESS_LIFE - 1000;
    assert_eq!(both.verify(before.expose(), last), Ok(access()));
    let over: Vec<KeyId> = both.over(last).collect();
    assert_eq!(over, []);
    let later = signs_from + ACCESS_LIFE + CLOCK_SKEW;
    let over: Vec<KeyId> = both.over(later).collect();
    assert_eq!(over, [KeyId::new([1; 10])]);
    assert_eq!(
        both.verify(before.expose(), later),
        Err(AccessRefused::UnknownKey)
    );
    // A controller that slept through it makes the next one for later, and signs meanwhile.
    let long_after = NOW + 10 * KEY_LIFE;
    assert_eq!(one.next(long_after), Some(long_after + KEY_LEAD));
    assert!(one.sign(&access(), long_after).is_ok());
}

fn refresh_token() -> RefreshToken {
    let (user, session) = (UserId::new([1; 10]), SessionId::new([2; 10]));
    Family::begin(user, session, NOW, [3; 10], [4; 26]).1
}

#[test]
fn tokens_are_recognised_by_how_they_begin() {
    let api = ApiSecret::new(TokenId::new([1; 10]), [2; 26]);
    let api = api.text();
    let refresh = refresh_token().text();
    assert_eq!(api.expose().len(), "patronus_api_".len() + 64);
    assert_eq!(refresh.expose().len(), "patronus_refresh_".len() + 64);
    assert_eq!(
        ApiSecret::parse(api.expose()).unwrap().id(),
        TokenId::new([1; 10])
    );
    RefreshToken::parse(refresh.expose()).unwrap();
    let wrong_kind = ApiSecret::parse(refresh.expose()).unwrap_err();
    assert_eq!(
        wrong_kind,
        OpaqueError::Prefix {
            expected: "patronus_api_"
        }
    );
    assert_eq!(
        wrong_kind.to_string(),
        "this is not a token that begins with \"patronus_api_\""
    );
    // The same body after the other prefix is no token.
    let swapped = api.expose().replace("_api_", "_refresh_");
    assert_eq!(
        RefreshToken::parse(&swapped).unwrap_err(),
        OpaqueError::Mistyped
    );
    for bad in ["", "patronus_api_", &format!("{}0", api.expose())] {
        assert!(ApiSecret::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn nothing_shows_a_token_or_a_key() {
    let api = ApiSecret::new(TokenId::new([1; 10]), [2; 26]);
    let shown = format!(
        "{api:?} {:?} {:?} {:?}",
        refresh_token(),
        api.text(),
        key(7, NOW)
    );
    assert_eq!(
        shown,
        "ApiSecret(040g2081040g2081, …) RefreshToken(…) Secret(…) \
         SigningKey(0s3ge1o70s3ge1o7, from 1795000000000, …)"
    );
}

fn wanted(scopes: &str) -> NewApiToken {
    NewApiToken {
        owner: UserId::new([1; 10]),
        name: "nightly backup".to_owned(),
        scopes: scopes.parse().unwrap(),
        life: 3_600_000,
    }
}

#[test]
fn an_api_token_may_do_what_its_owner_may_and_no_more() {
    let operator = Role::Operator.permissions();
    let make = |token: NewApiToken| token.make(operator, NOW, TokenId::new([5; 10]), [6; 26]);
    let (kept, secret) = make(wanted("intent.read intent.commit")).unwrap();
    let permits = |role, now| kept.permits(&secret, role, now).map(|it| it.to_string());
    let both = Some("intent.read intent.commit".to_owned());
    assert_eq!(permits(Role::Operator, NOW), both);
    assert_eq!(permits(Role::Admin, NOW), both);
    assert_eq!(permits(Role::Viewer, NOW).as_deref(), Some("intent.read"));
    assert_eq!(permits(Role::Operator, NOW + 3_599_999), both);
    assert_eq!(permits(Role::Operator, NOW + 3_600_000), None);
    let other = ApiSecret::new(TokenId::new([5; 10]), [7; 26]);
    assert_eq!(kept.permits(&other, Role::Admin, NOW), None);
    for (token, expected) in [
        (
            wanted("users.read"),
            ApiTokenError::Scope {
                scope: Permission::ReadUsers,
            },
        ),
        (
            wanted("account.own"),
            ApiTokenError::Scope {
                scope: Permission::OwnAccount,
            },
        ),
        (wanted(""), ApiTokenError::NoScopes),
        (
            NewApiToken {
                name: String::new(),
                ..wanted("intent.read")
            },
            ApiTokenError::Name,
        ),
        (
            NewApiToken {
                name: "a\nb".to_owned(),
                ..wanted("intent.read")
            },
            ApiTokenError::Name,
        ),
        (
            NewApiToken {
                life: LONGEST_API_TOKEN + 1,
                ..wanted("intent.read")
            },
            ApiTokenError::Life,
        ),
        (
            NewApiToken {
                life: 0,
                ..wanted("intent.read")
            },
            ApiTokenError::Life,
        ),
    ] {
        assert_eq!(make(token).unwrap_err(), expected);
    }
}

#[test]
fn that_a_token_is_used_is_noted_once_a_minute() {
    let granted = Role::Viewer.permissions();
    let made = wanted("intent.read").make(granted, NOW, TokenId::new([5; 10]), [6; 26]);
    let mut token = made.unwrap().0;
    assert!(token.use_is_news(NOW));
    token.used_at = Some(NOW);
    assert!(!token.use_is_news(NOW + 59_999));
    assert!(token.use_is_news(NOW + 60_000));
}

/// The same text with one bit the other way, if it is text then.
fn flipped(text: &str, bit: usize) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = bit / 8 % bytes.len();
    bytes[at] ^= 1 << (bit % 8);
    String::from_utf8(bytes).ok()
}

#[test]
fn a_token_with_any_bit_the_other_way_is_refused() {
    let api = ApiSecret::new(TokenId::new([1; 10]), *b"some random bytes, 26 of t").text();
    for bit in 0..api.expose().len() * 8 {
        if let Some(other) = flipped(api.expose(), bit) {
            assert!(ApiSecret::parse(&other).is_err(), "{other}");
        }
    }
    let refresh = refresh_token().text();
    for bit in 0..refresh.expose().len() * 8 {
        if let Some(other) = flipped(refresh.expose(), bit) {
            assert!(RefreshToken::parse(&other).is_err(), "{other}");
        }
    }
    let ring = ring(vec![key(1, 0)]);
    let access = ring.sign(&access(), NOW).unwrap();
    for bit in 0..access.expose().len() * 8 {
        if let Some(other) = flipped(access.expose(), bit) {
            assert!(ring.verify(&other, NOW).is_err(), "{other}");
        }
    }
}

proptest! {
    #[test]
    fn every_token_is_read_back_as_what_it_was(id: [u8; 10], random: [u8; 26]) {
        let token = ApiSecret::new(TokenId::new(id), random);
        let back = ApiSecret::parse(token.text().expose()).unwrap();
        prop_assert_eq!(back.id(), token.id());
        prop_assert_eq!(back.digest(), token.digest());
    }

    #[test]
    fn any_text_is_refused_without_harm(text in "(patronus_(api|refresh)_)?[0-9a-v]{60,68}|\\PC{0,200}") {
        prop_assert!(ApiSecret::parse(&text).is_err());
        prop_assert!(RefreshToken::parse(&text).is_err());
        prop_assert!(ring(vec![key(1, 0)]).verify(&text, NOW).is_err());
    }

    #[test]
    fn a_token_never_permits_what_its_role_or_its_scopes_do_not(scopes: u16, maker in 0..3_usize, owner in 0..3_usize) {
        let chosen = Permission::ALL.into_iter().enumerate().filter(|(at, _)| scopes & (1 << at) != 0);
        let scopes: Permissions = chosen.map(|(_, one)| one).collect();
        let wanted = NewApiToken { scopes, ..wanted("") };
        let granted = Role::ALL[maker].permissions();
        if let Ok((token, secret)) = wanted.make(granted, NOW, TokenId::new([5; 10]), [6; 26]) {
            prop_assert!(scopes.without(granted).is_empty());
            let permits = token.permits(&secret, Role::ALL[owner], NOW).unwrap();
            prop_assert!(permits.without(scopes).is_empty());
            prop_assert!(permits.without(Role::ALL[owner].permissions()).is_empty());
            prop_assert!(!permits.has(Permission::OwnAccount));
        }
    }
}
