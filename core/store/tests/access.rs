//! Users, sessions, tokens and the audit log: the same tests on SQLite and on PostgreSQL.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod on_both;
mod postgres;

use std::time::Duration;

use on_both::on_both;
use patronus_access::audit::{Actor, Broken, Event, Link, Outcome};
use patronus_access::{
    ApiSecret, Check, Family, GRACE, KeyId, KeyRing, Millis, NewApiToken, Over, Password,
    PasswordHash, Presented, RefreshToken, Role, SESSION_IDLE, SessionId, SigningKey, TokenId,
    UserId, Why, check,
};
use patronus_store::{Store, StoreError, User};
use sqlx::any::AnyPoolOptions;

const NOW: Millis = 1_795_000_000_000;

fn event(action: &str) -> Event {
    Event {
        at: NOW,
        actor: Actor::User("anna".to_owned()),
        address: Some("2001:db8::1".parse().unwrap()),
        action: action.to_owned(),
        object: "user/ünal".to_owned(),
        outcome: Outcome::Done,
        detail: String::new(),
    }
}

fn user(number: u8, name: &str, role: Role) -> User {
    User {
        id: UserId::new([number; 10]),
        name: name.parse().unwrap(),
        role,
        password: None,
        barred_at: None,
        made_at: NOW,
    }
}

async fn add(store: &Store, number: u8, name: &str, role: Role) -> UserId {
    let user = user(number, name, role);
    store.add_user(&user, &event("user.create")).await.unwrap();
    user.id
}

async fn begin(store: &Store, user: UserId, number: u8) -> (SessionId, RefreshToken) {
    let session = SessionId::new([number; 10]);
    let (family, token) = Family::begin(user, session, NOW, [number; 10], [number; 26]);
    store
        .begin_session(&family, None, &event("login"))
        .await
        .unwrap();
    (session, token)
}

/// What came of a token.
async fn refresh(store: &Store, token: &RefreshToken, now: Millis, salt: u8) -> Presented {
    store
        .refresh(token, now, [salt; 32], None)
        .await
        .unwrap()
        .unwrap()
        .0
}

async fn actions(store: &Store) -> Vec<String> {
    let log = store.audit_log(None, 1000).await.unwrap();
    log.into_iter()
        .rev()
        .map(|entry| entry.event.action)
        .collect()
}

fn hash(password: &str) -> PasswordHash {
    let password = Password::new(password, &"nobody".parse().unwrap()).unwrap();
    PasswordHash::new(&password, [1; 16]).unwrap()
}

/// Somebody who has the database.
async fn by_hand(url: &str, sql: &'static str) {
    let pool = AnyPoolOptions::new().connect(url).await.unwrap();
    sqlx::query(sql).execute(&pool).await.unwrap();
    pool.close().await;
}

on_both! {
    async fn users_are_kept_as_they_are(store: Store) {
        let mut anna = user(1, "anna", Role::Admin);
        anna.password = Some(hash("correct horse battery staple"));
        assert!(store.add_first_user(&anna, &event("user.create")).await.unwrap());
        assert!(!store.add_first_user(&user(2, "eve", Role::Admin), &event("x")).await.unwrap());
        add(&store, 3, "bert", Role::Viewer).await;
        let again = store.add_user(&user(4, "anna", Role::Viewer), &event("x")).await;
        assert_eq!(again.unwrap_err().to_string(), "there is a user anna already");
        let names: Vec<String> = store.users().await.unwrap().iter().map(|it| it.name.to_string()).collect();
        assert_eq!(names, ["anna", "bert"]);
        let found = store.user_named(&"anna".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((found.id, found.role, found.barred_at, found.made_at), (anna.id, Role::Admin, None, NOW));
        let kept = found.password.as_ref();
        assert_eq!(check(kept, "correct horse battery staple"), Ok(Check::Right));
        assert_eq!(check(kept, "correct horse battery stable"), Ok(Check::Wrong));
        assert!(store.user_named(&"eve".parse().unwrap()).await.unwrap().is_none());
        assert!(store.user(&UserId::new([9; 10])).await.unwrap().is_none());
        assert_eq!(actions(&store).await, ["user.create", "user.create"]);
    }

    async fn somebody_is_always_left_who_may_do_everything(store: Store) {
        let anna = add(&store, 1, "anna", Role::Admin).await;
        let bert = add(&store, 2, "bert", Role::Admin).await;
        let carl = add(&store, 3, "carl", Role::Operator).await;
        let e = event("user.change");
        store.set_barred(&bert, Some(NOW), &e).await.unwrap();
        for refused in [
            store.remove_user(&anna, &e).await,
            store.set_role(&anna, Role::Operator, &e).await,
            store.set_barred(&anna, Some(NOW), &e).await,
        ] {
            assert!(matches!(refused, Err(StoreError::LastAdmin)), "{refused:?}");
        }
        let unchanged = store.user(&anna).await.unwrap().unwrap();
        assert_eq!((unchanged.role, unchanged.barred_at), (Role::Admin, None));
        store.set_role(&carl, Role::Admin, &e).await.unwrap();
        store.remove_user(&anna, &e).await.unwrap();
        assert!(matches!(store.remove_user(&carl, &e).await, Err(StoreError::LastAdmin)));
        store.set_barred(&bert, None, &e).await.unwrap();
        store.remove_user(&carl, &e).await.unwrap();
        let gone = store.remove_user(&carl, &e).await;
        assert!(matches!(gone, Err(StoreError::NoUser(id)) if id == carl), "{gone:?}");
        // What was refused is not in the log as done.
        assert_eq!(actions(&store).await.len(), 3 + 5);
    }

    async fn of_two_admins_who_remove_each_other_one_stays(store: Store) {
        let anna = add(&store, 1, "anna", Role::Admin).await;
        let bert = add(&store, 2, "bert", Role::Admin).await;
        let (one, other) = tokio::join!(
            async { store.remove_user(&anna, &event("a")).await },
            async { store.remove_user(&bert, &event("b")).await },
        );
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        assert_eq!(store.users().await.unwrap().len(), 1);
    }

    async fn a_password_is_changed_by_whoever_knows_it_is_still_the_same(store: Store) {
        let anna = add(&store, 1, "anna", Role::Admin).await;
        let (here, _) = begin(&store, anna, 1).await;
        begin(&store, anna, 2).await;
        let (first, second) = (hash("the first of them all"), hash("the second of them all"));
        store.set_password(&anna, &first, Some(&here), &event("user.password")).await.unwrap();
        // Who was on the way in with the password before.
        let (late, _) = Family::begin(anna, SessionId::new([3; 10]), NOW, [3; 10], [3; 26]);
        for checked in [None, Some(&second)] {
            let refused = store.begin_session(&late, checked, &event("login")).await;
            assert!(matches!(refused, Err(StoreError::PasswordChanged)), "{refused:?}");
        }
        store.begin_session(&late, Some(&first), &event("login")).await.unwrap();
        assert!(store.end_session(&late.session, Why::Ended, &event("logout")).await.unwrap());
        let left: Vec<SessionId> = store.sessions(&anna, NOW).await.unwrap().iter().map(|it| it.session).collect();
        assert_eq!(left, [here]);
        assert!(store.renew_hash(&anna, &first, &second).await.unwrap());
        assert!(!store.renew_hash(&anna, &first, &first).await.unwrap());
        let kept = store.user(&anna).await.unwrap().unwrap().password;
        assert_eq!(check(kept.as_ref(), "the second of them all"), Ok(Check::Right));
    }

    async fn a_session_goes_on_from_token_to_token(store: Store) {
        let anna = add(&store, 1, "anna", Role::Operator).await;
        let (session, mut token) = begin(&store, anna, 1).await;
        for round in 1..5 {
            let now = NOW + i64::from(round) * 300_000;
            let found = store.refresh(&token, now, [round; 32], None).await.unwrap().unwrap();
            let (Presented::Rotated(next), user, family) = found else {
                panic!("{found:?}");
            };
            assert_eq!((user.id, user.role, family.session), (anna, Role::Operator, session));
            token = next;
        }
        let unknown = Family::begin(anna, session, NOW, [9; 10], [1; 26]).1;
        assert!(store.refresh(&unknown, NOW, [1; 32], None).await.unwrap().is_none());
        let kept = &store.sessions(&anna, NOW).await.unwrap()[0];
        assert_eq!((kept.began_at, kept.used_at), (NOW, NOW + 4 * 300_000));
        assert_eq!(kept.replaced.as_ref().unwrap().salt, [4; 32]);
    }

    async fn a_token_that_is_used_twice_ends_the_session_and_is_in_the_log(store: Store) {
        let anna = add(&store, 1, "anna", Role::Operator).await;
        let (session, token) = begin(&store, anna, 1).await;
        let Presented::Rotated(next) = refresh(&store, &token, NOW, 1).await else {
            panic!("it is new");
        };
        let from = Some("203.0.113.9".parse().unwrap());
        let late = NOW + GRACE + 1;
        let thief = store.refresh(&token, late, [2; 32], from).await.unwrap().unwrap();
        assert!(matches!(thief.0, Presented::Reused), "{thief:?}");
        let owner = refresh(&store, &next, late, 3).await;
        assert!(matches!(owner, Presented::Refused(Over::Revoked(Why::Reused))), "{owner:?}");
        assert_eq!(store.sessions(&anna, late).await.unwrap(), []);
        let last = store.audit_log(None, 1).await.unwrap().pop().unwrap().event;
        assert_eq!((last.action.as_str(), last.address), ("session.end", from));
        assert_eq!(last.object, format!("session/{session}"));
        assert!(last.detail.contains("anna"), "{}", last.detail);
    }

    async fn of_many_who_use_a_token_at_once_all_get_the_same_next_one(store: Store) {
        let anna = add(&store, 1, "anna", Role::Operator).await;
        begin(&store, anna, 1).await;
        let all = (0..8_u8).map(|salt| {
            let store = store.clone();
            let (_, token) = Family::begin(anna, SessionId::new([1; 10]), NOW, [1; 10], [1; 26]);
            tokio::spawn(async move { refresh(&store, &token, NOW, salt).await })
        });
        let mut rotated = 0;
        let mut next = Vec::new();
        for one in all.collect::<Vec<_>>() {
            match one.await.unwrap() {
                Presented::Rotated(token) => {
                    rotated += 1;
                    next.push(token);
                }
                Presented::Repeated(token) => next.push(token),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((rotated, next.len()), (1, 8));
        assert!(next.iter().all(|it| it.digest() == next[0].digest()));
        let after = refresh(&store, &next[7], NOW + 1, 9).await;
        assert!(matches!(after, Presented::Rotated(_)), "{after:?}");
    }

    async fn sessions_end_with_their_users_rights_and_are_forgotten_later(store: Store) {
        let anna = add(&store, 1, "anna", Role::Admin).await;
        let bert = add(&store, 2, "bert", Role::Viewer).await;
        let (first, token) = begin(&store, bert, 1).await;
        begin(&store, bert, 2).await;
        let (_, other) = begin(&store, anna, 3).await;
        assert!(store.end_session(&first, Why::LoggedOut, &event("logout")).await.unwrap());
        assert!(!store.end_session(&first, Why::Ended, &event("logout")).await.unwrap());
        let over = refresh(&store, &token, NOW, 1).await;
        assert!(matches!(over, Presented::Refused(Over::Revoked(Why::LoggedOut))), "{over:?}");
        store.set_barred(&bert, Some(NOW), &event("user.bar")).await.unwrap();
        assert_eq!(store.sessions(&bert, NOW).await.unwrap(), []);
        let (family, _) = Family::begin(bert, SessionId::new([7; 10]), NOW, [7; 10], [7; 26]);
        let barred = store.begin_session(&family, None, &event("login")).await;
        assert!(matches!(barred, Err(StoreError::NoUser(_))), "{barred:?}");
        assert_eq!(store.forget_sessions(NOW).await.unwrap(), 0);
        assert_eq!(store.forget_sessions(NOW + 1).await.unwrap(), 2);
        assert!(store.refresh(&token, NOW, [1; 32], None).await.unwrap().is_none());
        assert_eq!(store.end_sessions(&anna, None, &event("logout")).await.unwrap(), 1);
        assert!(matches!(refresh(&store, &other, NOW, 1).await, Presented::Refused(_)));
        assert_eq!(store.forget_sessions(NOW + SESSION_IDLE + 1).await.unwrap(), 1);
    }

    async fn api_tokens_are_found_until_they_or_their_owners_are_gone(store: Store) {
        add(&store, 1, "anna", Role::Admin).await;
        let bert = add(&store, 2, "bert", Role::Operator).await;
        let wanted = |owner| NewApiToken {
            owner,
            name: "nightly – backup".to_owned(),
            scopes: "intent.read intent.edit".parse().unwrap(),
            life: 3_600_000,
        };
        let make = |number: u8, owner| {
            let granted = Role::Operator.permissions();
            wanted(owner).make(granted, NOW + i64::from(number), TokenId::new([number; 10]), [number; 26]).unwrap()
        };
        let (first, secret) = make(1, bert);
        let (second, _) = make(2, bert);
        for token in [&first, &second] {
            store.add_api_token(token, &event("token.create")).await.unwrap();
        }
        let nobodys = store.add_api_token(&make(3, UserId::new([9; 10])).0, &event("x")).await;
        assert!(matches!(nobodys, Err(StoreError::NoUser(_))), "{nobodys:?}");
        assert_eq!(store.api_tokens(&bert).await.unwrap(), [second.clone(), first.clone()]);
        let sent = ApiSecret::parse(secret.text().expose()).unwrap();
        let (kept, owner) = store.api_token(&sent.id()).await.unwrap().unwrap();
        assert_eq!((&kept, owner.id), (&first, bert));
        let permits = kept.permits(&sent, owner.role, NOW + 1).unwrap();
        assert_eq!(permits.to_string(), "intent.read intent.edit");
        store.note_use(&first.id, NOW + 5).await.unwrap();
        store.note_use(&first.id, NOW + 4).await.unwrap();
        assert_eq!(store.api_token(&first.id).await.unwrap().unwrap().0.used_at, Some(NOW + 5));
        store.set_barred(&bert, Some(NOW), &event("user.bar")).await.unwrap();
        assert!(store.api_token(&first.id).await.unwrap().is_none());
        store.set_barred(&bert, None, &event("user.bar")).await.unwrap();
        assert!(store.remove_api_token(&first.id, &event("token.remove")).await.unwrap());
        assert!(!store.remove_api_token(&first.id, &event("token.remove")).await.unwrap());
        store.remove_user(&bert, &event("user.remove")).await.unwrap();
        assert!(store.api_token(&second.id).await.unwrap().is_none());
    }

    async fn of_controllers_that_make_a_key_at_once_one_does(store: Store) {
        let key = |number: u8, from| SigningKey::new(KeyId::new([number; 10]), [number; 32], from);
        let both = (1..=2).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let key = SigningKey::new(KeyId::new([number; 10]), [number; 32], NOW);
                store.add_signing_key(&key, None, &event("key.create")).await.unwrap()
            })
        });
        let mut kept = 0;
        for one in both.collect::<Vec<_>>() {
            kept += i32::from(one.await.unwrap());
        }
        assert_eq!(kept, 1);
        let first = store.signing_keys().await.unwrap();
        let last = first[0].id;
        assert!(!store.add_signing_key(&key(3, NOW + 1), Some(&KeyId::new([9; 10])), &event("x")).await.unwrap());
        assert!(store.add_signing_key(&key(3, NOW + 1), Some(&last), &event("key.create")).await.unwrap());
        let keys = store.signing_keys().await.unwrap();
        let ids: Vec<KeyId> = keys.iter().map(|it| it.id).collect();
        assert_eq!(ids, [last, KeyId::new([3; 10])]);
        assert_eq!(keys[1].expose(), &[3; 32]);
        let ring = KeyRing::new(keys, "i".to_owned(), "a".to_owned());
        assert_eq!(ring.next(NOW), None);
        assert_eq!(actions(&store).await, ["key.create", "key.create"]);
        store.forget_signing_keys(&[last]).await.unwrap();
        assert_eq!(store.signing_keys().await.unwrap().len(), 1);
    }

    async fn the_log_is_one_chain_whoever_writes_it(store: Store) {
        add(&store, 1, "anna", Role::Admin).await;
        let writers = (0..8_u8).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..10 {
                    let detail = format!("{writer} {number} ☃ 'quoted' \"too\"");
                    let actor = match number % 2 {
                        0 => Actor::User(writer.to_string()),
                        _ => Actor::Controller,
                    };
                    let event = Event {
                        detail,
                        actor,
                        address: (number > 4).then(|| "192.0.2.1".parse().unwrap()),
                        at: -i64::from(number),
                        ..event("login")
                    };
                    store.audit(&event).await.unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let end = store.verify_audit(None).await.unwrap().unwrap();
        assert_eq!(end.sequence, 81);
        let newest = store.audit_log(None, 3).await.unwrap();
        let numbers: Vec<u64> = newest.iter().map(|it| it.link.sequence).collect();
        assert_eq!(numbers, [81, 80, 79]);
        assert_eq!(newest[0].link, end);
        let before = store.audit_log(Some(3), 10).await.unwrap();
        assert_eq!(before.len(), 2);
        assert_eq!(before[1].event, event("user.create"));
        assert_eq!(store.verify_audit(Some(newest[2].link)).await.unwrap(), Ok(end));
        let cut = Link { sequence: 99, hash: end.hash };
        let broken = Broken::CutOff { last: 81, sequence: 99 };
        assert_eq!(store.verify_audit(Some(cut)).await.unwrap(), Err(broken));
    }

    async fn what_cannot_be_written_down_is_not_done_either(store: Store) {
        add(&store, 1, "anna", Role::Admin).await;
        let bad = Event { detail: "a\0b".to_owned(), ..event("user.create") };
        let refused = store.add_user(&user(2, "bert", Role::Viewer), &bad).await;
        assert_eq!(refused.unwrap_err().to_string(), "the audit log cannot hold a text with a zero byte");
        assert_eq!(store.users().await.unwrap().len(), 1);
        assert_eq!(actions(&store).await, ["user.create"]);
    }
}

#[tokio::test]
async fn whoever_alters_the_log_by_hand_is_found_out() {
    for (sql, expected) in [
        (
            "UPDATE audit SET detail = 'x' WHERE sequence = 3",
            Broken::Altered { sequence: 3 },
        ),
        (
            "UPDATE audit SET at = at + 1 WHERE sequence = 3",
            Broken::Altered { sequence: 3 },
        ),
        (
            "UPDATE audit SET actor = 'bert' WHERE sequence = 3",
            Broken::Altered { sequence: 3 },
        ),
        (
            "UPDATE audit SET actor_kind = 'x' WHERE sequence = 3",
            Broken::Altered { sequence: 3 },
        ),
        (
            "UPDATE audit SET outcome = 'x' WHERE sequence = 3",
            Broken::Altered { sequence: 3 },
        ),
        (
            "UPDATE audit SET address = '' WHERE sequence = 3",
            Broken::Altered { sequence: 3 },
        ),
        // The same address in other words.
        (
            "UPDATE audit SET address = '2001:db8:0::1' WHERE sequence = 3",
            Broken::Altered { sequence: 3 },
        ),
        (
            "UPDATE audit SET hash = 'x' WHERE sequence = 3",
            Broken::Altered { sequence: 3 },
        ),
        (
            "DELETE FROM audit WHERE sequence = 3",
            Broken::Missing {
                sequence: 3,
                found: 4,
            },
        ),
        (
            "UPDATE audit SET sequence = 9 WHERE sequence = 3",
            Broken::Missing {
                sequence: 3,
                found: 4,
            },
        ),
        (
            "DELETE FROM audit WHERE sequence > 3",
            Broken::CutOff {
                last: 3,
                sequence: 5,
            },
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/controller.db", folder.path().display());
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let mut end = Link::START;
        for action in ["a", "b", "c", "d", "e"] {
            end = store.audit(&event(action)).await.unwrap().link;
        }
        assert_eq!(store.verify_audit(Some(end)).await.unwrap(), Ok(end));
        by_hand(&url, sql).await;
        assert_eq!(
            store.verify_audit(Some(end)).await.unwrap(),
            Err(expected),
            "{sql}"
        );
        tokio::time::timeout(Duration::from_secs(5), store.close())
            .await
            .unwrap();
    }
}
