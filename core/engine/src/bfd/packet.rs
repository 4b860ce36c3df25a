//! The BFD control packet (RFC 5880 section 4.1).

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

/// Length of the mandatory section, in bytes. Packets without authentication are nothing else.
pub const PACKET_LEN: usize = 24;

/// The only version there is.
const VERSION: u8 = 1;

/// Least `Length` of a packet whose A bit is set: two bytes of authentication section.
const AUTHENTICATED_LEN: u8 = 26;

/// Identifies a session at one of its ends, across all sessions of that system; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Discriminator(NonZeroU32);

impl Discriminator {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for Discriminator {
    type Error = ZeroDiscriminator;

    fn try_from(value: u32) -> Result<Self, ZeroDiscriminator> {
        NonZeroU32::new(value).map(Self).ok_or(ZeroDiscriminator)
    }
}

impl fmt::Display for Discriminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// Zero means "unknown" on the wire, so it names no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a BFD discriminator is never zero")]
pub struct ZeroDiscriminator;

/// A time as packets carry it: whole microseconds, at most some 71 minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u32);

impl Interval {
    /// No time: in `RequiredMinRxInterval` it asks the peer not to send periodically.
    pub const ZERO: Self = Self(0);

    /// So many microseconds.
    #[must_use]
    pub const fn from_micros(micros: u32) -> Self {
        Self(micros)
    }

    /// The nearest interval, rounded down, cut to what the field can hold.
    #[must_use]
    pub fn saturating_from(time: Duration) -> Self {
        Self(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
    }

    /// Microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u32 {
        self.0
    }

    /// As a time.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_micros(self.0 as u64)
    }
}

/// State of a session (section 4.1, `Sta`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Held down by an operator.
    AdminDown,
    /// Nothing is heard, or the peer has just said that it hears nothing.
    Down,
    /// The peer is heard; whether it hears us is not known yet.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    const fn to_bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AdminDown => "admin-down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        })
    }
}

/// Why a session last changed its state (section 4.1, `Diag`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Diagnostic {
    /// No reason.
    None,
    /// Nothing arrived for the detection time.
    ControlDetectionTimeExpired,
    /// Echo packets did not return.
    EchoFunctionFailed,
    /// The peer said that its end is not up.
    NeighborSignaledDown,
    /// The forwarding plane was reset.
    ForwardingPlaneReset,
    /// The path is down, as something other than BFD found.
    PathDown,
    /// A path behind this one is down.
    ConcatenatedPathDown,
    /// An operator did it.
    AdministrativelyDown,
    /// A path behind this one is down in the other direction.
    ReverseConcatenatedPathDown,
    /// A code without a meaning in RFC 5880 (9 to 31).
    Reserved(u8),
}

impl Diagnostic {
    const fn to_bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::ControlDetectionTimeExpired => 1,
            Self::EchoFunctionFailed => 2,
            Self::NeighborSignaledDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Reserved(code) => code & 31,
        }
    }

    const fn from_bits(bits: u8) -> Self {
        match bits & 31 {
            0 => Self::None,
            1 => Self::ControlDetectionTimeExpired,
            2 => Self::EchoFunctionFailed,
            3 => Self::NeighborSignaledDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            code => Self::Reserved(code),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::ControlDetectionTimeExpired => f.pad("control detection time expired"),
            Self::EchoFunctionFailed => f.pad("echo function failed"),
            Self::NeighborSignaledDown => f.pad("neighbor signaled session down"),
            Self::ForwardingPlaneReset => f.pad("forwarding plane reset"),
            Self::PathDown => f.pad("path down"),
            Self::ConcatenatedPathDown => f.pad("concatenated path down"),
            Self::AdministrativelyDown => f.pad("administratively down"),
            Self::ReverseConcatenatedPathDown => f.pad("reverse concatenated path down"),
            Self::Reserved(code) => write!(f, "reserved diagnostic {code}"),
        }
    }
}

/// A control packet without authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender last changed its state.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// P: the sender asks for an answer at once.
    pub poll: bool,
    /// F: this is the answer.
    pub is_final: bool,
    /// C: the sender's BFD survives its control plane.
    pub control_plane_independent: bool,
    /// D: the sender wants us to stop sending periodically while both ends are up.
    pub demand: bool,
    /// How many intervals without a packet make the receiver give up.
    pub detect_mult: NonZeroU8,
    /// The sender's name for the session.
    pub my_discriminator: Discriminator,
    /// The receiver's name for the session, once the sender knows it.
    pub your_discriminator: Option<Discriminator>,
    /// How often the sender would like to send.
    pub desired_min_tx: Interval,
    /// How often the sender can take packets; zero asks for none.
    pub required_min_rx: Interval,
    /// How often the sender can take Echo packets; zero: not at all.
    pub required_min_echo_rx: Interval,
}

/// Why a datagram is not a control packet for us (the checks of section 6.8.6, in its order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than the mandatory section has.
    #[error("{0} bytes are too short for a BFD control packet: 24 are needed")]
    Truncated(usize),
    /// Not version 1.
    #[error("BFD version {0} is not supported, only 1 is")]
    Version(u8),
    /// `Length` below the minimum: 24, or 26 with the A bit.
    #[error("the packet claims to be {claimed} bytes long, the least is {least}")]
    LengthTooSmall {
        /// The field.
        claimed: u8,
        /// The least valid value.
        least: u8,
    },
    /// `Length` beyond the end of the datagram.
    #[error("the packet claims to be {claimed} bytes long, the datagram has {payload}")]
    LengthTooLarge {
        /// The field.
        claimed: u8,
        /// Bytes in the datagram.
        payload: usize,
    },
    /// `Detect Mult` is zero.
    #[error("the detection multiplier is zero")]
    ZeroDetectMult,
    /// The M bit is set.
    #[error("the multipoint bit is set")]
    Multipoint,
    /// `My Discriminator` is zero.
    #[error("the sender's discriminator is zero")]
    ZeroMyDiscriminator,
    /// `Your Discriminator` is zero though the sender claims to have heard us.
    #[error("the packet is for no session, but its state is {0}")]
    StateWithoutSession(State),
    /// The A bit is set; no authentication is ever configured here.
    #[error("the packet is authenticated, but no authentication is configured")]
    Authenticated,
}

impl Packet {
    /// Reads the payload of a UDP datagram.
    ///
    /// Section 6.8.6 looks the session up before the check of the A bit; as authentication is in
    /// use nowhere, the order of these two cannot be told apart from outside.
    ///
    /// # Errors
    /// [`Malformed`] names the first check of section 6.8.6 that failed.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let (words, _) = payload.as_chunks::<4>();
        let [head, mine, yours, desired, required, required_echo, ..] = words else {
            return Err(Malformed::Truncated(payload.len()));
        };
        let [vers_diag, sta_flags, mult, length] = *head;
        let flags = Flags::from_bits(sta_flags);
        check_header(vers_diag >> 5, length, flags, payload.len())?;
        let detect_mult = NonZeroU8::new(mult).ok_or(Malformed::ZeroDetectMult)?;
        if flags.multipoint {
            return Err(Malformed::Multipoint);
        }
        let my_discriminator = Discriminator::try_from(u32::from_be_bytes(*mine))
            .map_err(|ZeroDiscriminator| Malformed::ZeroMyDiscriminator)?;
        let your_discriminator = Discriminator::try_from(u32::from_be_bytes(*yours)).ok();
        let state = State::from_bits(sta_flags >> 6);
        if your_discriminator.is_none() && matches!(state, State::Init | State::Up) {
            return Err(Malformed::StateWithoutSession(state));
        }
        if flags.authenticated {
            return Err(Malformed::Authenticated);
        }
        Ok(Self {
            diagnostic: Diagnostic::from_bits(vers_diag),
            state,
            poll: flags.poll,
            is_final: flags.is_final,
            control_plane_independent: flags.control_plane_independent,
            demand: flags.demand,
            detect_mult,
            my_discriminator,
            your_discriminator,
            desired_min_tx: Interval(u32::from_be_bytes(*desired)),
            required_min_rx: Interval(u32::from_be_bytes(*required)),
            required_min_echo_rx: Interval(u32::from_be_bytes(*required_echo)),
        })
    }

    /// The payload of a UDP datagram.
    #[must_use]
    pub fn emit(&self) -> [u8; PACKET_LEN] {
        const LENGTH: u8 = PACKET_LEN as u8;
        let vers_diag = VERSION << 5 | self.diagnostic.to_bits();
        let sta_flags = self.state.to_bits() << 6
            | u8::from(self.poll) << 5
            | u8::from(self.is_final) << 4
            | u8::from(self.control_plane_independent) << 3
            | u8::from(self.demand) << 1;
        let words = [
            [vers_diag, sta_flags, self.detect_mult.get(), LENGTH],
            self.my_discriminator.get().to_be_bytes(),
            self.your_discriminator
                .map_or(0, Discriminator::get)
                .to_be_bytes(),
            self.desired_min_tx.0.to_be_bytes(),
            self.required_min_rx.0.to_be_bytes(),
            self.required_min_echo_rx.0.to_be_bytes(),
        ];
        let mut bytes = [0; PACKET_LEN];
        let (places, _) = bytes.as_chunks_mut::<4>();
        for (place, word) in places.iter_mut().zip(words) {
            *place = word;
        }
        bytes
    }
}

#[derive(Clone, Copy)]
struct Flags {
    poll: bool,
    is_final: bool,
    control_plane_independent: bool,
    authenticated: bool,
    demand: bool,
    multipoint: bool,
}

impl Flags {
    const fn from_bits(bits: u8) -> Self {
        Self {
            poll: bits & 0x20 != 0,
            is_final: bits & 0x10 != 0,
            control_plane_independent: bits & 0x08 != 0,
            authenticated: bits & 0x04 != 0,
            demand: bits & 0x02 != 0,
            multipoint: bits & 0x01 != 0,
        }
    }
}

fn check_header(version: u8, claimed: u8, flags: Flags, payload: usize) -> Result<(), Malformed> {
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let least = if flags.authenticated {
        AUTHENTICATED_LEN
    } else {
        PACKET_LEN as u8
    };
    if claimed < least {
        return Err(Malformed::LengthTooSmall { claimed, least });
    }
    if usize::from(claimed) > payload {
        return Err(Malformed::LengthTooLarge { claimed, payload });
    }
    Ok(())
}
