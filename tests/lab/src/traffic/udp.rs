//! Numbered UDP packets at a steady pace, as a call sends them.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{setsockopt, sockopt};
use serde::Serialize;

use super::Endpoint;
use super::records::{FlowReport, GRACE, Records, Sample};
use crate::sys;

/// What a stream consists of.
#[derive(Debug, Clone)]
pub struct UdpSpec {
    /// One end.
    pub a: Endpoint,
    /// The other.
    pub b: Endpoint,
    /// Whether packets go from `b` to `a` as well, between the same ports.
    pub both_ways: bool,
    /// Packets per second in each direction.
    pub packets_per_second: u32,
    /// Bytes of UDP payload, at least 16.
    pub payload: usize,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
}

impl UdpSpec {
    /// 500 packets of 160 bytes a second in both directions: finer than a call, to see short gaps.
    #[must_use]
    pub fn new(a: Endpoint, b: Endpoint) -> Self {
        Self {
            a,
            b,
            both_ways: true,
            packets_per_second: 500,
            payload: 160,
            dscp: 0,
        }
    }
}

/// What both directions of a stream have come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UdpReport {
    /// From `a` to `b`.
    pub a_to_b: FlowReport,
    /// From `b` to `a`, unless the stream has one direction only.
    pub b_to_a: Option<FlowReport>,
}

impl UdpReport {
    /// The longest blackout in either direction, in milliseconds; 0 when no packet was lost.
    #[must_use]
    pub fn longest_blackout_ms(&self) -> f64 {
        let directions = [Some(&self.a_to_b), self.b_to_a.as_ref()];
        let longest = directions
            .into_iter()
            .flatten()
            .filter_map(|flow| flow.longest_blackout);
        longest
            .map(|blackout| blackout.duration_ms)
            .fold(0.0, f64::max)
    }

    /// Packets lost in both directions.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.a_to_b.lost + self.b_to_a.as_ref().map_or(0, |flow| flow.lost)
    }
}

/// What happened in both directions since the previous sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UdpSample {
    /// From `a` to `b`.
    pub a_to_b: Sample,
    /// From `b` to `a`, unless the stream has one direction only.
    pub b_to_a: Option<Sample>,
}

/// A stream that runs until it is stopped or dropped.
pub struct UdpStream {
    a_to_b: Arc<Flow>,
    b_to_a: Option<Arc<Flow>>,
    switches: Arc<Switches>,
    senders: Vec<JoinHandle<()>>,
    receivers: Vec<JoinHandle<()>>,
}

/// One direction.
struct Flow {
    /// Distinguishes the packets of different streams and directions on the same ports.
    id: u64,
    epoch: Instant,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Switches {
    sending_ends: AtomicBool,
    receiving_ends: AtomicBool,
}

/// Identifier and sequence number.
const HEADER: usize = 16;

/// How long receivers wait at the end for what is under way.
const DRAIN: Duration = Duration::from_secs(2);

impl UdpStream {
    /// Opens the sockets and starts sending.
    ///
    /// # Errors
    /// When an address cannot be bound, or the specification makes no sense.
    pub fn start(spec: &UdpSpec) -> Result<Self> {
        if spec.payload < HEADER || spec.packets_per_second == 0 || spec.dscp > 63 {
            bail!(
                "a stream needs a payload of {HEADER} bytes or more, 1 packet per second or more \
                 and a DSCP of 63 or less: {spec:?}"
            );
        }
        let (a, b) = (
            open(&spec.a, &spec.b, spec.dscp)?,
            open(&spec.b, &spec.a, spec.dscp)?,
        );
        let epoch = Instant::now();
        let switches = Arc::new(Switches::default());
        let mut stream = Self {
            a_to_b: Arc::new(Flow::new(epoch)),
            b_to_a: spec.both_ways.then(|| Arc::new(Flow::new(epoch))),
            switches,
            senders: Vec::new(),
            receivers: Vec::new(),
        };
        stream.run(Arc::clone(&stream.a_to_b), &a, &b, spec)?;
        if let Some(flow) = stream.b_to_a.clone() {
            stream.run(flow, &b, &a, spec)?;
        }
        Ok(stream)
    }

    fn run(
        &mut self,
        flow: Arc<Flow>,
        from: &UdpSocket,
        to: &UdpSocket,
        spec: &UdpSpec,
    ) -> Result<()> {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (receiving, switches) = (Arc::clone(&flow), Arc::clone(&self.switches));
        let payload = spec.payload;
        let slot = usize::try_from(flow.id & 0xff).unwrap_or(0);
        self.receivers.push(thread("udp-receive", slot, move || {
            receiving.receive(&to, payload, &switches.receiving_ends);
        })?);
        let switches = Arc::clone(&self.switches);
        let interval = Duration::from_secs(1) / spec.packets_per_second;
        self.senders.push(thread("udp-send", slot, move || {
            flow.send(&from, payload, interval, &switches.sending_ends);
        })?);
        Ok(())
    }

    /// What has happened so far, without packets that may still be under way.
    #[must_use]
    pub fn report(&self) -> UdpReport {
        self.report_until(self.a_to_b.epoch.elapsed().saturating_sub(GRACE))
    }

    fn report_until(&self, until: Duration) -> UdpReport {
        UdpReport {
            a_to_b: self.a_to_b.lock().report(until),
            b_to_a: self.b_to_a.as_ref().map(|flow| flow.lock().report(until)),
        }
    }

    /// What has happened since the previous sample.
    #[must_use]
    pub fn sample(&self) -> UdpSample {
        let now = self.a_to_b.epoch.elapsed();
        UdpSample {
            a_to_b: self.a_to_b.lock().sample(now),
            b_to_a: self.b_to_a.as_ref().map(|flow| flow.lock().sample(now)),
        }
    }

    /// When it started: what the times of its reports are counted from.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.a_to_b.epoch
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.a_to_b.epoch.elapsed()
    }

    /// Stops sending, waits for what is under way, and reports.
    #[must_use]
    pub fn stop(mut self) -> UdpReport {
        self.end_sending();
        let end = self.elapsed();
        while self.elapsed() < end + DRAIN && !self.drained() {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.end_receiving();
        self.report_until(end)
    }

    fn drained(&self) -> bool {
        let flows = [Some(&self.a_to_b), self.b_to_a.as_ref()];
        flows.into_iter().flatten().all(|flow| {
            let records = flow.lock();
            records.all_arrived() || records.silent_for(flow.epoch.elapsed()) > GRACE
        })
    }

    fn end_sending(&mut self) {
        self.switches.sending_ends.store(true, Ordering::Relaxed);
        join(&mut self.senders);
    }

    fn end_receiving(&mut self) {
        self.switches.receiving_ends.store(true, Ordering::Relaxed);
        join(&mut self.receivers);
    }
}

fn join(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.drain(..) {
        // A thread that panicked has stopped as well.
        let _ = thread.join();
    }
}

impl Drop for UdpStream {
    fn drop(&mut self) {
        self.end_sending();
        self.end_receiving();
    }
}

impl std::fmt::Debug for UdpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpStream")
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

impl Flow {
    fn new(epoch: Instant) -> Self {
        use std::sync::atomic::AtomicU64;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = u64::from(std::process::id()) << 32 | number;
        Self {
            id,
            epoch,
            records: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, socket: &UdpSocket, payload: usize, interval: Duration, stop: &AtomicBool) {
        let mut packet = vec![0x5a; payload];
        let mut due = self.epoch.elapsed();
        while !stop.load(Ordering::Relaxed) {
            if let Some(pause) = due.checked_sub(self.epoch.elapsed()) {
                std::thread::sleep(pause);
            }
            // After a pause of the machine the missed packets follow at once: the pace is kept.
            due += interval;
            let sequence = self.lock().sent(self.epoch.elapsed());
            let header = self
                .id
                .to_be_bytes()
                .into_iter()
                .chain(sequence.to_be_bytes());
            packet
                .iter_mut()
                .zip(header)
                .for_each(|(to, from)| *to = from);
            // An error may belong to an earlier packet (ICMP), and then this one was not sent.
            if socket.send(&packet).is_err() && socket.send(&packet).is_err() {
                self.lock().refused();
            }
        }
    }

    fn receive(&self, socket: &UdpSocket, payload: usize, stop: &AtomicBool) {
        let mut buffer = vec![0; payload + 1];
        while !stop.load(Ordering::Relaxed) {
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    let now = self.epoch.elapsed();
                    if let Some(sequence) = self.sequence(buffer.get(..length).unwrap_or_default())
                    {
                        self.lock().received(sequence, now);
                    }
                }
                Err(error) if is_timeout(&error) => {}
                // An ICMP error says that packets of ours do not arrive, which the other end
                // notices itself.
                Err(_) => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }

    fn sequence(&self, packet: &[u8]) -> Option<u64> {
        let (id, rest) = packet.split_first_chunk::<8>()?;
        let (sequence, _) = rest.split_first_chunk::<8>()?;
        (u64::from_be_bytes(*id) == self.id).then(|| u64::from_be_bytes(*sequence))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn thread(name: &str, slot: usize, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    Ok(builder.spawn(move || {
        sys::prefer_this_thread(slot);
        work();
    })?)
}

/// A socket inside the node of `own`, which hears `peer` only.
fn open(own: &Endpoint, peer: &Endpoint, dscp: u8) -> Result<UdpSocket> {
    let socket = own.node.enter(|| UdpSocket::bind(own.socket_address()))?;
    let socket = socket.with_context(|| {
        format!(
            "binding UDP {} on {}",
            own.socket_address(),
            own.node.name()
        )
    })?;
    own.node
        .enter(|| socket.connect(peer.socket_address()))?
        .with_context(|| {
            format!(
                "{} has no route to {}",
                own.node.name(),
                peer.socket_address()
            )
        })?;
    // Receivers look at their switch this often.
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20))?;
    let traffic_class = i32::from(dscp) << 2;
    if own.address.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4Tos, &traffic_class)?;
    } else {
        setsockopt(&socket, sockopt::Ipv6TClass, &traffic_class)?;
    }
    Ok(socket)
}
