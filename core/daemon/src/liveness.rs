//! From BFD sessions to what the engine wants to know of paths.

use std::time::Duration;

use patronus_engine::bfd::{Diagnostic, Event, Liveness as Session, LossWindow};
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
/// has as many inputs before it as there is room for, which are thousands.
pub fn pass_on(event: &BfdEvent, inputs: &mpsc::Sender<Input>) {
    let news = match &event.event {
        Event::Made => Some(Liveness::Begun),
        Event::StateChanged(change) => liveness(change.liveness(), change.remote_diagnostic),
        Event::Rtt(_) | Event::TimersNegotiated { .. } => None,
    };
    if let Some(liveness) = news {
        // It fails only when the engine has ended.
        let _ = inputs.blocking_send(Input::Liveness(event.path, liveness));
    }
}

fn liveness(session: Session, remote: Diagnostic) -> Option<Liveness> {
    match session {
        Session::Up => Some(Liveness::Up),
        Session::RemoteAdminDown => Some(Liveness::AdminDown),
        // Only a planned stop does that, and then nobody is interested any more.
        Session::AdminDown => None,
        Session::Down(Diagnostic::NeighborSignaledDown) => Some(match remote {
            Diagnostic::PathDown => Liveness::GivenUp,
            _ => Liveness::NotHeard,
        }),
        Session::Down(_) => Some(Liveness::Silent),
    }
}

/// What has been measured on the path of a session. A window of losses counts only if the session
/// was up in all of it: the last packets before a path went down are a failure, not a loss rate.
#[must_use]
pub fn measurement(session: &SessionSnapshot) -> Measurement {
    let up_for = session.since.elapsed().unwrap_or_default();
    let window = session
        .loss
        .filter(|_| up_for >= 2 * BfdConfig::default().loss_window);
    let loss = window.as_ref().and_then(credible_loss);
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

/// The loss in a window, where chance alone does not explain it.
///
/// Twice the deviation is not enough: a router has thousands of windows an hour for each path. With
/// BFD at a second, one window in 200 without any loss is above 10 % (simulated), and moves traffic.
/// None of 60,000 is above four times the deviation, at intervals from 0.3 to 1 s.
fn credible_loss(window: &LossWindow) -> Option<f64> {
    const DEVIATIONS: f64 = 4.0;
    let loss = window.loss()?;
    Some(if loss < DEVIATIONS * window.deviation() {
        0.0
    } else {
        loss
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use patronus_model::ids::{PathId, SiteNumber, Slot};

    #[test]
    fn a_session_that_is_made_anew_ends_what_was_known_of_its_path() {
        let slot = Slot::new(1).unwrap();
        let path = PathId {
            site: SiteNumber::new(2).unwrap(),
            local: slot,
            remote: slot,
        };
        let (inputs, mut inbox) = mpsc::channel(2);
        let event = Event::Made;
        pass_on(&BfdEvent { path, event }, &inputs);
        let input = inbox.try_recv().unwrap();
        assert!(matches!(input, Input::Liveness(it, Liveness::Begun) if it == path));
    }

    /// A window of ten seconds.
    fn check(interval: Duration, received: u32, expected: Option<f64>) {
        let up = Duration::from_secs(10);
        let window = LossWindow {
            up,
            expected: up.as_secs_f64() / (0.875 * interval.as_secs_f64()),
            received,
        };
        let loss = credible_loss(&window).map(|loss| (loss * 100.0).round());
        assert_eq!(loss, expected, "{window:?}");
    }

    #[test]
    fn a_gap_or_two_more_than_the_mean_is_no_loss() {
        // 11.4 expected: a peer that draws long gaps sends no more than 10.
        check(Duration::from_secs(1), 10, Some(0.0));
        check(Duration::from_secs(1), 9, Some(21.0));
        // 114 expected.
        check(Duration::from_millis(100), 112, Some(0.0));
        check(Duration::from_millis(100), 103, Some(10.0));
        check(Duration::from_millis(100), 57, Some(50.0));
        // Nothing was expected.
        check(Duration::from_secs(60), 0, None);
    }
}
