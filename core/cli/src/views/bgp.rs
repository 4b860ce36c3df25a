//! `patronus bgp`.

use serde_json::Value;

use super::{Shown, View, good, known, part, shape};
use crate::answers::{Bgp as Answer, Neighbor, RoutingDaemon, Status};
use crate::layout::{Align, Column, Page, Table, Text};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct Bgp;

impl View for Bgp {
    fn query(&self) -> &'static str {
        "query Bgp {
            bgp {
                asn routerId problem
                daemons { name up version sinceMs lateMs }
                neighbors {
                    address description siteId remoteAsn state established sinceMs
                    prefixesReceived prefixesSent lastError meaning
                }
            }
        }"
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/bgp")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let bgp: Answer = part(data, "/bgp")?;
        let mut page = Page::default();
        page.field("ours", title(&bgp));
        if !bgp.daemons.is_empty() {
            page.field("daemons", daemons(&bgp.daemons));
        }
        if let Some(problem) = &bgp.problem {
            page.field("problem", shape(Status::Degraded).then(problem.clone()));
        }
        if bgp.neighbors.is_empty() {
            page.line("No neighbour yet: there is one for each other site.");
        } else {
            page.table(neighbors(&bgp.neighbors));
        }
        let well = bgp.problem.is_none()
            && bgp
                .daemons
                .iter()
                .all(|daemon| daemon.up && daemon.late_ms.is_none())
            && bgp.neighbors.iter().all(|neighbor| neighbor.established);
        Ok(Shown { page, well })
    }
}

fn title(bgp: &Answer) -> String {
    match (bgp.asn, &bgp.router_id) {
        (Some(asn), Some(id)) => format!("AS {asn}, router id {id}"),
        (Some(asn), None) => format!("AS {asn}"),
        (None, _) => "no AS yet".to_owned(),
    }
}

fn daemons(daemons: &[RoutingDaemon]) -> Text {
    daemons
        .iter()
        .enumerate()
        .fold(Text::default(), |line, (at, it)| {
            line.then(if at > 0 { "   " } else { "" }).then(daemon(it))
        })
}

fn daemon(daemon: &RoutingDaemon) -> Text {
    if let (true, Some(late)) = (daemon.up, daemon.late_ms) {
        let text = format!("{} busy or hung for {}", daemon.name, units::span(late));
        return shape(Status::Degraded).then(text);
    }
    let text = match &daemon.version {
        Some(version) => format!("{} {version}", daemon.name),
        None => format!("{} down for {}", daemon.name, units::span(daemon.since_ms)),
    };
    shape(good(daemon.up)).then(text)
}

fn neighbors(neighbors: &[Neighbor]) -> Table {
    let mut table = Table::new([
        Column::new("NEIGHBOUR", Align::Left).flexible(),
        Column::new("AS", Align::Right).dispensable(5),
        Column::new("STATE", Align::Left),
        Column::new("SINCE", Align::Right).dispensable(3),
        Column::new("RECEIVED", Align::Right).dispensable(1),
        Column::new("SENT", Align::Right).dispensable(4),
        Column::new("ADDRESS", Align::Left).dispensable(6),
        Column::new("LAST ERROR", Align::Left).or_below(7),
        Column::new("MEANING", Align::Left).or_below(8),
    ]);
    for neighbor in neighbors {
        table.row([
            neighbor.description.clone().into(),
            neighbor.remote_asn.to_string().into(),
            shape(good(neighbor.established)).then(neighbor.state.clone()),
            units::known_span(neighbor.since_ms).into(),
            units::number(neighbor.prefixes_received).into(),
            units::number(neighbor.prefixes_sent).into(),
            neighbor.address.clone().into(),
            // Of one that is established it is history, and no reason to get up at night.
            known(match neighbor.established {
                true => None,
                false => neighbor.last_error.as_deref(),
            }),
            known(neighbor.meaning.as_deref()),
        ]);
    }
    table
}
