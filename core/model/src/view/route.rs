//! Whose a prefix is, or where it goes else.

use ipnet::IpNet;

use crate::ids::SiteId;
use crate::kernel::{Foreign, Via};

/// A prefix that is routed into the overlay.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteView {
    /// The prefix.
    pub prefix: IpNet,
    /// Whose it is, or was as far as is known.
    pub site: Option<SiteId>,
    /// Where that is known from.
    pub origin: RouteOrigin,
    /// For [`RouteOrigin::Local`] and [`RouteOrigin::Neighbor`], the way, if it is one.
    pub via: Option<Via>,
}

/// A part of an ordinary site's prefix that somebody else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutView {
    /// The part.
    pub part: IpNet,
    /// The prefix that it is part of.
    pub of: IpNet,
    /// Whose that is.
    pub owner: SiteId,
    /// Who has the part.
    pub by: Holder,
}

/// Who has a part of a site's prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Another ordinary site.
    Site(SiteId),
    /// The main table, or a BGP neighbour outside the overlay.
    Foreign(Foreign),
}

/// Where a prefix is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOrigin {
    /// The configuration.
    Configured,
    /// BGP.
    Bgp,
    /// BGP, but nobody vouches for it at present: it is kept until routing has converged again.
    Stale,
    /// BGP, but this machine has a route of its own for it, so it stays here for as long as it does.
    Local,
    /// A site, but of all that BGP knows, a neighbour outside the overlay has the best path.
    Neighbor,
    /// BGP, which says so no more. It is unreachable rather than sought on the Internet.
    Withdrawn,
}
