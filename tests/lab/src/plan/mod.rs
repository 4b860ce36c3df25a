//! Every name, interface and address of a lab, derived from its topology and nothing else.
//!
//! With *n* the number of a site, *u* of an uplink of that site, *i* of an ISP, *l* of a LAN of a
//! site and *h* of a host on it, all counted from 1 in the order of the file:
//!
//! | what | IPv4 | IPv6 |
//! |---|---|---|
//! | LAN *l* | 10.*n*.*l*-1.0/24 | fd00:*n*:*l*-1::/64 |
//! | on it: router, host *h* | .1, .10+*h* | ::1, ::10+*h* (decimal digits) |
//! | overlay address of the site | 10.255.0.*n* | fd00:ffff::*n* |
//! | uplink | 100.64+*i*.*n*.16*u*/28 | 2001:db8:*i*:*nnuu*::/64 (hexadecimal) |
//! | uplink behind NAT | 192.168.*n*.16*u*/28 | (none unless asked for) |
//! | on it: ISP, router | .1, .2 of that /28 | ::1, ::2 |
//! | ISP on the core of its underlay | 100.64.0.4*i*/30 | 2001:db8:0:*i*::/64 |
//! | on it: core, ISP | .1, .2 of that /30 | ::1, ::2 |
//! | a server in the core of underlay *k* | 203.0.113.*k* | 2001:db8:ffff::*k* |
//!
//! A DHCP uplink starts with the same addresses; each change of address moves it to the other one
//! of two networks (*n* and *n*+128 in the third byte) and to the next address in it.
//!
//! Nodes are named after sites (their routers), ISPs, `core-UNDERLAY`, `SITE-h1`..., `SITE-sw1`
//! (the switch of a LAN with several hosts) and `wan` (where the WAN emulator runs).
//! Routers have `wan1`... and `lan1`..., hosts `eth0`, ISPs `s`*n*`u`*u* and `core`.

mod addresses;
mod impairment;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use impairment::{Impairment, Profile};

use crate::topology::{Addressing, Role, Site, Topology, Uplink};

/// Everything that is known about a lab before it is up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The providers.
    pub isps: Vec<IspPlan>,
    /// The node in the middle of each underlay.
    pub cores: Vec<CorePlan>,
    /// The sites.
    pub sites: Vec<SitePlan>,
}

/// An ISP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IspPlan {
    /// Its number, from 1.
    pub number: u8,
    /// Its name, also that of its node.
    pub name: String,
    /// The underlay it belongs to.
    pub underlay: String,
    /// Its attachment to the core: IPv4, then IPv6. `gateway` is the core, `address` the ISP.
    /// The IPv4 address is what uplinks behind NAT look like from outside.
    pub core: Vec<Attachment>,
}

/// The middle of an underlay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CorePlan {
    /// Its node.
    pub node: String,
    /// Its underlay.
    pub underlay: String,
    /// Addresses of "a server in the Internet", which every uplink of the underlay reaches.
    pub servers: Vec<IpAddr>,
}

/// A site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SitePlan {
    /// Its number, from 1.
    pub number: u8,
    /// Its name, also that of its router's node.
    pub name: String,
    /// What it is among the sites.
    pub role: Role,
    /// An overlay address for it, IPv4 and IPv6; the lab does not configure them.
    pub overlay: Vec<IpAddr>,
    /// The networks behind it.
    pub lans: Vec<LanPlan>,
    /// The attachments of its router.
    pub uplinks: Vec<UplinkPlan>,
}

/// A network behind a router.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanPlan {
    /// The router's interface.
    pub interface: String,
    /// Prefixes with the router's address in them, IPv4 and IPv6.
    pub router: Vec<Inside>,
    /// The hosts.
    pub hosts: Vec<HostPlan>,
}

/// A host on a LAN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostPlan {
    /// Its node.
    pub node: String,
    /// Its only interface.
    pub interface: String,
    /// Its addresses, IPv4 and IPv6.
    pub addresses: Vec<Inside>,
}

/// An address and the network it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    /// The network.
    pub network: IpNet,
    /// The address.
    pub address: IpAddr,
}

/// An address, the network it is in, and the gateway at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network.
    pub network: IpNet,
    /// Our address.
    pub address: IpAddr,
    /// The address at the other end.
    pub gateway: IpAddr,
}

/// An attachment of a router to an ISP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UplinkPlan {
    /// Its number at the site, from 1.
    pub number: u8,
    /// Its name.
    pub name: String,
    /// The ISP.
    pub isp: String,
    /// The underlay of the ISP.
    pub underlay: String,
    /// The router's interface.
    pub interface: String,
    /// The ISP's interface. Also names the link: unique in the lab.
    pub link: String,
    /// How the router gets its IPv4 address.
    pub addressing: Addressing,
    /// Whether the ISP masquerades it.
    pub nat: bool,
    /// Whether there is no emulator in between.
    pub direct: bool,
    /// Largest packet in bytes.
    pub mtu: u16,
    /// IPv4, unless it has none. On DHCP: the first lease.
    pub ipv4: Option<Attachment>,
    /// IPv6, unless it has none. Always static.
    pub ipv6: Option<Attachment>,
    /// The address which others see: that of the ISP when it is behind NAT.
    pub public_ipv4: Option<IpAddr>,
    /// What the WAN emulator does to packets.
    pub profile: Profile,
}

impl Inside {
    /// `10.1.0.1/24`
    #[must_use]
    pub fn with_prefix(&self) -> String {
        format!("{}/{}", self.address, self.network.prefix_len())
    }
}

impl Attachment {
    /// `100.65.1.18/28`
    #[must_use]
    pub fn with_prefix(&self) -> String {
        format!("{}/{}", self.address, self.network.prefix_len())
    }

    /// `100.65.1.17/28`, the gateway with its prefix length.
    #[must_use]
    pub fn gateway_with_prefix(&self) -> String {
        format!("{}/{}", self.gateway, self.network.prefix_len())
    }
}

impl Plan {
    /// Derives all names and addresses.
    ///
    /// # Errors
    /// When the topology makes no sense, or an overridden network is too small.
    pub fn derive(topology: &Topology) -> Result<Self> {
        topology.check()?;
        let isps = topology
            .isps
            .iter()
            .zip(1u8..)
            .map(|(isp, number)| {
                Ok(IspPlan {
                    number,
                    name: isp.name.clone(),
                    underlay: isp.underlay.clone(),
                    core: addresses::core_link(number)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let sites = topology
            .sites
            .iter()
            .zip(1u8..)
            .map(|(site, number)| site_plan(site, number, &isps))
            .collect::<Result<Vec<_>>>()?;
        let plan = Self {
            cores: core_plans(&isps),
            isps,
            sites,
        };
        plan.check_nodes()?;
        Ok(plan)
    }

    /// Finds a site.
    ///
    /// # Errors
    /// When there is none of this name; lists those there are.
    pub fn site(&self, name: &str) -> Result<&SitePlan> {
        self.sites
            .iter()
            .find(|site| site.name == name)
            .with_context(|| {
                format!(
                    "there is no site {name:?}; there are: {}",
                    list(self.sites.iter().map(|s| &*s.name))
                )
            })
    }

    /// Finds an ISP.
    ///
    /// # Errors
    /// When there is none of this name; lists those there are.
    pub fn isp(&self, name: &str) -> Result<&IspPlan> {
        self.isps
            .iter()
            .find(|isp| isp.name == name)
            .with_context(|| {
                format!(
                    "there is no ISP {name:?}; there are: {}",
                    list(self.isps.iter().map(|i| &*i.name))
                )
            })
    }

    /// Finds an uplink.
    ///
    /// # Errors
    /// When there is no such site or uplink; lists those there are.
    pub fn uplink(&self, site: &str, uplink: &str) -> Result<&UplinkPlan> {
        self.site(site)?.uplink(uplink)
    }

    /// All uplinks with their sites.
    pub fn uplinks(&self) -> impl Iterator<Item = (&SitePlan, &UplinkPlan)> {
        self.sites
            .iter()
            .flat_map(|site| site.uplinks.iter().map(move |uplink| (site, uplink)))
    }

    /// The names of all nodes in the order in which they are made.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        let mut nodes = Vec::new();
        if self.uplinks().any(|(_, uplink)| !uplink.direct) {
            nodes.push(WAN_NODE.to_owned());
        }
        nodes.extend(self.cores.iter().map(|core| core.node.clone()));
        nodes.extend(self.isps.iter().map(|isp| isp.name.clone()));
        for site in &self.sites {
            nodes.push(site.name.clone());
            for lan in &site.lans {
                nodes.extend(lan.switch_node(site));
                nodes.extend(lan.hosts.iter().map(|host| host.node.clone()));
            }
        }
        nodes
    }

    fn check_nodes(&self) -> Result<()> {
        let mut nodes = self.nodes();
        nodes.sort();
        match nodes.windows(2).find(|pair| pair.first() == pair.last()) {
            Some(pair) => bail!(
                "two nodes would be named {:?}; rename a site or ISP",
                pair.first()
            ),
            None => Ok(()),
        }
    }
}

/// The node in which the WAN emulator runs.
pub const WAN_NODE: &str = "wan";

impl SitePlan {
    /// Finds an uplink.
    ///
    /// # Errors
    /// When there is none of this name; lists those there are.
    pub fn uplink(&self, name: &str) -> Result<&UplinkPlan> {
        self.uplinks
            .iter()
            .find(|uplink| uplink.name == name)
            .with_context(|| {
                let known = list(self.uplinks.iter().map(|uplink| &*uplink.name));
                format!("site {} has no uplink {name:?}; it has: {known}", self.name)
            })
    }

    /// All hosts of the site.
    pub fn hosts(&self) -> impl Iterator<Item = &HostPlan> {
        self.lans.iter().flat_map(|lan| &lan.hosts)
    }
}

impl LanPlan {
    /// The node of its switch; a LAN of one host has none.
    #[must_use]
    pub fn switch_node(&self, site: &SitePlan) -> Option<String> {
        let number = self.interface.trim_start_matches("lan");
        (self.hosts.len() > 1).then(|| format!("{}-sw{number}", site.name))
    }
}

impl HostPlan {
    /// Its IPv4 address.
    #[must_use]
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.addresses
            .iter()
            .find_map(|inside| match inside.address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.addresses
            .iter()
            .find_map(|inside| match inside.address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            })
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn core_plans(isps: &[IspPlan]) -> Vec<CorePlan> {
    let mut cores: Vec<CorePlan> = Vec::new();
    for isp in isps {
        if cores.iter().all(|core| core.underlay != isp.underlay) {
            let number = u8::try_from(cores.len() + 1).unwrap_or(u8::MAX);
            cores.push(CorePlan {
                node: format!("core-{}", isp.underlay),
                underlay: isp.underlay.clone(),
                servers: addresses::servers(number),
            });
        }
    }
    cores
}

fn site_plan(site: &Site, number: u8, isps: &[IspPlan]) -> Result<SitePlan> {
    let mut first_host = 1;
    let mut lans = Vec::new();
    for (lan, lan_number) in site.lans.iter().zip(1u8..) {
        lans.push(addresses::lan(
            &site.name, number, lan, lan_number, first_host,
        )?);
        first_host += lan.hosts;
    }
    let uplinks = site
        .uplinks
        .iter()
        .zip(1u8..)
        .map(|(uplink, uplink_number)| {
            uplink_plan(number, uplink, uplink_number, isps)
                .with_context(|| format!("site {}, uplink {}", site.name, uplink.name))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(SitePlan {
        number,
        name: site.name.clone(),
        role: site.role,
        overlay: addresses::overlay(number),
        lans,
        uplinks,
    })
}

fn uplink_plan(site: u8, uplink: &Uplink, number: u8, isps: &[IspPlan]) -> Result<UplinkPlan> {
    let isp = isps
        .iter()
        .find(|isp| isp.name == uplink.isp)
        .context("unknown ISP")?;
    let place = addresses::Place {
        site,
        uplink: number,
        isp: isp.number,
    };
    let ipv4 = if !uplink.ipv4 {
        None
    } else if let Some(network) = uplink.ipv4_network {
        Some(addresses::attachment(network.into())?)
    } else {
        Some(place.ipv4(uplink.nat, 0)?)
    };
    let ipv6 = match (uplink.has_ipv6(), uplink.ipv6_network) {
        (false, _) => None,
        (true, Some(network)) => Some(addresses::attachment(network.into())?),
        (true, None) => Some(place.ipv6()?),
    };
    let outside = isp
        .core
        .iter()
        .map(|core| core.address)
        .find(IpAddr::is_ipv4);
    Ok(UplinkPlan {
        number,
        name: uplink.name.clone(),
        isp: isp.name.clone(),
        underlay: isp.underlay.clone(),
        interface: format!("wan{number}"),
        link: format!("s{site}u{number}"),
        addressing: uplink.address,
        nat: uplink.nat,
        direct: uplink.direct,
        mtu: uplink.mtu,
        public_ipv4: if uplink.nat {
            outside
        } else {
            ipv4.map(|ipv4| ipv4.address)
        },
        ipv4,
        ipv6,
        profile: Profile::of(uplink),
    })
}

/// The addresses of a DHCP uplink after `generation` changes.
///
/// # Errors
/// When the uplink is unknown or has no IPv4.
pub(crate) fn lease(plan: &Plan, site: &str, uplink: &str, generation: u32) -> Result<Attachment> {
    let site = plan.site(site)?;
    let uplink = site.uplink(uplink)?;
    let isp = plan.isp(&uplink.isp)?.number;
    addresses::Place {
        site: site.number,
        uplink: uplink.number,
        isp,
    }
    .ipv4(uplink.nat, generation)
}

#[cfg(test)]
mod tests;
