//! The API over a real socket, with a daemon that always says the same.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod canned;
mod server;

use std::time::Duration;

use canned::Canned;
use serde_json::{Value, json};
use server::{Server, http};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

#[tokio::test]
async fn the_schema_is_served() {
    let server = Server::canned(Canned::usual());
    let (status, text) = http(&server.socket(), "GET", "/graphql/schema", "").await;
    assert_eq!(status, 200);
    assert_eq!(text, patronus_api::sdl());
}

#[tokio::test]
async fn a_router_with_problems_names_causes_and_not_consequences() {
    let server = Server::canned(Canned::usual());
    let data = server
        .data("{ router { well problems { status message } } }")
        .await;
    let expected = json!({ "well": false, "problems": [
        { "status": "down", "message": "LAN lan1 is missing: no such interface" },
        { "status": "down", "message":
          "site tromso is unreachable: nothing is heard from the far end; no WireGuard handshake for 3 min: no \
           endpoint of it is known here, so it has to begin: compare the keys, and see there \
           whether our endpoint is right and our UDP port open" },
        {
            "status": "down",
            "message": "bfdd has not answered for 5 min: see `systemctl status patronus-bfdd`",
        },
        { "status": "down", "message":
          "BGP session with oslo (10.255.0.3) is down: Idle (Admin): Hold Timer Expired. That is: switched off by hand in FRR (`shutdown`)" },
        { "status": "degraded",
          "message": "lisbon fibre → fibre is degraded: loss 2.1 % > 1.0 %" },
        { "status": "degraded", "message":
          "lisbon fibre → lte flaps: for another 2 min no traffic moves to it unless it must" },
    ]});
    assert_eq!(data["router"], expected);
}

#[tokio::test]
async fn events_are_told_in_the_names_of_their_time() {
    let mut canned = Canned::usual();
    canned.before = canned.view.clone();
    for uplink in canned.view.iter_mut().flat_map(|view| &mut view.uplinks) {
        uplink.name = format!("new-{}", uplink.name).parse().unwrap();
    }
    let server = Server::canned(canned);
    let query = "{ router { lastMove { message details { ... on Move { from { id } } } } }
        events(first: 9) { nodes { message } } }";
    let data = server.data(query).await;
    let said = data.to_string();
    assert!(said.contains("uplink lte cannot be used"), "{said}");
    assert!(said.contains("berlin.fibre~lisbon.fibre"), "{said}");
    assert!(!said.contains("new-"), "{said}");
}

#[tokio::test]
async fn a_router_without_problems_is_well() {
    let server = Server::canned(Canned::well());
    let data = server
        .data("{ router { well problems { message } lastMove { id } } }")
        .await;
    assert_eq!(
        data["router"],
        json!({ "well": true, "problems": [], "lastMove": null })
    );
}

#[tokio::test]
async fn paths_are_filtered_and_unknown_is_null() {
    let server = Server::canned(Canned::usual());
    let query = "{ paths(siteId: \"tromso\", status: down) { nodes {
        id sourceSiteId destSiteId status because sinceMs latencyMs packetLossPct endpoint classes
        handshaken handshakeAgoMs
    } } }";
    let node = &server.data(query).await["paths"]["nodes"][0];
    let expected = json!({
        "id": "berlin.fibre~tromso.fibre", "sourceSiteId": "berlin", "destSiteId": "tromso",
        "status": "down", "because": "nothing is heard from the far end", "sinceMs": 180_000,
        "latencyMs": null, "packetLossPct": null, "endpoint": null, "classes": ["bulk"],
        "handshaken": true, "handshakeAgoMs": 201_000,
    });
    assert_eq!(*node, expected);
    // Nothing is known of Oslo's tunnel.
    let query = "{ paths(siteId: \"oslo\") { nodes { handshaken handshakeAgoMs } } }";
    let nothing = json!([{ "handshaken": null, "handshakeAgoMs": null }]);
    assert_eq!(server.data(query).await["paths"]["nodes"], nothing);
    let query = "{ paths(status: unknown) { nodes { id } } }";
    assert_eq!(server.data(query).await["paths"]["nodes"], json!([]));
}

#[tokio::test]
async fn a_tunnel_that_hangs_keeps_nobody_from_seeing_the_rest() {
    let mut canned = Canned::usual();
    canned.handshakes = None;
    let server = Server::canned(canned);
    let query = "{ paths(first: 2) { nodes { id handshaken } } router { problems { message } } }";
    let started = std::time::Instant::now();
    let data = server.data(query).await;
    assert!(started.elapsed().as_secs() < 3, "{:?}", started.elapsed());
    let path = json!({ "id": "berlin.fibre~lisbon.fibre", "handshaken": null });
    assert_eq!(data["paths"]["nodes"][0], path);
    let problem = "site tromso is unreachable: nothing is heard from the far end";
    assert_eq!(data["router"]["problems"][1]["message"], problem);
}

#[tokio::test]
async fn numbers_keep_their_digits() {
    let server = Server::canned(Canned::usual());
    let query = "{ paths(first: 1) { nodes { latencyMs packetLossPct } }
                   uplinks { bandwidthUpBps } bfd { rttMs detectionTimeMs txPackets } }";
    let data = server.data(query).await;
    assert_eq!(
        data["paths"]["nodes"][0],
        json!({ "latencyMs": 22.431, "packetLossPct": 2.1 })
    );
    assert_eq!(data["uplinks"][0]["bandwidthUpBps"], 94_000_000);
    let bfd = json!({ "rttMs": 22.431, "detectionTimeMs": 300.0, "txPackets": 123_456 });
    assert_eq!(data["bfd"][0], bfd);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let server = Server::canned(Canned::usual());
    let mut after = Value::Null;
    let mut seen = Vec::new();
    loop {
        let query = "query($after: String) { paths(first: 2, after: $after) {
            nodes { id } pageInfo { hasNextPage endCursor } } }";
        let answer = server.ask_with(query, json!({ "after": after })).await;
        let page = &answer["data"]["paths"];
        seen.extend(
            page["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|n| n["id"].clone()),
        );
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn routes_are_found_by_an_address_inside_them() {
    let server = Server::canned(Canned::usual());
    let query = "{ routes(contains: \"10.2.7.9\") { nodes { prefix siteId origin } } }";
    let nodes = &server.data(query).await["routes"]["nodes"];
    let expected = json!([
        { "prefix": "10.2.0.0/16", "siteId": "lisbon", "origin": "bgp" },
        { "prefix": "10.2.7.0/24", "siteId": "oslo", "origin": "stale" },
    ]);
    assert_eq!(*nodes, expected);
}

#[tokio::test]
async fn events_have_a_kind_a_time_and_a_message() {
    let server = Server::canned(Canned::usual());
    let query = "{ events(last: 15) { nodes { sequence kind time message } } }";
    let event = &server.data(query).await["events"]["nodes"][0];
    let expected = json!({
        "sequence": 6, "kind": "moved", "time": "2026-11-20T00:00:06.042Z",
        "message": "voice to lisbon moved from fibre → fibre to lte → fibre: loss 2.1 % > 1.0 %",
    });
    assert_eq!(*event, expected);
}

const FOLLOW: &str = "query($after: String, $first: Int) {
    events(after: $after, first: $first) {
        nodes { sequence } pageInfo { hasNextPage endCursor } } }";

async fn follow(server: &Server, after: &str, first: u32) -> (Vec<u64>, bool) {
    let answer = server
        .ask_with(FOLLOW, json!({ "after": after, "first": first }))
        .await;
    let page = &answer["data"]["events"];
    let nodes = page["nodes"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer:#}"));
    let sequences = nodes
        .iter()
        .filter_map(|node| node["sequence"].as_u64())
        .collect();
    (sequences, page["pageInfo"]["hasNextPage"] == true)
}

#[tokio::test]
async fn events_are_followed_by_their_cursor() {
    let server = Server::canned(Canned::usual());
    let page = &server
        .data("{ events(first: 2) { pageInfo { endCursor } } }")
        .await["events"];
    let cursor = page["pageInfo"]["endCursor"].as_str().unwrap();
    assert_eq!(follow(&server, cursor, 3).await, (vec![3, 4, 5], true));
    assert_eq!(follow(&server, cursor, 100).await.0.len(), 18);
}

#[tokio::test]
async fn a_cursor_of_an_earlier_run_of_the_daemon_begins_from_the_start() {
    let server = Server::canned(Canned::usual());
    assert_eq!(follow(&server, "2-1234", 2).await, (vec![1, 2], true));
    assert_eq!(follow(&server, "999-1234", 2).await, (vec![1, 2], true));
}

#[tokio::test]
async fn a_cursor_that_fell_off_the_end_continues_with_the_oldest() {
    let mut canned = Canned::usual();
    canned.events.drain(..6);
    let server = Server::canned(canned);
    assert_eq!(
        follow(&server, "2-1795132798042", 2).await,
        (vec![7, 8], true)
    );
}

#[tokio::test]
async fn an_explanation_names_policy_class_path_and_the_rejected() {
    let server = Server::canned(Canned::usual());
    let query = "{ explain(source: \"10.1.0.5\", destination: \"10.2.0.9\", protocol: \"UDP\",
                           destinationPort: 5060) {
        outcome because policy class strategy route destSiteId replies
        policies { policy priority matched mismatch }
        choice { path { id } reason sinceMs back candidates { rank verdict why remainingMs } }
    } }";
    let explained = &server.data(query).await["explain"];
    let expected = json!({
        "outcome": "routed", "policy": "voice-first", "class": "voice",
        "because": "the path before it was degraded: loss 2.1 % > 1.0 %",
        "strategy": "lowest latency", "route": "10.2.0.0/16", "destSiteId": "lisbon",
        "replies": "come in the same class, on a path that lisbon chooses; connections that lisbon \
          opens have their class from there, in both directions",
        "policies": [
            { "policy": "no-telnet", "priority": 10, "matched": false,
              "mismatch": "another protocol" },
            { "policy": "voice-first", "priority": 20, "matched": true, "mismatch": null },
        ],
        "choice": {
            "path": { "id": "berlin.lte~lisbon.fibre" }, "reason": "path_degraded",
            "sinceMs": 180_000, "back": "to fibre → lte in 12 s, if it stays better",
            "candidates": [
                { "rank": 1, "verdict": "holding_down", "remainingMs": 12_000,
                  "why": "better, but not for long enough: 12 s more" },
                { "rank": 2, "verdict": "chosen", "remainingMs": null, "why": "chosen" },
                { "rank": 3, "verdict": "ranked_lower", "remainingMs": null,
                  "why": "degraded: loss 2.1 % > 1.0 %; ranked 3rd" },
            ],
        },
    });
    assert_eq!(*explained, expected);
}

#[tokio::test]
async fn errors_have_codes_and_say_what_would_be_valid() {
    let server = Server::canned(Canned::usual());
    let explain = |args: &str| format!("{{ explain({args}) {{ outcome }} }}");
    let ends = "source: \"10.1.0.5\", destination: \"10.2.0.9\"";
    let cases = [
        (
            "{ paths(siteId: \"paris\") { nodes { id } } }".to_owned(),
            "NOT_FOUND",
            "there is no site \"paris\"; there is: lisbon, oslo, tromso",
        ),
        (
            explain(&format!("{ends}, protocol: \"quic\"")),
            "BAD_INPUT",
            "protocol \"quic\": is not a protocol. Use tcp, udp, icmp, icmpv6, sctp, dccp, udplite, \
          gre, esp or a number to 255",
        ),
        (
            explain("source: \"10.1.0.5\", destination: \"fd00::9\", protocol: \"udp\""),
            "BAD_INPUT",
            "destination \"fd00::9\": is of another family than the source 10.1.0.5. \
          Use an IPv4 address",
        ),
        (
            explain("source: \"fd00::5\", destination: \"::\", protocol: \"udp\""),
            "BAD_INPUT",
            "destination \"::\": is no address of a host. Use one that is, like 10.1.0.5 or fd00::5",
        ),
        (
            explain("source: \"10.1.0.5\", destination: \"239.1.2.3\", protocol: \"udp\""),
            "BAD_INPUT",
            "destination \"239.1.2.3\": is a multicast address: Patronus routes unicast only, and \
             never sends this into the overlay",
        ),
        (
            explain("source: \"10.1.0.5\", destination: \"127.0.0.1\", protocol: \"udp\""),
            "BAD_INPUT",
            "destination \"127.0.0.1\": is a loopback address: packets never leave the host that \
             uses it",
        ),
        (
            explain("source: \"fe80::1\", destination: \"fd00::9\", protocol: \"udp\""),
            "BAD_INPUT",
            "source \"fe80::1\": is an address of one link only: no router carries it on to another",
        ),
        (
            explain(&format!("{ends}, protocol: \"icmp\", destinationPort: 1")),
            "BAD_INPUT",
            "destinationPort \"1\": icmp has no ports. Leave it out",
        ),
        (
            explain(&format!("{ends}, protocol: \"udp\", dscp: 64")),
            "BAD_INPUT",
            "dscp \"64\": 64 is not a DSCP: use 0 to 63",
        ),
        (
            "{ routes(contains: \"x\") { nodes { prefix } } }".to_owned(),
            "BAD_INPUT",
            "contains \"x\": is not an address or a prefix. Use one like 10.7.0.9 or 10.7.0.0/24",
        ),
        (
            "{ events(after: \"x\") { nodes { id } } }".to_owned(),
            "BAD_INPUT",
            "after \"x\": is not the cursor of an event. Use an `endCursor` or an event's `id`",
        ),
        (
            "{ events(first: 1, last: 1) { nodes { id } } }".to_owned(),
            "BAD_INPUT",
            "last \"1\": cannot be used together with `first` or `after`",
        ),
    ];
    for (query, code, message) in cases {
        assert_eq!(
            server.error(&query).await,
            (code.to_owned(), message.to_owned()),
            "{query}"
        );
    }
    for query in ["{ nothing }", "{", "{ paths(first: -1) { nodes { id } } }"] {
        let (code, message) = server.error(query).await;
        assert!(
            ["INVALID_QUERY", "BAD_INPUT"].contains(&code.as_str()),
            "{query}: {message}"
        );
    }
}

#[tokio::test]
async fn queries_that_are_too_deep_or_too_costly_are_refused() {
    let server = Server::canned(Canned::usual());
    let costly: String = (0..200)
        .map(|n| format!("p{n}: sites {{ nodes {{ paths {{ id interface endpoint }} }} }} "))
        .collect();
    let (code, message) = server.error(&format!("{{ {costly} }}")).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("INVALID_QUERY", "Query is too complex.")
    );
    let deep = format!(
        "{{ __type(name: \"Path\") {{ {} name {} }} }}",
        "fields { type { ".repeat(10),
        "} }".repeat(10)
    );
    let (code, message) = server.error(&deep).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("INVALID_QUERY", "Query is nested too deep.")
    );
}

#[tokio::test]
async fn all_that_there_is_can_be_asked_at_once() {
    let server = Server::canned(Canned::usual());
    let path = "{ id localUplink remoteUplink }";
    let candidates =
        format!("candidates {{ path {path} rank status latencyMs packetLossPct verdict why }}");
    let data = server
        .data(&format!(
            "{{
        router {{ siteId name version uptimeMs configuredMs settled well sites sitesReachable }}
        uplinks {{ id name slot interface status addresses gateways metered paths {{ total }} }}
        sites {{ nodes {{ id name number hub addresses bestPathStatus
            paths {{ id status latencyMs packetLossPct }}
            choices {{ class reason because sinceMs back path {path} {candidates} }} }} }}
        paths {{ nodes {{ id status because dampened latencyMs packetLossPct classes }} }}
        classes {{ id name strategy default }} policies {{ id priority matches action class }}
        routes {{ nodes {{ prefix siteId origin }} }} bfd {{ path {path} status rttMs }}
        bgp {{ asn routerId daemons {{ name }} neighbors {{ address state }} }}
        events {{ nodes {{ kind time message }} }}
    }}"
        ))
        .await;
    assert_eq!(data.as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn what_is_not_a_query_is_refused_with_a_code() {
    let server = Server::canned(Canned::usual());
    let (status, text) = http(&server.socket(), "POST", "/graphql", "not json").await;
    assert_eq!(status, 400);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INVALID_QUERY");
    let long = json!({ "query": " ".repeat(300 * 1024) }).to_string();
    assert_eq!(
        http(&server.socket(), "POST", "/graphql", &long).await.0,
        413
    );
    assert_eq!(http(&server.socket(), "GET", "/graphql", "").await.0, 405);
    assert_eq!(http(&server.socket(), "GET", "/", "").await.0, 404);
}

#[tokio::test]
async fn a_router_that_is_starting_says_that_it_will_answer_soon() {
    let server = Server::canned(Canned {
        view: None,
        ..Canned::usual()
    });
    let (code, message) = server.error("{ router { siteId } }").await;
    assert_eq!(code, "UNAVAILABLE");
    let said = message.contains("is starting") && message.contains("Try again");
    assert!(said, "{message}");
    assert_eq!(server.data("{ bgp { asn } }").await["bgp"]["asn"], 65_001);
    assert_eq!(http(&server.socket(), "GET", "/healthz", "").await.0, 200);
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_unavailable() {
    let (requests, questions) = mpsc::channel(8);
    drop(questions);
    let server = Server::start(requests);
    assert_eq!(server.error("{ router { siteId } }").await.0, "UNAVAILABLE");
    assert_eq!(http(&server.socket(), "GET", "/healthz", "").await.0, 503);
}

#[tokio::test]
async fn a_client_that_never_finishes_does_not_hold_up_the_end() {
    let mut server = Server::canned(Canned::usual());
    let idle = UnixStream::connect(server.socket()).await.unwrap();
    idle.writable().await.unwrap();
    idle.try_write(b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n")
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(server.stop.take());
    let ended = tokio::time::timeout(Duration::from_secs(5), server.running).await;
    ended.unwrap().unwrap().unwrap();
}
