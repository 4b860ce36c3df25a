//! What the follower knows of the kernel, and what each event does to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;
use patronus_model::ids::{IfName, Slot};
use patronus_model::kernel::{
    Environment, Family, Foreign, LanInterface, LearnedDelta, UplinkState, Via,
};
use patronus_model::layout::{KernelLayout, NexthopId};

use super::Watch;
use super::learned::{Elsewhere, Routes, Way};
use crate::error::Error;
use crate::kernel::{owns_rule, owns_table};
use crate::netlink::Netlink;
use crate::netlink::address::{self, Address, RTM_DELADDR, RTM_NEWADDR};
use crate::netlink::codec::{NLM_F_REPLACE, Received, attributes_after, text};
use crate::netlink::link::{self, Link, RTM_DELLINK, RTM_NEWLINK};
use crate::netlink::nexthop::{self, Nexthop, RTM_DELNEXTHOP, RTM_NEWNEXTHOP};
use crate::netlink::route::{self, RTM_DELROUTE, RTM_NEWROUTE, Route};
use crate::netlink::rule::{Found, RTM_DELRULE, RTM_NEWRULE};

/// `RT_TABLE_MAIN`.
pub(super) const MAIN: u32 = 254;

/// Bytes of `struct nfgenmsg`.
const NFGENMSG: usize = 4;

/// What events have asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    /// The kernel may have dropped things silently: list again.
    pub(super) list: bool,
    /// Something of ours may have been touched.
    pub(super) owned: bool,
    /// An interface came or went: report without waiting for the end of the burst.
    pub(super) urgent: bool,
}

/// Links, addresses, and routes of the main table and of that which routing fills.
pub(super) struct Mirror {
    layout: KernelLayout,
    overlay: IfName,
    uplinks: BTreeMap<Slot, IfName>,
    lans: BTreeSet<IfName>,
    own_ports: Vec<u32>,
    links: HashMap<u32, Link>,
    addresses: HashMap<(u32, IpNet), Address>,
    routes: Routes,
    pub(super) wants: Wants,
}

impl Mirror {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            overlay: watch.layout.overlay_interface(),
            layout: watch.layout,
            uplinks: watch.uplinks,
            lans: watch.lans,
            own_ports: watch.own_ports,
            links: HashMap::new(),
            addresses: HashMap::new(),
            routes: Routes::default(),
            wants: Wants::default(),
        }
    }

    pub(super) fn follow(&mut self, uplinks: BTreeMap<Slot, IfName>, lans: BTreeSet<IfName>) {
        self.uplinks = uplinks;
        self.lans = lans;
    }

    /// Lists everything, in place of what is known.
    pub(super) fn list(&mut self, netlink: &mut Netlink) -> Result<(), Error> {
        let links = netlink.dump(&link::list(), "interfaces", |_, p| Link::read(p))?;
        self.links = links.into_iter().map(|link| (link.index, link)).collect();
        let addresses = netlink.dump(&address::list(), "addresses", |_, p| Address::read(p))?;
        self.addresses = addresses
            .into_iter()
            .map(|address| ((address.index, address.net), address))
            .collect();
        let nexthops = netlink.dump(&nexthop::list(), "nexthop objects", |_, p| {
            Nexthop::read(p).map(|found| (found.id, found.leads))
        })?;
        let mut routes = Vec::new();
        for family in Family::ALL {
            for table in [MAIN, self.layout.learned_table()] {
                let request = route::list(family, None, Some(table));
                let listed = netlink.dump(&request, "routes", |_, p| {
                    Route::read(p).filter(|route| route.key.table == table)
                });
                match listed {
                    Ok(listed) => routes.extend(listed),
                    // A table exists from its first route on.
                    Err(error) if error.refusal() == Some(libc::ENOENT) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.routes.replace(routes, nexthops.into_iter().collect());
        Ok(())
    }

    /// Takes note of an event.
    pub(super) fn take(&mut self, event: &Received<'_>) {
        let foreign = !self.own_ports.contains(&event.port) || event.port == 0;
        match event.kind {
            RTM_NEWLINK => self.link(event.payload),
            RTM_DELLINK => self.link_gone(event.payload),
            RTM_NEWADDR | RTM_DELADDR => self.address(event, foreign),
            RTM_NEWROUTE | RTM_DELROUTE => self.route(event, foreign),
            RTM_NEWNEXTHOP | RTM_DELNEXTHOP => self.nexthop(event, foreign),
            RTM_NEWRULE | RTM_DELRULE => {
                let ours =
                    Found::read(event.payload).is_some_and(|rule| owns_rule(&self.layout, &rule));
                self.wants.owned |= foreign && ours;
            }
            _ => {}
        }
    }

    /// Takes note of an nftables event. In all of them that concern a table, its name is the first
    /// attribute (`NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, ...).
    pub(super) fn take_nftables(&mut self, event: &Received<'_>) {
        let named = attributes_after(event.payload, NFGENMSG)
            .find(|(kind, _)| *kind == 1)
            .and_then(|(_, value)| text(value));
        self.wants.owned |= named.as_deref() == Some("patronus");
    }

    fn link(&mut self, payload: &[u8]) {
        let Some(link) = Link::read(payload) else {
            return;
        };
        let before = self.links.insert(link.index, link.clone());
        if before.as_ref() == Some(&link) {
            return;
        }
        let was_running = before.as_ref().is_some_and(|before| before.running);
        if was_running != link.running {
            // Nexthop objects and routes that use the interface come and go without a word.
            self.wants.list |= was_running;
            self.wants.owned = true;
            self.wants.urgent = true;
        }
        self.wants.owned |= self.layout.owns_interface(&link.name);
        if link.name == self.overlay.as_str() {
            self.routes.reconsider();
        }
    }

    fn link_gone(&mut self, payload: &[u8]) {
        let Some(link) = Link::read(payload) else {
            return;
        };
        if self.links.remove(&link.index).is_some() {
            self.addresses.retain(|(index, _), _| *index != link.index);
            self.wants = Wants {
                list: true,
                owned: true,
                urgent: true,
            };
        }
    }

    fn address(&mut self, event: &Received<'_>, foreign: bool) {
        let Some(address) = Address::read(event.payload) else {
            return;
        };
        let key = (address.index, address.net);
        if event.kind == RTM_NEWADDR {
            self.addresses.insert(key, address);
        } else {
            self.addresses.remove(&key);
            // Routes that prefer it as their source go with it, without a word.
            self.wants.list = true;
            self.wants.owned |= foreign;
        }
        self.wants.owned |= foreign && self.overlay_index() == Some(address.index);
    }

    fn route(&mut self, event: &Received<'_>, foreign: bool) {
        let Some(route) = Route::read(event.payload) else {
            return;
        };
        if [MAIN, self.layout.learned_table()].contains(&route.key.table) {
            if event.kind == RTM_NEWROUTE {
                let replaces = event.flags & NLM_F_REPLACE != 0;
                self.routes.put(route, replaces);
            } else {
                self.routes.delete(&route);
            }
        } else if foreign
            && route.protocol == self.layout.protocol
            && owns_table(&self.layout, route.key.table)
        {
            self.wants.owned = true;
        }
    }

    fn nexthop(&mut self, event: &Received<'_>, foreign: bool) {
        let Some(found) = Nexthop::read(event.payload) else {
            return;
        };
        if NexthopId(found.id).parts().is_some() {
            self.wants.owned |= foreign;
        } else if event.kind == RTM_NEWNEXTHOP {
            self.routes.put_nexthop(found.id, found.leads);
        } else {
            self.wants.list |= self.routes.delete_nexthop(found.id);
        }
    }

    /// Works out what routing has learned since the last time.
    pub(super) fn settle(&mut self) -> LearnedDelta {
        let overlay = self.overlay_index();
        self.routes.settle(overlay)
    }

    /// All that routing has learned.
    pub(super) fn everything_learned(&self) -> LearnedDelta {
        self.routes.everything()
    }

    fn overlay_index(&self) -> Option<u32> {
        let mut links = self.links.values();
        links
            .find(|link| link.name == self.overlay.as_str())
            .map(|link| link.index)
    }

    /// What is around us, as of the last [`Self::settle`].
    pub(super) fn environment(&self) -> Environment {
        let by_name: HashMap<&str, &Link> = self
            .links
            .values()
            .map(|link| (link.name.as_str(), link))
            .collect();
        Environment {
            looked_for: self.uplinks.values().chain(&self.lans).cloned().collect(),
            uplinks: self
                .uplinks
                .iter()
                .filter_map(|(slot, name)| {
                    let link = by_name.get(name.as_str())?;
                    Some((*slot, self.uplink(link)))
                })
                .collect(),
            lans: self
                .lans
                .iter()
                .filter_map(|name| {
                    let link = by_name.get(name.as_str())?;
                    Some((name.clone(), self.lan(link)))
                })
                .collect(),
            foreign: self.foreign(),
            addresses: self.addresses.keys().map(|(_, net)| net.addr()).collect(),
        }
    }

    fn foreign(&self) -> BTreeMap<IpNet, Foreign> {
        let via = |way: &Way| {
            let interface = self.links.get(&way.hop.index)?.name.parse().ok()?;
            Some(Via {
                interface,
                gateway: way.hop.gateway,
                source: way.source,
            })
        };
        let foreign = self.routes.foreign().iter();
        let foreign = foreign.filter_map(|(prefix, elsewhere)| {
            let foreign = match elsewhere {
                Elsewhere::Main(way) => Foreign::Main(way.as_ref().and_then(via)),
                Elsewhere::Neighbor(way) => Foreign::Neighbor(via(way)?),
            };
            Some((*prefix, foreign))
        });
        foreign.collect()
    }

    fn uplink(&self, link: &Link) -> UplinkState {
        let gateway = |family: Family| {
            self.routes
                .default_gateway(&family.default_prefix(), link.index)
        };
        UplinkState {
            carrier: link.running,
            mtu: link.mtu,
            addresses: self.addresses_on(link),
            gateway4: gateway(Family::V4),
            gateway6: gateway(Family::V6),
        }
    }

    fn lan(&self, link: &Link) -> LanInterface {
        LanInterface {
            carrier: link.running,
            addresses: self.addresses_on(link),
        }
    }

    fn addresses_on(&self, link: &Link) -> BTreeSet<IpNet> {
        self.addresses
            .values()
            .filter(|address| address.index == link.index && address.global && address.usable)
            .map(|address| address.net)
            .collect()
    }
}
