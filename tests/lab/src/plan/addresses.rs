//! The arithmetic behind the table in the documentation of [`crate::plan`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Attachment, HostPlan, Inside, LanPlan};
use crate::topology::Lan;

/// Which uplink of which site at which ISP.
pub(super) struct Place {
    pub(super) site: u8,
    pub(super) uplink: u8,
    pub(super) isp: u8,
}

/// Addresses 2 to 14 of a /28 can be leased.
const LEASES_PER_NETWORK: u32 = 13;

impl Place {
    pub(super) fn ipv4(&self, nat: bool, generation: u32) -> Result<Attachment> {
        // Two networks in turn, and in each the next address at every turn.
        let third = if generation.is_multiple_of(2) {
            self.site
        } else {
            self.site + 128
        };
        let host = 2 + (generation / 2) % LEASES_PER_NETWORK;
        let fourth = self.uplink * 16;
        let base = if nat {
            Ipv4Addr::new(192, 168, third, fourth)
        } else {
            Ipv4Addr::new(100, 64 + self.isp, third, fourth)
        };
        let network = Ipv4Net::new(base, 28)?;
        Ok(Attachment {
            network: network.into(),
            gateway: nth(network.into(), 1)?,
            address: nth(network.into(), host.into())?,
        })
    }

    pub(super) fn ipv6(&self) -> Result<Attachment> {
        let fourth = u16::from(self.site) << 8 | u16::from(self.uplink);
        let base = Ipv6Addr::new(0x2001, 0xdb8, self.isp.into(), fourth, 0, 0, 0, 0);
        attachment(Ipv6Net::new(base, 64)?.into())
    }
}

/// The `index`-th address of a network.
fn nth(network: IpNet, index: u128) -> Result<IpAddr> {
    let address = match network.network() {
        IpAddr::V4(base) => {
            let index = u32::try_from(index).ok();
            let bits = index.and_then(|index| u32::from(base).checked_add(index));
            bits.map(|bits| IpAddr::from(Ipv4Addr::from(bits)))
        }
        IpAddr::V6(base) => {
            let bits = u128::from(base).checked_add(index);
            bits.map(|bits| IpAddr::from(Ipv6Addr::from(bits)))
        }
    };
    let inside = address.filter(|address| network.contains(address));
    inside.with_context(|| format!("{network} is too small for {} addresses", index + 1))
}

/// The first address is the ISP's, the second the router's.
pub(super) fn attachment(network: IpNet) -> Result<Attachment> {
    let network = network.trunc();
    Ok(Attachment {
        network,
        gateway: nth(network, 1)?,
        address: nth(network, 2)?,
    })
}

pub(super) fn core_link(isp: u8) -> Result<Vec<Attachment>> {
    let ipv4 = Ipv4Net::new(Ipv4Addr::new(100, 64, 0, isp * 4), 30)?;
    let ipv6 = Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, 0, isp.into(), 0, 0, 0, 0), 64)?;
    Ok(vec![attachment(ipv4.into())?, attachment(ipv6.into())?])
}

pub(super) fn servers(core: u8) -> Vec<IpAddr> {
    let ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, core.into());
    vec![Ipv4Addr::new(203, 0, 113, core).into(), ipv6.into()]
}

pub(super) fn overlay(site: u8) -> Vec<IpAddr> {
    let ipv6 = Ipv6Addr::new(0xfd00, 0xffff, 0, 0, 0, 0, 0, site.into());
    vec![Ipv4Addr::new(10, 255, 0, site).into(), ipv6.into()]
}

pub(super) fn lan(
    site: &str,
    site_number: u8,
    lan: &Lan,
    number: u8,
    first_host: usize,
) -> Result<LanPlan> {
    let third = number - 1;
    let ipv4 = match lan.ipv4 {
        Some(network) => network,
        None => Ipv4Net::new(Ipv4Addr::new(10, site_number, third, 0), 24)?,
    };
    let ipv6 = match lan.ipv6 {
        Some(network) => network,
        None => {
            let base = Ipv6Addr::new(0xfd00, site_number.into(), third.into(), 0, 0, 0, 0, 0);
            Ipv6Net::new(base, 64)?
        }
    };
    let (ipv4, ipv6) = (IpNet::from(ipv4.trunc()), IpNet::from(ipv6.trunc()));
    let inside = |network, index| -> Result<Inside> {
        Ok(Inside {
            network,
            address: nth(network, index)?,
        })
    };
    let hosts = (0..lan.hosts)
        .map(|index| {
            let host = index as u128 + 11;
            // Written in decimal digits, so that ::11 goes with .11.
            let digits = u128::from_str_radix(&host.to_string(), 16)?;
            Ok(HostPlan {
                node: format!("{site}-h{}", first_host + index),
                interface: "eth0".to_owned(),
                addresses: vec![inside(ipv4, host)?, inside(ipv6, digits)?],
            })
        })
        .collect::<Result<Vec<_>>>()
        .with_context(|| format!("site {site}, LAN {number}"))?;
    Ok(LanPlan {
        interface: format!("lan{number}"),
        router: vec![inside(ipv4, 1)?, inside(ipv6, 1)?],
        hosts,
    })
}
