//! Commands which show something.

use std::path::Path;

use anyhow::Result;
use patronus_lab::plan::UplinkPlan;
use patronus_lab::{Cut, Impairment, Lab, LinkState, Plan, Sandbox};
use serde_json::{Value, json};

use super::act::topology;

/// An uplink and what is done to it.
struct Row {
    site: String,
    plan: UplinkPlan,
    address: Option<String>,
    cut: Option<Cut>,
    /// `None` for direct uplinks.
    link: Option<LinkState>,
}

fn rows(lab: &Lab) -> Result<Vec<Row>> {
    let links = lab.links()?;
    lab.plan()
        .uplinks()
        .map(|(site, uplink)| {
            let first = uplink.ipv4.or(uplink.ipv6).map(|ip| ip.address.to_string());
            // Only a DHCP uplink can have another address than the planned one.
            let address = match lab.leased_address(&site.name, &uplink.name) {
                Ok(leased) => leased,
                Err(_) => first,
            };
            Ok(Row {
                site: site.name.clone(),
                plan: uplink.clone(),
                address,
                cut: lab.cut_of(&site.name, &uplink.name)?,
                link: links.iter().find(|link| link.link == uplink.link).cloned(),
            })
        })
        .collect()
}

impl Row {
    fn degraded(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.profile != self.plan.profile)
    }

    fn state(&self) -> String {
        match self.cut {
            Some(cut) => format!("○ {cut}"),
            None if self.degraded() => "◐ degraded".to_owned(),
            None => "● up".to_owned(),
        }
    }

    fn wan(&self) -> String {
        let Some(link) = &self.link else {
            return "direct".to_owned();
        };
        let (up, down) = (describe(&link.profile.up), describe(&link.profile.down));
        if up == down {
            up
        } else {
            format!("up {up}; down {down}")
        }
    }

    fn json(&self) -> Value {
        json!({
            "site": self.site,
            "uplink": self.plan.name,
            "isp": self.plan.isp,
            "underlay": self.plan.underlay,
            "interface": self.plan.interface,
            "address": self.address,
            "nat": self.plan.nat,
            "direct": self.plan.direct,
            "cut": self.cut,
            "degraded": self.degraded(),
            "profile": self.link.as_ref().map(|link| link.profile),
            "packets": self.link.as_ref().map(|link| json!({"up": link.up, "down": link.down})),
        })
    }
}

/// `20ms ±5ms 0.1% 50mbit`
fn describe(impairment: &Impairment) -> String {
    let mut parts = vec![impairment.delay.to_string()];
    if !impairment.jitter.0.is_zero() {
        parts.push(format!("+{}", impairment.jitter));
    }
    if impairment.loss.parts_per_million() > 0 {
        parts.push(impairment.loss.to_string());
    }
    parts.extend(impairment.rate.map(|rate| rate.to_string()));
    parts.join(" ")
}

pub(super) fn status(lab: &Lab, json: bool) -> Result<()> {
    let rows = rows(lab)?;
    let nodes = lab.sandbox().node_names()?;
    if json {
        let uplinks: Vec<Value> = rows.iter().map(Row::json).collect();
        let status = json!({"lab": lab.name(), "nodes": nodes, "uplinks": uplinks});
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    let plan = lab.plan();
    println!(
        "lab {}  {} sites, {} ISPs",
        lab.name(),
        plan.sites.len(),
        plan.isps.len()
    );
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            let name = format!("{} {}", row.site, row.plan.name);
            let address = row.address.clone().unwrap_or_else(|| "–".to_owned());
            [name, row.plan.isp.clone(), address, row.state(), row.wan()]
        })
        .collect();
    table(
        ["UPLINK", "ISP", "ADDRESS", "STATE", "WAN (each way)"],
        &cells,
    );
    println!("nodes  {}", nodes.join(" "));
    Ok(())
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| {
        let cells = all().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in all() {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

pub(super) fn list(json: bool) -> Result<()> {
    let labs: Vec<(String, usize)> = patronus_lab::alive()?
        .into_iter()
        // One that ends in this moment is not listed.
        .filter_map(|name| {
            let nodes = Sandbox::attach(&name)
                .and_then(|lab| lab.node_names())
                .ok()?;
            Some((name, nodes.len()))
        })
        .collect();
    if json {
        let labs: Vec<Value> = labs
            .iter()
            .map(|(name, nodes)| json!({"lab": name, "nodes": nodes}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&labs)?);
    } else if labs.is_empty() {
        println!("no lab is up; start one with: patronus-lab up");
    } else {
        let rows: Vec<[String; 2]> = labs
            .into_iter()
            .map(|(name, nodes)| [name, nodes.to_string()])
            .collect();
        table(["LAB", "NODES"], &rows);
    }
    Ok(())
}

pub(super) fn plan(path: Option<&Path>, json: bool) -> Result<()> {
    let plan = Plan::derive(&topology(path)?)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&plan)?);
        return Ok(());
    }
    let none = || "–".to_owned();
    let mut rows = Vec::new();
    for site in &plan.sites {
        for lan in &site.lans {
            for host in &lan.hosts {
                let [ipv4, ipv6] = [
                    host.ipv4().map(|ip| ip.to_string()),
                    host.ipv6().map(|ip| ip.to_string()),
                ];
                rows.push([
                    host.node.clone(),
                    host.interface.clone(),
                    ipv4.unwrap_or_else(none),
                    ipv6.unwrap_or_else(none),
                ]);
            }
            let mut addresses = lan.router.iter().map(|inside| inside.with_prefix());
            let mut next = || addresses.next().unwrap_or_else(none);
            rows.push([site.name.clone(), lan.interface.clone(), next(), next()]);
        }
        for uplink in &site.uplinks {
            let ipv4 = uplink.ipv4.map(|ip| ip.with_prefix()).unwrap_or_else(none);
            let ipv6 = uplink.ipv6.map(|ip| ip.with_prefix()).unwrap_or_else(none);
            let interface = format!("{} ({})", uplink.interface, uplink.name);
            rows.push([site.name.clone(), interface, ipv4, ipv6]);
        }
    }
    table(["NODE", "INTERFACE", "IPV4", "IPV6"], &rows);
    Ok(())
}
