//! Nexthop objects: `struct nhmsg` and its attributes (linux/nexthop.h). No crate knows them.

use std::net::IpAddr;

use super::codec::{
    Message, NLM_F_CREATE, NLM_F_REPLACE, address, attributes_after, u8_at, u32_at,
};
use super::route::Hop;

pub(crate) const RTM_NEWNEXTHOP: u16 = 104;
pub(crate) const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETNEXTHOP: u16 = 106;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_BLACKHOLE: u16 = 4;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;

/// Bytes of `struct nhmsg`.
const FIXED: usize = 8;
/// Bytes of `struct nexthop_grp`.
const MEMBER: usize = 8;

/// A message that creates or re-points an object which leads out of an interface.
///
/// The family is IPv6: such an object serves routes of both families, while one of family IPv4 is
/// refused by IPv6 routes (measured).
pub(crate) fn put(protocol: u8, id: u32, interface: u32) -> Message {
    Message::new(
        RTM_NEWNEXTHOP,
        NLM_F_CREATE | NLM_F_REPLACE,
        &header(protocol),
    )
    .u32(NHA_ID, id)
    .u32(NHA_OIF, interface)
}

/// A message that deletes an object, and with it whatever routes use it.
pub(crate) fn delete(id: u32) -> Message {
    // The family and the protocol must be unspecified here (`rtm_to_nh_config` is not used).
    Message::new(RTM_DELNEXTHOP, 0, &[0; FIXED]).u32(NHA_ID, id)
}

/// A request for all objects.
pub(crate) fn list() -> Message {
    Message::new(RTM_GETNEXTHOP, 0, &[0; FIXED])
}

fn header(protocol: u8) -> [u8; FIXED] {
    [libc::AF_INET6 as u8, 0, protocol, 0, 0, 0, 0, 0]
}

/// Where an object leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To other objects.
    Group(Vec<u32>),
    /// One way.
    Hop(Hop),
    /// Nowhere.
    Blackhole,
}

/// An object as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nexthop {
    pub(crate) id: u32,
    pub(crate) family: u8,
    pub(crate) protocol: u8,
    pub(crate) leads: Leads,
}

impl Nexthop {
    /// Reads the payload of a message.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (mut id, mut index) = (None, 0);
        let mut gateway: Option<IpAddr> = None;
        let mut group = None;
        let mut blackhole = false;
        for (kind, value) in attributes_after(payload, FIXED) {
            match kind {
                NHA_ID => id = u32_at(value, 0),
                NHA_OIF => index = u32_at(value, 0)?,
                NHA_GATEWAY => gateway = address(value),
                NHA_BLACKHOLE => blackhole = true,
                NHA_GROUP => group = Some(members(value)),
                _ => {}
            }
        }
        let leads = match group {
            Some(members) => Leads::Group(members),
            None if blackhole => Leads::Blackhole,
            None => Leads::Hop(Hop { index, gateway }),
        };
        Some(Self {
            id: id?,
            family: u8_at(payload, 0)?,
            protocol: u8_at(payload, 2)?,
            leads,
        })
    }
}

fn members(value: &[u8]) -> Vec<u32> {
    value
        .chunks_exact(MEMBER)
        .filter_map(|member| u32_at(member, 0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::codec::messages;

    #[test]
    fn a_nexthop_object_has_these_bytes() {
        let mut bytes = Vec::new();
        put(80, 0xf000_0201, 9).write(&mut bytes, 3, 0);
        #[rustfmt::skip]
        let expected = [
            40, 0, 0, 0,  104, 0,  1, 5,  3, 0, 0, 0,  0, 0, 0, 0,
            10, 0, 80, 0,  0, 0, 0, 0,
            8, 0, 1, 0,  1, 2, 0, 0xf0,
            8, 0, 5, 0,  9, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
        let read = Nexthop::read(messages(&bytes).next().unwrap().payload).unwrap();
        let hop = Hop {
            index: 9,
            gateway: None,
        };
        assert_eq!((read.id, read.protocol), (0xf000_0201, 80));
        assert_eq!(read.leads, Leads::Hop(hop));
    }

    #[test]
    fn groups_list_their_members() {
        let message = Message::new(RTM_NEWNEXTHOP, 0, &[0; 8])
            .u32(NHA_ID, 20)
            .attribute(NHA_GROUP, &[7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0]);
        let mut bytes = Vec::new();
        message.write(&mut bytes, 1, 0);
        let read = Nexthop::read(messages(&bytes).next().unwrap().payload).unwrap();
        assert_eq!(read.leads, Leads::Group(vec![7, 8]));
    }
}
