//! A daemon that always says the same: a router in Berlin with two uplinks, a well-connected site,
//! a hub with a bad path, and a site which cannot be reached.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a module of several tests, each needing some of it; tests may panic"
)]

mod explained;
pub mod happened;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use patronus_api::{Diagnostic, Names, Recorded, ReloadOutcome, Request};
use patronus_model::change::Changes;
use patronus_model::event::{Candidate, Event, Reason, Verdict};
use patronus_model::ids::{ClassId, PathId, SiteNumber, Slot};
use patronus_model::kernel::Via;
use patronus_model::path::{Measurement, PathCause, PathState};
use patronus_model::policy::Action;
use patronus_model::view::*;
use tokio::sync::mpsc;

use explained::explain;
use happened::events;
use sessions::{bfd, bgp, handshakes, key};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

pub const BROKEN_LOSS: PathCause = PathCause::Loss {
    measured: 21,
    limit: 10,
};

/// What the daemon says.
#[derive(Clone)]
pub struct Canned {
    pub view: Option<RouterView>,
    /// `None`: a tunnel hangs, and whoever asks waits for ever.
    pub handshakes: Option<Handshakes>,
    pub bgp: BgpView,
    pub events: Vec<EventRecord>,
    /// The router when they happened, if it was another.
    pub before: Option<RouterView>,
    pub reload: ReloadOutcome,
}

impl Canned {
    /// With its problems.
    pub fn usual() -> Self {
        Self {
            view: Some(view()),
            handshakes: Some(handshakes()),
            bgp: bgp(),
            events: events(),
            before: None,
            reload: ReloadOutcome::Refused(vec![diagnostic()]),
        }
    }

    /// With two uplinks and one site, all of them well.
    pub fn well() -> Self {
        let mut view = view();
        view.settled = true;
        view.lans.truncate(1);
        view.sites.retain(|site| site.id.as_str() == "lisbon");
        view.paths.retain(|path| path.site.as_str() == "lisbon");
        for path in &mut view.paths {
            (path.state, path.cause) = (PathState::Up, PathCause::Alive);
            path.suppressed = None;
        }
        let mut bgp = bgp();
        bgp.neighbors.truncate(1);
        for daemon in &mut bgp.daemons {
            daemon.version = Some("10.3".to_owned());
        }
        Self {
            view: Some(view),
            handshakes: Some(handshakes()),
            bgp,
            events: Vec::new(),
            before: None,
            reload: ReloadOutcome::Applied {
                warnings: Vec::new(),
                changes: Changes::default(),
            },
        }
    }

    /// Answers until nobody can ask any more.
    pub async fn answer(self, mut requests: mpsc::Receiver<Request>) {
        let view = self.view.clone().map(Arc::new);
        let mut waiting = Vec::new();
        while let Some(request) = requests.recv().await {
            match request {
                Request::View(reply) => drop(reply.send(view.clone())),
                Request::Bfd(reply) => drop(reply.send(bfd())),
                Request::Handshakes(reply) => match self.handshakes.clone() {
                    Some(handshakes) => drop(reply.send(handshakes)),
                    None => waiting.push(reply),
                },
                Request::Bgp(reply) => drop(reply.send(self.bgp.clone())),
                Request::Events {
                    after,
                    limit,
                    reply,
                } => drop(reply.send(self.page(after, limit))),
                Request::LastMove(reply) => {
                    let moved = |record: &&EventRecord| match &record.event {
                        Event::Moved(decision) => decision.from.is_some(),
                        _ => false,
                    };
                    let moved = self.events.iter().rfind(moved).cloned();
                    drop(reply.send(moved.map(|record| self.recorded(record))));
                }
                Request::Explain(flow, reply) => {
                    drop(reply.send(view.as_ref().map(|_| explain(flow))))
                }
                Request::Forget(prefix, reply) => {
                    let routes = self.view.iter().flat_map(|view| &view.routes);
                    let withdrawn =
                        |r: &RouteView| r.prefix == prefix && r.origin == RouteOrigin::Withdrawn;
                    reply.send(routes.clone().any(withdrawn)).ok();
                }
                Request::ForgetWithin { within, reply, .. } => {
                    let routes = self.view.iter().flat_map(|view| &view.routes);
                    let withdrawn = routes.filter(|r| r.origin == RouteOrigin::Withdrawn);
                    let prefixes = withdrawn.map(|r| r.prefix);
                    let inside = prefixes.filter(|it| within.is_none_or(|wide| wide.contains(it)));
                    reply.send(inside.collect()).ok();
                }
                Request::Reload(reply) => drop(reply.send(self.reload.clone())),
            }
        }
    }

    fn page(&self, after: Option<u64>, limit: usize) -> Vec<Recorded> {
        let all = &self.events;
        let page = match after {
            None => all[all.len().saturating_sub(limit)..].to_vec(),
            Some(after) => {
                let later = all.iter().filter(|record| record.sequence > after);
                later.take(limit).cloned().collect()
            }
        };
        page.into_iter().map(|it| self.recorded(it)).collect()
    }

    fn recorded(&self, record: EventRecord) -> Recorded {
        let view = self.before.as_ref().or(self.view.as_ref());
        let names = view.map_or_else(Names::default, Names::of_view);
        Recorded {
            record,
            names: Arc::new(names),
        }
    }
}

fn class(id: u8) -> ClassId {
    ClassId::new(id).unwrap()
}

pub fn path_id(site: u16, local: u8, remote: u8) -> PathId {
    PathId {
        site: SiteNumber::new(site).unwrap(),
        local: Slot::new(local).unwrap(),
        remote: Slot::new(remote).unwrap(),
    }
}

fn measured(rtt_us: u64, loss: u16) -> Measurement {
    Measurement {
        rtt: Some(Duration::from_micros(rtt_us)),
        loss_permille: Some(loss),
    }
}

pub fn view() -> RouterView {
    RouterView {
        site: "berlin".parse().unwrap(),
        name: "Berlin office".to_owned(),
        location: Some("Berlin, Germany".to_owned()),
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        uptime: 76 * HOUR,
        configured: 3 * HOUR,
        settled: true,
        pending: Pending::default(),
        refused: None,
        obstacles: Vec::new(),
        uplinks: vec![uplink("fibre", 1, 94, 94), uplink("lte", 2, 11, 48)],
        lans: vec![
            lan("lan0", "10.1.0.0/24", LanState::Up),
            lan("lan1", "10.1.1.0/24", LanState::Missing),
        ],
        sites: vec![site("lisbon", 2), site("oslo", 3), site("tromso", 4)],
        paths: paths(),
        classes: vec![
            class_view(1, "voice", "lowest latency", false),
            class_view(2, "bulk", "lowest cost", true),
        ],
        policies: policies(),
        routes: vec![
            route("10.2.0.0/16", "lisbon", RouteOrigin::Bgp),
            route("10.2.7.0/24", "oslo", RouteOrigin::Stale),
            route("10.6.0.0/24", "oslo", RouteOrigin::Withdrawn),
            route("10.8.0.0/24", "oslo", RouteOrigin::Local),
            route("10.8.1.0/24", "oslo", RouteOrigin::Neighbor),
            RouteView {
                prefix: "10.6.1.0/24".parse().unwrap(),
                site: None,
                origin: RouteOrigin::Withdrawn,
                via: None,
            },
            route("10.3.0.0/16", "oslo", RouteOrigin::Configured),
            route("fd00:2::/48", "lisbon", RouteOrigin::Bgp),
        ],
        misrouted: Vec::new(),
        cuts: Vec::new(),
        of_neighbors: 0,
    }
}

fn uplink(name: &str, slot: u8, up: u64, down: u64) -> UplinkView {
    UplinkView {
        name: name.parse().unwrap(),
        slot: Slot::new(slot).unwrap(),
        interface: format!("wan{}", slot - 1).parse().unwrap(),
        fault: None,
        addresses: vec![format!("192.0.2.{slot}/24").parse().unwrap()],
        gateways: vec!["192.0.2.254".parse().unwrap()],
        bandwidth: (Some(up * 1_000_000), Some(down * 1_000_000)),
        cost: if name == "lte" { 200 } else { 100 },
        metered: name == "lte",
    }
}

fn lan(interface: &str, prefix: &str, state: LanState) -> LanView {
    LanView {
        interface: interface.parse().unwrap(),
        prefixes: vec![prefix.parse().unwrap()],
        state,
        addresses: Vec::new(),
    }
}

fn site(id: &str, number: u16) -> SiteView {
    let choice = |id: u8, local, remote, reason| ChoiceView {
        site: SiteNumber::new(number).unwrap(),
        class: class(id),
        path: (number != 4).then(|| path_id(number, local, remote)),
        reason,
        since: 3 * MINUTE,
        candidates: match id {
            1 => candidates(number),
            _ => by_cost(number),
        },
    };
    SiteView {
        id: id.parse().unwrap(),
        name: format!("{id} branch"),
        number: SiteNumber::new(number).unwrap(),
        hub: id == "oslo",
        addresses: vec![format!("10.255.0.{number}").parse().unwrap()],
        choices: vec![
            choice(
                1,
                if number == 2 { 2 } else { 1 },
                1,
                Reason::PathDegraded(BROKEN_LOSS),
            ),
            choice(2, 1, 1, Reason::Initial),
        ],
    }
}

fn paths() -> Vec<PathView> {
    let down = (PathState::Down, PathCause::Silent);
    vec![
        path(
            "lisbon",
            2,
            (1, 1),
            (PathState::Degraded, BROKEN_LOSS),
            measured(22_431, 21),
        ),
        path(
            "lisbon",
            2,
            (1, 2),
            (PathState::Up, PathCause::Alive),
            measured(48_020, 2),
        ),
        path(
            "lisbon",
            2,
            (2, 1),
            (PathState::Up, PathCause::Alive),
            measured(51_300, 0),
        ),
        path(
            "oslo",
            3,
            (1, 1),
            (PathState::Up, PathCause::Alive),
            measured(842, 0),
        ),
        path("tromso", 4, (1, 1), down, Measurement::default()),
    ]
}

fn path(
    site: &str,
    number: u16,
    (local, remote): (u8, u8),
    (state, cause): (PathState, PathCause),
    measured: Measurement,
) -> PathView {
    let name = |slot| if slot == 1 { "fibre" } else { "lte" }.parse().unwrap();
    let classes = match (local, remote) {
        (1, 1) => vec![class(2)],
        (2, 1) => vec![class(1)],
        _ => Vec::new(),
    };
    PathView {
        id: path_id(number, local, remote),
        site: site.parse().unwrap(),
        local: name(local),
        remote: name(remote),
        interface: format!("pat-0-{local}-{remote}").parse().unwrap(),
        peer: key(number, remote),
        endpoint: (state != PathState::Down).then(|| "198.51.100.7:51820".parse().unwrap()),
        state,
        cause,
        since: 3 * MINUTE,
        suppressed: ((local, remote) == (1, 2)).then_some(2 * MINUTE),
        measured,
        cost: Some(100 * u32::from(local)),
        classes,
    }
}

fn class_view(id: u8, name: &str, strategy: &str, default: bool) -> ClassView {
    ClassView {
        id: class(id),
        name: name.parse().unwrap(),
        strategy: strategy.to_owned(),
        default,
    }
}

fn policies() -> Vec<PolicyView> {
    let policy = |name: &str, priority, matches: &str, action| PolicyView {
        name: name.parse().unwrap(),
        priority,
        matches: matches.to_owned(),
        action,
    };
    let telnet = "from 10.1.0.0/16,10.2.0.0/16,10.3.0.0/16 to 10.0.0.0/8 tcp dport 23";
    vec![
        policy("no-telnet", 10, telnet, Action::Drop),
        policy(
            "voice-first",
            20,
            "udp dport 5060-5061",
            Action::Route(class(1)),
        ),
    ]
}

fn route(prefix: &str, site: &str, origin: RouteOrigin) -> RouteView {
    RouteView {
        prefix: prefix.parse().unwrap(),
        site: Some(site.parse().unwrap()),
        origin,
        via: matches!(origin, RouteOrigin::Local | RouteOrigin::Neighbor).then(by_lan),
    }
}

fn by_lan() -> Via {
    Via {
        interface: "lan0".parse().unwrap(),
        gateway: "10.1.0.7".parse().ok(),
        source: None,
    }
}

/// How voice sees the paths to a site.
pub fn candidates(site: u16) -> Vec<Candidate> {
    let candidate = |local, remote, (state, cause), measured, verdict| Candidate {
        path: path_id(site, local, remote),
        state,
        cause,
        measured,
        cost: None,
        verdict,
    };
    let up = (PathState::Up, PathCause::Alive);
    vec![
        candidate(
            1,
            2,
            up,
            measured(48_020, 2),
            Verdict::HoldingDown {
                remaining: Duration::from_secs(12),
            },
        ),
        candidate(2, 1, up, measured(51_300, 0), Verdict::Chosen),
        candidate(
            1,
            1,
            (PathState::Degraded, BROKEN_LOSS),
            measured(22_431, 21),
            Verdict::RankedLower,
        ),
    ]
}

/// How bulk sees the paths to a site.
fn by_cost(site: u16) -> Vec<Candidate> {
    let candidate = |local: u8, verdict| Candidate {
        path: path_id(site, local, 1),
        state: PathState::Up,
        cause: PathCause::Alive,
        measured: measured(842, 0),
        cost: Some(100 * u32::from(local)),
        verdict,
    };
    vec![
        candidate(1, Verdict::Chosen),
        candidate(2, Verdict::RankedLower),
    ]
}

fn diagnostic() -> Diagnostic {
    Diagnostic {
        warning: false,
        file: "/etc/patronus/config.yaml".to_owned(),
        place: Some((12, 10)),
        field: "sites[0].asn".to_owned(),
        value: Some("0".to_owned()),
        problem: "is not an ASN".to_owned(),
        help: "use 1 to 4294967294".to_owned(),
    }
}
