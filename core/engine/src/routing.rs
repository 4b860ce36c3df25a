//! What BGP should say and listen to, as it follows from the sites.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use patronus_model::bgp::{Accept, Advertise, BgpInstance, BgpNeighbor};
use patronus_model::router::{RemoteSite, RouterConfig};

/// The whole of BGP on this router: a session with each remote site in each address family that
/// both have, and the neighbours outside the overlay.
#[must_use]
pub fn bgp_instance(config: &RouterConfig) -> BgpInstance {
    let networks: BTreeSet<IpNet> = config
        .lans
        .iter()
        .flat_map(|lan| &lan.prefixes)
        .map(IpNet::trunc)
        .collect();
    let sessions = config.remotes.iter().flat_map(|site| {
        site.addresses()
            .filter_map(move |address| session(config, site, address))
    });
    let others = config.bgp.neighbors.iter().cloned();
    let others = others.map(|neighbor| BgpNeighbor {
        maximum_prefixes: Some(config.bgp.maximum_prefixes),
        ..neighbor
    });
    let mut neighbors: Vec<BgpNeighbor> = sessions.chain(others).collect();
    neighbors.sort_by_key(|neighbor| neighbor.address);
    neighbors.dedup_by_key(|neighbor| neighbor.address);
    BgpInstance {
        asn: config.bgp.asn,
        router_id: config.bgp.router_id,
        networks: networks.into_iter().collect(),
        neighbors,
        graceful_restart: config.bgp.graceful_restart,
    }
}

fn session(config: &RouterConfig, site: &RemoteSite, address: IpAddr) -> Option<BgpNeighbor> {
    let advertise = match (config.hub, config.bgp.originate_default) {
        (None, _) => Advertise::OwnAndExternal,
        (Some(_), false) => Advertise::Everything,
        (Some(_), true) => Advertise::EverythingAndDefault,
    };
    Some(BgpNeighbor {
        address,
        description: site.id.to_string(),
        remote_asn: site.asn,
        password: site.bgp_password.clone(),
        update_source: Some(config.overlay.address(address)?),
        // While no path to the site is left, a hub carries the session on.
        ebgp_multihop: Some(2),
        next_hop_self: true,
        advertise,
        accept: if site.hub.is_some() {
            Accept::All
        } else {
            Accept::AllButDefault
        },
        maximum_prefixes: Some(config.bgp.maximum_prefixes),
        timers: config.bgp.timers,
        bfd: None,
    })
}
