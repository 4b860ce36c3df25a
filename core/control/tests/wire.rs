//! What travels is refused with the name of the field if it is not what it must be.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::sync::Arc;
use std::time::Duration;

use patronus_control::session::{
    Digest, Edition, Facts, FromController, MOST_GONE, MOST_PIECE_BYTES, Piece, PieceId, Version,
};
use patronus_control::wire::v1::controller_message::Message as ControllerWord;
use patronus_control::wire::v1::router_message::Message as RouterWord;
use patronus_control::wire::{
    EnrolAnswer, EnrolAsk, MOST_MESSAGE_BYTES, Opening, decode_controller, decode_router,
    encode_controller, v1,
};
use patronus_identity::{TokenId, TokenSecret};
use prost::Message as _;

fn an_edition() -> v1::Edition {
    v1::Edition {
        version: Some(v1::Version {
            epoch: 0,
            generation: 1,
        }),
        digest: vec![7; 32],
    }
}

fn uplink(name: &str) -> v1::UplinkFacts {
    v1::UplinkFacts {
        name: name.to_owned(),
        public_key: vec![7; 32],
        address: "192.0.2.1:51820".to_owned(),
    }
}

#[test]
fn what_a_router_must_not_say_is_refused_with_the_name_of_the_field() {
    let facts = |uplinks| RouterWord::Facts(v1::Facts { uplinks });
    let applied = |edition| RouterWord::Applied(edition);
    let with = |change: fn(&mut v1::UplinkFacts)| {
        let mut one = uplink("one");
        change(&mut one);
        facts(vec![one])
    };
    let short = v1::Edition {
        digest: vec![7; 31],
        ..an_edition()
    };
    let unversioned = v1::Edition {
        version: None,
        ..an_edition()
    };
    let zeroth = v1::Version {
        epoch: 0,
        generation: 0,
    };
    let zeroth = v1::Edition {
        version: Some(zeroth),
        ..an_edition()
    };
    let nine: Vec<_> = (0..9).map(|it| uplink(&format!("uplink-{it}"))).collect();
    let renew = |length| {
        let certificate_request = vec![0; length];
        RouterWord::Renew(v1::Renew {
            certificate_request,
        })
    };
    let table = [
        (
            RouterWord::Hello(v1::Hello::default()),
            "message: `hello` is said only once",
        ),
        (applied(short), "applied: it has 31 bytes instead of 32"),
        (applied(unversioned), "applied: it is missing"),
        (applied(zeroth), "applied: generations are counted from 1"),
        (
            RouterWord::Refused(v1::Refused::default()),
            "refused.refusal: it is missing",
        ),
        (
            facts(nine),
            "facts.uplinks: there are 9, and 8 are the most",
        ),
        (
            facts(vec![uplink("a"), uplink("a")]),
            "facts.uplinks: a is there twice",
        ),
        (
            with(|it| it.name = "A".to_owned()),
            "facts.uplinks.name: \"A\" is not a name",
        ),
        (
            with(|it| it.public_key.clear()),
            "facts.uplinks.public_key: it has 0 bytes instead of 32",
        ),
        (
            with(|it| it.address = "here".to_owned()),
            "facts.uplinks.address: \"here\" is not ADDRESS:PORT",
        ),
        (renew(0), "renew.certificate_request: it is missing"),
        (
            renew(2049),
            "renew.certificate_request: it has 2049 bytes, and 2048 are the most",
        ),
    ];
    for (message, expected) in table {
        let message = Some(message);
        let error = decode_router(v1::RouterMessage { message })
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{expected}\n{error}");
    }
    let hello = |site: &str| v1::Hello {
        site: site.to_owned(),
        ..v1::Hello::default()
    };
    let table = [
        (
            RouterWord::Leaving(v1::Leaving {}),
            "message: a session begins with `hello`",
        ),
        (
            RouterWord::Hello(hello("")),
            "hello.site: \"\" is not a name",
        ),
    ];
    for (message, expected) in table {
        let message = v1::RouterMessage {
            message: Some(message),
        };
        let error = Opening::try_from(message).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected}\n{error}");
    }
}

#[test]
fn what_a_controller_must_not_say_is_refused_with_the_name_of_the_field() {
    let begin = |change: fn(&mut v1::Begin)| {
        let mut begin = v1::Begin {
            edition: Some(an_edition()),
            base: vec![],
            gone: vec![],
            confirm_within_ms: 1000,
        };
        change(&mut begin);
        ControllerWord::Begin(begin)
    };
    let welcome = |protocol, heartbeat_ms| {
        let clock_ms = 0;
        ControllerWord::Welcome(v1::Welcome {
            protocol,
            heartbeat_ms,
            clock_ms,
        })
    };
    let pieces = |id, text| {
        let id = Some(v1::PieceId { id });
        let pieces = vec![v1::Piece { id, text }];
        ControllerWord::Pieces(v1::Pieces {
            of: vec![7; 32],
            pieces,
        })
    };
    let own = Some(v1::piece_id::Id::Own(v1::Own {}));
    let bad = Some(v1::piece_id::Id::Site("../etc".to_owned()));
    let week = 7 * 24 * 60 * 60 * 1000;
    let away = v1::GoAway {
        reason: String::new(),
        after_ms: week + 1,
    };
    let table = [
        (
            welcome(2, 5000),
            "welcome.protocol: the controller speaks version 2",
        ),
        (
            welcome(1, 99),
            "welcome.heartbeat_ms: 99 ms is not from 100 to 600000 ms",
        ),
        (
            begin(|it| it.edition = None),
            "begin.edition: it is missing",
        ),
        (
            begin(|it| it.base = vec![1]),
            "begin.base: it has 1 bytes instead of 32",
        ),
        (
            begin(|it| it.gone = vec![v1::PieceId::default()]),
            "begin.gone: it is missing",
        ),
        (
            begin(|it| it.gone = vec![v1::PieceId::default(); MOST_GONE + 1]),
            "begin.gone: there are 1001, and 1000 are the most",
        ),
        (
            begin(|it| it.confirm_within_ms = 999),
            "begin.confirm_within_ms: 999 ms is not from 1000",
        ),
        (
            begin(|it| it.confirm_within_ms = u64::MAX),
            "begin.confirm_within_ms: ",
        ),
        (
            pieces(None, String::new()),
            "pieces.pieces.id: it is missing",
        ),
        (
            pieces(bad, String::new()),
            "pieces.pieces.id: \"../etc\" is not a name",
        ),
        (
            pieces(own, "x".repeat(MOST_PIECE_BYTES + 1)),
            "pieces.pieces.text: the router's own part has 131073 bytes",
        ),
        (
            ControllerWord::End(v1::End::default()),
            "end.of: it has 0 bytes instead of 32",
        ),
        (
            ControllerWord::Renewed(v1::Renewed::default()),
            "renewed.certificate: it is missing",
        ),
        (
            ControllerWord::GoAway(away),
            "go_away.after_ms: 604800001 ms is not from 0",
        ),
    ];
    for (message, expected) in table {
        let message = v1::ControllerMessage {
            session: 1,
            message: Some(message),
        };
        let error = decode_controller(message).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected}\n{error}");
    }
}

#[test]
fn messages_of_later_programs_are_skipped() {
    assert_eq!(decode_router(v1::RouterMessage { message: None }), Ok(None));
    let message = v1::ControllerMessage {
        session: 1,
        message: None,
    };
    assert_eq!(decode_controller(message), Ok(None));
}

#[test]
fn texts_for_people_are_cut_and_move_no_cursor() {
    let reason = format!("\u{1b}[2J{}é", "x".repeat(5000));
    let said = FromController::NotRenewed(reason);
    let heard = decode_controller(encode_controller(1, 1, said)).unwrap();
    let Some((1, FromController::NotRenewed(text))) = heard else {
        panic!("{heard:?}");
    };
    assert!(
        text.starts_with("\u{fffd}[2Jx") && text.len() <= 4096,
        "{}",
        text.len()
    );
}

#[test]
fn the_largest_messages_are_allowed() {
    let longest = "x".repeat(63);
    let of = Digest::from_bytes([7; 32]);
    let gone = vec![PieceId::Policy(longest.parse().unwrap()); MOST_GONE];
    let version = Version {
        epoch: u64::MAX,
        generation: u64::MAX,
    };
    let begin = FromController::Begin {
        edition: Edition {
            version,
            digest: of,
        },
        base: Some(of),
        gone,
        confirm_within: Duration::from_secs(1),
    };
    let id = || PieceId::Site(longest.parse().unwrap());
    let small = Arc::new(Piece::new(id(), "x").unwrap());
    // A message is begun with what is just too small for one, in the smallest pieces there are.
    let small = std::iter::repeat_n(small, 32 * 1024 - 1);
    let large = Arc::new(Piece::new(id(), "x".repeat(MOST_PIECE_BYTES)).unwrap());
    let pieces: Vec<_> = small.take(1_000).chain([large]).collect();
    let pieces = FromController::Pieces { of, pieces };
    for message in [begin, pieces] {
        let length = encode_controller(u64::MAX, u64::MAX, message).encoded_len();
        assert!(length < MOST_MESSAGE_BYTES, "{length}");
    }
}

#[test]
fn enrolments_are_understood_and_their_secret_is_never_printed() {
    let ask = EnrolAsk {
        token: TokenId::from_bytes([1; 8]),
        secret: TokenSecret::new([99; 16]),
        request: vec![1, 2, 3],
        facts: Facts::new(),
    };
    let message = v1::EnrolRequest::from(&ask);
    let printed = format!("{message:?} {ask:?}");
    assert!(!printed.contains("99, 99"), "{printed}");
    let again = EnrolAsk::try_from(message.clone()).unwrap();
    assert_eq!(again.secret.expose(), ask.secret.expose());
    assert_eq!((again.token, again.request), (ask.token, ask.request));
    let with = |change: fn(&mut v1::EnrolRequest)| {
        let mut message = message.clone();
        change(&mut message);
        message
    };
    let table = [
        (
            with(|it| it.protocol = 0),
            "protocol: the router speaks version 0",
        ),
        (
            with(|it| it.token_id.clear()),
            "token_id: it has 0 bytes instead of 8",
        ),
        (
            with(|it| it.token_secret.push(0)),
            "token_secret: it has 17 bytes instead of 16",
        ),
        (
            with(|it| it.certificate_request.clear()),
            "certificate_request: it is missing",
        ),
        (
            with(|it| it.certificate_request = vec![0; 5000]),
            "certificate_request: it has 5000 bytes, and 2048 are the most",
        ),
    ];
    for (message, expected) in table {
        let error = EnrolAsk::try_from(message).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected}\n{error}");
    }
    for answer in [
        EnrolAnswer::Waiting(Duration::from_secs(10)),
        EnrolAnswer::Enrolled {
            certificate: vec![1],
            authority: vec![2],
        },
    ] {
        let message = v1::EnrolResponse::from(answer.clone());
        assert_eq!(EnrolAnswer::try_from(message), Ok(answer));
    }
    assert!(EnrolAnswer::try_from(v1::EnrolResponse { outcome: None }).is_err());
}
