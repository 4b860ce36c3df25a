//! What another session with the same site, or others on this machine, say of a problem.

use patronus_model::view::ObstacleView;

use super::check;

#[test]
fn a_session_beside_one_that_works_asks_for_the_addresses() {
    check(
        |_, bgp| {
            let mut other = bgp.neighbors[0].clone();
            other.address = "fd00:255::22".parse().unwrap();
            (other.established, other.state) = (false, "Connect".to_owned());
            other.last_error = Some("OPEN Message Error/Bad Peer AS".to_owned());
            bgp.neighbors.push(other);
        },
        &[
            "BGP session with lisbon (fd00:255::22) is down: Connect: OPEN Message Error/Bad Peer AS. \
           The one with 10.255.0.2 is up, so compare the overlay addresses in the files of both ends \
           (here lisbon is fd00:255::22)",
        ],
    );
}

#[test]
fn what_others_put_into_the_way_is_a_problem_if_it_certainly_is_in_the_way() {
    let obstacle = |certain| ObstacleView {
        found: vec!["IPv4 rule 50".to_owned()],
        certain,
        cost: "all goes astray".to_owned(),
        remedy: "remove it".to_owned(),
    };
    check(
        |view, _| view.obstacles = vec![obstacle(true), obstacle(false)],
        &["others are in the way: IPv4 rule 50 (all goes astray); remove it"],
    );
}
