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
            .unwrap_or_else(|| panic!("no tunnel stands out: {self:?}"))
    }

    /// The tunnel by which far the most left.
    ///
    /// # Panics
    /// When none stands out.
    #[must_use]
    pub fn left_by(&self) -> &str {
        self.busiest(|(_, sent)| *sent)
            .unwrap_or_else(|| panic!("no tunnel stands out: {self:?}"))
    }

    /// Whether far the most came by this tunnel, and left by it.
    #[must_use]
    pub fn is_by(&self, tunnel: &str) -> bool {
        let came = self.busiest(|(received, _)| *received);
        let left = self.busiest(|(_, sent)| *sent);
        [came, left] == [Some(tunnel); 2]
    }

    fn busiest(&self, way: impl Fn(&(u64, u64)) -> u64) -> Option<&str> {
        let mut ranked: Vec<(u64, &str)> = self
            .0
            .iter()
            .map(|(name, packets)| (way(packets), name.as_str()))
            .collect();
        ranked.sort_unstable();
        let [.., (next, _), (most, busiest)] = ranked.as_slice() else {
            panic!("fewer than two tunnels: {self:?}")
        };
        (*most > 500 && *most > next * 3).then_some(*busiest)
    }
}
