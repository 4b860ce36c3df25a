//! Configurations that differ in all the ways in which configurations do.

use std::sync::Arc;

use patronus_control::session::{Configuration, Digest, Piece, PieceId, Snapshot};

fn piece(id: PieceId, text: String) -> Arc<Piece> {
    Arc::new(Piece::new(id, text).unwrap())
}

/// Contents differ in few pieces, or in many, and have different ones.
pub(super) fn snapshot(content: u8, cuts: bool, moved: u8) -> Snapshot {
    let own = piece(PieceId::Own, format!("own {} {cuts}", content / 4));
    let sites = (0..8_u8).filter(|it| (content >> (it % 3)) & 1 == 0 || *it > 5);
    let sites = sites.map(|it| {
        let address = if it == 7 { moved } else { 0 };
        let id = PieceId::Site(format!("site-{it}").parse().unwrap());
        // Long enough that not all of it fits into one message.
        let filling = "x".repeat(6_000);
        piece(
            id,
            format!("{it} {} {address} {filling}", content / (it + 1)),
        )
    });
    let policies = (0..content % 3).map(|it| {
        let id = PieceId::Policy(format!("policy-{it}").parse().unwrap());
        piece(id, format!("{it} {content}"))
    });
    Snapshot::new([own].into_iter().chain(sites).chain(policies)).unwrap()
}

pub(super) fn cuts(configuration: Option<&Configuration>) -> bool {
    let own = configuration.and_then(|it| it.snapshot.pieces().first());
    own.is_some_and(|own| own.text().ends_with("true"))
}

pub(super) fn digest(configuration: Option<&Configuration>) -> Option<Digest> {
    configuration.map(|it| it.snapshot.digest())
}
