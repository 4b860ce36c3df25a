//! From one configuration to another: which lines to set and which to take back, in an order that
//! makes before it breaks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::grammar::{self, Key, Removal};
use crate::line::Line;
use crate::tree::{Node, Tree};

/// One line set or taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The contexts that lead to the line, outermost first.
    pub context: Vec<Line>,
    /// What happens there.
    pub edit: Edit,
}

/// What happens to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It is entered, and replaces a line with the same meaning.
    Set(Line),
    /// It is taken back. A bare `neighbor X` stands for everything said about that neighbour.
    Remove(Line),
}

/// The way from one configuration of a daemon to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// First: what is new or different, what is referred to before what refers to it.
    pub make: Vec<Change>,
    /// Then: what is no longer wanted, in reverse order.
    pub unmake: Vec<Change>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.make.is_empty() && self.unmake.is_empty()
    }

    /// All changes in order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.make.iter().chain(&self.unmake)
    }
}

/// What leads from `actual` to `desired`. The inverse of a plan is the diff the other way round.
#[must_use]
pub fn diff(desired: &Tree, actual: &Tree) -> Plan {
    let mut planner = Planner::default();
    planner.level(&[], &by_rank(desired), &by_rank(actual));
    let mut plan = planner.plan;
    plan.unmake.reverse();
    plan.unmake
        .sort_by_key(|change| Reverse(grammar::rank(change.outermost())));
    plan
}

#[derive(Default)]
struct Planner {
    plan: Plan,
}

impl Planner {
    /// Compares the lines of one context, over the union of their keys.
    fn level(&mut self, context: &[Line], desired: &[Node], actual: &[Node]) {
        let pruned;
        let actual = if context.last().is_some_and(|line| line.is("router bgp")) {
            pruned = self.neighbors(context, desired, actual);
            pruned.as_slice()
        } else {
            actual
        };
        let there = by_key(actual);
        for node in desired {
            match there.get(&grammar::key(&node.line)) {
                None => self.add(context, node),
                Some(old) => self.change(context, node, old),
            }
        }
        let wanted: BTreeSet<Key> = desired
            .iter()
            .map(|node| grammar::key(&node.line))
            .collect();
        for old in actual
            .iter()
            .filter(|old| !wanted.contains(&grammar::key(&old.line)))
        {
            self.remove(context, old);
        }
    }

    /// Neighbours come and go as a whole: one that is not wanted any more goes with one command,
    /// and one whose AS changes is made anew, because FRR silently drops those of its lines which
    /// do not fit the new kind of session. Returns `actual` without their lines.
    fn neighbors(&mut self, context: &[Line], desired: &[Node], actual: &[Node]) -> Vec<Node> {
        let wanted = remote_as(desired);
        let mut gone = BTreeSet::new();
        for (who, old) in remote_as(actual) {
            let whole = Line::new(&format!("neighbor {who}"));
            match wanted.get(who) {
                Some(new) if *new == old => continue,
                Some(_) => self.make(context, Edit::Remove(whole)),
                None => self.unmake(context, Edit::Remove(whole)),
            }
            gone.insert(who);
        }
        without_neighbors(actual, &gone)
    }

    fn add(&mut self, context: &[Line], node: &Node) {
        let bare = node.children.is_empty();
        if bare && grammar::removal(&node.line) == Removal::Emptying {
            return;
        }
        if bare {
            return self.make(context, Edit::Set(node.line.clone()));
        }
        let inside = inside(context, &node.line);
        for child in &node.children {
            self.add(&inside, child);
        }
    }

    fn change(&mut self, context: &[Line], node: &Node, old: &Node) {
        let inside = inside(context, &node.line);
        if needs_rebuild(node, old) {
            self.make(context, Edit::Remove(old.line.clone()));
            return self.add(context, node);
        }
        if node.line != old.line {
            self.make(context, Edit::Set(node.line.clone()));
        }
        self.level(&inside, &node.children, &old.children);
    }

    fn remove(&mut self, context: &[Line], old: &Node) {
        if grammar::removal(&old.line) == Removal::Emptying {
            let inside = inside(context, &old.line);
            for child in &old.children {
                self.remove(&inside, child);
            }
        } else {
            self.unmake(context, Edit::Remove(old.line.clone()));
        }
    }

    fn make(&mut self, context: &[Line], edit: Edit) {
        self.plan.make.push(Change {
            context: context.to_vec(),
            edit,
        });
    }

    fn unmake(&mut self, context: &[Line], edit: Edit) {
        self.plan.unmake.push(Change {
            context: context.to_vec(),
            edit,
        });
    }
}

/// Whether a context can only be changed by removing and entering it again: another AS, or a line
/// beneath it that FRR has no command to take back.
fn needs_rebuild(node: &Node, old: &Node) -> bool {
    if node.line != old.line && node.line.is("router bgp") {
        return true;
    }
    let kept: BTreeSet<Key> = node
        .children
        .iter()
        .map(|child| grammar::key(&child.line))
        .collect();
    old.children.iter().any(|child| {
        grammar::removal(&child.line) == Removal::RebuildContext
            && !kept.contains(&grammar::key(&child.line))
    })
}

/// The tree with what is referred to before what refers to it. FRR prints it in another order.
fn by_rank(tree: &Tree) -> Vec<Node> {
    let mut nodes = tree.nodes.clone();
    nodes.sort_by_key(|node| grammar::rank(&node.line));
    nodes
}

fn inside(context: &[Line], line: &Line) -> Vec<Line> {
    context.iter().chain([line]).cloned().collect()
}

fn by_key(nodes: &[Node]) -> BTreeMap<Key, &Node> {
    nodes
        .iter()
        .map(|node| (grammar::key(&node.line), node))
        .collect()
}

/// The `remote-as` line of each neighbour.
fn remote_as(nodes: &[Node]) -> BTreeMap<&str, &Line> {
    nodes
        .iter()
        .filter(|node| node.line.words().get(2) == Some(&"remote-as"))
        .filter_map(|node| Some((grammar::neighbor(&node.line)?, &node.line)))
        .collect()
}

/// `nodes`, at all depths, without the lines of some neighbours.
fn without_neighbors(nodes: &[Node], gone: &BTreeSet<&str>) -> Vec<Node> {
    nodes
        .iter()
        .filter(|node| !grammar::neighbor(&node.line).is_some_and(|who| gone.contains(who)))
        .map(|node| Node {
            line: node.line.clone(),
            children: without_neighbors(&node.children, gone),
        })
        .collect()
}

impl Change {
    /// The line at the left margin beneath which the change happens, or which it is about.
    fn outermost(&self) -> &Line {
        let (Edit::Set(line) | Edit::Remove(line)) = &self.edit;
        self.context.first().unwrap_or(line)
    }

    /// The command which makes the change, once in its context.
    #[must_use]
    pub fn command(&self) -> Line {
        match &self.edit {
            Edit::Set(line) => line.clone(),
            Edit::Remove(line) => match grammar::removal(line) {
                Removal::Command(command) => command,
                // Neither is ever planned; a plain `no` lets FRR complain in its own words.
                Removal::Emptying | Removal::RebuildContext => {
                    Line::new(&format!("no {}", line.expose()))
                }
            },
        }
    }
}

/// The commands for changes as they go over a vty from the configuration node, with the contexts
/// entered and left. Every context is left before another is entered, because FRR would otherwise
/// try a command in the contexts around it too, and stay there.
#[must_use]
pub fn script<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Vec<Line> {
    let mut commands = Vec::new();
    let mut at: Vec<Line> = Vec::new();
    for change in changes {
        walk(&mut commands, &mut at, &change.context);
        commands.push(change.command());
        if let Edit::Set(line) = &change.edit
            && grammar::opens_context(line)
        {
            commands.push(Line::new(grammar::exit(line)));
        }
    }
    walk(&mut commands, &mut at, &[]);
    commands
}

fn walk(commands: &mut Vec<Line>, at: &mut Vec<Line>, to: &[Line]) {
    let shared = at.iter().zip(to).take_while(|(a, b)| a == b).count();
    while at.len() > shared {
        let Some(left) = at.pop() else { break };
        commands.push(Line::new(grammar::exit(&left)));
    }
    for line in to.iter().skip(shared) {
        commands.push(line.clone());
        at.push(line.clone());
    }
}

impl Tree {
    /// What FRR's configuration becomes by a change: the model which the laws of [`diff`] are
    /// tested against, and which stands in for FRR in tests without it.
    pub fn apply(&mut self, change: &Change) {
        let mut nodes = &mut self.nodes;
        for line in &change.context {
            let at = upsert(nodes, line);
            let Some(node) = nodes.get_mut(at) else {
                return;
            };
            nodes = &mut node.children;
        }
        match &change.edit {
            Edit::Set(line) => {
                upsert(nodes, line);
            }
            Edit::Remove(line) if grammar::is_whole_neighbor(line) => {
                let gone = grammar::neighbor(line).into_iter().collect();
                *nodes = without_neighbors(nodes, &gone);
            }
            Edit::Remove(line) => nodes.retain(|node| node.line != *line),
        }
    }
}

/// Enters a line and returns its place.
fn upsert(nodes: &mut Vec<Node>, line: &Line) -> usize {
    let key = grammar::key(line);
    if let Some(at) = nodes
        .iter()
        .position(|node| grammar::key(&node.line) == key)
    {
        if let Some(node) = nodes.get_mut(at) {
            node.line = line.clone();
        }
        return at;
    }
    nodes.push(Node {
        line: line.clone(),
        children: Vec::new(),
    });
    nodes.len() - 1
}
