//! Paths that are not well, and sites to which none is.

use patronus_model::view::PathView;

use super::*;

/// What is said where tunnels work and BFD is not heard.
const INSIDE: &str = "but no BFD comes through: do the files of both ends have the same overlay \
                      addresses (here lisbon is 10.255.0.2), is UDP port 3784 blocked inside of the \
                      tunnel, or patronusd not running there?";

/// Puts the paths of a router from the first on into states, for these causes.
fn lose(view: &mut RouterView, causes: &[PathCause]) {
    for (path, cause) in view.paths.iter_mut().zip(causes) {
        (path.state, path.cause) = (PathState::Down, *cause);
        let choices = view.sites.iter_mut().flat_map(|site| &mut site.choices);
        let candidates = choices.flat_map(|choice| &mut choice.candidates);
        for candidate in candidates.filter(|it| it.path == path.id) {
            (candidate.state, candidate.cause) = (path.state, path.cause);
        }
    }
}

#[test]
fn a_site_that_is_unreachable_says_why() {
    let lost = "site lisbon is unreachable:";
    let (uplink, unheard) = (PathCause::UplinkDown, PathCause::NotHeard);
    for (causes, expected) in [
        ([unheard; 3], "the far end does not hear us"),
        // What is to be mended first comes first.
        (
            [PathCause::Silent, unheard, uplink],
            "our uplink lte cannot be used (1 path), the far end does not hear us (1 path), nothing \
             is heard from the far end (1 path)",
        ),
        (
            [uplink; 3],
            "our uplink fibre cannot be used (2 paths), our uplink lte cannot be used (1 path)",
        ),
    ] {
        check(
            |view, _| lose(view, &causes),
            &[&format!("{lost} {expected}")],
        );
    }
    check(
        |view, _| view.paths.clear(),
        &[&format!(
            "{lost} there is no path to it: it takes one of our uplinks and one of theirs on the same \
             underlay, and an endpoint at one end"
        )],
    );
}

#[test]
fn a_far_end_that_stays_away_is_told_by_where_traffic_is() {
    let (away, uplink) = (PathCause::StayedAway, PathCause::UplinkDown);
    let rest = "was stopped on purpose and did not come back; its kernel may still forward, but \
                nothing moves away from what fails";
    let there = format!("site lisbon: patronusd there {rest}");
    check(|view, _| lose(view, &[away; 3]), &[&there]);
    // Traffic is on a path by lte; whatever else is wrong with fibre.
    check(|view, _| lose(view, &[uplink, uplink, away]), &[&there]);
    // Its path cannot carry it, whatever its kernel does.
    check(
        |view, _| {
            lose(view, &[away, away, uplink]);
            let choices = view.sites.iter_mut().flat_map(|site| &mut site.choices);
            choices.for_each(|choice| choice.path = Some(canned::path_id(2, 2, 1)));
        },
        &[
            "site lisbon is unreachable: our uplink lte cannot be used (1 path), the far end was \
             stopped on purpose and did not come back (2 paths)",
        ],
    );
    // It is the hub that was stopped.
    check(
        |view, _| {
            let canned = canned::view();
            let hub = |path: &PathView| path.site.as_str() == "oslo";
            view.sites
                .extend(canned.sites.into_iter().find(|it| it.hub));
            view.paths.extend(canned.paths.into_iter().filter(hub));
            let silent = PathCause::Silent;
            lose(view, &[silent, silent, silent, away, away]);
            let lisbon = view.sites.iter_mut().find(|it| it.id.as_str() == "lisbon");
            let choice = &mut lisbon.unwrap().choices[0];
            let mut by_hub = choice.candidates[0].clone();
            by_hub.path = canned::path_id(3, 1, 1);
            (by_hub.state, by_hub.cause) = (PathState::Down, away);
            choice.path = Some(by_hub.path);
            choice.candidates.push(by_hub);
        },
        &[
            &format!(
                "site lisbon: no path to it is up, and patronusd at oslo, by which it is reached, \
                 {rest}"
            ),
            &format!("site oslo: patronusd there {rest}"),
        ],
    );
}

#[test]
fn a_cut_uplink_is_one_problem_and_not_one_for_each_path() {
    let (silent, never) = (PathCause::Silent, PathCause::NeverUp);
    let here = "uplink fibre (wan0): none of its 2 paths is up:";
    let asked = "does its gateway 192.0.2.254 answer?";
    check(
        |view, _| lose(view, &[silent, silent]),
        &[&format!(
            "{here} nothing is heard from the far end; {asked}"
        )],
    );
    check(
        |view, _| {
            lose(view, &[silent, never]);
            view.paths[1].suppressed = Some(Duration::from_secs(130));
        },
        &[&format!(
            "{here} nothing is heard from the far end (1 path), did not come up (1 path); {asked}; \
             one of them flaps"
        )],
    );
    // One end or the other: these are two causes.
    check(
        |view, _| lose(view, &[silent, PathCause::NotHeard]),
        &[
            "lisbon fibre → fibre is down: nothing is heard from the far end",
            "lisbon fibre → lte is down: the far end does not hear us",
        ],
    );
    // A key that is wrong, and a firewall in another tunnel.
    check_with(
        &all_shook_hands([Some(20), None, None]),
        |view, _| {
            lose(view, &[silent, silent]);
            view.paths[0].since = Duration::from_secs(60);
        },
        &[
            &format!(
                "lisbon fibre → fibre is down: nothing is heard from the far end; the last \
                 WireGuard handshake was 20 s ago, {INSIDE}"
            ),
            "lisbon fibre → lte is down: nothing is heard from the far end; no WireGuard handshake \
             yet: compare the keys, and see whether 198.51.100.7:51820 is right and its UDP port \
             open",
        ],
    );
    // The far end's is cut.
    check(
        |view, _| {
            for at in [0, 2] {
                (view.paths[at].state, view.paths[at].cause) = (PathState::Down, silent);
            }
        },
        &["uplink fibre of lisbon: none of its 2 paths is up: nothing is heard from the far end"],
    );
    // It works for somebody.
    check(
        |view, _| {
            lose(view, &[silent]);
            let other = canned::view().paths;
            let oslo = other.into_iter().find(|it| it.site.as_str() == "oslo");
            view.paths.extend(oslo);
            view.sites
                .extend(canned::view().sites.into_iter().find(|it| it.hub));
        },
        &["lisbon fibre → fibre is down: nothing is heard from the far end"],
    );
}

#[test]
fn a_path_that_is_silent_says_whether_its_tunnel_works() {
    // It has been down for three minutes.
    let lisbon = "lisbon fibre → fibre is down: ";
    let inside = INSIDE;
    let there = "compare the keys, and see whether 198.51.100.7:51820 is right and its UDP port \
                 open";
    let here = "no endpoint of it is known here, so it has to begin: compare the keys, and see \
                there whether our endpoint is right and our UDP port open";
    let (never, silent) = ("did not come up", "nothing is heard from the far end");
    let works = |ago| format!("; the last WireGuard handshake was {ago} ago, {inside}");
    for (cause, age, knows_endpoint, expected) in [
        (
            PathCause::NeverUp,
            None,
            true,
            format!("{never}; no WireGuard handshake yet: {there}"),
        ),
        (
            PathCause::NeverUp,
            None,
            false,
            format!("{never}; no WireGuard handshake yet: {here}"),
        ),
        (
            PathCause::Silent,
            Some(600),
            true,
            format!("{silent}; no WireGuard handshake for 10 min: {there}"),
        ),
        (
            PathCause::Silent,
            Some(20),
            true,
            format!("{silent}{}", works("20 s")),
        ),
        // The first handshake falls into the grace of a path that starts.
        (
            PathCause::NeverUp,
            Some(65),
            true,
            format!("{never}{}", works("1 min")),
        ),
        // It may have been the last one before the line broke.
        (
            PathCause::Silent,
            Some(65),
            true,
            format!("{silent}; the last WireGuard handshake was 1 min ago"),
        ),
        // Packets of the far end come: it is not the tunnel.
        (
            PathCause::NotHeard,
            None,
            true,
            "the far end does not hear us".to_owned(),
        ),
    ] {
        check_with(
            &all_shook_hands([age, Some(5), Some(5)]),
            |view, _| {
                let path = &mut view.paths[0];
                (path.state, path.cause) = (PathState::Down, cause);
                path.since = Duration::from_secs(60);
                path.endpoint = path.endpoint.filter(|_| knows_endpoint);
            },
            &[&format!("{lisbon}{expected}")],
        );
    }
    // Nothing is known of a tunnel that does not answer, so nothing is said.
    check(
        |view, _| {
            (view.paths[0].state, view.paths[0].cause) = (PathState::Down, PathCause::NeverUp)
        },
        &[&format!("{lisbon}{never}")],
    );
}

#[test]
fn a_site_that_is_unreachable_says_whether_its_tunnels_work() {
    let all = "compare the keys, the endpoints and the UDP ports that are open";
    for (ages, expected) in [
        (
            [None, None, None],
            format!("; no WireGuard handshake yet on any of 3: {all}"),
        ),
        (
            [None, Some(400), Some(600)],
            format!("; no WireGuard handshake for 6 min on any of 3: {all}"),
        ),
        (
            [None, Some(20), Some(20)],
            format!("; WireGuard shakes hands on 2 of 3, {INSIDE}"),
        ),
        ([None, Some(100), None], String::new()),
    ] {
        check_with(
            &all_shook_hands(ages),
            |view, _| {
                for path in &mut view.paths {
                    (path.state, path.cause) = (PathState::Down, PathCause::Silent);
                    path.since = Duration::from_secs(60);
                }
            },
            &[&format!(
                "site lisbon is unreachable: nothing is heard from the far end{expected}"
            )],
        );
    }
}

#[test]
fn a_path_that_flaps_is_a_problem_until_it_is_trusted_again() {
    let calm = "flaps: for another 2 min no traffic moves to it unless it must";
    let flap = |view: &mut RouterView| {
        view.paths[1].suppressed = Some(Duration::from_secs(130));
    };
    check(
        |view, _| flap(view),
        &[&format!("lisbon fibre → lte {calm}")],
    );
    check(
        |view, _| {
            flap(view);
            (view.paths[1].state, view.paths[1].cause) = (PathState::Down, PathCause::NotHeard);
        },
        &[&format!(
            "lisbon fibre → lte is down: the far end does not hear us; it {calm}"
        )],
    );
    // Its uplink is the problem.
    check(
        |view, _| {
            flap(view);
            (view.paths[1].state, view.paths[1].cause) = (PathState::Down, PathCause::UplinkDown);
        },
        &[],
    );
}
