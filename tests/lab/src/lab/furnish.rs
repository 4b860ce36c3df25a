//! Addresses, routes and sysctls of each node.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use ipnet::IpNet;

use crate::node::Node;
use crate::plan::{Attachment, CorePlan, IspPlan, LanPlan, Plan, SitePlan, UplinkPlan, WAN_NODE};
use crate::topology::Addressing;
use crate::wan;

/// What one node needs.
#[derive(Default)]
pub(super) struct Furniture {
    sysctls: Vec<(&'static str, &'static str)>,
    /// Commands for `ip -batch`.
    batch: String,
    /// Interfaces whose packets the emulator reads.
    plain: Vec<String>,
}

/// Addresses are usable at once, and nobody advertises routes here.
const IPV6_AT_ONCE: [(&str, &str); 4] = [
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.all.accept_ra", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
];

/// Nodes which only carry frames say nothing themselves.
const SILENT: [(&str, &str); 2] = [
    ("net.ipv6.conf.all.disable_ipv6", "1"),
    ("net.ipv6.conf.default.disable_ipv6", "1"),
];

const FORWARDING: [(&str, &str); 2] = [
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
];

/// First metric of the default routes of the uplinks: like those of a DHCP client, they lose
/// against whatever an SD-WAN daemon installs.
const DEFAULT_ROUTE_METRIC: u32 = 1000;

/// The metric of an uplink's default route.
pub(super) fn metric(uplink: &UplinkPlan) -> u32 {
    DEFAULT_ROUTE_METRIC + u32::from(uplink.number)
}

/// What each node of a plan needs, by its name.
pub(super) fn furniture(plan: &Plan) -> Result<BTreeMap<String, Furniture>> {
    let mut all: BTreeMap<String, Furniture> = BTreeMap::new();
    for name in plan.nodes() {
        let silent = name == WAN_NODE || is_switch(plan, &name);
        let sysctls = if silent {
            SILENT.to_vec()
        } else {
            IPV6_AT_ONCE.to_vec()
        };
        all.insert(
            name,
            Furniture {
                sysctls,
                ..Furniture::default()
            },
        );
    }
    for core in &plan.cores {
        let node = all.entry(core.node.clone()).or_default();
        node.sysctls.extend(FORWARDING);
        furnish_core(plan, core, node)?;
    }
    for isp in &plan.isps {
        let node = all.entry(isp.name.clone()).or_default();
        node.sysctls.extend(FORWARDING);
        furnish_isp(plan, isp, node)?;
    }
    for site in &plan.sites {
        let router = all.entry(site.name.clone()).or_default();
        furnish_router(site, router)?;
        for lan in &site.lans {
            furnish_hosts(lan, &mut all)?;
            if let Some(switch) = lan.switch_node(site) {
                furnish_switch(lan, all.entry(switch).or_default())?;
            }
        }
    }
    Ok(all)
}

fn is_switch(plan: &Plan, name: &str) -> bool {
    let switches = plan.sites.iter().flat_map(|site| {
        site.lans
            .iter()
            .filter_map(move |lan| lan.switch_node(site))
    });
    switches.into_iter().any(|switch| switch == name)
}

impl Furniture {
    /// To be done before the node has interfaces, or new ones would not inherit the settings.
    pub(super) fn set_sysctls(&self, node: &Node) -> Result<()> {
        node.sysctl(&self.sysctls)
    }

    /// Configures the interfaces.
    pub(super) fn place(&self, node: &Node) -> Result<()> {
        if !self.plain.is_empty() {
            node.enter(|| {
                self.plain
                    .iter()
                    .try_for_each(|name| wan::disable_offloads(name))
            })??;
        }
        if self.batch.is_empty() {
            Ok(())
        } else {
            node.ip(&self.batch)
        }
    }

    fn up(&mut self, interface: &str) -> Result<()> {
        Ok(writeln!(self.batch, "link set {interface} up")?)
    }

    fn address(&mut self, interface: &str, with_prefix: &str) -> Result<()> {
        let nodad = if with_prefix.contains(':') {
            " nodad"
        } else {
            ""
        };
        Ok(writeln!(
            self.batch,
            "address add {with_prefix} dev {interface}{nodad}"
        )?)
    }
}

fn furnish_core(plan: &Plan, core: &CorePlan, node: &mut Furniture) -> Result<()> {
    for server in &core.servers {
        node.address("lo", &format!("{}", IpNet::from(*server)))?;
    }
    for isp in plan.isps.iter().filter(|isp| isp.underlay == core.underlay) {
        let interface = format!("isp{}", isp.number);
        node.up(&interface)?;
        for attachment in &isp.core {
            node.address(&interface, &attachment.gateway_with_prefix())?;
        }
        for network in customer_networks(plan, isp) {
            let via = isp
                .core
                .iter()
                .find(|core| is_ipv4(&core.network) == is_ipv4(&network));
            if let Some(via) = via {
                let via = via.address;
                writeln!(
                    node.batch,
                    "route replace {network} via {via} dev {interface}"
                )?;
            }
        }
    }
    Ok(())
}

fn is_ipv4(network: &IpNet) -> bool {
    matches!(network, IpNet::V4(_))
}

/// The blocks of an ISP, and the networks that were overridden. What is behind NAT is not known
/// outside.
fn customer_networks(plan: &Plan, isp: &IspPlan) -> Vec<IpNet> {
    let block4 = format!("100.{}.0.0/16", 64 + u16::from(isp.number));
    let block6 = format!("2001:db8:{:x}::/48", isp.number);
    let mut networks: Vec<IpNet> = [block4, block6]
        .iter()
        .filter_map(|block| block.parse().ok())
        .collect();
    for (_, uplink) in plan.uplinks().filter(|(_, uplink)| uplink.isp == isp.name) {
        let ipv4 = uplink.ipv4.filter(|_| !uplink.nat);
        let own = ipv4
            .into_iter()
            .chain(uplink.ipv6)
            .map(|attachment| attachment.network);
        let outside = own.filter(|own| !networks.iter().any(|network| network.contains(own)));
        let outside: Vec<IpNet> = outside.collect();
        networks.extend(outside);
    }
    networks
}

fn furnish_isp(plan: &Plan, isp: &IspPlan, node: &mut Furniture) -> Result<()> {
    node.up("core")?;
    for attachment in &isp.core {
        node.address("core", &attachment.with_prefix())?;
        writeln!(
            node.batch,
            "route add default via {} dev core",
            attachment.gateway
        )?;
    }
    for (_, uplink) in plan.uplinks().filter(|(_, uplink)| uplink.isp == isp.name) {
        if !uplink.direct {
            node.plain.push(uplink.link.clone());
        }
        node.up(&uplink.link)?;
        for attachment in uplink.ipv4.iter().chain(&uplink.ipv6) {
            node.address(&uplink.link, &attachment.gateway_with_prefix())?;
        }
    }
    Ok(())
}

fn furnish_router(site: &SitePlan, node: &mut Furniture) -> Result<()> {
    for lan in &site.lans {
        node.up(&lan.interface)?;
        for inside in &lan.router {
            node.address(&lan.interface, &inside.with_prefix())?;
        }
        if lan.hosts.is_empty() {
            node.up(&format!("{}x", lan.interface))?;
        }
    }
    for uplink in &site.uplinks {
        if !uplink.direct {
            node.plain.push(uplink.interface.clone());
        }
        node.up(&uplink.interface)?;
        let ipv4 = uplink
            .ipv4
            .filter(|_| uplink.addressing == Addressing::Static);
        for attachment in ipv4.iter().chain(&uplink.ipv6) {
            let Attachment { gateway, .. } = attachment;
            let (interface, metric) = (&uplink.interface, metric(uplink));
            node.address(interface, &attachment.with_prefix())?;
            writeln!(
                node.batch,
                "route add default via {gateway} dev {interface} metric {metric}"
            )?;
        }
    }
    Ok(())
}

fn furnish_hosts(lan: &LanPlan, all: &mut BTreeMap<String, Furniture>) -> Result<()> {
    for host in &lan.hosts {
        let node = all.entry(host.node.clone()).or_default();
        node.up(&host.interface)?;
        for inside in &host.addresses {
            node.address(&host.interface, &inside.with_prefix())?;
        }
        for router in &lan.router {
            let (gateway, interface) = (router.address, &host.interface);
            writeln!(
                node.batch,
                "route add default via {gateway} dev {interface}"
            )?;
        }
    }
    Ok(())
}

fn furnish_switch(lan: &LanPlan, node: &mut Furniture) -> Result<()> {
    writeln!(
        node.batch,
        "link add switch type bridge stp_state 0 forward_delay 0"
    )?;
    let ports = (1..=lan.hosts.len()).map(|port| format!("port{port}"));
    for port in ports.chain(["router".to_owned()]) {
        writeln!(node.batch, "link set {port} master switch up")?;
    }
    node.up("switch")
}
