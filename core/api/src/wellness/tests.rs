//! What is a problem, and what is none.

mod others;
mod paths;

use std::sync::Arc;

use patronus_model::event::UplinkFault;
use patronus_model::view::{Kind, Pending, RouterView};

use super::*;
use crate::canned::{self, Canned};

/// What is wrong with a router that was well before.
#[track_caller]
fn check(spoil: impl Fn(&mut RouterView, &mut BgpView), expected: &[&str]) {
    check_with(&Handshakes::default(), spoil, expected);
}

#[track_caller]
fn check_with(
    handshakes: &Handshakes,
    spoil: impl Fn(&mut RouterView, &mut BgpView),
    expected: &[&str],
) {
    let Canned { view, mut bgp, .. } = Canned::well();
    let mut view = view.unwrap();
    spoil(&mut view, &mut bgp);
    let found = problems(&Snapshot::new(Arc::new(view)), &bgp, handshakes);
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
fn an_uplink_that_cannot_be_used_says_what_it_lacks() {
    check(
        |view, _| view.uplinks[0].fault = Some(UplinkFault::Missing),
        &["uplink fibre (wan0) cannot be used: there is no such interface"],
    );
}

#[test]
fn daemons_that_are_away_are_told_at_once_with_where_to_look() {
    let kill = |bgp: &mut BgpView, names: &[&str]| {
        let away = bgp.daemons.iter_mut();
        for (seconds, daemon) in away
            .filter(|it| names.contains(&it.name.as_str()))
            .enumerate()
        {
            daemon.version = None;
            daemon.since = Duration::from_secs(seconds as u64 + 9);
        }
    };
    let frr = "see `systemctl status patronus-frr`";
    check(
        |_, bgp| kill(bgp, &["zebra"]),
        &[&format!("zebra has not answered for 9 s: {frr}")],
    );
    check(
        |_, bgp| {
            kill(bgp, &["zebra", "bgpd", "bfdd"]);
            // A consequence.
            bgp.neighbors[0].established = false;
        },
        &[
            &format!("zebra and bgpd have not answered for 10 s: {frr}"),
            "bfdd has not answered for 11 s: see `systemctl status patronus-bfdd`",
        ],
    );
    check(
        |_, bgp| {
            bgp.daemons.iter_mut().for_each(|it| it.unit = None);
            kill(bgp, &["zebra"]);
        },
        &[
            "zebra has not answered for 9 s: does it run, and what does the log of FRR say? There is \
           no systemd here that would start it again",
        ],
    );
}

#[test]
fn a_daemon_that_owes_an_answer_is_a_problem_before_it_is_given_up() {
    check(
        |_, bgp| bgp.daemons[1].late = Some(Duration::from_secs(17)),
        &[
            "bgpd has not answered for 17 s: it is busy, or hangs, and what is said of routing is as \
           old: see `systemctl status patronus-frr`",
        ],
    );
}

#[test]
fn a_site_that_is_reached_by_a_hub_only_is_not_unreachable() {
    let lose = |view: &mut RouterView| {
        let lost = view
            .paths
            .iter_mut()
            .filter(|it| it.site.as_str() == "lisbon");
        lost.for_each(|path| (path.state, path.cause) = (PathState::Down, PathCause::NotHeard));
    };
    let unheard = "the far end does not hear us";
    check(
        |view, _| lose(view),
        &[&format!("site lisbon is unreachable: {unheard}")],
    );
    let by_hub = |view: &mut RouterView| {
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
    };
    let reached = "no path to site lisbon is up: it is reached by oslo";
    let own = format!("{reached}. On its own paths");
    check(|view, _| by_hub(view), &[&format!("{own}: {unheard}")]);
    // Why its own paths are down is worth knowing all the same.
    check_with(
        &all_shook_hands([None; 3]),
        |view, _| {
            by_hub(view);
            let lost = view
                .paths
                .iter_mut()
                .filter(|it| it.state == PathState::Down);
            lost.for_each(|path| path.cause = PathCause::NeverUp);
        },
        &[&format!(
            "{own}: did not come up; no WireGuard handshake yet on any of 3: compare the keys, the endpoints \
             and the UDP ports that are open"
        )],
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
fn a_session_with_another_as_than_is_configured_says_what_to_compare() {
    let refused = "BGP Notification received: OPEN Message Error/Bad Peer AS";
    let lose = |bgp: &mut BgpView| {
        let neighbor = &mut bgp.neighbors[0];
        (neighbor.established, neighbor.state) = (false, "Active".to_owned());
        neighbor.last_error = Some(refused.to_owned());
    };
    let numbers = "Here we are AS 65001 and it is AS 65002: compare that with";
    let compare = "bgp.asn and sites in the file of lisbon";
    check(
        |_, bgp| lose(bgp),
        &[&format!(
            "BGP session with lisbon (10.255.0.2) is down: Active: {refused}. {numbers} {compare}"
        )],
    );
    check(
        |_, bgp| {
            lose(bgp);
            bgp.neighbors[0].site = None;
        },
        &[&format!(
            "BGP session with lisbon (10.255.0.2) is down: Active: {refused}. {numbers} what is \
             configured there"
        )],
    );
}

#[test]
fn a_session_to_which_no_connection_is_made_asks_for_the_passwords() {
    let hint = |here| {
        format!(
            ". Is bgpd running there, and do both ends have the same password? There is {here} here, \
             and packets without the right one are dropped without a word"
        )
    };
    let (one, none, minute) = (hint("one"), hint("none"), Some(Duration::from_secs(60)));
    let notified = "BGP Notification received: Cease/Other Configuration Change";
    let admin = "BGP Notification received: Cease/Administrative Shutdown";
    for (state, password, error, since, expected) in [
        (
            "Connect",
            true,
            "Waiting for peer OPEN",
            minute,
            one.as_str(),
        ),
        ("Active", false, notified, minute, &none),
        ("Active", false, "Waiting for peer OPEN", None, &none),
        ("Idle", true, notified, minute, &one),
        ("Idle", false, notified, minute, ""),
        ("Active", true, admin, minute, ""),
        (
            "Idle (Admin)",
            true,
            notified,
            minute,
            ". That is: switched off by hand in FRR (`shutdown`)",
        ),
        // It has only just gone down.
        ("Active", true, notified, Some(Duration::from_secs(3)), ""),
    ] {
        let spoil = |_: &mut RouterView, bgp: &mut BgpView| {
            let neighbor = &mut bgp.neighbors[0];
            (neighbor.established, neighbor.state) = (false, state.to_owned());
            (neighbor.password, neighbor.since) = (password, since);
            neighbor.last_error = Some(error.to_owned());
        };
        let said =
            format!("BGP session with lisbon (10.255.0.2) is down: {state}: {error}{expected}");
        check(spoil, &[&said]);
    }
}

#[test]
fn a_session_with_too_many_prefixes_names_the_limit_and_where_it_is() {
    let sent = "BGP Notification send: Cease/Maximum Number of Prefixes Reached";
    let received = "BGP Notification received: Cease/Maximum Number of Prefixes Reached";
    let here = "It announces more prefixes than bgp.maximum_prefixes allows here: announce fewer \
                there, or raise it and reload. Otherwise bgpd tries again after five minutes";
    let there = "We announce more prefixes than bgp.maximum_prefixes in the file of lisbon allows: \
                 announce fewer, or have it raised there. A patronusd there tries again after five \
                 minutes";
    for (state, error, expected) in [("Idle (PfxCt)", sent, here), ("Active", received, there)] {
        let spoil = |_: &mut RouterView, bgp: &mut BgpView| {
            let neighbor = &mut bgp.neighbors[0];
            (neighbor.established, neighbor.state) = (false, state.to_owned());
            neighbor.last_error = Some(error.to_owned());
        };
        let said =
            format!("BGP session with lisbon (10.255.0.2) is down: {state}: {error}. {expected}");
        check(spoil, &[&said]);
    }
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

#[test]
fn what_the_kernel_lacks_is_told_by_kind_with_the_reason() {
    let lead = "the kernel does not yet have all that is configured";
    let lack = |view: &mut RouterView, failed, reason: Option<&str>| {
        view.settled = false;
        view.pending = Pending {
            kinds: [(Kind::Tunnel, 1), (Kind::Route, 1200)].into(),
            failed,
            reason: reason.map(str::to_owned),
        };
    };
    check(
        |view, _| lack(view, 0, None),
        &[&format!("{lead}: 1 tunnel, 1200 routes under way")],
    );
    check(
        |view, _| lack(view, 3, Some("putting tunnel pat-1-1: not supported")),
        &[&format!(
            "{lead}: 1 tunnel, 1200 routes to be changed, of which 3 failed and will be tried again: \
             putting tunnel pat-1-1: not supported"
        )],
    );
    check(
        |view, _| {
            lack(view, 3, Some("putting tunnel pat-1-1: not supported"));
            view.pending.kinds.clear();
        },
        &[&format!(
            "{lead}: 3 changes failed and will be tried again: putting tunnel pat-1-1: not supported"
        )],
    );
    check(
        |view, _| view.settled = false,
        &[&format!("{lead}, as far as is known: it is being compared")],
    );
}

/// All handshakes of the canned paths, so many seconds ago.
fn all_shook_hands(ages: [Option<u64>; 3]) -> Handshakes {
    let view = Canned::well().view.unwrap();
    let peers = view.paths.iter().zip(ages);
    let peers = peers.map(|(path, age)| {
        let peer = (path.interface.clone(), path.peer);
        (peer, age.map(Duration::from_secs))
    });
    Handshakes(peers.collect())
}
