//! What the states of BGP sessions mean, for whoever does not know them by heart.

use patronus_model::view::NeighborView;

/// What it means that a session is not established, and what to look at; `None` where it is, or FRR
/// calls it something that we do not know.
pub(crate) fn meaning(neighbor: &NeighborView) -> Option<String> {
    if neighbor.established {
        return None;
    }
    let why = neighbor.last_error.as_deref().unwrap_or_default();
    // RFC 4271 section 8.2.2; what is in brackets is FRR's.
    let text = match neighbor.state.as_str() {
        "Idle (Admin)" => "switched off by hand in FRR (`shutdown`)",
        "Idle (PfxCt)" => "ended, as it announces more prefixes than bgp.maximum_prefixes",
        "Idle" => "between two attempts, or without a route to it: is a path to it up?",
        "Connect" | "Active" if why.contains(SHUT_DOWN) => {
            "no TCP connection: it was shut down on purpose at the other end"
        }
        "Connect" | "Active" => {
            "no TCP connection: is bgpd running there, is TCP port 179 open, and do both ends have \
             the same password?"
        }
        "OpenSent" => "connected, but it has not introduced itself: does its bgpd answer?",
        "OpenConfirm" => "both have introduced themselves: it is about to be established",
        "Clearing" | "Deleted" => "being taken down",
        _ => return None,
    };
    Some(text.to_owned())
}

/// What FRR says when the other end was switched off on purpose (RFC 4486 section 4): the same in 8.4
/// and in 10.3.
pub(crate) const SHUT_DOWN: &str = "Administrative Shutdown";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_but_established_says_what_it_means() {
        let meaning = |state: &str| {
            let mut neighbor = crate::canned::Canned::well().bgp.neighbors.remove(0);
            (neighbor.established, neighbor.state) = (state == "Established", state.to_owned());
            meaning(&neighbor)
        };
        // What FRR 8.4 and 10.3 call them (`bgp_status_msg`, and what `show bgp summary` adds).
        for state in [
            "Idle",
            "Connect",
            "Active",
            "OpenSent",
            "OpenConfirm",
            "Clearing",
            "Deleted",
            "Idle (Admin)",
            "Idle (PfxCt)",
        ] {
            assert!(meaning(state).is_some(), "{state}");
        }
        assert_eq!(meaning("Established"), None);
        assert_eq!(meaning("Whatever"), None);
    }
}
