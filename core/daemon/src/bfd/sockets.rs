//! The two sockets of a link (RFC 5881 sections 4 and 5).

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvTtl, Ipv6RecvHopLimit, RcvBuf, RcvBufForce};
use patronus_model::ids::IfName;
use socket2::{Domain, Protocol, Socket, Type};

use super::CONTROL_PORT;

/// "The source port MUST be in the range 49152 through 65535."
const FIRST_SOURCE_PORT: u16 = 49152;
const SOURCE_PORTS: u16 = 16384;

/// How many source ports are tried before giving up until the next attempt.
const PORT_ATTEMPTS: u16 = 64;

/// The only TTL and hop limit that a packet of the same link can have (RFC 5082).
pub(super) const MAX_HOPS: u8 = 255;

/// DSCP CS6, network control (RFC 4594 section 3.1), in its place in the TOS byte.
const TOS_CS6: u32 = 48 << 2;

/// Room for about 4,000 packets: what 4,000 sessions get in 100 ms in which we are not scheduled.
/// (The kernel charges some 768 bytes for a packet of 24.)
const RECEIVE_BUFFER: usize = 3 << 20;

/// The sockets of one address on one interface.
///
/// All sessions of the link send from one port. RFC 5881 says that ports SHOULD be unique per
/// session, for the sake of hardware that balances by ports; over one hop there is nothing to
/// balance, and one socket lets packets to many peers leave with one system call.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Bound to port 3784.
    pub(super) receiver: Socket,
    /// Bound to a port of the range for senders.
    pub(super) sender: Socket,
}

impl Sockets {
    /// Opens both. `seed` spreads the source ports of several links.
    ///
    /// # Errors
    /// `ENODEV` without the interface, `EADDRNOTAVAIL` without the address (or while IPv6 still
    /// looks for duplicates of it).
    pub(super) fn open(
        interface: &IfName,
        index: u32,
        local: IpAddr,
        seed: u16,
    ) -> io::Result<Self> {
        let receiver = open(interface, local)?;
        receiver.set_reuse_address(true)?;
        ask_for_hops(&receiver, local)?;
        // Beyond net.core.rmem_max needs CAP_NET_ADMIN; what the limit allows will do otherwise.
        if setsockopt(&receiver, RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&receiver, RcvBuf, &RECEIVE_BUFFER)?;
        }
        receiver.bind(&address(local, CONTROL_PORT, index).into())?;
        let sender = open(interface, local)?;
        bind_source_port(&sender, local, index, seed)?;
        Ok(Self { receiver, sender })
    }
}

fn open(interface: &IfName, local: IpAddr) -> io::Result<Socket> {
    let domain = if local.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    if local.is_ipv4() {
        socket.set_ttl_v4(u32::from(MAX_HOPS))?;
        socket.set_tos_v4(TOS_CS6)?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_unicast_hops_v6(u32::from(MAX_HOPS))?;
        socket.set_tclass_v6(TOS_CS6)?;
    }
    Ok(socket)
}

fn ask_for_hops(receiver: &Socket, local: IpAddr) -> nix::Result<()> {
    match local {
        IpAddr::V4(_) => setsockopt(receiver, Ipv4RecvTtl, &true),
        IpAddr::V6(_) => setsockopt(receiver, Ipv6RecvHopLimit, &true),
    }
}

fn bind_source_port(sender: &Socket, local: IpAddr, index: u32, seed: u16) -> io::Result<()> {
    let mut outcome = Err(io::ErrorKind::AddrInUse.into());
    for attempt in 0..PORT_ATTEMPTS {
        let port = FIRST_SOURCE_PORT + seed.wrapping_add(attempt) % SOURCE_PORTS;
        outcome = sender.bind(&address(local, port, index).into());
        match &outcome {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            _ => break,
        }
    }
    outcome
}

/// An address of the link; IPv6 link-local ones mean nothing without the interface.
pub(super) fn address(ip: IpAddr, port: u16, index: u32) -> SocketAddr {
    match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, index).into()
        }
        IpAddr::V6(_) => SocketAddr::new(ip, port),
    }
}
