//! `patronus bfd`.

use serde_json::Value;

use super::{Shown, View, known, part, state};
use crate::answers::{BfdSession, PathRef, Status};
use crate::layout::{Align, Column, Page, Table, Text, Tone};
use crate::trouble::Trouble;
use crate::units;

pub(crate) struct Bfd;

impl View for Bfd {
    fn query(&self) -> &'static str {
        "query Bfd {
            bfd {
                watchedBy neighbor
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
        let mut sessions: Vec<BfdSession> = part(data, "/bfd")?;
        let mut page = Page::default();
        if sessions.is_empty() {
            page.line("No BFD session yet: there is one for each path.");
            return Ok(Shown { page, well: true });
        }
        let of_frr: Vec<BfdSession> = sessions
            .extract_if(.., |session| session.neighbor.is_some())
            .collect();
        if !sessions.is_empty() {
            page.table(table(&sessions));
        }
        if !of_frr.is_empty() {
            page.line(Text::toned(Tone::Strong, "watched by FRR"));
            page.table(neighbors(&of_frr));
        }
        let well = sessions
            .iter()
            .chain(&of_frr)
            .all(|s| s.status == Status::Up && s.problem.is_none());
        Ok(Shown { page, well })
    }
}

fn table(sessions: &[BfdSession]) -> Table {
    let mut table = Table::new([
        Column::new("SITE", Align::Left).flexible(),
        Column::new("PATH", Align::Left).flexible(),
        Column::new("STATE", Align::Left),
        Column::new("RTT", Align::Right).dispensable(1),
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
            known(session.dest_site_id.as_deref()),
            known(session.path.as_ref().map(PathRef::name).as_deref()),
            state(session.status),
            units::latency(session.rtt_ms).into(),
            units::latency(session.transmit_interval_ms).into(),
            units::latency(session.detection_time_ms).into(),
            units::known_span(session.since_ms).into(),
            reason(session),
            units::known_number(session.downs).into(),
            session.remote_status.map_or_else(Text::default, state),
            units::known_number(session.tx_packets).into(),
            units::known_number(session.rx_packets).into(),
            known(session.interface.as_deref()),
            session.remote_address.clone().into(),
        ]);
    }
    table
}

/// The sessions that FRR runs: what it tells of them.
fn neighbors(sessions: &[BfdSession]) -> Table {
    let mut table = Table::new([
        Column::new("NEIGHBOUR", Align::Left).flexible(),
        Column::new("STATE", Align::Left),
        Column::new("INTERVAL", Align::Right).dispensable(4),
        Column::new("DETECTION", Align::Right).dispensable(3),
        Column::new("SINCE", Align::Right).dispensable(2),
        Column::new("PEER", Align::Left),
        Column::new("REASON", Align::Left).flexible().dispensable(1),
        Column::new("INTERFACE", Align::Left).dispensable(5),
    ]);
    for session in sessions {
        table.row([
            known(session.neighbor.as_deref()),
            state(session.status),
            units::latency(session.transmit_interval_ms).into(),
            units::latency(session.detection_time_ms).into(),
            units::known_span(session.since_ms).into(),
            session.remote_address.clone().into(),
            reason(session),
            known(session.interface.as_deref()),
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
