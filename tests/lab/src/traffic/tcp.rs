//! A TCP connection which must survive: every byte is checked, every pause is seen.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
use serde::Serialize;

use super::Endpoint;
use super::records::millis;
use crate::quantity::Rate;
use crate::sys;

/// A connection in which nothing has arrived for so long hangs: retransmissions after an outage of two
/// seconds come sooner (RFC 6298).
const HUNG: Duration = Duration::from_secs(5);
/// Pauses of at least this long are listed.
const STALL: Duration = Duration::from_millis(100);

/// Bytes per call.
const CHUNK: usize = 64 << 10;

/// A prime number of bytes, so that a shift by any number of segments or chunks is noticed.
const PATTERN: usize = 65_521;

/// What a connection carries.
#[derive(Debug, Clone)]
pub struct TcpSpec {
    /// The end that connects and sends.
    pub from: Endpoint,
    /// The end that listens and receives.
    pub to: Endpoint,
    /// Pace; as fast as it goes when `None`.
    pub rate: Option<Rate>,
}

/// What a connection has come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TcpReport {
    /// Bytes received, all as they were sent unless `damaged_at` says otherwise.
    pub bytes: u64,
    /// Time from the first to the last byte received, in seconds.
    pub seconds: f64,
    /// Throughput over that time in Mbit/s.
    pub mbit_per_s: f64,
    /// Position of the first byte that was not the one sent.
    pub damaged_at: Option<u64>,
    /// Why the connection ended before it was stopped, or that it hung when it was.
    pub broken: Option<String>,
    /// The longest time without a byte.
    pub longest_stall: Option<Stall>,
    /// All times without a byte of at least 100 ms.
    pub stalls: Vec<Stall>,
    /// CPU time of the two threads in seconds.
    pub cpu_seconds: f64,
}

/// A time in which nothing arrived.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stall {
    /// Since the connection was made, in milliseconds.
    pub start_ms: f64,
    /// How long, in milliseconds.
    pub duration_ms: f64,
}

/// A connection that sends until it is stopped or dropped.
#[derive(Debug)]
pub struct TcpFlow {
    shared: Arc<Shared>,
    /// To wake a writer that waits for the peer.
    writer: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    epoch: Instant,
    stop: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    bytes: u64,
    first: Option<Duration>,
    last: Duration,
    damaged_at: Option<u64>,
    broken: Option<String>,
    longest: Option<Stall>,
    stalls: Vec<Stall>,
    cpu: Duration,
    sampled: (Duration, u64),
}

impl TcpFlow {
    /// Connects and starts to send.
    ///
    /// # Errors
    /// When the connection cannot be made within 10 s.
    pub fn start(spec: &TcpSpec) -> Result<Self> {
        let (writer, reader) = connection(spec)?;
        let shared = Arc::new(Shared {
            epoch: Instant::now(),
            stop: AtomicBool::new(false),
            progress: Mutex::default(),
        });
        let (receiving, sending) = (Arc::clone(&shared), Arc::clone(&shared));
        let (out, rate) = (writer.try_clone()?, spec.rate);
        let threads = vec![
            thread("tcp-receive", rate.map(|_| 0), move || {
                receiving.receive(reader)
            })?,
            thread("tcp-send", rate.map(|_| 1), move || sending.send(out, rate))?,
        ];
        Ok(Self {
            shared,
            writer,
            threads,
        })
    }

    /// What has happened so far.
    #[must_use]
    pub fn report(&self) -> TcpReport {
        self.shared.report()
    }

    /// Throughput since the previous sample, in Mbit/s.
    #[must_use]
    pub fn sample_mbit_per_s(&self) -> f64 {
        let now = self.shared.epoch.elapsed();
        let mut progress = self.shared.lock();
        let (then, before) = progress.sampled;
        progress.sampled = (now, progress.bytes);
        mbit_per_s(progress.bytes - before, now.saturating_sub(then))
    }

    /// Ends the connection and reports.
    #[must_use]
    pub fn stop(mut self) -> TcpReport {
        // What lasts still is seen only while the connection is meant to go on.
        let lasting = self.shared.lasting();
        self.end();
        let mut report = self.shared.report();
        report.add(lasting);
        if let Some(stall) = lasting.filter(|stall| stall.duration_ms >= millis(HUNG)) {
            let silence = format!("nothing has arrived for {} ms", stall.duration_ms);
            report.broken.get_or_insert(silence);
        }
        report
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Already closed when the connection broke.
        let _ = self.writer.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            // A thread that panicked has stopped as well.
            let _ = thread.join();
        }
    }
}

impl Drop for TcpFlow {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn broke(&self, why: String) {
        if !self.stopped() {
            self.lock().broken.get_or_insert(why);
        }
    }

    fn send(&self, mut stream: TcpStream, rate: Option<Rate>) {
        let pause = Duration::from_millis(10);
        let chunk = rate.map_or(CHUNK, |rate| {
            let bytes = rate.bits_per_second() / 8 / 100;
            usize::try_from(bytes).unwrap_or(CHUNK).clamp(1, CHUNK)
        });
        let mut position = 0u64;
        while !self.stopped() {
            let expected = pattern_at(position, chunk);
            if let Err(error) = stream.write_all(expected) {
                self.broke(format!("sending: {error}"));
                break;
            }
            position += expected.len() as u64;
            if rate.is_some() {
                std::thread::sleep(pause);
            }
        }
        self.lock().cpu += sys::thread_cpu_time();
    }

    fn receive(&self, mut stream: TcpStream) {
        let mut buffer = vec![0; CHUNK];
        let mut position = 0u64;
        while !self.stopped() {
            match stream.read(&mut buffer) {
                Ok(0) => {
                    self.broke("the other end has closed".to_owned());
                    break;
                }
                Ok(length) => {
                    let got = buffer.get(..length).unwrap_or_default();
                    self.arrived(got, position);
                    position += length as u64;
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => {
                    self.broke(format!("receiving: {error}"));
                    break;
                }
            }
        }
        self.lock().cpu += sys::thread_cpu_time();
    }

    fn arrived(&self, got: &[u8], position: u64) {
        let damage = first_difference(got, position);
        let now = self.epoch.elapsed();
        let mut progress = self.lock();
        progress.bytes += got.len() as u64;
        progress.damaged_at = progress.damaged_at.or(damage);
        if progress.first.is_none() {
            progress.first = Some(now);
        } else {
            let last = progress.last;
            progress.pause(last, now);
        }
        progress.last = now;
    }

    fn report(&self) -> TcpReport {
        let lasting = self.lasting().filter(|_| !self.stopped());
        let progress = self.lock();
        let seconds = progress
            .last
            .saturating_sub(progress.first.unwrap_or(progress.last));
        let mut report = TcpReport {
            bytes: progress.bytes,
            seconds: seconds.as_secs_f64(),
            mbit_per_s: mbit_per_s(progress.bytes, seconds),
            damaged_at: progress.damaged_at,
            broken: progress.broken.clone(),
            longest_stall: progress.longest,
            stalls: progress.stalls.clone(),
            cpu_seconds: progress.cpu.as_secs_f64(),
        };
        report.add(lasting);
        report
    }

    /// The time since the last byte, if that is a stall.
    fn lasting(&self) -> Option<Stall> {
        let last = self.lock().last;
        let silent = self.epoch.elapsed().saturating_sub(last);
        (silent >= STALL).then(|| Stall {
            start_ms: millis(last),
            duration_ms: millis(silent),
        })
    }
}

impl TcpReport {
    fn add(&mut self, lasting: Option<Stall>) {
        let Some(stall) = lasting else { return };
        self.stalls.push(stall);
        let longest = self.longest_stall;
        if longest.is_none_or(|longest| longest.duration_ms < stall.duration_ms) {
            self.longest_stall = Some(stall);
        }
    }
}

impl Progress {
    fn pause(&mut self, from: Duration, to: Duration) {
        let stall = Stall {
            start_ms: millis(from),
            duration_ms: millis(to - from),
        };
        if self
            .longest
            .is_none_or(|longest| longest.duration_ms < stall.duration_ms)
        {
            self.longest = Some(stall);
        }
        if to - from >= STALL {
            self.stalls.push(stall);
        }
    }
}

pub(super) fn mbit_per_s(bytes: u64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        bytes as f64 * 8.0 / 1e6 / time.as_secs_f64()
    }
}

/// Pseudo-random bytes, followed by a repetition, so that every chunk is one slice of it.
fn pattern() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let once: Vec<u8> = (0..PATTERN)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        once.iter()
            .chain(once.iter())
            .chain(once.iter())
            .copied()
            .collect()
    })
}

/// What is sent at `position`, at most `length` bytes of it.
fn pattern_at(position: u64, length: usize) -> &'static [u8] {
    let start = (position % PATTERN as u64) as usize;
    pattern()
        .get(start..start + length.min(CHUNK))
        .unwrap_or_default()
}

fn first_difference(got: &[u8], position: u64) -> Option<u64> {
    let expected = pattern_at(position, got.len());
    if got == expected {
        return None;
    }
    let index = got
        .iter()
        .zip(expected)
        .position(|(got, expected)| got != expected);
    Some(position + index.unwrap_or(expected.len()) as u64)
}

/// Both ends of a connection between two nodes.
fn connection(spec: &TcpSpec) -> Result<(TcpStream, TcpStream)> {
    let there = spec.to.socket_address();
    let listener = spec.to.node.enter(|| TcpListener::bind(there))?;
    let listener =
        listener.with_context(|| format!("binding TCP {there} on {}", spec.to.node.name()))?;
    let from = spec.from.node.name();
    let writer = spec
        .from
        .node
        .enter(|| connect_from(&spec.from, &spec.to))?;
    let writer = writer.with_context(|| format!("connecting from {from} to TCP {there}"))?;
    let (reader, _) = listener.accept()?;
    // The receiver looks at its switch this often.
    reader.set_read_timeout(Some(Duration::from_millis(50)))?;
    writer.set_nodelay(true)?;
    Ok((writer, reader))
}

/// std cannot bind a socket before it connects.
fn connect_from(from: &Endpoint, to: &Endpoint) -> Result<TcpStream> {
    use std::os::fd::AsRawFd;
    let family = if from.address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(
        fd.as_raw_fd(),
        &SockaddrStorage::from(from.socket_address()),
    )?;
    let stream = TcpStream::from(fd);
    // The kernel applies the send timeout to connect(2) too.
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    connect(
        stream.as_raw_fd(),
        &SockaddrStorage::from(to.socket_address()),
    )?;
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// Without a limit of the rate the threads would take all CPU time from what carries their bytes.
fn thread(
    name: &str,
    slot: Option<usize>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    Ok(builder.spawn(move || {
        if let Some(slot) = slot {
            sys::prefer_this_thread(slot);
        }
        work();
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_missing_or_repeated_byte_is_found_where_it_is() {
        let sent: Vec<u8> = [pattern_at(0, CHUNK), pattern_at(CHUNK as u64, CHUNK)].concat();
        let got = sent.get(60_000..70_000).unwrap().to_vec();
        assert_eq!(first_difference(&got, 60_000), None);
        let mut changed = got.clone();
        changed[1234] ^= 1;
        assert_eq!(first_difference(&changed, 60_000), Some(61_234));
        let shifted = sent.get(60_001..70_001).unwrap();
        assert!(first_difference(shifted, 60_000).is_some_and(|at| at < 60_010));
    }
}
