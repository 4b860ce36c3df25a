//! Words for what is routed elsewhere than into the overlay.

use std::net::IpAddr;

use ipnet::IpNet;
use patronus_model::kernel::Foreign;
use patronus_model::view::{CutView, Holder};

/// Why the overlay does not carry a packet.
pub(crate) fn not_overlay(destination: IpAddr, foreign: Option<&(IpNet, Foreign)>) -> String {
    match foreign {
        Some((prefix, Foreign::Neighbor(via))) => format!(
            "{prefix} is what a BGP neighbour outside the overlay announces: the packet goes to {via}"
        ),
        Some((prefix, Foreign::Main(Some(via)))) => {
            format!("this machine has a route for {prefix} in its main table: by {via}")
        }
        Some((prefix, Foreign::Main(None))) => {
            format!("this machine has a route for {prefix} in its main table, which decides")
        }
        None => format!("{destination} is not in the overlay: the main routing table decides"),
    }
}

/// What is wrong with a route that leads out of an uplink what belongs to the overlay.
pub(crate) fn misrouted(prefix: &IpNet, by: &Foreign) -> String {
    let via = by
        .via()
        .map_or_else(String::new, |via| format!(" by {via}"));
    match by {
        Foreign::Main(_) => format!(
            "this machine's main table has a route for {prefix}{via}, an uplink. It belongs to the \
             overlay, so what leaves there in the clear is dropped. Remove that route, or take the \
             prefix out of what belongs to the overlay"
        ),
        Foreign::Neighbor(_) => format!(
            "a BGP neighbour announces {prefix}{via}, an uplink. It belongs to the overlay, so it is \
             not used, and refused unless a site has it. Let the neighbour not announce it, or take \
             the prefix out of what belongs to the overlay (`patronus forget` if it was announced \
             by mistake)"
        ),
    }
}

/// Who has a part of a site's prefix.
pub(crate) fn cut(
    CutView {
        part,
        of,
        owner,
        by,
    }: &CutView,
) -> String {
    let goes = match by {
        Holder::Site(site) => format!("{part} goes to {site}, which announces it"),
        Holder::Foreign(Foreign::Neighbor(via)) => {
            format!("{part} goes to {via}, as a BGP neighbour announces it")
        }
        Holder::Foreign(Foreign::Main(Some(via))) => {
            format!("{part} goes to {via}, by a route of this machine's main table")
        }
        Holder::Foreign(Foreign::Main(None)) => {
            format!("{part} goes where a route of this machine's main table says, if anywhere")
        }
    };
    format!(
        "{goes}, although {owner} has {of}. If that is a mistake, end it there; if {owner} has the \
         rest only, make it a hub"
    )
}
