//! Addresses of interfaces: written with `rtnetlink`'s builders, read by hand.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressHeaderFlags, AddressMessage};
use rtnetlink::AddressMessageBuilder;

use super::codec::{
    Message, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, address, attributes_after, u8_at, u32_at,
};
use super::rule::serialise;

pub(crate) const RTM_NEWADDR: u16 = 20;
pub(crate) const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;

const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;
const IFA_F_OPTIMISTIC: u32 = 0x04;

/// Bytes of `struct ifaddrmsg`.
const FIXED: usize = 8;

/// A message that gives an interface an address, without looking for duplicates: on our own
/// interfaces nobody could answer, and the address is needed now.
pub(crate) fn put(index: u32, net: &IpNet) -> Message {
    let mut message = message(index, net);
    if matches!(net, IpNet::V6(_)) {
        message.header.flags |= AddressHeaderFlags::Nodad;
    }
    serialise(
        RouteNetlinkMessage::NewAddress(message),
        NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE,
    )
}

/// A message that takes an address away.
pub(crate) fn delete(index: u32, net: &IpNet) -> Message {
    serialise(
        RouteNetlinkMessage::DelAddress(message(index, net)),
        NLM_F_REQUEST,
    )
}

/// A request for all addresses.
pub(crate) fn list() -> Message {
    Message::new(RTM_GETADDR, 0, &[0; FIXED])
}

fn message(index: u32, net: &IpNet) -> AddressMessage {
    match net {
        IpNet::V4(net) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
        IpNet::V6(net) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
    }
}

/// An address as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) index: u32,
    pub(crate) net: IpNet,
    /// Of global scope.
    pub(crate) global: bool,
    /// Not waiting for, and not lost to, the detection of duplicates.
    pub(crate) usable: bool,
}

impl Address {
    /// Reads the payload of a message.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let len = u8_at(payload, 1)?;
        let mut flags = u32::from(u8_at(payload, 2)?);
        let scope = u8_at(payload, 3)?;
        let (mut local, mut far) = (None, None);
        for (kind, value) in attributes_after(payload, FIXED) {
            match kind {
                IFA_LOCAL => local = address(value),
                IFA_ADDRESS => far = address(value),
                IFA_FLAGS => flags = u32_at(value, 0)?,
                _ => {}
            }
        }
        // On point-to-point links IFA_ADDRESS is the other end's.
        let own = local.or(far)?;
        let waiting = flags & IFA_F_TENTATIVE != 0 && flags & IFA_F_OPTIMISTIC == 0;
        Some(Self {
            index: u32_at(payload, 4)?,
            net: IpNet::new(own, len).ok()?,
            global: scope == 0,
            usable: !waiting && flags & IFA_F_DADFAILED == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::codec::messages;

    #[test]
    fn addresses_read_back() {
        for net in ["10.255.0.1/16", "fd00::1/64"] {
            let net: IpNet = net.parse().unwrap();
            let mut bytes = Vec::new();
            put(4, &net).write(&mut bytes, 1, 0);
            let read = Address::read(messages(&bytes).next().unwrap().payload).unwrap();
            assert_eq!((read.index, read.net, read.global), (4, net, true));
            assert!(read.usable);
        }
    }
}
