//! Laws of comparing and changing configurations, over many configurations.

mod cases;

use std::time::Duration;

use patronus_frr::Desired;
use patronus_frr::diff::{Change, diff, script};
use patronus_frr::line::Line;
use patronus_frr::render::render;
use patronus_frr::tree::{Node, Tree};
use patronus_model::bgp::{Accept, Advertise, BfdTimers, BgpNeighbor};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Every line with the contexts that lead to it, without order and without contexts in which
/// nothing stands: what FRR makes of a tree.
fn normal(nodes: &[Node]) -> Vec<String> {
    let mut lines = Vec::new();
    flatten(nodes, "", &mut lines);
    lines.sort();
    lines
}

fn flatten(nodes: &[Node], context: &str, lines: &mut Vec<String>) {
    for node in nodes {
        let text = node.line.expose();
        let path = format!("{context} / {text}");
        flatten(&node.children, &path, lines);
        if text != "bfd" && !text.starts_with("address-family") {
            lines.push(path);
        }
    }
}

fn applied<'a>(tree: &Tree, changes: impl IntoIterator<Item = &'a Change>) -> Tree {
    let mut tree = tree.clone();
    changes.into_iter().for_each(|change| tree.apply(change));
    tree
}

fn neighbor() -> impl Strategy<Value = BgpNeighbor> {
    let advertise = select(vec![
        Advertise::OwnNetworks,
        Advertise::OwnAndExternal,
        Advertise::Everything,
        Advertise::EverythingAndDefault,
    ]);
    let accept = select(vec![Accept::AllButDefault, Accept::All]);
    let options = any::<[bool; 5]>();
    (2_u8..9, 1_u8..4, advertise, accept, options).prop_map(
        |(number, asn, advertise, accept, [six, external, bfd, password, hops])| {
            let mut neighbor = match (external, six) {
                (true, false) => cases::third_party(&format!("172.16.{number}.2"), 90 + asn),
                (true, true) => cases::third_party(&format!("fd00:{number}::2"), 90 + asn),
                (false, false) => cases::site(1, number, cases::v4),
                (false, true) => cases::site(1, number, cases::v6),
            };
            neighbor.remote_asn = cases::asn(asn);
            neighbor.advertise = advertise;
            neighbor.accept = accept;
            neighbor.bfd = bfd.then(BfdTimers::default);
            neighbor.password = neighbor.password.filter(|_| password);
            neighbor.ebgp_multihop = hops.then_some(asn);
            neighbor.description = format!("number {number} {hops}");
            neighbor
        },
    )
}

fn desired() -> impl Strategy<Value = Desired> {
    let networks = vec!["10.1.0.0/16", "10.2.0.0/16", "fd00:1::/48", "10.255.0.0/16"];
    let networks = subsequence(networks, 0..4);
    let neighbors = prop::collection::vec(neighbor(), 0..6);
    let table = select(vec![None, Some(190), Some(191)]);
    (1_u8..3, networks, neighbors, table, any::<bool>()).prop_map(
        |(number, networks, mut neighbors, table, restart)| {
            neighbors.sort_by_key(|neighbor| neighbor.address);
            neighbors.dedup_by_key(|neighbor| neighbor.address);
            let mut desired = cases::router(number, &networks, neighbors);
            desired.overlay.learned_table = table;
            desired.bgp.graceful_restart = restart.then(|| Duration::from_secs(60));
            desired
        },
    )
}

/// The lines of all daemons as one tree, in the order that FRR prints them.
fn tree(desired: &Desired) -> Tree {
    let config = render(desired);
    let mut nodes = [config.zebra.nodes, config.bgpd.nodes, config.bfdd.nodes].concat();
    nodes.reverse();
    Tree { nodes }
}

proptest! {
    #[test]
    fn there_is_no_way_from_a_configuration_to_itself(desired in desired()) {
        let tree = tree(&desired);
        prop_assert!(diff(&tree, &tree).is_empty());
    }

    #[test]
    fn a_plan_leads_where_it_should(from in desired(), to in desired()) {
        let (from, to) = (tree(&from), tree(&to));
        let reached = applied(&from, diff(&to, &from).changes());
        prop_assert_eq!(normal(&reached.nodes), normal(&to.nodes));
        prop_assert!(diff(&to, &reached).is_empty());
    }

    #[test]
    fn the_way_back_leads_back_from_wherever_it_was_left(
        from in desired(), to in desired(), steps in 0_usize..80,
    ) {
        let (from, to) = (tree(&from), tree(&to));
        let left = applied(&from, diff(&to, &from).changes().take(steps));
        let back = applied(&left, diff(&from, &left).changes());
        prop_assert_eq!(normal(&back.nodes), normal(&from.nodes));
    }

    #[test]
    fn text_is_read_as_what_was_written(desired in desired()) {
        let tree = tree(&desired);
        prop_assert_eq!(Tree::parse(&tree.to_text()), tree);
    }

    #[test]
    fn what_a_new_line_refers_to_is_there_before_it(from in desired(), to in desired()) {
        let (mut at, to) = (tree(&from), tree(&to));
        for change in diff(&to, &at).changes() {
            at.apply(change);
            for name in references(&at) {
                prop_assert!(at.nodes.iter().any(|node| node.line.words_are(&["route-map", &name])),
                    "{name} is missing after {:?}", change);
            }
        }
    }

    #[test]
    fn a_script_leaves_every_context_that_it_enters(from in desired(), to in desired()) {
        let (from, to) = (tree(&from), tree(&to));
        let commands = script(diff(&to, &from).changes());
        let count = |what: fn(&str) -> bool| {
            commands.iter().filter(|line| what(line.expose())).count()
        };
        let left = count(|line| line == "exit" || line == "exit-address-family");
        let entered = count(|line| {
            line == "bfd" || ["router ", "route-map ", "address-family ", "profile "]
                .iter().any(|context| line.starts_with(context))
        });
        prop_assert_eq!(left, entered);
    }

    #[test]
    fn no_secret_is_ever_printed(from in desired(), to in desired()) {
        let plan = diff(&tree(&to), &tree(&from));
        let printed = format!("{plan:?} {:?} {:?}", script(plan.changes()), tree(&to));
        prop_assert!(!printed.contains("s3cret") && !printed.contains("p#ss"));
    }

    #[test]
    fn whatever_is_printed_can_be_parsed(text in "[ a-z!\n]{0,200}") {
        let tree = Tree::parse(&text);
        prop_assert_eq!(Tree::parse(&tree.to_text()), tree);
    }
}

/// The route-maps that neighbours and networks refer to.
fn references(tree: &Tree) -> Vec<String> {
    let router = tree
        .nodes
        .iter()
        .filter(|node| node.line.expose().starts_with("router"));
    let families = router
        .flat_map(|node| &node.children)
        .flat_map(|node| &node.children);
    families
        .filter_map(|node| {
            let mut words = node
                .line
                .expose()
                .split(' ')
                .skip_while(|word| *word != "route-map");
            words.nth(1).map(ToOwned::to_owned)
        })
        .collect()
}

trait Words {
    fn words_are(&self, start: &[&str]) -> bool;
}

impl Words for Line {
    fn words_are(&self, start: &[&str]) -> bool {
        self.expose()
            .split(' ')
            .zip(start)
            .all(|(word, wanted)| word == *wanted)
    }
}
