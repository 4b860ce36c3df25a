//! Passwords of BGP sessions, from the configuration to the sessions.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON, which gives null for what is missing"
)]

use anyhow::Result;
use patronus_e2e::network::{PATIENCE, pause};
use patronus_e2e::{Family, Network};
use serde_json::Value;

fn set_password(config: &mut Value, password: &str) {
    config["sites"][0]["bgp_password"] = password.into();
}

/// Whether each of a site's sessions is established.
fn sessions(network: &mut Network, site: &str) -> Result<Vec<bool>> {
    let bgp = network.patronus.at(site)?.json(&["bgp"])?;
    let all = bgp["neighbors"].as_array().into_iter().flatten();
    Ok(all.map(|session| session["established"] == true).collect())
}

fn paths_are_up(network: &mut Network) -> Result<bool> {
    let paths = network.patronus.at("berlin")?.json(&["paths"])?;
    let mut paths = paths.as_array().into_iter().flatten();
    Ok(paths.all(|path| path["status"] == "up"))
}

#[test]
fn a_session_is_there_only_when_both_ends_have_the_same_password() -> Result<()> {
    let mut network = Network::start(
        include_str!("../topologies/two-sites.yaml"),
        |site, config| {
            // What the sites tell each other must not be known from elsewhere.
            let remote = config["sites"][0].as_object_mut();
            remote.expect("a mapping").remove("prefixes");
            set_password(config, if site == "berlin" { "right" } else { "wrong" });
        },
    )?;
    network.wait_until(PATIENCE, paths_are_up)?;
    // Several attempts are made in this time.
    pause(10);
    for site in ["berlin", "lisbon"] {
        // One for each family.
        assert_eq!(sessions(&mut network, site)?, [false, false], "{site}");
    }
    assert!(network.ping("berlin", "lisbon", Family::V4).is_err());
    let lisbon = network.patronus.at("lisbon")?;
    set_password(lisbon.config(), "right");
    lisbon.write_config()?;
    lisbon.patronus(&["reload"])?;
    network.wait_until(PATIENCE, |network| {
        Ok(sessions(network, "berlin")? == [true, true])
    })?;
    network.wait_for_routes(PATIENCE)?;
    network.lab.stop()
}
