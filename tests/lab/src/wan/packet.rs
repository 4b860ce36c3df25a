//! Frames in and out of an interface, many per system call.
#![allow(
    unsafe_code,
    reason = "recvmmsg, sendmmsg and packet sockets have no safe wrapper that does not allocate"
)]

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};

use crate::sys;

/// Room for a frame: 1500 bytes, Ethernet header, VLAN tags, and some.
pub(super) const ROOM: usize = 1600;

/// Frames per system call.
pub(super) const BATCH: usize = 64;

/// Both directions of a busy link together fill this in about 50 ms at 1 Gbit/s.
const SOCKET_BUFFER: libc::c_int = 8 << 20;

/// Values of linux/if_packet.h which libc lacks.
const PACKET_QDISC_BYPASS: libc::c_int = 20;
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// A received frame.
pub(super) struct Frame {
    data: Box<[u8; ROOM]>,
    length: usize,
}

impl Frame {
    pub(super) fn new() -> Self {
        Self {
            data: Box::new([0; ROOM]),
            length: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }
}

/// An AF_PACKET socket on one interface.
pub(super) struct PacketSocket(OwnedFd);

impl PacketSocket {
    pub(super) fn open(interface: &str) -> Result<Self> {
        let name = CString::new(interface)?;
        // SAFETY: `name` is a terminated string that outlives the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            bail!("there is no interface {interface:?}");
        }
        // SAFETY: no pointers are passed. Protocol 0: nothing is received until it is bound.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error()).context("opening a packet socket");
        }
        let fd = sys::adopt_received(vec![fd])
            .pop()
            .context("no descriptor")?;
        let socket = Self(fd);
        socket.option(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
        socket.option(libc::SOL_PACKET, PACKET_QDISC_BYPASS, 1)?;
        socket.option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, SOCKET_BUFFER)?;
        socket.option(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SOCKET_BUFFER)?;
        socket
            .bind(i32::try_from(index)?)
            .with_context(|| format!("binding to {interface}"))?;
        Ok(socket)
    }

    fn option(&self, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
        // SAFETY: `value` outlives the call, and its true size is passed.
        let done = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                mem::size_of_val(&value) as libc::socklen_t,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn bind(&self, index: i32) -> io::Result<()> {
        // SAFETY: sockaddr_ll is plain data for which all zeroes is a valid value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index;
        // SAFETY: `address` outlives the call, and its true size is passed.
        let done = unsafe {
            libc::bind(
                self.0.as_raw_fd(),
                (&raw const address).cast(),
                mem::size_of_val(&address) as libc::socklen_t,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Reads what is there into `frames`, and returns how many were filled, without waiting.
    pub(super) fn receive(&self, frames: &mut [Frame]) -> io::Result<usize> {
        let mut slices = [empty_slice(); BATCH];
        let mut headers = [empty_header(); BATCH];
        let count = frames.len().min(BATCH);
        for ((frame, slice), header) in frames.iter_mut().zip(&mut slices).zip(&mut headers) {
            slice.iov_base = frame.data.as_mut_ptr().cast();
            slice.iov_len = ROOM;
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the first `count` headers point to slices, and these to distinct frames of ROOM
        // bytes, all of which outlive the call; a null timeout is allowed.
        let received = unsafe {
            libc::recvmmsg(
                self.0.as_raw_fd(),
                headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            return match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                error => Err(error),
            };
        };
        for (frame, header) in frames.iter_mut().zip(&headers).take(received) {
            frame.length = (header.msg_len as usize).min(ROOM);
        }
        Ok(received)
    }

    /// Sends frames in order, and returns how many of them left. One that the interface refuses
    /// (it is down, or the frame is too long) is dropped, as a real line would.
    pub(super) fn send<'a>(&self, frames: impl Iterator<Item = &'a Frame>) -> usize {
        let mut slices = [empty_slice(); BATCH];
        let mut headers = [empty_header(); BATCH];
        let mut count = 0;
        for ((frame, slice), header) in frames.zip(&mut slices).zip(&mut headers) {
            slice.iov_base = frame.data.as_ptr().cast_mut().cast();
            slice.iov_len = frame.length;
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            count += 1;
        }
        let (mut next, mut left) = (0, 0);
        while let Some(rest) = headers.get_mut(next..count).filter(|rest| !rest.is_empty()) {
            // SAFETY: the headers up to `count` point to slices, and these to frames of the given
            // length, all of which outlive the call; sendmmsg only reads the frames.
            let sent = unsafe {
                libc::sendmmsg(
                    self.0.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    0,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => {
                    next += sent;
                    left += sent;
                }
                _ => next += 1,
            }
        }
        left
    }
}

fn empty_slice() -> libc::iovec {
    libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: mmsghdr is plain data for which all zeroes (no address, no data) is a valid value.
    unsafe { mem::zeroed() }
}
