//! WireGuard: in the kernel where it has it, one `wireguard-go` process per tunnel elsewhere.
//!
//! Key, port and mark of a user-space device are set once, before the interface is up: some
//! implementations lose their device when these change under traffic. When one of them has to
//! change, the device is made anew and its peers are carried over; packets are lost for the tens
//! of milliseconds that this takes.

mod device;
mod handshakes;
mod keys;
mod process;

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Child;

use patronus_model::ids::IfName;
use patronus_model::wireguard::{Peer, PublicKey, Tunnel};
use wireguard_control::{Backend, DeviceUpdate};

pub(crate) use device::Reading;
pub use handshakes::HandshakeReader;
pub use keys::{KeyStore, PrivateKey};

use crate::error::Error;
use crate::netlink::Netlink;
use crate::netlink::link::{self, Kind, Link};
use crate::sysctl::enable_ipv6;

/// The tunnels of this router.
pub(crate) struct Wireguard {
    keys: KeyStore,
    program: PathBuf,
    log_dir: PathBuf,
    /// The link group that says to nftables that an interface is a tunnel.
    group: u32,
    /// Processes that we started, to be reaped when they end.
    children: Vec<(String, Child)>,
    /// Whether the kernel makes tunnels; `None` until the first one is made.
    kernel: Option<bool>,
}

impl Wireguard {
    pub(crate) fn new(
        keys: KeyStore,
        program: PathBuf,
        user_space: bool,
        log_dir: PathBuf,
        group: u32,
    ) -> Self {
        Self {
            keys,
            program,
            log_dir,
            group,
            children: Vec::new(),
            kernel: user_space.then_some(false),
        }
    }

    /// Takes note of the processes that ended.
    pub(crate) fn reap(&mut self) {
        self.children
            .retain_mut(|(name, child)| match child.try_wait() {
                Ok(Some(status)) => {
                    tracing::warn!(interface = %name, %status, "wireguard-go ended");
                    false
                }
                Ok(None) => true,
                Err(error) => {
                    tracing::warn!(interface = %name, %error, "wireguard-go cannot be waited for");
                    false
                }
            });
    }

    /// The settings and peers of a tunnel; `None` when it is no WireGuard interface or does not
    /// answer.
    pub(crate) fn read(link: &Link) -> Option<Reading> {
        let backend = backend_of(link)?;
        device::read(&link.name, backend)
            .inspect_err(|error| {
                tracing::warn!(interface = %link.name, error = %error.report(), "unreadable tunnel");
            })
            .ok()
    }

    /// Creates or alters a tunnel.
    pub(crate) fn put(
        &mut self,
        netlink: &mut Netlink,
        name: &IfName,
        tunnel: &Tunnel,
    ) -> Result<(), Error> {
        let Some(link) = find(netlink, name.as_str())? else {
            return self.create(netlink, name, tunnel);
        };
        let reading = Self::read(&link);
        if !link.is_claimed() && !reading.as_ref().is_some_and(|found| self.made(found)) {
            return Err(Error::NotOurs(name.to_string()));
        }
        match reading {
            Some(reading) if reading.matches(tunnel) => {
                self.raise(netlink, link.index, name, tunnel)
            }
            Some(_) if backend_of(&link) == Some(Backend::Kernel) => {
                self.configure(name, Backend::Kernel, tunnel)?;
                self.raise(netlink, link.index, name, tunnel)
            }
            Some(reading) => {
                self.delete(netlink, name)?;
                self.create(netlink, name, tunnel)?;
                device::update(name.as_str(), Backend::Userspace, reading.into_peers())
            }
            // Its process hangs or is gone.
            None => {
                self.delete(netlink, name)?;
                self.create(netlink, name, tunnel)
            }
        }
    }

    /// Whether an interface with one of our names is a tunnel that we made.
    pub(crate) fn owns(&self, link: &Link) -> bool {
        let tunnel = backend_of(link).is_some();
        tunnel && (link.is_claimed() || Self::read(link).is_some_and(|reading| self.made(&reading)))
    }

    /// Whether a device that does not carry our mark is ours all the same: made by a process of
    /// ours that died before it could mark it. Then it has no key yet, or one of ours.
    fn made(&self, reading: &Reading) -> bool {
        let key = reading.public_key.as_ref();
        key.is_none_or(|key| self.keys.private(key).is_ok())
    }

    fn create(
        &mut self,
        netlink: &mut Netlink,
        name: &IfName,
        tunnel: &Tunnel,
    ) -> Result<(), Error> {
        // wireguard-go only says in its log that a port is taken.
        port_is_free(tunnel.listen_port)?;
        let backend = self.create_link(netlink, name)?;
        let finished = self.finish(netlink, name, backend, tunnel);
        if finished.is_err() {
            // Half a tunnel would stand in the way; the error that matters is the first.
            let _ = self.delete(netlink, name);
        }
        finished
    }

    fn finish(
        &self,
        netlink: &mut Netlink,
        name: &IfName,
        backend: Backend,
        tunnel: &Tunnel,
    ) -> Result<(), Error> {
        let link = find(netlink, name.as_str())?.ok_or(Error::NoInterface(name.to_string()))?;
        self.configure(name, backend, tunnel)?;
        self.raise(netlink, link.index, name, tunnel)
    }

    fn raise(
        &self,
        netlink: &mut Netlink,
        index: u32,
        name: &IfName,
        tunnel: &Tunnel,
    ) -> Result<(), Error> {
        netlink.request(&link::claim(index), || format!("marking {name} as ours"))?;
        netlink.request(&link::join(index, self.group), || {
            format!("putting {name} into group {}", self.group)
        })?;
        enable_ipv6(name.as_str())?;
        netlink.request(&link::raise(index, tunnel.mtu), || {
            format!("bringing {name} up with an MTU of {}", tunnel.mtu)
        })
    }

    fn create_link(&mut self, netlink: &mut Netlink, name: &IfName) -> Result<Backend, Error> {
        if self.kernel != Some(false) {
            let doing = || format!("creating WireGuard interface {name}");
            match netlink.request(&link::create(name.as_str(), &Kind::Wireguard), doing) {
                Ok(()) => {
                    self.kernel = Some(true);
                    return Ok(Backend::Kernel);
                }
                Err(error) if error.refusal() == Some(libc::EOPNOTSUPP) => {
                    self.kernel = Some(false);
                }
                Err(error) => return Err(error),
            }
        }
        let child = process::start(&self.program, &self.log_dir, name.as_str())?;
        self.children.push((name.to_string(), child));
        Ok(Backend::Userspace)
    }

    fn configure(&self, name: &IfName, backend: Backend, tunnel: &Tunnel) -> Result<(), Error> {
        let private = self.keys.private(&tunnel.public_key)?;
        let update = DeviceUpdate::new()
            .set_private_key(private.lend())
            .set_listen_port(tunnel.listen_port)
            .set_fwmark(tunnel.fwmark);
        device::update(name.as_str(), backend, update)
    }

    /// Removes a tunnel, its process and its log. One that is not there is removed already.
    pub(crate) fn delete(&mut self, netlink: &mut Netlink, name: &IfName) -> Result<(), Error> {
        remove(netlink, name.as_str())?;
        process::forget_log(&self.log_dir, name.as_str());
        self.reap_one(name.as_str());
        Ok(())
    }

    fn reap_one(&mut self, name: &str) {
        self.children.retain_mut(|(of, child)| {
            // Its interface is gone, so that it has ended or is about to.
            of != name || child.wait().is_err()
        });
    }

    /// Creates or alters a peer.
    pub(crate) fn put_peer(
        netlink: &mut Netlink,
        name: &IfName,
        key: &PublicKey,
        peer: &Peer,
    ) -> Result<(), Error> {
        let link = find(netlink, name.as_str())?.ok_or(Error::NoInterface(name.to_string()))?;
        let backend = backend_of(&link).ok_or(Error::NotOurs(name.to_string()))?;
        device::update(name.as_str(), backend, device::peer_update(key, peer))
    }

    /// Removes a peer. One that is not there is removed already.
    pub(crate) fn delete_peer(
        netlink: &mut Netlink,
        name: &IfName,
        key: &PublicKey,
    ) -> Result<(), Error> {
        let Some(link) = find(netlink, name.as_str())? else {
            return Ok(());
        };
        let backend = backend_of(&link).ok_or(Error::NotOurs(name.to_string()))?;
        let update = DeviceUpdate::new().remove_peer_by_key(&wireguard_control::Key(key.0));
        device::update(name.as_str(), backend, update)
    }
}

/// Which implementation stands behind an interface.
fn backend_of(link: &Link) -> Option<Backend> {
    match link.kind.as_deref() {
        Some("wireguard") => Some(Backend::Kernel),
        Some("tun") => Some(Backend::Userspace),
        _ => None,
    }
}

fn find(netlink: &mut Netlink, name: &str) -> Result<Option<Link>, Error> {
    let links = netlink.dump(&link::list(), "interfaces", |kind, payload| {
        Link::read(payload).filter(|link| kind == link::RTM_NEWLINK && link.name == name)
    })?;
    Ok(links.into_iter().next())
}

/// Removes an interface and the process behind it. Does nothing when neither is there.
fn remove(netlink: &mut Netlink, name: &str) -> Result<(), Error> {
    let found = find(netlink, name)?;
    if found.as_ref().and_then(backend_of) != Some(Backend::Kernel) {
        process::stop(name)?;
    }
    // The interface of an ended process is gone already.
    let Some(link) = find(netlink, name)? else {
        return Ok(());
    };
    match netlink.request(&link::delete(link.index), || format!("deleting {name}")) {
        Err(error) if error.refusal() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}

fn port_is_free(port: u16) -> Result<(), Error> {
    let taken = |address: &str| {
        UdpSocket::bind((address, port))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    if taken("0.0.0.0") || taken("::") {
        Err(Error::PortTaken(port))
    } else {
        Ok(())
    }
}
