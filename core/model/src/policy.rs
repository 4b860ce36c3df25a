//! Traffic classes, and the policies which put flows into them.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use crate::ids::{ClassId, ClassName, Dscp, IfName, PolicyName, UplinkName};

/// How a class is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QosClass {
    /// Voice and the like: first, and little of it.
    RealTime,
    /// People wait for each packet: remote desktops, signalling.
    Interactive,
    /// Buffered audio and video.
    Streaming,
    /// Everything else.
    Standard,
    /// Whatever is left over: backups, updates.
    Bulk,
}

/// How a class picks among the paths to a site that are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The uplinks in order of preference, best first; uplinks not named come last, by cost.
    Preference(Vec<UplinkName>),
    /// The path with the lowest round-trip time.
    LeastLatency,
}

/// When traffic of a class moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// How long a path must have been degraded before traffic leaves it. A path that is down is
    /// left at once.
    pub threshold: Duration,
    /// The least time between two moves which were not forced by a path going down.
    pub cooldown: Duration,
    /// How long a better path must have been well before traffic returns to it.
    pub hold: Duration,
}

impl Default for Failover {
    /// Leave after 3 s, return after 30 s, at most one voluntary move in 10 s.
    fn default() -> Self {
        Self {
            threshold: Duration::from_secs(3),
            cooldown: Duration::from_secs(10),
            hold: Duration::from_secs(30),
        }
    }
}

/// What policies steer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficClass {
    /// Its number in packet marks.
    pub id: ClassId,
    /// Its name.
    pub name: ClassName,
    /// How it is queued.
    pub qos: QosClass,
    /// How it is recognised by the router at the far end of a tunnel; unique among the classes.
    pub dscp: Dscp,
    /// How it picks its paths.
    pub strategy: Strategy,
    /// When it moves.
    pub failover: Failover,
}

/// An IP protocol number (IANA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// UDP-Lite.
    pub const UDP_LITE: Self = Self(136);

    /// The protocols which have names in configuration files.
    pub const NAMED: [(&'static str, Self); 9] = [
        ("tcp", Self::TCP),
        ("udp", Self::UDP),
        ("icmp", Self(1)),
        ("icmpv6", Self(58)),
        ("sctp", Self::SCTP),
        ("dccp", Self::DCCP),
        ("udplite", Self::UDP_LITE),
        ("gre", Self(47)),
        ("esp", Self(50)),
    ];

    /// Whether its header begins with two 16-bit ports.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(
            self,
            Self::TCP | Self::UDP | Self::SCTP | Self::DCCP | Self::UDP_LITE
        )
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(_, p)| p == self) {
            Some((name, _)) => f.pad(name),
            None => self.0.fmt(f),
        }
    }
}

/// Which packets a policy is about. An empty list matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    /// Prefixes that the source lies in one of.
    pub sources: Vec<IpNet>,
    /// Prefixes that the destination lies in one of.
    pub destinations: Vec<IpNet>,
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// Ranges that the source port lies in one of; only for protocols with ports.
    pub source_ports: Vec<RangeInclusive<u16>>,
    /// Ranges that the destination port lies in one of; only for protocols with ports.
    pub destination_ports: Vec<RangeInclusive<u16>>,
    /// Code points, one of which the packet carries.
    pub dscp: Vec<Dscp>,
    /// Interfaces, by one of which the packet came.
    pub ingress: Vec<IfName>,
}

/// A flow as it enters from a LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Source address.
    pub source: IpAddr,
    /// Destination address; of the same family as the source.
    pub destination: IpAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// Source port, where the protocol has ports and it is known.
    pub source_port: Option<u16>,
    /// Destination port, where the protocol has ports and it is known.
    pub destination_port: Option<u16>,
    /// Code point.
    pub dscp: Dscp,
    /// The interface by which it comes, where it is known.
    pub ingress: Option<IfName>,
}

/// The first condition of a policy that a flow does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The source prefix.
    Source,
    /// The destination prefix.
    Destination,
    /// The protocol.
    Protocol,
    /// The source port.
    SourcePort,
    /// The destination port.
    DestinationPort,
    /// The code point.
    Dscp,
    /// The interface.
    Ingress,
}

impl Match {
    /// Whether a flow is meant, and if not, why not. This is the reference for what the generated
    /// nftables rules do.
    ///
    /// # Errors
    /// The first condition which the flow does not meet.
    pub fn check(&self, flow: &Flow) -> Result<(), Mismatch> {
        let prefix =
            |list: &[IpNet], address| list.is_empty() || list.iter().any(|p| p.contains(&address));
        let port = |list: &[RangeInclusive<u16>], port: Option<u16>| {
            list.is_empty() || port.is_some_and(|port| list.iter().any(|r| r.contains(&port)))
        };
        let ingress = |list: &[IfName]| {
            list.is_empty()
                || flow
                    .ingress
                    .as_ref()
                    .is_some_and(|name| list.contains(name))
        };
        let conditions = [
            (prefix(&self.sources, flow.source), Mismatch::Source),
            (
                prefix(&self.destinations, flow.destination),
                Mismatch::Destination,
            ),
            (
                self.protocol.is_none_or(|p| p == flow.protocol),
                Mismatch::Protocol,
            ),
            (
                port(&self.source_ports, flow.source_port),
                Mismatch::SourcePort,
            ),
            (
                port(&self.destination_ports, flow.destination_port),
                Mismatch::DestinationPort,
            ),
            (
                self.dscp.is_empty() || self.dscp.contains(&flow.dscp),
                Mismatch::Dscp,
            ),
            (ingress(&self.ingress), Mismatch::Ingress),
        ];
        conditions
            .iter()
            .find(|(met, _)| !met)
            .map_or(Ok(()), |(_, mismatch)| Err(*mismatch))
    }
}

/// What happens to packets that a policy matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// They travel in this class.
    Route(ClassId),
    /// They are dropped.
    Drop,
}

/// A rule of steering. The first match by priority decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// Lower is looked at earlier; unique.
    pub priority: u32,
    /// Which packets.
    pub matches: Match,
    /// What to do with them.
    pub action: Action,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow {
            source: "10.1.0.5".parse().unwrap(),
            destination: "10.2.0.9".parse().unwrap(),
            protocol: Protocol::UDP,
            source_port: Some(40_000),
            destination_port: Some(5060),
            dscp: Dscp::new(0).unwrap(),
            ingress: Some("lan0".parse().unwrap()),
        }
    }

    fn check(matches: Match, expected: Result<(), Mismatch>) {
        assert_eq!(matches.check(&flow()), expected, "{matches:?}");
    }

    #[test]
    fn an_empty_match_takes_everything() {
        check(Match::default(), Ok(()));
    }

    #[test]
    fn each_condition_can_refuse() {
        let nets = |text: &str| vec![text.parse().unwrap()];
        let m = Match::default;
        check(
            Match {
                sources: nets("10.1.0.0/16"),
                ..m()
            },
            Ok(()),
        );
        check(
            Match {
                sources: nets("10.2.0.0/16"),
                ..m()
            },
            Err(Mismatch::Source),
        );
        check(
            Match {
                destinations: nets("fd00::/8"),
                ..m()
            },
            Err(Mismatch::Destination),
        );
        check(
            Match {
                protocol: Some(Protocol::TCP),
                ..m()
            },
            Err(Mismatch::Protocol),
        );
        check(
            Match {
                source_ports: vec![1..=39_999],
                ..m()
            },
            Err(Mismatch::SourcePort),
        );
        check(
            Match {
                destination_ports: vec![1..=1, 5060..=5061],
                ..m()
            },
            Ok(()),
        );
        check(
            Match {
                destination_ports: vec![5061..=5062],
                ..m()
            },
            Err(Mismatch::DestinationPort),
        );
        check(
            Match {
                dscp: vec![Dscp::new(46).unwrap()],
                ..m()
            },
            Err(Mismatch::Dscp),
        );
        check(
            Match {
                ingress: vec!["lan1".parse().unwrap()],
                ..m()
            },
            Err(Mismatch::Ingress),
        );
    }
}
