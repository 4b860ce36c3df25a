//! The thread that asks WireGuard for its handshakes, when somebody wants to know. A hung
//! `wireguard-go` holds up this thread and nothing else.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use patronus_linux::{Error, HandshakeReader};
use patronus_model::layout::KernelLayout;
use patronus_model::view::Handshakes;
use tokio::sync::oneshot;
use tracing::debug;

/// Who wants to know.
pub(crate) type Asker = oneshot::Sender<Handshakes>;

/// How old an answer may be. However many ask however often, tunnels are read once in this time.
const FRESH: Duration = Duration::from_secs(1);

/// How many may wait while a tunnel does not answer; more are sent away.
const WAITING: usize = 16;

/// Starts the thread.
///
/// # Errors
/// The socket to the kernel cannot be opened, or the thread cannot be started.
pub(crate) fn start(layout: KernelLayout) -> Result<SyncSender<Asker>, Error> {
    let mut reader = HandshakeReader::open(layout)?;
    let (askers, asked) = sync_channel(WAITING);
    std::thread::Builder::new()
        .name("handshakes".to_owned())
        .spawn(move || answer(&asked, || read(&mut reader)))
        .map_err(|source| Error::Io {
            doing: "starting a thread".to_owned(),
            source,
        })?;
    Ok(askers)
}

fn read(reader: &mut HandshakeReader) -> Handshakes {
    reader.read().unwrap_or_else(|error| {
        // Who asked sees that nothing is known.
        debug!(error = error.report(), "handshakes cannot be read");
        Handshakes::default()
    })
}

fn answer(asked: &Receiver<Asker>, mut read: impl FnMut() -> Handshakes) {
    let mut known: Option<(Instant, Handshakes)> = None;
    for asker in asked {
        if asker.is_closed() {
            continue;
        }
        let fresh = known.take().filter(|(at, _)| at.elapsed() < FRESH);
        let (at, handshakes) = fresh.unwrap_or_else(|| {
            let handshakes = read();
            (Instant::now(), handshakes)
        });
        // Whoever asked may have gone away.
        let _ = asker.send(handshakes.clone());
        known = Some((at, handshakes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often tunnels were read for so many askers who wait, or have left, and who got an answer.
    fn asked_by(askers: usize, wait: bool) -> (usize, usize) {
        let (queue, asked) = sync_channel(WAITING);
        let mut answers = Vec::new();
        for _ in 0..askers {
            let (asker, answer) = oneshot::channel();
            queue.send(asker).unwrap();
            answers.extend(wait.then_some(answer));
        }
        drop(queue);
        let mut reads = 0;
        answer(&asked, || {
            reads += 1;
            Handshakes::default()
        });
        let answered = answers.iter_mut().map(oneshot::Receiver::try_recv);
        (reads, answered.filter(Result::is_ok).count())
    }

    #[test]
    fn many_askers_have_tunnels_read_once_and_those_who_left_not_at_all() {
        assert_eq!(asked_by(5, true), (1, 5));
        assert_eq!(asked_by(5, false), (0, 0));
    }
}
