//! What travels is understood as it was meant, and what does not make sense makes nobody panic.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use patronus_control::session::{
    Digest, Edition, Facts, FromController, FromRouter, Hello, PROTOCOL, Piece, PieceId, Refusal,
    Version,
};
use patronus_control::wire::{
    EnrolAnswer, EnrolAsk, Opening, decode_controller, decode_router, encode_controller,
    encode_router, v1,
};
use patronus_model::intent::UplinkFacts;
use patronus_model::wireguard::PublicKey;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

const LABEL: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn version() -> impl Strategy<Value = Version> {
    (any::<u64>(), 1..u64::MAX).prop_map(|(epoch, generation)| Version { epoch, generation })
}

fn edition() -> impl Strategy<Value = Edition> {
    (version(), digest()).prop_map(|(version, digest)| Edition { version, digest })
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let parts = (edition(), any::<u32>(), "[ -~\n]{0,200}");
    parts.prop_map(|(edition, attempts, reason)| Refusal {
        edition,
        attempts,
        reason,
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    let told = (any::<[u8; 32]>(), option::of(any::<SocketAddr>()));
    let told = told.prop_map(|(key, address)| UplinkFacts {
        public_key: PublicKey(key),
        // Scopes of addresses and flows are of no meaning elsewhere.
        address: address.map(|it| SocketAddr::new(it.ip(), it.port())),
    });
    btree_map(LABEL.prop_map(|it| it.parse().unwrap()), told, 0..8)
}

fn piece_id() -> impl Strategy<Value = PieceId> {
    prop_oneof![
        Just(PieceId::Own),
        LABEL.prop_map(|it| PieceId::Site(it.parse().unwrap())),
        LABEL.prop_map(|it| PieceId::Policy(it.parse().unwrap())),
    ]
}

fn millis(range: RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn from_router() -> impl Strategy<Value = FromRouter> {
    prop_oneof![
        edition().prop_map(FromRouter::Applied),
        edition().prop_map(FromRouter::Kept),
        (refusal(), option::of(edition()))
            .prop_map(|(refusal, running)| FromRouter::Refused { refusal, running }),
        edition().prop_map(FromRouter::Resync),
        option::of(edition()).prop_map(|running| FromRouter::Heartbeat { running }),
        facts().prop_map(FromRouter::Facts),
        vec(any::<u8>(), 1..2048).prop_map(FromRouter::Renew),
        Just(FromRouter::Leaving),
    ]
}

fn from_controller() -> impl Strategy<Value = FromController> {
    let week = 7 * 24 * 60 * 60 * 1000;
    let begin = (
        edition(),
        option::of(digest()),
        vec(piece_id(), 0..20),
        millis(1_000..=week),
    );
    let piece = (piece_id(), "\\PC{0,100}");
    let piece = piece.prop_map(|(id, text)| Arc::new(Piece::new(id, text).unwrap()));
    prop_oneof![
        millis(100..=600_000).prop_map(|heartbeat| FromController::Welcome { heartbeat }),
        begin.prop_map(
            |(edition, base, gone, confirm_within)| FromController::Begin {
                edition,
                base,
                gone,
                confirm_within
            }
        ),
        (digest(), vec(piece, 0..20))
            .prop_map(|(of, pieces)| FromController::Pieces { of, pieces }),
        digest().prop_map(|of| FromController::End { of }),
        edition().prop_map(FromController::Confirm),
        Just(FromController::Heartbeat),
        vec(any::<u8>(), 1..8192).prop_map(FromController::Renewed),
        "[ -~\n]{0,200}".prop_map(FromController::NotRenewed),
        ("[ -~\n]{0,200}", millis(0..=week))
            .prop_map(|(reason, after)| FromController::GoAway { reason, after }),
    ]
}

fn opening() -> impl Strategy<Value = Opening> {
    let stands = (
        option::of(edition()),
        option::of(edition()),
        option::of(refusal()),
    );
    let parts = (
        any::<u64>(),
        LABEL,
        any::<u64>(),
        option::of(version()),
        stands,
        facts(),
    );
    parts.prop_map(|(session, site, clock_ms, seen, stands, facts)| Opening {
        session,
        site: site.parse().unwrap(),
        clock_ms,
        hello: Hello {
            protocol: PROTOCOL,
            seen,
            running: stands.0,
            confirmed: stands.1,
            refused: stands.2,
            facts,
        },
    })
}

proptest! {
    #[test]
    fn an_opening_is_understood_as_it_was_meant(opening in opening()) {
        let bytes = v1::RouterMessage::from(opening.clone()).encode_to_vec();
        let message = v1::RouterMessage::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(Opening::try_from(message), Ok(opening));
    }

    #[test]
    fn what_a_router_says_is_understood_as_it_was_meant(said in from_router()) {
        let bytes = encode_router(said.clone()).unwrap().encode_to_vec();
        let message = v1::RouterMessage::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(decode_router(message), Ok(Some(said)));
    }

    #[test]
    fn what_a_controller_says_is_understood_as_it_was_meant(
        session in any::<u64>(),
        said in from_controller(),
    ) {
        let bytes = encode_controller(session, 1, said.clone()).encode_to_vec();
        let message = v1::ControllerMessage::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(decode_controller(message), Ok(Some((session, said))));
    }

    /// What was changed on the way (which TLS prevents) or made by somebody with bad intentions.
    #[test]
    fn no_bytes_make_an_end_panic(
        said in from_router(),
        told in from_controller(),
        flips in vec((any::<prop::sample::Index>(), 1..=255_u8), 1..8),
        noise in vec(any::<u8>(), 0..200),
    ) {
        let mut up = encode_router(said).unwrap().encode_to_vec();
        let mut down = encode_controller(1, 1, told).encode_to_vec();
        for (at, flip) in flips {
            for bytes in [&mut up, &mut down] {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] ^= flip;
                }
            }
        }
        for bytes in [up, down, noise] {
            if let Ok(message) = v1::RouterMessage::decode(bytes.as_slice()) {
                let _ = Opening::try_from(message.clone());
                let _ = decode_router(message);
            }
            if let Ok(message) = v1::ControllerMessage::decode(bytes.as_slice()) {
                let _ = decode_controller(message);
            }
            if let Ok(message) = v1::EnrolRequest::decode(bytes.as_slice()) {
                let _ = EnrolAsk::try_from(message);
            }
            if let Ok(message) = v1::EnrolResponse::decode(bytes.as_slice()) {
                let _ = EnrolAnswer::try_from(message);
            }
        }
    }
}
