//! `patronus sites`.

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
        // Packets pass, but nobody says what for.
        let bgp = |site: &Site| bgp_down(&neighbors, &site.id);
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
                match (site.best_path_status, bgp(site)) {
                    (Status::Up, Some(bgp)) => Text::toned(Tone::Warning, format!("◐ up, {bgp}")),
                    (Status::Degraded, Some(bgp)) => {
                        Text::toned(Tone::Warning, format!("◐ degraded, {bgp}"))
                    }
                    (status, _) => state(status),
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
            .all(|site| site.best_path_status == Status::Up && bgp(site).is_none());
        Ok(Shown { page, well })
    }
}

/// What is down of the BGP sessions with a site, which has one for each address family.
fn bgp_down(neighbors: &[Neighbor], site: &str) -> Option<&'static str> {
    let of_site = |it: &&Neighbor| it.site_id.as_deref() == Some(site);
    let (up, down): (Vec<&Neighbor>, Vec<&Neighbor>) = neighbors
        .iter()
        .filter(of_site)
        .partition(|it| it.established);
    match (up.is_empty(), down.is_empty()) {
        (_, true) => None,
        (true, false) => Some("BGP down"),
        (false, false) => Some("BGP partly down"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_family_of_two_is_a_part() {
        let neighbor = |site: &str, established: bool| {
            let json = serde_json::json!({
                "address": "10.255.0.2", "description": site, "siteId": site, "remoteAsn": 1,
                "state": "", "established": established, "prefixesReceived": 0, "prefixesSent": 0,
            });
            serde_json::from_value::<Neighbor>(json).unwrap()
        };
        for (sessions, expected) in [
            (vec![], None),
            (vec![true, true], None),
            (vec![true, false], Some("BGP partly down")),
            (vec![false, false], Some("BGP down")),
        ] {
            let mut all: Vec<Neighbor> = sessions.iter().map(|it| neighbor("oslo", *it)).collect();
            all.push(neighbor("lisbon", false));
            assert_eq!(bgp_down(&all, "oslo"), expected);
        }
    }
}
