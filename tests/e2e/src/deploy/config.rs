//! The configuration file of each router, derived from the plan of the lab.

use std::collections::BTreeMap;

use anyhow::Result;
use patronus_lab::plan::{Attachment, Plan, SitePlan, UplinkPlan};
use patronus_lab::topology::{Addressing, Role};
use serde_json::{Value, json};

/// Public keys by site and uplink.
pub(super) type PublicKeys = BTreeMap<(String, String), String>;

/// The first listen port of the first uplink, and how far apart those of others are.
const FIRST_PORT: u16 = 51_820;
const PORTS: u16 = 64;

/// What `/etc/patronus/config.yaml` of a site says, before anybody changes it.
pub(super) fn config(plan: &Plan, site: &SitePlan, keys: &PublicKeys) -> Result<Value> {
    let others = plan.sites.iter().filter(|other| other.name != site.name);
    let remotes = others.filter(|other| connected(site.role, other.role));
    let remotes = remotes
        .map(|other| remote(plan, other, keys))
        .collect::<Result<Vec<_>>>()?;
    let lans: Vec<Value> = site.lans.iter().map(lan).collect();
    Ok(json!({
        "version": 1,
        "site": without_null(json!({ "id": site.name, "hub": hub_number(plan, site) })),
        "overlay": {
            "ipv4": format!("{}/16", overlay(site, true)?),
            "ipv6": format!("{}/64", overlay(site, false)?),
            "prefixes": ["10.0.0.0/8", "fd00::/16"],
        },
        "uplinks": site.uplinks.iter().map(uplink).collect::<Vec<_>>(),
        "lans": lans,
        "sites": remotes,
        "bgp": { "asn": asn(site) },
        "classes": classes(site),
        "default_class": "standard",
        "policies": [
            {
                "name": "voice", "priority": 10, "class": "voice",
                "match": { "protocol": "udp", "ports": "5000-5099" },
            },
            {
                "name": "backup", "priority": 20, "class": "bulk",
                "match": { "protocol": "tcp", "ports": 873 },
            },
        ],
    }))
}

/// Spokes are connected to hubs only.
fn connected(a: Role, b: Role) -> bool {
    a == Role::Hub || b == Role::Hub || (a == Role::Mesh && b == Role::Mesh)
}

fn hub_number(plan: &Plan, site: &SitePlan) -> Option<usize> {
    let hubs = plan.sites.iter().filter(|site| site.role == Role::Hub);
    hubs.zip(1..)
        .find(|(hub, _)| hub.name == site.name)
        .map(|(_, number)| number)
}

fn asn(site: &SitePlan) -> u32 {
    64_512 + u32::from(site.number)
}

fn overlay(site: &SitePlan, v4: bool) -> Result<String> {
    let address = site.overlay.iter().find(|address| address.is_ipv4() == v4);
    let missing = || anyhow::anyhow!("site {} lacks an overlay address", site.name);
    Ok(address.ok_or_else(missing)?.to_string())
}

fn lan(lan: &patronus_lab::plan::LanPlan) -> Value {
    let prefixes: Vec<String> = lan.router.iter().map(|at| at.network.to_string()).collect();
    json!({ "interface": lan.interface, "prefixes": prefixes })
}

/// Voice wants the first uplink and bulk the last, so that each class can be told by its path.
fn classes(site: &SitePlan) -> Value {
    let order: Vec<&str> = site
        .uplinks
        .iter()
        .map(|uplink| uplink.name.as_str())
        .collect();
    let reversed: Vec<&str> = order.iter().rev().copied().collect();
    let class = |id: u8, name: &str, qos: &str, order: &[&str]| {
        json!({
            "id": id, "name": name, "qos": qos,
            "strategy": { "preference": order },
            "failover": { "hold": "3s", "cooldown": "1s", "threshold": "2s" },
        })
    };
    json!([
        class(1, "voice", "realtime", &order),
        class(2, "standard", "standard", &order),
        class(3, "bulk", "bulk", &reversed),
    ])
}

fn uplink(uplink: &UplinkPlan) -> Value {
    let fixed = |at: &Option<Attachment>| at.as_ref().map(|at| at.gateway.to_string());
    let v4 = match uplink.addressing {
        Addressing::Dhcp => Some("dhcp".to_owned()),
        Addressing::Static => fixed(&uplink.ipv4),
    };
    let gateways: Vec<String> = v4.into_iter().chain(fixed(&uplink.ipv6)).collect();
    json!({
        "name": uplink.name,
        "slot": uplink.number,
        "interface": uplink.interface,
        "underlay": uplink.underlay,
        "gateway": gateways,
        "cost": u32::from(uplink.number) * 10,
        "listen_port": first_port(uplink),
    })
}

fn first_port(uplink: &UplinkPlan) -> u16 {
    FIRST_PORT + PORTS * u16::from(uplink.number - 1)
}

fn remote(plan: &Plan, site: &SitePlan, keys: &PublicKeys) -> Result<Value> {
    let uplink = |uplink: &UplinkPlan| {
        let key = (site.name.clone(), uplink.name.clone());
        without_null(json!({
            "name": uplink.name,
            "slot": uplink.number,
            "underlay": uplink.underlay,
            "public_key": keys.get(&key),
            "endpoint": endpoint(uplink),
        }))
    };
    Ok(without_null(json!({
        "id": site.name,
        "hub": hub_number(plan, site),
        "overlay": { "ipv4": overlay(site, true)?, "ipv6": overlay(site, false)? },
        "asn": asn(site),
        "uplinks": site.uplinks.iter().map(uplink).collect::<Vec<_>>(),
    })))
}

/// `None` where the address is not fixed.
fn endpoint(uplink: &UplinkPlan) -> Option<String> {
    if uplink.nat || uplink.addressing == Addressing::Dhcp {
        return None;
    }
    let address = uplink.ipv4.or(uplink.ipv6)?.address;
    Some(std::net::SocketAddr::new(address, first_port(uplink)).to_string())
}

fn without_null(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null());
    }
    value
}
