//! What routes of the two tables say.

use super::*;
use patronus_model::kernel::RouteKey;

const OVERLAY: u32 = 9;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn route(prefix: &str, metric: u32, nexthop: Option<u32>, hops: &[(u32, &str)]) -> Route {
    let prefix = net(prefix);
    Route {
        key: RouteKey {
            table: 254,
            prefix,
            metric,
        },
        protocol: 186,
        kind: 1,
        tos: 0,
        nexthop,
        hops: hops
            .iter()
            .map(|(index, gateway)| Hop {
                index: *index,
                gateway: gateway.parse().ok(),
            })
            .collect(),
        source: None,
    }
}

/// In the table that FRR fills.
fn apart(prefix: &str, hops: &[(u32, &str)]) -> Route {
    let mut route = route(prefix, 20, None, hops);
    route.key.table = 7129;
    route
}

fn way(index: u32, gateway: &str) -> Way {
    let gateway = gateway.parse().ok();
    Way {
        hop: Hop { index, gateway },
        source: None,
    }
}

fn hop(index: u32, gateway: &str) -> Leads {
    Leads::Hop(Hop {
        index,
        gateway: gateway.parse().ok(),
    })
}

fn check(routes: &mut Routes, set: &[(&str, &str)], removed: &[&str]) {
    let delta = routes.settle(Some(OVERLAY));
    let expected = set.iter().map(|(p, g)| (net(p), g.parse().unwrap()));
    assert_eq!(delta.set, expected.collect());
    assert_eq!(delta.removed, removed.iter().map(|p| net(p)).collect());
}

#[test]
fn nested_groups_give_the_lowest_address_in_the_overlay() {
    let mut routes = Routes::default();
    routes.put_nexthop(1, hop(OVERLAY, "10.255.0.9"));
    routes.put_nexthop(2, hop(OVERLAY, "10.255.0.3"));
    routes.put_nexthop(3, hop(5, "10.0.0.1"));
    routes.put_nexthop(4, Leads::Group(vec![1, 2]));
    routes.put_nexthop(5, Leads::Group(vec![4, 3]));
    routes.put(route("10.2.0.0/16", 20, Some(5), &[]), false);
    check(&mut routes, &[("10.2.0.0/16", "10.255.0.3")], &[]);
    // The object changes under the route.
    routes.put_nexthop(2, hop(OVERLAY, "10.255.0.12"));
    check(&mut routes, &[("10.2.0.0/16", "10.255.0.9")], &[]);
    check(&mut routes, &[], &[]);
}

#[test]
fn inline_ways_are_learned_too() {
    let mut routes = Routes::default();
    let ways = [(OVERLAY, "10.255.0.4"), (OVERLAY, "10.255.0.2")];
    routes.put(route("10.3.0.0/16", 20, None, &ways), false);
    check(&mut routes, &[("10.3.0.0/16", "10.255.0.2")], &[]);
    routes.delete(&route("10.3.0.0/16", 20, None, &ways[1..]));
    check(&mut routes, &[("10.3.0.0/16", "10.255.0.4")], &[]);
    routes.delete(&route("10.3.0.0/16", 20, None, &ways[..1]));
    check(&mut routes, &[], &["10.3.0.0/16"]);
}

#[test]
fn the_route_of_least_metric_decides_whether_a_prefix_is_foreign() {
    let mut routes = Routes::default();
    routes.put(
        route("10.4.0.0/16", 20, None, &[(OVERLAY, "10.255.0.4")]),
        false,
    );
    routes.put(route("10.4.0.0/16", 5, None, &[(3, "10.0.0.1")]), false);
    routes.put(route("0.0.0.0/0", 0, None, &[(3, "10.0.0.1")]), false);
    routes.put(route("10.255.0.0/16", 0, None, &[(OVERLAY, "")]), false);
    routes.put(route("192.168.0.0/24", 0, None, &[(4, "")]), false);
    check(&mut routes, &[], &[]);
    let connected = (net("192.168.0.0/24"), Elsewhere::Main(Some(way(4, ""))));
    let both = [
        (
            net("10.4.0.0/16"),
            Elsewhere::Main(Some(way(3, "10.0.0.1"))),
        ),
        connected,
    ];
    assert_eq!(routes.foreign(), &both.into());
    routes.delete(&route("10.4.0.0/16", 5, None, &[(3, "10.0.0.1")]));
    check(&mut routes, &[("10.4.0.0/16", "10.255.0.4")], &[]);
    assert_eq!(routes.foreign(), &[connected].into());
    let gateway = routes.default_gateway(&net("0.0.0.0/0"), 3);
    assert_eq!(gateway, "10.0.0.1".parse().ok());
}

#[test]
fn what_was_learned_is_told_although_the_main_table_has_it_too() {
    let mut routes = Routes::default();
    routes.put(route("10.8.0.0/16", 0, None, &[(3, "")]), false);
    let ways = [(OVERLAY, "10.255.0.4")];
    routes.put(apart("10.8.0.0/16", &ways), false);
    check(&mut routes, &[("10.8.0.0/16", "10.255.0.4")], &[]);
    let main = Elsewhere::Main(Some(way(3, "")));
    assert_eq!(routes.foreign(), &[(net("10.8.0.0/16"), main)].into());
    routes.delete(&route("10.8.0.0/16", 0, None, &[(3, "")]));
    check(&mut routes, &[], &[]);
    assert!(routes.foreign().is_empty());
}

#[test]
fn the_best_path_of_a_prefix_may_change_between_a_site_and_a_neighbour() {
    let mut routes = Routes::default();
    let prefix = "10.9.0.0/16";
    let by_site = || apart(prefix, &[(OVERLAY, "10.255.0.4")]);
    let by_neighbor = || apart(prefix, &[(3, "10.1.0.8"), (4, "10.1.0.7")]);
    let neighbor = || [(net(prefix), Elsewhere::Neighbor(way(4, "10.1.0.7")))].into();
    routes.put(by_neighbor(), true);
    check(&mut routes, &[], &[]);
    assert_eq!(routes.foreign(), &neighbor());
    routes.put(by_site(), true);
    check(&mut routes, &[(prefix, "10.255.0.4")], &[]);
    assert!(routes.foreign().is_empty());
    routes.put(by_neighbor(), true);
    check(&mut routes, &[], &[prefix]);
    assert_eq!(routes.foreign(), &neighbor());
    // What this machine has itself comes first.
    routes.put(route(prefix, 0, None, &[(3, "")]), false);
    check(&mut routes, &[], &[]);
    let main = Elsewhere::Main(Some(way(3, "")));
    assert_eq!(routes.foreign(), &[(net(prefix), main)].into());
    // Without an interface of the overlay, what leads there cannot be told from the rest.
    routes.delete(&route(prefix, 0, None, &[(3, "")]));
    assert_eq!(routes.settle(None), LearnedDelta::default());
    assert!(routes.foreign().is_empty());
}

#[test]
fn a_route_that_leads_nowhere_has_no_way() {
    let mut routes = Routes::default();
    // IPv6 has them lead to the loopback interface.
    let mut blackhole = route("fd00:78::/48", 1024, None, &[(1, "")]);
    blackhole.kind = 6;
    routes.put(blackhole, false);
    check(&mut routes, &[], &[]);
    let nowhere = (net("fd00:78::/48"), Elsewhere::Main(None));
    assert_eq!(routes.foreign(), &[nowhere].into());
}

#[test]
fn a_default_route_of_a_neighbour_counts_while_this_machine_has_none() {
    let mut routes = Routes::default();
    let default = "0.0.0.0/0";
    routes.put(apart(default, &[(3, "10.1.0.7")]), true);
    routes.put(route(default, 100, None, &[(5, "192.0.2.1")]), false);
    check(&mut routes, &[], &[]);
    assert!(routes.foreign().is_empty());
    routes.delete(&route(default, 100, None, &[(5, "192.0.2.1")]));
    check(&mut routes, &[], &[]);
    let neighbor = Elsewhere::Neighbor(way(3, "10.1.0.7"));
    assert_eq!(routes.foreign(), &[(net(default), neighbor)].into());
}

#[test]
fn a_replacement_takes_the_place_of_all_ways() {
    let mut routes = Routes::default();
    routes.put(
        route("10.5.0.0/16", 20, None, &[(OVERLAY, "10.255.0.2")]),
        false,
    );
    routes.put(
        route("10.5.0.0/16", 20, None, &[(OVERLAY, "10.255.0.7")]),
        true,
    );
    check(&mut routes, &[("10.5.0.0/16", "10.255.0.7")], &[]);
}

#[test]
fn what_vanished_unseen_is_removed_after_listing_again() {
    let mut routes = Routes::default();
    routes.put_nexthop(1, hop(OVERLAY, "10.255.0.9"));
    routes.put(route("10.6.0.0/16", 20, Some(1), &[]), false);
    check(&mut routes, &[("10.6.0.0/16", "10.255.0.9")], &[]);
    assert!(routes.delete_nexthop(1), "the route used it");
    routes.replace(Vec::new(), HashMap::new());
    check(&mut routes, &[], &["10.6.0.0/16"]);
}

#[test]
fn reports_that_wait_are_merged() {
    let gateway: IpAddr = "10.255.0.1".parse().unwrap();
    let delta = |full, set: &[&str], removed: &[&str]| LearnedDelta {
        full,
        set: set.iter().map(|p| (net(p), gateway)).collect(),
        removed: removed.iter().map(|p| net(p)).collect(),
    };
    let mut waiting = delta(false, &["10.1.0.0/16"], &["10.2.0.0/16"]);
    merge(
        &mut waiting,
        delta(false, &["10.2.0.0/16"], &["10.1.0.0/16"]),
    );
    assert_eq!(waiting, delta(false, &["10.2.0.0/16"], &["10.1.0.0/16"]));
    merge(&mut waiting, delta(true, &["10.3.0.0/16"], &[]));
    merge(&mut waiting, delta(false, &[], &["10.3.0.0/16"]));
    assert_eq!(waiting, delta(true, &[], &[]));
}
