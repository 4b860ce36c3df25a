//! When WireGuard last agreed on keys with its peers.

use std::collections::BTreeMap;
use std::time::SystemTime;

use patronus_model::ids::IfName;
use patronus_model::layout::KernelLayout;
use patronus_model::view::Handshakes;
use patronus_model::wireguard::PublicKey;

use super::{backend_of, device};
use crate::error::Error;
use crate::kernel::tunnels;
use crate::netlink::Netlink;
use crate::netlink::link::{self, Link};

/// Reads handshakes. Blocks for as long as a user-space WireGuard hangs, so it needs a thread that
/// nothing else waits for; 2,000 peers take 4 to 9 ms.
pub struct HandshakeReader {
    layout: KernelLayout,
    netlink: Netlink,
}

impl HandshakeReader {
    /// Opens a socket to the kernel.
    ///
    /// # Errors
    /// The socket cannot be opened.
    pub fn open(layout: KernelLayout) -> Result<Self, Error> {
        let netlink = Netlink::open()?;
        Ok(Self { layout, netlink })
    }

    /// How long ago the last handshake of each peer was. A tunnel that cannot be read is left out.
    ///
    /// # Errors
    /// The kernel refuses to list the interfaces.
    pub fn read(&mut self) -> Result<Handshakes, Error> {
        let links = self
            .netlink
            .dump(&link::list(), "interfaces", |_, payload| {
                Link::read(payload)
            })?;
        let mut all = BTreeMap::new();
        for (name, link) in tunnels(&self.layout, &links) {
            let Some(backend) = backend_of(link) else {
                continue;
            };
            // It is being made or deleted; whoever observes the tunnels says so if it stays so.
            let Ok(peers) = device::handshakes(name.as_str(), backend) else {
                continue;
            };
            all.extend(aged(&name, peers, SystemTime::now()));
        }
        Ok(Handshakes(all))
    }
}

type Aged = ((IfName, PublicKey), Option<std::time::Duration>);

/// Handshakes carry the time of day, and clocks are set: one of the future was just now.
fn aged(
    name: &IfName,
    peers: BTreeMap<PublicKey, Option<SystemTime>>,
    now: SystemTime,
) -> impl Iterator<Item = Aged> {
    peers.into_iter().map(move |(key, at)| {
        let age = at.map(|at| now.duration_since(at).unwrap_or_default());
        ((name.clone(), key), age)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn never_is_not_long_ago_and_the_future_is_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let [never, old, future] = [0, 1, 2].map(|byte| PublicKey([byte; 32]));
        let peers = BTreeMap::from([
            (never, None),
            (old, Some(now - Duration::from_secs(90))),
            (future, Some(now + Duration::from_secs(90))),
        ]);
        let name: IfName = "pat-1-1".parse().unwrap();
        let ages: Vec<_> = aged(&name, peers, now).map(|(_, age)| age).collect();
        let expected = [None, Some(Duration::from_secs(90)), Some(Duration::ZERO)];
        assert_eq!(ages, expected);
    }
}
