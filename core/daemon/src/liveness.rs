//! From BFD sessions to what the engine wants to know of paths.

use std::time::Duration;

use patronus_engine::bfd::{Diagnostic, Event, Liveness as Session};
use patronus_engine::{Input, Watch};
use patronus_model::bgp::BfdTimers;
use patronus_model::path::{Liveness, Measurement};
use tokio::sync::mpsc;

use crate::bfd::{BfdConfig, BfdEvent, SessionSnapshot, SessionSpec};

/// How often round trips and losses are taken over.
pub const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The session that watches a path.
#[must_use]
pub fn session(watch: Watch, timers: BfdTimers) -> SessionSpec {
    let Watch {
        path,
        interface,
        local,
        remote,
    } = watch;
    SessionSpec {
        path,
        interface,
        local,
        remote,
        timers,
    }
}

/// Passes on what concerns liveness. Called on the driver's thread; waits only while the engine
/// has hundreds of inputs before it.
pub fn pass_on(event: &BfdEvent, inputs: &mpsc::Sender<Input>) {
    if let Event::StateChanged(change) = &event.event
        && let Some(liveness) = liveness(change.liveness())
    {
        // It fails only when the engine has ended.
        let _ = inputs.blocking_send(Input::Liveness(event.path, liveness));
    }
}

fn liveness(session: Session) -> Option<Liveness> {
    match session {
        Session::Up => Some(Liveness::Up),
        Session::RemoteAdminDown => Some(Liveness::AdminDown),
        // Only a planned stop does that, and then nobody is interested any more.
        Session::AdminDown => None,
        Session::Down(Diagnostic::NeighborSignaledDown) => Some(Liveness::NotHeard),
        Session::Down(_) => Some(Liveness::Silent),
    }
}

/// What has been measured on the path of a session. A window of losses counts only if the session
/// was up in all of it: the last packets before a path went down are a failure, not a loss rate. An
/// estimate within twice the deviation that chance alone causes counts as none.
#[must_use]
pub fn measurement(session: &SessionSnapshot) -> Measurement {
    let up_for = session.since.elapsed().unwrap_or_default();
    let window = session
        .loss
        .filter(|_| up_for >= 2 * BfdConfig::default().loss_window);
    let loss = window.and_then(|window| {
        let loss = window.loss()?;
        Some(if loss < 2.0 * window.deviation() {
            0.0
        } else {
            loss
        })
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share lies between 0 and 1"
    )]
    let loss_permille = loss.map(|loss| (loss * 1000.0).round() as u16);
    Measurement {
        rtt: session.status.rtt,
        loss_permille,
    }
}
