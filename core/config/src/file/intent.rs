//! The objects of an intent as people write them. The comments here are the descriptions in the JSON
//! Schema and in the reference, and the examples are checked to be valid.

use std::net::Ipv4Addr;

use patronus_model::bgp::Asn;
use patronus_model::ids::{ClassName, PolicyName, SiteId};

use super::{BgpTimers, Class, Health, Kernel, Lan, Match, Neighbor, Uplink};
use crate::diagnostic::Sink;
use crate::place::Place;
use crate::read::{List, Many, Read, Table};
use crate::section::section;
use crate::shape::Shape;
use crate::tree::{Kind, Node};
use crate::values::{
    ActionWord, ClassKind, Count, EndpointWord, ExtentWord, LabelKey, LabelValue, Line, Network,
    NetworkKind, PolicyKind, SiteKind, Span, Switch,
};

section!(
    /// What holds for the whole network. There is one, and without it nothing else can be.
    struct NetworkObject, "a network" {
        /// What this object is.
        kind: NetworkKind, required, eg "network";
        /// Networks from which each site gets an address.
        overlay: OverlayNetworks, required, eg "{ipv4: 10.255.0.0/16}";
        /// Which sites have paths to each other.
        topology: Topology, default "{}", eg "{mesh: none}";
        /// Routing between the sites.
        bgp: NetworkBgp, default "{}", eg "{maximum_prefixes: 1000}";
        /// How paths are watched, and when they count as bad.
        health: Health, default "{}", eg "{bfd: {interval: 50ms}}";
        /// Name of the class of traffic that no policy matches.
        default_class: ClassName, computed "the first class whose `qos` is `standard`",
            eg "standard";
    }
);

section!(
    /// Networks from which each site gets an address.
    struct OverlayNetworks, "a set of overlay networks" {
        /// IPv4 network, with a prefix length of 16 to 30.
        ipv4: Network, required, eg "10.255.0.0/16";
        /// IPv6 network, with a prefix length of 64 to 126. Without it no IPv6 prefix can be reached
        /// over the overlay.
        ipv6: Network, optional, eg "fd00:255::/64";
        /// Further prefixes that must never leave by an uplink in the clear, whether a route to them
        /// is known or not.
        prefixes: Many<Network>, optional, eg "[10.0.0.0/8, fd00::/8]";
    }
);

section!(
    /// Which sites have paths to each other. Hubs always have; sites that have none reach each other
    /// by a hub.
    struct Topology, "a topology" {
        /// Which ordinary sites have paths to each other: `all`, `none`, or those with the same value
        /// of a label.
        mesh: Extent, default "all", eg "none", "{within: region}";
        /// To which hubs an ordinary site has paths: `all`, `none`, or those with the same value of a
        /// label.
        hubs: Extent, default "all", eg "{within: region}";
    }
);

section!(
    /// Pairs of sites with the same value of a label.
    struct Within, "a condition on a label" {
        /// The label.
        within: LabelKey, required, eg "region";
    }
);

/// Which pairs of sites are meant.
pub(crate) enum Extent {
    Word(ExtentWord),
    Within(Within),
}

impl Read for Extent {
    const SHAPE: &'static Shape = &Shape::Either(<ExtentWord as Read>::SHAPE, Within::SHAPE);

    fn read(node: &Node, place: &Place, sink: &mut Sink) -> Option<Self> {
        match node.kind {
            Kind::Map(_) => Within::read(node, place, sink).map(Self::Within),
            Kind::Scalar(_) => ExtentWord::read(node, place, sink).map(Self::Word),
            Kind::List(_) => {
                let help = "use all, none or {within: region}";
                sink.error(place, "a list says nothing about pairs of sites", help);
                None
            }
        }
    }
}

section!(
    /// Routing between the sites.
    struct NetworkBgp, "a BGP section" {
        /// Timers of the sessions between sites.
        timers: BgpTimers, default "{}", eg "{hold: 30s, keepalive: 10s}";
        /// Time for which peers keep a site's routes after its BGP daemon died (RFC 4724), or `off`.
        graceful_restart: Switch<Span<1_000, 4_095_000, 1_000>>, default "120s", eg "off";
        /// Prefixes that are taken from each site in each address family.
        maximum_prefixes: Count<1, 4_294_967_295>, default "20000", eg "1000";
    }
);

section!(
    /// A place with one router. Its number, its overlay addresses and its AS are given to it.
    struct SiteObject, "a site" {
        /// What this object is.
        kind: SiteKind, required, eg "site";
        /// Identifier of the site for ever.
        id: SiteId, required, eg "berlin";
        /// Name for people.
        name: Line, computed "the `id`", eg "Berlin office";
        /// Location for people.
        location: Line, optional, eg "Berlin, Germany";
        /// Labels, by which policies and the topology select sites.
        labels: Table<LabelKey, LabelValue>, optional, eg "{region: eu}";
        /// Whether it forwards between other sites, and may announce prefixes that are not its own.
        hub: bool, default "false", eg "true";
        /// Its router's attachments to underlays, 1 to 8.
        uplinks: List<SiteUplink>, required, eg "[{name: fibre, interface: wan0}]";
        /// Networks behind its router.
        lans: List<Lan>, optional, eg "[{interface: lan0, prefixes: 10.1.0.0/16}]";
        /// Routing beyond the overlay.
        bgp: SiteBgp, default "{}", eg "{asn: 64512}";
        /// Where the router's objects live in the kernel. Change this only if other software there
        /// uses the same numbers.
        kernel: Kernel, default "{}", eg "{table_base: 20000}";
    }
);

section!(
    /// One attachment of a site's router to an underlay.
    struct SiteUplink with Uplink, "an uplink" {
        /// How other sites reach it: at an `address`, with the first of its ports as others see it
        /// where that is another one; `none` where they cannot and it must speak first; `auto` for
        /// the address that the router has there, if it is one that others can reach.
        endpoint: EndpointWord, default "auto", eg "203.0.113.7", "203.0.113.7:40000", "none";
    }
);

section!(
    /// Routing beyond the overlay.
    struct SiteBgp, "a BGP section" {
        /// AS number of this site.
        asn: Asn, computed "one of 4200000001 to 4200065534", eg "64512";
        /// Router id.
        router_id: Ipv4Addr, computed "the IPv4 overlay address", eg "10.1.0.1";
        /// Neighbours outside of Patronus.
        neighbors: List<Neighbor>, optional, eg "[{address: 10.1.0.254, asn: 65001}]";
        /// Whether this hub announces a default route to the other sites.
        originate_default: bool, default "false", eg "true";
    }
);

section!(
    /// A traffic class: what policies steer. Whoever gives any gives all of them.
    struct ClassObject with Class, "a class" {
        /// What this object is.
        kind: ClassKind, required, eg "class";
    }
);

section!(
    /// A rule of steering.
    struct PolicyObject, "a policy" {
        /// What this object is.
        kind: PolicyKind, required, eg "policy";
        /// Name, unique.
        name: PolicyName, required, eg "voice-first";
        /// Priority, unique; lower is looked at earlier.
        priority: Count<1, 1_000_000>, required, eg "10";
        /// At which sites it holds: ids, or labels of which a site must have all. Without it, at all.
        sites: Sites, optional, eg "[berlin, lisbon]", "{region: eu}";
        /// Which flows. A condition that is left out is met by all.
        matches as "match": Match, default "{}", eg "{protocol: udp, ports: 5060}";
        /// What to do with them: `route` in a class, or `drop`.
        action: ActionWord, default "route", eg "drop";
        /// Name of the class in which they travel, if they are routed.
        class: ClassName, optional, eg "voice";
    }
);

/// Which sites are meant.
pub(crate) enum Sites {
    Named(Vec<SiteId>),
    Labelled(Table<LabelKey, LabelValue>),
}

impl Read for Sites {
    const SHAPE: &'static Shape = &Shape::Either(
        <Many<SiteId> as Read>::SHAPE,
        <Table<LabelKey, LabelValue> as Read>::SHAPE,
    );

    fn read(node: &Node, place: &Place, sink: &mut Sink) -> Option<Self> {
        match node.kind {
            Kind::Map(_) => Table::read(node, place, sink).map(Self::Labelled),
            Kind::Scalar(_) | Kind::List(_) => {
                let many = Many::<SiteId>::read(node, place, sink)?;
                Some(Self::Named(many.into_values()))
            }
        }
    }
}
