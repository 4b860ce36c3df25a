//! What the kernel, the programs and our privileges allow.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use patronus_model::firewall::Firewall;
use patronus_model::ids::{ClassId, Dscp};
use patronus_model::kernel::{Family, Rule, Selector};
use patronus_model::layout::KernelLayout;

use super::Capability;
use crate::command::run;
use crate::error::{Doing, Error};
use crate::netlink::link::{self, Kind};
use crate::netlink::{Netlink, nexthop, rule};
use crate::nftables::script;

const LIMIT: Duration = Duration::from_secs(5);

/// What came of an attempt: how it went well, or why not.
type Probe = Result<String, String>;

fn capability(
    name: &'static str,
    required: bool,
    probe: Probe,
    [needed_for, cost_when_missing, remedy]: [&'static str; 3],
) -> Capability {
    let found = probe.is_ok();
    let detail = probe.unwrap_or_else(|reason| reason);
    Capability {
        name,
        found,
        detail,
        required,
        needed_for,
        cost_when_missing,
        remedy,
    }
}

/// What was tried in a namespace of its own.
struct Tried {
    links: BTreeMap<&'static str, Probe>,
    nexthops: Probe,
    rules: Probe,
    nftables: Probe,
}

/// Tries things where they leave nothing behind.
fn try_out(layout: &KernelLayout) -> Result<Tried, String> {
    let layout = layout.clone();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).doing(|| "making a network namespace".to_owned())?;
        let mut netlink = Netlink::open()?;
        let kinds = [
            ("wireguard", Kind::Wireguard),
            ("dummy", Kind::Dummy),
            ("ifb", Kind::Ifb),
            ("veth", Kind::Veth("probe-peer".to_owned())),
        ];
        let links = kinds.map(|(name, kind)| (name, try_link(&mut netlink, name, &kind)));
        Ok::<_, Error>(Tried {
            links: links.into(),
            nexthops: try_nexthop(&mut netlink, &layout),
            rules: try_rules(&mut netlink, &layout),
            nftables: try_nftables(&layout),
        })
    });
    match thread.join() {
        Ok(Ok(tried)) => Ok(tried),
        Ok(Err(error)) => Err(error.report()),
        Err(_) => Err("the probe panicked".to_owned()),
    }
}

fn try_link(netlink: &mut Netlink, name: &str, kind: &Kind) -> Probe {
    let message = link::create(name, kind);
    let result = netlink.request(&message, || format!("creating an interface of kind {name}"));
    outcome(result, "the kernel has it")
}

fn try_nexthop(netlink: &mut Netlink, layout: &KernelLayout) -> Probe {
    let loopback = 1;
    let doing = || "creating a nexthop object".to_owned();
    let result = netlink
        .request(&link::raise(loopback, 65_536), doing)
        .and_then(|()| netlink.request(&nexthop::put(layout.protocol, 1, loopback), doing));
    outcome(result, "the kernel has them")
}

fn try_rules(netlink: &mut Netlink, layout: &KernelLayout) -> Probe {
    let mut result = Ok(());
    for family in Family::ALL {
        let rule = Rule {
            priority: layout.rule_base,
            family,
            selector: Selector::Mark { value: 1, mask: 1 },
            table: layout.table_base,
        };
        result = result.and_then(|()| {
            netlink.request(&rule::put(layout.protocol, &rule), || {
                format!("creating a rule for {family:?}")
            })
        });
    }
    outcome(result, "both families")
}

fn try_nftables(layout: &KernelLayout) -> Probe {
    let class = ClassId::new(ClassId::MIN).map_err(|error| error.to_string())?;
    let dscp = Dscp::new(Dscp::MIN).map_err(|error| error.to_string())?;
    let firewall = Firewall {
        uplinks: [].into(),
        tunnels: layout.tunnel_group(),
        policies: Vec::new(),
        default_class: class,
        dscp: [(class, dscp)].into(),
        guarded: [].into(),
        marks: layout.marks,
    };
    let version = run("nft", &["--version"], String::new(), LIMIT).map_err(|e| e.report())?;
    let result =
        script(&firewall).and_then(|script| run("nft", &["-f", "-"], script, LIMIT).map(drop));
    outcome(result, version.trim())
}

fn outcome(result: Result<(), Error>, well: &str) -> Probe {
    match result {
        Ok(()) => Ok(well.to_owned()),
        Err(error) => Err(error.report()),
    }
}

/// What the kernel has.
pub(super) fn kernel(layout: &KernelLayout) -> Vec<Capability> {
    let tried = match try_out(layout) {
        Ok(tried) => tried,
        Err(reason) => {
            let texts = [
                "trying things out without touching anything",
                "the kernel's abilities are not known until they are needed",
                "run as root",
            ];
            return vec![capability("network namespaces", false, Err(reason), texts)];
        }
    };
    let link = |name| {
        let probe = tried.links.get(name).cloned();
        probe.unwrap_or_else(|| Err("not tried".to_owned()))
    };
    let any = [link("dummy"), link("ifb"), link("veth")];
    let overlay = any.iter().find(|probe| probe.is_ok()).cloned();
    let kinds = ["dummy", "ifb", "veth"];
    let which = any.iter().zip(kinds).find(|(probe, _)| probe.is_ok());
    let overlay = match (overlay, which) {
        (Some(_), Some((_, kind))) => Ok(format!("of kind {kind}")),
        _ => Err("neither dummy, ifb nor veth".to_owned()),
    };
    vec![
        capability(
            "kernel WireGuard",
            false,
            link("wireguard"),
            [
                "tunnels",
                "wireguard-go does it in user space, at about 2 cores for each Gbit/s",
                "install a kernel of 5.6 or newer with the module wireguard",
            ],
        ),
        capability(
            "overlay interface",
            true,
            overlay,
            [
                "the interface that FRR sees as the overlay",
                "no dynamic routing",
                "load the kernel module dummy",
            ],
        ),
        capability(
            "nexthop objects",
            true,
            tried.nexthops,
            [
                "moving all routes of a site by one message",
                "no failover",
                "install a kernel of 5.3 or newer",
            ],
        ),
        capability(
            "policy routing",
            true,
            tried.rules,
            [
                "routing by class and by uplink",
                "nothing is steered",
                "use a kernel with CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES",
            ],
        ),
        capability(
            "nftables with conntrack",
            true,
            tried.nftables,
            [
                "classification, marks, the guard against leaks",
                "nothing is steered",
                "install nftables 1.0.6 or newer, and the kernel modules nf_tables and nf_conntrack",
            ],
        ),
        capability(
            "nexthop_compat_mode",
            false,
            file("/proc/sys/net/ipv4/nexthop_compat_mode"),
            [
                "failover in microseconds",
                "every move of a class takes as long as rewriting its routes: 10 to 35 ms for 10,000",
                "install a kernel of 5.8 or newer",
            ],
        ),
        capability(
            "TUN",
            false,
            file("/dev/net/tun"),
            [
                "wireguard-go",
                "without kernel WireGuard there are no tunnels",
                "load the kernel module tun",
            ],
        ),
    ]
}

/// What a TCP-MD5 key takes of what a socket may have: `struct tcp_md5sig_key`. Measured: of 1,000
/// keys 963 fit in 128 KiB.
const MD5_KEY: usize = 136;

/// Whether bgpd's listening socket, which has the keys of all sessions of a family, can hold them.
///
/// We do not raise the limit by ourselves: it is one of all sockets of the machine, and what its
/// default allows is enough for nearly everybody.
pub(super) fn passwords(needed: usize) -> Capability {
    let limit = fs::read_to_string("/proc/sys/net/core/optmem_max");
    let limit = limit.ok().and_then(|text| text.trim().parse().ok());
    let texts = [
        "the passwords of BGP sessions (TCP-MD5)",
        "the sessions whose password does not fit are never established",
        "put net.core.optmem_max = 1048576 into a file in /etc/sysctl.d, and run sysctl --system",
    ];
    capability("BGP passwords", false, room_for(needed, limit), texts)
}

fn room_for(needed: usize, limit: Option<usize>) -> Probe {
    // Outside of the first network namespace, older kernels show none.
    let Some(limit) = limit else {
        return Ok(format!(
            "{needed} configured; the kernel's limit is not known here"
        ));
    };
    let room = limit.saturating_sub(1) / MD5_KEY;
    match needed <= room {
        true => Ok(format!("{needed} configured, room for {room}")),
        false => Err(format!(
            "{needed} configured, room for {room}: net.core.optmem_max is {limit}"
        )),
    }
}

fn file(path: &str) -> Probe {
    if Path::new(path).exists() {
        Ok(path.to_owned())
    } else {
        Err(format!("there is no {path}"))
    }
}

/// What other programs there are.
pub(super) fn programs(wireguard_go: &Path) -> Vec<Capability> {
    let daemons = ["zebra", "bgpd", "staticd", "bfdd"];
    let missing: Vec<_> = daemons
        .into_iter()
        .filter(|name| !Path::new("/usr/lib/frr").join(name).exists())
        .collect();
    let frr = if missing.is_empty() {
        version("/usr/lib/frr/zebra", "--version")
    } else {
        Err(format!("not in /usr/lib/frr: {}", missing.join(", ")))
    };
    vec![
        capability(
            "wireguard-go",
            false,
            version(&wireguard_go.to_string_lossy(), "--version"),
            [
                "tunnels where the kernel has no WireGuard",
                "without kernel WireGuard there are no tunnels",
                "apt install wireguard-go",
            ],
        ),
        capability(
            "FRR",
            false,
            frr,
            [
                "BGP between sites and with neighbours",
                "only prefixes in the configuration are known",
                "apt install frr",
            ],
        ),
    ]
}

/// The first line that a program says of itself.
fn version(program: &str, argument: &str) -> Probe {
    let text = run(program, &[argument], String::new(), LIMIT).map_err(|error| error.report())?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What we are allowed to do.
pub(super) fn privileges() -> Vec<Capability> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let bits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .unwrap_or(0);
    // Numbers: linux/capability.h.
    let probe = |bit: u32| {
        if bits & (1 << bit) == 0 {
            Err("not in the effective set".to_owned())
        } else {
            Ok("in the effective set".to_owned())
        }
    };
    let remedy = "run as root, or give it to the service by AmbientCapabilities=";
    vec![
        capability(
            "CAP_NET_ADMIN",
            true,
            probe(12),
            [
                "everything that is done to the kernel",
                "nothing works",
                remedy,
            ],
        ),
        capability(
            "CAP_NET_RAW",
            true,
            probe(13),
            [
                "binding sockets to interfaces",
                "paths are not watched",
                remedy,
            ],
        ),
        capability(
            "CAP_SYS_NICE",
            false,
            probe(23),
            [
                "running the watch over paths before everything else",
                "false alarms on a busy machine",
                remedy,
            ],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_do_not_fit_are_missed() {
        assert!(room_for(963, Some(131_072)).is_ok());
        let lacking = room_for(1_000, Some(131_072));
        let words = "1000 configured, room for 963: net.core.optmem_max is 131072";
        assert_eq!(lacking, Err(words.to_owned()));
        assert!(room_for(151, Some(20_480)).is_err());
        assert!(room_for(1_000, Some(1_048_576)).is_ok());
        assert!(room_for(1_000, None).is_ok());
    }
}
