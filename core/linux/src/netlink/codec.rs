//! Netlink messages as bytes: a writer, and readers that never trust a length.
//!
//! Routes and nexthop objects are written and read by hand: there are tens of thousands of them,
//! `netlink-packet-route` does not know nexthop objects at all, and one attribute that a newer
//! kernel adds must not make a whole message unreadable.

use std::net::IpAddr;

use ipnet::IpNet;

/// Bytes of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;

/// Rounds up to `NLMSG_ALIGNTO` and `NLA_ALIGNTO`, which are both 4.
pub(crate) const fn align(len: usize) -> usize {
    (len + 3) & !3
}

/// A request under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of a type with flags beyond `NLM_F_REQUEST`, and its fixed part.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(fixed);
        bytes.resize(align(bytes.len()), 0);
        Self { bytes }
    }

    /// Appends an attribute.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(align(self.bytes.len()), 0);
        self
    }

    /// Appends a number.
    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Appends an address.
    pub(crate) fn address(self, kind: u16, value: IpAddr) -> Self {
        match value {
            IpAddr::V4(v4) => self.attribute(kind, &v4.octets()),
            IpAddr::V6(v6) => self.attribute(kind, &v6.octets()),
        }
    }

    /// Appends the message to what will be sent, with its length, its sequence number, and flags
    /// added.
    pub(crate) fn write(&self, out: &mut Vec<u8>, sequence: u32, more_flags: u16) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        put(out, start, &len.to_ne_bytes());
        if let Some(flags) = u16_at(&self.bytes, 6) {
            put(out, start + 6, &(flags | more_flags).to_ne_bytes());
        }
        put(out, start + 8, &sequence.to_ne_bytes());
    }

    /// From a message that another crate has serialised, its header included.
    pub(crate) fn from_serialised(mut bytes: Vec<u8>) -> Self {
        bytes.resize(align(bytes.len()), 0);
        Self { bytes }
    }
}

fn put(out: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = out.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

pub(crate) const NLM_F_REQUEST: u16 = 1;
pub(crate) const NLM_F_ACK: u16 = 4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_REPLACE: u16 = 0x100;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
/// On a message of a dump: what it lists changed meanwhile.
pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;
/// On an acknowledgement: extended attributes follow.
pub(crate) const NLM_F_ACK_TLVS: u16 = 0x200;
/// On an acknowledgement: our message is not repeated in it.
pub(crate) const NLM_F_CAPPED: u16 = 0x100;

/// A message as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// Who asked for what this message reports; 0 is the kernel itself.
    pub(crate) port: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages of a datagram. Stops at the first that is cut short.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let len = u32_at(rest, 0)? as usize;
        let message = Received {
            kind: u16_at(rest, 4)?,
            flags: u16_at(rest, 6)?,
            sequence: u32_at(rest, 8)?,
            port: u32_at(rest, 12)?,
            payload: rest.get(HEADER..len)?,
        };
        rest = rest.get(align(len)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in a buffer, without the flag bits of their types. Stops at the first that is
/// cut short.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & 0x3fff;
        let value = rest.get(4..len)?;
        rest = rest.get(align(len)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The attributes behind a fixed part.
pub(crate) fn attributes_after(payload: &[u8], fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
    attributes(payload.get(align(fixed)..).unwrap_or_default())
}

pub(crate) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

/// An address attribute.
pub(crate) fn address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        Some(IpAddr::from(v4))
    } else {
        <[u8; 16]>::try_from(value).ok().map(IpAddr::from)
    }
}

/// A text attribute, which ends with a NUL.
pub(crate) fn text(value: &[u8]) -> Option<String> {
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    std::str::from_utf8(value).ok().map(str::to_owned)
}

/// The octets of a prefix's address.
pub(crate) fn prefix_octets(prefix: &IpNet) -> Vec<u8> {
    match prefix {
        IpNet::V4(net) => net.addr().octets().to_vec(),
        IpNet::V6(net) => net.addr().octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let message = Message::new(24, NLM_F_CREATE, &[2, 24, 0, 0])
            .u32(15, 7001)
            .attribute(1, &[10, 0, 0]);
        let mut bytes = Vec::new();
        message.write(&mut bytes, 77, NLM_F_ACK);
        message.write(&mut bytes, 78, 0);
        let read: Vec<_> = messages(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(
            (read[0].kind, read[0].sequence, read[0].flags),
            (24, 77, NLM_F_CREATE | NLM_F_REQUEST | NLM_F_ACK)
        );
        assert_eq!(read[1].flags, NLM_F_CREATE | NLM_F_REQUEST);
        let attributes: Vec<_> = attributes_after(read[1].payload, 4).collect();
        assert_eq!(
            attributes,
            [(15, &7001u32.to_ne_bytes()[..]), (1, &[10, 0, 0][..])]
        );
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        let mut bytes = Vec::new();
        Message::new(24, 0, &[0; 12])
            .u32(15, 1)
            .write(&mut bytes, 1, 0);
        for cut in 0..bytes.len() {
            assert_eq!(messages(&bytes[..cut]).count(), 0, "cut at {cut}");
        }
        assert_eq!(attributes(&[8, 0, 1, 0, 1, 2]).count(), 0);
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
        assert_eq!(
            messages(&[0; 64]).count(),
            0,
            "a length of 0 is not endless"
        );
    }
}
