//! Routes.

use std::net::IpAddr;

use async_graphql::{Enum, ID, SimpleObject};
use ipnet::IpNet;
use patronus_model::view::{RouteOrigin, RouteView};

use crate::error::Failure;

/// Where a prefix is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case", name = "RouteOrigin")]
pub(crate) enum Origin {
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
    /// BGP, which says so no more: nobody reaches it, and nothing for it leaves in the clear. The
    /// mutation `forgetPrefix` ends that.
    Withdrawn,
}

impl From<RouteOrigin> for Origin {
    fn from(origin: RouteOrigin) -> Self {
        match origin {
            RouteOrigin::Configured => Self::Configured,
            RouteOrigin::Bgp => Self::Bgp,
            RouteOrigin::Stale => Self::Stale,
            RouteOrigin::Local => Self::Local,
            RouteOrigin::Neighbor => Self::Neighbor,
            RouteOrigin::Withdrawn => Self::Withdrawn,
        }
    }
}

/// A prefix that is routed into the overlay.
#[derive(SimpleObject)]
pub(crate) struct Route {
    /// The prefix.
    pub(crate) prefix: String,
    /// Whose it is, or was; null for what was guarded before patronusd started, which the
    /// configuration may have named instead, or whose site is not configured any more.
    site_id: Option<ID>,
    /// Where it is known from.
    origin: Origin,
    /// For `local` and `neighbor`, the way, like `10.1.0.7 on lan0`; null where there are several.
    via: Option<String>,
}

impl Route {
    pub(crate) fn new(route: &RouteView) -> Self {
        Self {
            prefix: route.prefix.to_string(),
            site_id: route.site.as_ref().map(|site| site.as_str().into()),
            origin: route.origin.into(),
            via: route.via.as_ref().map(ToString::to_string),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            site_id: Some("a".into()),
            origin: Origin::Bgp,
            via: None,
        }
    }
}

/// Reads an address or a prefix; an address is the prefix that contains only it.
pub(crate) fn parse_contained(text: &str) -> Result<IpNet, Failure> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_| Failure::BadInput {
            argument: "contains",
            value: text.to_owned(),
            problem: "is not an address or a prefix. Use one like 10.7.0.9 or 10.7.0.0/24"
                .to_owned(),
        })
}
