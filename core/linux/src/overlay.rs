//! The interface that holds the overlay addresses and that FRR sees as the overlay.
//!
//! Nothing is ever sent over it. It must have carrier with no process behind it, or the routes
//! learned by way of it would vanish with the daemon: so never a TUN device.

use std::collections::BTreeSet;

use ipnet::IpNet;
use patronus_model::ids::IfName;
use patronus_model::kernel::OverlayInterface;

use crate::error::{Doing as _, Error};
use crate::netlink::Netlink;
use crate::netlink::address::{self, Address};
use crate::netlink::link::{self, Kind, Link};
use crate::sysctl::enable_ipv6;

/// Creates or alters the interface.
pub(crate) fn put(netlink: &mut Netlink, wanted: &OverlayInterface) -> Result<(), Error> {
    let name = wanted.name.as_str();
    let link = match find(netlink, name)? {
        Some(link) if link.is_claimed() => link,
        Some(_) => return Err(Error::NotOurs(name.to_owned())),
        None => create(netlink, name, &kinds(name))?,
    };
    enable_ipv6(name)?;
    netlink.request(&link::raise(link.index, wanted.mtu), || {
        format!("bringing {name} up with an MTU of {}", wanted.mtu)
    })?;
    put_addresses(netlink, name, link.index, &wanted.addresses)
}

/// Puts the addresses that are there once more, so that everybody who listens hears of them.
pub(crate) fn announce(netlink: &mut Netlink, name: &IfName) -> Result<(), Error> {
    let Some(link) = find(netlink, name.as_str())?.filter(Link::is_claimed) else {
        return Ok(());
    };
    let present = addresses(netlink, link.index)?;
    let messages: Vec<_> = present
        .iter()
        .map(|net| address::put(link.index, net))
        .collect();
    netlink.batch(&messages).map(drop)
}

/// Deletes the interface. One that is not there, or is not ours, is left as it is.
pub(crate) fn delete(netlink: &mut Netlink, name: &IfName) -> Result<(), Error> {
    match find(netlink, name.as_str())? {
        Some(link) if link.is_claimed() => {
            netlink.request(&link::delete(link.index), || format!("deleting {name}"))
        }
        _ => Ok(()),
    }
}

fn find(netlink: &mut Netlink, name: &str) -> Result<Option<Link>, Error> {
    let links = netlink.dump(&link::list(), "interfaces", |_, payload| {
        Link::read(payload).filter(|link| link.name == name)
    })?;
    Ok(links.into_iter().next())
}

/// What the other end of a pair is called.
fn peer_name(name: &str) -> String {
    format!("{name}-peer")
}

/// A dummy where the kernel has it, an IFB, which drops what is sent to it likewise, elsewhere, and
/// a pair of which both ends are up as the last resort.
fn kinds(name: &str) -> [Kind; 3] {
    [Kind::Dummy, Kind::Ifb, Kind::Veth(peer_name(name))]
}

/// Creates the interface as the first of some kinds that the kernel has.
fn create(netlink: &mut Netlink, name: &str, kinds: &[Kind]) -> Result<Link, Error> {
    let mut result = Ok(());
    for kind in kinds {
        result = netlink.request(&link::create(name, kind), || {
            format!("creating interface {name}")
        });
        match &result {
            Err(error) if error.refusal() == Some(libc::EOPNOTSUPP) => {}
            _ => break,
        }
    }
    result?;
    let link = find(netlink, name)?.ok_or_else(|| Error::NoInterface(name.to_owned()))?;
    claim(netlink, &link)?;
    if link.kind.as_deref() == Some("veth")
        && let Some(peer) = find(netlink, &peer_name(name))?
    {
        claim(netlink, &peer)?;
        let doing = || format!("bringing {} up", peer.name);
        netlink.request(&link::raise(peer.index, peer.mtu), doing)?;
    }
    Ok(link)
}

fn claim(netlink: &mut Netlink, link: &Link) -> Result<(), Error> {
    let doing = || format!("marking {} as ours", link.name);
    netlink.request(&link::claim(link.index), doing)?;
    netlink.request(&link::no_arp(link.index), doing)
}

/// Makes the addresses of an interface these. Twice: taking away a primary IPv4 address takes the
/// secondary ones of its network with it, among which may be the new one.
fn put_addresses(
    netlink: &mut Netlink,
    name: &str,
    index: u32,
    wanted: &BTreeSet<IpNet>,
) -> Result<(), Error> {
    for _ in 0..2 {
        let present = addresses(netlink, index)?;
        let add = wanted.difference(&present);
        let remove = present.difference(wanted);
        let messages: Vec<_> = add
            .map(|net| address::put(index, net))
            .chain(remove.map(|net| address::delete(index, net)))
            .collect();
        let refused = netlink.batch(&messages)?.into_iter().map(|(_, r)| r);
        let mut refused = refused.filter(|refusal| refusal.errno != libc::EADDRNOTAVAIL);
        if let Some(refusal) = refused.next() {
            return Err(refusal).doing(|| format!("setting the addresses of {name}"));
        }
    }
    Ok(())
}

/// The addresses of an interface. The overlay's is ours alone, so a link-local one that the kernel
/// made counts as well.
pub(crate) fn addresses(netlink: &mut Netlink, index: u32) -> Result<BTreeSet<IpNet>, Error> {
    let list = netlink.dump(&address::list(), "addresses", |_, payload| {
        Address::read(payload).filter(|address| address.index == index)
    })?;
    Ok(list.into_iter().map(|address| address.net).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};

    #[test]
    fn a_pair_has_carrier_as_well_and_goes_as_a_whole() {
        let test = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let mut netlink = Netlink::open().unwrap();
            let [_, _, pair] = kinds("pat0");
            create(&mut netlink, "pat0", &[pair]).unwrap();
            let wanted = OverlayInterface {
                name: "pat0".parse().unwrap(),
                addresses: ["10.255.0.1/16".parse().unwrap()].into(),
                mtu: 1400,
            };
            put(&mut netlink, &wanted).unwrap();
            let link = find(&mut netlink, "pat0").unwrap().unwrap();
            assert_eq!((link.running, link.mtu), (true, 1400));
            assert_eq!(
                addresses(&mut netlink, link.index).unwrap(),
                wanted.addresses
            );
            delete(&mut netlink, &wanted.name).unwrap();
            for name in ["pat0", "pat0-peer"] {
                assert_eq!(find(&mut netlink, name).unwrap(), None);
            }
        };
        std::thread::spawn(test).join().unwrap();
    }
}
