//! Route netlink: one transport, one module for each kind of object.

pub(crate) mod address;
pub(crate) mod codec;
pub(crate) mod link;
pub(crate) mod nexthop;
pub(crate) mod route;
pub(crate) mod rule;
pub(crate) mod socket;

use patronus_model::kernel::Family;

pub(crate) use socket::Netlink;

/// `AF_INET` or `AF_INET6` as messages carry it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "address families are small numbers: 2 and 10"
)]
pub(crate) const fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    }
}

/// The family with a number.
pub(crate) const fn family_of_number(number: u8) -> Option<Family> {
    match number as i32 {
        libc::AF_INET => Some(Family::V4),
        libc::AF_INET6 => Some(Family::V6),
        _ => None,
    }
}
