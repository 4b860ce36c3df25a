//! How uplinks are reached: what people said of them, and what their routers found out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use patronus_model::ids::{SiteId, Slot, UplinkName};
use patronus_model::intent::{
    Allocations, Endpoint, Facts, Intent, Kind, ObjectId, Site, Uplink, UplinkFacts,
};
use patronus_model::layout::TunnelId;
use patronus_model::wireguard::PublicKey;

use crate::problem::{Findings, Problem};

/// The port of an uplink in slot 1 which names none: WireGuard's usual one.
const FIRST_PORT: u16 = 51_820;

/// The underlay on which private addresses lead nowhere.
const INTERNET: &str = "internet";

/// How an uplink is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The public half of its key.
    pub public_key: PublicKey,
    /// Its address and the first of its ports, unless it must speak first.
    pub endpoint: Option<SocketAddr>,
}

/// How uplinks are reached, by site and uplink. Those without a key are not there.
pub type Reaches = BTreeMap<(SiteId, UplinkName), Reach>;

/// Works out how all uplinks are reached, and says where people gave what cannot be.
///
/// What routers say of themselves is not their operators' fault: where it cannot be used, because
/// another uplink has that key or address, or because no other site could send there, it is left
/// out, with a warning.
#[must_use]
pub fn reach(intent: &Intent, facts: &Facts, allocations: &Allocations) -> (Reaches, Vec<Problem>) {
    let mut survey = Survey {
        problems: Vec::new(),
        ports: BTreeMap::new(),
        inside: inside(intent),
        keys: BTreeSet::new(),
    };
    let mut reaches = Reaches::new();
    // What people say comes first, or a router could take another one's place.
    let auto = |(_, _, uplink): &(_, _, &Uplink)| uplink.endpoint == Endpoint::Auto;
    let (auto, said): (Vec<_>, Vec<_>) = uplinks(intent).partition(auto);
    for (site, index, uplink) in said.into_iter().chain(auto) {
        let id = (site.id.clone(), uplink.name.clone());
        let Some(slot) = allocations.slots.get(&id).copied() else {
            continue;
        };
        let facts = facts.uplinks.get(&id).copied();
        let endpoint = match uplink.endpoint {
            Endpoint::None => None,
            Endpoint::At(at) => survey.said(site, index, with_port(at, uplink, slot)),
            Endpoint::Auto => survey.found(site, index, uplink, facts),
        };
        let Some(facts) = facts else { continue };
        if !survey.keys.insert(facts.public_key) {
            let problem = "its router has given the key of another uplink";
            let help = "do not copy key stores: remove it on this router, which makes a new one";
            survey
                .findings(site)
                .warning(field(index, ""), problem, help);
            continue;
        }
        let public_key = facts.public_key;
        reaches.insert(
            id,
            Reach {
                public_key,
                endpoint,
            },
        );
    }
    (reaches, survey.problems)
}

/// The first port on which an uplink's tunnels listen.
pub(crate) fn listen_port(uplink: &Uplink, slot: Slot) -> u16 {
    let by_slot = FIRST_PORT + TunnelId::PORTS_PER_UPLINK * (u16::from(slot.get()) - 1);
    uplink.listen_port.unwrap_or(by_slot)
}

fn with_port(at: SocketAddr, uplink: &Uplink, slot: Slot) -> SocketAddr {
    match at.port() {
        0 => SocketAddr::new(at.ip(), listen_port(uplink, slot)),
        _ => at,
    }
}

fn uplinks(intent: &Intent) -> impl Iterator<Item = (&Site, usize, &Uplink)> {
    intent.sites.values().flat_map(|site| {
        let uplinks = site.uplinks.iter().enumerate();
        uplinks.map(|(index, uplink)| (site.as_ref(), index, uplink))
    })
}

fn inside(intent: &Intent) -> Vec<IpNet> {
    let network = &intent.network;
    let overlay = network.overlay6.map(IpNet::V6);
    let overlay = overlay.into_iter().chain([IpNet::V4(network.overlay4)]);
    let lans = intent.sites.values().flat_map(|site| &site.lans);
    overlay
        .chain(lans.flat_map(|lan| lan.prefixes.iter().copied()))
        .collect()
}

fn field(index: usize, key: &str) -> String {
    match key {
        "" => format!("uplinks[{index}]"),
        key => format!("uplinks[{index}].{key}"),
    }
}

struct Survey<'a> {
    problems: Vec<Problem>,
    /// The first ports that are taken at each address, and by whom.
    ports: BTreeMap<IpAddr, BTreeMap<u16, &'a SiteId>>,
    /// Prefixes of the overlay and of LANs: an endpoint in there would send tunnels through
    /// themselves.
    inside: Vec<IpNet>,
    keys: BTreeSet<PublicKey>,
}

impl<'a> Survey<'a> {
    fn findings(&mut self, site: &Site) -> Findings<'_> {
        Findings {
            object: ObjectId::new(Kind::Site, site.id.as_str()),
            all: &mut self.problems,
        }
    }

    fn said(&mut self, site: &'a Site, index: usize, at: SocketAddr) -> Option<SocketAddr> {
        let field = field(index, "endpoint");
        if let Some(net) = self.around(at.ip()) {
            let problem = format!("{} is inside {net}, which is behind the overlay", at.ip());
            let help = "use an address of the underlay";
            self.findings(site).error(field, problem, help);
            return None;
        }
        if let Some(other) = self.claim(site, at) {
            let problem = format!("the 64 ports from {at} on overlap with those of {other}");
            let help = "behind one address each uplink needs 64 ports of its own";
            self.findings(site).error(field, problem, help);
            return None;
        }
        Some(at)
    }

    fn found(
        &mut self,
        site: &'a Site,
        index: usize,
        uplink: &Uplink,
        facts: Option<UplinkFacts>,
    ) -> Option<SocketAddr> {
        let at = facts?.address?;
        let problem = if let Some(net) = self.around(at.ip()) {
            format!("its router has {} there, which is inside {net}", at.ip())
        } else if uplink.underlay.as_str() == INTERNET && !is_public(at.ip()) {
            // Behind a NAT, as many are; nothing is wrong with that.
            return None;
        } else if let Some(other) = self.claim(site, at) {
            format!("its router has {at} there, which is that of {other}")
        } else {
            return Some(at);
        };
        let help = "give its endpoint, or none if others cannot reach it";
        let field = field(index, "endpoint");
        self.findings(site).warning(field, problem, help);
        None
    }

    fn around(&self, address: IpAddr) -> Option<IpNet> {
        self.inside
            .iter()
            .copied()
            .find(|net| net.contains(&address))
    }

    /// Takes the ports of an uplink, or says who has them.
    fn claim(&mut self, site: &'a Site, at: SocketAddr) -> Option<SiteId> {
        let taken = self.ports.entry(at.ip()).or_default();
        let near = at.port().saturating_sub(TunnelId::PORTS_PER_UPLINK - 1)
            ..=at.port().saturating_add(TunnelId::PORTS_PER_UPLINK - 1);
        if let Some((_, other)) = taken.range(near).next() {
            return Some(SiteId::clone(other));
        }
        taken.insert(at.port(), &site.id);
        None
    }
}

/// Whether packets from everywhere on the Internet may find it.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = Ipv4Addr::new(100, 64, 0, 0).to_bits();
            let is_shared = v4.to_bits() & 0xffc0_0000 == shared;
            !(v4.is_private() || v4.is_link_local() || v4.is_loopback() || is_shared)
        }
        IpAddr::V6(v6) => !(v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback()),
    }
}
