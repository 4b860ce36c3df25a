//! Brings a lab up, step by step.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::furnish::{self, Furniture};
use super::wires::{isp_side, router_side};
use super::{dhcp, nat, wires};
use crate::node::Node;
use crate::plan::{Plan, WAN_NODE};
use crate::program;
use crate::sandbox::Sandbox;
use crate::topology::Addressing;
use crate::wan::LinkSpec;

/// Makes everything that the plan names.
pub(super) fn raise(sandbox: &Sandbox, plan: &Plan, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let names = plan.nodes();
    progress(&format!("making {} nodes", names.len()));
    let nodes = names
        .iter()
        .map(|name| sandbox.node(name))
        .collect::<Result<Vec<_>>>()?;
    let furniture = furnish::furniture(plan)?;
    each(&nodes, |node| {
        piece(&furniture, node).map_or(Ok(()), |piece| piece.set_sysctls(node))
    })?;

    progress("connecting them");
    wires::make(sandbox, plan, &nodes)?;
    each(&nodes, |node| {
        piece(&furniture, node).map_or(Ok(()), |piece| piece.place(node))
    })?;
    each(&nodes, |node| {
        match plan.isps.iter().find(|isp| isp.name == node.name()) {
            Some(isp) => nat::set_up(plan, isp, node),
            None => Ok(()),
        }
    })?;

    if let Some(wan) = nodes.iter().find(|node| node.name() == WAN_NODE) {
        progress("starting the WAN emulator");
        start_relay(plan, wan)?;
    }
    lease_addresses(plan, &nodes, progress)
}

fn piece<'a>(
    furniture: &'a std::collections::BTreeMap<String, Furniture>,
    node: &Node,
) -> Option<&'a Furniture> {
    furniture.get(node.name())
}

/// Does something for all nodes, several at a time: most of it is waiting for `ip`.
fn each(nodes: &[Node], work: impl Fn(&Node) -> Result<()> + Sync) -> Result<()> {
    const AT_A_TIME: usize = 4;
    let share = nodes.len().div_ceil(AT_A_TIME).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = nodes
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().try_for_each(work)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

fn start_relay(plan: &Plan, wan: &Node) -> Result<()> {
    const SPECS: &str = "/run/relay.json";
    let specs: Vec<LinkSpec> = plan
        .uplinks()
        .filter(|(_, uplink)| !uplink.direct)
        .map(|(_, uplink)| LinkSpec {
            link: uplink.link.clone(),
            router_side: router_side(uplink),
            isp_side: isp_side(uplink),
            profile: uplink.profile,
        })
        .collect();
    wan.write_file(SPECS, serde_json::to_vec(&specs)?)?;
    let mut command = Command::new(program::path()?);
    command.args(["relay", SPECS]);
    let mut relay = wan.spawn(&command)?;
    relay
        .wait_for_output("ready", Duration::from_secs(20))
        .context("starting the WAN emulator")
}

/// Starts servers and clients of all DHCP uplinks, then waits for all of them.
fn lease_addresses(plan: &Plan, nodes: &[Node], progress: &mut dyn FnMut(&str)) -> Result<()> {
    let find = |name: &str| {
        let node = nodes.iter().find(|node| node.name() == name);
        node.with_context(|| format!("no node {name}"))
    };
    let uplinks: Vec<_> = plan
        .uplinks()
        .filter(|(_, uplink)| uplink.addressing == Addressing::Dhcp)
        .collect();
    if uplinks.is_empty() {
        return Ok(());
    }
    progress("leasing addresses");
    for (site, uplink) in &uplinks {
        let lease = uplink
            .ipv4
            .with_context(|| format!("{} has no IPv4", uplink.name))?;
        dhcp::start_server(find(&uplink.isp)?, uplink, &lease)?;
        dhcp::start_client(find(&site.name)?, uplink)?;
    }
    for (site, uplink) in &uplinks {
        let lease = uplink
            .ipv4
            .with_context(|| format!("{} has no IPv4", uplink.name))?;
        dhcp::wait_for_lease(find(&site.name)?, uplink, &lease)?;
    }
    Ok(())
}
