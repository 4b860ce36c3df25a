//! What can be done through the API.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod canned;
mod server;

use canned::Canned;
use serde_json::json;
use server::Server;

#[tokio::test]
async fn only_a_prefix_that_was_withdrawn_can_be_forgotten() {
    let server = Server::canned(Canned::usual());
    let ask = async |prefix: &str| {
        let mutation = format!("mutation {{ forgetPrefix(prefix: {prefix:?}) }}");
        server.ask(&mutation).await
    };
    assert_eq!(
        ask("10.6.0.0/24").await["data"]["forgetPrefix"],
        "10.6.0.0/24"
    );
    for (wrong, code, says) in [
        (
            "10.2.7.0/24",
            "NOT_FOUND",
            "there is: 10.6.0.0/24, 10.6.1.0/24",
        ),
        ("10.6.0.9.1", "BAD_INPUT", "is not a prefix"),
    ] {
        let answer = ask(wrong).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], code, "{answer}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn a_refused_reload_says_where_and_why() {
    let server = Server::canned(Canned::usual());
    let query = "mutation { reload { applied diagnostics {
        severity file line column field value problem help } } }";
    let expected = json!({ "applied": false, "diagnostics": [{
        "severity": "error", "file": "/etc/patronus/config.yaml", "line": 12, "column": 10,
        "field": "sites[0].asn", "value": "0", "problem": "is not an ASN",
        "help": "use 1 to 4294967294",
    }]});
    assert_eq!(server.data(query).await["reload"], expected);
}
