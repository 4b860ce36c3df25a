use proptest::prelude::*;

use super::*;

/// A packet as tcpdump would show it: up, no diagnostic, 100 ms, 3.
const GOOD: [u8; 24] = [
    0x20, 0xc0, 3, 24, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0, 0, 0, 0, 0,
];

#[test]
fn bytes_and_fields_say_the_same() {
    let packet = from_peer(State::Up);
    assert_eq!(Packet::parse(&GOOD), Ok(packet));
    assert_eq!(packet.emit(), GOOD);
    let everything = Packet {
        diagnostic: Diagnostic::Reserved(31),
        state: State::Init,
        poll: true,
        is_final: true,
        control_plane_independent: true,
        demand: true,
        ..packet
    };
    assert_eq!(everything.emit()[..2], [0x3f, 0xba]);
    assert_eq!(Packet::parse(&everything.emit()), Ok(everything));
}

#[test]
fn every_check_of_section_6_8_6_refuses_its_packet() {
    let check = |what: &str, changes: &[(usize, u8)], expected: Malformed| {
        let mut bytes = GOOD.to_vec();
        for (index, value) in changes {
            bytes[*index] = *value;
        }
        assert_eq!(Packet::parse(&bytes), Err(expected), "{what}");
    };
    check("version 0", &[(0, 0x00)], Malformed::Version(0));
    check("version 2", &[(0, 0x40)], Malformed::Version(2));
    let small = |claimed, least| Malformed::LengthTooSmall { claimed, least };
    check("length 23", &[(3, 23)], small(23, 24));
    check("length 25 with A", &[(1, 0xc4), (3, 25)], small(25, 26));
    let large = Malformed::LengthTooLarge {
        claimed: 25,
        payload: 24,
    };
    check("length beyond the datagram", &[(3, 25)], large);
    check("multiplier 0", &[(2, 0)], Malformed::ZeroDetectMult);
    check("multipoint", &[(1, 0xc1)], Malformed::Multipoint);
    check(
        "my discriminator 0",
        &[(7, 0)],
        Malformed::ZeroMyDiscriminator,
    );
    check(
        "up for nobody",
        &[(11, 0)],
        Malformed::StateWithoutSession(State::Up),
    );
    let init = [(1, 0x80), (11, 0)];
    check(
        "init for nobody",
        &init,
        Malformed::StateWithoutSession(State::Init),
    );
    // In the order of the section: the version comes before the length, and so on.
    let all_wrong = [(0, 0), (1, 0x01), (2, 0), (3, 0), (7, 0), (11, 0)];
    check("everything wrong", &all_wrong, Malformed::Version(0));
}

#[test]
fn an_authenticated_packet_is_refused_as_no_authentication_is_configured() {
    let mut bytes = GOOD.to_vec();
    bytes[1] |= 0x04;
    bytes[3] = 26;
    bytes.extend([1, 2]);
    assert_eq!(Packet::parse(&bytes), Err(Malformed::Authenticated));
}

#[test]
fn a_packet_for_no_session_may_be_down_or_admin_down() {
    for bits in [0x00, 0x40] {
        let mut bytes = GOOD;
        bytes[1] = bits;
        bytes[11] = 0;
        assert!(Packet::parse(&bytes).is_ok(), "{bits:#x}");
    }
}

#[test]
fn bytes_behind_the_packet_are_ignored() {
    let mut bytes = GOOD.to_vec();
    bytes.extend([0xff; 40]);
    assert_eq!(Packet::parse(&bytes), Ok(from_peer(State::Up)));
}

#[test]
fn intervals_are_cut_to_what_fits_the_field() {
    assert_eq!(
        Interval::saturating_from(Duration::MAX).as_micros(),
        u32::MAX
    );
    assert_eq!(
        Interval::saturating_from(Duration::from_nanos(1999)).as_micros(),
        1
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_what_is_accepted_is_kept(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        if let Ok(packet) = Packet::parse(&bytes) {
            prop_assert_eq!(Packet::parse(&packet.emit()), Ok(packet));
        }
    }

    #[test]
    fn packets_that_are_nearly_good_never_panic(
        index in 0_usize..24, value: u8, cut in 0_usize..30,
    ) {
        let mut bytes = GOOD.to_vec();
        bytes[index] = value;
        bytes.resize(cut, 0);
        if let Ok(packet) = Packet::parse(&bytes) {
            prop_assert_eq!(&packet.emit()[4..], &bytes[4..24]);
        }
    }
}
