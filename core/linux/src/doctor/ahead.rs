//! Rules of others that the kernel looks at before ours.

use std::collections::BTreeSet;
use std::net::IpAddr;

use patronus_model::kernel::Family;
use patronus_model::layout::KernelLayout;

use crate::error::Error;
use crate::netlink::codec::{address, attributes_after, text, u8_at, u32_at};
use crate::netlink::route::{self, RTN_UNICAST, Route};
use crate::netlink::{Netlink, rule};

// `linux/fib_rules.h`.
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_PAD: u16 = 18;
const FRA_PROTOCOL: u16 = 21;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_GOTO: u8 = 2;
const FR_ACT_NOP: u8 = 3;
const FIB_RULE_INVERT: u32 = 2;

/// Bytes of `struct fib_rule_hdr`.
const FIXED: usize = 12;
/// The table of the machine's own addresses (RT_TABLE_LOCAL): what is in it is delivered here, which
/// is what we want too.
const LOCAL: u32 = 255;
/// RT_TABLE_MAIN.
const MAIN: u32 = 254;

/// What is there before our rules, and whether traffic of the overlay certainly goes astray by it.
pub(super) struct Ahead {
    pub(super) rules: Vec<String>,
    pub(super) certain: bool,
}

/// Looks for them.
pub(super) fn look(layout: &KernelLayout) -> Result<Ahead, Error> {
    let mut netlink = Netlink::open()?;
    let (mut found, mut defaults) = (Vec::new(), BTreeSet::new());
    for family in Family::ALL {
        found.extend(netlink.dump(&rule::list(family), "rules", |_, payload| {
            let rule = Rule::read(family, payload)?;
            let before = rule.priority < layout.rule_base && rule.protocol != layout.protocol;
            (before && rule.decides()).then_some(rule)
        })?);
        if found.is_empty() {
            continue;
        }
        let request = route::list(family, None, None);
        defaults.extend(netlink.dump(&request, "routes", |_, payload| {
            let route = Route::read(payload)?;
            let default = route.kind == RTN_UNICAST && route.key.prefix.prefix_len() == 0;
            default.then_some((family, route.key.table))
        })?);
    }
    Ok(Ahead {
        certain: found.iter().any(|rule| rule.takes_all(&defaults)),
        rules: found.iter().map(|rule| rule.words.clone()).collect(),
    })
}

/// A rule of somebody else.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    family: Family,
    priority: u32,
    protocol: u8,
    action: u8,
    table: u32,
    /// Whether it is for some packets only.
    narrow: bool,
    /// Whether it does not take all that is in its table.
    suppresses: bool,
    /// Much as `ip rule` shows it.
    words: String,
}

impl Rule {
    fn read(family: Family, payload: &[u8]) -> Option<Self> {
        let lengths = (u8_at(payload, 1)?, u8_at(payload, 2)?, u8_at(payload, 3)?);
        let (to_length, from_length, tos) = lengths;
        let action = u8_at(payload, 7)?;
        let mut table = u32::from(u8_at(payload, 4)?);
        let inverted = u32_at(payload, 8)? & FIB_RULE_INVERT != 0;
        let (mut priority, mut protocol, mut suppresses) = (0, 0, false);
        let (mut mark, mut mask, mut goto) = (None, u32::MAX, None);
        let mut conditions = Vec::new();
        let net = |value: &[u8], length| {
            let net: Option<IpAddr> = address(value);
            net.map_or_else(|| "?".to_owned(), |net| format!("{net}/{length}"))
        };
        let mut others = false;
        for (kind, value) in attributes_after(payload, FIXED) {
            match kind {
                FRA_PRIORITY => priority = u32_at(value, 0)?,
                FRA_TABLE => table = u32_at(value, 0)?,
                FRA_PROTOCOL => protocol = u8_at(value, 0)?,
                FRA_GOTO => goto = u32_at(value, 0),
                FRA_SRC => conditions.push(format!("from {}", net(value, from_length))),
                FRA_DST => conditions.push(format!("to {}", net(value, to_length))),
                FRA_IIFNAME => conditions.push(format!("iif {}", text(value)?)),
                FRA_OIFNAME => conditions.push(format!("oif {}", text(value)?)),
                FRA_FWMARK => mark = u32_at(value, 0),
                FRA_FWMASK => mask = u32_at(value, 0)?,
                // None is written as the greatest number.
                FRA_SUPPRESS_PREFIXLEN | FRA_SUPPRESS_IFGROUP => {
                    suppresses |= u32_at(value, 0)? != u32::MAX;
                }
                FRA_PAD => {}
                _ => others = true,
            }
        }
        match mark {
            Some(mark) if mask == u32::MAX => conditions.push(format!("fwmark {mark:#x}")),
            Some(mark) => conditions.push(format!("fwmark {mark:#x}/{mask:#x}")),
            None => {}
        }
        if tos != 0 {
            conditions.push(format!("tos {tos:#x}"));
        }
        // Users, ports and the like.
        if others {
            conditions.push("for some packets".to_owned());
        }
        let narrow = inverted || !conditions.is_empty();
        let not = if inverted { "not " } else { "" };
        let all = if conditions.is_empty() { "all" } else { "" };
        let then = match (action, goto) {
            (FR_ACT_TO_TBL, _) if table == MAIN => "table main".to_owned(),
            (FR_ACT_TO_TBL, _) => format!("table {table}"),
            (FR_ACT_GOTO, Some(goto)) => format!("goto {goto}"),
            _ => "refuse or drop".to_owned(),
        };
        let name = match family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        let conditions = conditions.join(" ");
        let words = format!("{name} rule {priority}: {not}{all}{conditions} → {then}");
        Some(Self {
            family,
            priority,
            protocol,
            action,
            table,
            narrow,
            suppresses,
            words,
        })
    }

    /// Whether it can decide over packets that are not for this machine.
    fn decides(&self) -> bool {
        match self.action {
            FR_ACT_NOP => false,
            FR_ACT_TO_TBL => self.table != LOCAL,
            _ => true,
        }
    }

    /// Whether nothing is left for the rules behind it. `defaults` are tables with a default route.
    fn takes_all(&self, defaults: &BTreeSet<(Family, u32)>) -> bool {
        match self.action {
            _ if self.narrow => false,
            FR_ACT_TO_TBL => !self.suppresses && defaults.contains(&(self.family, self.table)),
            FR_ACT_GOTO => false,
            _ => true,
        }
    }
}
