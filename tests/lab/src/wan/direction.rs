//! One direction of a link: a queue between two packet sockets.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::Counters;
use super::packet::{BATCH, Frame, PacketSocket};
use crate::plan::Impairment;

/// Frames kept for reuse; more are returned to the allocator.
const POOL: usize = 4096;

/// Bounds the memory of a direction: 160 MB. Reached by 1 Gbit/s delayed for a second.
const MAX_QUEUE: usize = 100_000;

/// What can be changed while packets flow, and what is counted.
#[derive(Debug, Default)]
pub(super) struct Direction {
    delay_ns: AtomicU64,
    jitter_ns: AtomicU64,
    loss_ppm: AtomicU32,
    /// Bits per second; 0 for no limit.
    rate: AtomicU64,
    buffer_ns: AtomicU64,
    swallow: AtomicBool,
    received: AtomicU64,
    forwarded: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    swallowed: AtomicU64,
    overflowed: AtomicU64,
}

impl Direction {
    pub(super) fn new(impairment: &Impairment) -> Self {
        let direction = Self::default();
        direction.set(impairment);
        direction
    }

    pub(super) fn set(&self, impairment: &Impairment) {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.delay_ns.store(nanos(impairment.delay.0), Relaxed);
        self.jitter_ns.store(nanos(impairment.jitter.0), Relaxed);
        self.loss_ppm
            .store(impairment.loss.parts_per_million(), Relaxed);
        self.rate.store(
            impairment.rate.map_or(0, |rate| rate.bits_per_second()),
            Relaxed,
        );
        self.buffer_ns.store(nanos(impairment.buffer.0), Relaxed);
    }

    /// Takes every packet, also those that are under way.
    pub(super) fn swallow(&self, yes: bool) {
        self.swallow.store(yes, Relaxed);
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            received: self.received.load(Relaxed),
            forwarded: self.forwarded.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            lost: self.lost.load(Relaxed),
            swallowed: self.swallowed.load(Relaxed),
            overflowed: self.overflowed.load(Relaxed),
        }
    }

    /// Carries frames until reading fails for good (the interface is gone).
    pub(super) fn carry(&self, from: &PacketSocket, to: &PacketSocket, seed: u64) {
        let mut line = Line::new(seed);
        loop {
            match from.receive(&mut line.batch) {
                Ok(0) => {
                    self.deliver(&mut line, to);
                    if wait(from, line.due()).is_err() {
                        return;
                    }
                }
                Ok(received) => {
                    self.admit(&mut line, received);
                    self.deliver(&mut line, to);
                }
                // The interface is down: what was queued still has its time to go.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(_) => return,
            }
        }
    }

    /// Decides the fate of the first `received` frames of the batch.
    fn admit(&self, line: &mut Line, received: usize) {
        let now = Instant::now();
        self.received.fetch_add(received as u64, Relaxed);
        if self.swallow.load(Relaxed) {
            self.swallowed.fetch_add(received as u64, Relaxed);
            return;
        }
        let loss = self.loss_ppm.load(Relaxed);
        for index in 0..received {
            if loss > 0 && line.random.below(1_000_000) < u64::from(loss) {
                self.lost.fetch_add(1, Relaxed);
                continue;
            }
            let Some(slot) = line.batch.get_mut(index) else {
                return;
            };
            let Some(sent) = line.clock.transmit(self, now, slot.len()) else {
                self.overflowed.fetch_add(1, Relaxed);
                continue;
            };
            let jitter = line
                .random
                .below(self.jitter_ns.load(Relaxed).saturating_add(1));
            let delay = self.delay_ns.load(Relaxed).saturating_add(jitter);
            // Never before its predecessor: jitter must not become reordering.
            let due = (sent + Duration::from_nanos(delay)).max(line.last_due);
            if line.queue.len() >= MAX_QUEUE {
                self.overflowed.fetch_add(1, Relaxed);
                continue;
            }
            line.last_due = due;
            let spare = line.pool.pop().unwrap_or_else(Frame::new);
            line.queue.push_back((due, std::mem::replace(slot, spare)));
        }
    }

    /// Sends every frame that is due.
    fn deliver(&self, line: &mut Line, to: &PacketSocket) {
        loop {
            let now = Instant::now();
            let due = line
                .queue
                .iter()
                .take(BATCH)
                .take_while(|(due, _)| *due <= now)
                .count();
            if due == 0 {
                return;
            }
            if self.swallow.load(Relaxed) {
                self.swallowed.fetch_add(due as u64, Relaxed);
            } else {
                let frames = line.queue.iter().take(due).map(|(_, frame)| frame);
                let bytes: usize = frames.clone().map(Frame::len).sum();
                let sent = to.send(frames);
                self.forwarded.fetch_add(sent as u64, Relaxed);
                self.bytes.fetch_add(bytes as u64, Relaxed);
            }
            for (_, frame) in line.queue.drain(..due) {
                if line.pool.len() < POOL {
                    line.pool.push(frame);
                }
            }
        }
    }
}

/// What the thread of a direction keeps.
struct Line {
    batch: Vec<Frame>,
    pool: Vec<Frame>,
    queue: VecDeque<(Instant, Frame)>,
    last_due: Instant,
    clock: RateClock,
    random: Random,
}

impl Line {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            batch: (0..BATCH).map(|_| Frame::new()).collect(),
            pool: Vec::new(),
            queue: VecDeque::new(),
            last_due: now,
            clock: RateClock { free_at: now },
            random: Random(seed),
        }
    }

    fn due(&self) -> Option<Duration> {
        self.queue
            .front()
            .map(|(due, _)| due.saturating_duration_since(Instant::now()))
    }
}

/// When the limited line has sent everything that it has accepted.
struct RateClock {
    free_at: Instant,
}

impl RateClock {
    /// When the last bit of a frame is on the line; `None` when the buffer has no room for it.
    fn transmit(&mut self, limits: &Direction, now: Instant, bytes: usize) -> Option<Instant> {
        let rate = limits.rate.load(Relaxed);
        if rate == 0 {
            return Some(now);
        }
        let start = self.free_at.max(now);
        if start - now > Duration::from_nanos(limits.buffer_ns.load(Relaxed)) {
            return None;
        }
        let nanos = (bytes as u64).saturating_mul(8 * 1_000_000_000) / rate;
        self.free_at = start + Duration::from_nanos(nanos);
        Some(self.free_at)
    }
}

/// xorshift64: fast, and good enough to choose packets.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The high half of the product is uniform below `limit` up to 2^-64 * limit.
        ((u128::from(self.0) * u128::from(limit)) >> 64) as u64
    }
}

/// Waits until a frame arrives or the first queued one is due.
fn wait(from: &PacketSocket, due: Option<Duration>) -> Result<(), Errno> {
    let mut fds = [PollFd::new(from.fd(), PollFlags::POLLIN)];
    match ppoll(&mut fds, due.map(TimeSpec::from), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::{Rate, Span};

    #[test]
    fn a_limited_line_sends_frames_one_after_the_other_and_drops_what_its_buffer_cannot_hold() {
        let limits = Direction::new(&Impairment {
            rate: Some(Rate::bits(8_000_000)),
            buffer: Span::millis(2),
            ..Impairment::default()
        });
        let now = Instant::now();
        let mut clock = RateClock { free_at: now };
        let mut after = || clock.transmit(&limits, now, 1000).map(|sent| sent - now);
        let millis = |n| Some(Duration::from_millis(n));
        assert_eq!(
            [after(), after(), after(), after()],
            [millis(1), millis(2), millis(3), None]
        );
    }

    #[test]
    fn random_numbers_hit_a_small_probability_as_often_as_they_should() {
        let mut random = Random(1);
        let hits = (0..1_000_000)
            .filter(|_| random.below(1_000_000) < 50_000)
            .count();
        assert!((49_000..51_000).contains(&hits), "{hits}");
    }
}
