//! Carrying out a plan. It has no choices: every step is made, in order, whatever failed before.

use std::collections::HashMap;
use std::time::Instant;

use ipnet::IpNet;
use patronus_model::ids::IfName;
use patronus_model::kernel::{ApplyOutcome, Change, Plan, RouteKey, RouteTarget};

use crate::error::{Doing, Error, Refusal};
use crate::kernel::Kernel;
use crate::netlink::codec::Message;
use crate::netlink::route::{self, RawTarget};
use crate::netlink::{nexthop, rule};
use crate::overlay;
use crate::wireguard::Wireguard;

/// A message, and the refusals of it that do not matter.
type Step = (Message, &'static [i32]);

/// There is no such route, or not even such a table.
const GONE: &[i32] = &[libc::ESRCH, libc::ENOENT];

/// Messages of steps that only need messages, waiting to be sent together.
#[derive(Default)]
struct Waiting<'a> {
    messages: Vec<Message>,
    /// For each message, the step that it belongs to and the refusals that do not matter.
    about: Vec<(&'a Change, &'static [i32])>,
    /// How many steps they are.
    steps: usize,
}

/// Interfaces by name, as long as no step of the plan touches them.
type Indices = HashMap<IfName, u32>;

/// What was done and what was not.
#[derive(Default)]
struct Tally {
    done: usize,
    failed: Vec<String>,
}

impl Tally {
    fn count(&mut self, result: Result<(), Error>) {
        match result {
            Ok(()) => self.done += 1,
            Err(error) => self.failed.push(error.report()),
        }
    }
}

impl Kernel {
    /// Makes the steps of a plan in their order. One that fails does not keep the others from
    /// being made. Steps which undo what is not there are done already.
    pub fn apply(&mut self, plan: &Plan) -> ApplyOutcome {
        let started = Instant::now();
        let mut tally = Tally::default();
        let mut waiting = Waiting::default();
        let mut indices = Indices::new();
        for change in &plan.0 {
            match self.as_messages(change, &mut indices) {
                Some(Ok(messages)) => waiting.push(change, messages),
                Some(Err(error)) => tally.count(Err(error)),
                None => {
                    self.flush(&mut waiting, &mut tally);
                    tally.count(self.act(change));
                    indices.clear();
                }
            }
        }
        self.flush(&mut waiting, &mut tally);
        ApplyOutcome {
            done: tally.done,
            failed: tally.failed,
            took: started.elapsed(),
        }
    }

    /// The messages of a step, with the refusals of each that do not matter; `None` for a step
    /// that takes more than messages.
    fn as_messages(
        &self,
        change: &Change,
        indices: &mut Indices,
    ) -> Option<Result<Vec<Step>, Error>> {
        let protocol = self.layout.protocol;
        let one = |message, forgiven: &'static [i32]| Some(Ok(vec![(message, forgiven)]));
        match change {
            Change::PutNexthop(id, name) => match index(indices, name) {
                Ok(index) => one(nexthop::put(protocol, id.0, index), &[]),
                Err(error) => Some(Err(error)),
            },
            Change::PutRoute(key, target) => {
                Some(raw(target, indices).map(|target| put_route(protocol, key, &target)))
            }
            Change::PutRule(wanted) => one(rule::put(protocol, wanted), &[libc::EEXIST]),
            Change::DeleteRule(old) => one(rule::delete(protocol, old), &[libc::ENOENT]),
            Change::DeleteRoute(key) => one(route::delete(protocol, key), GONE),
            Change::DeleteNexthop(id) => one(nexthop::delete(id.0), &[libc::ENOENT]),
            Change::PutSysctl(..)
            | Change::PutOverlay(..)
            | Change::PutTunnel(..)
            | Change::PutPeer(..)
            | Change::PutFirewall(..)
            | Change::DeleteFirewall
            | Change::DeletePeer(..)
            | Change::DeleteTunnel(..)
            | Change::DeleteOverlay(..)
            | Change::RestoreSysctl(..) => None,
        }
    }

    fn act(&mut self, change: &Change) -> Result<(), Error> {
        let netlink = &mut self.netlink;
        match change {
            Change::PutSysctl(path, value) => self.sysctls.put(path, value),
            Change::RestoreSysctl(path) => self.sysctls.restore(path),
            Change::PutOverlay(wanted) => overlay::put(netlink, wanted),
            Change::DeleteOverlay(name) => overlay::delete(netlink, name),
            Change::PutTunnel(name, tunnel) => self.wireguard.put(netlink, name, tunnel),
            Change::DeleteTunnel(name) => self.wireguard.delete(netlink, name),
            Change::PutPeer(name, key, peer) => Wireguard::put_peer(netlink, name, key, peer),
            Change::DeletePeer(name, key) => Wireguard::delete_peer(netlink, name, key),
            Change::PutFirewall(firewall) => self.nftables.put(firewall),
            Change::DeleteFirewall => self.nftables.delete(),
            // These are messages.
            Change::PutNexthop(..)
            | Change::PutRoute(..)
            | Change::PutRule(..)
            | Change::DeleteRule(..)
            | Change::DeleteRoute(..)
            | Change::DeleteNexthop(..) => Ok(()),
        }
    }

    fn flush(&mut self, waiting: &mut Waiting<'_>, tally: &mut Tally) {
        let Waiting {
            messages,
            about,
            steps,
        } = std::mem::take(waiting);
        let refused = match self.netlink.batch(&messages) {
            Ok(refused) => refused,
            Err(error) => {
                tally
                    .failed
                    .push(format!("{steps} steps: {}", error.report()));
                return;
            }
        };
        let mut failed = 0;
        for (place, refusal) in refused {
            let Some((change, forgiven)) = about.get(place) else {
                continue;
            };
            if forgiven.contains(&refusal.errno) {
                continue;
            }
            let message = messages.get(place);
            if let Err(error) = self.second_try(change, message, refusal) {
                failed += 1;
                tally.failed.push(error.report());
            }
        }
        tally.done += steps.saturating_sub(failed);
    }

    /// A route of one type may not be replaceable by one of another.
    fn second_try(
        &mut self,
        change: &Change,
        message: Option<&Message>,
        refusal: Refusal,
    ) -> Result<(), Error> {
        match (change, message) {
            (Change::PutRoute(key, _), Some(message)) if refusal.errno == libc::EEXIST => {
                let delete = route::delete(self.layout.protocol, key);
                // If it is not there, the next message says what is wrong.
                let _ = self.netlink.request(&delete, || change.to_string());
                self.netlink.request(message, || change.to_string())
            }
            _ => Err(refusal).doing(|| change.to_string()),
        }
    }
}

impl<'a> Waiting<'a> {
    fn push(&mut self, change: &'a Change, messages: Vec<Step>) {
        self.steps += 1;
        for (message, forgiven) in messages {
            self.messages.push(message);
            self.about.push((change, forgiven));
        }
    }
}

/// In IPv6 a route without a gateway does not replace one with a gateway, even when told to: it
/// comes to stand beside it (`fib6_add_rt2node` looks only among those of the same sort). So
/// whatever has this key is deleted by the message before; the two are microseconds apart.
fn put_route(protocol: u8, key: &RouteKey, target: &RawTarget) -> Vec<Step> {
    let put: Step = (route::put(protocol, key, target), &[]);
    let replaces_all_sorts = match target {
        RawTarget::Device { gateway, .. } => gateway.is_some(),
        // No route of ours with a gateway ever becomes one by a nexthop object.
        RawTarget::Nexthop { .. } => true,
        RawTarget::Throw | RawTarget::Unreachable => false,
    };
    if matches!(key.prefix, IpNet::V4(_)) || replaces_all_sorts {
        vec![put]
    } else {
        let delete: Step = (route::delete(protocol, key), GONE);
        vec![delete, put]
    }
}

fn index(indices: &mut Indices, name: &IfName) -> Result<u32, Error> {
    if let Some(index) = indices.get(name) {
        return Ok(*index);
    }
    let index = nix::net::if_::if_nametoindex(name.as_str())
        .map_err(|_| Error::NoInterface(name.to_string()))?;
    indices.insert(name.clone(), index);
    Ok(index)
}

fn raw(target: &RouteTarget, indices: &mut Indices) -> Result<RawTarget, Error> {
    Ok(match target {
        RouteTarget::Throw => RawTarget::Throw,
        RouteTarget::Unreachable => RawTarget::Unreachable,
        RouteTarget::Nexthop { id, source } => RawTarget::Nexthop {
            id: id.0,
            source: *source,
        },
        RouteTarget::Device {
            interface,
            gateway,
            source,
        } => RawTarget::Device {
            index: index(indices, interface)?,
            gateway: *gateway,
            source: *source,
        },
    })
}
