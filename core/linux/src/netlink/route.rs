//! Routes: `struct rtmsg` and its attributes (linux/rtnetlink.h).

use std::net::IpAddr;

use ipnet::IpNet;
use patronus_model::kernel::{Family, RouteKey};

use super::codec::{
    Message, NLM_F_CREATE, NLM_F_REPLACE, address, attributes, attributes_after, prefix_octets,
    u8_at, u16_at, u32_at,
};
use super::{family_number, family_of_number};

pub(crate) const RTM_NEWROUTE: u16 = 24;
pub(crate) const RTM_DELROUTE: u16 = 25;
pub(crate) const RTM_GETROUTE: u16 = 26;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_NH_ID: u16 = 30;

pub(crate) const RTN_UNICAST: u8 = 1;
pub(crate) const RTN_UNREACHABLE: u8 = 7;
pub(crate) const RTN_THROW: u8 = 9;

const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;

/// The gateway is on the link whatever the addresses say: uplinks with a /32 from their provider.
const RTNH_F_ONLINK: u32 = 4;
/// The entry was cloned from a route: not a route of its own.
const RTM_F_CLONED: u32 = 0x200;

/// Bytes of `struct rtmsg`.
const FIXED: usize = 12;
/// Bytes of `struct rtnexthop`.
const HOP: usize = 8;

/// Where a route leads, with interfaces by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RawTarget {
    Throw,
    Unreachable,
    Device {
        index: u32,
        gateway: Option<IpAddr>,
        source: Option<IpAddr>,
    },
    Nexthop {
        id: u32,
        source: Option<IpAddr>,
    },
}

/// A message that creates or replaces a route.
pub(crate) fn put(protocol: u8, key: &RouteKey, target: &RawTarget) -> Message {
    let (kind, scope, flags) = match target {
        RawTarget::Throw => (RTN_THROW, RT_SCOPE_UNIVERSE, 0),
        RawTarget::Unreachable => (RTN_UNREACHABLE, RT_SCOPE_UNIVERSE, 0),
        RawTarget::Nexthop { .. } => (RTN_UNICAST, RT_SCOPE_UNIVERSE, 0),
        RawTarget::Device { gateway: None, .. } => (RTN_UNICAST, RT_SCOPE_LINK, 0),
        RawTarget::Device { .. } => (RTN_UNICAST, RT_SCOPE_UNIVERSE, RTNH_F_ONLINK),
    };
    let fixed = header(key, protocol, scope, kind, flags);
    let message = Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &fixed);
    let message = identity(message, key);
    match *target {
        RawTarget::Throw | RawTarget::Unreachable => message,
        RawTarget::Nexthop { id, source } => prefer(message.u32(RTA_NH_ID, id), source),
        RawTarget::Device {
            index,
            gateway,
            source,
        } => {
            let message = message.u32(RTA_OIF, index);
            let message = match gateway {
                Some(gateway) => via(message, Family::of(&key.prefix), gateway),
                None => message,
            };
            prefer(message, source)
        }
    }
}

/// A message that deletes a route, whatever it leads to.
pub(crate) fn delete(protocol: u8, key: &RouteKey) -> Message {
    // RT_SCOPE_NOWHERE and RTN_UNSPEC match routes of every scope and type.
    let fixed = header(key, protocol, 255, 0, 0);
    identity(Message::new(RTM_DELROUTE, 0, &fixed), key)
}

/// A request for routes of one family: those of one protocol, or those of one table.
pub(crate) fn list(family: Family, protocol: Option<u8>, table: Option<u32>) -> Message {
    let (family, protocol) = (family_number(family), protocol.unwrap_or(0));
    let fixed: [u8; FIXED] = [family, 0, 0, 0, 0, protocol, 0, 0, 0, 0, 0, 0];
    let message = Message::new(RTM_GETROUTE, 0, &fixed);
    match table {
        Some(table) => message.u32(RTA_TABLE, table),
        None => message,
    }
}

fn header(key: &RouteKey, protocol: u8, scope: u8, kind: u8, flags: u32) -> [u8; FIXED] {
    let [f0, f1, f2, f3] = flags.to_ne_bytes();
    let family = family_number(Family::of(&key.prefix));
    let len = key.prefix.prefix_len();
    // Family, lengths of destination and source, TOS, table (in RTA_TABLE, for it may be above 255).
    [family, len, 0, 0, 0, protocol, scope, kind, f0, f1, f2, f3]
}

fn identity(message: Message, key: &RouteKey) -> Message {
    let message = message.u32(RTA_TABLE, key.table);
    let message = if key.prefix.prefix_len() == 0 {
        message
    } else {
        message.attribute(RTA_DST, &prefix_octets(&key.prefix.trunc()))
    };
    message.u32(RTA_PRIORITY, key.metric)
}

fn via(message: Message, family: Family, gateway: IpAddr) -> Message {
    match (family, gateway) {
        (Family::V4, IpAddr::V6(v6)) => {
            let [low, high] = u16::from(family_number(Family::V6)).to_ne_bytes();
            let mut value = vec![low, high];
            value.extend_from_slice(&v6.octets());
            message.attribute(RTA_VIA, &value)
        }
        _ => message.address(RTA_GATEWAY, gateway),
    }
}

fn prefer(message: Message, source: Option<IpAddr>) -> Message {
    match source {
        Some(source) => message.address(RTA_PREFSRC, source),
        None => message,
    }
}

/// One way of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hop {
    pub(crate) index: u32,
    pub(crate) gateway: Option<IpAddr>,
}

/// A route as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) key: RouteKey,
    pub(crate) protocol: u8,
    pub(crate) kind: u8,
    /// Type of service: part of an IPv4 route's identity. We never set it.
    pub(crate) tos: u8,
    pub(crate) nexthop: Option<u32>,
    /// Empty for routes that lead nowhere, and for routes by nexthop objects when
    /// `nexthop_compat_mode` is 0.
    pub(crate) hops: Vec<Hop>,
    pub(crate) source: Option<IpAddr>,
}

impl Route {
    /// Reads the payload of a message.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        if u32_at(payload, 8)? & RTM_F_CLONED != 0 {
            return None;
        }
        let family = family_of_number(u8_at(payload, 0)?)?;
        let len = u8_at(payload, 1)?;
        let mut route = Self {
            key: RouteKey {
                table: u32::from(u8_at(payload, 4)?),
                prefix: family.default_prefix(),
                metric: 0,
            },
            protocol: u8_at(payload, 5)?,
            kind: u8_at(payload, 7)?,
            tos: u8_at(payload, 3)?,
            nexthop: None,
            hops: Vec::new(),
            source: None,
        };
        let mut single = Hop {
            index: 0,
            gateway: None,
        };
        for (kind, value) in attributes_after(payload, FIXED) {
            match kind {
                RTA_DST => route.key.prefix = IpNet::new(address(value)?, len).ok()?,
                RTA_OIF => single.index = u32_at(value, 0)?,
                RTA_GATEWAY => single.gateway = address(value),
                RTA_VIA => single.gateway = address(value.get(2..)?),
                RTA_PRIORITY => route.key.metric = u32_at(value, 0)?,
                RTA_PREFSRC => route.source = address(value),
                RTA_TABLE => route.key.table = u32_at(value, 0)?,
                RTA_NH_ID => route.nexthop = u32_at(value, 0),
                RTA_MULTIPATH => route.hops = multipath(value),
                _ => {}
            }
        }
        if single.index != 0 {
            route.hops.push(single);
        }
        Some(route)
    }
}

/// The ways in an `RTA_MULTIPATH`.
fn multipath(value: &[u8]) -> Vec<Hop> {
    let mut rest = value;
    std::iter::from_fn(|| {
        let len = usize::from(u16_at(rest, 0)?);
        let index = u32_at(rest, 4)?;
        let inner = rest.get(HOP..len)?;
        rest = rest.get(super::codec::align(len)..).unwrap_or_default();
        let gateway = attributes(inner).find_map(|(kind, value)| match kind {
            RTA_GATEWAY => address(value),
            RTA_VIA => address(value.get(2..)?),
            _ => None,
        });
        Some(Hop { index, gateway })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::codec::messages;

    fn key(prefix: &str) -> RouteKey {
        RouteKey {
            table: 7001,
            prefix: prefix.parse().unwrap(),
            metric: 1024,
        }
    }

    fn bytes(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.write(&mut bytes, 1, 0);
        bytes
    }

    #[test]
    fn a_route_by_a_nexthop_object_has_these_bytes() {
        let message = put(
            80,
            &key("10.2.0.0/16"),
            &RawTarget::Nexthop {
                id: 0xf000_0201,
                source: None,
            },
        );
        #[rustfmt::skip]
        let expected = [
            60, 0, 0, 0,  24, 0,  1, 5,  1, 0, 0, 0,  0, 0, 0, 0, // length, type, flags, sequence
            2, 16, 0, 0,  0, 80, 0, 1,  0, 0, 0, 0,               // struct rtmsg
            8, 0, 15, 0,  0x59, 0x1b, 0, 0,                       // table 7001
            8, 0, 1, 0,   10, 2, 0, 0,                            // destination
            8, 0, 6, 0,   0, 4, 0, 0,                             // metric 1024
            8, 0, 30, 0,  1, 2, 0, 0xf0,                          // nexthop object
        ];
        assert_eq!(bytes(&message), expected);
    }

    #[test]
    fn what_is_put_reads_back() {
        let cases = [
            ("0.0.0.0/0", RawTarget::Unreachable, RTN_UNREACHABLE),
            ("fd00::/8", RawTarget::Throw, RTN_THROW),
            (
                "10.2.3.0/24",
                RawTarget::Device {
                    index: 5,
                    gateway: Some("fe80::1".parse().unwrap()),
                    source: Some("10.1.0.1".parse().unwrap()),
                },
                RTN_UNICAST,
            ),
            (
                "fd00:2::/64",
                RawTarget::Nexthop {
                    id: 9,
                    source: Some("fd00::1".parse().unwrap()),
                },
                RTN_UNICAST,
            ),
        ];
        for (prefix, target, kind) in cases {
            let bytes = bytes(&put(80, &key(prefix), &target));
            let message = messages(&bytes).next().unwrap();
            let route = Route::read(message.payload).unwrap();
            assert_eq!((route.key, route.kind), (key(prefix), kind));
            match target {
                RawTarget::Throw | RawTarget::Unreachable => assert!(route.hops.is_empty()),
                RawTarget::Device {
                    index,
                    gateway,
                    source,
                } => {
                    assert_eq!(route.hops, [Hop { index, gateway }]);
                    assert_eq!(route.source, source);
                }
                RawTarget::Nexthop { id, source } => {
                    assert_eq!((route.nexthop, route.source), (Some(id), source));
                }
            }
        }
    }

    #[test]
    fn all_ways_of_a_multipath_route_are_read() {
        let gateway = [8, 0, 5, 0, 10, 255, 0, 3];
        let mut value = vec![16, 0, 0, 0, 7, 0, 0, 0];
        value.extend_from_slice(&gateway);
        value.extend_from_slice(&[8, 0, 0, 0, 8, 0, 0, 0]);
        let hops = multipath(&value);
        assert_eq!(
            hops,
            [
                Hop {
                    index: 7,
                    gateway: Some("10.255.0.3".parse().unwrap())
                },
                Hop {
                    index: 8,
                    gateway: None
                }
            ]
        );
    }
}
