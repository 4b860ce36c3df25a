//! When to stop showing something.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Completes at Ctrl-C, and when we are told to end or our terminal goes away: in each case there
/// is a screen to be put back in order.
pub(crate) async fn interrupted() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
