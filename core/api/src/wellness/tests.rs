//! What is a problem, and what is none.

use std::sync::Arc;

use patronus_model::view::RouterView;

use super::*;
use crate::canned::{self, Canned};

/// What is wrong with a router that was well before.
#[track_caller]
fn check(spoil: impl Fn(&mut RouterView, &mut BgpView), expected: &[&str]) {
    let Canned { view, mut bgp, .. } = Canned::well();
    let mut view = view.unwrap();
    spoil(&mut view, &mut bgp);
    let found = problems(&Snapshot::new(Arc::new(view)), &bgp);
    let messages: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(messages, expected);
}

#[test]
fn a_lan_without_its_interface_is_a_problem() {
    check(|_, _| (), &[]);
    check(
        |view, _| view.lans[0].state = LanState::Down,
        &["LAN lan0 is down: it is off or has no carrier"],
    );
    check(
        |view, _| view.lans[0].state = LanState::Missing,
        &["LAN lan0 is missing: no such interface"],
    );
    check(|view, _| view.lans[0].state = LanState::Unknown, &[]);
}

#[test]
fn a_site_that_is_reached_by_a_hub_only_is_not_unreachable() {
    let lose = |view: &mut RouterView| {
        let lost = view
            .paths
            .iter_mut()
            .filter(|it| it.site.as_str() == "lisbon");
        lost.for_each(|path| path.state = PathState::Down);
    };
    check(
        |view, _| lose(view),
        &["site lisbon is unreachable: no path to it is up"],
    );
    check(
        |view, _| {
            lose(view);
            let canned = canned::view();
            let hub = canned.sites.into_iter().find(|it| it.hub);
            let path = canned
                .paths
                .into_iter()
                .find(|it| it.site.as_str() == "oslo");
            view.sites.extend(hub);
            view.paths.extend(path);
            let lisbon = view.sites.iter_mut().find(|it| it.id.as_str() == "lisbon");
            lisbon.unwrap().choices[0].path = Some(canned::path_id(3, 1, 1));
        },
        &["no path to site lisbon is up: it is reached by oslo"],
    );
}

#[test]
fn a_session_whose_prefixes_are_not_in_force_is_a_problem() {
    let forget = |view: &mut RouterView| view.routes.retain(|r| r.site != "lisbon".parse().ok());
    let unused = "site lisbon: none of the 2 prefixes received is in force. Does another \
                  site, or a network of our own, have them?";
    check(|view, _| forget(view), &[unused]);
    check(
        |view, _| {
            forget(view);
            // Its own address is not what its session is for.
            let mut own = canned::view().routes.remove(0);
            own.prefix = "10.255.0.2/32".parse().unwrap();
            view.routes.push(own);
        },
        &[unused],
    );
    check(
        |view, bgp| {
            forget(view);
            bgp.neighbors[0].received = 0;
        },
        &["site lisbon announces no prefix: nobody behind it can be reached"],
    );
    let one_lost = "site lisbon: of the 2 prefixes received, only 1 is in force. Does another \
                    site, or a network of our own, have them? Announce each at one site, or make \
                    one a hub";
    // Another site has one of them: bgpd hands on its best path only.
    check(
        |view, _| view.routes[0].site = "oslo".parse().ok(),
        &[one_lost],
    );
    // What is configured for it and not announced makes up for nothing.
    check(
        |view, _| view.routes[0].origin = RouteOrigin::Configured,
        &[one_lost],
    );
    // It has only just come up.
    check(
        |view, bgp| {
            forget(view);
            bgp.neighbors[0].since = Some(Duration::from_secs(9));
        },
        &[],
    );
    // A hub may be a spare.
    check(
        |view, _| {
            forget(view);
            view.sites[0].hub = true;
        },
        &[],
    );
}

#[test]
fn a_file_that_was_refused_is_a_problem_until_one_is_accepted() {
    check(
        |view, _| view.refused = Some("config.yaml:3:5: site: no\nmore".to_owned()),
        &[
            "the configuration file was refused when it was read last, and patronusd would not start \
           with it: config.yaml:3:5: site: no",
        ],
    );
}

#[test]
fn a_site_whose_daemon_was_stopped_on_purpose_is_said_to_be() {
    check(
        |view, _| {
            for path in &mut view.paths {
                (path.state, path.cause) = (PathState::Unknown, PathCause::AdminDown);
            }
        },
        &["site lisbon: patronusd there was stopped on purpose; its kernel may forward"],
    );
}
