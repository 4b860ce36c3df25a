//! Comparing sorted maps in one walk over both.

use std::collections::BTreeMap;

/// What two maps have under a key: the left's value, the right's, or both.
pub(crate) type Pair<'a, K, V> = (&'a K, Option<&'a V>, Option<&'a V>);

/// The keys of both maps in order, each with its values.
pub(crate) fn joined<'a, K: Ord, V>(
    left: &'a BTreeMap<K, V>,
    right: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = Pair<'a, K, V>> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            // Most are equal, and finding that takes a fraction of finding an order.
            (Some((a, _)), Some((b, _))) if a == b => std::cmp::Ordering::Equal,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return None,
        };
        let a = if order.is_le() { left.next() } else { None };
        let b = if order.is_ge() { right.next() } else { None };
        let (key, _) = a.or(b)?;
        Some((key, a.map(|(_, value)| value), b.map(|(_, value)| value)))
    })
}

/// The keys whose values differ, or that only one of the maps has.
pub(crate) fn differing<'a, K: Ord, V: PartialEq>(
    left: &'a BTreeMap<K, V>,
    right: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    joined(left, right)
        .filter(|(_, left, right)| left != right)
        .map(|(key, ..)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_either_side_are_met_once_and_in_order() {
        let map = |pairs: &[(u8, char)]| pairs.iter().copied().collect::<BTreeMap<_, _>>();
        let (left, right) = (
            map(&[(1, 'a'), (2, 'b'), (4, 'd')]),
            map(&[(0, 'z'), (2, 'b'), (4, 'x'), (9, 'y')]),
        );
        let met: Vec<_> = joined(&left, &right)
            .map(|(key, a, b)| (*key, a.copied(), b.copied()))
            .collect();
        assert_eq!(
            met,
            [
                (0, None, Some('z')),
                (1, Some('a'), None),
                (2, Some('b'), Some('b')),
                (4, Some('d'), Some('x')),
                (9, None, Some('y')),
            ]
        );
        assert!(differing(&left, &right).eq(&[0, 1, 4, 9]));
        assert_eq!(differing(&left, &left).count(), 0);
    }
}
