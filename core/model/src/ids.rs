//! Names and numbers of things. All are parsed once, at the border, and trusted afterwards.

use std::fmt;
use std::str::FromStr;

/// A text that does not name anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not a label.
    #[error(
        "{0:?} is not a name: use 1 to 63 lower-case letters, digits and inner hyphens, \
         beginning with a letter or digit, for example \"fibre-1\""
    )]
    Label(String),
    /// Not an interface name.
    #[error(
        "{0:?} is not an interface name: use 1 to 15 characters without blanks, '/', ':' or '%'"
    )]
    Interface(String),
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// A DNS label (RFC 1123): 1 to 63 lower-case letters, digits and inner hyphens.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if is_label(text) { Ok(Self(text.into())) } else { Err(InvalidName::Label(text.into())) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

label!(
    /// Identifies a site for ever; its display name may change, this may not.
    SiteId
);
label!(
    /// Names an uplink within its site.
    UplinkName
);
label!(
    /// Names an underlay: uplinks on the same underlay reach each other.
    UnderlayName
);
label!(
    /// Names a traffic class.
    ClassName
);
label!(
    /// Names a policy.
    PolicyName
);

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&bytes.len())
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|b| plain(b) || *b == b'-')
}

/// The name of a network interface (`IFNAMSIZ` minus its NUL, and what the kernel's
/// `dev_valid_name` refuses).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(Box<str>);

impl IfName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IfName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let good = (1..=15).contains(&text.len())
            && text != "."
            && text != ".."
            && text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%'));
        if good {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::Interface(text.into()))
        }
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A number out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not a {what}: use {min} to {max}")]
pub struct OutOfRange {
    /// What the number should have been.
    pub what: &'static str,
    /// The number.
    pub value: u64,
    /// The least valid number.
    pub min: u64,
    /// The greatest valid number.
    pub max: u64,
}

macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident($int:ty, $min:literal..=$max:literal, $what:literal)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($int);

        impl $name {
            /// The least valid value.
            pub const MIN: $int = $min;
            /// The greatest valid value.
            pub const MAX: $int = $max;

            /// Parses a number.
            ///
            /// # Errors
            /// [`OutOfRange`] outside of `MIN..=MAX`.
            pub const fn new(value: $int) -> Result<Self, OutOfRange> {
                if matches!(value, $min..=$max) {
                    Ok(Self(value))
                } else {
                    Err(OutOfRange { what: $what, value: value as u64, min: $min, max: $max })
                }
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> $int {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

ranged!(
    /// The host part of a site's IPv4 overlay address: what kernel objects that belong to a site
    /// are numbered by. Unique because overlay addresses are, and as lasting as they are.
    SiteNumber(u16, 1..=65534, "site number")
);
ranged!(
    /// Which of a site's uplinks, as the other sites know it: tunnels are made for pairs of slots,
    /// so their number does not grow with the number of sites.
    Slot(u8, 1..=8, "slot")
);
ranged!(
    /// A traffic class as packets carry it in their mark.
    ClassId(u8, 1..=127, "class id")
);
ranged!(
    /// A differentiated services code point (RFC 2474).
    Dscp(u8, 0..=63, "DSCP")
);

/// One way to a remote site: out of one of our uplinks, to one of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId {
    /// The site at the far end.
    pub site: SiteNumber,
    /// Our uplink.
    pub local: Slot,
    /// Their uplink.
    pub remote: Slot,
}

impl fmt::Display for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-{}", self.site, self.local, self.remote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "fibre-1", "0", &"x".repeat(63)] {
            assert_eq!(good.parse::<SiteId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "Fibre",
            "a b",
            "é",
            &"x".repeat(64),
            "a.b",
            "a\n",
        ] {
            assert!(bad.parse::<SiteId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn interface_names_are_what_the_kernel_takes() {
        for good in ["lo", "enp1s0f0np0", "wan0.100", "pat-8-8-65534"] {
            assert!(good.parse::<IfName>().is_ok(), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "sixteencharacter",
            "eth0:1",
            "a%d",
        ] {
            assert!(bad.parse::<IfName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_outside_their_range_say_what_is_valid() {
        assert_eq!(
            ClassId::new(128).unwrap_err().to_string(),
            "128 is not a class id: use 1 to 127"
        );
        assert_eq!(Slot::new(8).unwrap().get(), 8);
    }
}
