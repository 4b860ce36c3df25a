//! `patronus explain last`: why traffic moved the last time.

use serde_json::Value;

use super::events::moment;
use super::explain::{cost_of_chosen, rejected};
use super::{Shown, View, part};
use crate::answers::{Details, Event, Move};
use crate::layout::{Page, Text, Tone};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct LastMove;

impl View for LastMove {
    fn query(&self) -> &'static str {
        "query LastMove {
            router {
                lastMove {
                    id sequence kind time agoMs message
                    details {
                        __typename
                        ... on Move {
                            class destSiteId reason because
                            from { id localUplink remoteUplink relaySiteId }
                            to { id localUplink remoteUplink relaySiteId }
                            candidates {
                                path { id localUplink remoteUplink relaySiteId }
                                rank status latencyMs packetLossPct cost verdict why remainingMs
                            }
                        }
                    }
                }
            }
        }"
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/router/lastMove")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let event: Option<Event> = part(data, "/router/lastMove")?;
        let mut page = Page::default();
        match &event {
            Some(Event {
                details: Details::Move(it),
                time,
                ago_ms,
                ..
            }) => {
                show(it, time, *ago_ms, &mut page);
            }
            Some(event) => page.line(event.message.clone()),
            None => page.line("No traffic has moved since patronusd started."),
        }
        Ok(Shown {
            page,
            well: event.is_some(),
        })
    }
}

fn show(it: &Move, time: &str, ago_ms: u64, page: &mut Page) {
    let (date, time) = moment(time);
    let when = format!(", {} ago ({date} {time} UTC)", units::span(ago_ms));
    let what = format!("{} to {}", it.class, it.dest_site_id);
    page.field("moved", Text::toned(Tone::Strong, what).then(when));
    let before = it
        .from
        .as_ref()
        .map_or_else(|| "nowhere".to_owned(), |path| path.name());
    let now = Text::toned(Tone::Strong, it.to.name());
    let way = Text::from(format!("from {before} to ")).then(now);
    page.field("path", way.then(cost_of_chosen(&it.candidates)));
    page.field("because", it.because.clone());
    rejected(&it.candidates, page);
}
