//! The pieces about one site or policy.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use patronus_model::bgp::Asn;
use patronus_model::ids::{ClassId, SiteNumber, Slot, UplinkName};
use patronus_model::intent::{self, Action, Allocations, Intent, Network, Site, Uplink};
use patronus_model::layout::HubIndex;
use patronus_model::policy::{self, QosClass, Strategy, TrafficClass};
use patronus_model::router::{self, Bgp, Overlay, RemoteSite, RemoteUplink, RouterConfig};
use patronus_model::wireguard::PublicKey;

use crate::plan::Own;
use crate::reach::{Reach, Reaches, listen_port};

/// The first AS that sites are given: the first private one with 32 bits (RFC 6996).
pub(crate) const FIRST_ASN: u32 = 4_200_000_000;

pub(crate) fn classes(intent: &Intent, defaults: &[TrafficClass]) -> Vec<TrafficClass> {
    if intent.classes.is_empty() {
        return defaults.to_vec();
    }
    let classes = intent
        .classes
        .values()
        .map(|class| TrafficClass::clone(class));
    let mut classes: Vec<TrafficClass> = classes.collect();
    classes.sort_by_key(|class| class.id);
    classes
}

pub(crate) fn default_class(network: &Network, classes: &[TrafficClass]) -> Option<ClassId> {
    let mut all = classes.iter();
    let class = match &network.default_class {
        Some(name) => all.find(|class| class.name == *name),
        None => all.find(|class| class.qos == QosClass::Standard),
    };
    class.map(|class| class.id)
}

pub(crate) fn policy_of(
    policy: &intent::Policy,
    classes: &[TrafficClass],
) -> Option<policy::Policy> {
    let action = match &policy.action {
        Action::Drop => policy::Action::Drop,
        Action::Route(name) => {
            policy::Action::Route(classes.iter().find(|class| class.name == *name)?.id)
        }
    };
    Some(policy::Policy {
        name: policy.name.clone(),
        priority: policy.priority,
        matches: policy.matches.clone(),
        action,
    })
}

/// What the pieces about a site are made from.
pub(crate) struct Planner<'a> {
    pub(crate) network: &'a Network,
    pub(crate) reaches: &'a Reaches,
    pub(crate) allocations: &'a Allocations,
    pub(crate) classes: &'a [TrafficClass],
    pub(crate) default_class: Option<ClassId>,
}

impl Planner<'_> {
    pub(crate) fn own(&self, site: &Site) -> Option<Own> {
        let number = self.number(site)?;
        let overlay = self.overlay(number)?;
        let mut uplinks = Vec::new();
        for uplink in &site.uplinks {
            uplinks.push(self.uplink(site, uplink)?);
        }
        uplinks.sort_by_key(|uplink| uplink.slot);
        let neighbors = site.neighbors.iter();
        let files = neighbors.clone().enumerate();
        let files = files.filter_map(|(index, it)| Some((index, it.password_file.clone()?)));
        Some(Own {
            password_files: files.collect(),
            config: RouterConfig {
                site: router::Site {
                    id: site.id.clone(),
                    name: site.name.clone(),
                    location: site.location.clone(),
                    labels: site.labels.clone(),
                },
                hub: self.hub(site),
                uplinks,
                lans: site.lans.clone(),
                remotes: Vec::new(),
                bgp: Bgp {
                    asn: asn(site, number)?,
                    router_id: site.router_id.unwrap_or(overlay.ipv4.addr()),
                    timers: self.network.bgp_timers,
                    graceful_restart: self.network.graceful_restart,
                    maximum_prefixes: self.network.maximum_prefixes,
                    neighbors: neighbors.map(|it| it.session.clone()).collect(),
                    originate_default: site.originate_default,
                },
                overlay,
                classes: self.classes_of(site),
                default_class: self.default_class?,
                policies: Vec::new(),
                health: self.network.health.clone(),
                layout: site.layout.clone(),
            },
        })
    }

    /// The classes, with preferences among the uplinks that the site has.
    fn classes_of(&self, site: &Site) -> Vec<TrafficClass> {
        let has = |name: &UplinkName| site.uplinks.iter().any(|uplink| uplink.name == *name);
        let mut classes = self.classes.to_vec();
        for class in &mut classes {
            if let Strategy::Preference(order) = &mut class.strategy {
                order.retain(has);
            }
        }
        classes
    }

    fn uplink(&self, site: &Site, uplink: &Uplink) -> Option<router::Uplink> {
        let slot = self.slot(site, uplink)?;
        let reach = self.reach(site, uplink);
        Some(router::Uplink {
            name: uplink.name.clone(),
            slot,
            interface: uplink.interface.clone(),
            underlay: uplink.underlay.clone(),
            gateway4: uplink.gateway4,
            gateway6: uplink.gateway6,
            bandwidth_up: uplink.bandwidth_up,
            bandwidth_down: uplink.bandwidth_down,
            cost: uplink.cost,
            metered: uplink.metered,
            listen_port: listen_port(uplink, slot),
            public_key: reach.map_or(PublicKey([0; 32]), |reach| reach.public_key),
        })
    }

    /// What others are told of a site; nothing before one of its uplinks has a key.
    pub(crate) fn remote(&self, site: &Site) -> Option<RemoteSite> {
        let number = self.number(site)?;
        let overlay = self.overlay(number)?;
        let uplinks = site.uplinks.iter();
        let mut uplinks: Vec<RemoteUplink> = uplinks
            .filter_map(|uplink| self.remote_uplink(site, uplink))
            .collect();
        uplinks.sort_by_key(|uplink| uplink.slot);
        (!uplinks.is_empty()).then_some(())?;
        Some(RemoteSite {
            id: site.id.clone(),
            name: site.name.clone(),
            number,
            ipv4: overlay.ipv4.addr(),
            ipv6: overlay.ipv6.map(|net| net.addr()),
            hub: self.hub(site),
            asn: asn(site, number)?,
            bgp_password: None,
            prefixes: site
                .lans
                .iter()
                .flat_map(|lan| lan.prefixes.clone())
                .collect(),
            uplinks,
        })
    }

    fn remote_uplink(&self, site: &Site, uplink: &Uplink) -> Option<RemoteUplink> {
        let Reach {
            public_key,
            endpoint,
        } = self.reach(site, uplink)?;
        Some(RemoteUplink {
            name: uplink.name.clone(),
            slot: self.slot(site, uplink)?,
            underlay: uplink.underlay.clone(),
            public_key,
            endpoint,
        })
    }

    fn reach(&self, site: &Site, uplink: &Uplink) -> Option<Reach> {
        let key = (site.id.clone(), uplink.name.clone());
        self.reaches.get(&key).copied()
    }

    fn number(&self, site: &Site) -> Option<SiteNumber> {
        SiteNumber::new(*self.allocations.numbers.get(&site.id)?).ok()
    }

    fn hub(&self, site: &Site) -> Option<HubIndex> {
        let index = self.allocations.hubs.get(&site.id).copied();
        index.filter(|_| site.hub)
    }

    fn slot(&self, site: &Site, uplink: &Uplink) -> Option<Slot> {
        let key = (site.id.clone(), uplink.name.clone());
        self.allocations.slots.get(&key).copied()
    }

    fn overlay(&self, number: SiteNumber) -> Option<Overlay> {
        let host = u32::from(number.get());
        let net = self.network.overlay4;
        let v4 = Ipv4Addr::from_bits(net.network().to_bits() | host);
        let v6 = self.network.overlay6.map(|net| {
            let address = Ipv6Addr::from_bits(net.network().to_bits() | u128::from(host));
            Ipv6Net::new(address, net.prefix_len())
        });
        Some(Overlay {
            ipv4: Ipv4Net::new(v4, net.prefix_len()).ok()?,
            ipv6: v6.transpose().ok()?,
            prefixes: self.network.guarded.clone(),
        })
    }
}

fn asn(site: &Site, number: SiteNumber) -> Option<Asn> {
    match site.asn {
        Some(asn) => Some(asn),
        None => Asn::new(FIRST_ASN.checked_add(u32::from(number.get()))?).ok(),
    }
}
