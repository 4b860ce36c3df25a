//! The far ends of many paths in one process: WireGuard and BFD, and nothing above them.
//!
//! A path is a socket, the noise protocol (boringtun's, without its device) and a session of our
//! own BFD. Packets that are no BFD are read and forgotten. Nothing of it needs interfaces,
//! addresses or routes, of which real far ends would need a thousand each.

use std::io::{ErrorKind, Write as _, stdout};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey as FarKey, StaticSecret};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use patronus_engine::bfd::{Origin, Packet, Sessions};
use patronus_model::Timestamp;
use patronus_model::bgp::BfdTimers;
use patronus_model::wireguard::PublicKey;

use super::bfd_packet::{self, Way};

/// Uplinks at either end.
pub const UPLINKS: u8 = 2;
const FIRST_PORT: u16 = 51_820;
/// What each uplink needs of its own behind one address.
const PORTS: u16 = 64;
/// What says that all sockets are open.
pub const READY: &str = "ready";
/// How often WireGuard looks at its timers, which count seconds.
const TICK: Duration = Duration::from_millis(500);

/// What the process is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The network of which each site has the address by its number; all must be local.
    #[arg(long)]
    pub network: Ipv4Addr,
    /// How many sites.
    #[arg(long)]
    pub sites: u8,
    /// BFD's interval in milliseconds.
    #[arg(long)]
    pub millis: u64,
    /// The public keys of the near end's uplinks, in order.
    #[arg(long = "key", required = true)]
    pub keys: Vec<PublicKey>,
}

/// An uplink of a far site, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarUplink {
    /// The site.
    pub site: u8,
    /// The uplink.
    pub slot: u8,
}

impl FarUplink {
    fn secret(self) -> StaticSecret {
        let mut bytes = [7; 32];
        // Not the first nor the last byte, of which some bits do not count.
        bytes[1] = self.site;
        bytes[2] = self.slot;
        StaticSecret::from(bytes)
    }

    /// Its public key.
    #[must_use]
    pub fn public_key(self) -> PublicKey {
        PublicKey(*FarKey::from(&self.secret()).as_bytes())
    }

    /// Where it hears the first uplink of the near end; it hears the others on the next ports.
    #[must_use]
    pub fn endpoint(self, network: Ipv4Addr) -> SocketAddrV4 {
        let address = Ipv4Addr::from(u32::from(network) + u32::from(self.site));
        SocketAddrV4::new(address, FIRST_PORT + PORTS * u16::from(self.slot - 1))
    }
}

/// One path, seen from its far end.
struct End {
    socket: UdpSocket,
    tunnel: Tunn,
    near: Option<SocketAddr>,
    /// Where BFD came from and went to inside of the tunnel.
    inside: Option<Way>,
}

impl End {
    fn open(arguments: &Arguments, uplink: FarUplink, local: u8, index: u32) -> Result<Self> {
        let key = arguments.keys.get(usize::from(local - 1));
        let key = key.with_context(|| format!("no key for uplink {local} of the near end"))?;
        let mut at = uplink.endpoint(arguments.network);
        at.set_port(at.port() + u16::from(local - 1));
        let socket = UdpSocket::bind(at).with_context(|| format!("listening on {at}"))?;
        socket.set_nonblocking(true)?;
        let peer = FarKey::from(key.0);
        let tunnel = Tunn::new(uplink.secret(), peer, None, None, index, None);
        Ok(Self {
            socket,
            tunnel,
            near: None,
            inside: None,
        })
    }

    /// Takes in all that has arrived. Returns the packets of BFD.
    fn receive(&mut self) -> Result<Vec<Packet>> {
        let (mut datagram, mut buffer) = ([0; 2048], [0; 2048]);
        let mut heard = Vec::new();
        loop {
            let (length, from) = match self.socket.recv_from(&mut datagram) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(heard),
                // The near end is not there yet, or not any more.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error.into()),
            };
            let mut input = datagram.get(..length).unwrap_or_default();
            loop {
                let result = self.tunnel.decapsulate(Some(from.ip()), input, &mut buffer);
                match result {
                    TunnResult::WriteToNetwork(answer) => {
                        self.near = Some(from);
                        send(&self.socket, answer, from)?;
                        // What was held back until now.
                        input = &[];
                    }
                    TunnResult::WriteToTunnelV4(packet, _) => {
                        self.near = Some(from);
                        if let Some((way, packet)) = bfd_packet::read(packet) {
                            self.inside = Some(way.back());
                            heard.push(packet);
                        }
                        break;
                    }
                    TunnResult::Done | TunnResult::Err(_) | TunnResult::WriteToTunnelV6(..) => {
                        break;
                    }
                }
            }
        }
    }

    /// Sends a packet of BFD, if it is known where to.
    fn send(&mut self, packet: &Packet) -> Result<()> {
        let (Some(near), Some(way)) = (self.near, self.inside) else {
            return Ok(());
        };
        let mut buffer = [0; 2048];
        let packet = bfd_packet::write(way, packet);
        match self.tunnel.encapsulate(&packet, &mut buffer) {
            TunnResult::WriteToNetwork(datagram) => send(&self.socket, datagram, near),
            _ => Ok(()),
        }
    }

    fn tick(&mut self) -> Result<()> {
        let mut buffer = [0; 2048];
        match (self.tunnel.update_timers(&mut buffer), self.near) {
            (TunnResult::WriteToNetwork(datagram), Some(near)) => {
                send(&self.socket, datagram, near)
            }
            _ => Ok(()),
        }
    }
}

fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> Result<()> {
    match socket.send_to(datagram, to) {
        // As lost as on any other way.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        other => other.map(drop).context("sending"),
    }
}

/// Runs until it is killed.
///
/// # Errors
/// When a socket cannot be opened or used.
#[expect(clippy::print_stdout, reason = "whoever started it waits for a word")]
pub fn run(arguments: &Arguments) -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    ensure!(
        arguments.keys.len() == usize::from(UPLINKS),
        "{UPLINKS} keys are needed: one for each uplink of the near end"
    );
    let started = Instant::now();
    let now = || Timestamp::ZERO + started.elapsed();
    let mut ends = open_all(arguments)?;
    let interval = Duration::from_millis(arguments.millis);
    let timers = BfdTimers {
        desired_min_tx: interval,
        required_min_rx: interval,
        detect_mult: 3,
    };
    let mut sessions: Sessions<usize> = Sessions::new(1);
    for index in 0..ends.len() {
        sessions.insert(now(), index, origin(index)?, timers, None)?;
    }
    println!("{READY}");
    stdout().flush()?;
    let mut ticked = Instant::now();
    loop {
        for index in readable(&ends)? {
            let heard = ends.get_mut(index).map_or(Ok(Vec::new()), End::receive)?;
            for packet in heard {
                // For none of them: from before a restart.
                let _ = sessions.handle_packet(now(), origin(index)?, &packet);
            }
        }
        sessions.handle_timeouts(now());
        while let Some((index, packet)) = sessions.poll_transmit() {
            ends.get_mut(index)
                .map_or(Ok(()), |end| end.send(&packet))?;
        }
        while sessions.poll_event().is_some() {}
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            ends.iter_mut().try_for_each(End::tick)?;
        }
    }
}

fn open_all(arguments: &Arguments) -> Result<Vec<End>> {
    let mut ends = Vec::new();
    for site in 1..=arguments.sites {
        for slot in 1..=UPLINKS {
            for local in 1..=UPLINKS {
                let index = u32::try_from(ends.len())?;
                ends.push(End::open(
                    arguments,
                    FarUplink { site, slot },
                    local,
                    index,
                )?);
            }
        }
    }
    Ok(ends)
}

/// Each path is an interface of its own to BFD; who is at its other end does not matter.
fn origin(index: usize) -> Result<Origin> {
    Ok(Origin {
        interface: u32::try_from(index)?,
        remote: Ipv4Addr::UNSPECIFIED.into(),
    })
}

/// Waits a little for packets. Returns the places of the sockets that have some.
fn readable(ends: &[End]) -> Result<Vec<usize>> {
    const WAIT_MS: u16 = 10;
    let mut waiting: Vec<PollFd<'_>> = ends
        .iter()
        .map(|end| PollFd::new(end.socket.as_fd(), PollFlags::POLLIN))
        .collect();
    match poll(&mut waiting, PollTimeout::from(WAIT_MS)) {
        Ok(_) | Err(nix::Error::EINTR) => {}
        Err(error) => return Err(error).context("waiting for packets"),
    }
    let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
    Ok(waiting
        .iter()
        .enumerate()
        .filter_map(|(index, fd)| ready(fd).then_some(index))
        .collect())
}
