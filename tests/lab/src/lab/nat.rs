//! ISPs which put customers behind NAT.

use std::fmt::Write;
use std::net::IpAddr;

use anyhow::{Context, Result};

use super::require;
use crate::node::Node;
use crate::plan::{IspPlan, Plan};

/// Masquerades uplinks with `nat: true`, and lets no connection in to them.
pub(super) fn set_up(plan: &Plan, isp: &IspPlan, node: &Node) -> Result<()> {
    let customers: Vec<_> = plan
        .uplinks()
        .filter(|(_, uplink)| uplink.nat && uplink.isp == isp.name)
        .collect();
    if customers.is_empty() {
        return Ok(());
    }
    let (mut masquerade, mut guard) = (String::new(), String::new());
    for (site, uplink) in customers {
        let link = &uplink.link;
        // Both networks between which a change of address moves the uplink. A random port, because
        // carrier-grade NAT does not keep the customer's.
        for third in [u16::from(site.number), u16::from(site.number) + 128] {
            let network = format!("192.168.{third}.{}/28", u16::from(uplink.number) * 16);
            writeln!(
                masquerade,
                "ip saddr {network} oifname != \"{link}\" masquerade random"
            )?;
        }
        if let Some(own) = uplink.ipv4 {
            let network = own.network;
            writeln!(
                masquerade,
                "ip saddr {network} oifname != \"{link}\" masquerade random"
            )?;
        }
        writeln!(guard, "oifname \"{link}\" ct state new drop")?;
    }
    let rules = format!(
        "table inet lab_nat {{
           chain to_others {{ type nat hook postrouting priority srcnat; {masquerade} }}
           chain to_customers {{ type filter hook forward priority filter; {guard} }}
         }}"
    );
    node.run_with_input(["nft", "-f", "-"], &rules).map(drop)
}

/// Forgets the bindings of a customer. Returns how many there were.
pub(super) fn forget(isp: &Node, customer: IpAddr) -> Result<usize> {
    require(&[("conntrack", "conntrack")])?;
    let address = customer.to_string();
    // Prints a line for each, and fails when there was none.
    let script = format!("conntrack -D -s {address} 2>/dev/null || test $? = 1");
    let forgotten = isp.run(["sh", "-c", &script]);
    let forgotten = forgotten.with_context(|| format!("forgetting the bindings of {address}"))?;
    Ok(forgotten
        .lines()
        .filter(|line| line.contains(&address))
        .count())
}
