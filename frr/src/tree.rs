//! Configuration as an ordered tree of lines, read from `show running-config` and written to
//! `frr.conf`.

use zeroize::Zeroizing;

use crate::grammar;
use crate::line::Line;

/// One line and what stands indented beneath it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The line.
    pub line: Line,
    /// The lines of the context that it opens; empty for a leaf.
    pub children: Vec<Node>,
}

impl Node {
    /// A line with nothing beneath it.
    #[must_use]
    pub fn leaf(text: &str) -> Self {
        Self {
            line: Line::new(text),
            children: Vec::new(),
        }
    }

    /// A context with leaves.
    #[must_use]
    pub fn context(text: &str, children: Vec<Node>) -> Self {
        Self {
            line: Line::new(text),
            children,
        }
    }
}

/// The configuration of one daemon, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// What stands at the left margin.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Reads what `show running-config` prints, in `vtysh` or in one daemon.
    ///
    /// Structure is taken from indentation, which FRR 8.4 and 10.3 agree on; separators and the
    /// words that leave a context are dropped. Cannot fail: a line that means nothing to us is a
    /// line all the same.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut open: Vec<(usize, Node)> = Vec::new();
        let mut tree = Self::default();
        for raw in text.lines() {
            if is_noise(raw) {
                continue;
            }
            let depth = raw.len() - raw.trim_start().len();
            close(&mut open, &mut tree, depth);
            open.push((depth, Node::leaf(raw)));
        }
        close(&mut open, &mut tree, 0);
        tree
    }

    /// The tree as text for `frr.conf`, one blank of indentation per level as FRR writes it.
    /// May hold passwords.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for node in &self.nodes {
            write_node(&mut text, node, 0);
        }
        text
    }

    /// The part of the tree that `keep` wants, by the lines at the left margin.
    #[must_use]
    pub fn filtered(mut self, keep: impl Fn(&Line) -> bool) -> Self {
        self.nodes.retain(|node| keep(&node.line));
        self
    }
}

/// Comments, separators, ends of contexts and the frame that `vtysh` puts around the output.
fn is_noise(raw: &str) -> bool {
    let line = raw.trim();
    line.is_empty()
        || line.starts_with('!')
        || line.starts_with('#')
        || line == "end"
        || line == "exit"
        || line.starts_with("exit-")
        || line == "Building configuration..."
        || line == "Current configuration:"
}

/// Closes every open context that a line at `depth` does not belong to.
fn close(open: &mut Vec<(usize, Node)>, tree: &mut Tree, depth: usize) {
    while open.last().is_some_and(|(at, _)| *at >= depth) {
        let Some((_, node)) = open.pop() else { return };
        match open.last_mut() {
            Some((_, parent)) => parent.children.push(node),
            None => tree.nodes.push(node),
        }
    }
}

fn write_node(text: &mut String, node: &Node, depth: usize) {
    let indent = " ".repeat(depth);
    text.push_str(&indent);
    text.push_str(node.line.expose());
    text.push('\n');
    for child in &node.children {
        write_node(text, child, depth + 1);
    }
    if grammar::opens_context(&node.line) {
        text.push_str(&indent);
        text.push_str(grammar::exit(&node.line));
        text.push('\n');
        if depth == 0 {
            text.push_str("!\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indentation_makes_the_tree() {
        let tree = Tree::parse(include_str!(
            "../tests/data/frr-8.4.4/show_running-config.txt"
        ));
        let router = tree
            .nodes
            .iter()
            .find(|node| node.line.is("router bgp"))
            .unwrap();
        assert_eq!(router.line.expose(), "router bgp 65001");
        let last = router.children.last().unwrap();
        assert_eq!(last.line.expose(), "address-family ipv4 unicast");
        assert_eq!(last.children, [Node::leaf("network 192.0.2.0/25")]);
        let bfd = tree.nodes.last().unwrap();
        assert_eq!(
            *bfd,
            Node::context(
                "bfd",
                vec![Node::context(
                    "profile fast",
                    vec![
                        Node::leaf("transmit-interval 100"),
                        Node::leaf("receive-interval 100")
                    ]
                )]
            )
        );
    }

    #[test]
    fn both_versions_of_frr_print_the_same_configuration() {
        let keep = |line: &Line| line.is("router bgp") || line.is("bfd");
        let old = include_str!("../tests/data/frr-8.4.4/show_running-config.txt");
        let new = include_str!("../tests/data/frr-10.3/show_running-config.txt");
        assert_eq!(
            Tree::parse(old).filtered(keep),
            Tree::parse(new).filtered(keep)
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = include_str!("../tests/data/frr-8.4.4/show_running-config.txt");
        let tree = Tree::parse(text);
        assert_eq!(Tree::parse(&tree.to_text()), tree);
    }
}
