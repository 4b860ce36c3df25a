//! The few kernel calls for which neither std nor nix has a safe wrapper.
#![allow(
    unsafe_code,
    reason = "namespaces need fork, pidfds and interface ioctls, which have no safe wrapper"
)]

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid};

/// Forks a process which has exactly one thread.
///
/// # Errors
/// When the kernel refuses, or when the process has more than one thread: the child could then
/// wait forever for a lock that a thread held which does not exist in the child.
pub(crate) fn fork_single_threaded() -> Result<ForkResult> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        bail!("refusing to fork a process of {threads} threads");
    }
    // SAFETY: there is no other thread (checked above; only this thread could start one), so no
    // lock can be held by a thread which is missing in the child.
    Ok(unsafe { nix::unistd::fork() }?)
}

/// Leaves the process at once, without running destructors which belong to the parent.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes any status and does not return.
    unsafe { libc::_exit(status) }
}

fn owned(fd: i64) -> io::Result<OwnedFd> {
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just returned this descriptor, and nobody else knows it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes ownership of descriptors which arrived in a control message.
pub(crate) fn adopt_received(fds: Vec<RawFd>) -> Vec<OwnedFd> {
    // SAFETY: recvmsg has created these descriptors for this process; the caller got them from
    // the control message just now and hands them over.
    fds.into_iter()
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
        .collect()
}

/// Opens a descriptor for a process, which stays meaningful when the pid is reused.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })
}

/// Sends a signal to the process behind a pidfd.
pub(crate) fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let null = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means what kill(2) would send.
    let done = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal as i32,
            null,
            0,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The pid behind a pidfd as this process sees it; `None` when the process has been reaped.
pub(crate) fn pidfd_pid(pidfd: BorrowedFd<'_>) -> Result<Option<i32>> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let pid = info
        .lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .and_then(|pid| pid.trim().parse::<i32>().ok());
    Ok(pid.filter(|pid| *pid > 0))
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) {
    // SAFETY: only called in a freshly forked child, which uses none of these descriptors again.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Makes all calls of this thread to the file system independent of other threads (own root,
/// working directory and umask), which the kernel demands before a thread enters a mount namespace.
pub(crate) fn unshare_fs() -> Result<()> {
    Ok(nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?)
}

/// What an ioctl on a network interface changes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Offload {
    /// Checksums left to the receiver (which is meaningless once a packet is read by AF_PACKET).
    TxChecksum,
    /// Segmentation of TCP left to the other end.
    TcpSegmentation,
    /// Generic segmentation.
    Segmentation,
    /// Generic receive merging.
    Receive,
}

#[repr(C)]
struct EthtoolValue {
    command: u32,
    value: u32,
}

fn interface_request(name: &str) -> Result<libc::ifreq> {
    // SAFETY: ifreq is plain data for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        bail!("{name:?} is no interface name: 1 to 15 bytes");
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

fn control_socket() -> Result<OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    Ok(socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?)
}

/// Switches one offload of an interface of the current namespace off.
pub(crate) fn disable_offload(interface: &str, offload: Offload) -> Result<()> {
    // Values of ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO of linux/ethtool.h.
    let command = match offload {
        Offload::TxChecksum => 0x17,
        Offload::TcpSegmentation => 0x1f,
        Offload::Segmentation => 0x24,
        Offload::Receive => 0x2c,
    };
    let mut value = EthtoolValue { command, value: 0 };
    let mut request = interface_request(interface)?;
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let socket = control_socket()?;
    // SAFETY: `request` and the `value` which it points to outlive the call, and the four
    // commands above read and write exactly one EthtoolValue.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
            .with_context(|| format!("switching {offload:?} of {interface} off"))
    }
}

/// Sets an interface of the current namespace administratively up or down.
pub(crate) fn set_link(interface: &str, up: bool) -> Result<()> {
    let mut request = interface_request(interface)?;
    let socket = control_socket()?;
    let fd = socket.as_fd().as_raw_fd();
    let up_flag = libc::c_short::try_from(libc::IFF_UP)?;
    // SAFETY: `request` outlives both calls; SIOCGIFFLAGS fills `ifru_flags`, which is read and
    // written as the plain integer that it is.
    let done = unsafe {
        if libc::ioctl(fd, libc::SIOCGIFFLAGS, &raw mut request) == 0 {
            let flags = request.ifr_ifru.ifru_flags;
            request.ifr_ifru.ifru_flags = if up {
                flags | up_flag
            } else {
                flags & !up_flag
            };
            libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw const request)
        } else {
            -1
        }
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
            .with_context(|| format!("setting {interface} {}", if up { "up" } else { "down" }))
    }
}

/// Lets the calling thread wake within microseconds of its deadlines, whatever else the machine
/// does: a measurement must not measure the load. For threads that mostly sleep.
///
/// Real time, because a nice value counts only among the threads of one session where the kernel
/// groups sessions (CONFIG_SCHED_AUTOGROUP). And on one CPU, chosen by `slot`, because packets of
/// a thread that moves to another CPU can overtake those that wait in the backlog of the first.
/// Best effort: without it results are less exact.
pub(crate) fn prefer_this_thread(slot: usize) {
    let _ = nix::sys::prctl::set_timerslack(1);
    pin_this_thread(slot);
    let parameters = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameters` outlives the call; 0 means the calling thread.
    let done = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if done != 0 {
        // SAFETY: no pointers are passed; PRIO_PROCESS with 0 means the calling thread on Linux.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -15) };
    }
}

fn pin_this_thread(slot: usize) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    let this = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(this) else {
        return;
    };
    let cpus: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .collect();
    let Some(cpu) = slot
        .checked_rem(cpus.len())
        .and_then(|index| cpus.get(index))
    else {
        return;
    };
    let mut one = CpuSet::new();
    if one.set(*cpu).is_ok() {
        let _ = sched_setaffinity(this, &one);
    }
}

/// CPU time which the calling thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Sets what a signal does to `default` or `ignore`.
pub(crate) fn reset_signal(
    signal: Signal,
    handler: nix::sys::signal::SigHandler,
) -> io::Result<()> {
    // SAFETY: callers pass SigDfl or SigIgn only, so no code of ours runs in signal context.
    unsafe { nix::sys::signal::signal(signal, handler) }?;
    Ok(())
}

/// Collects one ended child with its raw wait status; `None` when there is none now.
pub(crate) fn wait_any() -> io::Result<Option<(i32, i32)>> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match pid {
            0 => return Ok(None),
            pid if pid > 0 => return Ok(Some((pid, status))),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EINTR) => {}
                error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
                error => return Err(error),
            },
        }
    }
}
