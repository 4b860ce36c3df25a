//! What the WAN emulator does to the packets of a link.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity::{Loss, Rate, Span};
use crate::topology::{Override, Uplink};

/// What happens to packets in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impairment {
    /// Delay of every packet.
    pub delay: Span,
    /// Random extra delay from 0 to this; packets keep their order.
    pub jitter: Span,
    /// Packets lost at random.
    pub loss: Loss,
    /// Bandwidth; no limit when `None`.
    pub rate: Option<Rate>,
    /// Packets that would wait longer than this for the limited bandwidth are dropped.
    pub buffer: Span,
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            delay: Span::default(),
            jitter: Span::default(),
            loss: Loss::default(),
            rate: None,
            // What a modest customer modem holds at its line rate.
            buffer: Span(Duration::from_millis(100)),
        }
    }
}

/// What happens to packets in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// From the router to the ISP.
    pub up: Impairment,
    /// From the ISP to the router.
    pub down: Impairment,
}

impl Profile {
    /// The same in both directions.
    #[must_use]
    pub const fn both(impairment: Impairment) -> Self {
        Self {
            up: impairment,
            down: impairment,
        }
    }

    pub(crate) fn of(uplink: &Uplink) -> Self {
        let merge = |own: &Override| Impairment {
            delay: own.delay.or(uplink.delay).unwrap_or_default(),
            jitter: own.jitter.or(uplink.jitter).unwrap_or_default(),
            loss: own.loss.or(uplink.loss).unwrap_or_default(),
            rate: own.rate.or(uplink.rate),
            ..Impairment::default()
        };
        Self {
            up: merge(&uplink.up),
            down: merge(&uplink.down),
        }
    }
}
