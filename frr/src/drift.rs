//! What somebody else altered in a daemon's configuration, in words, told from the plan that puts
//! it back.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::apply::Applied;
use crate::daemon::Daemon;
use crate::diff::{Change, Edit, Plan};
use crate::grammar;
use crate::line::Line;
use crate::status::FrrStatus;
use crate::tree::{Node, Tree};

/// One line of a daemon's configuration that was not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// The daemon.
    pub daemon: Daemon,
    /// The first command that puts it back, without its password.
    pub command: String,
    /// The line and what became of it, without its password.
    pub words: String,
}

/// What the plan puts back in a daemon that is configured like `actual`, line by line. Of a context
/// that is gone with all its lines only the context is told, and of a neighbor made anew only that.
pub(crate) fn alterations(daemon: Daemon, plan: &Plan, actual: &Tree) -> Vec<Alteration> {
    let remade: Vec<&Line> = plan.make.iter().filter_map(removed).collect();
    let mut told = BTreeSet::new();
    let mut all = Vec::new();
    for change in plan.changes() {
        let words = match &change.edit {
            Edit::Set(line) if remade.iter().any(|old| belongs(change, line, old)) => continue,
            Edit::Set(line) => missing(&change.context, line, &actual.nodes),
            Edit::Remove(line) if remade.contains(&line) => format!("\"{line}\" changed"),
            Edit::Remove(line) => format!("\"{line}\" added"),
        };
        if told.insert(words.clone()) {
            all.push(Alteration {
                daemon,
                command: change.command().to_string(),
                words,
            });
        }
    }
    all
}

/// What somebody else had done, of all that was not as it should be, although it was when it was
/// `seen` last: not what a daemon that came back since then did not know, and not what one shows
/// again after each attempt to take it back.
pub(crate) fn by_others(applied: &Applied, before: &FrrStatus, seen: Instant) -> Vec<Alteration> {
    let stayed = |daemon| {
        let status = before.daemons.get(&daemon);
        status.is_some_and(|status| status.is_up() && status.since < seen)
    };
    let last = before.last_apply.as_ref().map(|last| &last.outcome);
    let leftovers = last.and_then(|outcome| Some(&outcome.as_ref().ok()?.leftovers));
    let again = |it: &Alteration| {
        let mut leftovers = leftovers.into_iter().flatten();
        leftovers.any(|(daemon, command)| (daemon, command) == (&it.daemon, &it.command))
    };
    let altered = applied.altered.iter();
    let altered = altered.filter(|it| stayed(it.daemon) && !again(it));
    altered.cloned().collect()
}

fn removed(change: &Change) -> Option<&Line> {
    match &change.edit {
        Edit::Remove(line) => Some(line),
        Edit::Set(_) => None,
    }
}

/// Whether a line that is set was taken back with `old`, only to be set anew.
fn belongs(change: &Change, line: &Line, old: &Line) -> bool {
    let of_neighbor = grammar::is_whole_neighbor(old)
        && grammar::neighbor(line).is_some()
        && grammar::neighbor(line) == grammar::neighbor(old);
    let key = grammar::key(old);
    let inside = change.context.iter().any(|it| grammar::key(it) == key);
    of_neighbor || inside || grammar::key(line) == key
}

/// What became of a line: it may have another value, or be gone, perhaps with its context.
fn missing(context: &[Line], line: &Line, mut nodes: &[Node]) -> String {
    for outer in context {
        match find(nodes, outer) {
            Some(node) => nodes = &node.children,
            None => return format!("\"{outer}\" removed"),
        }
    }
    match find(nodes, line) {
        Some(found) => format!("\"{line}\" became \"{}\"", found.line),
        None => format!("\"{line}\" removed"),
    }
}

fn find<'a>(nodes: &'a [Node], line: &Line) -> Option<&'a Node> {
    let key = grammar::key(line);
    nodes.iter().find(|node| grammar::key(&node.line) == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::diff;

    const WANTED: &str = "router bgp 65001\n\
        \x20neighbor 10.255.0.2 remote-as 65002\n\
        \x20neighbor 10.255.0.2 password s3cret\n\
        \x20neighbor 10.255.0.2 timers 3 9\n\
        \x20address-family ipv4 unicast\n\
        \x20 network 10.1.0.0/16\n\
        \x20exit-address-family\n\
        exit\n\
        route-map OUT permit 10\n\
        \x20set table 7000\n\
        exit\n";

    /// What is told when `text` stands in place of `instead` of what is wanted.
    #[track_caller]
    fn check(text: &str, instead: &str, expected: &[&str]) {
        assert!(WANTED.contains(text));
        let actual = Tree::parse(&WANTED.replace(text, instead));
        let plan = diff(&Tree::parse(WANTED), &actual);
        let told = alterations(Daemon::Bgpd, &plan, &actual);
        let words: Vec<String> = told.into_iter().map(|it| it.words).collect();
        assert_eq!(words, expected);
    }

    #[test]
    fn a_line_is_told_with_what_became_of_it() {
        let (timers, other) = (
            "neighbor 10.255.0.2 timers 3 9",
            "neighbor 10.255.0.2 timers 30 90",
        );
        let became = format!("\"{timers}\" became \"{other}\"");
        check(timers, other, &[&became]);
        check(timers, "", &[&format!("\"{timers}\" removed")]);
        let (network, two) = (
            "  network 10.1.0.0/16\n",
            "  network 10.1.0.0/16\n  network 10.9.0.0/16\n",
        );
        check(network, two, &["\"network 10.9.0.0/16\" added"]);
        check("", "", &[]);
    }

    #[test]
    fn what_goes_or_comes_with_another_line_is_not_told_on_its_own() {
        let bgp = WANTED.split("route-map").next().unwrap();
        check(bgp, "", &["\"router bgp 65001\" removed"]);
        check(
            "remote-as 65002",
            "remote-as 65009",
            &["\"neighbor 10.255.0.2\" changed"],
        );
        check(
            "exit\nroute-map",
            " neighbor 10.9.9.9 remote-as 65009\n neighbor 10.9.9.9 password hidden\nexit\nroute-map",
            &["\"neighbor 10.9.9.9\" added"],
        );
    }

    #[test]
    fn a_password_is_not_told() {
        check(
            "password s3cret",
            "password other",
            &["\"neighbor 10.255.0.2 password …\" became \"neighbor 10.255.0.2 password …\""],
        );
    }
}
