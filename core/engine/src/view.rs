//! What the engine shows of itself.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use patronus_model::Timestamp;
use patronus_model::event::UplinkFault;
use patronus_model::ids::{ClassId, IfName, PathId, SiteId, SiteNumber, UplinkName};
use patronus_model::kernel::{Foreign, UplinkState};
use patronus_model::policy::{Match, Strategy, TrafficClass};
use patronus_model::router::{Lan, RemoteSite, RouterConfig, Uplink};
use patronus_model::view::{
    ChoiceView, ClassView, CutView, Holder, LanState, LanView, PathView, Pending, PolicyView,
    RouteOrigin, RouteView, RouterView, SiteView, UplinkView,
};
use patronus_model::wireguard::PublicKey;

use crate::cuts::{self, Cut};
use crate::decide::account;
use crate::desired::effective;
use crate::engine::{Engine, uplink_fault};

impl Engine {
    /// A picture of the whole router; `None` before it has a configuration. `started` is when the
    /// daemon started.
    #[must_use]
    pub fn view(&self, now: Timestamp, started: Timestamp) -> Option<RouterView> {
        let config = self.config.as_ref()?;
        Some(RouterView {
            site: config.site.id.clone(),
            name: config.site.name.clone(),
            location: config.site.location.clone(),
            labels: config.site.labels.clone(),
            uptime: now.since(started),
            configured: now.since(self.configured),
            settled: self.settled(),
            pending: match self.settled() {
                true => Pending::default(),
                false => self.pending.clone(),
            },
            refused: None,
            obstacles: Vec::new(),
            uplinks: config
                .uplinks
                .iter()
                .map(|uplink| self.uplink_view(config, uplink))
                .collect(),
            lans: config.lans.iter().map(|lan| self.lan_view(lan)).collect(),
            sites: config
                .remotes
                .iter()
                .map(|site| self.site_view(now, config, site))
                .collect(),
            paths: self.path_views(now, config),
            classes: config
                .classes
                .iter()
                .map(|class| class_view(config, class))
                .collect(),
            policies: policy_views(config),
            routes: self.route_views(config),
            misrouted: self.misrouted(config).collect(),
            cuts: self.cut_views(config),
            of_neighbors: self.of_neighbors(),
        })
    }

    /// Routes that lead out of an uplink what must not leave there: of the main table, what nftables
    /// drops there, and what BGP neighbours announce of what belongs to the overlay.
    pub(crate) fn misrouted<'a>(
        &'a self,
        config: &'a RouterConfig,
    ) -> impl Iterator<Item = (IpNet, Foreign)> + 'a {
        let firewall = self.observed.as_ref().and_then(|it| it.firewall.as_ref());
        let dropped = move |prefix: &IpNet| {
            let mut guarded = firewall.into_iter().flat_map(|it| &it.guarded);
            guarded.any(|guarded| guarded.contains(prefix))
        };
        let served = self.ownership.served.iter();
        let served = served.filter(move |(prefix, foreign)| {
            // A lease is no route of anybody's making.
            let via = foreign.via().filter(|via| via.gateway.is_some());
            let mut uplinks = config.uplinks.iter();
            let by_uplink = via.is_some_and(|via| uplinks.any(|it| it.interface == via.interface));
            by_uplink && dropped(prefix)
        });
        let served = served.map(|(prefix, foreign)| (*prefix, foreign.clone()));
        let astray = self.ownership.astray.iter();
        let astray = astray.map(|(prefix, via)| (*prefix, Foreign::Neighbor(via.clone())));
        served.chain(astray)
    }

    fn uplink_view(&self, config: &RouterConfig, uplink: &Uplink) -> UplinkView {
        let environment = self.environment.as_ref();
        let nothing = UplinkState::default();
        let state = environment
            .and_then(|e| e.uplinks.get(&uplink.slot))
            .unwrap_or(&nothing);
        let gateways = [
            effective(uplink.gateway4, state.gateway4),
            effective(uplink.gateway6, state.gateway6),
        ];
        UplinkView {
            name: uplink.name.clone(),
            slot: uplink.slot,
            interface: uplink.interface.clone(),
            fault: environment.map_or(Some(UplinkFault::Unknown), |e| {
                uplink_fault(config, e, uplink.slot)
            }),
            addresses: state.addresses.iter().copied().collect(),
            gateways: gateways.into_iter().flatten().collect(),
            bandwidth: (uplink.bandwidth_up, uplink.bandwidth_down),
            cost: uplink.cost,
            metered: uplink.metered,
        }
    }

    pub(crate) fn lan_view(&self, lan: &Lan) -> LanView {
        let environment = self.environment.as_ref();
        let interface = environment.and_then(|e| e.lans.get(&lan.interface));
        let state = match (environment, interface.map(|it| it.carrier)) {
            (None, _) => LanState::Unknown,
            (Some(_), None) => LanState::Missing,
            (Some(_), Some(false)) => LanState::Down,
            (Some(_), Some(true)) => LanState::Up,
        };
        let addresses = interface.into_iter().flat_map(|it| &it.addresses);
        LanView {
            interface: lan.interface.clone(),
            prefixes: lan.prefixes.clone(),
            state,
            addresses: addresses.copied().collect(),
        }
    }

    fn site_view(&self, now: Timestamp, config: &RouterConfig, site: &RemoteSite) -> SiteView {
        let choice = |class: &TrafficClass| self.choice_view(now, config, site.number, class);
        SiteView {
            id: site.id.clone(),
            name: site.name.clone(),
            number: site.number,
            hub: site.hub.is_some(),
            addresses: site.addresses().collect(),
            choices: config.classes.iter().filter_map(choice).collect(),
        }
    }

    /// Where a class goes at a site, and how all paths look to it now.
    pub(crate) fn choice_view(
        &self,
        now: Timestamp,
        config: &RouterConfig,
        site: SiteNumber,
        class: &TrafficClass,
    ) -> Option<ChoiceView> {
        let choice = self.choices.get(&(site, class.id))?;
        let circumstances = self.circumstances(config, site);
        Some(ChoiceView {
            site,
            class: class.id,
            path: choice.path,
            reason: choice.reason,
            since: now.since(choice.since),
            candidates: account(
                now,
                class,
                choice,
                circumstances,
                &self.contenders(site, choice.path),
                None,
            ),
        })
    }

    fn path_views(&self, now: Timestamp, config: &RouterConfig) -> Vec<PathView> {
        // On a path to a hub, a class may travel to several sites.
        let mut riders: BTreeMap<PathId, BTreeSet<ClassId>> = BTreeMap::new();
        for ((_, class), choice) in &self.choices {
            if let Some(path) = choice.path {
                riders.entry(path).or_default().insert(*class);
            }
        }
        let sites: BTreeMap<SiteNumber, &RemoteSite> = config
            .remotes
            .iter()
            .map(|site| (site.number, site))
            .collect();
        let view = |(id, spec): (&PathId, &crate::topology::PathSpec)| {
            let health = self.health.get(id)?;
            Some(PathView {
                id: *id,
                site: sites.get(&id.site)?.id.clone(),
                local: spec.local.clone(),
                remote: spec.remote.clone(),
                interface: spec.interface.clone(),
                peer: spec.peer,
                endpoint: self.endpoint(&spec.interface, spec.peer),
                state: health.state,
                cause: health.cause,
                since: now.since(health.since),
                suppressed: health.suppressed_for(now, &config.health),
                measured: health.measured,
                cost: goes_by_cost(config, &spec.local).then_some(spec.cost),
                classes: riders.remove(id).unwrap_or_default().into_iter().collect(),
            })
        };
        self.topology.paths.iter().filter_map(view).collect()
    }

    fn endpoint(&self, interface: &IfName, peer: PublicKey) -> Option<std::net::SocketAddr> {
        self.observed
            .as_ref()?
            .peers
            .get(&(interface.clone(), peer))?
            .endpoint
    }

    /// Whether a prefix was announced and is not any more, so that [`Input::Forget`] makes a
    /// difference.
    ///
    /// [`Input::Forget`]: crate::Input::Forget
    #[must_use]
    pub fn is_withdrawn(&self, prefix: &IpNet) -> bool {
        self.learned.withdrawn().any(|it| it.prefix == *prefix)
    }

    /// What [`Input::ForgetWithin`] forgets.
    ///
    /// [`Input::ForgetWithin`]: crate::Input::ForgetWithin
    #[must_use]
    pub fn withdrawn_within(&self, wide: Option<&IpNet>) -> Vec<IpNet> {
        let all = self.learned.withdrawn().map(|it| it.prefix);
        all.filter(|it| wide.is_none_or(|wide| wide.contains(it)))
            .collect()
    }

    /// Where a prefix that somebody owns is known from.
    pub(crate) fn origin(&self, prefix: &IpNet) -> RouteOrigin {
        match self.learned.is_stale(prefix) {
            None => RouteOrigin::Configured,
            Some(true) => RouteOrigin::Stale,
            Some(false) => RouteOrigin::Bgp,
        }
    }

    fn cut_views(&self, config: &RouterConfig) -> Vec<CutView> {
        let id = |number: SiteNumber| {
            let mut sites = config.remotes.iter();
            Some(sites.find(|site| site.number == number)?.id.clone())
        };
        let view = |cut: Cut| {
            Some(CutView {
                part: cut.part,
                of: cut.of,
                owner: id(cut.owner)?,
                by: match cut.by {
                    cuts::Holder::Site(site) => Holder::Site(id(site)?),
                    cuts::Holder::Foreign(foreign) => Holder::Foreign(foreign),
                },
            })
        };
        cuts::cuts(&self.ownership)
            .into_iter()
            .filter_map(view)
            .collect()
    }

    fn of_neighbors(&self) -> usize {
        let served = self.ownership.served.values();
        served
            .filter(|foreign| matches!(foreign, Foreign::Neighbor(_)))
            .count()
    }

    fn route_views(&self, config: &RouterConfig) -> Vec<RouteView> {
        let sites: BTreeMap<SiteNumber, &RemoteSite> = config
            .remotes
            .iter()
            .map(|site| (site.number, site))
            .collect();
        let view = |(prefix, site): (&IpNet, &SiteNumber)| {
            let site = sites.get(site)?.id.clone();
            Some(RouteView {
                prefix: *prefix,
                site: Some(site),
                origin: self.origin(prefix),
                via: None,
            })
        };
        let owners = &self.ownership.owners;
        let local = |prefix: &IpNet, site: Option<SiteId>| {
            let foreign = self.ownership.served.get(prefix)?;
            Some(RouteView {
                prefix: *prefix,
                site,
                origin: match foreign {
                    Foreign::Main(_) => RouteOrigin::Local,
                    Foreign::Neighbor(_) => RouteOrigin::Neighbor,
                },
                via: foreign.via().cloned(),
            })
        };
        let id = |site: SiteNumber| Some(sites.get(&site)?.id.clone());
        let announced = self.learned.routes();
        let announced = announced.filter(|(prefix, _)| !owners.contains_key(prefix));
        let served = announced.filter_map(|(prefix, site)| local(&prefix, id(site)));
        let withdrawn = self.learned.withdrawn();
        // What a wider prefix leads to is reached by that.
        let is_reached = |prefix: &IpNet| {
            (1..=prefix.prefix_len()).any(|length| {
                let wide = IpNet::new(prefix.addr(), length);
                wide.is_ok_and(|wide| owners.contains_key(&wide.trunc()))
            })
        };
        let withdrawn = withdrawn.filter(|it| !is_reached(&it.prefix));
        let withdrawn = withdrawn.map(|it| {
            let site = it.last.and_then(|(site, _)| id(site));
            // Of what a neighbour has as well, bgpd hands on one best path.
            local(&it.prefix, site.clone()).unwrap_or(RouteView {
                prefix: it.prefix,
                site,
                origin: RouteOrigin::Withdrawn,
                via: None,
            })
        });
        let owned = owners.iter().filter_map(view);
        let mut all: Vec<RouteView> = owned.chain(served).chain(withdrawn).collect();
        all.sort_by_key(|route| route.prefix);
        all
    }
}

/// Whether a class compares paths over this uplink by its cost, whatever their round trips are.
fn goes_by_cost(config: &RouterConfig, uplink: &UplinkName) -> bool {
    config.classes.iter().any(|class| match &class.strategy {
        Strategy::LeastLatency => false,
        Strategy::Preference(order) => !order.contains(uplink),
    })
}

fn class_view(config: &RouterConfig, class: &TrafficClass) -> ClassView {
    let strategy = match &class.strategy {
        Strategy::LeastLatency => "lowest latency".to_owned(),
        Strategy::Preference(order) => {
            let names: Vec<&str> = order.iter().map(|name| name.as_str()).collect();
            if names.is_empty() {
                "lowest cost".to_owned()
            } else {
                names.join(" > ")
            }
        }
    };
    let default = class.id == config.default_class;
    ClassView {
        id: class.id,
        name: class.name.clone(),
        strategy,
        default,
    }
}

fn policy_views(config: &RouterConfig) -> Vec<PolicyView> {
    let view = |policy: &patronus_model::policy::Policy| PolicyView {
        name: policy.name.clone(),
        priority: policy.priority,
        matches: describe(&policy.matches),
        action: policy.action,
    };
    config.policies.iter().map(view).collect()
}

/// The conditions in words.
fn describe(matches: &Match) -> String {
    fn list<T: std::fmt::Display>(word: &str, items: &[T]) -> Option<String> {
        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
        (!items.is_empty()).then(|| format!("{word} {}", items.join(",")))
    }
    let ports = |word, ranges: &[std::ops::RangeInclusive<u16>]| {
        let texts: Vec<String> = ranges
            .iter()
            .map(|range| match range.start() == range.end() {
                true => range.start().to_string(),
                false => format!("{}-{}", range.start(), range.end()),
            })
            .collect();
        list(word, &texts)
    };
    let parts = [
        list("in", &matches.ingress),
        list("from", &matches.sources),
        list("to", &matches.destinations),
        matches.protocol.map(|protocol| protocol.to_string()),
        ports("sport", &matches.source_ports),
        ports("dport", &matches.destination_ports),
        list("dscp", &matches.dscp),
    ];
    let words: Vec<String> = parts.into_iter().flatten().collect();
    if words.is_empty() {
        "everything".to_owned()
    } else {
        words.join(" ")
    }
}
