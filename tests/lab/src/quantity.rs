//! Times, losses and rates as people write them: `80ms`, `3%`, `100mbit`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// A span of time: `80ms`, `1.5s`, `250us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// A share of the packets in parts per million: `3%`, `0.05%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Loss {
    parts_per_million: u32,
}

/// Bits per second: `100mbit`, `1.5gbit`, `64kbit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    bits_per_second: u64,
}

impl Span {
    /// That many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl Loss {
    /// That many percent, at most 100.
    #[must_use]
    pub fn percent(percent: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=1,000,000"
        )]
        let parts_per_million = (percent * 10_000.0).round().clamp(0.0, 1_000_000.0) as u32;
        Self { parts_per_million }
    }

    /// Parts per million.
    #[must_use]
    pub const fn parts_per_million(self) -> u32 {
        self.parts_per_million
    }
}

impl Rate {
    /// That many bits per second.
    #[must_use]
    pub const fn bits(bits_per_second: u64) -> Self {
        Self { bits_per_second }
    }

    /// Bits per second.
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        self.bits_per_second
    }
}

/// Splits `80ms` into 80 and `ms`.
fn split(text: &str) -> Result<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    let number = number
        .parse()
        .with_context(|| format!("{text:?} starts with no number"))?;
    Ok((number, unit.trim()))
}

impl FromStr for Span {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, unit) = split(text)?;
        let seconds = match unit {
            "us" => number / 1e6,
            "ms" => number / 1e3,
            "s" => number,
            "" if number == 0.0 => 0.0,
            _ => bail!("{text:?} is no time: write it like 80ms, 1.5s or 250us"),
        };
        Ok(Self(Duration::try_from_secs_f64(seconds)?))
    }
}

impl FromStr for Loss {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match split(text)? {
            (number, "%") if number <= 100.0 => Ok(Self::percent(number)),
            (0.0, "") => Ok(Self::default()),
            _ => bail!("{text:?} is no loss: write it like 3% or 0.05%, at most 100%"),
        }
    }
}

impl FromStr for Rate {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "bit" => 1.0,
            "kbit" => 1e3,
            "mbit" => 1e6,
            "gbit" => 1e9,
            _ => bail!("{text:?} is no rate: write it like 64kbit, 100mbit or 1.5gbit"),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float to integer cast saturates, and the number has no sign"
        )]
        let bits_per_second = (number * factor).round() as u64;
        if bits_per_second == 0 {
            bail!("a rate of {text:?} lets nothing pass; leave it out for no limit");
        }
        Ok(Self { bits_per_second })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros.is_multiple_of(1_000_000) && micros > 0 {
            write!(f, "{}s", micros / 1_000_000)
        } else if micros.is_multiple_of(1000) {
            write!(f, "{}ms", micros / 1000)
        } else {
            write!(f, "{micros}us")
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.parts_per_million) / 10_000.0)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits_per_second;
        for (factor, unit) in [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1000, "kbit")] {
            if bits.is_multiple_of(factor) {
                return write!(f, "{}{unit}", bits / factor);
            }
        }
        write!(f, "{bits}bit")
    }
}

macro_rules! serde_as_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse().map_err(|error: anyhow::Error| format!("{error:#}"))
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )*};
}
serde_as_text!(Span, Loss, Rate);

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: FromStr<Err = anyhow::Error> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            assert_eq!(text.parse::<T>().unwrap().to_string(), *text);
        }
    }

    #[test]
    fn quantities_are_written_as_they_are_read() {
        round_trip::<Span>(&["80ms", "2s", "250us", "1500ms", "0ms"]);
        round_trip::<Loss>(&["3%", "0.05%", "100%", "0%"]);
        round_trip::<Rate>(&["100mbit", "1500mbit", "64kbit", "2gbit", "7bit"]);
    }

    #[test]
    fn a_wrong_quantity_says_how_to_write_it() {
        for (error, hint) in [
            ("80".parse::<Span>().map(drop), "80ms"),
            ("101%".parse::<Loss>().map(drop), "at most 100%"),
            ("10".parse::<Rate>().map(drop), "100mbit"),
            ("-1ms".parse::<Span>().map(drop), "no number"),
        ] {
            let message = format!("{:#}", error.unwrap_err());
            assert!(message.contains(hint), "{message}");
        }
    }
}
