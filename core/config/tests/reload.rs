//! What is warned of because something else is in force: the other sites know nothing of the change.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in tests, but does not see the helpers of tests"
)]

mod reading;

use patronus_config::{Outside, parse};
use patronus_model::wireguard::PublicKey;
use reading::{example, key, lines, outside, read, warnings_after};

#[test]
fn an_uplink_that_the_other_sites_will_look_for_elsewhere_is_warned_of() {
    let list = |uplinks: &str| {
        let one = "  - {name: fibre, interface: wan0}\n";
        example("minimal.yaml").replace(one, uplinks)
    };
    let two = "  - {name: fibre, interface: wan0}\n  - {name: lte, interface: wan1}\n";
    let before = read(&list(two));
    let check = |uplinks: &str, expected: &[&str]| {
        let found = warnings_after(&list(uplinks), &before);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, words) in found.iter().zip(expected) {
            assert!(found.contains(words), "{words} is not in {found}");
        }
    };
    check(two, &[]);
    check("  - {name: cable, slot: 5, interface: wan0}\n", &[]);
    check(
        "  - {name: copper, interface: wan0}\n",
        &["uplinks[0].name: uplink copper has slot 1 in place of fibre, and another key"],
    );
    check(
        "  - {name: fibre, slot: 3, listen_port: 51820, interface: wan0}\n",
        &[
            "c:7:25: warning: uplinks[0].slot: uplink fibre had slot 1 until now: its tunnels are \
           made anew, and the other sites look for them where they were: give fibre slot 3 in the",
        ],
    );
    // Whoever changes their order changes their numbers.
    check(
        "  - {name: lte, interface: wan1}\n  - {name: fibre, interface: wan0}\n",
        &[
            "uplinks[0]: uplink lte had slot 2",
            "give fibre slot 2 and the port 51884 in place of 51820 in the files of all other sites",
        ],
    );
    check(
        "  - {name: fibre, listen_port: 6000, interface: wan0}\n",
        &["uplinks[0].listen_port: uplink fibre listened from port 51820 on until now"],
    );
}

#[test]
fn an_uplink_that_has_lost_its_key_is_warned_of() {
    let text = example("minimal.yaml");
    let before = read(&text);
    let warnings = |other: bool| {
        let outside = Outside {
            public_key: &|name| {
                let PublicKey(mut bytes) = key(name);
                bytes[31] ^= u8::from(other);
                Ok(PublicKey(bytes).into())
            },
            ..outside(Some(&before))
        };
        lines(&parse(&text, "c", &outside).unwrap().1)
    };
    assert_eq!(warnings(false), [""; 0]);
    let found = warnings(true);
    let words = [
        "warning: uplinks[0].name: uplink fibre has another key than until now",
        "give the key that `patronusd keys` prints for fibre to all other sites",
    ];
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(words.iter().all(|it| found[0].contains(it)), "{found:?}");
}

#[test]
fn an_as_that_the_other_sites_do_not_know_is_warned_of() {
    let with = |bgp: &str| format!("{}\nbgp: {bgp}\n", example("minimal.yaml"));
    let before = read(&with("{asn: 64512}"));
    let said = |bgp: &str| warnings_after(&with(bgp), &before).join("\n");
    assert_eq!(said("{asn: 64512}"), "");
    let changed = said("{asn: 64513}");
    let words = [
        "bgp.asn: this site had AS 64512",
        "berlin asn: 64513 in the files",
    ];
    assert!(words.iter().all(|it| changed.contains(it)), "{changed}");
    let default = said("{}");
    assert!(
        default.contains("overlay.ipv4: this site had AS 64512"),
        "{default}"
    );
}

#[test]
fn an_overlay_address_that_the_other_sites_do_not_know_is_warned_of() {
    let with = |overlay: &str| {
        let old = "overlay: {ipv4: 10.255.0.1/16}";
        let bgp = "bgp: {asn: 64512}";
        example("minimal.yaml").replace(old, &format!("overlay: {overlay}\n{bgp}"))
    };
    let (v4, both) = (
        "{ipv4: 10.255.0.1/16}",
        "{ipv4: 10.255.0.1/16, ipv6: fd00:ff::1/64}",
    );
    let check = |before: &str, after: &str, expected: &[&str]| {
        let before = read(&with(before));
        assert_eq!(warnings_after(&with(after), &before), expected);
    };
    check(both, both, &[]);
    check(
        v4,
        "{ipv4: 10.255.0.9/16}",
        &[
            "c:5:17: warning: overlay.ipv4: this site had the overlay address 10.255.0.1 until now: \
           the other sites look for it there: give berlin \
           overlay.ipv4: 10.255.0.9 in the files of all other sites, or 10.255.0.1 here; until then \
           all paths between them and this site are down",
        ],
    );
    check(
        both,
        "{ipv4: 10.255.0.1/16, ipv6: fd00:ff::9/64}",
        &[
            "c:5:38: warning: overlay.ipv6: this site had the overlay address fd00:ff::1 until now: \
           give berlin overlay.ipv6: fd00:ff::9 in the files of all other sites, or fd00:ff::1 here; \
           until then they do not use the IPv6 prefixes of this site",
        ],
    );
    check(
        v4,
        both,
        &[
            "c:5:38: warning: overlay.ipv6: this site had no IPv6 overlay address until now, and has \
           fd00:ff::1: give berlin overlay.ipv6: fd00:ff::1 in the files of all other sites; until \
           then they do not use the IPv6 prefixes of this site",
        ],
    );
    check(
        both,
        v4,
        &[
            "c:5:10: warning: overlay: this site had the overlay address fd00:ff::1 until now, and has \
           none for IPv6: take berlin overlay.ipv6 out of the files of all other sites, or give \
           fd00:ff::1 here",
        ],
    );
}
