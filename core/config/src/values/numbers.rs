//! Numbers within a range.

use patronus_model::bgp::Asn;
use patronus_model::ids::{ClassId, Slot};
use patronus_model::layout::HubIndex;

use crate::read::{Fault, Scalar, integer};
use crate::shape::{Form, ScalarShape};
use crate::tree::{Taken, Word};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u32, const MAX: u32>(pub(crate) u32);

impl<const MIN: u32, const MAX: u32> Scalar for Count<MIN, MAX> {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a whole number",
        "",
        &[Form::Integer(MIN as u64, MAX as u64)],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let number = whole::<Self>(word)?;
        let number = u32::try_from(number)
            .ok()
            .filter(|n| (MIN..=MAX).contains(n));
        number
            .map(Self)
            .ok_or_else(|| Fault::new("is out of range", Self::SHAPE.valid()))
    }
}

/// The whole number, or why the word is not a `T`.
fn whole<T: Scalar>(word: &Word) -> Result<u64, Fault> {
    if let Some(number) = word.as_integer() {
        return Ok(number);
    }
    if !word.plain && integer(&word.text).is_some() {
        return Err(Fault::new(
            "is text to YAML, where a number is meant",
            "remove the quotes",
        ));
    }
    let digits = word.text.strip_prefix('-').unwrap_or(&word.text);
    // Below zero, or more digits than any number has that is meant.
    if word.taken() == Taken::Number && digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(Fault::new("is out of range", T::SHAPE.valid()));
    }
    Err(Fault::not::<T>())
}

macro_rules! ranged {
    ($($name:ident($int:ty, $min:literal..=$max:literal), $title:literal;)+) => { $(
        impl Scalar for $name {
            const SHAPE: ScalarShape =
                ScalarShape::new($title, "", &[Form::Integer($min, $max)]);

            fn parse(word: &Word) -> Result<Self, Fault> {
                let number = <$int>::try_from(whole::<Self>(word)?).ok();
                number.and_then(|n| Self::new(n).ok()).ok_or_else(Fault::not::<Self>)
            }
        }
    )+ };
}

ranged!(
    Slot(u8, 1..=8), "a slot";
    ClassId(u8, 1..=127), "a class id";
    HubIndex(u8, 1..=7), "a hub number";
);

impl Scalar for Asn {
    const SHAPE: ScalarShape = ScalarShape::new(
        "an ASN",
        "use 1 to 4294967294 except 23456 and 65535, for example 64512 to 65534 or 4200000000 to \
         4294967294, which are private",
        &[Form::Integer(1, 4_294_967_294)],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let number = u32::try_from(whole::<Self>(word)?).map_err(|_| Fault::not::<Self>())?;
        Self::new(number).map_err(|_| match number {
            23_456 | 65_535 => Fault::new("is a reserved ASN", Self::SHAPE.help),
            _ => Fault::not::<Self>(),
        })
    }
}

/// The version of the file format.
pub(crate) struct Version;

impl Scalar for Version {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a version that this Patronus reads",
        "use 1",
        &[Form::Integer(1, 1)],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        match whole::<Self>(word)? {
            1 => Ok(Self),
            _ => Err(Fault::not::<Self>()),
        }
    }
}

/// Adjacent bits of a packet mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask(pub(crate) u32);

impl Scalar for Mask {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a mask of adjacent bits",
        "use a 32-bit number whose bits are adjacent, like 0x00ff0000",
        &[
            Form::Integer(1, u32::MAX as u64),
            Form::Text("^0x[0-9A-Fa-f]{1,8}$"),
        ],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let mask = integer(&word.text).and_then(|n| u32::try_from(n).ok());
        let mask = mask.ok_or_else(Fault::not::<Self>)?;
        let run = mask.checked_shr(mask.trailing_zeros()).unwrap_or(0);
        if run == 0
            || run
                .checked_add(1)
                .is_some_and(|next| !next.is_power_of_two())
        {
            return Err(Fault::not::<Self>());
        }
        Ok(Self(mask))
    }
}

/// The number that marks routes as ours (`rtm_protocol`).
#[derive(Clone, Copy)]
pub(crate) struct RouteProtocol(pub(crate) u8);

impl RouteProtocol {
    /// Who else marks routes: iproute2's `rt_protos`, and FRR's `zebra/rt_netlink.h` for 193 to 198.
    const TAKEN: [u8; 26] = [
        8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 42, 84, 99, 186, 187, 188, 189, 192, 193, 194,
        195, 196, 197, 198, 199,
    ];
}

impl Scalar for RouteProtocol {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a free route protocol number",
        "use 5 to 255, but none of /etc/iproute2/rt_protos; 80 is free",
        &[Form::Integer(5, 255)],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let number = u8::try_from(whole::<Self>(word)?).map_err(|_| Fault::not::<Self>())?;
        if number < 5 || Self::TAKEN.contains(&number) {
            return Err(Fault::new(
                "is the protocol number of others",
                Self::SHAPE.help,
            ));
        }
        Ok(Self(number))
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
    fn masks_are_runs_of_bits() {
        for (text, mask) in [("0x7f", 0x7f), ("128", 128), ("0xff000000", 0xff00_0000)] {
            assert_eq!(Mask::parse(&word(text)).ok(), Some(Mask(mask)), "{text}");
        }
        assert_eq!(Mask::parse(&word("0xffffffff")).ok(), Some(Mask(u32::MAX)));
        for text in ["0", "5", "0x101", "0x1ffffffff", "x", "-1"] {
            assert!(Mask::parse(&word(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_read_as_yaml_does() {
        type Byte = Count<1, 255>;
        for (text, number) in [("1", 1), ("0x10", 16), ("0o17", 15), ("255", 255)] {
            assert_eq!(Byte::parse(&word(text)).ok(), Some(Count(number)), "{text}");
        }
        for text in [
            "0",
            "256",
            "-1",
            "1.0",
            "1e1",
            "one",
            "99999999999999999999",
            "",
        ] {
            assert!(Byte::parse(&word(text)).is_err(), "{text}");
        }
    }
}
