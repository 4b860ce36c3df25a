//! The calls into `wireguard-control`, each on a thread of its own: it blocks without a limit.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use patronus_model::wireguard::{Peer, PublicKey, Tunnel};
use wireguard_control::{
    Backend, Device, DeviceUpdate, InterfaceName, Key, PeerConfigBuilder, PeerInfo,
};
use zeroize::Zeroize as _;

use crate::command::within;
use crate::error::{Doing, Error};

/// 2,000 peers are read in 4 to 9 ms and added in 134 to 265 ms (measured).
const LIMIT: Duration = Duration::from_secs(3);

/// A device as it was read, without its private key.
pub(crate) struct Reading {
    pub(crate) public_key: Option<PublicKey>,
    pub(crate) listen_port: u16,
    pub(crate) fwmark: u32,
    pub(crate) peers: BTreeMap<PublicKey, Peer>,
}

impl Reading {
    /// Whether key, port and mark are these.
    pub(crate) fn matches(&self, tunnel: &Tunnel) -> bool {
        self.public_key == Some(tunnel.public_key)
            && self.listen_port == tunnel.listen_port
            && self.fwmark == tunnel.fwmark
    }

    /// What gives another device the same peers.
    pub(crate) fn into_peers(self) -> DeviceUpdate {
        self.peers
            .iter()
            .fold(DeviceUpdate::new(), |update, (key, peer)| {
                update.add_peer(peer_builder(key, peer))
            })
    }
}

/// Reads a device.
pub(super) fn read(name: &str, backend: Backend) -> Result<Reading, Error> {
    let doing = || format!("reading tunnel {name}");
    let interface = interface(name)?;
    let device = within(LIMIT, doing, move || Device::get(&interface, backend))?.doing(doing)?;
    Ok(reading(device))
}

/// When each peer of a device last agreed on keys. Waits for as long as it takes.
pub(super) fn handshakes(
    name: &str,
    backend: Backend,
) -> Result<BTreeMap<PublicKey, Option<SystemTime>>, Error> {
    let doing = || format!("reading tunnel {name}");
    let mut device = Device::get(&interface(name)?, backend).doing(doing)?;
    forget_private_key(&mut device);
    let mut peers: BTreeMap<PublicKey, Option<SystemTime>> = BTreeMap::new();
    for info in device.peers {
        let last = peers
            .entry(PublicKey(info.config.public_key.0))
            .or_default();
        // A later piece of a peer says nothing about it: see `merge`.
        *last = info.stats.last_handshake_time.or(*last);
    }
    Ok(peers)
}

fn forget_private_key(device: &mut Device) {
    if let Some(key) = device.private_key.as_mut() {
        key.0.zeroize();
    }
}

/// Changes a device.
pub(super) fn update(name: &str, backend: Backend, update: DeviceUpdate) -> Result<(), Error> {
    let doing = || format!("configuring tunnel {name}");
    let interface = interface(name)?;
    within(LIMIT, doing, move || update.apply(&interface, backend))?.doing(doing)
}

/// What creates or alters a peer.
pub(super) fn peer_update(key: &PublicKey, peer: &Peer) -> DeviceUpdate {
    DeviceUpdate::new().add_peer(peer_builder(key, peer))
}

fn peer_builder(key: &PublicKey, peer: &Peer) -> PeerConfigBuilder {
    let builder = PeerConfigBuilder::new(&Key(key.0)).replace_allowed_ips();
    let builder = match peer.keepalive {
        Some(seconds) => builder.set_persistent_keepalive_interval(seconds),
        None => builder.unset_persistent_keepalive(),
    };
    let builder = match peer.endpoint {
        Some(endpoint) => builder.set_endpoint(endpoint),
        None => builder,
    };
    peer.allowed_ips.iter().fold(builder, |builder, net| {
        builder.add_allowed_ip(net.addr(), net.prefix_len())
    })
}

fn interface(name: &str) -> Result<InterfaceName, Error> {
    name.parse()
        .map_err(|_| Error::NoInterface(name.to_owned()))
}

fn reading(mut device: Device) -> Reading {
    forget_private_key(&mut device);
    let mut peers = BTreeMap::new();
    for info in device.peers {
        merge(&mut peers, &info);
    }
    Reading {
        public_key: device.public_key.map(|key| PublicKey(key.0)),
        listen_port: device.listen_port.unwrap_or(0),
        fwmark: device.fwmark.unwrap_or(0),
        peers,
    }
}

/// The kernel spreads a peer with many allowed IPs over several messages, of which
/// `wireguard-control` makes as many peers.
fn merge(peers: &mut BTreeMap<PublicKey, Peer>, info: &PeerInfo) {
    let peer = peers
        .entry(PublicKey(info.config.public_key.0))
        .or_default();
    let nets = info.config.allowed_ips.iter();
    peer.allowed_ips
        .extend(nets.filter_map(|ip| IpNet::new(ip.address, ip.cidr).ok()));
    if let Some(endpoint) = info.config.endpoint {
        peer.endpoint = Some(endpoint);
    }
    if let Some(seconds) = info.config.persistent_keepalive_interval.filter(|s| *s > 0) {
        peer.keepalive = Some(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_in_several_pieces_is_one_peer() {
        let key = Key([7; 32]);
        let mut peers = BTreeMap::new();
        for net in [[10, 1, 0, 0], [10, 2, 0, 0]] {
            let mut info = PeerInfo::from_public_key(key.clone());
            info.config.allowed_ips.push(wireguard_control::AllowedIp {
                address: net.into(),
                cidr: 16,
            });
            merge(&mut peers, &info);
        }
        let peer = &peers[&PublicKey([7; 32])];
        assert_eq!(peer.allowed_ips.len(), 2);
        assert_eq!(peer.keepalive, None);
    }
}
