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

    #[test]
    fn many_askers_read_tunnels_once_and_those_who_left_not_at_all() {
        let (askers, asked) = sync_channel(WAITING);
        let mut answers = Vec::new();
        for _ in 0..5 {
            let (asker, left) = oneshot::channel();
            drop(left);
            askers.send(asker).unwrap();
        }
        for _ in 0..5 {
            let (asker, answer) = oneshot::channel();
            askers.send(asker).unwrap();
            answers.push(answer);
        }
        drop(askers);
        let mut reads = 0;
        answer(&asked, || {
            reads += 1;
            Handshakes::default()
        });
        assert_eq!(reads, 1);
        assert!(answers.iter_mut().all(|answer| answer.try_recv().is_ok()));
    }
}
