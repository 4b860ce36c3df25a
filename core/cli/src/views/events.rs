//! `patronus events`.

use serde_json::{Value, json};

use super::{Shown, View, good, part, shape};
use crate::answers::{Details, Event, Nodes, Status};
use crate::layout::{Page, Text, Tone};
use crate::trouble::Trouble;

/// The newest events, or those behind a cursor.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    pub(crate) last: Option<u32>,
    pub(crate) after: Option<String>,
    /// The day of the event that was shown before, which need not be said again.
    pub(crate) day: Option<String>,
}

impl View for Events {
    fn query(&self) -> &'static str {
        "query Events($last: Int, $after: String) {
            events(last: $last, after: $after) {
                nodes {
                    id sequence kind time agoMs message
                    details {
                        __typename
                        ... on Configured { pathCount policyCount changes { part name change keys } keptPrefixes openedPrefixes }
                        ... on PathChanged {
                            path { id localUplink remoteUplink }
                            destSiteId fromStatus toStatus because
                        }
                        ... on PathDampened {
                            path { id localUplink remoteUplink } destSiteId dampened
                        }
                        ... on UplinkChanged { uplink usable fault }
                        ... on LanChanged { interface up }
                        ... on Move {
                            class destSiteId
                            from { id localUplink remoteUplink relaySiteId }
                            to { id localUplink remoteUplink relaySiteId }
                            reason because
                            candidates {
                                path { id localUplink remoteUplink relaySiteId }
                                rank status latencyMs packetLossPct cost verdict why remainingMs
                            }
                        }
                        ... on Applied { changes tookMs }
                        ... on ApplyFailed { error retryInMs }
                        ... on Drift { changes altered named }
                        ... on RoutingDaemonChanged { daemon up }
                        ... on BgpNeighborChanged { neighbor established because }
                        ... on PrefixConflict { prefix ownerSiteId loserSiteId }
                        ... on PrefixRefused { prefix siteId }
                        ... on PrefixesChanged { siteId announced count some }
                        ... on PrefixForgotten { prefix siteId within }
                        ... on PrefixesForgotten { asked siteId count some }
                        ... on ReloadRefused { problem }
                        ... on RoutingRefused { error }
                    }
                }
                pageInfo { hasNextPage endCursor }
            }
        }"
    }

    fn variables(&self) -> Value {
        json!({ "last": self.last, "after": self.after })
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/events/nodes")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let events: Nodes<Event> = part(data, "/events")?;
        let mut page = Page::default();
        let mut day = self.day.as_deref();
        for event in &events.nodes {
            let (date, time) = moment(&event.time);
            if day != Some(date) {
                page.line(Text::toned(Tone::Dim, format!("{date} UTC")));
                day = Some(date);
            }
            let lead = Text::toned(Tone::Dim, format!("{time}  ")).then(mark(&event.details));
            page.hanging(lead, event.message.clone());
        }
        Ok(Shown { page, well: true })
    }
}

/// Date and time of an RFC 3339 time, to the second.
pub(super) fn moment(time: &str) -> (&str, &str) {
    let (date, rest) = time.split_once('T').unwrap_or((time, ""));
    (date, rest.get(..8).unwrap_or(rest))
}

/// The day of the last of some events, and the cursor behind it.
pub(crate) fn last_of(data: &Value) -> Option<(String, String)> {
    let event = data.pointer("/events/nodes")?.as_array()?.last()?;
    let (date, _) = moment(event.get("time")?.as_str()?);
    Some((date.to_owned(), event.get("id")?.as_str()?.to_owned()))
}

fn mark(details: &Details) -> Text {
    match details {
        Details::PathChanged { to_status } => shape(*to_status),
        Details::UplinkChanged { usable: is }
        | Details::LanChanged { up: is }
        | Details::RoutingDaemonChanged { up: is }
        | Details::BgpNeighborChanged { established: is } => shape(good(*is)),
        Details::Move(_) => Text::toned(Tone::Strong, "→ "),
        Details::ApplyFailed => shape(Status::Degraded),
        Details::Other => Text::toned(Tone::Dim, "· "),
    }
}
