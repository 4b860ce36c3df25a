//! `patronus sites`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Shown, View, list, part, state};
use crate::answers::{Neighbor, Nodes, Site, SiteChoice, Status};
use crate::layout::{Align, Column, Page, Table, Text, Tone};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct Sites;

impl View for Sites {
    fn query(&self) -> &'static str {
        "query Sites {
            sites {
                nodes {
                    id name number hub addresses bestPathStatus
                    pathTally { up degraded down unknown total }
                    choices {
                        class sinceMs reason because
                        path { id localUplink remoteUplink relaySiteId }
                    }
                }
            }
            bgp { neighbors {
                address description siteId remoteAsn state established sinceMs
                prefixesReceived prefixesSent lastError meaning
            } }
        }"
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/sites/nodes")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let neighbors: Vec<Neighbor> = part(data.clone(), "/bgp/neighbors")?;
        let down = neighbors.iter().filter(|it| !it.established);
        let without_bgp: BTreeSet<&str> = down.filter_map(|it| it.site_id.as_deref()).collect();
        let without_bgp = |site: &Site| without_bgp.contains(site.id.as_str());
        let sites: Nodes<Site> = part(data, "/sites")?;
        let mut page = Page::default();
        if sites.nodes.is_empty() {
            page.line("No other site yet. Name them under `sites` in /etc/patronus/config.yaml.");
            return Ok(Shown { page, well: true });
        }
        let mut table = Table::new([
            Column::new("SITE", Align::Left).flexible(),
            Column::new("STATE", Align::Left),
            Column::new("PATHS", Align::Left),
            Column::new("CLASSES", Align::Left)
                .flexible()
                .dispensable(1),
            Column::new("HUB", Align::Left).dispensable(2),
            Column::new("NAME", Align::Left).flexible().dispensable(3),
            Column::new("ADDRESSES", Align::Left)
                .flexible()
                .dispensable(4),
        ]);
        for site in &sites.nodes {
            table.row([
                site.id.clone().into(),
                match site.best_path_status {
                    // Packets pass, but nobody says what for.
                    Status::Up if without_bgp(site) => Text::toned(Tone::Warning, "◐ up, BGP down"),
                    Status::Degraded if without_bgp(site) => {
                        Text::toned(Tone::Warning, "◐ degraded, BGP down")
                    }
                    status => state(status),
                },
                super::uplinks::paths(&site.path_tally).into(),
                classes(&site.choices),
                if site.hub { "hub" } else { units::UNKNOWN }.into(),
                site.name.clone().into(),
                list(&site.addresses),
            ]);
        }
        page.table(table);
        let well = sites
            .nodes
            .iter()
            .all(|site| site.best_path_status == Status::Up && !without_bgp(site));
        Ok(Shown { page, well })
    }
}

/// The classes by the path on which they travel: `voice, bulk: fibre → lte`.
fn classes(choices: &[SiteChoice]) -> Text {
    let mut by_path: Vec<(String, Vec<&str>)> = Vec::new();
    for choice in choices {
        let path = choice
            .path
            .as_ref()
            .map_or_else(|| "no path".to_owned(), |path| path.name());
        match by_path.iter_mut().find(|(name, _)| *name == path) {
            Some((_, classes)) => classes.push(&choice.class),
            None => by_path.push((path, vec![&choice.class])),
        }
    }
    let texts: Vec<String> = match by_path.as_slice() {
        [] => return Text::toned(Tone::Dim, units::UNKNOWN),
        [(path, _)] => vec![format!("all: {path}")],
        several => several
            .iter()
            .map(|(path, classes)| format!("{}: {path}", classes.join(", ")))
            .collect(),
    };
    texts.join("; ").into()
}
