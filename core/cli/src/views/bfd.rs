//! `patronus bfd`.

use serde_json::Value;

use super::{Shown, View, part, state};
use crate::answers::{BfdSession, Status};
use crate::layout::{Align, Column, Page, Table, Text};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct Bfd;

impl View for Bfd {
    fn query(&self) -> &'static str {
        "query Bfd {
            bfd {
                path { id localUplink remoteUplink }
                destSiteId interface localAddress remoteAddress status remoteStatus
                diagnostic remoteDiagnostic transmitIntervalMs detectionTimeMs rttMs
                txPackets rxPackets downs sinceMs problem
            }
        }"
    }

    fn json(&self, data: Value) -> Result<Value, Trouble> {
        part(data, "/bfd")
    }

    fn render(&self, data: Value) -> Result<Shown, Trouble> {
        let sessions: Vec<BfdSession> = part(data, "/bfd")?;
        let mut page = Page::default();
        if sessions.is_empty() {
            page.line("No BFD session yet: there is one for each path.");
            return Ok(Shown { page, well: true });
        }
        page.table(table(&sessions));
        let well = sessions
            .iter()
            .all(|s| s.status == Status::Up && s.problem.is_none());
        Ok(Shown { page, well })
    }
}

fn table(sessions: &[BfdSession]) -> Table {
    let mut table = Table::new([
        Column::new("SITE", Align::Left).flexible(),
        Column::new("PATH", Align::Left).flexible(),
        Column::new("STATE", Align::Left),
        Column::new("RTT", Align::Right),
        Column::new("INTERVAL", Align::Right).dispensable(4),
        Column::new("DETECTION", Align::Right).dispensable(3),
        Column::new("SINCE", Align::Right).dispensable(2),
        Column::new("REASON", Align::Left).flexible().dispensable(1),
        Column::new("DOWNS", Align::Right).dispensable(5),
        Column::new("REMOTE", Align::Left).dispensable(8),
        Column::new("SENT", Align::Right).dispensable(6),
        Column::new("RECEIVED", Align::Right).dispensable(6),
        Column::new("INTERFACE", Align::Left).dispensable(9),
        Column::new("PEER", Align::Left).dispensable(7),
    ]);
    for session in sessions {
        table.row([
            session.dest_site_id.clone().into(),
            session.path.name().into(),
            state(session.status),
            units::latency(session.rtt_ms).into(),
            units::latency(session.transmit_interval_ms).into(),
            units::latency(session.detection_time_ms).into(),
            units::span(session.since_ms).into(),
            reason(session),
            units::number(session.downs).into(),
            state(session.remote_status),
            units::number(session.tx_packets).into(),
            units::number(session.rx_packets).into(),
            session.interface.clone().into(),
            session.remote_address.clone().into(),
        ]);
    }
    table
}

/// What is wrong, if anything.
fn reason(session: &BfdSession) -> Text {
    let diagnostic = session
        .diagnostic
        .as_ref()
        .filter(|_| session.status != Status::Up);
    let text = session.problem.as_ref().or(diagnostic);
    text.map_or_else(Text::default, |text| text.clone().into())
}
