//! A lab with Patronus on all of its routers, and the questions that tests ask it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use patronus_lab::traffic::{Endpoint, TcpFlow, TcpSpec, UdpSpec, UdpStream};
use patronus_lab::{Host, Lab, Topology};
use serde_json::Value;

use crate::deploy::Deployment;
use crate::processes::processes;
use crate::turn::Turn;

/// How long a network may take to come up on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Does nothing for so long.
pub fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// A port that the policies of labs put into the class `voice`.
pub const VOICE: u16 = 5060;
/// A port that no policy names: the class `standard`.
pub const STANDARD: u16 = 9000;
/// A TCP port that the policies put into the class `bulk`.
pub const BULK: u16 = 873;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A lab with Patronus on all of its routers.
pub struct Network {
    /// The lab.
    pub lab: Lab,
    /// Patronus.
    pub patronus: Deployment,
    // Dropped last: until then there are processes of ours.
    _turn: Turn,
}

impl Network {
    /// Brings it up, as soon as no test is [`alone`](crate::alone), and waits until all paths and BGP sessions are up and every LAN is known
    /// everywhere.
    ///
    /// # Errors
    /// When something is missing or does not come up.
    pub fn up(topology: &str) -> Result<Self> {
        Self::up_with(topology, |_, _| {})
    }

    /// The same, with changes to the configuration of each site.
    ///
    /// # Errors
    /// Like [`Self::up`].
    pub fn up_with(topology: &str, adjust: impl Fn(&str, &mut Value)) -> Result<Self> {
        let network = Self::start(topology, adjust)?;
        network.patronus.wait_until_well(PATIENCE)?;
        network.wait_for_routes(PATIENCE)?;
        Ok(network)
    }

    /// The same, without waiting.
    ///
    /// # Errors
    /// Like [`Self::up`].
    pub fn start(topology: &str, adjust: impl Fn(&str, &mut Value)) -> Result<Self> {
        let turn = Turn::take();
        let lab = Lab::up(&Topology::parse(topology)?)?;
        let patronus = Deployment::start(&lab, adjust)?;
        Ok(Self {
            _turn: turn,
            ..Self::of(lab, patronus)
        })
    }

    /// One that is up already.
    #[must_use]
    pub fn of(lab: Lab, patronus: Deployment) -> Self {
        Self {
            lab,
            patronus,
            _turn: Turn::take(),
        }
    }

    /// Waits until hosts behind every pair of sites reach each other in both families.
    ///
    /// # Errors
    /// Names a pair that does not.
    pub fn wait_for_routes(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        for (from, to) in self.pairs() {
            for family in [Family::V4, Family::V6] {
                while let Err(error) = self.ping(&from, &to, family) {
                    if Instant::now() > deadline {
                        return Err(error.context(format!("{from} does not reach {to}")));
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
        Ok(())
    }

    /// All ordered pairs of sites.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        let names = || self.lab.plan().sites.iter().map(|site| site.name.clone());
        names()
            .flat_map(|a| names().map(move |b| (a.clone(), b)))
            .filter(|(a, b)| a != b)
            .collect()
    }

    /// Pings from the first host of a site to that of another.
    ///
    /// # Errors
    /// When none of three is answered within a second.
    pub fn ping(&self, from: &str, to: &str, family: Family) -> Result<()> {
        let target = self.address(to, family)?.to_string();
        let host = self.lab.host(from, 1)?;
        host.node()
            // One of them has to come back: some of the links lose packets.
            .run(["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", &target])
            .map(drop)
    }

    /// The address of the first host of a site.
    ///
    /// # Errors
    /// When there is no such site or family.
    pub fn address(&self, site: &str, family: Family) -> Result<IpAddr> {
        address(&self.lab.host(site, 1)?, family)
    }

    /// A UDP stream in both directions between the first hosts of two sites, from the same port to
    /// the same port: 500 packets a second each way.
    ///
    /// # Errors
    /// When there is no such site.
    pub fn stream(&self, a: &str, b: &str, port: u16, family: Family) -> Result<UdpStream> {
        UdpStream::start(&UdpSpec::new(
            self.endpoint(a, port, family)?,
            self.endpoint(b, port, family)?,
        ))
    }

    /// A TCP connection between the first hosts of two sites that sends at 2 Mbit/s.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn connection(&self, from: &str, to: &str, port: u16) -> Result<TcpFlow> {
        TcpFlow::start(&TcpSpec {
            from: self.endpoint(from, 0, Family::V4)?,
            to: self.endpoint(to, port, Family::V4)?,
            rate: Some("2mbit".parse()?),
        })
    }

    fn endpoint(&self, site: &str, port: u16, family: Family) -> Result<Endpoint> {
        let host = self.lab.host(site, 1)?;
        Ok(Endpoint::new(host.node(), address(&host, family)?, port))
    }

    /// Packets received and sent on each tunnel of a router since it was made.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn tunnel_packets(&self, site: &str) -> Result<BTreeMap<String, (u64, u64)>> {
        let node = self.lab.router(site)?.node().clone();
        let text = node.run(["ip", "-s", "-j", "link", "show"])?;
        let links: Vec<Value> = serde_json::from_str(&text).context("ip -j link")?;
        let count = |link: &Value, way: &str| {
            let packets = link.pointer(&format!("/stats64/{way}/packets"));
            packets.and_then(Value::as_u64).unwrap_or(0)
        };
        let named = links
            .iter()
            .filter_map(|link| Some((link["ifname"].as_str()?, link)));
        let tunnels = named.filter(|(name, _)| name.starts_with("pat-"));
        Ok(tunnels
            .map(|(name, l)| (name.to_owned(), (count(l, "rx"), count(l, "tx"))))
            .collect())
    }

    /// The path of a class from one site to another, as `LOCAL→REMOTE` uplinks.
    ///
    /// # Errors
    /// When the command line fails or shows no such path.
    pub fn path_of(&mut self, from: &str, to: &str, class: &str) -> Result<String> {
        let paths = self.patronus.at(from)?.json(&["paths"])?;
        let carries = |path: &&Value| {
            let classes = path["classes"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            path["destSiteId"] == to && classes.iter().any(|c| *c == class)
        };
        let paths = paths.as_array().context("no list")?;
        let Some(path) = paths.iter().find(carries) else {
            bail!("{class} has no path from {from} to {to}")
        };
        let end = |side: &str| path[side].as_str().unwrap_or("?").to_owned();
        Ok(format!("{}→{}", end("localUplink"), end("remoteUplink")))
    }

    /// How often traffic of a class has moved from one path to another at a site, towards any other.
    ///
    /// # Errors
    /// When the command line fails.
    pub fn moves(&mut self, site: &str, class: &str) -> Result<usize> {
        self.count_moves(site, |moved| moved == class)
    }

    /// How often traffic of any class has moved from one path to another at any site.
    ///
    /// # Errors
    /// When the command line fails.
    pub fn all_moves(&mut self) -> Result<usize> {
        let sites: Vec<String> = self
            .patronus
            .routers()
            .map(|(name, _)| name.into())
            .collect();
        let counts = sites.iter().map(|site| self.count_moves(site, |_| true));
        counts.sum()
    }

    fn count_moves(&mut self, site: &str, counts: impl Fn(&str) -> bool) -> Result<usize> {
        let events = self
            .patronus
            .at(site)?
            .json(&["events", "--last", "10000"])?;
        let events = events.as_array().context("events: no list")?;
        let moved = |event: &&Value| {
            let class = event.pointer("/details/class").and_then(Value::as_str);
            let from = event.pointer("/details/from");
            event["kind"] == "moved"
                && class.is_some_and(&counts)
                && !from.is_none_or(Value::is_null)
        };
        Ok(events.iter().filter(moved).count())
    }

    /// Process ids, as the site's router sees them, of its own programs whose command line matches a
    /// pattern.
    ///
    /// # Errors
    /// When there is no such site.
    pub fn processes(&self, site: &str, pattern: &str) -> Result<Vec<String>> {
        let router = self.lab.router(site)?;
        let found = processes(router.node(), &format!("-f '{pattern}'"))?;
        Ok(found.into_keys().collect())
    }

    /// Waits until a condition holds.
    ///
    /// # Errors
    /// What the condition said last, when it takes longer than `patience`.
    pub fn wait_until(
        &mut self,
        patience: Duration,
        mut holds: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let result = holds(self);
            if matches!(result, Ok(true)) {
                return Ok(started.elapsed());
            }
            if started.elapsed() > patience {
                result?;
                bail!("it did not come about within {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn address(host: &Host, family: Family) -> Result<IpAddr> {
    let addresses = host.plan().addresses.iter().map(|at| at.address);
    let wanted = |address: &IpAddr| address.is_ipv4() == (family == Family::V4);
    addresses
        .into_iter()
        .find(wanted)
        .context("the host has no address of this family")
}
