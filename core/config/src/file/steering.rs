//! Traffic classes and policies.

use patronus_model::ids::{ClassId, ClassName, IfName, PolicyName, UplinkName};
use patronus_model::policy::Protocol;

use crate::diagnostic::Sink;
use crate::place::Place;
use crate::read::{Many, Read};
use crate::section::section;
use crate::shape::Shape;
use crate::tree::{Kind, Node};
use crate::values::{ActionWord, Code, Count, PortRange, QosWord, Selector, Span, StrategyWord};

section!(
    /// A traffic class: what policies steer.
    struct Class, "a class" {
        /// Number in packet marks, 1 to 127; unique.
        id: ClassId, required, eg "1";
        /// Name, unique.
        name: ClassName, required, eg "voice";
        /// How it is queued: `realtime` for voice and the like, `interactive` where people wait
        /// for each packet, `streaming` for buffered audio and video, `standard` for everything
        /// else, `bulk` for whatever is left over.
        qos: QosWord, required, eg "realtime";
        /// Code point by which the router at the far end of a tunnel recognises the class; unique.
        dscp: Code, computed "EF for `realtime`, AF21 for `interactive`, AF31 for `streaming`, default for `standard`, CS1 for `bulk`",
            eg "EF", "46";
        /// How it picks among the paths that are well: `lowest_latency`, `lowest_cost`, or by
        /// preference among our uplinks.
        strategy: Strategy, default "lowest_cost",
            eg "lowest_latency", "{preference: [fibre, lte]}";
        /// When it moves to another path.
        failover: Failover, default "{}", eg "{hold: 2m}";
    }
);

section!(
    /// When traffic moves to another path. From a path that is down it moves at once.
    struct Failover, "a failover section" {
        /// Time for which a path must have been degraded before traffic leaves it.
        threshold: Span<0, 3_600_000, 1>, default "3s", eg "1s";
        /// Least time between two moves which were not forced by a path going down.
        cooldown: Span<0, 3_600_000, 1>, default "10s", eg "30s";
        /// Time for which a better path must have been well before traffic returns to it.
        hold: Span<0, 86_400_000, 1>, default "30s", eg "2m";
    }
);

section!(
    /// A strategy by preference.
    struct Preference, "a preference" {
        /// Names of our uplinks, best first. Those not named come last, by cost. Of the paths over
        /// one of our uplinks, those to an uplink of the far end that has the name of one which
        /// comes later here come later too; other names of the far end mean nothing.
        preference: Many<UplinkName>, required, eg "[fibre, lte]";
    }
);

/// How a class picks its paths.
pub(crate) enum Strategy {
    Word(StrategyWord),
    Preference(Preference),
}

impl Read for Strategy {
    const SHAPE: &'static Shape = &Shape::Either(StrategyWord::SHAPE_OF, Preference::SHAPE);

    fn read(node: &Node, place: &Place, sink: &mut Sink) -> Option<Self> {
        match node.kind {
            Kind::Map(_) => Preference::read(node, place, sink).map(Self::Preference),
            Kind::Scalar(_) => StrategyWord::read(node, place, sink).map(Self::Word),
            Kind::List(_) => {
                let help = "use lowest_latency, lowest_cost or {preference: [...]}";
                sink.error(place, "a list is not a strategy", help);
                None
            }
        }
    }
}

impl StrategyWord {
    const SHAPE_OF: &'static Shape = <Self as Read>::SHAPE;
}

section!(
    /// A rule of steering.
    struct Policy, "a policy" {
        /// Name, unique.
        name: PolicyName, required, eg "voice-first";
        /// Priority, unique; lower is looked at earlier.
        priority: Count<1, 1_000_000>, computed "10 × its place in the list", eg "10";
        /// Which flows. A condition that is left out is met by all.
        matches as "match": Match, default "{}", eg "{protocol: udp, ports: 5060}";
        /// What to do with them: `route` in a class, or `drop`.
        action: ActionWord, default "route", eg "drop";
        /// Name of the class in which they travel, if they are routed.
        class: ClassName, optional, eg "voice";
    }
);

section!(
    /// Conditions, all of which a flow must meet. Of a list of values one is enough.
    struct Match, "a match" {
        /// Source prefixes or addresses.
        from: Many<Selector>, optional, eg "10.1.0.0/16", "[10.1.0.0/16, fd00:1::/48]";
        /// Destination prefixes or addresses.
        to: Many<Selector>, optional, eg "10.2.0.9";
        /// Protocol, by name or number.
        protocol: Protocol, optional, eg "udp", "47";
        /// Source ports or ranges; needs a `protocol` with ports.
        source_ports: Many<PortRange>, optional, eg "5060";
        /// Destination ports or ranges; needs a `protocol` with ports.
        ports: Many<PortRange>, optional, eg "[5060-5061, 16384-32767]";
        /// Code points that the packets carry when they come from the LAN.
        dscp: Many<Code>, optional, eg "EF", "[AF41, AF42]";
        /// Interfaces by which the packets come.
        ingress: Many<IfName>, optional, eg "lan0";
    }
);
