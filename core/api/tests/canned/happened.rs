//! What has happened on the canned router.

use std::time::Duration;

use patronus_model::change::{Change, Changes, ConfigChange, ConfigPart};
use patronus_model::event::{Decision, Event, Reason, UplinkFault};
use patronus_model::ids::{SiteNumber, Slot};
use patronus_model::path::PathState;
use patronus_model::view::EventRecord;

use super::{BROKEN_LOSS, candidates, class, path_id};

/// One event of each kind.
pub fn every_event() -> Vec<Event> {
    let decision = |from| Decision {
        site: SiteNumber::new(2).unwrap(),
        class: class(1),
        from,
        to: path_id(2, 2, 1),
        reason: Reason::PathDegraded(BROKEN_LOSS),
        candidates: candidates(2),
    };
    let slot = Slot::new(2).unwrap();
    vec![
        Event::Configured {
            paths: 5,
            policies: 2,
            changes: Some(changes()),
        },
        Event::Path {
            path: path_id(2, 1, 1),
            from: PathState::Up,
            to: PathState::Degraded,
            cause: BROKEN_LOSS,
        },
        Event::Dampened {
            path: path_id(2, 1, 2),
            suppressed: true,
        },
        Event::Uplink {
            slot,
            fault: Some(UplinkFault::Down),
        },
        Event::Moved(decision(None)),
        Event::Moved(decision(Some(path_id(2, 1, 1)))),
        Event::Applied {
            changes: 12,
            took: Duration::from_micros(4120),
        },
        Event::ApplyFailed {
            reason: "route add: ENOBUFS".to_owned(),
            retry_in: Duration::from_secs(2),
        },
        Event::Drift {
            changes: 7,
            altered: 5,
            named: ["IPv4 rule 1010 removed", "net/ipv4/ip_forward set to 0"]
                .map(str::to_owned)
                .into(),
        },
        Event::RoutingDaemon {
            daemon: "bgpd".to_owned(),
            up: false,
        },
        Event::BgpNeighbor {
            neighbor: "oslo".to_owned(),
            established: true,
            reason: None,
        },
        Event::Lan {
            interface: "lan1".parse().unwrap(),
            up: false,
        },
        Event::PrefixRefused {
            prefix: "10.1.7.0/24".parse().unwrap(),
            site: SiteNumber::new(3).unwrap(),
        },
        Event::Prefixes {
            site: SiteNumber::new(2).unwrap(),
            announced: true,
            outdone: false,
            count: 2,
            some: vec![
                "10.2.0.0/16".parse().unwrap(),
                "fd00:2::/48".parse().unwrap(),
            ],
        },
        Event::Prefixes {
            site: SiteNumber::new(2).unwrap(),
            announced: false,
            outdone: false,
            count: 4480,
            some: vec!["10.2.0.0/16".parse().unwrap()],
        },
        Event::Forgotten {
            prefix: "10.6.0.0/24".parse().unwrap(),
            site: SiteNumber::new(3).ok(),
            within: None,
        },
        Event::ForgottenTogether {
            asked: false,
            site: None,
            count: 7,
            some: vec!["10.6.2.0/24".parse().unwrap()],
        },
        Event::ReloadRefused {
            problem: "config.yaml:3:5: site: has no such key\nconfig.yaml:9:1: asn: 0".to_owned(),
        },
        Event::RoutingRefused {
            reason: "bgpd: % Unknown command".to_owned(),
        },
        Event::PrefixConflict {
            prefix: "10.2.7.0/24".parse().unwrap(),
            owner: SiteNumber::new(3).unwrap(),
            loser: SiteNumber::new(2).unwrap(),
        },
    ]
}

/// What a reload changed.
pub fn changes() -> Changes {
    let change = |part, name: &str, change, keys: &[&'static str]| ConfigChange {
        part,
        name: name.to_owned(),
        change,
        keys: keys.to_vec(),
    };
    Changes {
        parts: vec![
            change(ConfigPart::Site, "oslo", Change::Added, &[]),
            change(ConfigPart::Bgp, "", Change::Changed, &["timers"]),
            change(ConfigPart::Class, "voice", Change::Changed, &["strategy"]),
        ],
        kept: vec!["10.7.0.0/24".parse().unwrap()],
        opened: vec!["10.8.0.0/16".parse().unwrap()],
    }
}

pub fn events() -> Vec<EventRecord> {
    // 2026-11-19 23:59:56.042 UTC, then every two seconds.
    let times = (0..).map(|n| 1_795_132_796_042 + n * 2000);
    let records = (1..).zip(times).zip(every_event());
    records
        .map(|((sequence, unix_millis), event)| EventRecord {
            sequence,
            unix_millis,
            event,
        })
        .collect()
}
