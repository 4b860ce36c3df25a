//! What the pure crates may use: of the standard library only what is listed here, so that nobody
//! has to think of all that could be impure.

use crate::source::{Token, tokens};

/// What of the standard library neither does I/O nor depends on time, chance or addresses. Hash maps
/// are not here: their order differs from run to run.
const PURE: &[&str] = &[
    "std::borrow",
    "std::cmp",
    "std::collections::BTreeMap",
    "std::collections::BTreeSet",
    "std::collections::BinaryHeap",
    "std::collections::VecDeque",
    "std::collections::btree_map",
    "std::collections::btree_set",
    "std::convert",
    "std::error::Error",
    "std::fmt",
    "std::iter",
    "std::marker",
    "std::mem",
    "std::net::AddrParseError",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
    "std::net::SocketAddrV6",
    "std::num",
    "std::ops",
    "std::str",
    "std::sync::Arc",
    "std::time::Duration",
];

const ROOTS: [&str; 3] = ["std", "core", "alloc"];

/// Words that need no path.
const IMPURE_WORDS: [&str; 3] = ["async", "await", "extern"];

/// Macros that need no path.
const IMPURE_MACROS: [&str; 6] = [
    "dbg",
    "eprint",
    "eprintln",
    "print",
    "println",
    "thread_local",
];

/// What of a source file is not pure, and the line of each.
#[must_use]
pub fn impurities(source: &str) -> Vec<(usize, String)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let mut paths = Vec::new();
        let next = tokens.get(at + 1).map(|next| next.text);
        let mut step = 1;
        // `use<'a>` is no import.
        if token.text == "use" && next != Some("<") {
            step += use_tree(tokens.get(at + 1..).unwrap_or_default(), &[], &mut paths);
        } else if ROOTS.contains(&token.text) && starts_a_path(&tokens, at) {
            let (path, length) = inline_path(tokens.get(at..).unwrap_or_default());
            paths.push((token.line, path));
            step = length;
        } else if IMPURE_WORDS.contains(&token.text)
            || (IMPURE_MACROS.contains(&token.text) && next == Some("!"))
        {
            found.push((token.line, token.text.to_owned()));
        }
        let bad = paths.into_iter().filter(|(_, path)| !is_pure(path));
        found.extend(bad.map(|(line, path)| (line, path.join("::"))));
        at += step;
    }
    found
}

fn is_pure(path: &[&str]) -> bool {
    let Some((root, rest)) = path.split_first() else {
        return true;
    };
    if !ROOTS.contains(root) {
        return true;
    }
    // A module that only leads to what is listed is not: one could name anything through it.
    PURE.iter().any(|pure| {
        let pure: Vec<&str> = pure.split("::").skip(1).collect();
        rest.starts_with(&pure)
    })
}

/// Whether this root is none of another path: `self::core`, `x.core`.
fn starts_a_path(tokens: &[Token<'_>], at: usize) -> bool {
    let before = |steps: usize| at.checked_sub(steps).and_then(|at| tokens.get(at));
    let leads = tokens.get(at + 1).is_some_and(|next| next.text == "::");
    match before(1).map(|token| token.text) {
        Some("::") => leads && !before(2).is_some_and(Token::is_word),
        Some(".") => false,
        _ => leads,
    }
}

/// The path that begins here, and how many tokens it has.
fn inline_path<'a>(tokens: &[Token<'a>]) -> (Vec<&'a str>, usize) {
    let mut path = Vec::new();
    let mut length = 0;
    for pair in tokens.chunks(2) {
        let Some(word) = pair.first().filter(|word| word.is_word()) else {
            break;
        };
        path.push(word.text);
        length += 1;
        if pair.get(1).is_none_or(|sign| sign.text != "::") {
            break;
        }
        length += 1;
    }
    (path, length)
}

/// Reads one tree of a `use`, and adds what it imports. Returns how many tokens it has.
fn use_tree<'a>(
    tokens: &[Token<'a>],
    prefix: &[&'a str],
    paths: &mut Vec<(usize, Vec<&'a str>)>,
) -> usize {
    let mut path = prefix.to_vec();
    let mut line = tokens.first().map_or(0, |token| token.line);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "::" => {}
            "{" => {
                at += 1;
                while let Some(inside) = tokens.get(at..).filter(|inside| !inside.is_empty()) {
                    match inside.first().map(|token| token.text) {
                        Some("}") => return at + 1,
                        Some(",") => at += 1,
                        _ => at += use_tree(inside, &path, paths).max(1),
                    }
                }
                return at;
            }
            "as" => {
                // The new name is nobody's business.
                at += 2;
                break;
            }
            // `{self, Write}` imports what the braces hang on.
            "self" if !path.is_empty() => line = token.line,
            // Everything of what it hangs on.
            "*" => line = token.line,
            word if token.is_word() => {
                path.push(word);
                line = token.line;
            }
            _ => break,
        }
        at += 1;
    }
    paths.push((line, path));
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[&str]) {
        let found = impurities(source);
        let found: Vec<&str> = found.iter().map(|(_, what)| what.as_str()).collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn what_reads_clocks_files_chance_or_the_network_is_found() {
        check("use std::fs;", &["std::fs"]);
        check(
            "let t = std::time::Instant::now();",
            &["std::time::Instant::now"],
        );
        check(
            "use std::time::{Duration, SystemTime};",
            &["std::time::SystemTime"],
        );
        check("fn f(s: &std::net::UdpSocket) {}", &["std::net::UdpSocket"]);
        check("use std::env;", &["std::env"]);
        check("let x = ::std::thread::spawn(f);", &["std::thread::spawn"]);
        check("x = core::hint::spin_loop()", &["core::hint::spin_loop"]);
    }

    #[test]
    fn imports_in_braces_are_found_however_deep() {
        check("use std::{fs, fmt};", &["std::fs"]);
        check(
            "use std::{fmt, {io::{self, Write}}};",
            &["std::io", "std::io::Write"],
        );
        check(
            "use {std::{process as p}, ipnet::IpNet};",
            &["std::process"],
        );
        check(
            "pub(crate) use ::std::{\n collections::{BTreeMap, HashMap}};",
            &["std::collections::HashMap"],
        );
    }

    #[test]
    fn names_that_hide_what_they_lead_to_are_found() {
        check("use std as s;", &["std"]);
        check("use std::*;", &["std"]);
        check("use std::{self};", &["std"]);
        check("use std::collections;", &["std::collections"]);
        check("use std::collections::*;", &["std::collections"]);
        check("use std::time as t;", &["std::time"]);
        check("extern crate std as s;", &["extern"]);
    }

    #[test]
    fn orders_that_differ_from_run_to_run_are_found() {
        check(
            "let m = std::collections::HashMap::new();",
            &["std::collections::HashMap::new"],
        );
        check(
            "use std::collections::hash_map::Entry;",
            &["std::collections::hash_map::Entry"],
        );
        check("use std::hash::RandomState;", &["std::hash::RandomState"]);
    }

    #[test]
    fn waiting_and_printing_are_found() {
        check("let x = async { 1 };", &["async"]);
        check("async move |x| x.await", &["async", "await"]);
        check("async fn f() {}", &["async"]);
        check("println!(\"x\")", &["println"]);
        check("thread_local! { }", &["thread_local"]);
    }

    #[test]
    fn what_is_pure_is_left_alone() {
        check("use std::collections::{BTreeMap, btree_map::Entry};", &[]);
        check("use std::fmt::{self, Display as _};", &[]);
        check("let d = std::time::Duration::from_secs(1);", &[]);
        check("use super::*; use crate::core::io; self::std::fs::x", &[]);
        check("fn f() -> impl Iterator<Item = u8> + use<'a> {}", &[]);
        check(
            "// std::fs\n/* async */ let s = \"std::io\"; let a = x.core;",
            &[],
        );
    }

    #[test]
    fn the_line_is_that_of_what_was_found() {
        let source = "use std::fmt;\nuse std::{\n    fmt::Display,\n    fs,\n};\n";
        assert_eq!(impurities(source), [(4, "std::fs".to_owned())]);
    }
}
