//! Which tunnels and paths a configuration means.

use std::collections::{BTreeMap, BTreeSet};

use patronus_model::ids::{IfName, PathId, SiteNumber, UplinkName};
use patronus_model::layout::{HubIndex, TunnelId};
use patronus_model::router::{RemoteSite, RemoteUplink, RouterConfig, Uplink};
use patronus_model::wireguard::PublicKey;

/// One path as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSpec {
    /// The tunnel that it uses.
    pub tunnel: TunnelId,
    /// The interface of that tunnel.
    pub interface: IfName,
    /// The far end's key.
    pub peer: PublicKey,
    /// Our uplink.
    pub local: UplinkName,
    /// Its cost.
    pub cost: u32,
    /// Their uplink.
    pub remote: UplinkName,
}

/// All paths, by site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Paths; those of one site are adjacent.
    pub paths: BTreeMap<PathId, PathSpec>,
    /// Tunnels that have at least one path.
    pub tunnels: BTreeSet<TunnelId>,
}

impl Topology {
    /// Pairs every uplink of ours with every uplink of each remote site on the same underlay.
    #[must_use]
    pub fn new(config: &RouterConfig) -> Self {
        let mut topology = Self::default();
        for site in &config.remotes {
            for (local, remote) in pairs(config, site) {
                let id = PathId {
                    site: site.number,
                    local: local.slot,
                    remote: remote.slot,
                };
                let tunnel = id.tunnel(site.hub);
                topology.tunnels.insert(tunnel);
                topology
                    .paths
                    .insert(id, spec(config, tunnel, local, remote));
            }
        }
        topology
    }

    /// The paths to one site.
    pub fn paths_to(&self, site: SiteNumber) -> impl Iterator<Item = (PathId, &PathSpec)> {
        let slots = (
            patronus_model::ids::Slot::MIN,
            patronus_model::ids::Slot::MAX,
        );
        let slot = |n| patronus_model::ids::Slot::new(n).ok();
        let range = slot(slots.0).zip(slot(slots.1)).map(|(least, most)| {
            let end = |slot| PathId {
                site,
                local: slot,
                remote: slot,
            };
            end(least)..=end(most)
        });
        range
            .into_iter()
            .flat_map(|range| self.paths.range(range))
            .map(|(id, spec)| (*id, spec))
    }

    /// The sites to which there is at least one path.
    #[must_use]
    pub fn sites(&self) -> BTreeSet<SiteNumber> {
        self.paths.keys().map(|path| path.site).collect()
    }
}

/// The pairs of uplinks between which a tunnel can be built.
pub(crate) fn pairs<'a>(
    config: &'a RouterConfig,
    site: &'a RemoteSite,
) -> impl Iterator<Item = (&'a Uplink, &'a RemoteUplink)> {
    config.uplinks.iter().flat_map(|local| {
        let reachable = |remote: &&RemoteUplink| remote.underlay == local.underlay;
        site.uplinks
            .iter()
            .filter(reachable)
            .map(move |remote| (local, remote))
    })
}

fn spec(
    config: &RouterConfig,
    tunnel: TunnelId,
    local: &Uplink,
    remote: &RemoteUplink,
) -> PathSpec {
    PathSpec {
        tunnel,
        interface: config.layout.tunnel_interface(tunnel),
        peer: remote.public_key,
        local: local.name.clone(),
        cost: local.cost,
        remote: remote.name.clone(),
    }
}

/// The first listen port of an uplink plus this is where one of its tunnels listens.
pub(crate) const fn listen_offset(hub: Option<HubIndex>, tunnel: TunnelId) -> u16 {
    TunnelId::port_offset(hub, tunnel.remote)
}
