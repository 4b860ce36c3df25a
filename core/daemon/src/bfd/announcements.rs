//! Notices that interfaces or addresses came or went.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

// From linux/rtnetlink.h.
const RTMGRP_LINK: u32 = 0x1;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;

/// A subscription to the kernel's announcements. What they say is not read: any of them is
/// reason to look again, and looking is cheap.
#[derive(Debug)]
pub(super) struct LinkWatch(OwnedFd);

impl LinkWatch {
    pub(super) fn new() -> io::Result<Self> {
        let watch = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkRoute,
        )?;
        let groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
        bind(watch.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self(watch))
    }

    /// Whether anything was announced since the last call.
    pub(super) fn drain(&self) -> bool {
        let mut buffer = [0_u8; 8192];
        let mut announced = false;
        loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return announced,
                // So many announcements that some were lost: all the more reason to look.
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => announced = true,
                Err(_) => return announced,
            }
        }
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
