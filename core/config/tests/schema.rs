//! The JSON Schema and the reader agree.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in tests, but does not see the helpers of tests"
)]

use patronus_config::{check, json_schema};
use serde_json::{Value, json};

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    jsonschema::draft7::new(&schema).unwrap()
}

/// A small valid file as JSON, which is YAML too.
fn base() -> Value {
    json!({
        "version": 1,
        "site": {"id": "berlin"},
        "overlay": {"ipv4": "10.255.0.1/16"},
        "uplinks": [{"name": "fibre", "interface": "wan0"}],
        "lans": [{"interface": "lan0", "prefixes": "10.1.0.0/16"}],
    })
}

/// Sets one value in the base, and compares what the schema and the reader say.
fn agree(pointer: &[&str], value: Value, valid: bool) {
    let mut file = base();
    let mut at = &mut file;
    for step in pointer {
        at = match step.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[*step],
        };
    }
    *at = value;
    let text = file.to_string();
    let found = check(&text, "c");
    assert_eq!(
        validator().is_valid(&file),
        valid,
        "the schema about {text}"
    );
    let failed = found
        .iter()
        .any(|d| d.severity == patronus_config::Severity::Error);
    assert_eq!(!failed, valid, "the reader about {text}: {found:?}");
}

#[test]
fn the_schema_and_the_reader_say_the_same() {
    for (pointer, good, bad) in [
        (
            &["version"][..],
            vec![json!(1)],
            vec![json!(2), json!("1"), json!(null)],
        ),
        (
            &["site", "id"],
            vec![json!("a-1")],
            vec![json!(1), json!("A"), json!("-a"), json!("")],
        ),
        (
            &["site", "labels"],
            vec![json!({"a": "b"})],
            vec![json!({"a": 1}), json!([])],
        ),
        (&["site", "nonsense"], vec![], vec![json!(1)]),
        (
            &["overlay", "ipv4"],
            vec![json!("10.255.0.9/24")],
            vec![json!("10.255.0.9"), json!(10), json!(["10.255.0.9/24"])],
        ),
        (
            &["uplinks", "0", "gateway"],
            vec![
                json!("dhcp"),
                json!("192.0.2.1"),
                json!(["192.0.2.1", "2001:db8::1"]),
            ],
            vec![json!("static"), json!(1), json!({})],
        ),
        (
            &["uplinks", "0", "bandwidth"],
            vec![json!({"up": 1_000_000, "down": "94 Mbit/s"}), json!({})],
            vec![
                json!({"up": 1}),
                json!({"up": "94 MB/s"}),
                json!("94 Mbit/s"),
            ],
        ),
        (
            &["uplinks", "0", "listen_port"],
            vec![json!(1), json!(65472)],
            vec![json!(0), json!(65473), json!("51820"), json!(1.5)],
        ),
        (
            &["uplinks", "0", "metered"],
            vec![json!(false)],
            vec![json!("yes"), json!(1)],
        ),
        (
            &["uplinks", "0", "interface"],
            vec![json!("wan0.100")],
            vec![json!("a-name-that-is-too-long"), json!("a/b")],
        ),
        (
            &["lans", "0", "prefixes"],
            vec![json!("10.1.0.0/16"), json!(["10.1.0.0/16", "10.2.0.0/16"])],
            vec![json!("10.1.0.0"), json!(["x"]), json!(1)],
        ),
        (
            &["bgp"],
            vec![
                json!({"asn": 65001}),
                json!({"graceful_restart": "off"}),
                json!({"graceful_restart": false}),
            ],
            vec![
                json!({"asn": 0}),
                json!({"graceful_restart": true}),
                json!({"timers": {"hold": 9}}),
            ],
        ),
        (
            &["health"],
            vec![json!({"degraded": {"loss": "2.5 %", "latency": "off"}})],
            vec![
                json!({"degraded": {"loss": 5}}),
                json!({"bfd": {"multiplier": 0}}),
            ],
        ),
        (
            &["classes"],
            vec![
                json!([{"id": 1, "name": "a", "qos": "standard", "dscp": 46, "strategy": {"preference": "fibre"}}]),
            ],
            vec![
                json!([{"id": 1, "name": "a", "qos": "standard", "strategy": "fastest"}]),
                json!([{"id": 128, "name": "a", "qos": "standard"}]),
                json!([{"id": 1, "name": "a", "qos": "best"}]),
                json!([{"id": 1, "name": "a", "qos": "standard", "dscp": "EFF"}]),
            ],
        ),
        (
            &["policies"],
            vec![
                json!([{"name": "a", "class": "voice", "match": {"protocol": "udp", "ports": [1, "2-3"]}}]),
                json!([{"name": "a", "action": "drop", "match": {"protocol": 47, "to": "10.0.0.1"}}]),
            ],
            vec![
                json!([{"name": "a", "class": "voice", "match": {"protocol": "tpc"}}]),
                json!([{"name": "a", "class": "voice", "match": {"protocol": "udp", "ports": "x"}}]),
                json!([{"class": "voice"}]),
            ],
        ),
        (
            &["kernel"],
            vec![
                json!({"marks": {"uplink": 0x0f00_0000}}),
                json!({"marks": {"uplink": "0x0f000000"}}),
            ],
            vec![
                json!({"table_base": 255}),
                json!({"marks": {"class": "seven"}}),
                json!({"protocol": 4}),
            ],
        ),
    ] {
        for value in good {
            agree(pointer, value, true);
        }
        for value in bad {
            agree(pointer, value, false);
        }
    }
}
