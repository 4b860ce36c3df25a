//! What the daemon answers: as much of the API's types as the tables show.

use serde::Deserialize;

/// The state of a path, or of something judged alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Up,
    Degraded,
    /// Also that of a LAN whose interface does not exist.
    #[serde(alias = "missing")]
    Down,
    /// Also the state of a BFD session whose end is held down by an operator.
    #[serde(alias = "admin_down")]
    Unknown,
    /// Of a BFD session.
    Init,
}

/// A list in a page.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Nodes<T> {
    pub(crate) nodes: Vec<T>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PathRef {
    pub(crate) local_uplink: String,
    pub(crate) remote_uplink: String,
    #[serde(default)]
    pub(crate) relay_site_id: Option<String>,
}

impl PathRef {
    /// As people read it.
    pub(crate) fn name(&self) -> String {
        let path = format!("{} → {}", self.local_uplink, self.remote_uplink);
        match &self.relay_site_id {
            Some(hub) => format!("{path} by {hub}"),
            None => path,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tally {
    pub(crate) up: u64,
    pub(crate) degraded: u64,
    pub(crate) down: u64,
    pub(crate) unknown: u64,
    pub(crate) total: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Router {
    pub(crate) site_id: String,
    pub(crate) name: String,
    pub(crate) location: Option<String>,
    pub(crate) labels: Vec<Label>,
    pub(crate) lans: Vec<Lan>,
    pub(crate) uptime_ms: u64,
    pub(crate) configured_ms: u64,
    pub(crate) well: bool,
    pub(crate) problems: Vec<Problem>,
    pub(crate) paths: Tally,
    pub(crate) sites: u64,
    pub(crate) sites_reachable: u64,
    pub(crate) sites_without_bgp: u64,
    pub(crate) last_move: Option<EventLine>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Label {
    pub(crate) key: String,
    pub(crate) value: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Lan {
    pub(crate) interface: String,
    pub(crate) status: Status,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Problem {
    pub(crate) status: Status,
    pub(crate) message: String,
}

/// An event without its details.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventLine {
    pub(crate) ago_ms: u64,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Uplink {
    pub(crate) name: String,
    pub(crate) interface: String,
    pub(crate) status: Status,
    pub(crate) because: Option<String>,
    pub(crate) addresses: Vec<String>,
    pub(crate) gateways: Vec<String>,
    pub(crate) bandwidth_up_bps: Option<u64>,
    pub(crate) bandwidth_down_bps: Option<u64>,
    pub(crate) cost: u32,
    pub(crate) metered: bool,
    pub(crate) paths: Tally,
}

impl Uplink {
    /// Whether it has all that it needs, and yet no packet passes on any of its paths.
    pub(crate) fn is_without_path(&self) -> bool {
        let paths = &self.paths;
        self.status == Status::Up && paths.down > 0 && paths.up + paths.degraded == 0
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Site {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) hub: bool,
    pub(crate) addresses: Vec<String>,
    pub(crate) best_path_status: Status,
    pub(crate) path_tally: Tally,
    pub(crate) choices: Vec<SiteChoice>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SiteChoice {
    pub(crate) class: String,
    pub(crate) path: Option<PathRef>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Path {
    pub(crate) dest_site_id: String,
    pub(crate) local_uplink: String,
    pub(crate) remote_uplink: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) status: Status,
    pub(crate) because: String,
    pub(crate) since_ms: u64,
    pub(crate) dampened_for_ms: Option<u64>,
    pub(crate) latency_ms: Option<f64>,
    pub(crate) packet_loss_pct: Option<f64>,
    pub(crate) cost: Option<u32>,
    pub(crate) handshaken: Option<bool>,
    pub(crate) handshake_ago_ms: Option<u64>,
    pub(crate) classes: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) strategy: String,
    pub(crate) default: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) priority: u32,
    pub(crate) matches: String,
    /// `null` for a policy that drops.
    pub(crate) class: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Route {
    pub(crate) prefix: String,
    pub(crate) site_id: Option<String>,
    pub(crate) origin: String,
    pub(crate) via: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bgp {
    pub(crate) asn: Option<u64>,
    pub(crate) router_id: Option<String>,
    pub(crate) daemons: Vec<RoutingDaemon>,
    pub(crate) neighbors: Vec<Neighbor>,
    pub(crate) problem: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoutingDaemon {
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) version: Option<String>,
    pub(crate) since_ms: u64,
    pub(crate) late_ms: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Neighbor {
    pub(crate) address: String,
    pub(crate) description: String,
    pub(crate) site_id: Option<String>,
    pub(crate) remote_asn: u64,
    pub(crate) state: String,
    pub(crate) established: bool,
    pub(crate) since_ms: Option<u64>,
    pub(crate) prefixes_received: u64,
    pub(crate) prefixes_sent: u64,
    pub(crate) last_error: Option<String>,
    pub(crate) meaning: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BfdSession {
    pub(crate) path: Option<PathRef>,
    pub(crate) dest_site_id: Option<String>,
    pub(crate) neighbor: Option<String>,
    pub(crate) interface: Option<String>,
    pub(crate) remote_address: String,
    pub(crate) status: Status,
    pub(crate) remote_status: Option<Status>,
    pub(crate) diagnostic: Option<String>,
    pub(crate) transmit_interval_ms: Option<f64>,
    pub(crate) detection_time_ms: Option<f64>,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) tx_packets: Option<u64>,
    pub(crate) rx_packets: Option<u64>,
    pub(crate) downs: Option<u64>,
    pub(crate) since_ms: Option<u64>,
    pub(crate) problem: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) time: String,
    pub(crate) ago_ms: u64,
    pub(crate) message: String,
    pub(crate) details: Details,
}

/// Of the details of an event, those which the lists show by a shape, and all of a move.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "__typename")]
pub(crate) enum Details {
    PathChanged {
        #[serde(rename = "toStatus")]
        to_status: Status,
    },
    UplinkChanged {
        usable: bool,
    },
    LanChanged {
        up: bool,
    },
    RoutingDaemonChanged {
        up: bool,
    },
    BgpNeighborChanged {
        established: bool,
    },
    Move(Box<Move>),
    ApplyFailed,
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Move {
    pub(crate) class: String,
    pub(crate) dest_site_id: String,
    pub(crate) from: Option<PathRef>,
    pub(crate) to: PathRef,
    pub(crate) because: String,
    pub(crate) candidates: Vec<Candidate>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate {
    pub(crate) path: PathRef,
    pub(crate) latency_ms: Option<f64>,
    pub(crate) packet_loss_pct: Option<f64>,
    pub(crate) status: Status,
    pub(crate) cost: Option<u32>,
    pub(crate) verdict: String,
    pub(crate) why: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation {
    pub(crate) flow: Flow,
    pub(crate) policies: Vec<PolicyCheck>,
    pub(crate) outcome: String,
    pub(crate) because: String,
    pub(crate) policy: Option<String>,
    pub(crate) class: Option<String>,
    pub(crate) strategy: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) dest_site_id: Option<String>,
    pub(crate) route_origin: Option<String>,
    pub(crate) choice: Option<Choice>,
    pub(crate) replies: Option<String>,
    pub(crate) obstacles: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Flow {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) protocol: String,
    pub(crate) source_port: Option<u16>,
    pub(crate) destination_port: Option<u16>,
    pub(crate) dscp: u8,
    pub(crate) ingress: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PolicyCheck {
    pub(crate) policy: String,
    pub(crate) priority: Option<u32>,
    pub(crate) mismatch: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Choice {
    pub(crate) path: Option<PathRef>,
    pub(crate) since_ms: u64,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) back: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reload {
    pub(crate) applied: bool,
    pub(crate) summary: Option<String>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A finding about a configuration file, from the daemon or from our own check.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub(crate) struct Diagnostic {
    pub(crate) severity: Severity,
    pub(crate) file: String,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
    pub(crate) field: String,
    pub(crate) value: Option<String>,
    pub(crate) problem: String,
    pub(crate) help: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Error,
    Warning,
}

impl From<patronus_config::Diagnostic> for Diagnostic {
    fn from(found: patronus_config::Diagnostic) -> Self {
        Self {
            severity: match found.severity {
                patronus_config::Severity::Error => Severity::Error,
                patronus_config::Severity::Warning => Severity::Warning,
            },
            file: found.file,
            line: Some(found.line),
            column: Some(found.column),
            field: found.field,
            value: found.value,
            problem: found.problem,
            help: found.help,
        }
    }
}
