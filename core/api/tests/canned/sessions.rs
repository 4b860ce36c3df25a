//! BFD, BGP and WireGuard of the canned router.

use std::time::Duration;

use patronus_model::view::*;
use patronus_model::wireguard::PublicKey;

use super::{HOUR, MINUTE, path_id};

pub fn bfd() -> Vec<BfdView> {
    let session = |site: &str, number, state, diagnostic: Option<&str>| BfdView {
        watched: BfdWatched::Path {
            path: path_id(number, 1, 1),
            site: site.parse().unwrap(),
            local_uplink: "fibre".parse().unwrap(),
            remote_uplink: "fibre".parse().unwrap(),
        },
        interface: Some("pat-0-1-1".to_owned()),
        local: Some("fe80::1".parse().unwrap()),
        remote: format!("fe80::{number}").parse().unwrap(),
        state,
        remote_state: Some(state),
        diagnostic: diagnostic.map(str::to_owned),
        remote_diagnostic: None,
        transmit: Some(Duration::from_millis(100)),
        detection: Some(Duration::from_millis(300)),
        rtt: (state == BfdState::Up).then(|| Duration::from_micros(22_431)),
        counted: Some(BfdCounters {
            sent: 123_456,
            received: 123_400,
            downs: 2,
        }),
        since: Some(3 * MINUTE),
        problem: None,
    };
    let transit = BfdView {
        watched: BfdWatched::Neighbor {
            description: "transit".to_owned(),
        },
        interface: None,
        local: None,
        remote: "192.0.2.254".parse().unwrap(),
        remote_state: None,
        rtt: None,
        counted: None,
        since: Some(HOUR),
        ..session("lisbon", 2, BfdState::Up, None)
    };
    let expired = Some("control detection time expired");
    vec![
        session("lisbon", 2, BfdState::Up, None),
        session("tromso", 4, BfdState::Down, expired),
        transit,
    ]
}

pub fn bgp() -> BgpView {
    let daemon = |name: &str, version: Option<&str>| RoutingDaemonView {
        name: name.to_owned(),
        version: version.map(str::to_owned),
        since: 5 * MINUTE,
        late: None,
        unit: Some(
            if name == "bfdd" {
                "patronus-bfdd"
            } else {
                "patronus-frr"
            }
            .to_owned(),
        ),
    };
    let neighbor = |site: &str, number: u32, state: &str| NeighborView {
        address: format!("10.255.0.{number}").parse().unwrap(),
        description: site.to_owned(),
        site: Some(site.parse().unwrap()),
        remote_asn: 65_000 + number,
        password: false,
        state: state.to_owned(),
        established: state == "Established",
        since: (number < 4).then_some(HOUR),
        received: 2,
        sent: 2,
        last_error: match number {
            // Of before it came up again.
            2 => Some("Interface down".to_owned()),
            3 => Some("Hold Timer Expired".to_owned()),
            _ => None,
        },
    };
    BgpView {
        local: Some((
            patronus_model::bgp::Asn::new(65_001).unwrap(),
            "10.255.0.1".parse().unwrap(),
        )),
        daemons: vec![
            daemon("zebra", Some("10.3")),
            daemon("bgpd", Some("10.3")),
            daemon("bfdd", None),
        ],
        neighbors: vec![
            neighbor("lisbon", 2, "Established"),
            neighbor("oslo", 3, "Idle (Admin)"),
            neighbor("tromso", 4, "Active"),
        ],
        problem: None,
    }
}

pub fn key(site: u16, uplink: u8) -> PublicKey {
    let mut key = [uplink; 32];
    key[..2].copy_from_slice(&site.to_be_bytes());
    PublicKey(key)
}

/// Tromsø was heard when its path still worked; of Oslo's tunnel nothing is known.
pub fn handshakes() -> Handshakes {
    let done = |interface: &str, site, uplink, seconds| {
        let peer = (interface.parse().unwrap(), key(site, uplink));
        (peer, Some(Duration::from_secs(seconds)))
    };
    Handshakes(
        [
            done("pat-0-1-1", 2, 1, 20),
            done("pat-0-1-2", 2, 2, 131),
            done("pat-0-2-1", 2, 1, 64),
            done("pat-0-1-1", 4, 1, 201),
        ]
        .into(),
    )
}
