//! Intervals: what is configured, what is advertised, and what is in use meanwhile
//! (RFC 5880 sections 6.8.2 to 6.8.4 and 6.8.7).

use std::num::NonZeroU8;
use std::time::Duration;

use patronus_model::bgp::BfdTimers;

use super::packet::Interval;
use super::rng::Rng;

/// The shortest interval that a session uses; shorter ones in its configuration are raised to it.
/// A process that is not alone on its machine cannot keep less than a millisecond.
pub const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// "Not less than one second" while a session is not Up (section 6.8.3).
const SLOW: Interval = Interval::from_micros(1_000_000);

/// The configuration, cut to what the protocol can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) tx: Interval,
    pub(super) rx: Interval,
    pub(super) detect_mult: NonZeroU8,
}

impl From<BfdTimers> for Wanted {
    fn from(timers: BfdTimers) -> Self {
        let cut = |time: Duration| Interval::saturating_from(time.max(MIN_INTERVAL));
        Self {
            tx: cut(timers.desired_min_tx),
            rx: cut(timers.required_min_rx),
            detect_mult: NonZeroU8::new(timers.detect_mult).unwrap_or(NonZeroU8::MIN),
        }
    }
}

/// Our own side's intervals.
#[derive(Clone, Debug)]
pub(super) struct LocalTimers {
    pub(super) wanted: Wanted,
    /// `bfd.DesiredMinTxInterval`, as our packets say.
    pub(super) desired_min_tx: Interval,
    /// `bfd.RequiredMinRxInterval`, as our packets say.
    pub(super) required_min_rx: Interval,
    /// What counts until the peer has acknowledged the above.
    tx_in_use: Interval,
    rx_in_use: Interval,
}

impl LocalTimers {
    pub(super) fn new(wanted: Wanted) -> Self {
        let slow = wanted.tx.max(SLOW);
        Self {
            wanted,
            desired_min_tx: slow,
            required_min_rx: wanted.rx,
            tx_in_use: slow,
            rx_in_use: wanted.rx,
        }
    }

    /// Advertises what fits the state, and says whether that is news which the peer must be
    /// polled about (section 6.8.3).
    ///
    /// While Up, sending slower and expecting sooner wait for the peer's acknowledgement
    /// ([`Self::acknowledged`]); everything else counts at once.
    pub(super) fn adapt(&mut self, up: bool) -> bool {
        let tx = if up {
            self.wanted.tx
        } else {
            self.wanted.tx.max(SLOW)
        };
        let rx = self.wanted.rx;
        let news = tx != self.desired_min_tx || rx != self.required_min_rx;
        self.desired_min_tx = tx;
        self.required_min_rx = rx;
        self.tx_in_use = if up { self.tx_in_use.min(tx) } else { tx };
        self.rx_in_use = if up { self.rx_in_use.max(rx) } else { rx };
        news
    }

    /// The Poll Sequence about what is advertised has ended.
    pub(super) const fn acknowledged(&mut self) {
        self.tx_in_use = self.desired_min_tx;
        self.rx_in_use = self.required_min_rx;
    }

    /// Our interval before jitter (section 6.8.7); `None` when the peer wants no packets.
    pub(super) fn transmit_interval(&self, remote_min_rx: Interval) -> Option<Duration> {
        (remote_min_rx != Interval::ZERO).then(|| self.tx_in_use.max(remote_min_rx).as_duration())
    }

    /// The peer's interval before jitter, as far as we can tell (section 6.8.4).
    pub(super) fn receive_interval(&self, remote_desired_min_tx: Interval) -> Duration {
        self.rx_in_use.max(remote_desired_min_tx).as_duration()
    }
}

/// What is taken off an interval before the next packet: 0 to 25 %, or 10 to 25 % when the peer
/// gives up after a single missing packet (section 6.8.7).
pub(super) fn jittered(interval: Duration, detect_mult: NonZeroU8, rng: &mut Rng) -> Duration {
    let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    let spread = if detect_mult == NonZeroU8::MIN {
        nanos / 20 * 3
    } else {
        nanos / 4
    };
    Duration::from_nanos(least_gap_nanos(nanos) + rng.up_to(spread))
}

/// The shortest gap that jitter allows: 75 %.
pub(super) fn least_gap(interval: Duration) -> Duration {
    Duration::from_nanos(least_gap_nanos(
        u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
    ))
}

const fn least_gap_nanos(nanos: u64) -> u64 {
    nanos - nanos / 4
}

/// The mean gap between two packets of a sender that jitters evenly over what section 6.8.7
/// allows: 87.5 %, or 82.5 % with a multiplier of 1.
pub(super) fn mean_gap(interval: Duration, detect_mult: NonZeroU8) -> Duration {
    if detect_mult == NonZeroU8::MIN {
        interval * 33 / 40
    } else {
        interval * 7 / 8
    }
}
