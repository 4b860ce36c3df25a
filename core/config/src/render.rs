//! From the model back to the file, with every default written out.
//!
//! What is written, passwords included, reads as the same configuration again.

mod steering;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use patronus_model::bgp::{Accept, Advertise, BfdTimers, BgpNeighbor, BgpTimers};
use patronus_model::layout::KernelLayout;
use patronus_model::policy::{Policy, TrafficClass};
use patronus_model::router::{Gateway, HealthParams, Lan, RemoteSite, RouterConfig, Uplink};
use patronus_model::secret::Secret;

use steering::{class, policy};

/// What becomes of passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are written: the text must be kept as the file itself is kept.
    Written,
    /// A comment stands in their place.
    LeftOut,
}

/// The configuration as a file.
#[must_use]
pub fn render(config: &RouterConfig, secrets: Secrets) -> String {
    let mut text = render_own(config, secrets, &BTreeMap::new());
    let remotes = config.remotes.iter();
    let remotes = remotes.map(|site| remote_site(site, secrets));
    list(&mut text, "sites", remotes);
    let policies = config.policies.iter();
    let policies = policies.map(|it| policy(it, &config.classes));
    list(&mut text, "policies", policies);
    text
}

/// A configuration without `sites` and `policies`, as a file to which these can be appended.
///
/// `password_files` hold the passwords of BGP neighbours, by the neighbours' places.
#[must_use]
pub fn render_own(
    config: &RouterConfig,
    secrets: Secrets,
    password_files: &BTreeMap<usize, String>,
) -> String {
    let mut text = String::from("version: 1\n");
    site(config, &mut text);
    list(&mut text, "uplinks", config.uplinks.iter().map(uplink));
    list(&mut text, "lans", config.lans.iter().map(lan));
    bgp(config, secrets, password_files, &mut text);
    list(&mut text, "classes", config.classes.iter().map(class));
    let name = |id| config.classes.iter().find(|class| class.id == id);
    if let Some(default) = name(config.default_class) {
        line(&mut text, 0, "default_class", quoted(default.name.as_str()));
    }
    health(&config.health, &mut text);
    kernel(&config.layout, &mut text);
    text
}

/// One of `sites`, as the lines of its item.
#[must_use]
pub fn render_site(site: &RemoteSite) -> String {
    item(&remote_site(site, Secrets::Written))
}

/// One of `policies`, as the lines of its item. `classes` are those of the router.
#[must_use]
pub fn render_policy(it: &Policy, classes: &[TrafficClass]) -> String {
    item(&policy(it, classes))
}

/// A file from what [`render_own`], [`render_site`] and [`render_policy`] gave.
#[must_use]
pub fn assemble<'a>(
    own: &str,
    sites: impl IntoIterator<Item = &'a str>,
    policies: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut text = own.to_owned();
    let lists: [(&str, Vec<&str>); 2] = [
        ("sites", sites.into_iter().collect()),
        ("policies", policies.into_iter().collect()),
    ];
    for (key, items) in lists {
        if items.is_empty() {
            line(&mut text, 0, key, "[]");
        } else {
            let _ = writeln!(text, "{key}:");
            text.extend(items);
        }
    }
    text
}

fn line(text: &mut String, depth: usize, key: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:indent$}{key}: {value}", "", indent = depth * 2);
}

/// A list of mappings, each given as the lines between its braces' place.
fn list(text: &mut String, key: &str, items: impl Iterator<Item = String>) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        line(text, 0, key, "[]");
        return;
    }
    let _ = writeln!(text, "{key}:");
    text.extend(items.map(|it| item(&it)));
}

fn item(lines: &str) -> String {
    let mut text = String::new();
    for (number, line) in lines.lines().enumerate() {
        let lead = if number == 0 { "  - " } else { "    " };
        let _ = writeln!(text, "{lead}{line}");
    }
    text
}

/// Text in quotes, which mean the same in JSON as in YAML.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Of characters which do not print, those of a configuration are none of these; but
            // this must not depend on it.
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn flow(items: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn span(span: Duration) -> String {
    format!("{}ms", span.as_millis())
}

fn or_off(value: Option<String>) -> String {
    value.unwrap_or_else(|| "off".to_owned())
}

fn password(text: &mut String, key: &str, password: Option<&Secret>, secrets: Secrets) {
    match (password, secrets) {
        (None, _) => {}
        (Some(password), Secrets::Written) => line(text, 0, key, quoted(password.expose())),
        (Some(_), Secrets::LeftOut) => line(text, 0, &format!("# {key}"), "not shown"),
    }
}

fn site(config: &RouterConfig, text: &mut String) {
    let site = &config.site;
    text.push_str("site:\n");
    line(text, 1, "id", quoted(site.id.as_str()));
    line(text, 1, "name", quoted(&site.name));
    if let Some(location) = &site.location {
        line(text, 1, "location", quoted(location));
    }
    let labels = site.labels.iter();
    let labels: Vec<String> = labels
        .map(|(key, value)| format!("{}: {}", quoted(key), quoted(value)))
        .collect();
    line(text, 1, "labels", format!("{{{}}}", labels.join(", ")));
    if let Some(hub) = config.hub {
        line(text, 1, "hub", hub.get());
    }
    text.push_str("overlay:\n");
    line(text, 1, "ipv4", config.overlay.ipv4);
    if let Some(ipv6) = config.overlay.ipv6 {
        line(text, 1, "ipv6", quoted(&ipv6.to_string()));
    }
    let prefixes = config
        .overlay
        .prefixes
        .iter()
        .map(|net| quoted(&net.to_string()));
    line(text, 1, "prefixes", flow(prefixes));
}

fn uplink(uplink: &Uplink) -> String {
    let mut text = String::new();
    line(&mut text, 0, "name", quoted(uplink.name.as_str()));
    line(&mut text, 0, "slot", uplink.slot);
    line(&mut text, 0, "interface", quoted(uplink.interface.as_str()));
    line(&mut text, 0, "underlay", quoted(uplink.underlay.as_str()));
    line(&mut text, 0, "gateway", gateways(uplink));
    let way = |name: &str, bits: Option<u64>| bits.map(|bits| format!("{name}: {bits} bit/s"));
    let ways = [
        way("up", uplink.bandwidth_up),
        way("down", uplink.bandwidth_down),
    ];
    let ways: Vec<String> = ways.into_iter().flatten().collect();
    line(
        &mut text,
        0,
        "bandwidth",
        format!("{{{}}}", ways.join(", ")),
    );
    line(&mut text, 0, "cost", uplink.cost);
    line(&mut text, 0, "metered", uplink.metered);
    line(&mut text, 0, "listen_port", uplink.listen_port);
    text
}

fn gateways(uplink: &Uplink) -> String {
    match (uplink.gateway4, uplink.gateway6) {
        (Gateway::Dynamic, Gateway::Dynamic) => "dhcp".to_owned(),
        both => {
            let of_one = |gateway: Gateway| match gateway {
                Gateway::None => None,
                Gateway::Dynamic => Some("dhcp".to_owned()),
                Gateway::Static(address) => Some(quoted(&address.to_string())),
            };
            flow([of_one(both.0), of_one(both.1)].into_iter().flatten())
        }
    }
}

fn lan(lan: &Lan) -> String {
    let mut text = String::new();
    line(&mut text, 0, "interface", quoted(lan.interface.as_str()));
    line(&mut text, 0, "prefixes", nets(&lan.prefixes));
    text
}

fn nets(nets: &[ipnet::IpNet]) -> String {
    flow(nets.iter().map(|net| quoted(&net.to_string())))
}

fn remote_site(site: &RemoteSite, secrets: Secrets) -> String {
    let mut text = String::new();
    line(&mut text, 0, "id", quoted(site.id.as_str()));
    line(&mut text, 0, "name", quoted(&site.name));
    if let Some(hub) = site.hub {
        line(&mut text, 0, "hub", hub.get());
    }
    let ipv6 = site
        .ipv6
        .map(|ipv6| format!(", ipv6: {}", quoted(&ipv6.to_string())));
    let addresses = format!("{{ipv4: {}{}}}", site.ipv4, ipv6.unwrap_or_default());
    line(&mut text, 0, "overlay", addresses);
    line(&mut text, 0, "asn", site.asn);
    password(
        &mut text,
        "bgp_password",
        site.bgp_password.as_ref(),
        secrets,
    );
    line(&mut text, 0, "prefixes", nets(&site.prefixes));
    if site.uplinks.is_empty() {
        line(&mut text, 0, "uplinks", "[]");
    } else {
        text.push_str("uplinks:\n");
    }
    for uplink in &site.uplinks {
        let _ = writeln!(text, "  - name: {}", quoted(uplink.name.as_str()));
        line(&mut text, 2, "slot", uplink.slot);
        line(&mut text, 2, "underlay", quoted(uplink.underlay.as_str()));
        line(
            &mut text,
            2,
            "public_key",
            quoted(&uplink.public_key.to_string()),
        );
        if let Some(endpoint) = uplink.endpoint {
            line(&mut text, 2, "endpoint", quoted(&endpoint.to_string()));
        }
    }
    text
}

fn bgp(
    config: &RouterConfig,
    secrets: Secrets,
    password_files: &BTreeMap<usize, String>,
    text: &mut String,
) {
    let bgp = &config.bgp;
    text.push_str("bgp:\n");
    line(text, 1, "asn", bgp.asn);
    line(text, 1, "router_id", bgp.router_id);
    line(text, 1, "timers", bgp_timers(bgp.timers));
    line(
        text,
        1,
        "graceful_restart",
        or_off(bgp.graceful_restart.map(span)),
    );
    line(text, 1, "maximum_prefixes", bgp.maximum_prefixes);
    line(text, 1, "originate_default", bgp.originate_default);
    let mut of_neighbors = String::new();
    let neighbors = bgp.neighbors.iter().enumerate();
    let neighbors = neighbors.map(|(index, it)| {
        let mut text = neighbor(it, secrets);
        if let Some(file) = password_files.get(&index) {
            let file = quoted(file);
            line(&mut text, 0, "password_file", file);
        }
        text
    });
    list(&mut of_neighbors, "neighbors", neighbors);
    for of_one in of_neighbors.lines() {
        let _ = writeln!(text, "  {of_one}");
    }
}

fn bgp_timers(timers: BgpTimers) -> String {
    let BgpTimers {
        keepalive,
        hold,
        connect_retry,
    } = timers;
    format!("{{keepalive: {keepalive}s, hold: {hold}s, connect_retry: {connect_retry}s}}")
}

fn neighbor(neighbor: &BgpNeighbor, secrets: Secrets) -> String {
    let mut text = String::new();
    line(
        &mut text,
        0,
        "address",
        quoted(&neighbor.address.to_string()),
    );
    line(&mut text, 0, "asn", neighbor.remote_asn);
    line(&mut text, 0, "description", quoted(&neighbor.description));
    password(&mut text, "password", neighbor.password.as_ref(), secrets);
    let address = |address: IpAddr| quoted(&address.to_string());
    if let Some(source) = neighbor.update_source {
        line(&mut text, 0, "update_source", address(source));
    }
    if let Some(hops) = neighbor.ebgp_multihop {
        line(&mut text, 0, "multihop", hops);
    }
    line(&mut text, 0, "next_hop_self", neighbor.next_hop_self);
    let advertise = match neighbor.advertise {
        Advertise::OwnNetworks => "own",
        Advertise::OwnAndExternal => "own_and_external",
        Advertise::Everything => "everything",
        Advertise::EverythingAndDefault => "everything_and_default",
    };
    line(&mut text, 0, "advertise", advertise);
    line(
        &mut text,
        0,
        "accept_default",
        neighbor.accept == Accept::All,
    );
    line(&mut text, 0, "timers", bgp_timers(neighbor.timers));
    line(&mut text, 0, "bfd", or_off(neighbor.bfd.map(bfd)));
    text
}

fn bfd(timers: BfdTimers) -> String {
    let BfdTimers {
        desired_min_tx,
        detect_mult,
        required_min_rx: _,
    } = timers;
    format!(
        "{{interval: {}, multiplier: {detect_mult}}}",
        span(desired_min_tx)
    )
}

fn health(health: &HealthParams, text: &mut String) {
    text.push_str("health:\n");
    line(text, 1, "bfd", bfd(health.bfd));
    let loss = health.degraded_loss_permille;
    let loss = loss.map(|permille| format!("{}.{} %", permille / 10, permille % 10));
    let latency = or_off(health.degraded_latency.map(span));
    let degraded = format!("{{latency: {latency}, loss: {}}}", or_off(loss));
    line(text, 1, "degraded", degraded);
    text.push_str("  dampening:\n");
    let dampening = health.dampening;
    line(text, 2, "penalty", dampening.penalty);
    line(text, 2, "suppress", dampening.suppress);
    line(text, 2, "reuse", dampening.reuse);
    line(text, 2, "half_life", span(dampening.half_life));
    line(text, 2, "ceiling", dampening.ceiling);
    line(text, 1, "start_grace", span(health.start_grace));
    line(text, 1, "stop_grace", span(health.stop_grace));
}

fn kernel(layout: &KernelLayout, text: &mut String) {
    text.push_str("kernel:\n");
    line(text, 1, "protocol", layout.protocol);
    line(text, 1, "table_base", layout.table_base);
    line(text, 1, "rule_base", layout.rule_base);
    line(
        text,
        1,
        "interface_prefix",
        quoted(layout.interface_prefix.as_str()),
    );
    text.push_str("  marks:\n");
    for (key, mask) in [
        ("class", layout.marks.class),
        ("classified", layout.marks.classified),
        ("epoch", layout.marks.epoch),
        ("uplink", layout.marks.uplink),
    ] {
        line(text, 2, key, format!("{mask:#010x}"));
    }
}
