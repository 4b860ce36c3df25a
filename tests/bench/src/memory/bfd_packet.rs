//! BFD in UDP in IPv4, as it travels inside of a tunnel.

use std::net::Ipv4Addr;

use patronus_engine::bfd::{PACKET_LEN, Packet};

/// RFC 5881 section 4.
const PORT: u16 = 3784;
/// Of the source ports that the same section allows.
const SOURCE_PORT: u16 = 49_152;
/// RFC 5881 section 5: nobody else than a neighbour can send it.
const TTL: u8 = 255;
const UDP: u8 = 17;
const IP_HEADER: usize = 20;
const HEADERS: usize = IP_HEADER + 8;
const TOTAL: u16 = (HEADERS + PACKET_LEN) as u16;

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
}

impl Way {
    pub(super) fn back(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }
}

/// Reads a packet; `None` when it is none of BFD.
pub(super) fn read(packet: &[u8]) -> Option<(Way, Packet)> {
    let header: &[u8; IP_HEADER] = packet.first_chunk()?;
    // BFD needs no options of IP, and is never cut up.
    let [0x45, _, _, _, _, _, _, _, TTL, UDP, _, _, rest @ ..] = header else {
        return None;
    };
    let [a, b, c, d, e, f, g, h] = rest;
    let (udp, payload) = packet.get(IP_HEADER..)?.split_first_chunk::<8>()?;
    let [_, _, high, low, ..] = udp;
    let way = Way {
        from: Ipv4Addr::new(*a, *b, *c, *d),
        to: Ipv4Addr::new(*e, *f, *g, *h),
    };
    (u16::from_be_bytes([*high, *low]) == PORT)
        .then(|| Packet::parse(payload).ok())
        .flatten()
        .map(|packet| (way, packet))
}

/// Writes a packet. UDP's checksum is left out, which IPv4 allows.
pub(super) fn write(way: Way, packet: &Packet) -> Vec<u8> {
    let [high, low] = TOTAL.to_be_bytes();
    let mut header = vec![0x45, 0xc0, high, low, 0, 0, 0, 0, TTL, UDP, 0, 0];
    header.extend(way.from.octets());
    header.extend(way.to.octets());
    let sum = checksum(&header).to_be_bytes();
    let mut bytes = header;
    for (place, byte) in bytes.iter_mut().skip(10).zip(sum) {
        *place = byte;
    }
    let udp = [SOURCE_PORT, PORT, TOTAL - IP_HEADER as u16, 0];
    bytes.extend(udp.into_iter().flat_map(u16::to_be_bytes));
    bytes.extend(packet.emit());
    bytes
}

/// RFC 791: the ones' complement of the ones' complement sum.
fn checksum(header: &[u8]) -> u16 {
    let (words, _) = header.as_chunks::<2>();
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use patronus_engine::bfd::{Diagnostic, Interval, State};

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let packet = Packet {
            diagnostic: Diagnostic::None,
            state: State::Init,
            poll: false,
            is_final: true,
            control_plane_independent: false,
            demand: false,
            detect_mult: 3.try_into().unwrap(),
            my_discriminator: 7.try_into().unwrap(),
            your_discriminator: Some(9.try_into().unwrap()),
            desired_min_tx: Interval::from_micros(1_000_000),
            required_min_rx: Interval::from_micros(1_000_000),
            required_min_echo_rx: Interval::ZERO,
        };
        let way = Way {
            from: Ipv4Addr::new(10, 255, 0, 2),
            to: Ipv4Addr::new(10, 255, 0, 1),
        };
        let mut bytes = write(way, &packet);
        assert_eq!(read(&bytes), Some((way, packet)));
        bytes[8] = 64;
        assert_eq!(read(&bytes), None, "it came from afar");
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_header_with_its_checksum_sums_up_to_nothing() {
        let way = Way {
            from: Ipv4Addr::new(192, 0, 2, 1),
            to: Ipv4Addr::new(198, 51, 100, 9),
        };
        let packet = [0x20, 0x40, 3, 24, 0, 0, 0, 1].to_vec();
        let packet = [packet, vec![0; 16]].concat();
        let packet = Packet::parse(&packet).unwrap();
        let bytes = write(way, &packet);
        assert_eq!(checksum(&bytes[..IP_HEADER]), 0);
    }
}
