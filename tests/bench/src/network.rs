//! What recipes with whole networks share.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use patronus_e2e::Network;
use patronus_e2e::network::PATIENCE;
use serde_json::{Value, json};

/// Berlin and Lisbon with a fibre and an LTE each.
pub const TWO_SITES: &str = include_str!("../../e2e/topologies/two-sites.yaml");
/// The path on which voice is when all is well.
pub const BEST: &str = "fibre→fibre";
/// Both directions of [`TWO_SITES`].
pub const DIRECTIONS: [(&str, &str); 2] = [("berlin", "lisbon"), ("lisbon", "berlin")];

/// BFD at this interval (× 3), no dampening to speak of and a short hold, so that one cut after the
/// other can be measured. What happens between a failure and the move is untouched by that.
pub fn hasty(config: &mut Value, millis: u64) {
    if let Value::Object(fields) = config {
        let dampening = json!({ "suppress": 900_000, "ceiling": 1_000_000 });
        let bfd = json!({ "interval": format!("{millis}ms") });
        let health = json!({ "bfd": bfd, "dampening": dampening });
        fields.insert("health".to_owned(), health);
    }
    let classes = config["classes"].as_array_mut().into_iter().flatten();
    for class in classes {
        class["failover"] = json!({ "hold": "500ms", "cooldown": "0s", "threshold": "2s" });
    }
}

/// Waits until everything is up, and voice is on its best path in both directions.
///
/// # Errors
/// Says what is not so in the end.
pub fn wait_until_best(network: &mut Network) -> Result<()> {
    network.patronus.wait_until_well(PATIENCE)?;
    network
        .wait_until(PATIENCE, |network| {
            let on_best = |(from, to)| Ok(network.path_of(from, to, "voice")? == BEST);
            let on_best: Result<Vec<bool>> = DIRECTIONS.into_iter().map(on_best).collect();
            Ok(on_best?.iter().all(|best| *best))
        })
        .map(drop)
        .context("voice does not return to its best path")
}

/// Waits until all has been well for `calm`, and says how long after `since` that began.
///
/// # Errors
/// Says what is not well in the end.
pub fn recovery(network: &Network, since: Instant, calm: Duration) -> Result<Duration> {
    loop {
        network.patronus.wait_until_well(PATIENCE)?;
        let well_since = Instant::now();
        loop {
            if well_since.elapsed() >= calm {
                return Ok(well_since - since);
            }
            if network.patronus.wait_until_well(Duration::ZERO).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
