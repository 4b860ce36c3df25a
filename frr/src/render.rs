//! From what a router shall say over BGP to the configuration of FRR.
//!
//! Everything written here is in the form in which FRR prints it back, so that what was asked for
//! can be compared with what is. Sessions between sites run between overlay addresses, one for
//! each address family.

mod policy;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use patronus_model::bgp::{Advertise, BfdTimers, BgpInstance, BgpNeighbor};
use zeroize::Zeroizing;

use crate::daemon::Daemon;
use crate::tree::{Node, Tree};

pub(crate) use policy::Family;

/// Seconds of graceful restart that FRR does not show, because they are its default
/// (`BGP_DEFAULT_RESTART_TIME`).
const DEFAULT_RESTART_TIME: u64 = 120;

/// What FRR has to know of the overlay.
///
/// Its interface must have an IPv6 link-local address: bgpd 8.4 refuses IPv6 sessions on an
/// interface without one ("waiting until one is created for it"), though with what is rendered
/// here no route ever uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// The subnet of the IPv4 overlay addresses; never announced, never accepted.
    pub subnet_v4: Option<Ipv4Net>,
    /// The subnet of the IPv6 overlay addresses.
    pub subnet_v6: Option<Ipv6Net>,
    /// The kernel's routing table for all that BGP learns; `None` means the main table. A table of
    /// their own keeps these routes from competing with the machine's own: in the main table zebra
    /// never installs a learned default route beside a DHCP one, and a rule that consults the main
    /// table would catch packets before the class tables do. It is one table for sites and third
    /// parties, as bgpd never takes away a route of a prefix whose best path is in another table
    /// now.
    pub learned_table: Option<u32>,
}

impl Overlay {
    /// Whether a neighbour is another site rather than a third party.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self
                .subnet_v4
                .is_some_and(|subnet| subnet.contains(&address)),
            IpAddr::V6(address) => self
                .subnet_v6
                .is_some_and(|subnet| subnet.contains(&address)),
        }
    }
}

/// All that FRR is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// What is said over BGP.
    pub bgp: BgpInstance,
    /// Where it is said.
    pub overlay: Overlay,
}

/// The configuration of the daemons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// zebra: how routes are handed to the kernel.
    pub zebra: Tree,
    /// bfdd: profiles.
    pub bfdd: Tree,
    /// bgpd: policy and sessions.
    pub bgpd: Tree,
}

impl Config {
    /// The part of one daemon; empty for daemons which we tell nothing.
    #[must_use]
    pub fn of(&self, daemon: Daemon) -> Tree {
        match daemon {
            Daemon::Zebra => self.zebra.clone(),
            Daemon::Bfdd => self.bfdd.clone(),
            Daemon::Bgpd => self.bgpd.clone(),
            Daemon::Mgmtd | Daemon::Staticd => Tree::default(),
        }
    }

    /// The daemons that are needed for it.
    #[must_use]
    pub fn daemons(&self) -> Vec<Daemon> {
        let bfdd = (!self.bfdd.nodes.is_empty()).then_some(Daemon::Bfdd);
        Daemon::REQUIRED.into_iter().chain(bfdd).collect()
    }

    /// The text of `frr.conf`, from which daemons start. May hold passwords.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(FRR_CONF_HEAD.to_owned());
        for tree in [&self.zebra, &self.bfdd, &self.bgpd] {
            text.push_str(&tree.to_text());
        }
        text
    }
}

/// What every `frr.conf` of ours begins with.
pub(crate) const FRR_CONF_HEAD: &str = "\
! Written by patronusd; changes are overwritten.
frr defaults traditional
log syslog informational
!
";

/// The one line that zebra is told, at run time and in its own file before it starts.
///
/// Routes then carry their next hop themselves rather than the number of a nexthop object: a
/// follower of kernel events needs to follow one group instead of two, and after a crash of zebra
/// with 10,000 routes it sees 4 events instead of 10,016 (measured with FRR 8.4.4).
pub(crate) const ZEBRA_LINE: &str = "no zebra nexthop kernel enable";

/// Seconds until a change of a route-map takes effect; FRR's own default is 5, and 0 means never.
const ROUTE_MAP_DELAY: u8 = 1;

/// Milliseconds for which routes for peers that come up one after another are held back, so that
/// they can share their updates. FRR's own 1000 and more made a spoke wait 3.3 s for its routes
/// after a reset of its session; with 50 it was 2.1 s.
const COALESCE_MILLIS: u16 = 100;

/// At how many percent of the prefixes that a neighbour may announce bgpd logs a warning.
const PREFIX_WARNING: u8 = 80;

/// Minutes until a session that was ended because of too many prefixes is tried again.
const PREFIX_PAUSE: u16 = 5;

/// FRR 8.4 shows 255 hops with the number and 10.3 without; 254 it shows alike.
const MOST_HOPS: u8 = 254;

/// Renders the configuration.
#[must_use]
pub fn render(desired: &Desired) -> Config {
    Config {
        zebra: Tree {
            nodes: vec![Node::leaf(ZEBRA_LINE)],
        },
        bfdd: Tree {
            nodes: bfd(&desired.bgp).into_iter().collect(),
        },
        bgpd: bgpd(desired),
    }
}

fn bgpd(desired: &Desired) -> Tree {
    let mut nodes = vec![Node::leaf(&format!(
        "bgp route-map delay-timer {ROUTE_MAP_DELAY}"
    ))];
    nodes.extend(policy::prefix_lists(desired));
    nodes.extend(policy::route_maps(desired));
    nodes.push(router(desired));
    Tree { nodes }
}

fn router(desired: &Desired) -> Node {
    let bgp = &desired.bgp;
    let mut lines = instance(bgp);
    for neighbor in &bgp.neighbors {
        lines.extend(session(bgp, neighbor));
    }
    for family in [Family::V4, Family::V6] {
        lines.extend(address_family(desired, family));
    }
    Node::context(&format!("router bgp {}", bgp.asn), lines)
}

fn instance(bgp: &BgpInstance) -> Vec<Node> {
    let mut lines = vec![
        Node::leaf(&format!("bgp router-id {}", bgp.router_id)),
        Node::leaf("bgp log-neighbor-changes"),
        // Otherwise what a route-map sets is lost for reflected routes, as is the IPv6 next hop.
        Node::leaf("bgp route-reflector allow-outbound-policy"),
        // Each session carries the family of its addresses, which is activated below.
        Node::leaf("no bgp default ipv4-unicast"),
        // Every router picks the same owner of a prefix that two sites announce, whichever it
        // heard first.
        Node::leaf("bgp bestpath compare-routerid"),
        // What is announced is for the planner to decide, which knows more about a LAN than
        // whether some route in the kernel has exactly its prefix.
        Node::leaf("no bgp network import-check"),
        Node::leaf(&format!("coalesce-time {COALESCE_MILLIS}")),
    ];
    if let Some(restart) = bgp.graceful_restart {
        // The order in which FRR must be told: peers made later inherit it.
        let seconds = restart.as_secs().clamp(1, 4095); // RFC 4724 section 3: 12 bits
        if seconds != DEFAULT_RESTART_TIME {
            let line = format!("bgp graceful-restart restart-time {seconds}");
            lines.push(Node::leaf(&line));
        }
        lines.push(Node::leaf("bgp graceful-restart"));
        lines.push(Node::leaf("bgp graceful-restart preserve-fw-state"));
    }
    lines
}

/// What is said about a neighbour at the level of the session.
fn session(bgp: &BgpInstance, neighbor: &BgpNeighbor) -> Vec<Node> {
    let mut lines = vec![format!("remote-as {}", neighbor.remote_asn)];
    let description = describe(&neighbor.description);
    if !description.is_empty() {
        lines.push(format!("description {description}"));
    }
    if let Some(timers) = &neighbor.bfd {
        lines.push("bfd".to_owned());
        lines.push(format!("bfd profile {}", profile_name(timers)));
    }
    // FRR does not print it for internal neighbours, nor the default of 1.
    let external = neighbor.remote_asn != bgp.asn;
    if let Some(hops) = neighbor.ebgp_multihop.filter(|hops| external && *hops > 1) {
        lines.push(format!("ebgp-multihop {}", hops.min(MOST_HOPS)));
    }
    if let Some(source) = neighbor.update_source {
        lines.push(format!("update-source {source}"));
    }
    lines.push("advertisement-interval 0".to_owned());
    let timers = &neighbor.timers;
    lines.push(format!("timers {} {}", timers.keepalive, timers.hold));
    lines.push(format!("timers connect {}", timers.connect_retry));
    let mut nodes: Vec<Node> = lines
        .into_iter()
        .map(|line| Node::leaf(&format!("neighbor {} {line}", neighbor.address)))
        .collect();
    nodes.extend(password(neighbor));
    nodes
}

/// Kept apart so that the text which holds the password is wiped.
fn password(neighbor: &BgpNeighbor) -> Option<Node> {
    let secret = neighbor.password.as_ref()?;
    let line = Zeroizing::new(format!(
        "neighbor {} password {}",
        neighbor.address,
        secret.expose()
    ));
    Some(Node::leaf(&line))
}

fn address_family(desired: &Desired, family: Family) -> Option<Node> {
    let bgp = &desired.bgp;
    let mut lines: Vec<Node> = bgp
        .networks
        .iter()
        .filter(|network| family.holds(network.addr()))
        .map(|network| {
            Node::leaf(&format!(
                "network {} route-map {}",
                network.trunc(),
                policy::OWN
            ))
        })
        .collect();
    for neighbor in bgp
        .neighbors
        .iter()
        .filter(|neighbor| family.holds(neighbor.address))
    {
        lines.extend(activation(desired, neighbor, family));
    }
    if lines.is_empty() {
        return None;
    }
    // A prefix belongs to one site; the class tables spread traffic over paths, not BGP.
    lines.push(Node::leaf("maximum-paths 1"));
    lines.push(Node::leaf("maximum-paths ibgp 1"));
    Some(Node::context(
        &format!("address-family {family} unicast"),
        lines,
    ))
}

fn activation(desired: &Desired, neighbor: &BgpNeighbor, family: Family) -> Vec<Node> {
    let site = desired.overlay.contains(neighbor.address);
    let internal = neighbor.remote_asn == desired.bgp.asn;
    let mut lines = vec!["activate".to_owned()];
    if internal && tells_everything(neighbor.advertise) {
        // Without it nothing learned from one internal neighbour reaches another (RFC 4456).
        lines.push("route-reflector-client".to_owned());
    }
    if neighbor.next_hop_self {
        // Without `force`, next hops within the shared subnet and of reflected routes stay.
        lines.push("next-hop-self force".to_owned());
    }
    if neighbor.advertise == Advertise::EverythingAndDefault {
        lines.push("default-originate".to_owned());
    }
    if let Some(most) = neighbor.maximum_prefixes {
        lines.push(format!(
            "maximum-prefix {most} {PREFIX_WARNING} restart {PREFIX_PAUSE}"
        ));
    }
    lines.push(format!(
        "route-map {} in",
        policy::inbound(site, neighbor.accept, family)
    ));
    lines.push(format!(
        "route-map {} out",
        policy::outbound(desired, neighbor)
    ));
    lines
        .into_iter()
        .map(|line| Node::leaf(&format!("neighbor {} {line}", neighbor.address)))
        .collect()
}

const fn tells_everything(advertise: Advertise) -> bool {
    matches!(
        advertise,
        Advertise::Everything | Advertise::EverythingAndDefault
    )
}

/// Profiles are named by what they say and therefore never change.
fn bfd(bgp: &BgpInstance) -> Option<Node> {
    let mut seen = BTreeSet::new();
    let profiles: Vec<Node> = bgp
        .neighbors
        .iter()
        .filter_map(|neighbor| neighbor.bfd.as_ref())
        .filter(|timers| seen.insert(profile_name(timers)))
        .map(profile)
        .collect();
    (!profiles.is_empty()).then(|| Node::context("bfd", profiles))
}

fn profile_name(timers: &BfdTimers) -> String {
    let (transmit, receive) = (
        bfd_millis(timers.desired_min_tx),
        bfd_millis(timers.required_min_rx),
    );
    format!("patronus-{transmit}-{receive}-{}", bfd_multiplier(timers))
}

/// FRR does not print its defaults: 300 ms both ways, three packets.
fn profile(timers: &BfdTimers) -> Node {
    let (transmit, receive) = (
        bfd_millis(timers.desired_min_tx),
        bfd_millis(timers.required_min_rx),
    );
    let multiplier = bfd_multiplier(timers);
    let mut lines = Vec::new();
    if multiplier != 3 {
        lines.push(Node::leaf(&format!("detect-multiplier {multiplier}")));
    }
    if transmit != 300 {
        lines.push(Node::leaf(&format!("transmit-interval {transmit}")));
    }
    if receive != 300 {
        lines.push(Node::leaf(&format!("receive-interval {receive}")));
    }
    Node::context(&format!("profile {}", profile_name(timers)), lines)
}

/// FRR's range is 10 to 60,000 ms.
fn bfd_millis(interval: Duration) -> u128 {
    interval.as_millis().clamp(10, 60_000)
}

/// FRR's range is 2 to 255.
fn bfd_multiplier(timers: &BfdTimers) -> u8 {
    timers.detect_mult.max(2)
}

/// A description as FRR takes it: one line of printable ASCII with single blanks, at most 80
/// characters, and without `|`, which FRR takes for a pipe, and `?`, which asks for help.
fn describe(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| match c {
            '|' | '?' => '/',
            c if c.is_ascii_graphic() => c,
            c if c.is_whitespace() || c.is_control() => ' ',
            _ => '_',
        })
        .take(80)
        .collect();
    plain.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// A subnet and all within it, in the words of a prefix-list.
pub(crate) fn covering(subnet: IpNet) -> String {
    let longest = if subnet.addr().is_ipv4() { 32 } else { 128 };
    let network = subnet.trunc();
    if network.prefix_len() == longest {
        network.to_string()
    } else {
        format!("{network} le {longest}")
    }
}
