//! From the first start to the first thief: how the rules and the store work together.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod on_both;
mod postgres;

use std::net::IpAddr;

use on_both::on_both;
use patronus_access::audit::{Actor, Event, Outcome};
use patronus_access::limit::Limiter;
use patronus_access::{
    ACCESS_LIFE, Access, AccessRefused, Check, Family, GRACE, KeyId, KeyRing, Millis, Password,
    PasswordHash, Permission, Presented, RefreshToken, Role, SessionId, SigningKey, UserId, check,
};
use patronus_store::{Store, User};

const NOW: Millis = 1_795_000_000_000;

fn event(actor: Actor, action: &str) -> Event {
    Event {
        at: NOW,
        actor,
        address: None,
        action: action.to_owned(),
        object: "user/admin".to_owned(),
        outcome: Outcome::Done,
        detail: String::new(),
    }
}

/// The keys as any controller reads them; the first one makes them.
async fn keys(store: &Store, number: u8, now: Millis) -> KeyRing {
    let ring = |keys| {
        KeyRing::new(
            keys,
            "https://patronus.example".to_owned(),
            "patronus".to_owned(),
        )
    };
    let kept = store.signing_keys().await.unwrap();
    let last = kept.last().map(|key| key.id);
    if let Some(signs_from) = ring(kept).next(now) {
        let key = SigningKey::new(KeyId::new([number; 10]), [number; 32], signs_from);
        store
            .add_signing_key(&key, last.as_ref(), &event(Actor::Controller, "key.create"))
            .await
            .unwrap();
    }
    ring(store.signing_keys().await.unwrap())
}

/// What a controller does when somebody sends a name and a password.
async fn log_in(
    store: &Store,
    limiter: &mut Limiter,
    name: &str,
    password: &str,
    from: IpAddr,
) -> Result<(User, SessionId, RefreshToken), String> {
    let attempt = limiter
        .attempt(name, from, NOW)
        .map_err(|early| early.to_string())?;
    let user = match name.parse() {
        Ok(name) => store.user_named(&name).await.unwrap(),
        Err(_) => None,
    };
    let kept = user.as_ref().and_then(|user| user.password.as_ref());
    let (Check::Right, Some(user)) = (check(kept, password).unwrap(), user) else {
        let refused = Event {
            outcome: Outcome::Refused,
            ..event(Actor::Nobody, "login")
        };
        store.audit(&refused).await.unwrap();
        return Err("wrong name or password".to_owned());
    };
    limiter.succeeded(attempt, NOW);
    let session = SessionId::new([1; 10]);
    let (family, token) = Family::begin(user.id, session, NOW, [1; 10], [1; 26]);
    let login = event(Actor::User(user.name.to_string()), "login");
    store
        .begin_session(&family, user.password.as_ref(), &login)
        .await
        .unwrap();
    Ok((user, session, token))
}

on_both! {
    async fn from_the_first_start_to_the_first_thief(store: Store) {
        let password = Password::generate([9; 15]);
        let admin = User {
            id: UserId::new([1; 10]),
            name: "admin".parse().unwrap(),
            role: Role::Admin,
            password: Some(PasswordHash::new(&password, [2; 16]).unwrap()),
            barred_at: None,
            made_at: NOW,
        };
        let made = event(Actor::Controller, "user.create");
        assert!(store.add_first_user(&admin, &made).await.unwrap());
        assert!(!store.add_first_user(&admin, &made).await.unwrap(), "only once");

        let mut limiter = Limiter::default();
        let (home, away) = ("192.0.2.1".parse().unwrap(), "203.0.113.66".parse().unwrap());
        for name in ["admin", "nobody", "Not A Name"] {
            let answer = log_in(&store, &mut limiter, name, "a wrong guess", away).await;
            assert_eq!(answer.unwrap_err(), "wrong name or password");
        }
        let answer = log_in(&store, &mut limiter, "admin", password.expose(), home).await;
        let (user, session, first) = answer.unwrap();

        let ring = keys(&store, 1, NOW).await;
        let access = Access { user: user.id, role: user.role, session };
        let token = ring.sign(&access, NOW).unwrap();
        // Another controller, with the keys from the same database.
        let other = keys(&store, 2, NOW).await;
        assert_eq!(other.verify(token.expose(), NOW), Ok(access));
        assert!(access.role.permissions().has(Permission::ManageUsers));

        let later = NOW + ACCESS_LIFE;
        assert_eq!(other.verify(token.expose(), later), Err(AccessRefused::Expired));
        let sent = RefreshToken::parse(first.text().expose()).unwrap();
        let answer = store.refresh(&sent, later, [3; 32], Some(home)).await.unwrap().unwrap();
        let (Presented::Rotated(second), user, family) = answer else {
            panic!("it is new");
        };
        let access = Access { user: user.id, role: user.role, session: family.session };
        let token = ring.sign(&access, later).unwrap();
        assert_eq!(other.verify(token.expose(), later), Ok(access));

        let thief = store.refresh(&first, later + GRACE + 1, [4; 32], Some(away)).await;
        assert!(matches!(thief.unwrap().unwrap().0, Presented::Reused));
        let owner = store.refresh(&second, later + GRACE + 2, [5; 32], Some(home)).await;
        assert!(matches!(owner.unwrap().unwrap().0, Presented::Refused(_)));

        let log = store.audit_log(None, 10).await.unwrap();
        let actions: Vec<&str> = log.iter().map(|entry| entry.event.action.as_str()).collect();
        assert_eq!(actions, ["session.end", "key.create", "login", "login", "login", "login", "user.create"]);
        assert!(store.verify_audit(Some(log[0].link)).await.unwrap().is_ok());
        let told = format!("{log:?} {:?}", store.users().await.unwrap());
        for secret in [password.expose(), first.text().expose(), second.text().expose(), token.expose()] {
            assert!(!told.contains(secret));
        }
    }
}
