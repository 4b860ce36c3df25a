//! Why a flow goes where it goes, by the same rules by which the kernel sends it there.

use std::net::IpAddr;

use ipnet::IpNet;
use patronus_model::Timestamp;
use patronus_model::policy::{Action, Flow, TrafficClass};
use patronus_model::router::{Lan, RouterConfig};
use patronus_model::view::{Explanation, Outcome, WithdrawnView};

use crate::desired::local_networks;
use crate::engine::Engine;
use crate::ownership::overlay_prefixes;

impl Engine {
    /// Explains a flow that enters from a LAN; `None` before there is a configuration.
    #[must_use]
    pub fn explain(&self, now: Timestamp, flow: Flow) -> Option<Explanation> {
        let config = self.config.as_ref()?;
        let mut policies = Vec::new();
        let mut class = config.default_class;
        for policy in &config.policies {
            let mismatch = policy.matches.check(&flow).err();
            policies.push((policy.name.clone(), mismatch));
            match (mismatch, policy.action) {
                // Policies are about what is carried on: see ADR 0014.
                (None, Action::Drop) if !self.is_ours(config, flow.destination) => {
                    return Some(Explanation {
                        flow,
                        policies,
                        outcome: Outcome::Dropped,
                    });
                }
                (None, Action::Route(id)) => {
                    class = id;
                    break;
                }
                (None, Action::Drop) => break,
                (Some(_), Action::Route(_) | Action::Drop) => {}
            }
        }
        let class = config.classes.iter().find(|c| c.id == class)?;
        let outcome = self.outcome(now, config, class, &flow)?;
        Some(Explanation {
            flow,
            policies,
            outcome,
        })
    }

    fn outcome(
        &self,
        now: Timestamp,
        config: &RouterConfig,
        class: &TrafficClass,
        flow: &Flow,
    ) -> Option<Outcome> {
        let name = class.name.clone();
        if self.is_ours(config, flow.destination) {
            return Some(Outcome::Own { class: name });
        }
        let destination = flow.destination;
        let route = match self.lookup(config, destination) {
            Way::Site(route) => route,
            Way::Served(served) => {
                let mut misrouted = self.misrouted(config);
                let misrouted = misrouted.find(|(prefix, _)| *prefix == served);
                let foreign = self.ownership.served.get(&served).cloned();
                return Some(match misrouted {
                    Some(misrouted) => Outcome::Unreachable {
                        class: name,
                        withdrawn: None,
                        lan: None,
                        misrouted: Some(misrouted),
                    },
                    None => Outcome::NotOverlay {
                        class: name,
                        foreign: foreign.map(|foreign| (served, foreign)),
                    },
                });
            }
            Way::Guarded => {
                let misrouted = self.misrouted(config);
                let around = misrouted.filter(|(prefix, _)| prefix.contains(&destination));
                return Some(Outcome::Unreachable {
                    class: name,
                    withdrawn: self.withdrawn(now, config, destination),
                    lan: lan_of(config, destination).map(|lan| self.lan_view(lan)),
                    misrouted: around.max_by_key(|(prefix, _)| prefix.prefix_len()),
                });
            }
            Way::Main => {
                return Some(Outcome::NotOverlay {
                    class: name,
                    foreign: None,
                });
            }
        };
        let site = *self.ownership.owners.get(&route)?;
        let origin = self.origin(&route);
        let choice = self.choice_view(now, config, site, class)?;
        let site = config.remotes.iter().find(|s| s.number == site)?.id.clone();
        Some(Outcome::Routed {
            class: name,
            route,
            origin,
            site,
            choice,
        })
    }

    /// The longest of the prefixes that are not announced any more that an address lies in.
    fn withdrawn(
        &self,
        now: Timestamp,
        config: &RouterConfig,
        address: IpAddr,
    ) -> Option<WithdrawnView> {
        let matching = self.learned.withdrawn();
        let matching = matching.filter(|it| it.prefix.contains(&address));
        let it = matching.max_by_key(|it| it.prefix.prefix_len())?;
        let last = it.last.and_then(|(number, at)| {
            let mut sites = config.remotes.iter();
            let site = sites.find(|site| site.number == number)?.id.clone();
            Some((site, now.since(at)))
        });
        let configured = overlay_prefixes(config).any(|prefix| prefix.contains(&address));
        Some(WithdrawnView {
            prefix: it.prefix,
            last,
            configured,
        })
    }

    /// What the routing tables say of an address: that of the class first, then the guard's.
    fn lookup(&self, config: &RouterConfig, address: IpAddr) -> Way {
        let longest = |prefixes: &mut dyn Iterator<Item = IpNet>| {
            let around = prefixes.filter(|prefix| prefix.contains(&address));
            around.max_by_key(IpNet::prefix_len)
        };
        let length = |prefix: &Option<IpNet>| prefix.map(|prefix| prefix.prefix_len());
        let ownership = &self.ownership;
        let owned = longest(&mut ownership.owners.keys().copied());
        let environment = self.environment.iter();
        let served = environment.flat_map(|it| local_networks(it, ownership));
        let v6 = config.overlay.ipv6.map(|net| IpAddr::V6(net.addr()));
        let ours = [Some(IpAddr::V4(config.overlay.ipv4.addr())), v6];
        let ours = ours.into_iter().flatten().map(IpNet::from);
        let served = longest(&mut served.chain(ours));
        // A default route on this side is in no class table.
        let thrown = served.filter(|prefix| prefix.prefix_len() > 0);
        if let Some(route) = owned.filter(|_| length(&owned) > length(&thrown)) {
            return Way::Site(route);
        }
        let guarded = overlay_prefixes(config).chain(ownership.guarded(&self.learned));
        let guarded = longest(&mut guarded.filter(|prefix| prefix.prefix_len() > 0));
        match served {
            _ if length(&guarded) > length(&served) => Way::Guarded,
            Some(served) => Way::Served(served),
            None => Way::Main,
        }
    }

    /// Whether an address is one of this router.
    fn is_ours(&self, config: &RouterConfig, address: IpAddr) -> bool {
        let environment = self.environment.as_ref();
        config.overlay.address(address) == Some(address)
            || environment.is_some_and(|it| it.addresses.contains(&address))
    }
}

/// Where the routing tables lead.
enum Way {
    /// To the site that owns this prefix.
    Site(IpNet),
    /// Wherever this prefix is served on this side.
    Served(IpNet),
    /// Nowhere, as it belongs to the overlay.
    Guarded,
    /// Wherever the main table leads, perhaps by its default route.
    Main,
}

/// The LAN of ours that an address is in, by the longest of its prefixes.
fn lan_of(config: &RouterConfig, address: IpAddr) -> Option<&Lan> {
    let longest = |lan: &Lan| {
        let around = lan.prefixes.iter().filter(|it| it.contains(&address));
        around.map(IpNet::prefix_len).max()
    };
    let lans = config.lans.iter();
    let lans = lans.filter_map(|lan| Some((longest(lan)?, lan)));
    lans.max_by_key(|(length, _)| *length).map(|(_, lan)| lan)
}
