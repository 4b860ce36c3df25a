//! Our table as a script for `nft -f`.
//!
//! Written for nft 1.0.6: it cannot combine two registers, so whole marks are saved and restored,
//! and it cannot set DSCP from a map, so a verdict map jumps to one chain for each class.
//!
//! A connection keeps its class in its conntrack mark, together with the epoch of the rules that
//! gave it. Class 0 with the classified bit is the verdict of a policy that drops: such packets are
//! dropped after routing, so that no policy cuts a LAN off from the router itself.
//!
//! Every packet of every flow runs through two base chains, so what is common is decided first and
//! by numbers: a comparison of names costs several times one of marks or link groups.
//!
//! Packets that are longer than an MTU arrive in fragments, of which only the first has ports.
//! Conntrack puts them together before our chains see them; where it cannot, the other fragments
//! match no policy about ports.

use std::fmt::Write as _;

use patronus_model::firewall::Firewall;
use patronus_model::ids::{ClassId, Dscp, IfName};
use patronus_model::kernel::Family;
use patronus_model::policy::Action;

use super::decide::{End, Rule, Stage, stages};
use super::ranges::{Ranges, addresses};
use crate::error::Error;

/// Our table.
pub(crate) const TABLE: &str = "inet patronus";

/// The script that puts our table in place of whatever was there, in one transaction.
///
/// # Errors
/// An interface has a name that nftables cannot write.
pub fn script(firewall: &Firewall) -> Result<String, Error> {
    let names = firewall.uplinks.iter().chain(
        firewall
            .policies
            .iter()
            .flat_map(|policy| &policy.matches.ingress),
    );
    for name in names {
        writable(name)?;
    }
    let mut out = Script::default();
    out.line(0, format!("add table {TABLE}"));
    out.line(0, format!("delete table {TABLE}"));
    out.line(0, format!("table {TABLE} {{"));
    out.line(1, "comment \"made by patronusd; changes are put back\"");
    let writer = Writer {
        firewall,
        classified: firewall.marks.classified,
        current: firewall.marks.classified | firewall.marks.of_epoch(firewall.epoch()),
    };
    writer.prerouting(&mut out);
    writer.tunnel_arrivals(&mut out);
    writer.classify(&mut out);
    writer.clamp(&mut out);
    writer.postrouting(&mut out);
    out.line(0, "}");
    Ok(out.text)
}

/// Inside of quotes nft knows no escapes but that of the asterisk.
fn writable(name: &IfName) -> Result<(), Error> {
    if name.as_str().contains(['"', '\\']) {
        Err(Error::Unwritable(name.to_string()))
    } else {
        Ok(())
    }
}

#[derive(Default)]
struct Script {
    text: String,
    maps: usize,
}

impl Script {
    fn line(&mut self, depth: usize, text: impl AsRef<str>) {
        let indent = "\t".repeat(depth);
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{indent}{}", text.as_ref());
    }

    fn chain(&mut self, name: &str, hook: Option<&str>, rules: &[String]) {
        self.line(1, format!("chain {name} {{"));
        if let Some(hook) = hook {
            self.line(2, format!("type filter hook {hook}; policy accept;"));
        }
        for rule in rules {
            self.line(2, rule);
        }
        self.line(1, "}");
    }

    /// A set or a map with a name.
    fn named(&mut self, what: &str, name: &str, kind: &str, elements: &[String]) {
        self.line(1, format!("{what} {name} {{"));
        self.line(2, format!("type {kind}"));
        if elements.iter().any(|element| element.contains(['-', '/'])) {
            self.line(2, "flags interval");
        }
        self.line(2, "elements = {");
        for element in elements {
            self.line(3, format!("{element},"));
        }
        self.line(2, "}");
        self.line(1, "}");
    }
}

struct Writer<'a> {
    firewall: &'a Firewall,
    /// The bit that says that a connection has a class.
    classified: u32,
    /// The bits that say that it has it from these rules.
    current: u32,
}

impl Writer<'_> {
    fn mark(&self, class: ClassId) -> u32 {
        self.current | self.firewall.marks.of_class(class)
    }

    fn mark_of(&self, action: Action) -> u32 {
        match action {
            Action::Route(class) => self.mark(class),
            Action::Drop => self.current,
        }
    }

    fn default_mark(&self) -> u32 {
        self.mark(self.firewall.default_class)
    }

    fn uplinks(&self) -> Option<String> {
        let names: Vec<_> = self.firewall.uplinks.iter().map(quoted).collect();
        (!names.is_empty()).then(|| set(&names))
    }

    fn prerouting(&self, out: &mut Script) {
        let Self {
            classified,
            current,
            firewall,
        } = self;
        let tunnels = firewall.tunnels;
        let known = classified | firewall.marks.epoch;
        let restore = "meta mark set ct mark accept";
        let mut unknown = vec!["iif \"lo\" accept".to_owned()];
        unknown.extend(
            self.uplinks()
                .map(|names| format!("iifname {names} accept")),
        );
        unknown.extend([
            format!("iifgroup {tunnels} goto from_tunnel"),
            "goto classify".to_owned(),
        ]);
        out.chain("unknown", None, &unknown);
        let rules = [
            format!("iifgroup {tunnels} ct direction original goto from_tunnel"),
            format!("ct mark & {classified:#x} == 0 goto unknown"),
            format!("ct direction reply {restore}"),
            format!("ct mark & {known:#x} == {current:#x} {restore}"),
            // Classified by older rules, or not followed by conntrack at all.
            "goto unknown".to_owned(),
        ];
        out.chain("prerouting", Some("prerouting priority mangle"), &rules);
    }

    /// The far end has classified; its class is in the DSCP.
    fn tunnel_arrivals(&self, out: &mut Script) {
        let default = self.default_mark();
        let mut rules = vec![format!("meta mark set {default:#x}")];
        let map = |place: fn(Dscp) -> u16| -> Vec<String> {
            let dscp = self.firewall.dscp.iter();
            dscp.map(|(class, dscp)| format!("{:#x} : {:#x}", place(*dscp), self.mark(*class)))
                .collect()
        };
        if !self.firewall.dscp.is_empty() {
            let v4 = set(&map(|dscp| u16::from(dscp.get())));
            rules.push(format!("meta mark set ip dscp map {v4}"));
            // `ip6 dscp map` looks up the wrong byte order (nft 1.0.6), so the bits are compared
            // where they are: 4 of version, 6 of DSCP, 6 of others.
            let v6 = set(&map(|dscp| u16::from(dscp.get()) << 6));
            rules.push(format!(
                "meta nfproto ipv6 meta mark set @nh,0,16 & 0xfc0 map {v6}"
            ));
        }
        rules.push("ct mark set meta mark".to_owned());
        out.chain("from_tunnel", None, &rules);
    }

    fn classify(&self, out: &mut Script) {
        let stages = stages(&self.firewall.policies);
        let mut rules: Vec<_> = stages.iter().map(|stage| self.stage(out, stage)).collect();
        rules.push(format!(
            "meta mark set {:#x} goto save",
            self.default_mark()
        ));
        out.chain("save", None, &["ct mark set meta mark".to_owned()]);
        out.chain("classify", None, &rules);
    }

    fn stage(&self, out: &mut Script, stage: &Stage) -> String {
        match stage {
            Stage::Ports { policies, map } => {
                let elements: Vec<_> = map
                    .iter()
                    .flat_map(|(protocol, ranges)| {
                        let write =
                            move |(range, mark)| format!("{} . {range} : {mark:#x}", protocol.0);
                        self.entries(ranges, numbers).map(write)
                    })
                    .collect();
                let kind = "inet_proto . inet_service : mark";
                let name = self.map(out, policies, kind, &elements);
                format!("meta mark set meta l4proto . th dport map @{name} goto save")
            }
            Stage::Prefixes {
                policies,
                end,
                family,
                map,
            } => {
                let write = |(range, mark)| format!("{range} : {mark:#x}");
                let entries = self.entries(map, |first, last| addresses(*family, first, last));
                let elements: Vec<_> = entries.map(write).collect();
                let kind = match family {
                    Family::V4 => "ipv4_addr : mark",
                    Family::V6 => "ipv6_addr : mark",
                };
                let name = self.map(out, policies, kind, &elements);
                let field = address_field(*family, *end);
                format!("meta mark set {field} map @{name} goto save")
            }
            Stage::Rule(rule) => self.rule(rule),
        }
    }

    /// The ranges of a map as text, with their marks.
    fn entries<'a>(
        &'a self,
        ranges: &Ranges<Action>,
        write: impl Fn(u128, u128) -> String + 'a,
    ) -> impl Iterator<Item = (String, u32)> + 'a {
        let joined = ranges.joined().into_iter();
        joined.map(move |(first, last, action)| (write(first, last), self.mark_of(action)))
    }

    fn map(
        &self,
        out: &mut Script,
        policies: &[String],
        kind: &str,
        elements: &[String],
    ) -> String {
        out.maps += 1;
        let name = format!("policies_{}", out.maps);
        out.line(1, format!("# {}", policies.join(", ")));
        out.named("map", &name, kind, elements);
        name
    }

    fn rule(&self, rule: &Rule) -> String {
        let mut words = Vec::new();
        if let Some(family) = rule.family {
            let (name, header) = match family {
                Family::V4 => ("ipv4", "ip"),
                Family::V6 => ("ipv6", "ip6"),
            };
            words.push(format!("meta nfproto {name}"));
            for (end, ranges) in [
                (End::Source, &rule.sources),
                (End::Destination, &rule.destinations),
            ] {
                if !ranges.is_empty() {
                    let field = address_field(family, end);
                    let list = list(ranges, |first, last| addresses(family, first, last));
                    words.push(format!("{field} {list}"));
                }
            }
            if !rule.dscp.is_empty() {
                words.push(format!("{header} dscp {}", set(&rule.dscp)));
            }
        }
        if !rule.protocols.is_empty() {
            let numbers: Vec<_> = rule.protocols.iter().map(|protocol| protocol.0).collect();
            words.push(format!("meta l4proto {}", set(&numbers)));
        }
        for (field, ranges) in [
            ("sport", &rule.source_ports),
            ("dport", &rule.destination_ports),
        ] {
            if !ranges.is_empty() {
                words.push(format!("th {field} {}", list(ranges, numbers)));
            }
        }
        if !rule.ingress.is_empty() {
            let names: Vec<_> = rule.ingress.iter().map(quoted).collect();
            words.push(format!("iifname {}", set(&names)));
        }
        words.push(format!("meta mark set {:#x}", self.mark_of(rule.action)));
        words.push("goto save".to_owned());
        words.push(format!("comment \"{}\"", rule.policy));
        words.join(" ")
    }

    fn clamp(&self, out: &mut Script) {
        let tunnels = self.firewall.tunnels;
        // `rt mtu` is the lesser of both directions' routes.
        let rules = ["oifgroup", "iifgroup"]
            .map(|group| format!("{group} {tunnels} tcp option maxseg size set rt mtu"));
        out.chain("clamp", None, &rules);
    }

    fn postrouting(&self, out: &mut Script) {
        let Firewall {
            marks,
            tunnels,
            dscp,
            ..
        } = self.firewall;
        let verdict = self.classified | marks.class;
        let mut rules = vec![
            // Wrapped by WireGuard.
            format!("meta mark & {:#x} != 0 accept", marks.uplink),
            format!(
                "meta mark & {verdict:#x} == {:#x} counter drop",
                self.classified
            ),
            "tcp flags & (syn | rst) == syn jump clamp".to_owned(),
        ];
        let jumps: Vec<_> = dscp
            .keys()
            .map(|class| format!("{:#x} : goto class_{class}", marks.of_class(*class)))
            .collect();
        if !jumps.is_empty() {
            rules.push(format!(
                "oifgroup {tunnels} meta mark & {:#x} vmap {}",
                marks.class,
                set(&jumps)
            ));
        }
        for (class, dscp) in dscp {
            // What is written to has to be copied first if anybody else holds it.
            let set = ["ip", "ip6"].map(|ip| format!("{ip} dscp != {dscp} {ip} dscp set {dscp}"));
            out.chain(&format!("class_{class}"), None, &set);
        }
        rules.extend(self.guard(out));
        out.chain("postrouting", Some("postrouting priority mangle"), &rules);
    }

    /// What must not leave by an uplink unless WireGuard has wrapped it.
    fn guard(&self, out: &mut Script) -> Option<String> {
        let uplinks = self.uplinks()?;
        let mut rules = Vec::new();
        for (family, name, kind) in [
            (Family::V4, "guarded_4", "ipv4_addr"),
            (Family::V6, "guarded_6", "ipv6_addr"),
        ] {
            let ranges = Ranges::of_prefixes(&self.firewall.guarded, family);
            if ranges.is_empty() {
                continue;
            }
            let elements: Vec<_> = ranges
                .joined()
                .into_iter()
                .map(|(first, last, ())| addresses(family, first, last))
                .collect();
            out.named("set", name, kind, &elements);
            let field = address_field(family, End::Destination);
            rules.push(format!("{field} @{name} counter drop"));
        }
        out.chain("guard", None, &rules);
        Some(format!("oifname {uplinks} goto guard"))
    }
}

const fn address_field(family: Family, end: End) -> &'static str {
    match (family, end) {
        (Family::V4, End::Source) => "ip saddr",
        (Family::V4, End::Destination) => "ip daddr",
        (Family::V6, End::Source) => "ip6 saddr",
        (Family::V6, End::Destination) => "ip6 daddr",
    }
}

fn quoted(name: &IfName) -> String {
    format!("\"{}\"", name.as_str().replace('*', "\\*"))
}

fn set<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    format!("{{ {} }}", items.join(", "))
}

fn list(ranges: &Ranges<()>, write: impl Fn(u128, u128) -> String) -> String {
    let items: Vec<_> = ranges
        .joined()
        .into_iter()
        .map(|(first, last, ())| write(first, last))
        .collect();
    set(&items)
}

fn numbers(first: u128, last: u128) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}
