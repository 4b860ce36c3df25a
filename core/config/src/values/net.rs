//! Addresses, prefixes and endpoints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use patronus_model::layout::TunnelId;

use crate::read::{Fault, Scalar};
use crate::shape::{Form, ScalarShape};
use crate::tree::Word;

const IPV4: &str = r"^([0-9]{1,3}\.){3}[0-9]{1,3}$";
const IPV6: &str = r"^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$";

macro_rules! address {
    ($($name:ty, $title:literal, $help:literal, [$($form:expr),+];)+) => { $(
        impl Scalar for $name {
            const SHAPE: ScalarShape =
                ScalarShape::new($title, $help, &[$(Form::Text($form)),+]);

            fn parse(word: &Word) -> Result<Self, Fault> {
                let text = word.text.as_str();
                let address: Self = text.parse().map_err(|_| match text.split_once('/') {
                    Some((address, _)) if address.parse::<Self>().is_ok() => {
                        Fault::new(concat!("is not ", $title), format!("write {address} alone"))
                    }
                    _ => Fault::not::<Self>(),
                })?;
                unicast(address.into())?;
                Ok(address)
            }
        }
    )+ };
}

address!(
    Ipv4Addr, "an IPv4 address", "use four numbers, like 10.255.0.1", [IPV4];
    Ipv6Addr, "an IPv6 address", "use the form fd00:255::1", [IPV6];
    IpAddr, "an IP address", "use the form 192.0.2.1 or 2001:db8::1", [IPV4, IPV6];
);

/// Whether one host can have this address.
fn unicast(address: IpAddr) -> Result<(), Fault> {
    let what = match address {
        a if a.is_unspecified() => "means every address",
        a if a.is_multicast() => "is a multicast address",
        a if a.is_loopback() => "is a loopback address",
        IpAddr::V4(a) if a.is_broadcast() => "is the broadcast address",
        IpAddr::V4(a) if a.octets().first() == Some(&0) => "is in 0.0.0.0/8, which no host has",
        IpAddr::V6(a) if a.to_ipv4_mapped().is_some() => "is an IPv4 address in disguise",
        _ => return Ok(()),
    };
    Err(Fault::new(what, "use an address of one host"))
}

/// A prefix without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

const PREFIX4: &str = r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$";
const PREFIX6: &str = r"^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*/[0-9]{1,3}$";

impl Scalar for Network {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a prefix",
        "use the form 10.1.0.0/16 or 2001:db8:1::/48",
        &[Form::Text(PREFIX4), Form::Text(PREFIX6)],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        if let Ok(address) = word.text.parse::<IpAddr>() {
            let help = format!(
                "write {} if this one address is meant",
                IpNet::from(address)
            );
            return Err(Fault::new("has no prefix length", help));
        }
        let net = network(&word.text).ok_or_else(Fault::not::<Self>)?;
        without_host_bits(net).map(Self)
    }
}

/// Parses a prefix; refuses what `ipnet` takes too lightly.
fn network(text: &str) -> Option<IpNet> {
    let (_, length) = text.split_once('/')?;
    let plain = length.len() <= 3 && length.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

fn without_host_bits(net: IpNet) -> Result<IpNet, Fault> {
    if net.trunc() == net {
        return Ok(net);
    }
    let problem = format!("has bits set after the first {}", net.prefix_len());
    Err(Fault::new(
        problem,
        format!("write {} if that network is meant", net.trunc()),
    ))
}

/// A prefix, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Selector(pub(crate) IpNet);

impl Scalar for Selector {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a prefix or address",
        "use the form 10.1.0.0/16, 10.1.0.5 or 2001:db8:1::/48",
        &[
            Form::Text(PREFIX4),
            Form::Text(PREFIX6),
            Form::Text(IPV4),
            Form::Text(IPV6),
        ],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let address = || word.text.parse::<IpAddr>().ok().map(IpNet::from);
        let net = network(&word.text)
            .or_else(address)
            .ok_or_else(Fault::not::<Self>)?;
        without_host_bits(net).map(Self)
    }
}

impl Scalar for Ipv4Net {
    const SHAPE: ScalarShape = ScalarShape::new(
        "an IPv4 address with a prefix length",
        "use this site's address and the length of the overlay's network, like 10.255.0.1/16",
        &[Form::Text(PREFIX4)],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        match network(&word.text) {
            Some(IpNet::V4(net)) => unicast(net.addr().into()).map(|()| net),
            _ => Err(Fault::not::<Self>()),
        }
    }
}

impl Scalar for Ipv6Net {
    const SHAPE: ScalarShape = ScalarShape::new(
        "an IPv6 address with a prefix length",
        "use this site's address and the length of the overlay's network, like fd00:255::1/64",
        &[Form::Text(PREFIX6)],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        match network(&word.text) {
            Some(IpNet::V6(net)) => unicast(net.addr().into()).map(|()| net),
            _ => Err(Fault::not::<Self>()),
        }
    }
}

impl Scalar for SocketAddr {
    const SHAPE: ScalarShape = ScalarShape::new(
        "an endpoint",
        "use an address and a port, like 203.0.113.7:51820 or \"[2001:db8::1]:51820\"",
        &[
            Form::Text(r"^([0-9]{1,3}\.){3}[0-9]{1,3}:[0-9]{1,5}$"),
            Form::Text(r"^\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}$"),
        ],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        let endpoint: Self = word.text.parse().map_err(|_| endpoint_fault(&word.text))?;
        let scoped = matches!(endpoint, Self::V6(v6) if v6.scope_id() != 0);
        if endpoint.port() == 0 || scoped {
            return Err(Fault::not::<Self>());
        }
        unicast(endpoint.ip())?;
        Ok(endpoint)
    }
}

fn endpoint_fault(text: &str) -> Fault {
    if let Ok(address) = text.parse::<IpAddr>() {
        let with_port = SocketAddr::new(address, 51820);
        return Fault::new(
            "has no port",
            format!("write \"{with_port}\", or another port"),
        );
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    if let Ok(IpAddr::V6(address)) = host.parse::<IpAddr>() {
        let help = format!("write \"[{address}]:51820\", or another port");
        return Fault::new("is ambiguous without brackets", help);
    }
    if host.contains(|c: char| c.is_ascii_alphabetic()) && !host.contains('[') {
        let help = "use its address; names are not resolved, so that no tunnel depends on DNS";
        return Fault::new("is not an address", help);
    }
    Fault::not::<SocketAddr>()
}

/// How to find a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GatewayWord {
    Dhcp,
    Address(IpAddr),
}

impl Scalar for GatewayWord {
    const SHAPE: ScalarShape = ScalarShape::new(
        "a gateway",
        "use dhcp, an address, or a list of one address per family",
        &[Form::Words(&["dhcp"]), Form::Text(IPV4), Form::Text(IPV6)],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        if word.text == "dhcp" {
            return Ok(Self::Dhcp);
        }
        let address: IpAddr = word.text.parse().map_err(|_| Fault::not::<Self>())?;
        unicast(address)?;
        Ok(Self::Address(address))
    }
}

/// How others reach an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointWord {
    Auto,
    None,
    /// Port 0 where none was given.
    At(SocketAddr),
}

impl Scalar for EndpointWord {
    const SHAPE: ScalarShape = ScalarShape::new(
        "an endpoint",
        "use auto, none, an address, or an address and port like 203.0.113.7:51820",
        &[
            Form::Words(&["auto", "none"]),
            Form::Text(IPV4),
            Form::Text(IPV6),
            Form::Text(r"^(\S+):[0-9]{1,5}$"),
        ],
    );

    fn parse(word: &Word) -> Result<Self, Fault> {
        match word.text.as_str() {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::None),
            _ => {}
        }
        if let Ok(address) = word.text.parse::<IpAddr>() {
            unicast(address)?;
            return Ok(Self::At(SocketAddr::new(address, 0)));
        }
        let at: SocketAddr = word.text.parse().map_err(|_| Fault::not::<Self>())?;
        unicast(at.ip())?;
        let last = 65_535 - (TunnelId::PORTS_PER_UPLINK - 1);
        match at.port() {
            0 => Err(Fault::new("has the port 0", "use 1 to 65472")),
            port if port > last => {
                let problem = "leaves no room for the 64 ports of an uplink";
                Err(Fault::new(problem, format!("use a port of at most {last}")))
            }
            _ => Ok(Self::At(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            plain: true,
        }
    }

    #[test]
    fn only_hosts_have_addresses() {
        for text in ["10.0.0.1", "fd00::1", "fe80::1", "169.254.0.1"] {
            assert!(IpAddr::parse(&word(text)).is_ok(), "{text}");
        }
        for text in [
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "127.0.0.1",
            "::1",
            "255.255.255.255",
            "0.1.2.3",
            "::ffff:10.0.0.1",
            "10.0.0.1/24",
            "10.0.0",
            "",
            "fe80::1%eth0",
        ] {
            assert!(IpAddr::parse(&word(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn prefixes_have_no_host_bits() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "2001:db8::/32"] {
            assert!(Network::parse(&word(text)).is_ok(), "{text}");
        }
        for text in [
            "10.0.0.1/8",
            "10.0.0.1",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "x/8",
            "/",
            "10.0.0.0/",
        ] {
            assert!(Network::parse(&word(text)).is_err(), "{text}");
        }
    }
}
