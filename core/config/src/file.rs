//! The file as people write it. The comments here are the descriptions in the JSON Schema and in
//! the reference, and the examples are checked to be valid.

mod bgp;
mod intent;
mod kernel;
mod steering;
mod topology;

pub(crate) use bgp::{Bfd, Bgp, BgpTimers, Neighbor};
pub(crate) use intent::{
    ClassObject, Extent, NetworkObject, PolicyObject, SiteBgp, SiteObject, SiteUplink, Sites,
    Topology,
};
pub(crate) use kernel::{Dampening, Health, Kernel, Marks};
pub(crate) use steering::{Class, Failover, Match, Policy, Strategy};
pub(crate) use topology::{Gateways, Lan, Overlay, RemoteSite, RemoteUplink, Site, Uplink};

use patronus_model::ids::ClassName;

use crate::read::{Field, List, Read};
use crate::section::section;
use crate::shape::Shape;
use crate::values::Version;

section!(
    /// The configuration of one router.
    struct File, "a configuration" {
        /// Version of the file format. It changes only when old files would mean something else.
        version: Version, required, eg "1";
        /// This site.
        site: Site, required, eg "{id: berlin}";
        /// This site's place in the overlay.
        overlay: Overlay, required, eg "{ipv4: 10.255.0.1/16}";
        /// This site's attachments to underlays, 1 to 8.
        uplinks: List<Uplink>, required, eg "[{name: fibre, interface: wan0}]";
        /// Networks behind this router.
        lans: List<Lan>, optional, eg "[{interface: lan0, prefixes: 10.1.0.0/16}]";
        /// The other sites.
        sites: List<RemoteSite>, optional, eg "[]";
        /// Routing between the sites and with routers outside of Patronus.
        bgp: Bgp, default "{}", eg "{asn: 64512}";
        /// Traffic classes. Whoever gives any gives all of them; otherwise there are the five
        /// shown under [Default classes](#default-classes).
        classes: List<Class>, optional, eg "[{id: 1, name: voice, qos: realtime}]";
        /// Name of the class of traffic that no policy matches.
        default_class: ClassName, computed "the first class whose `qos` is `standard`",
            eg "standard";
        /// Policies, which put flows into classes. The first match by priority decides.
        policies: List<Policy>, optional,
            eg "[{name: sip, match: {protocol: udp, ports: 5060}, class: voice}]";
        /// How paths are watched, and when they count as bad.
        health: Health, default "{}", eg "{bfd: {interval: 50ms}}";
        /// Where our objects live in the kernel. Change this only if other software uses the same
        /// numbers, and remove the router's objects first (`patronus teardown`).
        kernel: Kernel, default "{}", eg "{table_base: 20000}";
    }
);

/// The objects of an intent, with their kinds.
pub(crate) const OBJECTS: [(&str, &Shape); 4] = [
    ("network", NetworkObject::SHAPE),
    ("site", SiteObject::SHAPE),
    ("class", ClassObject::SHAPE),
    ("policy", PolicyObject::SHAPE),
];

impl File {
    /// A file of which nothing is given.
    pub(crate) fn missing() -> Self {
        Self {
            version: Field::Missing,
            site: Field::Missing,
            overlay: Field::Missing,
            uplinks: Field::Missing,
            lans: Field::Missing,
            sites: Field::Missing,
            bgp: Field::Missing,
            classes: Field::Missing,
            default_class: Field::Missing,
            policies: Field::Missing,
            health: Field::Missing,
            kernel: Field::Missing,
        }
    }
}
