//! Objects of an intent: what is taken, what is refused and why, and that the canonical text of an
//! object is the object.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use expect_test::{Expect, expect};
use patronus_config::{Manifest, read_objects};
use patronus_model::intent::{Object, Selector};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../docs/examples/network.yaml");

fn read(text: &str) -> Vec<Manifest> {
    match read_objects(text, "intent.yaml") {
        Ok((manifests, warnings)) => {
            assert_eq!(warnings, [], "{text}");
            manifests
        }
        Err(found) => panic!("{found:#?}\n{text}"),
    }
}

fn refused(text: &str, expected: Expect) {
    let found = read_objects(text, "intent.yaml").unwrap_err();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    expected.assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn the_example_is_a_network() {
    let manifests = read(EXAMPLE);
    let ids: Vec<String> = manifests
        .iter()
        .map(|it| it.object.id().to_string())
        .collect();
    assert_eq!(
        ids,
        [
            "network",
            "site/frankfurt",
            "site/berlin",
            "site/lisbon",
            "class/voice",
            "class/business",
            "class/standard",
            "policy/voice-first",
            "policy/erp",
            "policy/no-telnet",
        ]
    );
    let Object::Policy(erp) = &manifests[8].object else {
        panic!("{:?}", manifests[8].object);
    };
    let kinds = [("kind".to_owned(), "office".to_owned())];
    assert_eq!(erp.sites, Selector::Labelled(kinds.into()));
}

#[test]
fn the_canonical_text_says_the_same_in_one_way() {
    let manifests = read(EXAMPLE);
    for manifest in &manifests {
        let again = read(&manifest.text);
        assert_eq!(again[0].object, manifest.object, "{}", manifest.text);
        assert_eq!(again[0].text, manifest.text);
    }
    expect![[r#"
        kind: site
        id: lisbon
        name: Lisbon office
        labels: {region: eu, kind: office}
        uplinks:
          - name: fibre
            interface: wan0
            gateway: 203.0.113.1
            cost: 10
            endpoint: 203.0.113.7
          - name: lte
            interface: wwan0
            cost: 200
            metered: true
            bandwidth: {up: 8 Mbit/s, down: 30 Mbit/s}
            endpoint: none
        lans: [{interface: lan0, prefixes: [10.2.0.0/16, "fd00:2::/48"]}]
    "#]]
    .assert_eq(&manifests[3].text);
    let json = r#"{"kind": "class", "id": 3, "name": "standard", "qos": "standard"}"#;
    assert_eq!(read(json)[0].text, manifests[6].text);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    refused(
        "id: berlin\n---\nkind: siet\n---\n- a\n---\n7\n",
        expect![[r#"
            intent.yaml:1:1: kind: is missing: say what this object is: use network, site, class or policy
            intent.yaml:3:7: kind: siet is not a kind of object: did you mean "site"? use network, site, class or policy
            intent.yaml:5:1: a list is not an object: begin with "kind: …": use network, site, class or policy
            intent.yaml:7:1: this is not an object: begin with "kind: …": use network, site, class or policy
        "#]],
    );
    refused(
        "kind: site\nid: Berlin\nuplinks:\n  - {name: a, interface: b, endpoint: 1.2.3.4:70000}\n  \
         - {name: a, interface: pat0, slot: 9}\nlans: [{interface: l, prefixes: 0.0.0.0/0}]\n",
        expect![[r#"
            intent.yaml:2:5: id: Berlin is not a site id: use 1 to 63 lower-case letters, digits and inner hyphens, for example "berlin"
            intent.yaml:4:39: uplinks[0].endpoint: 1.2.3.4:70000 is not an endpoint: use auto, none, an address, or an address and port like 203.0.113.7:51820
            intent.yaml:5:12: uplinks[1].name: name a is already used in uplinks[0].name (line 4): give each uplink a name of its own
            intent.yaml:5:26: uplinks[1].interface: pat0 is the name of an interface that Patronus makes: name the interface towards the underlay or the LAN
            intent.yaml:5:38: uplinks[1].slot: 9 is not a slot: use 1 to 8
            intent.yaml:6:33: lans[0].prefixes: 0.0.0.0/0 is the default route: only a hub can have it
        "#]],
    );
    refused(
        "kind: network\noverlay: {ipv4: 10.0.0.0/8, ipv6: 10.1.0.0/16}\ntopology: {mesh: some}\n",
        expect![[r#"
            intent.yaml:2:17: overlay.ipv4: 10.0.0.0/8 has a prefix length of 8: use 16 to 30
            intent.yaml:2:35: overlay.ipv6: 10.1.0.0/16 is not an IPv6 network: use an IPv6 prefix
            intent.yaml:3:18: topology.mesh: some is not a set of pairs: use all or none, or {within: ...} with a label
        "#]],
    );
    refused(
        "kind: policy\nname: p\nsites: []\nmatch: {ports: 5}\n---\nkind: policy\nname: q\n\
         priority: 5\naction: drop\nclass: voice\n",
        expect![[r#"
            intent.yaml:1:1: priority: is missing: add for example "priority: 10" (Priority, unique)
            intent.yaml:1:1: class: is missing: a routed flow travels in a class: name one, or use action: drop
            intent.yaml:3:8: sites: an empty selection could mean all sites or none: name what is meant, or remove the key
            intent.yaml:4:16: match.ports: ports are given, but no protocol: set protocol: tcp, udp, sctp, dccp or udplite
            intent.yaml:10:8: class: what is dropped travels in no class: remove it, or use action: route
        "#]],
    );
    refused(
        "kind: class\nid: 1\nname: v\nqos: bulk\n---\nkind: class\nid: 2\nname: v\nqos: bulk\n",
        expect![[r#"
            intent.yaml:6:1: class/v is here twice, first in line 1: keep one of them
        "#]],
    );
    refused(
        "kind: site\nid: a\nuplinks: [{name: f, interface: w}]\nbgp: {originate_default: true, \
         neighbors: [{address: 10.9.0.1, asn: 65001, password: secret}]}\n",
        expect![[r#"
            intent.yaml:4:26: bgp.originate_default: only a hub can announce a default route to the other sites: say "hub: true", or remove this
            intent.yaml:4:86: bgp.neighbors[0].password: the intent keeps no passwords: put it into a file on the router, and give password_file
        "#]],
    );
}

#[test]
fn nothing_is_no_object() {
    assert_eq!(read(""), []);
    assert_eq!(read("---\n---\n# nothing\n"), []);
}

proptest! {
    /// Whatever is taken is the same when it is read from its canonical text.
    #[test]
    fn the_canonical_text_is_read_as_what_was_written(
        name in "\\PC{0,40}", location in "[ -~]{1,30}", key in "[A-Za-z0-9._/-]{1,10}",
        value in "\\PC{0,20}",
    ) {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let text = format!(
            "kind: site\nid: a\nname: {}\nlocation: {}\nlabels: {{{}: {}}}\n\
             uplinks: [{{name: f, interface: w}}]\n",
            quoted(&name), quoted(&location), quoted(&key), quoted(&value),
        );
        if let Ok((manifests, _)) = read_objects(&text, "intent.yaml") {
            let again = read(&manifests[0].text);
            prop_assert_eq!(&again[0].object, &manifests[0].object);
            prop_assert_eq!(&again[0].text, &manifests[0].text);
        }
    }
}
