//! Answers what the API asks.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use patronus_api::{Diagnostic, ReloadOutcome, Request};
use patronus_config::Severity;
use patronus_engine::Input;
use patronus_engine::bfd::{Diagnostic as BfdDiagnostic, State};
use patronus_frr::state::{BfdPeer, SessionState};
use patronus_frr::status::{DaemonStatus, NeighborStatus};
use patronus_frr::{Daemon, FrrStatus};
use patronus_model::event::Event;
use patronus_model::router::RouterConfig;
use patronus_model::view::{
    BfdCounters, BfdState, BfdView, BfdWatched, BgpView, EventRecord, NeighborView, RouterView,
    RoutingDaemonView,
};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::bfd::{BfdHandle, SessionSnapshot};
use crate::clock;
use crate::load::LoadError;
use crate::places::Places;
use crate::router::{Reloaded, Router};
use crate::systemd;

/// Who may use the socket: its owner and its group.
const SOCKET_MODE: u32 = 0o660;

/// Starts to serve the API on its socket.
///
/// # Errors
/// The socket cannot be made.
pub fn serve(
    places: &Places,
    requests: mpsc::Sender<Request>,
    mut shutdown: watch::Receiver<()>,
) -> anyhow::Result<JoinHandle<()>> {
    let path = places.socket();
    let doing = || format!("listening on {}", path.display());
    // What is there is a predecessor's: two daemons of one router would be at each other's throat
    // long before they came here.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(doing);
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).with_context(doing)?;
    let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
    std::fs::set_permissions(&path, mode).with_context(doing)?;
    let ended = async move {
        // An error means that the sender is gone: the same.
        let _ = shutdown.changed().await;
    };
    Ok(tokio::spawn(async move {
        if let Err(error) = patronus_api::serve(listener, requests, ended).await {
            warn!(%error, "the API has stopped");
        }
    }))
}

impl Router {
    /// Answers one question. An asker that has gone away in the meantime is no error.
    pub(crate) fn answer(&mut self, request: Request) {
        match request {
            Request::View(reply) => {
                let view = self.engine.view(clock::now(), self.started);
                let view = view.map(|view| RouterView {
                    refused: self.refused.clone(),
                    obstacles: self.obstacles.borrow().clone(),
                    ..view
                });
                let _ = reply.send(view.map(Arc::new));
            }
            Request::Bfd(reply) => {
                let mut sessions = bfd(&self.bfd, &self.config);
                sessions.extend(bfd_of_frr(&self.frr_status(), &self.config));
                let _ = reply.send(sessions);
            }
            // Where too many wait already, this one hears that nothing is known.
            Request::Handshakes(reply) => drop(self.handshakes.try_send(reply)),
            Request::Bgp(reply) => drop(reply.send(bgp(&self.frr_status(), &self.config))),
            Request::Events {
                after,
                limit,
                reply,
            } => {
                let _ = reply.send(self.journal.read(after, limit));
            }
            Request::LastMove(reply) => drop(reply.send(self.journal.newest(is_move))),
            Request::Explain(flow, reply) => {
                let _ = reply.send(self.engine.explain(clock::now(), flow));
            }
            Request::Forget(prefix, reply) => {
                let known = self.engine.is_withdrawn(&prefix);
                if known {
                    self.handle(Input::Forget(prefix));
                }
                let _ = reply.send(known);
            }
            Request::ForgetWithin {
                within,
                dry_run,
                reply,
            } => {
                let prefixes = self.engine.withdrawn_within(within.as_ref());
                if !dry_run {
                    self.handle(Input::ForgetWithin(within));
                }
                let _ = reply.send(prefixes);
            }
            Request::Reload(reply) => self.reload(Some(reply)),
        }
    }

    fn frr_status(&self) -> FrrStatus {
        let status = self.frr.as_ref().map(|frr| frr.status.borrow().clone());
        status.unwrap_or_default()
    }
}

fn is_move(record: &EventRecord) -> bool {
    matches!(&record.event, Event::Moved(decision) if decision.from.is_some())
}

/// What came of a reload, as the API says it.
pub(crate) fn outcome(result: Result<Reloaded, LoadError>) -> ReloadOutcome {
    match result {
        Ok(Reloaded { warnings, changes }) => ReloadOutcome::Applied {
            warnings: warnings.into_iter().map(diagnostic).collect(),
            changes,
        },
        Err(LoadError::Invalid(findings)) => {
            ReloadOutcome::Refused(findings.into_iter().map(diagnostic).collect())
        }
        Err(error) => ReloadOutcome::Refused(vec![Diagnostic {
            warning: false,
            file: String::new(),
            place: None,
            field: String::new(),
            value: None,
            problem: error.to_string(),
            help: String::new(),
        }]),
    }
}

fn diagnostic(finding: patronus_config::Diagnostic) -> Diagnostic {
    Diagnostic {
        warning: finding.severity == Severity::Warning,
        file: finding.file,
        place: Some((finding.line, finding.column)),
        field: finding.field,
        value: finding.value,
        problem: finding.problem,
        help: finding.help,
    }
}

fn bfd(driver: &BfdHandle, config: &RouterConfig) -> Vec<BfdView> {
    let Ok(snapshot) = driver.snapshot() else {
        return Vec::new();
    };
    snapshot
        .sessions
        .iter()
        .filter_map(|session| bfd_view(session, config))
        .collect()
}

fn bfd_view(session: &SessionSnapshot, config: &RouterConfig) -> Option<BfdView> {
    let SessionSnapshot {
        spec,
        status,
        since,
        socket_problem,
        send_error,
        ..
    } = session;
    let site = config
        .remotes
        .iter()
        .find(|site| site.number == spec.path.site)?;
    let local = config
        .uplinks
        .iter()
        .find(|uplink| uplink.slot == spec.path.local)?;
    let remote = site
        .uplinks
        .iter()
        .find(|uplink| uplink.slot == spec.path.remote)?;
    let words = |diagnostic: BfdDiagnostic| {
        (diagnostic != BfdDiagnostic::None).then(|| diagnostic.to_string())
    };
    let problem = socket_problem.as_ref().map(ToString::to_string);
    Some(BfdView {
        watched: BfdWatched::Path {
            path: spec.path,
            site: site.id.clone(),
            local_uplink: local.name.clone(),
            remote_uplink: remote.name.clone(),
        },
        interface: Some(spec.interface.to_string()),
        local: Some(spec.local),
        remote: spec.remote,
        state: bfd_state(status.state),
        remote_state: Some(bfd_state(status.remote_state)),
        diagnostic: words(status.local_diagnostic),
        remote_diagnostic: words(status.remote_diagnostic),
        transmit: status.transmit,
        detection: status.detection,
        rtt: status.rtt,
        counted: Some(BfdCounters {
            sent: status.counters.sent,
            received: status.counters.received,
            downs: status.counters.downs,
        }),
        since: Some(since.elapsed().unwrap_or_default()),
        problem: problem.or_else(|| send_error.map(|error| error.to_string())),
    })
}

const fn bfd_state(state: State) -> BfdState {
    match state {
        State::AdminDown => BfdState::AdminDown,
        State::Down => BfdState::Down,
        State::Init => BfdState::Init,
        State::Up => BfdState::Up,
    }
}

/// The sessions that FRR runs for BGP neighbours outside of the overlay.
fn bfd_of_frr(status: &FrrStatus, config: &RouterConfig) -> Vec<BfdView> {
    let described = |peer: IpAddr| {
        let neighbor = config.bgp.neighbors.iter().find(|n| n.address == peer);
        neighbor.map_or_else(|| peer.to_string(), |n| n.description.clone())
    };
    // FRR says "ok" for no diagnostic.
    let words = |text: &String| (!text.is_empty() && text != "ok").then(|| text.clone());
    let view = |session: &BfdPeer| BfdView {
        watched: BfdWatched::Neighbor {
            description: described(session.peer),
        },
        interface: session.interface.clone(),
        local: session.local,
        remote: session.peer,
        state: match session.status.as_str() {
            "up" => BfdState::Up,
            "init" => BfdState::Init,
            "shutdown" => BfdState::AdminDown,
            _ => BfdState::Down,
        },
        remote_state: None,
        diagnostic: words(&session.diagnostic),
        remote_diagnostic: words(&session.remote_diagnostic),
        transmit: Some(session.transmit()),
        detection: session.detection(),
        rtt: None,
        counted: None,
        since: session.since(),
        problem: None,
    };
    status.bfd.iter().map(view).collect()
}

fn bgp(status: &FrrStatus, config: &RouterConfig) -> BgpView {
    let failed = status
        .last_apply
        .as_ref()
        .and_then(|apply| apply.outcome.as_ref().err());
    let neighbors = patronus_engine::routing::bgp_instance(config).neighbors;
    let neighbor = |configured: &patronus_model::bgp::BgpNeighbor| {
        neighbor_view(
            configured,
            config,
            status.neighbors.get(&configured.address),
        )
    };
    BgpView {
        local: Some((config.bgp.asn, config.bgp.router_id)),
        daemons: status.daemons.iter().map(daemon_view).collect(),
        neighbors: neighbors.iter().map(neighbor).collect(),
        problem: failed.map(ToString::to_string),
    }
}

fn daemon_view((daemon, status): (&Daemon, &DaemonStatus)) -> RoutingDaemonView {
    RoutingDaemonView {
        name: daemon.to_string(),
        version: status.version.as_ref().map(ToString::to_string),
        since: Instant::now().saturating_duration_since(status.since),
        late: status.late.map(|since| since.elapsed()),
        unit: systemd::runs().then(|| systemd::unit(*daemon).to_owned()),
    }
}

fn neighbor_view(
    configured: &patronus_model::bgp::BgpNeighbor,
    config: &RouterConfig,
    status: Option<&NeighborStatus>,
) -> NeighborView {
    let has = |address: IpAddr| configured.address == address;
    let site = config.remotes.iter().find(|site| site.addresses().any(has));
    NeighborView {
        address: configured.address,
        description: configured.description.clone(),
        site: site.map(|site| site.id.clone()),
        remote_asn: configured.remote_asn.get(),
        password: configured.password.is_some(),
        state: status.map_or_else(|| "unknown".to_owned(), |status| status.state.to_string()),
        established: status.is_some_and(|status| status.state == SessionState::Established),
        since: status.and_then(|status| status.changed),
        received: status.map_or(0, |status| status.received),
        sent: status.map_or(0, |status| status.sent),
        last_error: status.and_then(|status| status.last_error.clone()),
    }
}
