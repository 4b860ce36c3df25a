//! How every command looks: the answers of a real API server about a canned router, drawn.

#[path = "../../../api/tests/canned/mod.rs"]
mod canned;

use std::path::Path;

use expect_test::{ExpectFile, expect_file};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use self::canned::Canned;
use super::*;
use crate::client::Client;
use crate::layout::{Canvas, Memory, width_of};

/// Serves a canned router and asks it what a view asks.
async fn ask(canned: Canned, view: &dyn View) -> Value {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let (requests, questions) = mpsc::channel(8);
    tokio::spawn(canned.answer(questions));
    let server = patronus_api::serve(listener, requests, std::future::pending());
    let client = Client::new(socket, None);
    let (query, variables) = (view.query(), view.variables());
    tokio::select! {
        _ = server => panic!("the server ended"),
        answer = client.ask(query, &variables) => answer.unwrap(),
    }
}

/// Times pass while tests run; what they are shown as must not.
fn freeze(data: &mut Value) {
    match data {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "agoMs" {
                    *value = json!(180_000);
                }
                freeze(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(freeze),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn draw(page: &Page, width: usize, colour: bool) -> String {
    let canvas = Canvas {
        width: Some(width),
        colour,
    };
    let drawn = page.draw(canvas, &mut Memory::default());
    if !colour {
        let wide = drawn.lines().find(|line| width_of(line) > width);
        assert_eq!(wide, None, "wider than {width}");
    }
    drawn
}

/// Draws a view at the usual widths, once with colours, and compares it to a file.
async fn check(name: &str, canned: Canned, view: &dyn View, well: bool) {
    let mut data = ask(canned, view).await;
    freeze(&mut data);
    let shown = view.render(data).unwrap();
    assert_eq!(shown.well, well, "{name}");
    let mut text = String::new();
    for (width, colour) in [
        (80, false),
        (120, false),
        (60, false),
        (40, false),
        (200, false),
        (80, true),
    ] {
        let colours = if colour { ", colours" } else { "" };
        let drawn = draw(&shown.page, width, colour).replace('\x1b', "␛");
        text.push_str(&format!("== {width} columns{colours}\n{drawn}\n"));
    }
    golden(name).assert_eq(&text);
}

fn golden(name: &str) -> ExpectFile {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    expect_file![directory.join(format!("{name}.txt"))]
}

fn explain(destination: &str, port: u16) -> explain::Explain {
    let source = if destination.contains(':') {
        "fd00:1::5"
    } else {
        "10.1.0.5"
    };
    let variables = json!({
        "source": source, "destination": destination, "protocol": "udp",
        "sourcePort": null, "destinationPort": port, "dscp": 0, "ingress": null,
    });
    explain::Explain { variables }
}

#[tokio::test]
async fn status_with_problems() {
    check("status", Canned::usual(), &status::Status, false).await;
}

#[tokio::test]
async fn status_when_all_is_well() {
    check("status-well", Canned::well(), &status::Status, true).await;
}

#[tokio::test]
async fn lists() {
    let canned = Canned::usual;
    check("uplinks", canned(), &uplinks::Uplinks, true).await;
    let mut faulty = canned();
    for uplink in faulty
        .view
        .iter_mut()
        .flat_map(|view| &mut view.uplinks[1..])
    {
        uplink.fault = Some(patronus_model::event::UplinkFault::NoGateway);
        uplink.gateways.clear();
    }
    check("uplinks-down", faulty, &uplinks::Uplinks, false).await;
    let mut cut = canned();
    for path in cut.view.iter_mut().flat_map(|view| &mut view.paths) {
        if path.local.as_str() == "lte" {
            path.state = patronus_model::path::PathState::Down;
        }
    }
    check("uplinks-no-path", cut, &uplinks::Uplinks, false).await;
    check("sites", canned(), &sites::Sites, false).await;
    check("policies", canned(), &policies::Policies, true).await;
    check("bgp", canned(), &bgp::Bgp, false).await;
    check("bfd", canned(), &bfd::Bfd, false).await;
}

#[tokio::test]
async fn paths() {
    let view = |site: Option<&str>, status: Option<&str>| paths::Paths {
        site: site.map(str::to_owned),
        status: status.map(str::to_owned),
    };
    check("paths", Canned::usual(), &view(None, None), false).await;
    check(
        "paths-of-a-site",
        Canned::usual(),
        &view(Some("lisbon"), None),
        false,
    )
    .await;
    check(
        "paths-none",
        Canned::usual(),
        &view(None, Some("unknown")),
        true,
    )
    .await;
}

#[tokio::test]
async fn routes() {
    let view = |contains: Option<&str>| routes::Routes {
        site: None,
        contains: contains.map(str::to_owned),
    };
    check("routes", Canned::usual(), &view(None), true).await;
    check(
        "routes-none",
        Canned::usual(),
        &view(Some("10.9.0.9")),
        false,
    )
    .await;
}

#[tokio::test]
async fn events() {
    let view = events::Events {
        last: Some(50),
        after: None,
        day: None,
    };
    check("events", Canned::usual(), &view, true).await;
}

#[tokio::test]
async fn explanations() {
    let canned = Canned::usual;
    check("explain", canned(), &explain("10.2.0.9", 5060), true).await;
    check("explain-ipv6", canned(), &explain("fd00:2::9", 5060), true).await;
    check(
        "explain-no-path",
        canned(),
        &explain("10.4.0.9", 5060),
        false,
    )
    .await;
    check(
        "explain-in-doubt",
        canned(),
        &explain("10.5.0.9", 5060),
        false,
    )
    .await;
    check("explain-cost", canned(), &explain("10.3.0.9", 80), true).await;
    check("explain-dropped", canned(), &explain("10.2.0.9", 23), true).await;
    check(
        "explain-unreachable",
        canned(),
        &explain("10.9.0.9", 1),
        false,
    )
    .await;
    check(
        "explain-withdrawn",
        canned(),
        &explain("10.6.0.9", 1),
        false,
    )
    .await;
    check("explain-own", canned(), &explain("10.1.0.1", 22), true).await;
    check(
        "explain-not-overlay",
        canned(),
        &explain("9.9.9.9", 53),
        true,
    )
    .await;
}

#[tokio::test]
async fn the_last_move() {
    check("explain-last", Canned::usual(), &last_move::LastMove, true).await;
    check(
        "explain-last-none",
        Canned::well(),
        &last_move::LastMove,
        false,
    )
    .await;
}

#[tokio::test]
async fn json_has_the_field_names_of_the_api() {
    let view = paths::Paths {
        site: Some("tromso".to_owned()),
        status: None,
    };
    let json = view.json(ask(Canned::usual(), &view).await).unwrap();
    let first = json.get(0).and_then(Value::as_object).unwrap();
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    let expected = [
        "because",
        "classes",
        "cost",
        "dampened",
        "dampenedForMs",
        "destSiteId",
        "endpoint",
        "handshakeAgoMs",
        "handshaken",
        "id",
        "interface",
        "latencyMs",
        "localUplink",
        "packetLossPct",
        "remoteUplink",
        "sinceMs",
        "sourceSiteId",
        "status",
    ];
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
}

#[test]
fn diagnostics() {
    use crate::answers::{Diagnostic, Severity};

    let place = Diagnostic {
        severity: Severity::Error,
        file: "/etc/patronus/config.yaml".to_owned(),
        line: Some(12),
        column: Some(10),
        field: "sites[0].asn".to_owned(),
        value: Some("0".to_owned()),
        problem: "is not an ASN".to_owned(),
        help: "use 1 to 4294967294".to_owned(),
    };
    let elsewhere = Diagnostic {
        severity: Severity::Warning,
        file: String::new(),
        line: None,
        column: None,
        field: String::new(),
        value: None,
        problem: "something else".to_owned(),
        help: String::new(),
    };
    let mut page = Page::default();
    diagnostics::show(&[place, elsewhere], &mut page);
    expect_test::expect![[r#"
        ○ error    /etc/patronus/config.yaml:12:10  sites[0].asn: 0
                   is not an ASN
                   use 1 to 4294967294
        ◐ warning  something else
        1 error, 1 warning
    "#]]
    .assert_eq(&draw(&page, 80, false));
}
