//! Ranges of numbers that do not overlap, each with a value. What is claimed first stays.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use patronus_model::kernel::Family;

/// Disjoint ranges, by their first number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges<V>(BTreeMap<u128, (u128, V)>);

impl<V: Clone + PartialEq> Ranges<V> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Gives whatever of a range has no value yet this one.
    pub(super) fn claim(&mut self, first: u128, last: u128, value: &V) {
        let before = self.0.range(..=first).next_back();
        let mut next = match before {
            Some((_, (end, _))) if *end >= last => return,
            Some((_, (end, _))) if *end >= first => *end + 1,
            _ => first,
        };
        let taken: Vec<(u128, u128)> = self
            .0
            .range(next..=last)
            .map(|(start, (end, _))| (*start, *end))
            .collect();
        for (start, end) in taken {
            if next < start {
                self.0.insert(next, (start - 1, value.clone()));
            }
            if end >= last {
                return;
            }
            next = end + 1;
        }
        self.0.insert(next, (last, value.clone()));
    }

    /// The ranges in order, with adjacent ones of the same value joined.
    pub(super) fn joined(&self) -> Vec<(u128, u128, V)> {
        let mut list: Vec<(u128, u128, V)> = Vec::new();
        for (first, (last, value)) in &self.0 {
            match list.last_mut() {
                Some((_, end, same)) if *end + 1 == *first && same == value => *end = *last,
                _ => list.push((*first, *last, value.clone())),
            }
        }
        list
    }

    /// The value at a number.
    #[cfg(test)]
    pub(super) fn at(&self, number: u128) -> Option<&V> {
        let (_, (last, value)) = self.0.range(..=number).next_back()?;
        (number <= *last).then_some(value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Ranges<()> {
    /// The ranges of some prefixes of one family.
    pub(super) fn of_prefixes<'a>(
        prefixes: impl IntoIterator<Item = &'a IpNet>,
        family: Family,
    ) -> Self {
        let mut ranges = Self::new();
        for prefix in prefixes {
            if Family::of(prefix) == family {
                let (first, last) = span(prefix);
                ranges.claim(first, last, &());
            }
        }
        ranges
    }
}

/// An address as a number.
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The first and the last address of a prefix.
pub(super) fn span(prefix: &IpNet) -> (u128, u128) {
    (number(prefix.network()), number(prefix.broadcast()))
}

/// A range of addresses as nftables writes it: as a prefix where it is one.
pub(super) fn addresses(family: Family, first: u128, last: u128) -> String {
    let bits = match family {
        Family::V4 => 32u32,
        Family::V6 => 128,
    };
    let address = |number: u128| match family {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "IPv4 numbers were made from 32 bits"
        )]
        Family::V4 => IpAddr::V4(Ipv4Addr::from(number as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(number)),
    };
    let size = last - first;
    // The number of addresses is a power of two, and the first is a multiple of it.
    let is_prefix = size & size.wrapping_add(1) == 0 && first & size == 0;
    let host_bits = size.count_ones();
    match (is_prefix, host_bits) {
        (true, 0) => address(first).to_string(),
        (true, _) => format!("{}/{}", address(first), bits - host_bits),
        (false, _) => format!("{}-{}", address(first), address(last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_claim_decides(claims in prop::collection::vec((0u128..64, 0u128..64, 0u8..4), 0..20)) {
            let mut ranges = Ranges::new();
            for (a, b, value) in &claims {
                ranges.claim(*a.min(b), *a.max(b), value);
            }
            for number in 0..64 {
                let first = claims.iter().find(|(a, b, _)| (a.min(b)..=a.max(b)).contains(&&number));
                prop_assert_eq!(ranges.at(number), first.map(|(_, _, value)| value));
            }
            let joined = ranges.joined();
            for pair in joined.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0);
                prop_assert!(pair[0].1 + 1 < pair[1].0 || pair[0].2 != pair[1].2);
            }
        }
    }

    #[test]
    fn ranges_are_written_as_prefixes_where_they_are() {
        let check = |prefixes: &[&str], family, expected: &[&str]| {
            let nets: Vec<IpNet> = prefixes.iter().map(|p| p.parse().unwrap()).collect();
            let ranges = Ranges::of_prefixes(&nets, family).joined();
            let written: Vec<String> = ranges
                .iter()
                .map(|(first, last, ())| addresses(family, *first, *last))
                .collect();
            assert_eq!(written, expected);
        };
        check(&["10.0.0.0/9", "10.128.0.0/9"], Family::V4, &["10.0.0.0/8"]);
        check(&["0.0.0.0/0", "::/0"], Family::V4, &["0.0.0.0/0"]);
        check(&["::/0"], Family::V6, &["::/0"]);
        check(
            &["10.0.0.1/32", "10.0.0.2/32"],
            Family::V4,
            &["10.0.0.1-10.0.0.2"],
        );
        check(
            &["fd00::1/128", "fd00:1::/32"],
            Family::V6,
            &["fd00::1", "fd00:1::/32"],
        );
    }
}
