//! Paths.

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use patronus_model::ids::{PathId, SiteNumber};
use patronus_model::path::PathState;
use patronus_model::view::{Handshake, PathView};

use super::{BigInt, ms, percent, whole_ms};
use crate::names::Names;
use crate::session::Session;
use crate::snapshot::Snapshot;

/// The state of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum PathStatus {
    /// Well.
    Up,
    /// Packets pass, but badly.
    Degraded,
    /// No packets pass.
    Down,
    /// Nothing is known: it has not come up yet, or its far end was stopped on purpose.
    Unknown,
}

impl From<PathState> for PathStatus {
    fn from(state: PathState) -> Self {
        match state {
            PathState::Up => Self::Up,
            PathState::Degraded => Self::Degraded,
            PathState::Down => Self::Down,
            PathState::Unknown => Self::Unknown,
        }
    }
}

/// One way to a remote site: out of one of our uplinks, to one of theirs.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct Path {
    /// Unique in the network, like `berlin.fibre~lisbon.lte`.
    id: ID,
    /// The site at this end.
    source_site_id: ID,
    /// The site at the far end.
    dest_site_id: ID,
    /// The uplink at this end.
    local_uplink: String,
    /// The uplink at the far end.
    remote_uplink: String,
    /// The tunnel's interface.
    interface: String,
    /// Where the peer was last heard, or is configured to be, as address and port.
    endpoint: Option<String>,
    /// Its state.
    status: PathStatus,
    /// Why, in words.
    because: String,
    /// For how long it has been in this state.
    since_ms: BigInt,
    /// Whether it flaps so often that no traffic moves to it.
    dampened: bool,
    /// How much longer none does, if it goes down no more; `null` while it is not dampened.
    dampened_for_ms: Option<BigInt>,
    /// Round-trip time.
    latency_ms: Option<f64>,
    /// Packets lost.
    packet_loss_pct: Option<f64>,
    /// The cost of our uplink; `null` where no class goes by it: all of them go by latency, or by a
    /// preference that names the uplink.
    cost: Option<u32>,
    /// The traffic classes that travel on it.
    classes: Vec<String>,
    #[graphql(skip)]
    view: PathView,
}

#[ComplexObject]
impl Path {
    /// Whether WireGuard has ever agreed on keys with the far end; `null` where that is not known.
    async fn handshaken(&self, context: &Context<'_>) -> Result<Option<bool>> {
        Ok(match self.handshake(context).await? {
            Handshake::Unknown => None,
            Handshake::Never => Some(false),
            Handshake::Ago(_) => Some(true),
        })
    }

    /// How long ago it did so last: little more than two minutes where packets pass. `null` where
    /// it never did, or nothing is known.
    async fn handshake_ago_ms(&self, context: &Context<'_>) -> Result<Option<BigInt>> {
        Ok(match self.handshake(context).await? {
            Handshake::Unknown | Handshake::Never => None,
            Handshake::Ago(age) => Some(whole_ms(age)),
        })
    }
}

impl Path {
    async fn handshake(&self, context: &Context<'_>) -> Result<Handshake> {
        let session = Session::of(context)?;
        Ok(session.handshakes().await.of(&self.view))
    }

    pub(crate) fn new(from: &Snapshot, path: &PathView) -> Self {
        let class = |class| from.names.class(class);
        Self {
            id: from.names.path_id(path.id).into(),
            source_site_id: from.view.site.as_str().into(),
            dest_site_id: path.site.as_str().into(),
            local_uplink: path.local.to_string(),
            remote_uplink: path.remote.to_string(),
            interface: path.interface.to_string(),
            endpoint: path.endpoint.map(|endpoint| endpoint.to_string()),
            status: path.state.into(),
            because: path.cause.to_string(),
            since_ms: whole_ms(path.since),
            dampened: path.suppressed.is_some(),
            dampened_for_ms: path.suppressed.map(whole_ms),
            latency_ms: path.measured.rtt.map(ms),
            packet_loss_pct: path.measured.loss_permille.map(percent),
            cost: path.cost,
            classes: path.classes.iter().copied().map(class).collect(),
            view: path.clone(),
        }
    }
}

/// A path by name.
#[derive(SimpleObject)]
pub(crate) struct PathRef {
    /// As in `Path`.
    id: ID,
    /// The uplink at this end.
    local_uplink: String,
    /// The uplink at the far end.
    remote_uplink: String,
    /// The hub that carries the traffic on, where none of the paths to its site is up; `null` on a
    /// path to the site itself.
    relay_site_id: Option<ID>,
}

impl PathRef {
    pub(crate) fn new(names: &Names, id: PathId) -> Self {
        let (local_uplink, remote_uplink) = names.path_ends(id);
        Self::named(names, id, local_uplink, remote_uplink)
    }

    /// A path on which traffic goes to a site.
    pub(crate) fn towards(names: &Names, to: SiteNumber, id: PathId) -> Self {
        let relay = (id.site != to).then(|| names.site(id.site).into());
        Self {
            relay_site_id: relay,
            ..Self::new(names, id)
        }
    }

    /// A path whose ends are known otherwise.
    pub(crate) fn named(names: &Names, id: PathId, local: String, remote: String) -> Self {
        Self {
            id: names.path_id(id).into(),
            local_uplink: local,
            remote_uplink: remote,
            relay_site_id: None,
        }
    }
}

/// How many paths are in each state.
#[derive(Default, SimpleObject)]
pub(crate) struct PathTally {
    /// Well.
    up: u32,
    /// Passing packets badly.
    degraded: u32,
    /// Passing none.
    down: u32,
    /// Of unknown state.
    unknown: u32,
    /// All together.
    total: u32,
}

impl PathTally {
    pub(crate) fn of<'a>(paths: impl Iterator<Item = &'a PathView>) -> Self {
        let mut tally = Self::default();
        for path in paths {
            tally.total += 1;
            match path.state {
                PathState::Up => tally.up += 1,
                PathState::Degraded => tally.degraded += 1,
                PathState::Down => tally.down += 1,
                PathState::Unknown => tally.unknown += 1,
            }
        }
        tally
    }
}
