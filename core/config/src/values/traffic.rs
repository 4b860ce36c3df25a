//! What policies and classes are written in.

use std::ops::RangeInclusive;

use patronus_model::bgp::Advertise;
use patronus_model::ids::Dscp;
use patronus_model::policy::{Protocol, QosClass};

use crate::read::{Fault, Scalar};
use crate::shape::{Form, ScalarShape, did_you_mean};
use crate::tree::Word;
use crate::values::words::words;

/// The code points that have names (RFC 2474, 2597, 3246, 8622).
const CODES: [(&str, u8); 25] = [
    ("default", 0),
    ("LE", 1),
    ("CS1", 8),
    ("AF11", 10),
    ("AF12", 12),
    ("AF13", 14),
    ("CS2", 16),
    ("AF21", 18),
    ("AF22", 20),
    ("AF23", 22),
    ("CS3", 24),
    ("AF31", 26),
    ("AF32", 28),
    ("AF33", 30),
    ("CS4", 32),
    ("AF41", 34),
    ("AF42", 36),
    ("AF43", 38),
    ("CS5", 40),
    ("VA", 44),
    ("EF", 46),
    ("CS6", 48),
    ("CS7", 56),
    ("CS0", 0),
    ("BE", 0),
];

const CODE_WORDS: &[&str] = &[
    "default", "BE", "LE", "CS0", "CS1", "CS2", "CS3", "CS4", "CS5", "CS6", "CS7", "AF11", "AF12",
    "AF13", "AF21", "AF22", "AF23", "AF31", "AF32", "AF33", "AF41", "AF42", "AF43", "VA", "EF",
];

/// A code point, by name or number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) Dscp);

impl Scalar for Code {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a DSCP",
        "use a name like EF, AF41, CS1 or default, or 0 to 63",
        &[Form::Words(CODE_WORDS), Form::Integer(0, 63)],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let named = CODES
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(&word.text));
        let number = match named {
            Some((_, number)) => Some(*number),
            None => word.as_integer().and_then(|n| u8::try_from(n).ok()),
        };
        number
            .and_then(|n| Dscp::new(n).ok())
            .map(Self)
            .ok_or_else(Fault::not::<Self>)
    }
}

/// A code point by its name or number, as the file spells it; `None` for what is neither.
#[must_use]
pub fn parse_dscp(text: &str) -> Option<Dscp> {
    let named = CODES.iter().find(|(n, _)| n.eq_ignore_ascii_case(text));
    let number = named.map(|(_, number)| *number);
    Dscp::new(number.or_else(|| text.parse().ok())?).ok()
}

/// A code point's name, or its number where it has none.
pub(crate) fn show_dscp(dscp: Dscp) -> String {
    match CODES.iter().find(|(_, n)| *n == dscp.get()) {
        Some((name, _)) => (*name).to_owned(),
        None => dscp.to_string(),
    }
}

impl Scalar for Protocol {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a protocol",
        "use tcp, udp, icmp, icmpv6, sctp, dccp, udplite, gre, esp, or a number from 1 to 255",
        &[
            Form::Words(&[
                "tcp", "udp", "icmp", "icmpv6", "sctp", "dccp", "udplite", "gre", "esp",
            ]),
            Form::Integer(1, 255),
        ],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let named = Self::NAMED.iter().find(|(n, _)| *n == word.text);
        if let Some((_, protocol)) = named {
            return Ok(*protocol);
        }
        // 0 is IPv6's hop-by-hop header, which is no protocol of its own.
        let number = word.as_integer().and_then(|n| u8::try_from(n).ok());
        number.filter(|n| *n != 0).map(Self).ok_or_else(|| {
            let near = did_you_mean(&word.text, Self::NAMED.iter().map(|(n, _)| *n));
            Fault::new("is not a protocol", format!("{near}{}", Self::SHAPE.help))
        })
    }
}

/// One port, or several in a row.
#[derive(Clone)]
pub(crate) struct PortRange(pub(crate) RangeInclusive<u16>);

impl Scalar for PortRange {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a port or a range of ports",
        "use 1 to 65535, alone or like \"5060-5061\"",
        &[
            Form::Integer(1, 65_535),
            Form::Text("^[0-9]{1,5} *- *[0-9]{1,5}$"),
        ],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let (first, last) = word
            .text
            .split_once('-')
            .unwrap_or((&word.text, &word.text));
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|p| *p != 0);
        let (Some(first), Some(last)) = (port(first), port(last)) else {
            return Err(Fault::not::<Self>());
        };
        if first > last {
            let help = format!("write \"{last}-{first}\"");
            return Err(Fault::new("ends before it begins", help));
        }
        Ok(Self(first..=last))
    }
}

words!(
    /// How a class is queued.
    QosWord, "a QoS class" {
        "realtime" => RealTime,
        "interactive" => Interactive,
        "streaming" => Streaming,
        "standard" => Standard,
        "bulk" => Bulk,
    }
);

impl QosWord {
    pub(crate) fn class(self) -> QosClass {
        match self {
            Self::RealTime => QosClass::RealTime,
            Self::Interactive => QosClass::Interactive,
            Self::Streaming => QosClass::Streaming,
            Self::Standard => QosClass::Standard,
            Self::Bulk => QosClass::Bulk,
        }
    }
}

/// The code point of a class that names none (RFC 4594, figure 3).
pub(crate) fn default_dscp(qos: QosClass) -> Option<Dscp> {
    let number = match qos {
        QosClass::RealTime => 46,
        QosClass::Interactive => 18,
        QosClass::Streaming => 26,
        QosClass::Standard => 0,
        QosClass::Bulk => 8,
    };
    Dscp::new(number).ok()
}

words!(
    /// A strategy without parameters.
    StrategyWord, "a strategy", or "{preference: [...]} with names of uplinks" {
        "lowest_latency" => LowestLatency,
        "lowest_cost" => LowestCost,
    }
);

words!(
    /// What a policy does.
    ActionWord, "an action" {
        "route" => Route,
        "drop" => Drop,
    }
);

words!(
    /// What a neighbour is told.
    AdvertiseWord, "an announcement" {
        "own" => Own,
        "own_and_external" => OwnAndExternal,
        "everything" => Everything,
        "everything_and_default" => EverythingAndDefault,
    }
);

impl AdvertiseWord {
    pub(crate) fn advertise(self) -> Advertise {
        match self {
            Self::Own => Advertise::OwnNetworks,
            Self::OwnAndExternal => Advertise::OwnAndExternal,
            Self::Everything => Advertise::Everything,
            Self::EverythingAndDefault => Advertise::EverythingAndDefault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_word_and_every_word_a_code() {
        for (name, _) in CODES {
            assert!(CODE_WORDS.contains(&name), "{name}");
        }
        assert_eq!(CODES.len(), CODE_WORDS.len());
    }
}
