//! The multicast sockets.

use std::io::{Error as IoError, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

use crate::error::{Doing, Error};

/// `enum rtnetlink_groups` (linux/rtnetlink.h): links, addresses, routes and rules of both
/// families, nexthop objects.
const ROUTE_GROUPS: [u32; 8] = [1, 5, 7, 8, 9, 11, 19, 32];

/// `NFNLGRP_NFTABLES` (linux/netfilter/nfnetlink.h).
const NFTABLES_GROUP: u32 = 7;

/// The kernel merges notifications into datagrams of at most 32 KiB.
const DATAGRAM: usize = 64 * 1024;

/// What one look at a socket gave.
pub(super) enum Heard {
    /// Nothing more for now.
    Silence,
    /// This many bytes.
    Datagram(usize),
    /// The kernel had to drop events.
    Overrun,
}

/// A socket that only listens.
pub(super) struct Listener {
    socket: Socket,
}

impl Listener {
    pub(super) fn routes(receive_buffer: usize) -> Result<Self, Error> {
        Self::open(NETLINK_ROUTE, &ROUTE_GROUPS, receive_buffer)
    }

    pub(super) fn nftables() -> Result<Self, Error> {
        // Only whether something of ours was touched matters, so that an overrun loses nothing.
        Self::open(NETLINK_NETFILTER, &[NFTABLES_GROUP], 1 << 20)
    }

    fn open(protocol: isize, groups: &[u32], receive_buffer: usize) -> Result<Self, Error> {
        let doing = || "subscribing to kernel events".to_owned();
        let mut socket = Socket::new(protocol).doing(doing)?;
        socket.bind(&SocketAddr::new(0, 0)).doing(doing)?;
        if setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &receive_buffer).is_err() {
            tracing::warn!("without CAP_NET_ADMIN the receive buffer for kernel events is small");
            setsockopt(&socket.as_fd(), sockopt::RcvBuf, &receive_buffer).doing(doing)?;
        }
        socket.set_non_blocking(true).doing(doing)?;
        for group in groups {
            socket.add_membership(*group).doing(doing)?;
        }
        Ok(Self { socket })
    }

    pub(super) fn hear(&self, buffer: &mut [u8]) -> Result<Heard, Error> {
        match self.socket.recv(&mut &mut *buffer, 0) {
            Ok(len) => Ok(Heard::Datagram(len)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Heard::Silence),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Heard::Silence),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Heard::Overrun),
            Err(error) => Err::<_, IoError>(error).doing(|| "reading kernel events".to_owned()),
        }
    }

    pub(super) fn buffer() -> Vec<u8> {
        vec![0; DATAGRAM]
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
