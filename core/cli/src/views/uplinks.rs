//! `patronus uplinks`.

use serde_json::Value;

use super::{Shown, View, list, part, state};
use crate::answers::{Status, Tally, Uplink};
use crate::layout::{Align, Column, Page, Table, Text, Tone};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct Uplinks;

impl View for Uplinks {
    fn query(&self) -> &'static str {
        "query Uplinks {
            uplinks {
                id name slot interface status fault because addresses gateways
                bandwidthUpBps bandwidthDownBps cost metered
                paths { up degraded down unknown total }
            }
        }"
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/uplinks")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let uplinks: Vec<Uplink> = part(data, "/uplinks")?;
        let columns = [
            Column::new("UPLINK", Align::Left),
            Column::new("STATE", Align::Left),
            Column::new("INTERFACE", Align::Left).dispensable(4),
            Column::new("ADDRESS", Align::Left).flexible(),
            Column::new("BANDWIDTH", Align::Left).dispensable(1),
            Column::new("PATHS", Align::Left),
            Column::new("COST", Align::Right).dispensable(2),
            Column::new("METERED", Align::Left).dispensable(3),
            Column::new("GATEWAY", Align::Left)
                .flexible()
                .dispensable(5),
        ];
        // As a column of its own only while there is something to say.
        let faulty = uplinks.iter().any(|uplink| uplink.because.is_some());
        let reason = faulty.then_some(Column::new("REASON", Align::Left).or_below(6));
        let mut table = Table::new(columns.into_iter().chain(reason).collect::<Vec<_>>());
        for uplink in &uplinks {
            let cells = [
                uplink.name.clone().into(),
                match uplink.is_without_path() {
                    true => Text::toned(Tone::Warning, "◐ link up, no path"),
                    false => state(uplink.status),
                },
                uplink.interface.clone().into(),
                list(&uplink.addresses),
                units::bandwidth(uplink.bandwidth_up_bps, uplink.bandwidth_down_bps).into(),
                paths(&uplink.paths).into(),
                units::number(uplink.cost.into()).into(),
                if uplink.metered {
                    "metered"
                } else {
                    units::UNKNOWN
                }
                .into(),
                list(&uplink.gateways),
            ];
            let reason = faulty.then(|| Text::from(uplink.because.clone().unwrap_or_default()));
            table.row(cells.into_iter().chain(reason).collect::<Vec<_>>());
        }
        let mut page = Page::default();
        page.table(table);
        Ok(Shown {
            page,
            well: uplinks
                .iter()
                .all(|uplink| uplink.status == Status::Up && !uplink.is_without_path()),
        })
    }
}

/// `2 of 4 up`.
pub(super) fn paths(tally: &Tally) -> String {
    format!(
        "{} of {} up",
        units::number(tally.up),
        units::number(tally.total)
    )
}
