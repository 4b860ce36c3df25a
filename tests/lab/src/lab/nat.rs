//! ISPs which put customers behind NAT.

use std::fmt::Write;

use anyhow::Result;

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
