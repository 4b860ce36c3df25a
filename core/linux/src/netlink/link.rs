//! Interfaces: written with `rtnetlink`'s builders, read by hand.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute,
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::codec::{
    Message, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, attributes, attributes_after, text, u32_at,
};
use super::rule::serialise;

pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_EXT_MASK: u16 = 29;
/// `RTEXT_FILTER_SKIP_STATS`: we do not need the counters.
const SKIP_STATS: u32 = 1 << 3;

const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 0x1_0000;

/// Bytes of `struct ifinfomsg`.
const FIXED: usize = 16;

/// The alias that says that an interface with one of our names was really made by us.
pub(crate) const ALIAS: &str = "patronus";

/// What kind of interface to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dummy,
    Ifb,
    Wireguard,
    /// A pair, with the name of the other end.
    Veth(String),
}

/// A message that creates an interface.
pub(crate) fn create(name: &str, kind: &Kind) -> Message {
    let simple = |kind| {
        LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind)
            .name(name)
            .build()
    };
    let message = match kind {
        Kind::Dummy => simple(InfoKind::Dummy),
        Kind::Ifb => simple(InfoKind::Ifb),
        Kind::Wireguard => simple(InfoKind::Wireguard),
        Kind::Veth(peer) => LinkVeth::new(name, peer).build(),
    };
    serialise(
        RouteNetlinkMessage::NewLink(message),
        NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// A message that marks an interface as ours and keeps the kernel from giving it a link-local
/// address: nobody may find a neighbour or a router on it. To be sent before it is up.
pub(crate) fn claim(index: u32) -> Message {
    let quiet =
        LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
            In6AddrGenMode::None,
        )])]);
    let message = LinkUnspec::new_with_index(index)
        .alias(ALIAS)
        .append_extra_attribute(quiet)
        .build();
    serialise(RouteNetlinkMessage::NewLink(message), NLM_F_REQUEST)
}

/// A message that puts an interface into a group.
pub(crate) fn join(index: u32, group: u32) -> Message {
    let message = LinkUnspec::new_with_index(index)
        .append_extra_attribute(LinkAttribute::Group(group))
        .build();
    serialise(RouteNetlinkMessage::NewLink(message), NLM_F_REQUEST)
}

/// A message that sets the MTU of an interface and brings it up.
pub(crate) fn raise(index: u32, mtu: u32) -> Message {
    let message = LinkUnspec::new_with_index(index).mtu(mtu).up().build();
    serialise(RouteNetlinkMessage::NewLink(message), NLM_F_REQUEST)
}

/// A message that switches address resolution off: whatever is sent there goes nowhere, at once.
pub(crate) fn no_arp(index: u32) -> Message {
    let message = LinkUnspec::new_with_index(index).arp(false).build();
    serialise(RouteNetlinkMessage::NewLink(message), NLM_F_REQUEST)
}

/// A message that deletes an interface.
pub(crate) fn delete(index: u32) -> Message {
    let message = LinkUnspec::new_with_index(index).build();
    serialise(RouteNetlinkMessage::DelLink(message), NLM_F_REQUEST)
}

/// A request for all interfaces.
pub(crate) fn list() -> Message {
    Message::new(RTM_GETLINK, 0, &[0; FIXED]).u32(IFLA_EXT_MASK, SKIP_STATS)
}

/// An interface as the kernel reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mtu: u32,
    pub(crate) group: u32,
    pub(crate) up: bool,
    /// Up, with carrier.
    pub(crate) running: bool,
    pub(crate) alias: Option<String>,
    pub(crate) kind: Option<String>,
}

impl Link {
    /// Reads the payload of a message.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let flags = u32_at(payload, 8)?;
        let mut link = Self {
            index: u32_at(payload, 4)?,
            up: flags & IFF_UP != 0,
            running: flags & IFF_UP != 0 && flags & IFF_LOWER_UP != 0,
            ..Self::default()
        };
        for (kind, value) in attributes_after(payload, FIXED) {
            match kind {
                IFLA_IFNAME => link.name = text(value)?,
                IFLA_MTU => link.mtu = u32_at(value, 0)?,
                IFLA_GROUP => link.group = u32_at(value, 0)?,
                IFLA_IFALIAS => link.alias = text(value),
                IFLA_LINKINFO => {
                    link.kind = attributes(value)
                        .find(|(kind, _)| *kind == IFLA_INFO_KIND)
                        .and_then(|(_, value)| text(value));
                }
                _ => {}
            }
        }
        (!link.name.is_empty()).then_some(link)
    }

    /// Whether it carries our mark.
    pub(crate) fn is_claimed(&self) -> bool {
        self.alias.as_deref() == Some(ALIAS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::codec::messages;

    #[test]
    fn a_claimed_link_reads_back() {
        let mut bytes = Vec::new();
        claim(7).write(&mut bytes, 1, 0);
        raise(7, 1420).write(&mut bytes, 2, 0);
        create("pat0", &Kind::Ifb).write(&mut bytes, 3, 0);
        let mut all = messages(&bytes);
        let claim = all.next().unwrap();
        assert_eq!(u32_at(claim.payload, 4), Some(7));
        let alias = attributes_after(claim.payload, FIXED).find(|(kind, _)| *kind == IFLA_IFALIAS);
        assert_eq!(text(alias.unwrap().1).as_deref(), Some(ALIAS));
        let raise = all.next().unwrap();
        assert_eq!(u32_at(raise.payload, 8).unwrap() & IFF_UP, IFF_UP);
        let created = Link::read(all.next().unwrap().payload).unwrap();
        assert_eq!(created.kind.as_deref(), Some("ifb"));
        assert_eq!(created.name, "pat0");
    }
}
