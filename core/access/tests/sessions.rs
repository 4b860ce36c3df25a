//! What becomes of refresh tokens, whoever presents them and in which order.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use patronus_access::{
    Family, GRACE, Millis, Over, Presented, RefreshToken, Revoked, SESSION_IDLE, SESSION_LONGEST,
    SessionId, UserId, Why,
};
use proptest::prelude::*;

const NOW: Millis = 1_795_000_000_000;

fn begin(secret: [u8; 26]) -> (Family, RefreshToken) {
    let (user, session) = (UserId::new([1; 10]), SessionId::new([2; 10]));
    Family::begin(user, session, NOW, [3; 10], secret)
}

/// The next token, and whether it was given before.
fn next(presented: Presented) -> (RefreshToken, bool) {
    match presented {
        Presented::Rotated(token) => (token, false),
        Presented::Repeated(token) => (token, true),
        other => panic!("{other:?}"),
    }
}

fn same(one: &RefreshToken, other: &RefreshToken) -> bool {
    one.text() == other.text()
}

#[test]
fn each_token_is_used_once_and_leads_to_the_next() {
    let (mut family, mut token) = begin([4; 26]);
    for round in 0..20 {
        let now = NOW + round * 300_000;
        let (after, again) = next(family.present(&token, now, [round as u8; 32]));
        assert!(!again && !same(&token, &after));
        assert_eq!(
            (after.family(), after.digest()),
            (family.key, family.current)
        );
        token = after;
    }
    assert_eq!(family.over(NOW + 20 * 300_000), None);
}

#[test]
fn whoever_lost_the_answer_gets_it_again_for_a_moment() {
    let (mut family, first) = begin([4; 26]);
    let (second, _) = next(family.present(&first, NOW, [5; 32]));
    for later in [0, 1, GRACE] {
        let (again, repeated) = next(family.present(&first, NOW + later, [later as u8; 32]));
        assert!(repeated && same(&again, &second));
    }
    let (third, _) = next(family.present(&second, NOW + GRACE, [6; 32]));
    assert!(!same(&second, &third));
}

#[test]
fn a_used_token_ends_the_session_for_thief_and_owner() {
    let (mut family, first) = begin([4; 26]);
    let (second, _) = next(family.present(&first, NOW, [5; 32]));
    let thief = family.present(&first, NOW + GRACE + 1, [6; 32]);
    assert!(matches!(thief, Presented::Reused), "{thief:?}");
    let revoked = Revoked {
        at: NOW + GRACE + 1,
        why: Why::Reused,
    };
    assert_eq!(family.revoked, Some(revoked));
    for token in [first, second] {
        let refused = family.present(&token, NOW + GRACE + 2, [7; 32]);
        assert!(
            matches!(refused, Presented::Refused(Over::Revoked(Why::Reused))),
            "{refused:?}"
        );
    }
}

#[test]
fn the_moment_is_over_when_the_next_token_was_used() {
    let (mut family, first) = begin([4; 26]);
    let (second, _) = next(family.present(&first, NOW, [5; 32]));
    next(family.present(&second, NOW + 1, [6; 32]));
    assert!(matches!(
        family.present(&first, NOW + 2, [7; 32]),
        Presented::Reused
    ));
}

#[test]
fn a_clock_that_goes_back_ends_no_session() {
    let (mut family, first) = begin([4; 26]);
    let (second, _) = next(family.present(&first, NOW, [5; 32]));
    assert!(next(family.present(&first, NOW - 3_600_000, [6; 32])).1);
    assert!(!next(family.present(&second, NOW - 3_600_000, [7; 32])).1);
}

#[test]
fn a_session_ends_when_it_rests_and_when_it_has_lasted_long_enough() {
    let (mut family, token) = begin([4; 26]);
    assert_eq!(family.over(NOW + SESSION_IDLE - 1), None);
    assert_eq!(family.over(NOW + SESSION_IDLE), Some(Over::Expired));
    let refused = family.present(&token, NOW + SESSION_IDLE, [5; 32]);
    assert!(
        matches!(refused, Presented::Refused(Over::Expired)),
        "{refused:?}"
    );
    let mut token = token;
    let mut now = NOW;
    while now < NOW + SESSION_LONGEST - SESSION_IDLE {
        now += SESSION_IDLE - 1;
        token = next(family.present(&token, now, [6; 32])).0;
    }
    assert_eq!(family.expires_at(), NOW + SESSION_LONGEST);
    assert_eq!(family.over(NOW + SESSION_LONGEST), Some(Over::Expired));
}

#[test]
fn nothing_that_is_kept_is_a_token() {
    let (mut family, first) = begin(*b"abcdefghijklmnopqrstuvwxyz");
    let (second, _) = next(family.present(&first, NOW, [5; 32]));
    let shown = format!("{family:?}");
    for token in [&first, &second] {
        let text = token.text();
        let body = text.expose().strip_prefix("patronus_refresh_").unwrap();
        assert!(!shown.contains(&body[16..32]), "{shown}");
    }
    assert!(
        !shown.contains("abcdefghijklm") && shown.contains("salt: …"),
        "{shown}"
    );
}

/// What somebody does.
#[derive(Clone, Debug)]
enum Step {
    /// Presents one of the tokens that there were, counted from the last one.
    Present(usize),
    /// Presents a token that looks like one of this session, and was never given.
    MakeUp(u8),
    Wait(Millis),
    LogOut,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![
        Just(1),
        Just(GRACE),
        Just(GRACE + 1),
        0..2 * GRACE,
        Just(SESSION_IDLE / 2),
        Just(SESSION_IDLE),
    ];
    let step = prop_oneof![
        8 => (0..4_usize).prop_map(Step::Present),
        1 => any::<u8>().prop_map(Step::MakeUp),
        6 => wait.prop_map(Step::Wait),
        1 => Just(Step::LogOut),
    ];
    prop::collection::vec(step, 0..40)
}

/// What RFC 9700 and ADR 0027 say, without hashes: tokens are numbers, in the order in which they
/// were given, and of each it is known when it was used.
#[derive(Default)]
struct Model {
    used: Vec<Millis>,
    over: bool,
}

impl Model {
    fn present(&mut self, number: Option<usize>, now: Millis) -> &'static str {
        let last_used = self.used.last().copied().unwrap_or(NOW);
        if self.over || now >= last_used + SESSION_IDLE || now >= NOW + SESSION_LONGEST {
            return "refused";
        }
        let current = self.used.len();
        match number {
            Some(number) if number == current => {
                self.used.push(now);
                "rotated"
            }
            Some(number) if number + 1 == current && now <= self.used[number] + GRACE => "repeated",
            _ => {
                self.over = true;
                "reused"
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_owners_and_thieves_do_is_answered_like_in_the_model(steps in steps()) {
        let (mut family, first) = begin([4; 26]);
        let mut tokens = vec![first];
        let mut model = Model::default();
        let mut now = NOW;
        for (salt, step) in steps.into_iter().enumerate() {
            let salt = [salt as u8; 32];
            let (token, number) = match step {
                Step::Wait(time) => {
                    now += time;
                    continue;
                }
                Step::LogOut => {
                    family.revoked = Some(Revoked { at: now, why: Why::LoggedOut });
                    model.over = true;
                    continue;
                }
                Step::Present(back) => {
                    let number = (tokens.len() - 1).saturating_sub(back);
                    (RefreshToken::parse(tokens[number].text().expose()).unwrap(), Some(number))
                }
                Step::MakeUp(secret) => (begin([secret; 26]).1, (secret == 4).then_some(0)),
            };
            let found = match family.present(&token, now, salt) {
                Presented::Rotated(next) => {
                    prop_assert!(tokens.iter().all(|it| !same(it, &next)));
                    tokens.push(next);
                    "rotated"
                }
                Presented::Repeated(again) => {
                    prop_assert!(same(&again, tokens.last().unwrap()));
                    "repeated"
                }
                Presented::Reused => "reused",
                Presented::Refused(_) => "refused",
            };
            prop_assert_eq!(found, model.present(number, now));
        }
    }
}
