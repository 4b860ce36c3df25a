//! Which tunnels carried what happened.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::Network;

/// Packets that each tunnel of a router received and sent while something happened; BFD adds some
/// ten a second to each.
#[derive(Clone, Debug)]
pub struct Carried(BTreeMap<String, (u64, u64)>);

impl Carried {
    /// Counts at a site while `work` is done.
    ///
    /// # Errors
    /// When the counters cannot be read, or what `work` says.
    pub fn at(network: &Network, site: &str, work: impl FnOnce() -> Result<()>) -> Result<Self> {
        let before = network.tunnel_packets(site)?;
        work()?;
        let after = network.tunnel_packets(site)?;
        let grown = after.into_iter().map(|(name, (received, sent))| {
            let (received_before, sent_before) = before.get(&name).copied().unwrap_or_default();
            (name, (received - received_before, sent - sent_before))
        });
        Ok(Self(grown.collect()))
    }

    /// The tunnel by which far the most came.
    ///
    /// # Panics
    /// When none stands out.
    #[must_use]
    pub fn came_by(&self) -> &str {
        self.busiest(|(received, _)| *received)
    }

    /// The tunnel by which far the most left.
    ///
    /// # Panics
    /// When none stands out.
    #[must_use]
    pub fn left_by(&self) -> &str {
        self.busiest(|(_, sent)| *sent)
    }

    fn busiest(&self, way: impl Fn(&(u64, u64)) -> u64) -> &str {
        let mut ranked: Vec<(u64, &str)> = self
            .0
            .iter()
            .map(|(name, packets)| (way(packets), name.as_str()))
            .collect();
        ranked.sort_unstable();
        let [.., (next, _), (most, busiest)] = ranked.as_slice() else {
            panic!("fewer than two tunnels: {self:?}")
        };
        assert!(
            *most > 500 && *most > next * 3,
            "no tunnel stands out: {self:?}"
        );
        busiest
    }
}
