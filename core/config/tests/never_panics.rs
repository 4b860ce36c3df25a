//! Whatever a file holds, it gives a configuration or says what is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in tests, but does not see the helpers of tests"
)]

use std::fs;
use std::path::PathBuf;

use patronus_config::{Severity, check, decode, read_objects};
use proptest::prelude::*;

/// Checks bytes; what is found must point into the text.
fn survives(bytes: &[u8]) {
    let found = match decode(bytes, "c") {
        Ok(text) => {
            let objects = match read_objects(text, "c") {
                Ok((_, warnings)) => warnings,
                Err(found) => found,
            };
            [check(text, "c"), objects].concat()
        }
        Err(found) => found,
    };
    let lines = bytes.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() + 2;
    for d in found {
        assert!(
            d.line > 0 && d.line as usize <= lines && d.column > 0,
            "{d}"
        );
        assert!(!d.problem.contains("does not know why"), "{d}");
        assert!(!d.to_string().contains('\n'), "{d:?}");
    }
}

/// A configuration or an intent.
fn example() -> impl Strategy<Value = String> {
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let read = |name| fs::read_to_string(examples.join(name)).unwrap();
    prop::sample::select(vec![read("site.yaml"), read("network.yaml")])
}

/// Pieces of YAML and of our format.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\n".to_owned()),
        Just("\n  ".to_owned()),
        Just("\n  - ".to_owned()),
        Just(": ".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(", ".to_owned()),
        Just("&a ".to_owned()),
        Just("*a".to_owned()),
        Just("!!str ".to_owned()),
        Just("? ".to_owned()),
        Just("| ".to_owned()),
        Just("--- ".to_owned()),
        Just("\"".to_owned()),
        Just("\t".to_owned()),
        Just("~".to_owned()),
        "(version|site|overlay|uplinks|sites|name|ipv4|prefixes|kernel|marks|bgp)",
        "[0-9]{1,12}",
        "[0-9a-f:./]{1,20}",
        "\\PC{0,6}",
    ]
}

/// A word that is valid for one field or another.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("0".to_owned()),
        Just("-1".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just("65535".to_owned()),
        Just("4294967295".to_owned()),
        Just("0xffffffff".to_owned()),
        Just("255.255.255.255/32".to_owned()),
        Just("::/0".to_owned()),
        Just("0.0.0.0/0".to_owned()),
        Just("10.255.0.1".to_owned()),
        Just("[::]:65535".to_owned()),
        Just("9999999999999999999999h".to_owned()),
        Just("0.000000001 Tbit/s".to_owned()),
        Just("100 %".to_owned()),
        Just("65535-65535".to_owned()),
        Just("off".to_owned()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        Just("".to_owned()),
        Just("EF".to_owned()),
        Just("fibre".to_owned()),
        Just("pat0".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes);
    }

    #[test]
    fn arbitrary_yaml_does_no_harm(pieces in proptest::collection::vec(piece(), 0..60)) {
        survives(pieces.concat().as_bytes());
    }

    #[test]
    fn an_example_with_a_part_cut_out_or_put_in_does_no_harm(
        example in example(), at in any::<prop::sample::Index>(), cut in 0usize..30, put in "\\PC{0,5}|\n|\t|[\\[\\]{}:,&*!|]",
    ) {
        let mut chars: Vec<char> = example.chars().collect();
        let at = at.index(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, put.chars());
        survives(chars.into_iter().collect::<String>().as_bytes());
    }

    #[test]
    fn an_example_with_another_value_is_taken_or_refused_with_a_reason(
        text in example(), which in any::<prop::sample::Index>(), value in word(),
    ) {
        // Replaces the value of one "key: value" anywhere, in block or flow style.
        let at: Vec<usize> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
        let at = at[which.index(at.len())];
        let end = text[at..].find([',', '}', '\n']).map_or(text.len(), |n| at + n);
        let text = format!("{}{value}{}", &text[..at], &text[end..]);
        survives(text.as_bytes());
    }
}

#[test]
fn what_the_parser_could_choke_on_does_no_harm() {
    let deep = |open: &str, n: usize| open.repeat(n);
    for text in [
        deep("[", 100_000),
        deep("{a: ", 100_000),
        deep("- ", 100_000),
        deep("? ", 50_000),
        deep("a:\n ", 1000),
        deep("&a ", 1000),
        deep("!a ", 1000),
        "a: |\n".to_owned() + &deep(" x\n", 100_000),
        "\"".to_owned() + &deep("\\u0000", 10_000) + "\"",
        "\u{0}".to_owned(),
        "%YAML 9.9\n---\nx".to_owned(),
        "a: \"\\ud800\"".to_owned(),
        "x".repeat(1 << 20),
    ] {
        survives(text.as_bytes());
        let found = check(&text, "c");
        assert!(found.iter().any(|d| d.severity == Severity::Error));
    }
}

#[test]
fn thousands_of_errors_are_cut_short_but_still_errors() {
    let found = check(&("version: 1\n".to_owned() + &"x: 1\n".repeat(5000)), "c");
    assert!(found.len() <= 1001, "{}", found.len());
}
