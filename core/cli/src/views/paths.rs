//! `patronus paths`.

use serde_json::{Value, json};

use super::{Shown, View, known, list, part, state};
use crate::answers::{Nodes, Path, Status};
use crate::layout::{Align, Column, Page, Table, Text};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct Paths {
    pub(crate) site: Option<String>,
    pub(crate) status: Option<String>,
}

impl View for Paths {
    fn query(&self) -> &'static str {
        "query Paths($siteId: ID, $status: PathStatus) {
            paths(siteId: $siteId, status: $status) {
                nodes {
                    id sourceSiteId destSiteId localUplink remoteUplink interface endpoint
                    status because sinceMs dampened dampenedForMs latencyMs packetLossPct cost classes
                    handshaken handshakeAgoMs
                }
            }
        }"
    }

    fn variables(&self) -> Value {
        json!({ "siteId": self.site, "status": self.status })
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/paths/nodes")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let paths: Nodes<Path> = part(data, "/paths")?;
        let mut page = Page::default();
        if paths.nodes.is_empty() {
            page.line(self.nothing());
            return Ok(Shown {
                page,
                well: self.site.is_none(),
            });
        }
        page.table(table(&paths.nodes, self.site.is_none()));
        Ok(Shown {
            page,
            well: paths.nodes.iter().all(|path| path.status == Status::Up),
        })
    }
}

impl Paths {
    fn nothing(&self) -> String {
        let to = self
            .site
            .as_ref()
            .map_or_else(String::new, |site| format!(" to {site}"));
        match &self.status {
            Some(status) => format!("No path{to} is {status}."),
            None => format!(
                "No path{to}. A path needs one of our uplinks and one of theirs on the same \
                 underlay, and an endpoint at one end."
            ),
        }
    }
}

fn table(paths: &[Path], several_sites: bool) -> Table {
    let path = Column::new("PATH", Align::Left).flexible();
    let rest = [
        Column::new("STATE", Align::Left),
        Column::new("LATENCY", Align::Right).dispensable(1),
        Column::new("LOSS", Align::Right).dispensable(2),
        Column::new("SINCE", Align::Right).dispensable(4),
        Column::new("CLASSES", Align::Left)
            .flexible()
            .dispensable(3),
        Column::new("REASON", Align::Left).or_below(6),
        Column::new("HANDSHAKE", Align::Right).dispensable(5),
        Column::new("COST", Align::Right).dispensable(7),
        Column::new("ENDPOINT", Align::Left).dispensable(8),
    ];
    let site = several_sites.then_some(Column::new("SITE", Align::Left).flexible());
    let columns: Vec<Column> = site.into_iter().chain([path]).chain(rest).collect();
    let mut table = Table::new(columns);
    // Uplinks by name line up, so that the eye can run down the arrows.
    let widest = paths
        .iter()
        .map(|path| crate::layout::width_of(&path.local_uplink))
        .max();
    for path in paths {
        let site = several_sites.then(|| Text::from(path.dest_site_id.clone()));
        let cells = cells(path, widest.unwrap_or(0));
        table.row(site.into_iter().chain(cells).collect::<Vec<Text>>());
    }
    table
}

fn cells(path: &Path, widest: usize) -> [Text; 10] {
    let gap = widest.saturating_sub(crate::layout::width_of(&path.local_uplink));
    let name = format!(
        "{}{} → {}",
        path.local_uplink,
        " ".repeat(gap),
        path.remote_uplink
    );
    let because = path.because.clone();
    let reason: Text = match (path.status, path.dampened_for_ms.map(units::span)) {
        (Status::Up, None) => Text::default(),
        (Status::Up, Some(rest)) => format!("flaps: not trusted for {rest}").into(),
        (_, None) => because.into(),
        (_, Some(rest)) => format!("flaps: not trusted for {rest}; {because}").into(),
    };
    [
        name.into(),
        state(path.status),
        units::latency(path.latency_ms).into(),
        units::percent(path.packet_loss_pct).into(),
        units::span(path.since_ms).into(),
        list(&path.classes),
        reason,
        handshake(path).into(),
        units::known_number(path.cost.map(u64::from)).into(),
        known(path.endpoint.as_deref()),
    ]
}

/// How long ago WireGuard agreed on keys with the far end.
fn handshake(path: &Path) -> String {
    match path.handshaken {
        Some(false) => "never".to_owned(),
        Some(true) | None => units::known_span(path.handshake_ago_ms),
    }
}
