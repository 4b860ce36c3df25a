//! Many datagrams per system call.

use std::io::{IoSlice, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, sendmmsg,
};
use patronus_engine::bfd::PACKET_LEN;
use patronus_model::ids::PathId;

/// Datagrams per call. More saves nothing measurable.
const BATCH: usize = 64;

/// A control packet with the longest authentication section (28 bytes) and some to spare.
const BUFFER: usize = 64;

/// A datagram that arrived.
pub(super) struct Datagram<'a> {
    pub(super) source: IpAddr,
    /// TTL or hop limit; 0 when the kernel did not say.
    pub(super) hops: u8,
    pub(super) payload: &'a [u8],
}

/// What receiving needs besides a socket.
///
/// One per address family, because the kernel writes the length of each address and control
/// message into the headers, and takes it for the room there is the next time.
pub(super) struct ReceiveBatch {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; BUFFER]>,
}

impl ReceiveBatch {
    pub(super) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, Some(cmsg_space!(i32))),
            buffers: vec![[0; BUFFER]; BATCH],
        }
    }

    /// Takes datagrams from `socket` until there are none, or until `limit` have been taken.
    ///
    /// # Errors
    /// Whatever the kernel says, other than that there is nothing.
    pub(super) fn receive(
        &mut self,
        socket: &impl AsRawFd,
        limit: usize,
        mut take: impl FnMut(Datagram<'_>),
    ) -> nix::Result<()> {
        let mut taken = 0;
        while taken < limit {
            match self.receive_once(socket, &mut take) {
                Ok(count) if count == BATCH => taken += count,
                Ok(_) | Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn receive_once(
        &mut self,
        socket: &impl AsRawFd,
        take: &mut impl FnMut(Datagram<'_>),
    ) -> nix::Result<usize> {
        let mut slices: Vec<_> = self
            .buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            slices.iter_mut(),
            flags,
            None,
        )?;
        let mut count = 0;
        for message in messages {
            count += 1;
            let (source, hops) = (source(&message), hops(&message));
            if let (Some(source), Some(payload)) = (source, message.iovs().next()) {
                take(Datagram {
                    source,
                    hops,
                    payload,
                });
            }
        }
        Ok(count)
    }
}

fn source(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<IpAddr> {
    let address = message.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

fn hops(message: &RecvMsg<'_, '_, SockaddrStorage>) -> u8 {
    let hops = message.cmsgs().ok().and_then(|mut controls| {
        controls.find_map(|control| match control {
            ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) => {
                Some(hops)
            }
            _ => None,
        })
    });
    hops.and_then(|hops| u8::try_from(hops).ok()).unwrap_or(0)
}

/// A packet that waits to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub(super) path: PathId,
    pub(super) to: SockaddrStorage,
    pub(super) payload: [u8; PACKET_LEN],
}

/// What sending needs besides a socket.
pub(super) struct SendBatch {
    headers: MultiHeaders<SockaddrStorage>,
}

impl SendBatch {
    pub(super) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
        }
    }

    /// Sends everything, and reports for each path whether that worked. A packet that cannot be
    /// sent is given up: the next one says the same.
    pub(super) fn send(
        &mut self,
        socket: &impl AsRawFd,
        mut outgoing: &[Outgoing],
        mut report: impl FnMut(PathId, Result<(), Errno>),
    ) {
        while let Some(first) = outgoing.first() {
            let outcome = self.send_once(socket, outgoing);
            if outcome == Err(Errno::EINTR) {
                continue;
            }
            // A call that fails says why the first was not sent, and nothing of the others.
            let (sent, rest) = match outcome {
                Ok(count) => outgoing.split_at(count.clamp(1, outgoing.len())),
                Err(errno) => {
                    report(first.path, Err(errno));
                    outgoing.split_at(1)
                }
            };
            if outcome.is_ok() {
                sent.iter().for_each(|packet| report(packet.path, Ok(())));
            }
            outgoing = rest;
        }
    }

    fn send_once(&mut self, socket: &impl AsRawFd, outgoing: &[Outgoing]) -> nix::Result<usize> {
        let batch = outgoing.iter().take(BATCH);
        let slices: Vec<_> = batch
            .clone()
            .map(|packet| [IoSlice::new(&packet.payload)])
            .collect();
        let addresses: Vec<_> = batch.map(|packet| Some(packet.to)).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &slices,
            &addresses,
            [],
            flags,
        )?;
        Ok(sent.count())
    }
}
