//! Which keys of a part of a configuration are not as they were, in the words of the file.

use patronus_model::bgp::BgpNeighbor;
use patronus_model::policy::{Policy, TrafficClass};
use patronus_model::router::{Bgp, HealthParams, Lan, Overlay, RemoteSite, RouterConfig, Uplink};

/// Names of keys.
pub(super) type Keys = Vec<&'static str>;

fn differing<const N: usize>(keys: [(&'static str, bool); N]) -> Keys {
    let differing = keys.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}

pub(super) fn own(a: &RouterConfig, b: &RouterConfig) -> Keys {
    let (hub, a, b) = (a.hub != b.hub, &a.site, &b.site);
    differing([
        ("id", a.id != b.id),
        ("name", a.name != b.name),
        ("location", a.location != b.location),
        ("labels", a.labels != b.labels),
        ("hub", hub),
    ])
}

pub(super) fn overlay(a: &Overlay, b: &Overlay) -> Keys {
    differing([
        ("ipv4", a.ipv4 != b.ipv4),
        ("ipv6", a.ipv6 != b.ipv6),
        ("prefixes", a.prefixes != b.prefixes),
    ])
}

pub(super) fn uplink(a: &Uplink, b: &Uplink) -> Keys {
    let gateway = a.gateway4 != b.gateway4 || a.gateway6 != b.gateway6;
    let bandwidth = |it: &Uplink| (it.bandwidth_up, it.bandwidth_down);
    differing([
        ("slot", a.slot != b.slot),
        ("interface", a.interface != b.interface),
        ("underlay", a.underlay != b.underlay),
        ("gateway", gateway),
        ("bandwidth", bandwidth(a) != bandwidth(b)),
        ("cost", a.cost != b.cost),
        ("metered", a.metered != b.metered),
        ("listen_port", a.listen_port != b.listen_port),
        // It is in a file of its own.
        ("key", a.public_key != b.public_key),
    ])
}

pub(super) fn lan(a: &Lan, b: &Lan) -> Keys {
    differing([("prefixes", a.prefixes != b.prefixes)])
}

pub(super) fn site(a: &RemoteSite, b: &RemoteSite) -> Keys {
    differing([
        ("name", a.name != b.name),
        ("hub", a.hub != b.hub),
        ("overlay", !a.addresses().eq(b.addresses())),
        ("asn", a.asn != b.asn),
        ("bgp_password", a.bgp_password != b.bgp_password),
        ("prefixes", a.prefixes != b.prefixes),
        ("uplinks", a.uplinks != b.uplinks),
    ])
}

pub(super) fn bgp(a: &Bgp, b: &Bgp) -> Keys {
    differing([
        ("asn", a.asn != b.asn),
        ("router_id", a.router_id != b.router_id),
        ("timers", a.timers != b.timers),
        ("graceful_restart", a.graceful_restart != b.graceful_restart),
        ("maximum_prefixes", a.maximum_prefixes != b.maximum_prefixes),
        (
            "originate_default",
            a.originate_default != b.originate_default,
        ),
    ])
}

pub(super) fn neighbor(a: &BgpNeighbor, b: &BgpNeighbor) -> Keys {
    differing([
        ("description", a.description != b.description),
        ("asn", a.remote_asn != b.remote_asn),
        ("password", a.password != b.password),
        ("update_source", a.update_source != b.update_source),
        ("multihop", a.ebgp_multihop != b.ebgp_multihop),
        ("next_hop_self", a.next_hop_self != b.next_hop_self),
        ("advertise", a.advertise != b.advertise),
        ("accept_default", a.accept != b.accept),
        ("timers", a.timers != b.timers),
        ("bfd", a.bfd != b.bfd),
    ])
}

pub(super) fn class(a: &TrafficClass, b: &TrafficClass) -> Keys {
    differing([
        ("id", a.id != b.id),
        ("qos", a.qos != b.qos),
        ("dscp", a.dscp != b.dscp),
        ("strategy", a.strategy != b.strategy),
        ("failover", a.failover != b.failover),
    ])
}

pub(super) fn policy(a: &Policy, b: &Policy) -> Keys {
    differing([
        ("priority", a.priority != b.priority),
        ("match", a.matches != b.matches),
        ("action", a.action != b.action),
    ])
}

pub(super) fn health(a: &HealthParams, b: &HealthParams) -> Keys {
    let degraded = |it: &HealthParams| (it.degraded_latency, it.degraded_loss_permille);
    differing([
        ("bfd", a.bfd != b.bfd),
        ("degraded", degraded(a) != degraded(b)),
        ("dampening", a.dampening != b.dampening),
        ("start_grace", a.start_grace != b.start_grace),
        ("stop_grace", a.stop_grace != b.stop_grace),
    ])
}
