//! Policy-routing rules: written with `netlink-packet-route`, read by hand.

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use patronus_model::kernel::{Family, Rule, Selector};

use super::codec::{
    Message, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, attributes_after, text, u8_at, u32_at,
};
use super::{family_number, family_of_number};

pub(crate) const RTM_NEWRULE: u16 = 32;
pub(crate) const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;

const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_PROTOCOL: u16 = 21;

/// Bytes of `struct fib_rule_hdr`.
const FIXED: usize = 12;

/// A message that creates a rule.
pub(crate) fn put(protocol: u8, rule: &Rule) -> Message {
    let flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
    serialise(RouteNetlinkMessage::NewRule(message(protocol, rule)), flags)
}

/// A message that deletes a rule.
pub(crate) fn delete(protocol: u8, rule: &Rule) -> Message {
    serialise(
        RouteNetlinkMessage::DelRule(message(protocol, rule)),
        NLM_F_REQUEST,
    )
}

/// A request for all rules of a family.
pub(crate) fn list(family: Family) -> Message {
    let fixed: [u8; FIXED] = [family_number(family), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    Message::new(RTM_GETRULE, 0, &fixed)
}

fn message(protocol: u8, rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = match rule.family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Table(rule.table),
        RuleAttribute::Protocol(RouteProtocol::from(protocol)),
    ];
    match &rule.selector {
        Selector::All => {}
        Selector::Mark { value, mask } => message
            .attributes
            .extend([RuleAttribute::FwMark(*value), RuleAttribute::FwMask(*mask)]),
        Selector::OutInterface(name) => message
            .attributes
            .push(RuleAttribute::Oifname(name.as_str().to_owned())),
    }
    message
}

/// A message of `netlink-packet-route` as ours.
pub(crate) fn serialise(message: RouteNetlinkMessage, flags: u16) -> Message {
    let mut message = NetlinkMessage::new(
        netlink_packet_core::NetlinkHeader::default(),
        NetlinkPayload::from(message),
    );
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    Message::from_serialised(bytes)
}

/// A rule as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What of it a rule of ours can say.
    pub(crate) rule: Rule,
    pub(crate) protocol: u8,
}

impl Found {
    /// Reads the payload of a message.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let family = family_of_number(u8_at(payload, 0)?)?;
        let mut table = u32::from(u8_at(payload, 4)?);
        let (mut priority, mut protocol) = (0, 0);
        let (mut mark, mut out) = (None, None);
        let mut mask = u32::MAX;
        for (kind, value) in attributes_after(payload, FIXED) {
            match kind {
                FRA_PRIORITY => priority = u32_at(value, 0)?,
                FRA_TABLE => table = u32_at(value, 0)?,
                FRA_PROTOCOL => protocol = u8_at(value, 0)?,
                FRA_FWMARK => mark = u32_at(value, 0),
                FRA_FWMASK => mask = u32_at(value, 0)?,
                FRA_OIFNAME => out = text(value)?.parse().ok(),
                _ => {}
            }
        }
        let selector = match (mark, out) {
            (_, Some(name)) => Selector::OutInterface(name),
            (Some(value), None) => Selector::Mark { value, mask },
            (None, None) => Selector::All,
        };
        Some(Self {
            rule: Rule {
                priority,
                family,
                selector,
                table,
            },
            protocol,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::codec::messages;

    #[test]
    fn rules_read_back() {
        let selectors = [
            Selector::All,
            Selector::Mark {
                value: 0x1_0000,
                mask: 0xff_0000,
            },
            Selector::OutInterface("pat-1-2".parse().unwrap()),
        ];
        for selector in selectors {
            for family in Family::ALL {
                let rule = Rule {
                    priority: 1100,
                    family,
                    selector: selector.clone(),
                    table: 7301,
                };
                let mut bytes = Vec::new();
                put(80, &rule).write(&mut bytes, 1, 0);
                let message = messages(&bytes).next().unwrap();
                let found = Found::read(message.payload).unwrap();
                assert_eq!(found, Found { rule, protocol: 80 });
            }
        }
    }
}
