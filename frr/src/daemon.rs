//! The daemons of FRR that we speak to.

use std::fmt;

/// A daemon of FRR with a vty socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Daemon {
    /// Manages configuration centrally; FRR 9.0 and later.
    Mgmtd,
    /// Speaks to the kernel.
    Zebra,
    /// Keeps static routes; we have none, but watchfrr always starts it.
    Staticd,
    /// Speaks BFD (RFC 5880) to neighbours outside the overlay; runs only while there are such:
    /// its packet socket costs every packet that the machine forwards.
    Bfdd,
    /// Speaks BGP (RFC 4271).
    Bgpd,
}

impl Daemon {
    /// All of them, in the order in which configuration is made; it is taken back in reverse.
    pub const ALL: [Self; 5] = [
        Self::Mgmtd,
        Self::Zebra,
        Self::Staticd,
        Self::Bfdd,
        Self::Bgpd,
    ];

    /// Those which must be connected before anything is applied. Bfdd is told what it has to do
    /// once it is there: a neighbour without BFD is better than none.
    pub const REQUIRED: [Self; 2] = [Self::Zebra, Self::Bgpd];

    /// The name of the program and, before `.vty`, of its socket.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mgmtd => "mgmtd",
            Self::Zebra => "zebra",
            Self::Staticd => "staticd",
            Self::Bfdd => "bfdd",
            Self::Bgpd => "bgpd",
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
