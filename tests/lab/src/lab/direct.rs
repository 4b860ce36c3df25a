//! Cuts of uplinks that have no emulator: by the ISP's interface and packet filter.

use anyhow::{Result, bail};

use crate::node::Node;
use crate::plan::UplinkPlan;
use crate::sys;
use crate::wan::Cut;

fn marker(uplink: &UplinkPlan) -> String {
    format!("/run/cut-{}", uplink.link)
}

pub(super) fn cut(isp: &Node, uplink: &UplinkPlan, cut: Cut) -> Result<()> {
    let (tx, rx, carrier) = match cut {
        Cut::Carrier => (false, false, false),
        Cut::Swallow => (true, true, true),
        Cut::Tx => (true, false, true),
        Cut::Rx => (false, true, true),
        Cut::Flap { .. } => {
            bail!(
                "uplink {} is direct: only the emulator can let it flap",
                uplink.name
            )
        }
    };
    heal(isp, uplink)?;
    let link = &uplink.link;
    isp.enter(|| sys::set_link(link, carrier))??;
    let mut chains = String::new();
    if tx {
        // Before routing, so that packets for the ISP itself vanish as well.
        chains += &format!(
            "chain tx {{ type filter hook prerouting priority raw; iifname \"{link}\" drop; }}\n"
        );
    }
    if rx {
        chains += &format!(
            "chain rx {{ type filter hook postrouting priority mangle; oifname \"{link}\" drop; }}\n"
        );
    }
    let rules = format!("table inet lab_cut_{link} {{ {chains} }}");
    isp.run_with_input(["nft", "-f", "-"], &rules)?;
    isp.write_file(marker(uplink), serde_json::to_vec(&cut)?)
}

pub(super) fn heal(isp: &Node, uplink: &UplinkPlan) -> Result<()> {
    let link = &uplink.link;
    // Declared first, because deleting a table that does not exist is an error.
    let rules = format!("table inet lab_cut_{link} {{ }}\ndelete table inet lab_cut_{link}");
    isp.run_with_input(["nft", "-f", "-"], &rules)?;
    isp.enter(|| sys::set_link(link, true))??;
    restore_gateway(isp, uplink)?;
    isp.write_file(marker(uplink), b"null")
}

/// An interface which goes down loses its IPv6 addresses, unlike those of IPv4.
fn restore_gateway(isp: &Node, uplink: &UplinkPlan) -> Result<()> {
    let Some(ipv6) = uplink.ipv6 else {
        return Ok(());
    };
    let (address, link) = (ipv6.gateway_with_prefix(), &uplink.link);
    isp.ip(&format!("address replace {address} dev {link} nodad\n"))
}

pub(super) fn state(isp: &Node, uplink: &UplinkPlan) -> Option<Cut> {
    let text = isp.read_file(marker(uplink)).ok()?;
    serde_json::from_str(&text).ok()?
}
