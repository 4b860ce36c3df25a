//! Why a flow goes where it goes, by the same rules by which the kernel sends it there.

use std::net::IpAddr;

use ipnet::IpNet;
use patronus_model::Timestamp;
use patronus_model::ids::SiteNumber;
use patronus_model::policy::{Action, Flow, TrafficClass};
use patronus_model::router::{Lan, RouterConfig};
use patronus_model::view::{Explanation, Outcome, WithdrawnView};

use crate::desired::{local_networks, overlay_prefixes};
use crate::engine::Engine;

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
        if let Some(served) = self.served_here(config, destination) {
            let mut misrouted = self.misrouted(config);
            let misrouted = misrouted.find(|(prefix, _)| *prefix == served);
            let foreign = self.environment.as_ref();
            let foreign = foreign.and_then(|it| it.foreign.get(&served).cloned());
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
        let Some((route, site)) = self.route(destination) else {
            let guarded = overlay_prefixes(config)
                .chain(self.ownership.guarded(&self.learned))
                .any(|prefix| prefix.contains(&destination));
            return Some(match guarded {
                true => Outcome::Unreachable {
                    class: name,
                    withdrawn: self.withdrawn(now, config, destination),
                    lan: lan_of(config, destination).map(|lan| self.lan_view(lan)),
                    misrouted: None,
                },
                false => Outcome::NotOverlay {
                    class: name,
                    foreign: None,
                },
            });
        };
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

    /// The longest prefix of the overlay that the destination lies in.
    fn route(&self, destination: IpAddr) -> Option<(IpNet, SiteNumber)> {
        let matching = self
            .ownership
            .owners
            .iter()
            .filter(|(prefix, _)| prefix.contains(&destination));
        matching
            .max_by_key(|(prefix, _)| prefix.prefix_len())
            .map(|(prefix, site)| (*prefix, *site))
    }

    /// Whether an address is one of this router.
    fn is_ours(&self, config: &RouterConfig, address: IpAddr) -> bool {
        let environment = self.environment.as_ref();
        config.overlay.address(address) == Some(address)
            || environment.is_some_and(|it| it.addresses.contains(&address))
    }

    /// The prefix that is served on this side, if it is as close a match as any of the overlay.
    fn served_here(&self, config: &RouterConfig, destination: IpAddr) -> Option<IpNet> {
        let v6 = config.overlay.ipv6.map(|net| IpAddr::V6(net.addr()));
        let ours = [Some(IpAddr::V4(config.overlay.ipv4.addr())), v6];
        let ours = ours.into_iter().flatten().map(IpNet::from);
        let networks = self
            .environment
            .iter()
            .flat_map(|environment| local_networks(environment, &self.ownership));
        let local = ours
            .chain(networks)
            .filter(|prefix| prefix.contains(&destination));
        let local = local.max_by_key(IpNet::prefix_len)?;
        let overlay = self.route(destination);
        let overlay = overlay.map(|(prefix, _)| prefix.prefix_len());
        (Some(local.prefix_len()) >= overlay).then_some(local)
    }
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
