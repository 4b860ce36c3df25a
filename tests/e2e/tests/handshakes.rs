//! What is said of paths that do not come up: whether their tunnel or something inside is to blame.

use anyhow::{Context as _, Result};
use patronus_e2e::network::PATIENCE;
use patronus_e2e::{Deployment, Network};
use patronus_lab::{Lab, Node, Topology};
use serde_json::{Value, json};

#[test]
fn a_wrong_key_is_told_from_a_firewall_inside_of_the_tunnel() -> Result<()> {
    let lab = Lab::up(&Topology::parse(include_str!(
        "../topologies/two-sites.yaml"
    ))?)?;
    block_bfd(lab.router("lisbon")?.node())?;
    let patronus = Deployment::start(&lab, |site, config| {
        if site == "berlin" {
            config["sites"][0]["uplinks"][1]["public_key"] =
                json!("HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=");
        }
    })?;
    let mut network = Network::of(lab, patronus);
    let expected = [
        "lisbon fibre → fibre is down: did not come up; the last WireGuard handshake was ",
        "uplink lte of lisbon: none of its 2 paths is up: did not come up; no WireGuard handshake \
         yet on any of 2: compare the keys",
    ];
    network.wait_until(PATIENCE, |network| {
        let said = problems(network)?;
        Ok(expected
            .iter()
            .all(|it| said.iter().any(|message| message.starts_with(it))))
    })?;
    let said = problems(&mut network)?;
    let blocked = "is UDP port 3784 blocked inside of the tunnel";
    assert!(said.iter().any(|it| it.contains(blocked)), "{said:?}");
    assert!(
        !said.iter().any(|it| it.contains("lte → fibre")),
        "{said:?}"
    );
    let paths = network.patronus.at("berlin")?.json(&["paths"])?;
    let shaken = |local: &str, remote: &str| {
        let mut paths = paths.as_array().into_iter().flatten();
        let path = paths.find(|it| it["localUplink"] == local && it["remoteUplink"] == remote);
        path.map(|it| (it["handshaken"].clone(), it["handshakeAgoMs"].is_number()))
    };
    assert_eq!(shaken("fibre", "fibre"), Some((json!(true), true)));
    assert_eq!(shaken("lte", "fibre"), Some((json!(true), true)));
    assert_eq!(shaken("fibre", "lte"), Some((json!(false), false)));
    network.lab.stop()
}

/// Drops BFD that comes out of the tunnel between the two fibres.
fn block_bfd(node: &Node) -> Result<()> {
    let rules = "table inet blocked { chain input { type filter hook input priority 0; \
                 iifname \"pat-1-1\" udp dport 3784 drop; }; }\n";
    node.run_with_input(["nft", "-f", "-"], rules)?;
    Ok(())
}

fn problems(network: &mut Network) -> Result<Vec<String>> {
    let status = network.patronus.at("berlin")?.json(&["status"])?;
    let problems = status.pointer("/router/problems").and_then(Value::as_array);
    let message = |it: &Value| it["message"].as_str().map(str::to_owned);
    let messages = problems.context("no list")?.iter().filter_map(message);
    Ok(messages.collect())
}
