//! What a lab shall look like: the YAML file, and what is wrong with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::quantity::{Loss, Rate, Span};
use crate::registry::check_name;

/// The three sites with a fibre and an LTE uplink each which `patronus-lab up` makes by default.
pub const DEFAULT: &str = include_str!("../topologies/three-sites.yaml");

/// Limits of the address plan (see [`crate::plan`]).
pub(crate) const MAX_SITES: usize = 127;
pub(crate) const MAX_UPLINKS: usize = 15;
pub(crate) const MAX_ISPS: usize = 60;
pub(crate) const MAX_HOSTS: usize = 100;

/// A lab: ISPs, and sites which are attached to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The providers, at least one.
    pub isps: Vec<Isp>,
    /// The sites, at least one. Their order is their number, from which addresses derive.
    pub sites: Vec<Site>,
}

/// A provider. Providers of one underlay reach each other; different underlays do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Isp {
    /// Its name, and that of its node.
    pub name: String,
    /// The underlay it belongs to.
    #[serde(default = "internet")]
    pub underlay: String,
}

/// A place with one router.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its name, and that of its router's node.
    pub name: String,
    /// What it is among the sites; the lab itself makes no difference.
    #[serde(default)]
    pub role: Role,
    /// Attachments of the router to ISPs, in order of preference.
    pub uplinks: Vec<Uplink>,
    /// The networks behind the router; one with one host when none is named.
    #[serde(default = "one_lan")]
    pub lans: Vec<Lan>,
}

/// What a site is among the sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Has tunnels to every other mesh site and to the hubs.
    #[default]
    Mesh,
    /// Carries traffic between other sites.
    Hub,
    /// Has tunnels to hubs only.
    Spoke,
}

/// A network behind a router.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lan {
    /// Hosts on it.
    #[serde(default = "one")]
    pub hosts: usize,
    /// Overrides the derived IPv4 prefix.
    #[serde(default)]
    pub ipv4: Option<Ipv4Net>,
    /// Overrides the derived IPv6 prefix.
    #[serde(default)]
    pub ipv6: Option<Ipv6Net>,
}

/// How an uplink gets its IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// The lab sets it.
    #[default]
    Static,
    /// The ISP's DHCP server leases it.
    Dhcp,
}

/// One attachment of a router to an ISP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// Its name, unique at the site.
    pub name: String,
    /// The ISP's name.
    pub isp: String,
    /// How it gets its IPv4 address.
    #[serde(default)]
    pub address: Addressing,
    /// The ISP masquerades it behind one public address, and lets no connection in.
    #[serde(default)]
    pub nat: bool,
    /// Whether it has IPv4.
    #[serde(default = "yes")]
    pub ipv4: bool,
    /// Whether it has (static) IPv6; by default unless it is behind NAT or on DHCP.
    #[serde(default)]
    pub ipv6: Option<bool>,
    /// Overrides the derived IPv4 network. First address: ISP, second: router.
    #[serde(default)]
    pub ipv4_network: Option<Ipv4Net>,
    /// Overrides the derived IPv6 network. First address: ISP, second: router.
    #[serde(default)]
    pub ipv6_network: Option<Ipv6Net>,
    /// Largest packet, 1280 to 1500 bytes.
    #[serde(default = "ethernet")]
    pub mtu: u16,
    /// No WAN emulator in between, for throughput measurements.
    #[serde(default)]
    pub direct: bool,
    /// Delay of every packet, in each direction.
    #[serde(default)]
    pub delay: Option<Span>,
    /// Random extra delay from 0 to this, in each direction; packets keep their order.
    #[serde(default)]
    pub jitter: Option<Span>,
    /// Packets lost at random, in each direction.
    #[serde(default)]
    pub loss: Option<Loss>,
    /// Bandwidth, in each direction.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// What is different from the router to the ISP.
    #[serde(default)]
    pub up: Override,
    /// What is different from the ISP to the router.
    #[serde(default)]
    pub down: Override,
}

/// What is different in one direction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// See [`Uplink::delay`].
    #[serde(default)]
    pub delay: Option<Span>,
    /// See [`Uplink::jitter`].
    #[serde(default)]
    pub jitter: Option<Span>,
    /// See [`Uplink::loss`].
    #[serde(default)]
    pub loss: Option<Loss>,
    /// See [`Uplink::rate`].
    #[serde(default)]
    pub rate: Option<Rate>,
}

fn internet() -> String {
    "internet".to_owned()
}

const fn yes() -> bool {
    true
}

const fn one() -> usize {
    1
}

const fn ethernet() -> u16 {
    1500
}

fn one_lan() -> Vec<Lan> {
    vec![Lan {
        hosts: 1,
        ..Lan::default()
    }]
}

impl Topology {
    /// Reads a topology from YAML and checks it.
    ///
    /// # Errors
    /// Names the line for what is no topology, or lists everything that makes no sense.
    pub fn parse(yaml: &str) -> Result<Self> {
        let topology: Self = serde_saphyr::from_str(yaml)
            .map_err(|error| anyhow::anyhow!("the topology cannot be read: {error}"))?;
        topology.check()?;
        Ok(topology)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// Like [`Self::parse`], with the name of the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let yaml =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&yaml).with_context(|| path.display().to_string())
    }

    /// Checks what the types cannot express.
    ///
    /// # Errors
    /// Lists everything that is wrong.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        self.check_sizes(&mut problems);
        self.check_names(&mut problems);
        for site in &self.sites {
            self.check_uplinks(site, &mut problems);
            for (number, lan) in site.lans.iter().enumerate() {
                if lan.hosts > MAX_HOSTS {
                    let place = format!("site {}, LAN {}", site.name, number + 1);
                    problems.push(format!("{place}: {} hosts, at most {MAX_HOSTS}", lan.hosts));
                }
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        bail!("the topology makes no sense:\n  {}", problems.join("\n  "))
    }

    fn check_sizes(&self, problems: &mut Vec<String>) {
        for (what, count, most) in [
            ("isps", self.isps.len(), MAX_ISPS),
            ("sites", self.sites.len(), MAX_SITES),
        ] {
            if count == 0 || count > most {
                problems.push(format!("{what}: there are {count}, must be 1 to {most}"));
            }
        }
    }

    fn check_names(&self, problems: &mut Vec<String>) {
        // All of these become nodes or parts of their names.
        let mut seen = BTreeSet::from(["wan".to_owned()]);
        let sites = self.sites.iter().map(|site| ("site", &site.name));
        for (kind, name) in self.isps.iter().map(|isp| ("isp", &isp.name)).chain(sites) {
            if let Err(error) = check_name(kind, name, 32) {
                problems.push(error.to_string());
            }
            if !seen.insert(name.clone()) {
                problems.push(format!(
                    "{kind} {name}: the name is used twice (or is \"wan\")"
                ));
            }
        }
        for isp in &self.isps {
            if let Err(error) = check_name("underlay", &isp.underlay, 32) {
                problems.push(error.to_string());
            }
        }
    }

    fn check_uplinks(&self, site: &Site, problems: &mut Vec<String>) {
        let mut complain = |text: String| problems.push(format!("site {}, {text}", site.name));
        if site.uplinks.len() > MAX_UPLINKS {
            complain(format!(
                "uplinks: {} of at most {MAX_UPLINKS}",
                site.uplinks.len()
            ));
        }
        let mut seen = BTreeSet::new();
        for uplink in &site.uplinks {
            let name = &uplink.name;
            if let Err(error) = check_name("uplink", name, 32) {
                complain(error.to_string());
            }
            if !seen.insert(name) {
                complain(format!("uplink {name}: the name is used twice"));
            }
            if !self.isps.iter().any(|isp| isp.name == uplink.isp) {
                let known: Vec<&str> = self.isps.iter().map(|isp| isp.name.as_str()).collect();
                let known = known.join(", ");
                complain(format!(
                    "uplink {name}: no isp {:?}; there are: {known}",
                    uplink.isp
                ));
            }
            if let Some(problem) = uplink.problem() {
                complain(format!("uplink {name}: {problem}"));
            }
        }
    }
}

impl Uplink {
    fn problem(&self) -> Option<String> {
        let emulated = [
            self.delay.is_some(),
            self.jitter.is_some(),
            self.loss.is_some(),
        ];
        let untouched = self.up == Override::default() && self.down == Override::default();
        if !(1280..=1500).contains(&self.mtu) {
            return Some(format!("mtu {}: must be 1280 to 1500", self.mtu));
        }
        if self.direct && (emulated.contains(&true) || self.rate.is_some() || !untouched) {
            return Some("direct: true has no emulator for delay, jitter, loss or rate".to_owned());
        }
        if !self.ipv4 && (self.address == Addressing::Dhcp || self.nat) {
            return Some("dhcp and nat are about IPv4, which ipv4: false switches off".to_owned());
        }
        if !self.ipv4 && !self.has_ipv6() {
            return Some("it has neither IPv4 nor IPv6".to_owned());
        }
        if self.ipv4_network.is_some() && self.address == Addressing::Dhcp {
            return Some("ipv4_network: DHCP pools cannot be overridden".to_owned());
        }
        None
    }

    /// Whether it has IPv6.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.ipv6
            .unwrap_or(!self.nat && self.address == Addressing::Static)
    }
}
