//! Which interfaces are joined by veth pairs.

use std::fmt::Write;

use anyhow::{Context, Result};

use crate::node::Node;
use crate::plan::{Plan, SitePlan, UplinkPlan, WAN_NODE};
use crate::sandbox::Sandbox;

/// One end of a veth pair.
pub(super) struct End {
    pub(super) node: String,
    pub(super) interface: String,
}

fn end(node: &str, interface: impl Into<String>) -> End {
    End {
        node: node.to_owned(),
        interface: interface.into(),
    }
}

/// Both ends, and the largest packet.
type Wire = (End, End, u16);

/// The emulator's end of an uplink towards the router.
pub(super) fn router_side(uplink: &UplinkPlan) -> String {
    format!("{}r", uplink.link)
}

/// The emulator's end of an uplink towards the ISP.
pub(super) fn isp_side(uplink: &UplinkPlan) -> String {
    format!("{}i", uplink.link)
}

/// All veth pairs of a plan.
fn wires(plan: &Plan) -> Vec<Wire> {
    let mut wires = Vec::new();
    for isp in &plan.isps {
        let core = plan.cores.iter().find(|core| core.underlay == isp.underlay);
        wires.extend(core.map(|core| {
            (
                end(&isp.name, "core"),
                end(&core.node, format!("isp{}", isp.number)),
                ETHERNET,
            )
        }));
    }
    for site in &plan.sites {
        for uplink in &site.uplinks {
            let router = end(&site.name, &uplink.interface);
            let isp = end(&uplink.isp, &uplink.link);
            if uplink.direct {
                wires.push((router, isp, uplink.mtu));
            } else {
                wires.push((router, end(WAN_NODE, router_side(uplink)), uplink.mtu));
                wires.push((end(WAN_NODE, isp_side(uplink)), isp, uplink.mtu));
            }
        }
        lan_wires(site, &mut wires);
    }
    wires
}

const ETHERNET: u16 = 1500;

fn lan_wires(site: &SitePlan, wires: &mut Vec<Wire>) {
    for lan in &site.lans {
        let router = end(&site.name, &lan.interface);
        match (lan.switch_node(site), lan.hosts.as_slice()) {
            (Some(switch), hosts) => {
                wires.push((router, end(&switch, "router"), ETHERNET));
                wires.extend(hosts.iter().zip(1..).map(|(host, port)| {
                    (
                        end(&host.node, &host.interface),
                        end(&switch, format!("port{port}")),
                        ETHERNET,
                    )
                }));
            }
            (None, [host]) => {
                wires.push((router, end(&host.node, &host.interface), ETHERNET));
            }
            // Without a host the other end is a stub in the same node, so that there is carrier.
            (None, _) => {
                wires.push((
                    router,
                    end(&site.name, format!("{}x", lan.interface)),
                    ETHERNET,
                ));
            }
        }
    }
}

/// Makes all veth pairs, with one call of `ip` and without a detour through another namespace.
pub(super) fn make(sandbox: &Sandbox, plan: &Plan, nodes: &[Node]) -> Result<()> {
    let pid = |name: &str| -> Result<i32> {
        let node = nodes.iter().find(|node| node.name() == name);
        Ok(node.with_context(|| format!("no node {name}"))?.inner_pid())
    };
    let mut batch = String::new();
    for (a, b, mtu) in wires(plan) {
        let (pid_a, pid_b) = (pid(&a.node)?, pid(&b.node)?);
        let (a, b) = (a.interface, b.interface);
        writeln!(
            batch,
            "link add {a} netns {pid_a} mtu {mtu} type veth peer name {b} netns {pid_b} mtu {mtu}"
        )?;
    }
    // Any node will do: the kernel creates both ends where they belong.
    let first = nodes
        .first()
        .with_context(|| format!("lab {} has no node", sandbox.name()))?;
    first.ip(&batch)
}
