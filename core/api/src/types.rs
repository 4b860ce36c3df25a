//! The types of the API. They are not those of the model: each is turned into its own here, at the
//! border, so that either can change without the other.

pub(crate) mod bfd;
pub(crate) mod bgp;
pub(crate) mod choice;
pub(crate) mod event;
pub(crate) mod explain;
pub(crate) mod lan;
pub(crate) mod path;
pub(crate) mod policy;
pub(crate) mod reload;
pub(crate) mod route;
pub(crate) mod router;
pub(crate) mod site;
pub(crate) mod uplink;

use std::time::Duration;

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};

/// A whole number up to 2^53, which `Int` with its 32 bits cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BigInt(pub(crate) u64);

/// A whole number up to 2^53, which `Int` with its 32 bits cannot hold.
#[Scalar]
impl ScalarType for BigInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => match number.as_u64() {
                Some(number) => Ok(Self(number)),
                None => Err(InputValueError::custom("use a whole number from 0 on")),
            },
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}

impl From<usize> for BigInt {
    fn from(number: usize) -> Self {
        Self(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

/// An age or a long interval: whole milliseconds.
pub(crate) fn whole_ms(duration: Duration) -> BigInt {
    BigInt(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A latency: milliseconds to the microsecond, which is more than anybody can measure.
pub(crate) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A share in parts per thousand as per cent.
pub(crate) fn percent(permille: u16) -> f64 {
    f64::from(permille) / 10.0
}
