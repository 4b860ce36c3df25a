//! Routing.

use std::net::{IpAddr, Ipv4Addr};

use patronus_model::bgp::Asn;

use crate::read::List;
use crate::section::section;
use crate::values::{AdvertiseWord, Count, Line, Password, PasswordFile, Span, Switch};

section!(
    /// Routing between the sites and with routers outside of Patronus. The sessions between sites
    /// follow from `sites`.
    struct Bgp, "a BGP section" {
        /// AS number of this site.
        asn: Asn, computed "4200000000 + the host part of `overlay.ipv4`", eg "64512";
        /// Router id.
        router_id: Ipv4Addr, computed "the address of `overlay.ipv4`", eg "10.255.0.1";
        /// Timers of the sessions between sites.
        timers: BgpTimers, default "{}", eg "{hold: 30s, keepalive: 10s}";
        /// Time for which peers keep this site's routes after its BGP daemon died (RFC 4724), or
        /// `off`.
        graceful_restart: Switch<Span<1_000, 4_095_000, 1_000>>, default "120s", eg "off";
        /// Prefixes that are taken from each site, and from each neighbour, in each address family. At
        /// 80 % bgpd logs a warning; beyond it the session is ended for five minutes, so that none
        /// can exhaust the memory of all.
        maximum_prefixes: Count<1, 4_294_967_295>, default "20000", eg "1000";
        /// Neighbours outside of Patronus.
        neighbors: List<Neighbor>, optional, eg "[{address: 10.1.0.254, asn: 65001}]";
        /// Whether this hub announces a default route to the other sites.
        originate_default: bool, default "false", eg "true";
    }
);

section!(
    /// Timers of a BGP session, in whole seconds.
    struct BgpTimers, "a set of BGP timers" {
        /// Time between keepalives; less than `hold`.
        keepalive: Span<1_000, 21_845_000, 1_000>, default "3s", eg "10s";
        /// Silence after which a session is dead.
        hold: Span<3_000, 65_535_000, 1_000>, default "9s", eg "30s";
        /// Time between attempts to connect.
        connect_retry: Span<1_000, 65_535_000, 1_000>, default "1s", eg "5s";
    }
);

section!(
    /// A BGP neighbour outside of Patronus.
    struct Neighbor, "a BGP neighbour" {
        /// Address. Only prefixes of its family are exchanged.
        address: IpAddr, required, eg "10.1.0.254", "fd00:1::fe";
        /// AS number; equal to our own for iBGP.
        asn: Asn, required, eg "65001";
        /// Description for people.
        description: Line, computed "the `address`", eg "core switch";
        /// Password of the session (TCP-MD5). Better use `password_file`.
        password: Password, optional, eg "correct-horse";
        /// Name of a file that holds the password and nothing else.
        password_file: PasswordFile, optional, eg "/etc/patronus/secrets/core-switch";
        /// Address of our end of the session, where it must not be chosen by routing.
        update_source: IpAddr, optional, eg "10.1.0.1";
        /// Hops that an eBGP neighbour may be away. Without it, it must be directly connected.
        multihop: Count<1, 255>, optional, eg "2";
        /// Whether we announce ourselves as next hop of everything sent to it.
        next_hop_self: bool, default "true", eg "false";
        /// Prefixes that it is told: what this site originates (`own`), that and what other
        /// neighbours of this site announce (`own_and_external`), all, or all and a default route.
        advertise: AdvertiseWord, default "everything", eg "own";
        /// Whether a default route is taken from it. It is used while this machine has none of its
        /// own, by DHCP for example.
        accept_default: bool, default "false", eg "true";
        /// Timers.
        timers: BgpTimers, default "{}", eg "{hold: 30s, keepalive: 10s}";
        /// BFD with it, or `off`. `{}` takes the defaults.
        bfd: Switch<Bfd>, default "off", eg "{}", "{interval: 300ms}";
    }
);

section!(
    /// Timers of bidirectional forwarding detection (RFC 5880).
    struct Bfd, "a BFD section" {
        /// Time between packets, in both directions. The slower end decides.
        interval: Span<10, 60_000, 1>, default "100ms", eg "50ms";
        /// Packets in a row that may be missed before the path is down.
        multiplier: Count<1, 255>, default "3", eg "5";
    }
);
