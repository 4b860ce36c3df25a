//! What is in the kernel that is ours.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use patronus_model::ids::IfName;
use patronus_model::kernel::{Family, KernelState, OverlayInterface, RouteKey, RouteTarget, Rule};
use patronus_model::layout::{KernelLayout, NexthopId};
use patronus_model::wireguard::{PublicKey, Tunnel};

use crate::error::Error;
use crate::netlink::Netlink;
use crate::netlink::link::{self, Link};
use crate::netlink::nexthop::{self, Leads, Nexthop};
use crate::netlink::route::{self, RTN_THROW, RTN_UNREACHABLE, Route};
use crate::netlink::rule::{self, Found};
use crate::nftables::Nftables;
use crate::overlay;
use crate::sysctl::Sysctls;
use crate::wireguard::{KeyStore, Wireguard};

/// Where things are, besides the kernel.
#[derive(Clone)]
pub struct Places {
    /// A directory below `/run`: what is remembered until the next boot.
    pub state: PathBuf,
    /// The private keys.
    pub keys: KeyStore,
    /// The user-space WireGuard: `wireguard-go`, by name or path.
    pub wireguard_go: PathBuf,
    /// Tunnels are made with it also where the kernel has WireGuard; those that there are stay.
    pub user_space: bool,
}

/// Observes and changes what is ours in the kernel.
///
/// Everything blocks: 10,000 routes take some 40 ms, a new tunnel some 50 ms. Give it a thread of
/// its own, or `spawn_blocking`. It works in the network and mount namespaces of the thread which
/// opened it, so that all calls should come from threads in these.
pub struct Kernel {
    pub(crate) layout: KernelLayout,
    pub(crate) netlink: Netlink,
    pub(crate) wireguard: Wireguard,
    pub(crate) nftables: Nftables,
    pub(crate) sysctls: Sysctls,
}

impl Kernel {
    /// Opens the kernel's interfaces. Changes nothing.
    ///
    /// # Errors
    /// A socket cannot be opened, or the file of saved kernel parameters cannot be read.
    pub fn open(layout: KernelLayout, places: Places) -> Result<Self, Error> {
        Ok(Self {
            netlink: Netlink::open()?,
            sysctls: Sysctls::open(&places.state)?,
            wireguard: Wireguard::new(
                places.keys,
                places.wireguard_go,
                places.user_space,
                places.state,
                layout.tunnel_group(),
            ),
            nftables: Nftables::default(),
            layout,
        })
    }

    /// What names our requests in kernel notifications: tell the [`Follower`](crate::Follower), so
    /// that our own changes do not look like somebody else's.
    #[must_use]
    pub const fn port(&self) -> u32 {
        self.netlink.port()
    }

    /// The kernel parameters that we have set, as they are now. Unlike everything else of ours, the
    /// kernel does not tell when they change.
    #[must_use]
    pub fn parameters(&self) -> BTreeMap<String, String> {
        self.sysctls.observe()
    }

    /// Reads what is there of ours.
    ///
    /// `firewall` is `None` unless the kernel still has, unaltered, what this process applied.
    /// A tunnel whose process does not answer is left out, so that it is made anew.
    ///
    /// # Errors
    /// The kernel refuses to list something.
    pub fn observe(&mut self) -> Result<KernelState, Error> {
        self.wireguard.reap();
        let mut state = KernelState {
            sysctls: self.sysctls.observe(),
            firewall: self.nftables.observe(),
            ..KernelState::default()
        };
        let links = self.links()?;
        state.overlay = self.observe_overlay(&links)?;
        for (name, link) in tunnels(&self.layout, &links) {
            let Some(reading) = Wireguard::read(link) else {
                continue;
            };
            let tunnel = Tunnel {
                // A device without a key has this one; no tunnel of ours does.
                public_key: reading.public_key.unwrap_or(PublicKey([0; 32])),
                listen_port: reading.listen_port,
                fwmark: reading.fwmark,
                // One that is down, or that nftables would not know, is as good as one with a
                // wrong MTU: it has to be put again.
                mtu: if link.up && link.group == self.layout.tunnel_group() {
                    link.mtu
                } else {
                    0
                },
            };
            let peers = reading.peers.into_iter();
            let peers = peers.map(|(key, peer)| ((name.clone(), key), peer));
            state.peers.extend(peers);
            state.tunnels.insert(name, tunnel);
        }
        let names = names(&links);
        state.nexthops = self.observe_nexthops(&names)?;
        for family in Family::ALL {
            state.routes.extend(self.observe_routes(family, &names)?);
            state.rules.extend(self.observe_rules(family)?);
        }
        Ok(state)
    }

    /// Whether our nftables table is there, also one that another process made, which
    /// [`observe`](Self::observe) does not report.
    ///
    /// # Errors
    /// `nft` cannot be run, or may not look.
    pub fn has_firewall(&self) -> Result<bool, Error> {
        Nftables::is_there()
    }

    /// Announces the addresses of the overlay interface once more.
    ///
    /// zebra reads of new interfaces and of new addresses from two sockets in two threads. An
    /// address that it reads of first, it forgets, and bgpd waits for it for ever (seen with 8.4.4
    /// at one start in thirty). Hearing of it again cures that.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn announce_overlay(&mut self) -> Result<(), Error> {
        overlay::announce(&mut self.netlink, &self.layout.overlay_interface())
    }

    pub(crate) fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.netlink
            .dump(&link::list(), "interfaces", |_, payload| {
                Link::read(payload)
            })
    }

    fn observe_overlay(&mut self, links: &[Link]) -> Result<Option<OverlayInterface>, Error> {
        let name = self.layout.overlay_interface();
        let found = links
            .iter()
            .find(|link| link.is_claimed() && link.name == name.as_str());
        let Some(link) = found else {
            return Ok(None);
        };
        Ok(Some(OverlayInterface {
            addresses: overlay::addresses(&mut self.netlink, link.index)?,
            // As with tunnels.
            mtu: if link.running { link.mtu } else { 0 },
            name,
        }))
    }

    pub(crate) fn observe_nexthops(
        &mut self,
        names: &HashMap<u32, IfName>,
    ) -> Result<BTreeMap<NexthopId, IfName>, Error> {
        let protocol = self.layout.protocol;
        let list = self
            .netlink
            .dump(&nexthop::list(), "nexthop objects", |_, payload| {
                let found = Nexthop::read(payload)?;
                let id = NexthopId(found.id);
                id.parts()?;
                match found.leads {
                    Leads::Hop(hop) if found.protocol == protocol => {
                        Some((id, names.get(&hop.index)?.clone()))
                    }
                    _ => None,
                }
            })?;
        Ok(list.into_iter().collect())
    }

    fn observe_routes(
        &mut self,
        family: Family,
        names: &HashMap<u32, IfName>,
    ) -> Result<Vec<(RouteKey, RouteTarget)>, Error> {
        let layout = &self.layout;
        let request = route::list(family, Some(layout.protocol), None);
        self.netlink.dump(&request, "our routes", |_, payload| {
            let route = Route::read(payload)?;
            let ours = route.protocol == layout.protocol && owns_table(layout, route.key.table);
            let target = target(&route, names)?;
            ours.then_some((route.key, target))
        })
    }

    pub(crate) fn observe_rules(&mut self, family: Family) -> Result<Vec<Rule>, Error> {
        let layout = &self.layout;
        self.netlink
            .dump(&rule::list(family), "rules", |_, payload| {
                let found = Found::read(payload)?;
                owns_rule(layout, &found).then_some(found.rule)
            })
    }
}

/// The tunnels that carry our mark.
pub(crate) fn tunnels<'a>(layout: &KernelLayout, links: &'a [Link]) -> Vec<(IfName, &'a Link)> {
    let overlay = layout.overlay_interface();
    links
        .iter()
        .filter(|link| link.is_claimed() && layout.owns_interface(&link.name))
        .filter(|link| link.name != overlay.as_str())
        .filter_map(|link| Some((link.name.parse().ok()?, link)))
        .collect()
}

/// Whether a routing table is in our range.
pub(crate) fn owns_table(layout: &KernelLayout, table: u32) -> bool {
    let first = layout.table_base;
    (first..first.saturating_add(KernelLayout::SPAN)).contains(&table)
}

/// Whether a rule carries our mark.
pub(crate) fn owns_rule(layout: &KernelLayout, found: &Found) -> bool {
    found.protocol == layout.protocol && owns_priority(layout, found.rule.priority)
}

/// Whether a rule priority is in our range.
pub(crate) fn owns_priority(layout: &KernelLayout, priority: u32) -> bool {
    let first = layout.rule_base;
    (first..first.saturating_add(KernelLayout::SPAN)).contains(&priority)
}

pub(crate) fn names(links: &[Link]) -> HashMap<u32, IfName> {
    links
        .iter()
        .filter_map(|link| Some((link.index, link.name.parse().ok()?)))
        .collect()
}

/// `None` for routes of kinds that we do not make, and for those whose interface is just going.
fn target(route: &Route, names: &HashMap<u32, IfName>) -> Option<RouteTarget> {
    let source = route.source;
    match (route.kind, route.nexthop, route.hops.as_slice()) {
        (RTN_THROW, ..) => Some(RouteTarget::Throw),
        (RTN_UNREACHABLE, ..) => Some(RouteTarget::Unreachable),
        (_, Some(id), _) => Some(RouteTarget::Nexthop {
            id: NexthopId(id),
            source,
        }),
        (_, None, [hop]) => Some(RouteTarget::Device {
            interface: names.get(&hop.index)?.clone(),
            gateway: hop.gateway,
            source,
        }),
        _ => None,
    }
}

const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Kernel>();
};
