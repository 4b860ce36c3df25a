//! `patronus routes`.

use serde_json::{Value, json};

use super::{Shown, View, part};
use crate::answers::{Nodes, Route};
use crate::layout::{Align, Column, Page, Table, Text, Tone};
use crate::trouble::Trouble;

pub(crate) struct Routes {
    pub(crate) site: Option<String>,
    pub(crate) contains: Option<String>,
}

impl View for Routes {
    fn query(&self) -> &'static str {
        "query Routes($siteId: ID, $contains: String) {
            routes(siteId: $siteId, contains: $contains) {
                nodes { prefix siteId origin via }
            }
        }"
    }

    fn variables(&self) -> Value {
        json!({ "siteId": self.site, "contains": self.contains })
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/routes/nodes")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let routes: Nodes<Route> = part(data, "/routes")?;
        let mut page = Page::default();
        if routes.nodes.is_empty() {
            page.line(self.nothing());
            let well = self.site.is_none() && self.contains.is_none();
            return Ok(Shown { page, well });
        }
        let mut table = Table::new([
            Column::new("PREFIX", Align::Left),
            Column::new("SITE", Align::Left).flexible(),
            Column::new("KNOWN FROM", Align::Left).flexible(),
        ]);
        for route in &routes.nodes {
            table.row([
                route.prefix.clone().into(),
                route.site_id.clone().unwrap_or_else(|| "–".into()).into(),
                origin(route),
            ]);
        }
        page.table(table);
        Ok(Shown { page, well: true })
    }
}

impl Routes {
    fn nothing(&self) -> String {
        let of = self
            .site
            .as_ref()
            .map_or_else(String::new, |site| format!(" of {site}"));
        match &self.contains {
            Some(inner) => format!("No route{of} contains {inner}."),
            None => format!("No route{of}: no site has announced anything."),
        }
    }
}

fn origin(route: &Route) -> Text {
    let via = route.via.as_deref();
    match route.origin.as_str() {
        "bgp" => "BGP".into(),
        "stale" => Text::toned(Tone::Warning, "◌ BGP, kept until routing has converged"),
        "local" => format!("BGP, but this machine has it itself{}", by(via)).into(),
        "neighbor" => format!("a BGP neighbour outside the overlay{}", by(via)).into(),
        // It may be what an earlier patronusd guarded, for whatever reason.
        "withdrawn" if route.site_id.is_none() => Text::toned(
            Tone::Bad,
            "○ named no more: unreachable until `patronus forget`",
        ),
        "withdrawn" => Text::toned(
            Tone::Bad,
            "○ announced no more: unreachable until `patronus forget`",
        ),
        "configured" => "configuration".into(),
        other => other.into(),
    }
}

fn by(via: Option<&str>) -> String {
    via.map_or_else(String::new, |via| format!(": {via}"))
}
