//! The links that sessions use: which have sockets, which lack what.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use patronus_model::ids::IfName;

use super::batch::Outgoing;
use super::sockets::Sockets;

/// Why a link has no sockets. Nothing need be done about it: the driver keeps trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketProblem {
    /// There is no such interface.
    NoInterface,
    /// The interface does not have our address, or does not have it yet.
    NoAddress,
    /// The kernel refuses for another reason.
    Refused(String),
}

impl fmt::Display for SocketProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface => f.write_str("the interface does not exist"),
            Self::NoAddress => f.write_str("the local address does not exist"),
            Self::Refused(reason) => write!(f, "no socket: {reason}"),
        }
    }
}

impl From<io::Error> for SocketProblem {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENODEV | Errno::ENXIO) => Self::NoInterface,
            Some(Errno::EADDRNOTAVAIL) => Self::NoAddress,
            _ => Self::Refused(error.to_string()),
        }
    }
}

/// Names a link for as long as it has sessions; what the engine knows it by.
pub(super) type LinkId = u32;

/// One of our addresses on one interface, with the sessions from there.
#[derive(Debug)]
pub(super) struct Link {
    interface: IfName,
    local: IpAddr,
    sessions: usize,
    /// The interface that the sockets are bound to, and they.
    open: Option<(u32, Sockets)>,
    problem: Option<SocketProblem>,
    /// What is sent next.
    pub(super) outgoing: Vec<Outgoing>,
}

impl Link {
    pub(super) fn sockets(&self) -> Option<&Sockets> {
        self.open.as_ref().map(|(_, sockets)| sockets)
    }

    /// The interface's present number; 0 without sockets.
    pub(super) fn index(&self) -> u32 {
        self.open.as_ref().map_or(0, |(index, _)| *index)
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.local.is_ipv4()
    }

    pub(super) fn problem(&self) -> Option<&SocketProblem> {
        self.problem.as_ref()
    }

    /// Closes sockets which have become useless.
    pub(super) fn fail(&mut self, problem: SocketProblem) {
        self.open = None;
        self.problem = Some(problem);
    }

    /// Opens what is missing, and what is bound to an interface that is not there any more.
    fn look(&mut self, id: LinkId, index: Option<u32>, epoll: &Epoll, seed: u16) {
        let Some(index) = index else {
            self.fail(SocketProblem::NoInterface);
            return;
        };
        if self.open.as_ref().is_some_and(|(bound, _)| *bound == index) {
            return;
        }
        self.open = None;
        match Self::open(&self.interface, index, self.local, epoll, id, seed) {
            Ok(sockets) => {
                self.open = Some((index, sockets));
                self.problem = None;
            }
            Err(error) => self.problem = Some(error.into()),
        }
    }

    fn open(
        interface: &IfName,
        index: u32,
        local: IpAddr,
        epoll: &Epoll,
        id: LinkId,
        seed: u16,
    ) -> io::Result<Sockets> {
        let sockets = Sockets::open(interface, index, local, seed)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, u64::from(id));
        epoll.add(&sockets.receiver, event)?;
        Ok(sockets)
    }
}

/// All links.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<LinkId, Link>,
    ids: BTreeMap<(IfName, IpAddr), LinkId>,
    next: LinkId,
    seed: u16,
}

impl Links {
    pub(super) fn new(seed: u16) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// The link for one more session.
    pub(super) fn acquire(&mut self, interface: &IfName, local: IpAddr) -> LinkId {
        let id = match self.ids.entry((interface.clone(), local)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                self.next = self.next.wrapping_add(1);
                *vacant.insert(self.next)
            }
        };
        let link = self.links.entry(id).or_insert_with(|| Link {
            interface: interface.clone(),
            local,
            sessions: 0,
            open: None,
            problem: None,
            outgoing: Vec::new(),
        });
        link.sessions += 1;
        id
    }

    /// Takes a session away from its link, and the link's sockets with the last one.
    pub(super) fn release(&mut self, id: LinkId) {
        let Entry::Occupied(mut entry) = self.links.entry(id) else {
            return;
        };
        entry.get_mut().sessions -= 1;
        if entry.get().sessions == 0 {
            let link = entry.remove();
            self.ids.remove(&(link.interface, link.local));
        }
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// Compares every link with the interfaces that there are now.
    pub(super) fn look(&mut self, epoll: &Epoll) {
        let mut indexes = BTreeMap::new();
        for (id, link) in &mut self.links {
            let index = *indexes
                .entry(link.interface.clone())
                .or_insert_with(|| if_nametoindex(link.interface.as_str()).ok());
            self.seed = self.seed.wrapping_add(1);
            link.look(*id, index, epoll, self.seed);
        }
    }
}
