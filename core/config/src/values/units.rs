//! Numbers with units.

use std::time::Duration;

use crate::read::{Fault, Read, Scalar};
use crate::shape::{Form, ScalarShape, Shape};
use crate::tree::{Kind, Node, Taken, Word};
use crate::{diagnostic::Sink, place::Place};

/// Splits `94.5 Mbit/s` into its number and its unit.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    (number, unit.trim())
}

/// A decimal number times a whole factor, where the product is whole; no floating point, so that
/// `0.3 s` is 300 ms exactly.
fn product(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || fraction.len() > 9 {
        return None;
    }
    let scale = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    let product = u128::from(digits) * u128::from(factor);
    let scale = u128::from(scale);
    if product % scale != 0 {
        return None;
    }
    u64::try_from(product / scale).ok()
}

/// A duration from `MIN` to `MAX` milliseconds, in steps of `STEP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span<const MIN: u64, const MAX: u64, const STEP: u64>(pub(crate) Duration);

impl<const MIN: u64, const MAX: u64, const STEP: u64> Span<MIN, MAX, STEP> {
    /// Whole seconds.
    pub(crate) fn seconds(self) -> u16 {
        u16::try_from(self.0.as_secs()).unwrap_or(u16::MAX)
    }

    fn odd() -> Fault {
        Self::fault("is not a duration", "write it like 300ms, 3s, 2m or 1h; ")
    }

    /// Whether so many milliseconds are one of these.
    fn holds(millis: u64) -> bool {
        (MIN..=MAX).contains(&millis) && millis.is_multiple_of(STEP)
    }

    /// What a number without a unit may mean: only what would be valid is worth a try.
    fn without_unit(number: &str) -> Fault {
        let likely = [("s", 1000), ("ms", 1), ("m", 60_000), ("h", 3_600_000)];
        let valid = likely
            .into_iter()
            .filter(|(_, factor)| product(number, *factor).is_some_and(Self::holds));
        let meant: Vec<String> = valid
            .take(2)
            .map(|(unit, _)| format!("{number}{unit}"))
            .collect();
        let help = match meant.is_empty() {
            true => "write it like 300ms, 3s, 2m or 1h; ".to_owned(),
            false => format!("write {}; ", meant.join(" or ")),
        };
        Self::fault("has no unit", &help)
    }

    fn fault(problem: &str, help: &str) -> Fault {
        Fault::new(
            problem,
            format!("{help}{}", <Self as Scalar>::SHAPE.valid()),
        )
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> Scalar for Span<MIN, MAX, STEP> {
    const SHAPE: ScalarShape =
        ScalarShape::new("a duration", "", &[Form::Duration(MIN, MAX, STEP)]);

    fn parse(word: &Word) -> Result<Self, Fault> {
        let (number, unit) = split(&word.text);
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "" if !number.is_empty() => return Err(Self::without_unit(number)),
            _ => return Err(Self::odd()),
        };
        let millis = product(number, factor).ok_or_else(Self::odd)?;
        if !Self::holds(millis) {
            return Err(Self::fault("is out of range", ""));
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

/// The least and the most. No interface is faster, and a slip of units is caught.
const LEAST_BITS: u64 = 1000;
const MOST_BITS: u64 = 10_000_000_000_000;

/// Bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bandwidth(pub(crate) u64);

impl Scalar for Bandwidth {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a bandwidth",
        "write it like 94 Mbit/s, 512 kbit/s or 1 Gbit/s, or as a number of bits per second",
        &[
            Form::Text(r"^[0-9]+(\.[0-9]+)? *([kKMGT]?(bit/s|bit|bps))$"),
            Form::Integer(LEAST_BITS, MOST_BITS),
        ],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let (number, unit) = split(&word.text);
        let prefix = ["bit/s", "bps", "bit"]
            .iter()
            .find_map(|u| unit.strip_suffix(u));
        let factor = match (prefix, unit) {
            (Some(""), _) | (None, "") => 1,
            (Some("k" | "K"), _) => 1000,
            (Some("M"), _) => 1_000_000,
            (Some("G"), _) => 1_000_000_000,
            (Some("T"), _) => 1_000_000_000_000,
            _ => return Err(Fault::not::<Self>()),
        };
        if unit.is_empty() && !word.plain {
            return Err(Fault::not::<Self>());
        }
        let valid = |bits| (LEAST_BITS..=MOST_BITS).contains(&bits);
        let bits = product(number, factor).ok_or_else(Fault::not::<Self>)?;
        if !valid(bits) {
            let millions = product(number, 1_000_000).is_some_and(valid);
            let help = match unit {
                "" if millions => format!("write {number} Mbit/s if megabits per second are meant"),
                _ => "use 1 kbit/s to 10 Tbit/s".to_owned(),
            };
            return Err(Fault::new("is out of range", help));
        }
        Ok(Self(bits))
    }
}

/// A share, in parts per thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Percent(pub(crate) u16);

impl Scalar for Percent {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a percentage",
        "use 0.1 % to 100 % in steps of 0.1 %, for example 2.5 %",
        &[Form::Text(r"^[0-9]+(\.[0-9])? *%$")],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let (number, unit) = split(&word.text);
        match unit {
            "%" => {}
            "" if !number.is_empty() => {}
            _ => return Err(Fault::not::<Self>()),
        }
        let permille = product(number, 10).and_then(|n| u16::try_from(n).ok());
        let permille = permille.filter(|n| (1..=1000).contains(n));
        match permille.map(Self) {
            Some(_) if unit.is_empty() => {
                Err(Fault::new("has no unit", format!("write {number} %")))
            }
            Some(percent) => Ok(percent),
            None => Err(Fault::not::<Self>()),
        }
    }
}

/// A value, or `off`.
#[derive(Clone)]
pub(crate) enum Switch<T> {
    Off,
    On(T),
}

impl<T> Switch<T> {
    pub(crate) fn into_option(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

const OFF: ScalarShape = ScalarShape::new("off", "", &[Form::Words(&["off"]), Form::False]);

impl<T: Read> Read for Switch<T> {
    const SHAPE: &'static Shape = &Shape::Either(T::SHAPE, &Shape::Scalar(&OFF));

    fn read(node: &Node, place: &Place, sink: &mut Sink) -> Option<Self> {
        if let Kind::Scalar(word) = &node.kind
            && (word.text == "off" || word.taken() == Taken::Truth(false))
        {
            return Some(Self::Off);
        }
        let before = sink.count();
        let read = T::read(node, place, sink);
        if read.is_none() && matches!(node.kind, Kind::Scalar(_)) {
            sink.or_valid(before, ", or off");
        }
        read.map(Self::On)
    }
}

impl Scalar for bool {
    const SHAPE: ScalarShape = ScalarShape::new("true or false", "", &[Form::Truth]);

    fn parse(word: &Word) -> Result<Self, Fault> {
        match word.taken() {
            Taken::Truth(truth) => Ok(truth),
            Taken::Null | Taken::Number | Taken::Text => {
                let help = match word.text.to_lowercase().as_str() {
                    "yes" | "on" | "y" => "write true; YAML 1.2 knows no other word for it",
                    "no" | "off" | "n" => "write false; YAML 1.2 knows no other word for it",
                    _ => return Err(Fault::not::<Self>()),
                };
                Err(Fault::new("is not true or false", help))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            plain: true,
        }
    }

    #[test]
    fn durations_are_exact() {
        type Any = Span<0, 86_400_000, 1>;
        for (text, millis) in [
            ("300ms", 300),
            ("0.3 s", 300),
            ("3s", 3000),
            ("2m", 120_000),
            ("1.5h", 5_400_000),
        ] {
            let span = Any::parse(&word(text)).ok();
            assert_eq!(span, Some(Span(Duration::from_millis(millis))), "{text}");
        }
        for text in [
            "", "s", "3", "3 days", "-3s", "3.s", ".3s", "0.0001s", "1e3s", "25h", "3..0s",
        ] {
            assert!(Any::parse(&word(text)).is_err(), "{text}");
        }
        let huge = format!("{}s", "9".repeat(40));
        assert!(Any::parse(&word(&huge)).is_err());
    }

    #[test]
    fn what_is_proposed_for_a_number_without_a_unit_is_valid() {
        fn help<T: Scalar>(text: &str) -> String {
            let fault = T::parse(&word(text)).err().unwrap();
            fault.help
        }
        type Interval = Span<10, 60_000, 1>;
        type Hold = Span<3_000, 65_535_000, 1_000>;
        assert!(help::<Interval>("100").starts_with("write 100ms; "));
        assert!(help::<Interval>("20").starts_with("write 20s or 20ms; "));
        assert!(help::<Interval>("0").starts_with("write it like "));
        assert!(help::<Hold>("9").starts_with("write 9s or 9m; "));
        assert!(help::<Hold>("9000").starts_with("write 9000s or 9000ms; "));
        assert!(help::<Bandwidth>("94").starts_with("write 94 Mbit/s "));
        assert_eq!(help::<Bandwidth>("0"), "use 1 kbit/s to 10 Tbit/s");
        assert_eq!(help::<Percent>("5"), "write 5 %");
        assert!(help::<Percent>("500").starts_with("use 0.1 %"));
    }

    #[test]
    fn bandwidths_are_bits_per_second() {
        for (text, bits) in [
            ("94 Mbit/s", 94_000_000),
            ("1Gbit/s", 1_000_000_000),
            ("2.5Gbps", 2_500_000_000),
            ("512 kbit", 512_000),
            ("10000000", 10_000_000),
        ] {
            assert_eq!(
                Bandwidth::parse(&word(text)).ok(),
                Some(Bandwidth(bits)),
                "{text}"
            );
        }
        for text in [
            "0",
            "94",
            "94 MB/s",
            "fast",
            "1 bit/s",
            "20 Tbit/s",
            "0.0000001 Mbit/s",
        ] {
            assert!(Bandwidth::parse(&word(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_have_one_decimal() {
        for (text, permille) in [("5 %", 50), ("0.1%", 1), ("100 %", 1000)] {
            assert_eq!(
                Percent::parse(&word(text)).ok(),
                Some(Percent(permille)),
                "{text}"
            );
        }
        for text in ["0 %", "101 %", "5", "0.05 %", "%"] {
            assert!(Percent::parse(&word(text)).is_err(), "{text}");
        }
    }
}
