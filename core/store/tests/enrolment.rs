//! Who the routers are: the same tests on SQLite and on PostgreSQL.
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
use patronus_access::audit::{Actor, Event, Outcome};
use patronus_identity::{
    Authority, Enrolment, Fingerprint, NotRedeemed, PrivateKey, Request, Token, TokenRecord,
    TokenState, UnixTime,
};
use patronus_model::ids::SiteId;
use patronus_store::{EnrolledRouter, EnrolmentToken, Redemption, Standing, Store};

const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn event(action: &str) -> Event {
    Event {
        at: 1_795_000_000_000,
        actor: Actor::User("anna".to_owned()),
        address: None,
        action: action.to_owned(),
        object: "site/berlin".to_owned(),
        outcome: Outcome::Done,
        detail: String::new(),
    }
}

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn key(number: u8) -> Fingerprint {
    Fingerprint::from_bytes([number; 32])
}

async fn make(store: &Store, of: &str, approval: bool) -> Token {
    let urls = vec!["https://controller.example:8443".parse().unwrap()];
    let token = Token::generate(key(0xca), urls, NOW + HOUR).unwrap();
    let kept = EnrolmentToken {
        record: TokenRecord::of(&token, site(of)),
        made_by: "anna".to_owned(),
        made_at: NOW,
        approval,
    };
    store
        .add_enrolment_token(&kept, &event("token.create"))
        .await
        .unwrap();
    let listed = store.enrolment_tokens(Some(&site(of))).await.unwrap();
    assert!(listed.contains(&kept));
    token
}

async fn show(
    store: &Store,
    token: &Token,
    key: Fingerprint,
) -> Result<EnrolledRouter, NotRedeemed> {
    let ask = Redemption {
        token: token.id,
        secret: &token.secret,
        key,
        address: "2001:db8::7".parse().unwrap(),
        at: NOW,
    };
    store.redeem(&ask).await.unwrap()
}

async fn standings(store: &Store, of: &str) -> Vec<(u32, Standing)> {
    let routers = store.enrolled(Some(&site(of))).await.unwrap();
    let standing = |it: EnrolledRouter| (it.enrolment.get(), it.standing);
    routers.into_iter().map(standing).collect()
}

const APPROVED: Standing = Standing::Approved { at: NOW };
const ENDED: Standing = Standing::Ended { at: NOW };

on_both! {
    async fn a_token_is_good_for_one_router(store: Store) {
        let token = make(&store, "berlin", false).await;
        let router = show(&store, &token, key(1)).await.unwrap();
        assert_eq!((router.enrolment, router.standing), (Enrolment::FIRST, APPROVED));
        assert_eq!(show(&store, &token, key(1)).await.unwrap(), router, "an answer was lost");
        assert_eq!(show(&store, &token, key(2)).await, Err(NotRedeemed::Used(NOW)));
        let listed = store.enrolment_tokens(None).await.unwrap();
        let states: Vec<TokenState> = listed.iter().map(|it| it.record.state).collect();
        assert_eq!(states, [TokenState::Redeemed { at: NOW, key: key(1) }]);
        assert_eq!(store.enrolled(None).await.unwrap(), [router]);

        let unknown = Token::generate(key(0xca), token.urls().to_vec(), NOW + HOUR).unwrap();
        assert_eq!(show(&store, &unknown, key(1)).await, Err(NotRedeemed::Unknown));
        let used = event("token.withdraw");
        assert!(!store.withdraw_enrolment_token(token.id, &used).await.unwrap());

        let other = make(&store, "berlin", false).await;
        assert!(store.withdraw_enrolment_token(other.id, &used).await.unwrap());
        assert_eq!(show(&store, &other, key(3)).await, Err(NotRedeemed::Withdrawn(NOW)));
        let log = store.audit_log(None, 100).await.unwrap();
        let actions: Vec<&str> = log.iter().rev().map(|it| it.event.action.as_str()).collect();
        assert_eq!(
            actions,
            ["token.create", "router.enrol", "token.create", "token.withdraw"],
            "what was done is there once, and what was not is not"
        );
    }

    async fn of_a_site_only_the_latest_router_that_was_approved_counts(store: Store) {
        let first = make(&store, "berlin", false).await;
        let second = make(&store, "berlin", true).await;
        let third = make(&store, "berlin", true).await;
        let lisbon = make(&store, "lisbon", false).await;
        for (token, number) in [(&first, 1), (&second, 2), (&third, 3), (&lisbon, 4)] {
            show(&store, token, key(number)).await.unwrap();
        }
        let waiting = Standing::Waiting;
        let now = standings(&store, "berlin").await;
        assert_eq!(now, [(3, waiting), (2, waiting), (1, APPROVED)]);
        assert_eq!(store.revocations(NOW).await.unwrap(), Default::default());

        let number = |number| Enrolment::new(number).unwrap();
        let (berlin, end) = (site("berlin"), event("router.revoke"));
        // Refusing one that waits says nothing of the one that counts.
        assert!(store.end_router(&berlin, number(3), &end).await.unwrap());
        assert_eq!(store.revocations(NOW).await.unwrap(), Default::default());
        let approve = event("router.approve");
        assert!(!store.approve_router(&berlin, number(3), &approve).await.unwrap());
        assert!(store.approve_router(&berlin, number(2), &approve).await.unwrap());
        assert!(!store.approve_router(&berlin, number(2), &approve).await.unwrap());
        let now = standings(&store, "berlin").await;
        assert_eq!(now, [(3, ENDED), (2, APPROVED), (1, ENDED)]);
        let mut revoked = patronus_identity::Revocations::default();
        revoked.revoke_before(berlin.clone(), number(2));
        assert_eq!(store.revocations(NOW).await.unwrap(), revoked);

        assert!(store.end_router(&berlin, number(2), &end).await.unwrap());
        assert!(!store.end_router(&berlin, number(2), &end).await.unwrap());
        revoked.revoke_before(berlin, number(3));
        assert_eq!(store.revocations(NOW).await.unwrap(), revoked);
        assert_eq!(standings(&store, "lisbon").await, [(1, APPROVED)]);
    }

    async fn an_earlier_router_does_not_take_the_place_of_a_later_one(store: Store) {
        let waits = make(&store, "berlin", true).await;
        let counts = make(&store, "berlin", false).await;
        show(&store, &waits, key(1)).await.unwrap();
        // Whoever is left waiting is passed over.
        show(&store, &counts, key(2)).await.unwrap();
        let approve = event("router.approve");
        let berlin = site("berlin");
        assert!(!store.approve_router(&berlin, Enrolment::FIRST, &approve).await.unwrap());
        assert_eq!(standings(&store, "berlin").await, [(2, APPROVED), (1, ENDED)]);
    }

    async fn a_certificate_is_revoked_by_its_number(store: Store) {
        let token = make(&store, "berlin", false).await;
        let router = show(&store, &token, key(1)).await.unwrap();
        let authority = Authority::create(NOW).unwrap();
        let request = Request::from_der(&Request::make(&PrivateKey::generate().unwrap()).unwrap());
        let certificate = authority
            .issue_site(&router.site, router.enrolment, &request.unwrap(), NOW)
            .unwrap();
        store.note_certificate(&certificate, &event("certificate.issue")).await.unwrap();
        assert!(store.revocations(NOW).await.unwrap().check(&certificate).is_ok());
        let revoke = event("certificate.revoke");
        assert!(store.revoke_certificate(&certificate.serial, &revoke).await.unwrap());
        assert!(!store.revoke_certificate(&certificate.serial, &revoke).await.unwrap());
        assert!(store.revocations(NOW).await.unwrap().check(&certificate).is_err());
        let past = certificate.not_after + HOUR;
        assert_eq!(store.revocations(past).await.unwrap(), Default::default());
    }

    async fn an_epoch_is_later_than_all_that_routers_have_seen(store: Store) {
        assert_eq!(store.epoch().await.unwrap(), 0);
        let begin = event("epoch.begin");
        assert_eq!(store.begin_epoch(0, &begin).await.unwrap(), 1);
        assert_eq!(store.begin_epoch(0, &begin).await.unwrap(), 2);
        assert_eq!(store.begin_epoch(7, &begin).await.unwrap(), 8);
        assert_eq!(store.epoch().await.unwrap(), 8);
    }
}
