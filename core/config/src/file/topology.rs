//! Who and where the sites are.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use patronus_model::bgp::Asn;
use patronus_model::ids::{IfName, SiteId, Slot, UnderlayName, UplinkName};
use patronus_model::layout::HubIndex;
use patronus_model::wireguard::PublicKey;

use crate::read::{List, Many, Table};
use crate::section::section;
use crate::values::{
    Bandwidth, Count, GatewayWord, LabelKey, LabelValue, Line, Network, Password, PasswordFile,
};

section!(
    /// This site.
    struct Site, "a site" {
        /// Identifier of the site for ever, the same in the files of all sites.
        id: SiteId, required, eg "berlin";
        /// Name for people.
        name: Line, computed "the `id`", eg "Berlin office";
        /// Location for people.
        location: Line, optional, eg "Berlin, Germany";
        /// Labels, by which tools can select sites.
        labels: Table<LabelKey, LabelValue>, optional, eg "{region: eu}";
        /// Number of this site among the hubs of the network, if it is one. A hub may forward
        /// between sites and speak for prefixes that are not its own.
        hub: HubIndex, optional, eg "1";
    }
);

section!(
    /// This site's place in the overlay.
    struct Overlay, "an overlay" {
        /// IPv4 address of this site, with the length of the overlay's IPv4 network (16 to 30),
        /// which must be the same at all sites. The host part numbers the site.
        ipv4: Ipv4Net, required, eg "10.255.0.1/16";
        /// IPv6 address of this site, with the length of the overlay's IPv6 network (64 to 126).
        /// Without it no IPv6 prefix can be reached over the overlay.
        ipv6: Ipv6Net, optional, eg "fd00:255::1/64";
        /// Further prefixes that must never leave by an uplink in the clear, whether a route to
        /// them is known or not. The overlay's networks and the prefixes of all sites are guarded
        /// anyway; prefixes that are nowhere in this file, and only announced by BGP, from when the
        /// router first hears of them after it has booted.
        prefixes: Many<Network>, optional, eg "[10.0.0.0/8, fd00::/8]";
    }
);

section!(
    /// One attachment of this router to an underlay.
    struct Uplink, "an uplink" {
        /// Name, unique at this site.
        name: UplinkName, required, eg "fibre";
        /// Number by which the other sites know it, 1 to 8. Give it explicitly when uplinks may
        /// be removed or reordered: a new number must go into the files of all other sites.
        slot: Slot, computed "its place in the list", eg "1";
        /// Network interface.
        interface: IfName, required, eg "wan0", "enp1s0";
        /// Name of the underlay. Tunnels are built between uplinks of the same underlay.
        underlay: UnderlayName, default "internet", eg "mpls-acme";
        /// How to find the gateway: `dhcp` takes the default route that a DHCP client or router
        /// advertisements put on the interface, for both families; an address is used for its
        /// family, and the other family is not used; in a list each family has its own.
        gateway: Gateways, default "dhcp", eg "dhcp", "192.0.2.1", "[192.0.2.1, dhcp]";
        /// Bandwidth that the underlay's operator grants.
        bandwidth: UplinkBandwidth, default "{}", eg "{up: 10 Mbit/s, down: 94 Mbit/s}";
        /// Relative cost; the lower is preferred where nothing else decides.
        cost: Count<0, 1_000_000>, default "100", eg "10";
        /// Whether bytes cost money.
        metered: bool, default "false", eg "true";
        /// UDP port, the first of 64 on which its tunnels listen. Open them in every firewall in
        /// between.
        listen_port: Count<1, 65472>, computed "51820 + 64 × (`slot` − 1)", eg "51820";
    }
);

section!(
    /// Bandwidth of an uplink.
    struct UplinkBandwidth, "a bandwidth in both directions" {
        /// Bandwidth towards the underlay.
        up: Bandwidth, optional, eg "10 Mbit/s";
        /// Bandwidth from the underlay.
        down: Bandwidth, optional, eg "94 Mbit/s", "1Gbit/s", "512000";
    }
);

/// One gateway or one per family.
pub(crate) type Gateways = Many<GatewayWord>;

section!(
    /// A network behind this router.
    struct Lan, "a LAN" {
        /// Network interface.
        interface: IfName, required, eg "lan0";
        /// Prefixes, which this site announces to the others.
        prefixes: Many<Network>, required, eg "10.1.0.0/16", "[10.1.0.0/16, fd00:1::/48]";
    }
);

section!(
    /// Another site.
    struct RemoteSite, "a remote site" {
        /// Identifier, as in that site's own file.
        id: SiteId, required, eg "lisbon";
        /// Name for people.
        name: Line, computed "the `id`", eg "Lisbon office";
        /// Number among the hubs, as in that site's own file, if it is one.
        hub: HubIndex, optional, eg "1";
        /// Overlay addresses.
        overlay: RemoteOverlay, required, eg "{ipv4: 10.255.0.2}";
        /// AS number.
        asn: Asn, computed "4200000000 + the host part of its IPv4 overlay address", eg "64513";
        /// Password of the BGP session with it (TCP-MD5). Better use `bgp_password_file`.
        bgp_password: Password, optional, eg "correct-horse";
        /// Name of a file that holds this password and nothing else.
        bgp_password_file: PasswordFile, optional, eg "/etc/patronus/secrets/lisbon";
        /// Prefixes that it is known to originate, whether BGP says so or not. What BGP announces
        /// need not be repeated here.
        prefixes: Many<Network>, optional, eg "10.2.0.0/16";
        /// Uplinks.
        uplinks: List<RemoteUplink>, required, eg "[]";
    }
);

section!(
    /// Overlay addresses of another site.
    struct RemoteOverlay, "a pair of overlay addresses" {
        /// IPv4 address, inside our overlay network.
        ipv4: Ipv4Addr, required, eg "10.255.0.2";
        /// IPv6 address, inside our overlay network.
        ipv6: Ipv6Addr, optional, eg "fd00:255::2";
    }
);

section!(
    /// An uplink of another site.
    struct RemoteUplink, "a remote uplink" {
        /// Name, as in that site's own file.
        name: UplinkName, required, eg "fibre";
        /// Number, as in that site's own file.
        slot: Slot, computed "its place in the list", eg "1";
        /// Name of its underlay.
        underlay: UnderlayName, default "internet", eg "mpls-acme";
        /// Public key, as that site prints it.
        public_key: PublicKey, required, eg "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=";
        /// Address and first listen port. Leave it out where the address changes or is behind
        /// NAT: that side then speaks first, and this one must have an endpoint.
        endpoint: SocketAddr, optional, eg "203.0.113.7:51820", "\"[2001:db8::1]:51820\"";
    }
);
